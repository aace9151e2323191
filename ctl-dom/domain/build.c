/* SPDX-License-Identifier: MIT */
/* What the core is asked for in what order: CREATE, POPULATE, WRITE, PROTECT, SETUP_RINGS, SET_ENTRY; see <ops.def>. Images come in pieces and go to the domain's
 * memory as they pass, pages of zeroes not at all. */
#include "domain/build.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>
#include <xen/xen.h>
#include "bundle/kept.h"
#include "domain/acpi.h"
#include "domain/bridge.h"
#include "domain/elf.h"
#include "domain/identity.h"
#include "domain/load.h"
#include "domain/slots.h"
#include "domain/start_info.h"
#include "job/job.h"

#define PIECE   (256 * MIB) /* of memory that the core is asked for at once */
#define BREATHE 32768u      /* bytes of an image: as much as inflate gives at once */

int guest_write(domid_t id, uint64_t gpa, const void *src, size_t len)
{
    struct bh_write w = { .domid = id, .gpa = gpa, .src = (uint64_t)src, .len = len };

    while (w.len) {
        long done = bh_ctl_write(&w);
        if (done <= 0)
            return done ? (int)done : -EFAULT;
        w.gpa += (uint64_t)done;
        w.src += (uint64_t)done;
        w.len -= (uint64_t)done;
    }
    return 0;
}

/* Populated RAM is zeroed, so a block of zeroes needs no copy: a third of a kernel's file is its
 * bss. */
static int guest_write_sparse(domid_t id, uint64_t gpa, const void *src, size_t len)
{
    const uint8_t *p = src;
    size_t pending = 0; /* bytes before p + at that are to be written */

    for (size_t at = 0; at < len;) {
        size_t block = len - at < PAGE_SIZE ? len - at : PAGE_SIZE;
        if (p != zero_page && memcmp(p + at, zero_page, block)) {
            pending += block;
        } else if (pending) {
            int rc = guest_write(id, gpa + at - pending, p + at - pending, pending);
            if (rc)
                return rc;
            pending = 0;
        }
        at += block;
    }
    return pending ? guest_write(id, gpa + len - pending, p + len - pending, pending) : 0;
}

/* --- memory ----------------------------------------------------------------------------------- */
static int populate(struct dom *d, uint64_t from, uint64_t bytes, struct errbuf *e)
{
    long rc = 0;

    /* In pieces: others go on meanwhile, and nobody takes a large one for a hang of ours. */
    for (uint64_t at = 0, n; !rc && at < bytes; at += n) {
        n = bytes - at < PIECE ? bytes - at : PIECE;
        struct bh_populate p = { .domid = d->id,
                                 .flags = from == SPECIAL_GPA ? BH_POPULATE_RESERVED : 0,
                                 .gfn = (from + at) >> PAGE_SHIFT,
                                 .nr = n >> PAGE_SHIFT };
        rc = bh_ctl_populate(&p);
        if (rc < 0)
            return fail(e, (int)rc, "%s: no memory: %s after %lu of %lu MiB", d->cfg.name,
                        errno_text((int)rc), (at >> 20) + (p.done >> 8), bytes >> 20);
        if (at + n < bytes)
            job_breathe();
    }
    return 0;
}

static uint64_t mib_up(uint64_t pages) { return (pages + 255) >> 8; }

static int check_room(const struct bh_create *c, struct errbuf *e)
{
    struct bh_sysinfo si = { 0 };
    uint64_t own = bh_allowance(c), want = c->max_pages + own;

    if (bh_ctl_sysinfo(&si) || want <= si.free_pages + si.dirty_pages)
        return 0;
    return fail(e, -ENOMEM,
                "%s: memory: %lu MiB wanted, with %lu for the core's tables; %lu free, %lu are missing",
                c->name, mib_up(want), mib_up(own), (si.free_pages + si.dirty_pages) >> 8,
                mib_up(want - si.free_pages - si.dirty_pages));
}

uint64_t build_pages(const struct dom *d)
{
    return (d->cfg.memory_mb * MIB >> PAGE_SHIFT) + (d->cfg.kernel[0] ? SPECIAL_PAGES : 0);
}

long build_limit(const struct dom *d, uint64_t limit)
{
    struct bh_max_pages m = { .domid = d->id, .pages = limit };

    return bh_ctl_max_pages(&m);
}

/* --- a service domain: the standard layout of bulkhead.h and docs ----------------------------- */
static uint64_t seg_end(const struct svc_seg *s)
{
    return (s->gpa + s->len + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

/* Code and constants stay where they are over restarts: nothing to copy, and nobody can have
 * changed them. False if that is not so, also where a page of them is shared with data. */
static bool protect(const struct dom *d)
{
    const struct svc_image *img = d->img;

    for (unsigned i = 0; i < img->nr_segs; i++) {
        const struct svc_seg *s = &img->seg[i];
        struct bh_protect p = { .domid = d->id, .gfn = s->gpa >> PAGE_SHIFT };
        p.nr = seg_end(s) - p.gfn;
        for (unsigned j = 0; j < img->nr_segs; j++)
            if (img->seg[j].writable && img->seg[j].gpa >> PAGE_SHIFT < p.gfn + p.nr &&
                seg_end(&img->seg[j]) > p.gfn && !s->writable)
                return false;
        if (!s->writable && bh_ctl_protect(&p))
            return false;
    }
    return true;
}

int service_write(struct dom *d)
{
    char bridges[BRIDGES_WORD];

    bridges_word(&d->cfg, bridges, sizeof(bridges)); /* their NICs come and go */
    service_cmdline(d, bridges, (char *)d->boot_block + PAGE_SIZE, PAGE_SIZE);
    int rc = guest_write(d->id, BH_SVC_BOOT, d->boot_block, BOOT_BLOCK);

    for (unsigned i = 0; !rc && i < d->img->nr_segs; i++) {
        const struct svc_seg *s = &d->img->seg[i];
        if (s->writable || !d->kept)
            rc = guest_write(d->id, s->gpa, s->src, s->len);
    }
    if (!rc && !d->kept)
        d->kept = protect(d);
    return rc;
}

static uint64_t pages(const struct domcfg *c) { return c->memory_mb * MIB >> PAGE_SHIFT; }
static uint64_t keep_gfn(const struct domcfg *c) { return BH_SVC_KEEP_GFN(pages(c), c->keep); }
static uint64_t table_pages(const struct domcfg *c)
{
    return c->role == BH_ROLE_DRIVER ? SLOT_PAGES : 0;
}
static uint64_t table_gfn(const struct domcfg *c)
{
    return BH_SVC_TABLE_GFN(pages(c), c->keep, table_pages(c));
}

static void words_fill(struct dom *d)
{
    size_t at = strlen(d->words);

    at += (size_t)snprintf(d->words + at, sizeof(d->words) - at, "domid=%u name=%s ram=%lu", d->id,
                           d->cfg.name, d->cfg.memory_mb * MIB);
    if (d->cfg.keep)
        at += (size_t)snprintf(d->words + at, sizeof(d->words) - at, " keep=%lu:%u",
                               keep_gfn(&d->cfg), d->cfg.keep);
    if (table_pages(&d->cfg))
        at += (size_t)snprintf(d->words + at, sizeof(d->words) - at, " table=%lu:%lu",
                               table_gfn(&d->cfg), table_pages(&d->cfg));
    if (d->cfg.mtu)
        at += (size_t)snprintf(d->words + at, sizeof(d->words) - at, " mtu=%u", d->cfg.mtu);
    if (d->cfg.deadline_ms)
        snprintf(d->words + at, sizeof(d->words) - at, " deadline=%u", d->cfg.deadline_ms);
}

int build_boot_block(struct dom *d)
{
    struct boot_map map = { .gpa = BH_SVC_BOOT, .ram_bytes = d->cfg.memory_mb * MIB };

    d->boot_block = malloc(BOOT_BLOCK);
    if (d->boot_block)
        boot_block_fill(d->boot_block, &map, "");
    return d->boot_block ? 0 : -ENOMEM;
}

int build_fits(const struct dom *d, const struct svc_image *img, struct errbuf *e)
{
    return img->high <= table_gfn(&d->cfg) << PAGE_SHIFT
               ? 0
               : fail(e, -ENOMEM, "%s: memory: image '%s' does not fit into %u MiB", d->cfg.name,
                      img->name, d->cfg.memory_mb);
}

int build_service(struct dom *d, struct errbuf *e)
{
    int rc = build_fits(d, d->img, e);
    if (rc)
        return rc;
    d->store_gfn = BH_SVC_STORE_GFN(pages(&d->cfg));
    d->console_gfn = BH_SVC_CONSOLE_GFN(pages(&d->cfg));
    words_fill(d);
    rc = populate(d, 0, d->cfg.memory_mb * MIB, e);
    if (rc)
        return rc;
    if (build_boot_block(d))
        return fail(e, -ENOMEM, "%s: out of memory", d->cfg.name);
    rc = service_write(d);
    if (!rc && table_pages(&d->cfg))
        rc = slots_init(d, table_gfn(&d->cfg));
    return rc ? fail(e, rc, "%s: cannot be written: %s", d->cfg.name, errno_text(rc)) : 0;
}

/* --- a guest ---------------------------------------------------------------------------------- */
struct load {
    struct dom *d;
    int rc; /* of what was done with the bytes; the bundle's own errors come with a line */
    struct elf_stream *elf;
    uint64_t gpa;  /* ramdisk: where the next piece goes */
    uint64_t left; /* ramdisk: room */
    size_t quiet;  /* bytes since others went on */
};

/* A driver domain that crashes meanwhile is restarted meanwhile. Pieces may be single pages: the clock is not read for each. */
static void load_breathe(struct load *l, size_t len)
{
    l->quiet += len;
    if (l->quiet < BREATHE)
        return;
    l->quiet = 0;
    job_breathe();
}

static int write_segment(void *arg, uint64_t gpa, const void *src, size_t len)
{
    return guest_write_sparse(((struct dom *)arg)->id, gpa, src, len);
}

static int kernel_sink(void *arg, const void *data, size_t len)
{
    struct load *l = arg;

    l->rc = elf_feed(l->elf, data, len);
    load_breathe(l, len);
    return l->rc;
}

/* Nothing but what the image needs bounds a guest's memory from below. */
static int needs_more(const struct dom *d, uint64_t bytes, struct errbuf *e)
{
    uint64_t mib = (bytes + MIB - 1) / MIB;

    if (mib > LOW_RAM_END / MIB)
        return fail(e, -ENOMEM, "%s: kernel '%s' ends above 3 GiB", d->cfg.name, d->cfg.kernel);
    return fail(e, -ENOMEM, "%s: memory: kernel '%s' needs %lu MiB, %u are given", d->cfg.name,
                d->cfg.kernel, mib, config_most_mb(&d->cfg));
}

static bool has_file(const struct domcfg *cfg, const char *key, const char *name,
                     struct boot_file *file, struct errbuf *e)
{
    if (boot_file_find(file, name))
        return true;
    fail(e, -ENOENT, "%s: %s '%s' is not in the bundle", cfg->name, key, name);
    return false;
}

int build_files(const struct domcfg *cfg, struct errbuf *e)
{
    struct boot_file file;

    if ((cfg->kernel[0] && !has_file(cfg, "kernel", cfg->kernel, &file, e)) ||
        (cfg->ramdisk[0] && !has_file(cfg, "ramdisk", cfg->ramdisk, &file, e)))
        return -ENOENT;
    return 0;
}

static uint64_t page_up(uint64_t x) { return (x + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1); }

static int load_kernel(struct dom *d, uint64_t limit, uint64_t *entry, uint64_t *high,
                       struct errbuf *e)
{
    struct load l = { .d = d, .elf = malloc(sizeof(*l.elf)) };
    struct boot_file file;
    char why[200];
    int rc;

    if (!has_file(&d->cfg, "kernel", d->cfg.kernel, &file, e)) {
        rc = -ENOENT;
    } else if (!l.elf) {
        rc = fail(e, -ENOMEM, "%s: out of memory", d->cfg.name);
    } else {
        elf_begin(l.elf, write_segment, d, limit);
        rc = boot_file_stream(&file, kernel_sink, &l, why, sizeof(why));
        bool ours = !rc || l.rc;
        if (!rc)
            rc = elf_end(l.elf);
        if (rc && l.elf->need)
            rc = needs_more(d, boot_block_at(l.elf->need) + BOOT_BLOCK, e);
        else if (rc && l.elf->why)
            fail(e, rc, "%s: kernel '%s' %s", d->cfg.name, d->cfg.kernel, l.elf->why);
        else if (rc && ours)
            fail(e, rc, "%s: kernel '%s': %s", d->cfg.name, d->cfg.kernel, errno_text(rc));
        else if (rc)
            fail(e, rc, "%s: %s", d->cfg.name, why);
        *entry = l.elf->entry;
        *high = boot_block_at(l.elf->high);
        if (!rc && *high + BOOT_BLOCK > limit)
            rc = needs_more(d, *high + BOOT_BLOCK, e);
    }
    free(l.elf);
    return rc;
}

static int ramdisk_sink(void *arg, const void *data, size_t len)
{
    struct load *l = arg;

    l->rc = len > l->left ? -E2BIG : guest_write_sparse(l->d->id, l->gpa, data, len);
    if (l->rc)
        return l->rc;
    l->gpa += len;
    l->left -= len;
    load_breathe(l, len);
    return 0;
}

static int load_ramdisk(struct dom *d, uint64_t above, uint64_t top, struct boot_map *map,
                        struct errbuf *e)
{
    struct boot_file file;
    char why[200];

    if (!has_file(&d->cfg, "ramdisk", d->cfg.ramdisk, &file, e))
        return -ENOENT;
    uint64_t room = top > above ? top - above : 0, size = page_up(file.len);
    if (size > room)
        return fail(e, -ENOMEM, "%s: memory: kernel and ramdisk '%s' need %lu MiB, %u are given",
                    d->cfg.name, d->cfg.ramdisk, (above + size + MIB - 1) / MIB,
                    config_most_mb(&d->cfg));
    struct load l = { .d = d, .gpa = top - size, .left = file.len };
    map->module_gpa = top - size;
    map->module_len = file.len;
    int rc = boot_file_stream(&file, ramdisk_sink, &l, why, sizeof(why));
    if (rc && !l.rc)
        return fail(e, rc, "%s: %s", d->cfg.name, why);
    if (!rc && l.left)
        rc = -EBADMSG;
    return rc ? fail(e, rc, "%s: ramdisk '%s': %s", d->cfg.name, d->cfg.ramdisk, errno_text(rc)) : 0;
}

int build_guest(struct dom *d, struct bh_entry *entry, struct errbuf *e)
{
    struct boot_map map = { .guest = true,
                            .ram_bytes = config_most_mb(&d->cfg) * MIB,
                            .rsdp = SPECIAL_GPA };
    uint64_t low = map.ram_bytes < LOW_RAM_END ? map.ram_bytes : LOW_RAM_END;
    uint8_t *buf = malloc(ACPI_PAGES * PAGE_SIZE);
    int rc;

    if (!buf)
        return fail(e, -ENOMEM, "%s: out of memory", d->cfg.name);
    d->console_gfn = CONSOLE_GPA >> PAGE_SHIFT;
    d->store_gfn = XENSTORE_GPA >> PAGE_SHIFT;
    rc = populate(d, 0, low, e);
    if (!rc)
        rc = populate(d, SPECIAL_GPA, SPECIAL_PAGES * PAGE_SIZE, e);
    if (!rc)
        rc = populate(d, 1ul << 32, map.ram_bytes - low, e);
    if (!rc)
        rc = load_kernel(d, low, &entry->eip, &map.gpa, e);
    /* Linux reads the ramdisk's place from low memory; the top of it is what nothing else wants at
     * boot. */
    if (!rc && d->cfg.ramdisk[0])
        rc = load_ramdisk(d, map.gpa + BOOT_BLOCK, low, &map, e);
    if (!rc) {
        char text[sizeof(d->cfg.cmdline) + 16];
        size_t len = acpi_build(buf, ACPI_PAGES * PAGE_SIZE, SPECIAL_GPA,
                                config_most_vcpus(&d->cfg), d->cfg.nr_pci);
        rc = guest_write(d->id, SPECIAL_GPA, buf, len);
        guest_cmdline(d, text, sizeof(text));
        boot_block_fill(buf, &map, text);
        if (!rc)
            rc = guest_write(d->id, map.gpa, buf, BOOT_BLOCK);
        entry->ebx = map.gpa;
        if (rc)
            fail(e, rc, "%s: cannot be written: %s", d->cfg.name, errno_text(rc));
    }
    free(buf);
    /* All of its map is there: Linux finds out at its start that it is to have less, and gives the rest back; that it does not get again. */
    if (!rc && d->cfg.memory_mb < config_most_mb(&d->cfg) &&
        (rc = (int)build_limit(d, build_pages(d))))
        fail(e, rc, "%s: limit: %s", d->cfg.name, errno_text(rc));
    return rc;
}

/* --- its frame in the core ---------------------------------------------------------------------- */
int build_rings(struct dom *d, struct errbuf *e)
{
    struct bh_setup_rings r = {
        .domid = d->id,
        .console_domid = BH_DOMID_CONTROL,
        .store_domid = BH_DOMID_STORE,
        .console_gfn = d->console_gfn,
        .store_gfn = d->store_gfn,
    };
    long rc = bh_ctl_setup_rings(&r);

    d->console_port = r.console_port;
    d->store_port = r.store_port;
    return rc ? fail(e, (int)rc, "%s: rings: %s", d->cfg.name, errno_text((int)rc)) : 0;
}

static int32_t clock_offset(const struct domcfg *cfg)
{
    static struct bh_sysinfo si;

    if (cfg->localtime)
        bh_ctl_sysinfo(&si);
    return cfg->rtc_timeoffset + (cfg->localtime ? si.rtc_offset : 0);
}

/* What the core is asked for, less what it is called there and since when. */
static struct bh_create in_core(const struct domcfg *cfg)
{
    struct bh_create c = { .role = (uint8_t)cfg->role, .nr_vcpus = (uint8_t)config_most_vcpus(cfg) };
    uint64_t ram = config_most_mb(cfg) * MIB >> PAGE_SHIFT;

    c.max_pages = ram + (cfg->kernel[0] ? SPECIAL_PAGES : 0);
    if (cfg->role != BH_ROLE_GUEST) {
        c.flags = BH_CREATE_RESTARTABLE;
        c.nr_keep = cfg->keep;
        c.keep_gfn = cfg->keep ? keep_gfn(cfg) : 0;
        c.table_gfn = table_gfn(cfg);
        c.nr_table = (uint32_t)table_pages(cfg);
    }
    memcpy(c.name, cfg->name, sizeof(c.name));
    return c;
}

int build_room(const struct domcfg *cfg, struct errbuf *e)
{
    struct bh_create c = in_core(cfg);

    return check_room(&c, e);
}

int build_begin(const struct domcfg *cfg, struct dom **out, struct errbuf *e)
{
    struct bh_create c = in_core(cfg);
    int room = check_room(&c, e);

    if (room)
        return room;
    c.domid = slot_for(cfg);
    if (c.domid == NO_DOMID)
        return fail(e, -ENOSPC, "%s: every slot for service domains has another name", cfg->name);
    memcpy(c.uuid, cfg->uuid, sizeof(c.uuid));
    c.clock_offset = clock_offset(cfg);
    if (uuid_is_null(c.uuid))
        uuid_make(c.uuid);
    long rc = bh_ctl_create(&c);
    if (rc)
        return fail(e, (int)rc, "%s: the core refuses it: %s", cfg->name, errno_text((int)rc));
    *out = dom_new(c.domid, cfg);
    if (*out) {
        (*out)->slot = c.flags & BH_CREATE_RESTARTABLE;
        memcpy((*out)->cfg.uuid, c.uuid, sizeof(c.uuid));
        identity_fill(*out);
        return 0;
    }
    struct bh_domid id = { .domid = c.domid };
    bh_ctl_destroy(&id);
    return fail(e, -ENOMEM, "%s: out of memory", cfg->name);
}
