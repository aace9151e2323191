/* SPDX-License-Identifier: MIT */
/*
 * Physical interrupts as event channels. Each MSI-X entry of a device, or its MSI where it has no MSI-X, is a route: entry -> remapping
 * entry -> host vector -> port of the owner. Mapping (PHYSDEVOP_map_pirq) only gives the number; binding (EVTCHNOP_bind_pirq) writes
 * the remapping entry, then the MSI-X entry. A port that was closed meanwhile ignores the event. A guest's numbers come by the
 * messages that it writes (pirq.h): into a page that it has in the place of the table, or by pciback (MSI).
 *
 * A device may interrupt so often in a millisecond. One that does so more often finds its MSI-X entry masked until the next:
 * what it has to say stays pending in the device (PCIe 4.0 6.1.4). One that sends all the same has its remapping
 * entry cleared until then, and the IOMMU keeps it out; so has one with MSI at once. Either way the owner gets one event when the entry is let in again, so
 * that nothing is lost that was the last for a while.
 *
 * A route follows the vCPU that it wakes: where the CPU that is interrupted is another one, it loses time to an exit, and the
 * vCPU's own needs an IPI. Which is the right one changes when a vCPU moves, so the handler looks (follow).
 *
 * Locks: pci_lock for what is mapped and bound; inside it, irq_lock of the device for entries and what is held back:
 * the handler and the timer take that one alone.
 */
#include "pci/pirq.h"
#include "ipc/evtchn.h"
#include "arch/irq.h"
#include "base/cpu.h"
#include "base/print.h"
#include "pci/iommu/iommu.h"
#include "pci/pci_int.h"
#include "domain/table.h"

#define ROUTE_PER_MS  64u  /* interrupts of one entry in a millisecond */
#define DEVICE_PER_MS 256u /* of all entries of a device */
#define LATE \
    4u /* of a masked entry: those on their way or in the local APIC. More: it was not heeded */
#define SAY_NS (10 * NS_PER_S) /* between two lines about one device */
#define AWAY   8u /* interrupts in a row that found their vCPU on one other CPU: it stays there */
#define FOLLOW_NS \
    (10 * NS_PER_MS) /* between two times that any route of a device follows its vCPU */
enum { HELD_NOT, HELD_MASKED, HELD_CUT };

/* --- the MSI-X table (PCIe 4.0 7.7.2), and MSI --------------------------------------------------------------------------- */

static void msi_set_enable(struct pci_dev *p, bool on)
{
    uint32_t ctl = pci_read(p, p->cap_msi + MSI_CTL, 2) & ~(MSI_CTL_MULTI | MSI_CTL_ENABLE);

    pci_write(p, p->cap_msi + MSI_CTL, 2, on ? ctl | MSI_CTL_ENABLE : ctl);
    (void)pci_read(p, p->cap_msi + MSI_CTL, 2);
}

/* Read back: what the device sent before is behind us then. */
static void entry_mask(struct pirq_route *r)
{
    volatile uint32_t *e = r->dev->msix_table;

    if (pci_uses_msi(r->dev))
        msi_set_enable(r->dev, false);
    if (!e)
        return;
    e[r->irte * 4u + 3] |= MSIX_ENTRY_MASK;
    (void)e[r->irte * 4u + 3];
}

static void hold_end(struct pirq_route *r);
static void pirq_let_in(struct timer *t);

static int msi_program(struct pci_dev *p, uint64_t addr, uint32_t data)
{
    unsigned at = p->cap_msi, ctl = pci_read(p, at + MSI_CTL, 2), wide = ctl & MSI_CTL_64 ? 4 : 0;

    if (addr >> 32 && !wide)
        return -EIO;
    msi_set_enable(p, false);
    pci_write(p, at + 4, 4, (uint32_t)addr);
    if (wide)
        pci_write(p, at + 8, 4, (uint32_t)(addr >> 32));
    pci_write(p, at + 8 + wide, 2, data);
    if (ctl & MSI_CTL_MASK)
        pci_write(p, at + 12 + wide, 4, 0);
    msi_set_enable(p, true);
    return 0;
}

static int route_program(struct pirq_route *r)
{
    volatile uint32_t *e = r->dev->msix_table + r->irte * 4u;
    uint64_t addr;
    uint32_t data;
    int rc = iommu_ops->irq_route(r->dev, r->irte, r->vector, cpus[r->cpu]->apic_id, &addr, &data);

    if (rc)
        return rc;
    if (pci_uses_msi(r->dev))
        return msi_program(r->dev, addr, data);
    e[3] |= MSIX_ENTRY_MASK;
    e[0] = (uint32_t)addr;
    e[1] = (uint32_t)(addr >> 32);
    e[2] = data;
    e[3] &= ~MSIX_ENTRY_MASK;
    return 0;
}

/* (Re)writes the MSI-X entries that are bound. */
static void pirq_program(struct pci_dev *p)
{
    for (unsigned i = 0; i < p->msix_count; i++)
        if (p->route[i].bound && route_program(&p->route[i]))
            entry_mask(&p->route[i]);
}

void irqs_set_enable(struct pci_dev *p, bool on)
{
    if (!p->msix_table && !pci_uses_msi(p))
        return;
    spin_lock(&p->irq_lock);
    for (unsigned i = 0; i < p->msix_count; i++)
        hold_end(&p->route[i]);
    p->msix_on = on;
    if (pci_uses_msi(p)) {
        if (p->msix_total)
            pci_write(p, p->cap_msix + MSIX_CTL, 2, MSIX_CTL_MASKALL);
        msi_set_enable(p, false);
        if (on)
            pirq_program(p);
        spin_unlock(&p->irq_lock);
        return;
    }
    /* Masked as a whole is as each entry masked (PCIe 4.0 6.1.4); disabled, the function might fall back to INTx, and QEMU 7.2's 82574L
     * ends the emulator (docs/known-issues.md, 14). Enabled so first: only then are entries taken over. */
    pci_write(p, p->cap_msix + MSIX_CTL, 2, MSIX_CTL_ENABLE | MSIX_CTL_MASKALL);
    if (on) {
        for (unsigned i = 0; i < p->msix_count; i++)
            if (!p->route[i].bound)
                p->msix_table[i * 4 + 3] |= MSIX_ENTRY_MASK;
        pirq_program(p);
        pci_write(p, p->cap_msix + MSIX_CTL, 2, MSIX_CTL_ENABLE);
    }
    spin_unlock(&p->irq_lock);
}

/* --- delivery, and holding back; under irq_lock where not said otherwise --------------------------------------------- */

static void hold_end(struct pirq_route *r)
{
    if (r->held == HELD_CUT)
        WRITE_ONCE(r->dev->nr_cut, r->dev->nr_cut - 1);
    r->held = HELD_NOT;
}

static void cut(struct pirq_route *r)
{
    iommu_ops->irq_mask(r->dev, r->irte);
    r->held = HELD_CUT;
    r->dev->irq_cuts++;
    WRITE_ONCE(r->dev->nr_cut, r->dev->nr_cut + 1);
}

/* The next millisecond ends it for every route of the device. Registers of a device that is fenced are not touched: its
 * interrupts are off, and blocked by the IOMMU. */
static void hold(struct pirq_route *r, uint64_t ms)
{
    struct pci_dev *p = r->dev;

    if (!p->msix_on)
        return;
    p->irq_holds++;
    if (!pci_uses_msi(p)) {
        entry_mask(r);
        r->held = HELD_MASKED;
    } else { /* MSI need have no mask, and is not to be disabled while it is used (PCI 3.0 6.8.3.1) */
        cut(r);
    }
    r->late = 0;
    if (!p->irq_timer.fn)
        timer_setup(&p->irq_timer, pirq_let_in);
    timer_set(&p->irq_timer, (ms + 1) * NS_PER_MS);
}

/* Counts one interrupt. True: its owner gets an event now. */
static bool admit(struct pirq_route *r)
{
    struct pci_dev *p = r->dev;
    uint64_t ms = now_ns() / NS_PER_MS;

    if (!r->bound)
        return false;
    if (r->held) {
        if (r->held == HELD_MASKED && ++r->late > LATE)
            cut(r);
        return false;
    }
    if (p->irq_ms != ms)
        p->irq_count = 0;
    if (r->irq_ms != ms)
        r->irq_count = 0;
    p->irq_ms = r->irq_ms = ms;
    if (++p->irq_count <= DEVICE_PER_MS && ++r->irq_count <= ROUTE_PER_MS)
        return true;
    hold(r, ms);
    return false;
}

/* Each hold is counted, one line in a while tells of them. */
static bool say_holds(struct pci_dev *p)
{
    uint64_t now = now_ns();

    if (p->irq_holds == p->irq_holds_said || (p->irq_said_ns && now - p->irq_said_ns < SAY_NS))
        return false;
    p->irq_holds_said = p->irq_holds;
    p->irq_said_ns = now;
    return true;
}

/* No lock held: an event channel's comes before these. Returns as evtchn_pirq. */
static struct cpu *send_event(domid_t owner, uint32_t port)
{
    struct domain *d = domain_get(owner);

    if (!d)
        return NULL;
    struct cpu *at = evtchn_pirq(d, port);
    domain_put(d);
    return at;
}

/*
 * An interrupt of r found its vCPU `at` a CPU. If that is another one than r's, and was so for a while, r goes there from now on.
 * The remapping entry is replaced whole by one store, with the same vector, which means the same on every CPU: what is on its way,
 * or comes yet by what the IOMMU remembers of the old one, is taken and EOId where it arrives. The device is not touched (iommu.h,
 * irq_route).
 *
 * An owner that moves its vCPUs or its ports' vCPUs about brings a command of the IOMMU per device and FOLLOW_NS at most.
 */
static void follow(struct pirq_route *r, struct cpu *at)
{
    struct pci_dev *p = r->dev;
    uint64_t addr;
    uint32_t data;

    if (!at)
        return;
    counts()->device_irqs++;
    counts()->irqs_astray += at != this_cpu();
    if (at->id == READ_ONCE(r->cpu) && !READ_ONCE(r->away))
        return;
    spin_lock(&p->irq_lock);
    uint64_t now = now_ns();
    if (at->id == r->cpu || at->id != r->seen)
        r->away = 0;
    if (at->id != r->cpu && r->away < AWAY)
        r->away++;
    r->seen = (uint16_t)at->id;
    /* Held back it may be cut off, which this would undo; when it is let in again there is no hurry. */
    if (r->away == AWAY && r->bound && !r->held && now - p->followed_ns >= FOLLOW_NS) {
        p->followed_ns = now;
        if (!iommu_ops->irq_route(p, r->irte, r->vector, at->apic_id, &addr, &data))
            r->cpu = (uint16_t)at->id;
        r->away = 0;
    }
    spin_unlock(&p->irq_lock);
}

static void pirq_interrupt(void *arg)
{
    struct pirq_route *r = arg;
    struct pci_dev *p = r->dev;

    spin_lock(&p->irq_lock);
    bool deliver = admit(r), say = say_holds(p);
    domid_t owner = p->owner;
    uint32_t port = r->port;
    uint64_t holds = p->irq_holds, cuts = p->irq_cuts;
    spin_unlock(&p->irq_lock);
    if (deliver)
        follow(r, send_event(owner, port));
    if (say)
        log_warn("PCI: " BDF_FMT
                 " of d%u interrupts too often (entry %u): held back %lu times, its remapping cleared %lu times",
                 BDF_ARGS(p->sbdf), owner, r->irte, holds, cuts);
}

/* The timer: whatever is held back is let in again, and its owner gets an event for what may have been lost. */
static void pirq_let_in(struct timer *t)
{
    struct pci_dev *p = container_of(t, struct pci_dev, irq_timer);

    for (unsigned i = 0; i < p->msix_count; i++) {
        struct pirq_route *r = &p->route[i];
        spin_lock(&p->irq_lock);
        bool held = r->held;
        domid_t owner = p->owner;
        uint32_t port = r->port;
        hold_end(r);
        if (held && route_program(r))
            entry_mask(r);
        spin_unlock(&p->irq_lock);
        if (held)
            send_event(owner, port);
    }
}

/* --- numbers ----------------------------------------------------------------------------------------------------- */

static bool is_message(uint32_t pirq) { return pirq - PIRQ_MESSAGE < NR_PIRQ_MESSAGE; }

struct pirq_route *pirq_find(struct domain *d, uint32_t pirq)
{
    for (struct pci_dev *p = d->devices; p; p = p->next_owned) {
        uint32_t i = pirq - p->pirq_base;
        if (i < p->msix_count) {
            i = (uint32_t)clamp_nospec(i, ARRAY_SIZE(p->route));
            return p->route[i].mapped ? &p->route[i] : NULL;
        }
        for (i = 0; is_message(pirq) && i < p->msix_count; i++)
            if (p->route[i].message && p->route[i].pirq == pirq)
                return &p->route[i];
    }
    return NULL;
}

int pirq_map(struct pci_dev *p, uint32_t i, uint32_t *pirq)
{
    if (i >= (pci_uses_msi(p) ? 1 : p->msix_count))
        return -EINVAL;
    i = (uint32_t)clamp_nospec(i, ARRAY_SIZE(p->route));
    p->route[i].mapped = 1;
    *pirq = p->pirq_base + i;
    return 0;
}

/* The number that the guest's message of interrupt i holds, or one that no message can have. It writes the table at any time. */
static uint32_t number_in_table(const struct pci_dev *p, unsigned i)
{
    const unsigned per_page = PAGE_SIZE / MSIX_ENTRY_LEN,
                   first = ((p->bar[p->msix_bar].base + p->msix_off) & ~PAGE_MASK) / MSIX_ENTRY_LEN;
    const volatile uint32_t *e = p->shadow[(first + i) / per_page];

    if (!e)
        return 0;
    e += (first + i) % per_page * (MSIX_ENTRY_LEN / sizeof *e);
    return pirq_of_message(e[0] | (uint64_t)e[1] << 32);
}

static uint32_t number_in(const struct pci_dev *p, unsigned i)
{
    return !pci_uses_msi(p) ? number_in_table(p, i) : i ? 0 : p->msi_pirq;
}

int pirq_free_number(struct domain *d, uint32_t *pirq)
{
    uint64_t used[NR_PIRQ_MESSAGE / 64] = { 0 };

    for (struct pci_dev *p = d->devices; p; p = p->next_owned)
        for (unsigned i = 0; i < p->msix_count; i++) {
            const struct pirq_route *r = &p->route[i];
            uint32_t n[] = { number_in_table(p, i), p->msi_pirq, r->bound ? r->pirq : 0 };
            if (d->role != BH_ROLE_GUEST && !r->mapped) {
                *pirq = p->pirq_base + i;
                return 0;
            }
            for (unsigned k = 0; k < ARRAY_SIZE(n); k++)
                if (is_message(n[k])) {
                    uint64_t at = clamp_nospec(n[k] - PIRQ_MESSAGE, NR_PIRQ_MESSAGE);
                    used[at / 64] |= 1ull << at % 64;
                }
        }
    /* Not at once again one that was given and stands in no message yet. */
    for (unsigned i = 0; d->devices && d->role == BH_ROLE_GUEST && i < NR_PIRQ_MESSAGE; i++) {
        uint32_t n = d->pirq_next++ % NR_PIRQ_MESSAGE;
        if (used[n / 64] >> n % 64 & 1)
            continue;
        *pirq = PIRQ_MESSAGE + n;
        return 0;
    }
    return -ENOSPC;
}

/* The interrupt whose message has this number now. */
static struct pirq_route *find_message(struct domain *d, uint32_t pirq)
{
    for (struct pci_dev *p = d->devices; is_message(pirq) && p; p = p->next_owned)
        for (unsigned i = 0; i < p->msix_count; i++)
            if (number_in(p, i) == pirq)
                return &p->route[i];
    return NULL;
}

/* The entry is masked and the remapping entry gone before the vector may be another's. */
static void route_unbind(struct pirq_route *r)
{
    if (!r->bound)
        return;
    spin_lock(&r->dev->irq_lock);
    r->bound = 0;
    hold_end(r);
    entry_mask(r);
    iommu_ops->irq_mask(r->dev, r->irte);
    r->port = 0;
    r->message = 0; /* its number may be another's now */
    spin_unlock(&r->dev->irq_lock);
    irq_vector_free(r->vector);
    r->vector = 0;
}

void pirq_unmap(struct pirq_route *r)
{
    route_unbind(r);
    r->mapped = 0;
}

static int route_bind(struct pirq_route *r, uint32_t pirq, uint32_t port)
{
    int rc = irq_vector_alloc(pirq_interrupt, r);

    if (rc < 0)
        return rc;
    r->vector = (uint8_t)rc;
    r->pirq = pirq;
    r->message = is_message(pirq);
    spin_lock(&r->dev->irq_lock);
    r->port = port;
    r->cpu = (uint16_t)this_cpu()->id; /* that of who binds, until the interrupts say more */
    r->away = 0;
    r->bound = 1;
    rc = route_program(r);
    spin_unlock(&r->dev->irq_lock);
    if (rc)
        route_unbind(r);
    return rc;
}

/* Devices come and go only while no vCPU of their owner is in the core: who has none need not wait for pci_lock. */
int pirq_bind(struct domain *d, uint32_t pirq, uint32_t port)
{
    struct pirq_route *r;
    int rc;

    if (!d->devices)
        return -EINVAL;
    spin_lock(&pci_lock);
    r = is_message(pirq) ? find_message(d, pirq) : pirq_find(d, pirq);
    if (!r)
        rc = -EINVAL;
    else
        rc = r->bound ? -EEXIST : route_bind(r, pirq, port);
    spin_unlock(&pci_lock);
    return rc;
}

void pirq_unbind(struct domain *d, uint32_t pirq)
{
    struct pirq_route *r;

    if (!d->devices)
        return;
    spin_lock(&pci_lock);
    r = pirq_find(d, pirq);
    if (r)
        route_unbind(r);
    spin_unlock(&pci_lock);
}

void pirq_fence(struct domain *d)
{
    if (!d->devices)
        return;
    spin_lock(&pci_lock);
    for (struct pci_dev *p = d->devices; p; p = p->next_owned)
        for (unsigned i = 0; i < p->msix_count; i++)
            route_unbind(&p->route[i]);
    spin_unlock(&pci_lock);
}

void pirq_release(struct pci_dev *p)
{
    for (unsigned i = 0; i < ARRAY_SIZE(p->route); i++) {
        struct pirq_route *r = &p->route[i];
        pirq_unmap(r);
        r->pirq = 0;
    }
    p->by_msi = false;
    iommu_ops->irq_mask_all(p);
}

void pirq_use_msi(struct pci_dev *p, bool by_msi)
{
    bool on = p->msix_on;

    if (!p->msix_total || p->by_msi == by_msi)
        return;
    for (unsigned i = 0; i < p->msix_count; i++)
        pirq_unmap(&p->route[i]);
    irqs_set_enable(p, false);
    p->by_msi = by_msi;
    irqs_set_enable(p, on);
}
