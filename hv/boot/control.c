/* SPDX-License-Identifier: MIT */
/*
 * The one domain that the core builds: the control domain, from boot module 0 (a PVH ELF), as any builder would: RAM at 0,
 * start info (<xen/arch-x86/hvm/start_info.h>) below 0x9000, image where its segments say. Module 1, the boot bundle, is
 * mapped read-only at 1 GiB, in place. Both modules' memory stays the core's, so the domain is built again from them when it is dead.
 *
 * That is done in steps, from a timer: whatever the CPU does, it comes to it soon, and guests have the time between the steps. A
 * step holds the domain's op_lock, which all that is static here is under. Until there is a next instance, who crashes in the meantime is
 * looked after: a device of a dead driver writes nowhere. The rest of that domain's restart is the next instance's.
 */
#include "boot/boot.h"
#include <layout.h>
#include <xen/xen.h>
#include <xen/arch-x86/hvm/start_info.h>
#include "boot/elf.h"
#include "base/print.h"
#include "base/string.h"
#include "mem/frame.h"
#include "mem/gcopy.h"
#include "domain/domain.h"
#include "sched/sched.h"
#include "virt/virt.h"

#define MODLIST_GPA 0x1100ull
#define MEMMAP_GPA  0x1200ull
#define IMAGE_LOW   0x10000ull /* segments may begin here */
#define LOAD_PIECE  0x10000ull /* of the image, between two looks at must_yield */
#define KEEP_SHARE  8u         /* of its RAM, so much are keep pages */

#define STEP_NS    (50 * NS_PER_US) /* guests' time after a step */
#define LOOK_NS    NS_PER_MS        /* while there is nothing to do but to wait */
#define SERVED_NS  NS_PER_S /* an instance that served so long begins the count of deaths anew */
#define AT_ONCE    3u       /* so many rebuilds in a row, before any is waited for */
#define LONGEST_NS (60 * NS_PER_S)

static struct elf_plan plan; /* of module 0, checked at the boot */

static uint64_t pages(void) { return cmdline.ctl_mem >> PAGE_SHIFT; }
static uint32_t keep_pages(void) { return (uint32_t)(pages() / KEEP_SHARE); }
static uint64_t keep_gfn(void) { return BH_SVC_KEEP_GFN(pages(), keep_pages()); }

static int refuse(const char *what, const char *why)
{
    log_err("%s: %s", what, why);
    return -EINVAL;
}

static int create(struct domain **d)
{
    struct bh_create c = { .domid = BH_DOMID_CONTROL,
                           .role = BH_ROLE_CONTROL,
                           .flags = BH_CREATE_RESTARTABLE,
                           .nr_vcpus = 1,
                           .max_pages = pages(),
                           .keep_gfn = keep_gfn(),
                           .nr_keep = keep_pages(),
                           .name = "control" };
    uint64_t done = 0;
    int rc = domain_create(&c, d);
    if (rc) {
        log_err("control domain: cannot be created (error %d)", -rc);
        return rc;
    }
    do
        rc = domain_populate(*d, 0, c.max_pages, &done);
    while (rc == HC_AGAIN);
    if (rc) {
        log_err("control domain: only %lu of %lu MiB (error %d); ctl_mem= sets its size", done >> 8,
                (unsigned long)c.max_pages >> 8, -rc);
        return rc;
    }
    /* Like any other service's slot, though who is at the other end does not exist yet. */
    struct bh_setup_rings r = { .console_domid = BH_DOMID_CONTROL,
                                .store_domid = BH_DOMID_STORE,
                                .console_gfn = BH_SVC_CONSOLE_GFN(pages()),
                                .store_gfn = BH_SVC_STORE_GFN(pages()) };
    return domain_setup_rings(*d, &r);
}

/* Fresh RAM is zero already, so what a segment has beyond its file bytes is too. *done bytes of all segments are there. HC_AGAIN until all are. */
static int load_image(struct domain *d, uint64_t *done)
{
    const uint8_t *image = maddr_to_virt(MADDR(boot_info.module[0].start));
    uint64_t before = 0;

    for (unsigned i = 0; i < plan.nr; before += plan.seg[i++].file_size) {
        const struct elf_segment *s = &plan.seg[i];
        while (*done < before + s->file_size) {
            uint64_t at = *done - before, n = MIN(s->file_size - at, LOAD_PIECE);
            if (gphys_write(d, s->paddr + at, image + s->offset + at, n))
                return refuse("control domain", "its image cannot be written");
            *done += n;
            if (must_yield())
                return HC_AGAIN;
        }
    }
    return 0;
}

static int map_bundle(struct domain *d, const struct boot_range *m)
{
    uint64_t first = m->start >> PAGE_SHIFT,
             nr = ROUND_UP(m->end - m->start, PAGE_SIZE) >> PAGE_SHIFT;
    if (frame_promise(d, 0, nr / 512 + 4))
        return refuse("control domain", "no memory to map the boot bundle");
    for (uint64_t i = 0; i < nr;) {
        uint64_t big = 1ull << ORDER_2M;
        unsigned order = nr - i >= big && !((first + i) & (big - 1)) && !(i & (big - 1)) ? ORDER_2M
                                                                                         : 0;
        int rc = p2m_set(d, GFN((BH_SVC_BUNDLE >> PAGE_SHIFT) + i), MFN(first + i), order,
                         P2M_RAM_RO);
        if (rc)
            return refuse("control domain", "no memory to map the boot bundle");
        i += 1ull << order;
    }
    return 0;
}

static int write_start_info(struct domain *d)
{
    static const uint32_t magic = XEN_HVM_START_MAGIC_VALUE;
    const struct boot_range *bundle = boot_info.nr_modules > 1 ? &boot_info.module[1] : NULL;
    char text[512];
    struct hvm_start_info si = { .magic = magic,
                                 .version = 1,
                                 .nr_modules = bundle ? 1 : 0,
                                 .modlist_paddr = MODLIST_GPA,
                                 .cmdline_paddr = BH_SVC_CMDLINE,
                                 .memmap_paddr = MEMMAP_GPA,
                                 .memmap_entries = 1 };
    struct hvm_memmap_table_entry map = { .size = cmdline.ctl_mem, .type = XEN_HVM_MEMMAP_TYPE_RAM };
    struct hvm_modlist_entry mod = { .paddr = BH_SVC_BUNDLE,
                                     .size = bundle ? bundle->end - bundle->start : 0 };
    snprintf(text, sizeof text, "domid=%u name=control ram=%lu boot=0 keep=%lu:%u instance=%lu %s",
             BH_DOMID_CONTROL, cmdline.ctl_mem, d->keep_gfn, d->nr_keep, d->instance,
             boot_info.module_args[0]);
    if (gphys_write(d, BH_SVC_BOOT, &si, sizeof si) || gphys_write(d, MEMMAP_GPA, &map, sizeof map) ||
        gphys_write(d, MODLIST_GPA, &mod, sizeof mod) ||
        gphys_write(d, BH_SVC_CMDLINE, text, strlen(text) + 1))
        return refuse("control domain", "its start info cannot be written");
    return 0;
}

static int begin(struct domain *d)
{
    int rc = write_start_info(d);

    if (rc)
        return rc;
    virt->set_pvh_entry(d->vcpu[0], plan.entry, BH_SVC_BOOT);
    return domain_start(d);
}

/* --- again ------------------------------------------------------------------------------------------------------ */
static struct timer step_timer;
static enum { ALIVE, DEAD, LOADING } phase;
static unsigned deaths;      /* in a row, of instances that served no time worth mentioning */
static uint64_t due, loaded; /* DEAD: when it is built again; LOADING: bytes */
static uint32_t news;        /* a: somebody ended, whom fence_dead has not seen */

/* An instance died, or could not be built. */
static void put_off(void)
{
    uint64_t wait = deaths < AT_ONCE ? 0 : MIN(NS_PER_S << MIN(deaths - AT_ONCE, 6u), LONGEST_NS);

    deaths++;
    due = now_ns() + wait;
    phase = DEAD;
    log_warn("the control domain is built again in %lu s (death %u in a row)",
             (unsigned long)(wait / NS_PER_S), deaths);
}

/* Who marks it dead holds the lock until the time of that stands there, too. */
static bool served(struct domain *d)
{
    spin_lock(&d->lock);
    bool long_enough = d->adopted && d->crash_ns - d->adopted_ns >= SERVED_NS;
    spin_unlock(&d->lock);
    return long_enough;
}

/* 0: it runs. HC_AGAIN: soon again. -EBUSY: later. */
static int step(struct domain *d)
{
    int rc = 0;

    if (phase == ALIVE) {
        if (d->ordered || served(d))
            deaths = 0;
        put_off();
    }
    if (phase == DEAD) {
        if (now_ns() < due)
            return -EBUSY;
        rc = domain_restart(d, 0);
        if (!rc) {
            phase = LOADING;
            loaded = 0;
        }
    }
    if (!rc)
        rc = load_image(d, &loaded);
    if (rc == HC_AGAIN)
        return rc;
    phase = ALIVE; /* before it can die */
    if (!rc)
        rc = begin(d);
    if (rc)
        put_off();
    return rc ? -EBUSY : 0;
}

/* The devices of those that crashed. True: not all, one is not out of the core yet. */
static bool fence_dead(void)
{
    struct domain *d;
    bool more = false;

    for (domid_t id = BH_DOMID_CONTROL + 1; (d = domain_get_next(id)) != NULL; domain_put(d)) {
        id = (domid_t)(d->id + 1);
        bool mine = spin_trylock(&d->op_lock);
        more |= !mine || domain_fence_dma(d) == HC_AGAIN;
        if (mine)
            spin_unlock(&d->op_lock);
        if (must_yield()) { /* those that are fenced cost nothing at the next look */
            domain_put(d);
            return true;
        }
    }
    return more;
}

static void look(struct timer *t)
{
    struct domain *d = control_domain;
    int rc = HC_AGAIN;

    if (spin_trylock(&d->op_lock)) { /* else another CPU is here */
        sched_begin_op();
        bool dead = d->state != BH_DOM_RUNNING;
        if (dead && __atomic_exchange_n(&news, 0, __ATOMIC_ACQ_REL) && fence_dead())
            WRITE_ONCE(news, 1);
        rc = dead ? step(d) : 0;
        spin_unlock(&d->op_lock);
    }
    if (rc)
        timer_set(t, now_ns() + (rc == HC_AGAIN ? STEP_NS : LOOK_NS));
}

static void nobody_looks(void)
{
    __atomic_store_n(&news, 1, __ATOMIC_RELEASE);
    timer_set(&step_timer, now_ns());
}

/* --- the first time --------------------------------------------------------------------------------------------- */
int control_domain_build(void)
{
    struct domain *d;
    uint64_t done = 0;
    const struct boot_range *m = &boot_info.module[0];
    if (!boot_info.nr_modules || m->end == m->start)
        return refuse("no control domain", "the loader gave no module");
    const char *why = elf_check(maddr_to_virt(MADDR(m->start)), m->end - m->start, IMAGE_LOW,
                                keep_gfn() << PAGE_SHIFT, &plan);
    if (why)
        return refuse("no control domain: module 0", why);
    int rc = create(&d);
    while (!rc && (rc = load_image(d, &done)) == HC_AGAIN)
        rc = 0;
    if (!rc && boot_info.nr_modules > 1)
        rc = map_bundle(d, &boot_info.module[1]);
    else if (!rc)
        log_warn("no boot bundle: the loader gave one module");
    if (rc)
        return rc;
    timer_setup(&step_timer, look);
    domain_listen(nobody_looks);
    log_info("control domain: %lu MiB, entry %lx, bundle %lu KiB", cmdline.ctl_mem >> 20,
             plan.entry, (boot_info.module[1].end - boot_info.module[1].start) >> 10);
    return begin(d);
}
