/* SPDX-License-Identifier: MIT */
/* physdev_op: numbers for the interrupts of one's own devices (pci/pirq.c). Lock: pci_lock, around each of them. */
#include "abi/dispatch.h"
#include "pci/pci.h"
#include "pci/pirq.h"

static long op_map_pirq(struct domain *d, struct physdev_map_pirq *m)
{
    uint32_t sbdf = (uint32_t)m->bus << 8 | (m->devfn & 0xff), i = (uint32_t)m->entry_nr;
    struct pci_dev *p;

    if (!is_self(d, m->domid))
        return -EPERM;
    if (m->type != MAP_PIRQ_TYPE_MSI && m->type != MAP_PIRQ_TYPE_MSI_SEG)
        return -EOPNOTSUPP;
    for (p = d->devices; p && p->sbdf != sbdf; p = p->next_owned)
        ;
    if (!p || !p->msix_count)
        return -ENODEV;
    if (m->pirq >= 0 && (uint32_t)m->pirq != p->pirq_base + i)
        return -EINVAL;
    uint32_t pirq = 0;
    int rc = pirq_map(p, i, &pirq);
    m->pirq = (int)pirq;
    return rc;
}

static long op_unmap_pirq(struct domain *d, const struct physdev_unmap_pirq *u)
{
    if (!is_self(d, u->domid))
        return -EPERM;
    struct pirq_route *r = pirq_find(d, (uint32_t)u->pirq);
    if (!r)
        return -EINVAL;
    pirq_unmap(r);
    return 0;
}

static long op_get_free_pirq(struct domain *d, struct physdev_get_free_pirq *f)
{
    if (f->type != MAP_PIRQ_TYPE_MSI)
        return -EOPNOTSUPP;
    return pirq_free_number(d, &f->pirq);
}

static long op_eoi(struct domain *d, const struct physdev_eoi *e)
{
    return pirq_find(d, e->irq) ? 0 : -EINVAL;
}

static long op_irq_status_query(struct domain *d, struct physdev_irq_status_query *q)
{
    q->flags = 0;
    return pirq_find(d, q->irq) ? 0 : -EINVAL;
}

/* Who has no devices finds nothing, and waits for nobody: see pirq_bind. */
static bool lock_devices(struct domain *d)
{
    if (!d->devices)
        return false;
    spin_lock(&pci_lock);
    return true;
}

#define PHYSDEV_OP(nr, name, type, dir, ...)         \
    static long call_##name(struct call *c, void *a) \
    {                                                \
        bool locked = lock_devices(c->d);            \
        long rc = op_##name(c->d ARG_##dir(type));   \
        if (locked)                                  \
            spin_unlock(&pci_lock);                  \
        return rc;                                   \
    }
#include <ops.def>
#define PHYSDEV_OP OP_ROW
static const struct op rows[] = {
#include <ops.def>
};
const struct ops physdev_op_ops = OPS(rows, OP_INT, 1);
