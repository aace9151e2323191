/* SPDX-License-Identifier: MIT */
/* What the toolstack stands on besides core and store: the bundle with its configurations and images, the console, reports. */
#define main control_main
#include "../../ctl-dom/main.c"
#undef main
#include <errno.h>
#include <string.h>
#include "bundle/kept.h"
#include "ctl_machine.h"
#include "domain/acpi.h"
#include "domain/elf.h"
#include "domain/start_info.h"
#include "store/devices.h"
#include "store/linux_life.h"
#include "store/store.h"
#include "supervise/adopt.h"
#include "supervise/dying.h"
#include "supervise/guests.h"
#include "supervise/waiting.h"
#include "unit.h"

struct bh_self self;
int deadline_feed(uint64_t ms) { return 0; }

/* --- the console ----------------------------------------------------------------------------------------------------- */
/* What it prints it prints by the core. */
void say(const char *fmt, ...)
{
    size_t n = strlen(m->said);
    va_list ap;

    step();
    va_start(ap, fmt);
    vsnprintf(m->said + n, sizeof(m->said) - n, fmt, ap);
    va_end(ap);
    n = strlen(m->said);
    snprintf(m->said + n, sizeof(m->said) - n, "\n");
    step();
}
void out(const char *fmt, ...)
{
    size_t n = strlen(m->shown);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(m->shown + n, sizeof(m->shown) - n, fmt, ap);
    va_end(ap);
}
bool con_skip_to(unsigned char c) { return m->ctrl_c_ns && m->clock >= m->ctrl_c_ns; }
void con_getc(void) { m->ctrl_c_ns = 0; }
void console_open(void) {}
int domcon_connect(struct dom *d, struct errbuf *e)
{
    step();
    return core_by_id(d->id) ? 0 : fail(e, -ESRCH, "%s: console", d->cfg.name);
}
void domcon_drain(struct dom *d) { step(); }
void domcon_restart(struct dom *d) {}
void domcon_disconnect(struct dom *d) { step(); }
void domcon_last_line(const struct dom *d, char *buf, size_t n) { *buf = '\0'; }
void report_take(struct dom *d)
{
    d->report = (struct bh_report){ .domid = d->id };
    bh_ctl_report(&d->report);
}
void report_death(struct dom *d, const char *then) { say("%s: crashed%s", d->cfg.name, then); }
void report_restart(struct dom *d, const struct bh_dominfo *di)
{
    say("%s: restarted", d->cfg.name);
}
void report_own(void) {}

/* --- images ---------------------------------------------------------------------------------------------------------- */
struct bundle bundle;
const uint8_t zero_page[4096];
#define IMAGE(what, at)                                                         \
    {                                                                           \
        .name = (what), .entry = (at), .high = 0x102000, .nr_segs = 2, .seg = { \
            { 0x100000, "code", 4, false },                                     \
            { 0x101000, "data", 4, true }                                       \
        }                                                                       \
    }
static struct svc_image images[] = { IMAGE("store", 0x100000),  IMAGE("pciback", 0x100000),
                                     IMAGE("blk", 0x100000),    IMAGE("net", 0x100000),
                                     IMAGE("net-2", 0x100000),  IMAGE("net-bad", BAD_ENTRY),
                                     IMAGE("net-big", 0x100000) };

struct svc_image *svc_image_get(const char *name, struct errbuf *e)
{
    images[6].high = 1ul << 30;
    for (unsigned i = 0; i < ARRAY_SIZE(images); i++)
        if (!strcmp(images[i].name, name))
            return &images[i];
    fail(e, -ENOENT, "image '%s' is not in the bundle", name);
    return NULL;
}
bool boot_file_find(struct boot_file *f, const char *name)
{
    *f = (struct boot_file){ .len = 6 };
    return true;
}
int boot_file_stream(const struct boot_file *f, sink_fn sink, void *arg, char *err, size_t n)
{
    return sink(arg, "kernel", 6);
}
void elf_begin(struct elf_stream *s, elf_write_fn write, void *arg, uint64_t limit)
{
    memset(s, 0, sizeof(*s));
    s->write = write;
    s->arg = arg;
}
int elf_feed(struct elf_stream *s, const void *data, size_t len)
{
    return s->write(s->arg, 0x100000, data, len);
}
int elf_end(struct elf_stream *s)
{
    s->entry = 0x100000;
    s->high = 0x101000;
    return 0;
}
size_t acpi_build(void *buf, size_t size, uint64_t gpa, unsigned vcpus, bool pci)
{
    memset(buf, 1, 16);
    return 16;
}
uint64_t boot_block_at(uint64_t high) { return high; }
void boot_block_fill(uint8_t *block, const struct boot_map *map, const char *cmdline)
{
    memset(block, 1, BOOT_BLOCK);
}
void guest_cmdline(const struct dom *d, char *text, size_t n) { snprintf(text, n, "words"); }
void service_cmdline(const struct dom *d, const char *bridges, char *text, size_t n)
{
    snprintf(text, n, "words%s", bridges);
}
int xs_slot_port(void) { return 7; }
void xs_reconnect(void) {}
void xs_give_up(void) {}

/* --- configurations -------------------------------------------------------------------------------------------------- */
#define SERVICE(what, img) .role = (what), .image = (img), .memory_mb = 16, .keep = 8, .vcpus = 1
#define GUEST                                                                               \
    .role = BH_ROLE_GUEST, .kernel = "kernel", .memory_mb = 64, .vcpus = 1,                 \
    .on_reboot = ACTION_RESTART, .on_crash = ACTION_RESTART, .on_watchdog = ACTION_RESTART, \
    .on_soft_reset = ACTION_SOFT_RESET
#define VIF(back) .nr_vifs = 1, .vif = { { .backend = (back) } }
#define DISK(back, vol) \
    .nr_disks = 1,      \
    .disk = { { .backend = (back), .volume = (vol), .vdev = "xvda", .mode = "w", .devid = 51712 } }
static const struct domcfg configs[] = {
    { .name = "store", SERVICE(BH_ROLE_STORE, "store"), .autostart = true },
    { .name = "pciback", SERVICE(BH_ROLE_PCIBACK, "pciback"), .autostart = true },
    { .name = "blk0", SERVICE(BH_ROLE_DRIVER, "blk"), .nr_pci = 1, .pci = { 0x18 }, .autostart = true },
    { .name = "net0", SERVICE(BH_ROLE_DRIVER, "net"), .autostart = true },
    { .name = "blk1", SERVICE(BH_ROLE_DRIVER, "blk") },
    { .name = "net1", SERVICE(BH_ROLE_DRIVER, "net") },
    { .name = "web", GUEST, VIF("net0"), DISK("blk0", "1"), .autostart = true },
    { .name = "late", GUEST, DISK("blk1", "1"), .autostart = true },
    { .name = "hand", GUEST, VIF("net0"), DISK("blk0", "2") },
    { .name = "bad", GUEST, VIF("net0"), DISK("blk0", "bad") },
    { .name = "netdd", GUEST, VIF("net0"), .driver_domain = true },
    { .name = "behind",
      GUEST,
      VIF("netdd"),
      .nr_disks = 1,
      .disk = { { .backend = "netdd",
                  .kind = DISK_FILE,
                  .volume = "/vols/a",
                  .vdev = "xvda",
                  .mode = "w",
                  .devid = 51712 } } },
    { .name = "relay",
      SERVICE(BH_ROLE_DRIVER, "blk"),
      .nr_disks = 1,
      .disk = { { .backend = "netdd",
                  .kind = DISK_PHY,
                  .volume = "/dev/vg/b",
                  .vdev = "xvda",
                  .mode = "w",
                  .devid = 51712 } } },
};

int bundle_open(struct bundle *b, const void *data, size_t len, char *err, size_t n)
{
    static char names[ARRAY_SIZE(configs)][BH_NAME_LEN + 4];

    for (unsigned i = 0; i < ARRAY_SIZE(configs); i++) {
        snprintf(names[i], sizeof(names[i]), "%s.cfg", configs[i].name);
        b->image[i].name = names[i];
    }
    b->nr_images = ARRAY_SIZE(configs);
    return 0;
}
int config_load(struct domcfg *c, const char *name, struct errbuf *e)
{
    size_t len = strcspn(name, ".");

    for (unsigned i = 0; i < ARRAY_SIZE(configs); i++)
        if (strlen(configs[i].name) == len && !strncmp(configs[i].name, name, len)) {
            *c = configs[i];
            return 0;
        }
    return fail(e, -ENOENT, "%s: none", name);
}
const char *config_next(unsigned *i)
{
    return *i < bundle.nr_images ? bundle.image[(*i)++].name : NULL;
}
bool config_on_volume(const char *name) { return false; }
void volume_on(void) {}
int volume_begin(bool tell, struct errbuf *e) { return fail(e, -ENOENT, "none"); }
void volume_end(void) {}
void volume_left(void) {}
int config_check(const struct domcfg *c, const char *file, char *err, size_t n) { return 0; }

/* --- the job --------------------------------------------------------------------------------------------------------- */
static jmp_buf booted;
void shell_run(void (*boot_first)(void))
{
    boot_first();
    longjmp(booted, 1);
}

void instance_boots(void)
{
    self.keep = m->keep[0];
    self.nr_keep = m->keep_pages;
    m->said[0] = '\0';
    if (!setjmp(booted))
        control_main();
}
void instance_works(void)
{
    uint64_t end = m->clock + 40 * NS_PER_S;
    unsigned idle = 0;

    for (unsigned i = 0; i < 3000 && idle < 12 && m->clock < end; i++) {
        bool more = anew_work() || adopt_work() || dying_work() || guests_work() || autostart_work();
        more = linux_work() || more;
        more = devs_work() || more;
        idle = more ? 0 : idle + 1;
        job_wait(more ? TIME_PAST : 0);
    }
}
