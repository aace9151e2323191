// SPDX-License-Identifier: MIT
// LINK: ctl-dom/shell/update.c ctl-dom/shell/named.c ctl-dom/supervise/update.c ctl-dom/domain/records.c ctl-dom/config/config.c ctl-dom/config/config_pci.c ctl-dom/config/config_cpus.c ctl-dom/config/config_cmdline.c ctl-dom/config/findings.c ctl-dom/config/known.c ctl-dom/config/settings.c ctl-dom/config/settings_text.c ctl-dom/config/settings_value.c ctl-dom/config/config_bridge.c ctl-dom/config/config_vnet.c domains/devname.c ctl-dom/config/config_vif.c ctl-dom/config/config_disk.c ctl-dom/domain/error.c
// FLAGS: -Ictl-dom -Idomains/include -luuid
// config-update with the real parser: what is refused, what is kept for the next start, and which command does what of it now.
#include <errno.h>
#include "unit.h"
#include "console/console.h"
#include "domain/build.h"
#include "domain/identity.h"
#include "domain/load.h"
#include "run_command.h"
#include "screen.h"
#include "store/devices.h"
#include "supervise/update.h"

struct bh_self self;
static struct dom web, net0;
struct dom *doms = &net0;

uint64_t now_ns(void) { return 1; }
long hypercall(unsigned nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d) { return -ENOSYS; }
struct dom *dom_by_id(domid_t id) { return id == 16 ? &web : NULL; }
struct dom *dom_find(const char *name, struct errbuf *e)
{
    struct dom *d = !strcmp(name, web.cfg.name) ? &web : !strcmp(name, "net0") ? &net0 : NULL;

    if (!d)
        fail(e, -ENOENT, "%s: no such domain", name);
    return d;
}

static const char text[] =
    "name = \"other\"\nmemory = 300\nvcpus = 2\nkernel = \"k\"\n"
    "vif = [ 'bridge=net0' ]\ndisk = [ 'phy:blk0:1,xvda,w', 'phy:blk0:2,xvdb,r' ]\nextra = \"quiet\"\n";
int config_make(struct domcfg *c, const char *name, int nr_words, char *const *words,
                struct findings *found, struct errbuf *e)
{
    memset(found, 0, sizeof(*found));
    if (strcmp(name, "web.cfg") != 0)
        return fail(e, -ENOENT, "%s: no such configuration in the bundle", name);
    return config_read(c, name, text, sizeof(text) - 1, nr_words, words, found);
}
void command_findings(const struct findings *found, const char *why)
{
    for (unsigned i = 0; i < found->n; i++)
        out("%s\n", found->at[i].text);
    if (!found->errors && *why)
        out("%s\n", why);
}
int build_files(const struct domcfg *cfg, struct errbuf *e)
{
    return cfg->kernel[0] == 'k' ? 0 : fail(e, -ENOENT, "%s: no kernel '%s'", cfg->name, cfg->kernel);
}
int identity_check_next(const struct domcfg *cfg, const struct dom *d, struct errbuf *e)
{
    assert_ptr_equal(d, &web);
    return 0;
}
int devs_served(const struct domcfg *cfg, struct errbuf *e)
{
    if (!cfg->nr_disks || strcmp(cfg->disk[0].backend, "gone") != 0)
        return 0;
    return fail(e, -ENOENT, "%s: disk xvda: no block driver domain gone", cfg->name);
}

int setup(void **state)
{
    char why[160];

    update_forget(&web);
    web = (struct dom){ .id = 16,
                        .cfg = { .name = "web",
                                 .uuid = { 7 },
                                 .role = BH_ROLE_GUEST,
                                 .kernel = "k",
                                 .memory_mb = 256,
                                 .maxmem_mb = 512,
                                 .vcpus = 1,
                                 .cpu_weight = 256,
                                 .nr_disks = 1 } };
    net0 = (struct dom){ .id = 4, .cfg = { .name = "net0", .role = BH_ROLE_DRIVER } };
    assert_int_equal(config_disk(&web.cfg.disk[0], "phy:blk0:1,xvda,w", why, sizeof(why)), 0);
    screen[0] = '\0';
    return 0;
}
static const struct domcfg *next(void)
{
    static struct domcfg c;

    update_next(&web, &c);
    return &c;
}
#define SAYS(says, ...)                                                                \
    do {                                                                               \
        screen[0] = '\0';                                                              \
        assert_true(RUN(update_commands, "config-update" __VA_OPT__(, ) __VA_ARGS__)); \
        assert_string_equal(screen, says);                                             \
    } while (0)
#define NEXT "web: from its next start on (reboot web)\n"

TEST(keys_of_its_own)
{
    SAYS(NEXT "  memory, now: mem-set web 400\n", "web", "memory=400");
    assert_int_equal(next()->memory_mb, 400);
    assert_int_equal(web.cfg.memory_mb, 256); /* now it is as it was */
    /* the next words change what the last ones made */
    SAYS(NEXT "  memory, now: mem-set web 400\n"
              "  vCPUs: 2 are more than it can have in this life\n"
              "  weight and cap, now: sched-credit2 -d web -w 512 -c 50\n",
         "web", "vcpus=2", "cpu_weight=512", "cap=50");
    assert_int_equal(next()->cap, 50);
    SAYS(NEXT "  memory: 600 MiB are more than it can have in this life\n", "web", "memory=600",
         "maxmem=700", "vcpus=1", "cpu_weight=256", "cap=0");
    assert_true(!strcmp(next()->name, "web") && next()->uuid[0] == 7);
    strcpy(web.cfg.name, "www"); /* a rename since */
    assert_string_equal(next()->name, "www");
}

TEST(a_file)
{
    static const uint8_t its[6] = { 0, 0x16, 0x3e, 0x80, 1, 2 }; /* made for it */

    web.cfg.nr_vifs = 1;
    strcpy(web.cfg.vif[0].bridge, "net0");
    memcpy(web.cfg.vif[0].mac, its, 6);
    SAYS("web: keeps its name (rename)\n" NEXT "  memory, now: mem-set web 350\n"
         "  vCPUs: 2 are more than it can have in this life\n"
         "  disk xvdb, now: block-attach web phy:blk0:2,xvdb,r\n"
         "  kernel k 'quiet'\n",
         "web", "/etc/xen/web.cfg", "memory=350");
    assert_true(next()->nr_disks == 2 && next()->memory_mb == 350 && next()->uuid[0] == 7);
    assert_memory_equal(next()->vif[0].mac, its, 6);
    SAYS(NEXT "  memory, now: mem-set web 350\n"
              "  vCPUs: 2 are more than it can have in this life\n"
              "  disk xvdb, now: block-attach web phy:blk0:2,xvdb,r\n"
              "  without vif 00:16:3e:80:01:02, now: network-detach web 00:16:3e:80:01:02\n"
              "  another vif, now: network-attach web\n"
              "  kernel k 'quiet'\n",
         "web", "vif=[ 'bridge=net1' ]");
    SAYS("web: from its next start on (reboot web)\n  memory, now: mem-set web 350\n"
         "  vCPUs: 2 are more than it can have in this life\n"
         "  disk xvdb, now: block-attach web phy:blk0:2,xvdb,r\n"
         "  without vif 00:16:3e:80:01:02, now: network-detach web 00:16:3e:80:01:02\n"
         "  kernel k 'quiet'\n",
         "web", "vif=[]");
    web.cfg.nr_vifs = 0;
    SAYS(NEXT "  memory, now: mem-set web 350\n"
              "  vCPUs: 2 are more than it can have in this life\n"
              "  without disk xvda, now: block-detach web xvda\n"
              "  kernel k 'quiet'\n",
         "web", "disk=[]");
}

TEST(disks_that_leave)
{
    web.cfg.disk[0].leaving = true;
    assert_int_equal(next()->nr_disks, 0);
    web.cfg.disk[0].leaving = false;
    SAYS("web: disk xvda: no block driver domain gone; without it it waits then\n" NEXT
         "  without disk xvda, now: block-detach web xvda\n"
         "  disk xvda, now: block-attach web phy:gone:1,xvda,w\n",
         "web", "disk=[ 'phy:gone:1,xvda,w' ]");
    assert_string_equal(next()->disk[0].backend, "gone");
}

/* All that is wrong is said, and nothing changes. */
TEST(refusals)
{
    SAYS(NEXT, "web"); /* as it is now */
    SAYS("memory=no: memory: 'no' is no number\n"
         "colour=red: unknown key 'colour'\n"
         "web: nothing is changed\n",
         "web", "memory=no", "vcpus=2", "colour=red");
    SAYS("web: maxmem is less than memory\nweb: nothing is changed\n", "web", "memory=513");
    SAYS("web: no kernel 'x'\nweb: nothing is changed\n", "web", "kernel=x");
    SAYS("web: a kernel is for role guest only\nweb: nothing is changed\n", "web", "role=driver");
    SAYS("web: stays a guest with a kernel\nweb: nothing is changed\n", "web",
         "kernel=", "image=net");
    SAYS("none: no such configuration in the bundle\nweb: nothing is changed\n", "web", "none");
    SAYS("nobody: no such domain\n", "nobody", "memory=1");
    SAYS("net0: is a service domain: its configuration is the bundle's\n", "net0", "memory=64");
    assert_false(RUN(update_commands, "config-update", "web", "memory=1", "file"));
    assert_false(RUN(update_commands, "config-update"));
    assert_true(next()->memory_mb == 256 && next()->vcpus == 1);
}

/* Its record is nobody else's: who ends takes it along. */
TEST(ends_with_its_guest)
{
    SAYS(NEXT "  memory, now: mem-set web 300\n", "web", "memory=300");
    update_forget(&web);
    assert_int_equal(next()->memory_mb, 256);
}
