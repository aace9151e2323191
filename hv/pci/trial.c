/* SPDX-License-Identifier: MIT */
/*
 * The trial of an IOMMU unit (docs/iommu-trial.md): that it translates a device's DMA, and blocks it, is shown once a boot before anybody
 * depends on it. A driver domain that has served nobody tells its device to write to a place where the machine has nothing; the core
 * maps that place to a frame of its own, which nobody else sees, and so knows itself whether the write arrived. Then the device is blocked, its
 * bus mastering left on, and told to write once more.
 *
 * One trial at a time; one that takes too long gives way to another device's. All here is under pci_lock.
 */
#include "base/print.h"
#include "base/string.h"
#include "mem/frame.h"
#include "pci/iommu/iommu.h"
#include "pci/pci_int.h"
#include "platform/boot_info.h"
#include "platform/cmdline.h"
#include "domain/struct.h"

#define GIB (1ull << 30)
#define LONGEST_NS \
    (8 * NS_PER_S) /* then whoever wants to begin does: a disk may take a minute to find out that it is dead */
#define TURN_NS (100 * NS_PER_MS) /* who waits asks more often */
#define HT_FIRST \
    0xfd00000000ull /* to 2^40: HyperTransport's own on AMD's machines (48882, 2.1.4.2) */
#define HT_END 0x10000000000ull
#define BRIDGE_PREF \
    0x24 /* PCI-to-PCI bridge 1.2, 3.2.5.9: base and limit, 64-bit if bit 0 is set */
#define BRIDGE_PREF_H 0x28 /* upper halves of both */

static struct {
    struct pci_dev *dev; /* NULL: no trial runs */
    struct domain *domain;
    uint64_t window; /* the owner's pages, then the target */
    unsigned nr;     /* of all of them */
    uint64_t since;  /* system time */
    uint64_t *target;
    bool blocked, arrived;
} now;
static struct {
    domid_t last;   /* who began the last trial */
    uint64_t asked; /* system time: when another was told to wait for it */
} turn;

/* Whether p may have DMA. Not while it is tried, also where it need not be: whoever opened its entry again would make the unit one that does
 * not block. */
bool trial_permits(const struct pci_dev *p)
{
    const struct iommu_trial *u = iommu_ops->trial(p->iommu);

    if (p->trial_failed || now.dev == p)
        return false;
    return u->state == TRIAL_PASSED || (u->state == TRIAL_OPEN && !u->doubted && cmdline.iommu_trust);
}

/* Whether p may be given to d as far as its unit goes; the refusals are those of struct bh_assign. */
int trial_check(const struct pci_dev *p, const struct domain *d)
{
    const struct iommu_trial *u = iommu_ops->trial(p->iommu);
    bool disk_or_nic = p->nvme || p->e1000e ||
                       (p->virtio && (p->device == 0x1000 || p->device == 0x1001 ||
                                      p->device == 0x1041 || p->device == 0x1042));

    if (u->state == TRIAL_FAILED || p->trial_failed)
        return -EPERM;
    if (u->state == TRIAL_PASSED ||
        (disk_or_nic && d->role == BH_ROLE_DRIVER)) /* those have drivers that try it */
        return 0;
    return u->doubted ? -EPERM : cmdline.iommu_trust ? 0 : -EAGAIN;
}

/* --- the window ------------------------------------------------------------------------------------------------- */

static bool meets(uint64_t at, uint64_t first, uint64_t end)
{
    return first < at + GIB && at < end;
}

/* The end of a BAR of p, or of what a bridge passes on, that lies in the GiB at `at`; 0: there is none. */
static uint64_t in_the_way(struct pci_dev *p, uint64_t at)
{
    for (unsigned i = 0; i < 6; i++)
        if ((p->bar[i].flags & BAR_MEM) && meets(at, p->bar[i].base, p->bar[i].base + p->bar[i].size))
            return p->bar[i].base + p->bar[i].size;
    if (p->header != 1)
        return 0;
    uint32_t low = pci_read(p, BRIDGE_PREF, 4);
    uint64_t first = (low & 0xfff0u) << 16, last = (low & 0xfff00000u) | 0xfffff;
    if (low & 1) {
        first |= (uint64_t)pci_read(p, BRIDGE_PREF_H, 4) << 32;
        last |= (uint64_t)pci_read(p, BRIDGE_PREF_H + 4, 4) << 32;
    }
    return meets(at, first, last + 1) ? last + 1 : 0;
}

static uint64_t next_obstacle(uint64_t at)
{
    uint64_t end = meets(at, HT_FIRST, HT_END) ? HT_END : 0;

    for (unsigned i = 0; i < boot_info.nr_reserved && !end; i++)
        if (meets(at, boot_info.reserved[i].start, boot_info.reserved[i].end))
            end = boot_info.reserved[i].end;
    for (struct pci_dev *p = pci_devices; p && !end; p = p->next)
        end = in_the_way(p, at);
    return end;
}

/* A GiB above all RAM in which the machine has nothing: guest-physical for the device, and nothing is met where it is not translated.
 * 0: there is no room. */
static uint64_t find_window(const struct domain *d)
{
    uint64_t at = 4 * GIB, end;

    for (unsigned i = 0; i < boot_info.nr_ram; i++)
        at = MAX(at, ROUND_UP(boot_info.ram[i].end, GIB));
    for (; at + GIB <= d->p2m.max_gfn << PAGE_SHIFT; at = ROUND_UP(end, GIB)) {
        end = next_obstacle(at);
        if (!end)
            return at;
    }
    return 0;
}

static int map_one(struct domain *d, uint64_t g, mfn_t m)
{
    spin_lock(&d->iommu->lock);
    int rc = iommu_ops->map(d->iommu, GFN(g), m, 0);
    spin_unlock(&d->iommu->lock);
    return rc;
}

/* The pages that d names, then the target. What is mapped when it fails, trial_stop takes away. */
static int map_window(struct domain *d, const struct bh_trial *t)
{
    uint64_t g = now.window >> PAGE_SHIFT;
    enum p2m_type type;
    int rc = 0;

    for (unsigned i = 0; !rc && i < t->nr; i++) {
        mfn_t m = p2m_lookup(d, GFN(t->gfn + i), &type);
        if (type != P2M_RAM || !frame_get(m, d->id))
            return -EINVAL;
        rc = map_one(d, g + i, m);
        frame_put(m);
    }
    return rc ? rc : map_one(d, g + t->nr, virt_to_mfn(now.target));
}

/* Also when the device is fenced for another reason in the middle of it: then nothing is decided. The device is blocked. */
void trial_stop(const struct pci_dev *p)
{
    struct domain *d = now.domain;
    mfn_t had[BH_TRIAL_PAGES + 1];
    unsigned n = 0;
    bool whole;

    if (now.dev != p)
        return;
    spin_lock(&d->iommu->lock);
    for (unsigned i = 0; i < now.nr; i++)
        n += iommu_ops->unmap(d->iommu, GFN((now.window >> PAGE_SHIFT) + i), &had[n], &whole);
    spin_unlock(&d->iommu->lock);
    iommu_ops->flush(d->iommu);
    while (n)
        frame_put(had[--n]);
    core_free_for(d, now.target);
    iommu_expect(0, 0);
    memset(&now, 0, sizeof(now));
}

/* --- the steps -------------------------------------------------------------------------------------------------- */

static bool hit(void)
{
    for (unsigned i = 0; i < PAGE_SIZE / sizeof(uint64_t); i++)
        if (READ_ONCE(now.target[i]))
            return true;
    return false;
}

/* A trial runs, and may go on; or d had the last one, and another waits: who ends its own and begins again keeps nobody from his. */
static bool must_wait(const struct domain *d)
{
    uint64_t t = now_ns();

    if (now.dev && now.domain != d)
        turn.asked = t;
    return (now.dev && t - now.since < LONGEST_NS) ||
           (turn.last == d->id && t - turn.asked < TURN_NS);
}

static int begin(struct domain *d, struct pci_dev *p, struct bh_trial *t)
{
    struct iommu_trial *u = iommu_ops->trial(p->iommu);

    if (u->state == TRIAL_FAILED || p->trial_failed)
        return -EPERM;
    if (u->state == TRIAL_PASSED)
        return 1;
    if (must_wait(d))
        return -EBUSY;
    /* Whoever served may have been taken over: what it tells the device is not known. */
    if (d->adopted || d->grant.nr_maptrack)
        return -EACCES;
    if (p->phase != PCI_READY || p->dma_on || !t->nr || t->nr > BH_TRIAL_PAGES ||
        t->gfn + t->nr < t->gfn)
        return -EINVAL;
    if (pci_at_rest(p))
        return -EIO;
    if (now.dev)
        pci_fence_device(now.domain, now.dev);
    now.window = find_window(d);
    if (!now.window)
        return -ERANGE;
    now.target = core_alloc_for(d);
    if (!now.target)
        return -ENOMEM;
    now.dev = p;
    now.domain = d;
    now.since = now_ns();
    turn.last = d->id;
    now.nr = t->nr + 1;
    int rc = map_window(d, t);
    if (!rc)
        rc = iommu_ops->attach(p, d->iommu);
    if (rc) {
        pci_fence_device(d, p);
        return rc;
    }
    pci_set_master(p, true);
    t->window = now.window;
    return 0;
}

static int block(struct domain *d, struct pci_dev *p)
{
    const struct iommu_trial *u = iommu_ops->trial(p->iommu);

    if (now.blocked)
        return -EINVAL;
    iommu_ops->poll_faults(); /* what was blocked until now was not meant to be, and is told */
    iommu_expect(u->devid, (uint16_t)p->sbdf);
    now.arrived = hit();
    iommu_ops->block(p, d->iommu);
    (void)pci_read(p, PCI_COMMAND, 2); /* behind what the device wrote before */
    memset(now.target, 0, PAGE_SIZE);
    now.blocked = true;
    return 0;
}

/* A write that arrived can only have been translated; one that did not may be the device's fault, and is held against the unit as long as
 * no other device's arrives: one that is dead takes DMA from no other. Where a blocked device reached memory, nothing is left to ask. */
static int end(struct domain *d, struct pci_dev *p)
{
    struct iommu_trial *u = iommu_ops->trial(p->iommu);
    bool held = !hit();

    if (!now.blocked)
        return -EINVAL;
    iommu_ops->poll_faults();
    if (now.arrived)
        u->state = held ? TRIAL_PASSED : TRIAL_FAILED;
    else
        u->doubted = p->trial_failed = true;
    if (u->state == TRIAL_PASSED)
        log_info("IOMMU: unit " BDF_FMT " passed its trial: a write of " BDF_FMT
                 " arrived where it was mapped, none once it was blocked",
                 BDF_ARGS(u->devid), BDF_ARGS(p->sbdf));
    else if (!now.arrived)
        log_err("IOMMU: unit " BDF_FMT " failed its trial: it translates no DMA of " BDF_FMT
                " (QEMU: amd-iommu,pt=off, from 11 on also "
                "dma-remap=on), or that device does nothing. Behind it only a NIC or disk is assigned, to try again",
                BDF_ARGS(u->devid), BDF_ARGS(p->sbdf));
    else
        log_err("IOMMU: unit " BDF_FMT
                " failed its trial, no device behind it is assigned: a write of " BDF_FMT
                " arrived after it was blocked",
                BDF_ARGS(u->devid), BDF_ARGS(p->sbdf));
    pci_fence_device(d, p);
    return u->state == TRIAL_PASSED ? 0 : -EPERM;
}

int pci_trial(struct domain *d, struct bh_trial *t)
{
    int rc;

    if (!d->devices) /* waits for nobody: see pirq_bind */
        return -ENODEV;
    spin_lock(&pci_lock);
    struct pci_dev *p = pci_find_owned(d, t->sbdf);
    if (!p)
        rc = -ENODEV;
    else if (t->step == BH_TRIAL_BEGIN)
        rc = begin(d, p, t);
    else if (now.dev != p)
        rc = -EINVAL;
    else if (t->step == BH_TRIAL_LOOK)
        rc = hit();
    else if (t->step == BH_TRIAL_BLOCK)
        rc = block(d, p);
    else
        rc = t->step == BH_TRIAL_END ? end(d, p) : -EINVAL;
    spin_unlock(&pci_lock);
    return rc;
}
