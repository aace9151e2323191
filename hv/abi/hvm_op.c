/* SPDX-License-Identifier: MIT */
/* hvm_op: parameters of one's own domain, and the upcall vector. */
#include "abi/dispatch.h"
#include <xen/xen.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include "base/cpu.h"

#define VIA_TYPE(x)  ((x) >> 56)
#define VIA_VECTOR   2
#define FIRST_VECTOR 0x10u

/* Of the forms of <xen/hvm/params.h> only the vector brings events in. The others (an interrupt line, a PCI pin) are taken and kept, as
 * Xen does for a PVH guest, which has neither: who sets one has up-call vectors, and means to say that there are PV drivers. */
static long set_callback(struct domain *d, uint64_t value)
{
    bool vector = VIA_TYPE(value) == VIA_VECTOR;
    if (vector && (value & 0xff) < FIRST_VECTOR)
        return -EINVAL;
    spin_lock(&d->lock);
    d->callback_vector = vector ? (uint8_t)value : 0;
    d->hvm_param[HVM_PARAM_CALLBACK_IRQ] = value;
    spin_unlock(&d->lock);
    return 0;
}

static long op_set_param(struct domain *d, const struct xen_hvm_param *p)
{
    if (!is_self(d, p->domid))
        return -EPERM;
    if (p->index >= ARRAY_SIZE(d->hvm_param))
        return -EINVAL;
    return p->index == HVM_PARAM_CALLBACK_IRQ ? set_callback(d, p->value) : -EPERM;
}

static long op_get_param(struct domain *d, struct xen_hvm_param *p)
{
    if (!is_self(d, p->domid))
        return -EPERM;
    if (p->index >= ARRAY_SIZE(d->hvm_param))
        return -EINVAL;
    p->value = d->hvm_param[clamp_nospec(p->index, ARRAY_SIZE(d->hvm_param))];
    return 0;
}

static long op_set_evtchn_upcall_vector(struct domain *d,
                                        const struct xen_hvm_evtchn_upcall_vector *u)
{
    if (u->vector < FIRST_VECTOR)
        return -EINVAL;
    if (u->vcpu >= d->nr_vcpus)
        return -ENOENT;
    d->vcpu[clamp_nospec(u->vcpu, d->nr_vcpus)]->upcall_vector = u->vector;
    return 0;
}

#define HVM_OP(nr, name, type, dir, ...) OP_STUB_OF(c->d, name, type, dir)
#include <ops.def>
#define HVM_OP OP_ROW
static const struct op rows[] = {
#include <ops.def>
};
const struct ops hvm_op_ops = OPS(rows, OP_INT, 1);
