/* SPDX-License-Identifier: MIT */
/*
 * Physical interrupts as event channels. Each MSI-X entry of a device is a route: entry -> remapping entry -> host vector
 * -> port of the owner. Mapping (PHYSDEVOP_map_pirq) only gives the number; binding (EVTCHNOP_bind_pirq) writes the
 * remapping entry, then the MSI-X entry. The handler takes no lock: it reads the route, finds the owner by domid, and a
 * port that was closed meanwhile ignores the event.
 */
#include "irq/pirq.h"
#include "irq/evtchn.h"
#include "irq/irq.h"
#include "lib/cpu.h"
#include "mem/gcopy.h"
#include "pci/iommu.h"
#include "pci/pci_int.h"
#include "sched/domain.h"

static void pirq_interrupt(void *arg)
{
    struct pirq_route *r = arg;
    struct domain *d;

    if (!READ_ONCE(r->bound))
        return;
    d = domain_get(READ_ONCE(r->dev->owner));
    if (!d)
        return;
    evtchn_pirq(d, READ_ONCE(r->port));
    domain_put(d);
}

/* --- the MSI-X table (PCIe 4.0 7.7.2) --------------------------------------------------------------------------- */

static void entry_mask(struct pirq_route *r)
{
    if (r->dev->msix_table)
        r->dev->msix_table[r->irte * 4u + 3] |= MSIX_ENTRY_MASK;
}

static int route_program(struct pirq_route *r)
{
    volatile uint32_t *e = r->dev->msix_table + r->irte * 4u;
    uint64_t addr;
    uint32_t data;
    int rc = iommu_ops->irq_route(r->dev, r->irte, r->vector, this_cpu()->apic_id, &addr, &data);

    if (rc)
        return rc;
    e[3] |= MSIX_ENTRY_MASK;
    e[0] = (uint32_t)addr;
    e[1] = (uint32_t)(addr >> 32);
    e[2] = data;
    e[3] &= ~MSIX_ENTRY_MASK;
    return 0;
}

void pirq_program(struct pci_dev *p)
{
    for (unsigned i = 0; i < p->msix_count; i++)
        if (p->route[i].bound && route_program(&p->route[i]))
            entry_mask(&p->route[i]);
}

void msix_set_enable(struct pci_dev *p, bool on)
{
    if (!p->cap_msix || !p->msix_table)
        return;
    if (on) {
        /* Enabled with everything masked first: only then are entries taken over (PCIe 4.0 6.1.4). */
        pci_write(p, p->cap_msix + MSIX_CTL, 2, MSIX_CTL_ENABLE | MSIX_CTL_MASKALL);
        for (unsigned i = 0; i < p->msix_total; i++)
            if (i >= p->msix_count || !p->route[i].bound)
                p->msix_table[i * 4 + 3] |= MSIX_ENTRY_MASK;
        pirq_program(p);
        pci_write(p, p->cap_msix + MSIX_CTL, 2, MSIX_CTL_ENABLE);
    } else {
        pci_write(p, p->cap_msix + MSIX_CTL, 2, MSIX_CTL_MASKALL);
    }
}

/* --- numbers ----------------------------------------------------------------------------------------------------- */

static struct pirq_route *find_route(struct domain *d, uint32_t pirq)
{
    for (struct pci_dev *p = d->devices; p; p = p->next_owned) {
        uint32_t i = pirq - p->pirq_base;
        if (i < p->msix_count) {
            i = (uint32_t)clamp_nospec(i, ARRAY_SIZE(p->route));
            return p->route[i].mapped ? &p->route[i] : NULL;
        }
    }
    return NULL;
}

static void route_unbind(struct pirq_route *r)
{
    if (!r->bound)
        return;
    WRITE_ONCE(r->bound, 0);
    entry_mask(r);
    iommu_ops->irq_mask(r->dev, r->irte);
    r->port = 0;
}

int pirq_bind(struct domain *d, uint32_t pirq, uint32_t port)
{
    struct pirq_route *r;
    int rc = 0;

    spin_lock(&pci_lock);
    r = find_route(d, pirq);
    if (!r)
        rc = -EINVAL;
    else if (r->bound)
        rc = -EEXIST;
    else if (!r->vector)
        rc = irq_vector_alloc(pirq_interrupt, r);
    if (rc > 0) {
        r->vector = (uint8_t)rc;
        rc = 0;
    }
    if (!rc) {
        r->port = port;
        WRITE_ONCE(r->bound, 1);
        rc = route_program(r);
        if (rc)
            WRITE_ONCE(r->bound, 0);
    }
    spin_unlock(&pci_lock);
    return rc;
}

void pirq_unbind(struct domain *d, uint32_t pirq)
{
    struct pirq_route *r;

    spin_lock(&pci_lock);
    r = find_route(d, pirq);
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
        route_unbind(r);
        if (r->vector)
            irq_vector_free(r->vector);
        r->vector = 0;
        r->mapped = 0;
        r->pirq = 0;
    }
    iommu_ops->irq_mask_all(p);
}

/* --- PHYSDEVOP ----------------------------------------------------------------------------------------------------- */

static int map_pirq(struct domain *d, struct physdev_map_pirq *m)
{
    uint32_t sbdf = (uint32_t)m->bus << 8 | (m->devfn & 0xff), i = (uint32_t)m->entry_nr;
    struct pci_dev *p;

    if (m->domid != DOMID_SELF && m->domid != d->id)
        return -EPERM;
    if (m->type != MAP_PIRQ_TYPE_MSI && m->type != MAP_PIRQ_TYPE_MSI_SEG)
        return -EOPNOTSUPP;
    for (p = d->devices; p && p->sbdf != sbdf; p = p->next_owned)
        ;
    if (!p || !p->msix_table)
        return -ENODEV;
    if (i >= p->msix_count || (m->pirq >= 0 && (uint32_t)m->pirq != p->pirq_base + i))
        return -EINVAL;
    i = (uint32_t)clamp_nospec(i, ARRAY_SIZE(p->route));
    p->route[i].mapped = 1;
    p->route[i].pirq = p->pirq_base + i;
    m->pirq = (int)p->route[i].pirq;
    return 0;
}

static int unmap_pirq(struct domain *d, const struct physdev_unmap_pirq *u)
{
    struct pirq_route *r;

    if (u->domid != DOMID_SELF && u->domid != d->id)
        return -EPERM;
    r = find_route(d, (uint32_t)u->pirq);
    if (!r)
        return -EINVAL;
    route_unbind(r);
    r->mapped = 0;
    return 0;
}

static int get_free_pirq(struct domain *d, struct physdev_get_free_pirq *f)
{
    if (f->type != MAP_PIRQ_TYPE_MSI)
        return -EOPNOTSUPP;
    for (struct pci_dev *p = d->devices; p; p = p->next_owned)
        for (unsigned i = 0; i < p->msix_count; i++)
            if (!p->route[i].mapped) {
                f->pirq = p->pirq_base + i;
                return 0;
            }
    return -ENOSPC;
}

union physdev_arg {
    struct physdev_map_pirq map;
    struct physdev_unmap_pirq unmap;
    struct physdev_eoi eoi;
    struct physdev_irq_status_query status;
    struct physdev_get_free_pirq free;
};

static long physdev_locked(struct domain *d, uint64_t cmd, union physdev_arg *a)
{
    switch (cmd) {
    case PHYSDEVOP_map_pirq:
        return map_pirq(d, &a->map);
    case PHYSDEVOP_unmap_pirq:
        return unmap_pirq(d, &a->unmap);
    case PHYSDEVOP_eoi: /* messages need none */
        return find_route(d, a->eoi.irq) ? 0 : -EINVAL;
    case PHYSDEVOP_irq_status_query:
        a->status.flags = 0;
        return find_route(d, a->status.irq) ? 0 : -EINVAL;
    default:
        return get_free_pirq(d, &a->free);
    }
}

long do_physdev_op(uint64_t cmd, gaddr_t arg)
{
    struct domain *d = current_domain();
    union physdev_arg a;
    size_t size;
    long rc;

    switch (cmd) {
    case PHYSDEVOP_map_pirq: size = sizeof(a.map); break;
    case PHYSDEVOP_unmap_pirq: size = sizeof(a.unmap); break;
    case PHYSDEVOP_eoi: size = sizeof(a.eoi); break;
    case PHYSDEVOP_irq_status_query: size = sizeof(a.status); break;
    case PHYSDEVOP_get_free_pirq: size = sizeof(a.free); break;
    default: return -ENOSYS;
    }
    if (copy_from_guest(&a, arg, size))
        return -EFAULT;
    spin_lock(&pci_lock);
    rc = physdev_locked(d, cmd, &a);
    spin_unlock(&pci_lock);
    if (!rc && cmd != PHYSDEVOP_unmap_pirq && cmd != PHYSDEVOP_eoi && copy_to_guest(arg, &a, size))
        rc = -EFAULT;
    return rc;
}
