/* SPDX-License-Identifier: MIT */
/* hvm_op: parameters of one's own domain, and the upcall vector. */
#include "base/types.h"
#include <xen/xen.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include "abi/hypercall.h"
#include "base/cpu.h"
#include "mem/gcopy.h"
#include "domain/domain.h"

#define VIA_TYPE(x) ((x) >> 56)
#define VIA_VECTOR  2
#define FIRST_VECTOR 0x10u

static bool is_self(struct domain *d, domid_t id) { return id == DOMID_SELF || id == d->id; }

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

static long set_param(struct domain *d, gaddr_t arg)
{
    struct xen_hvm_param p;
    if (copy_from_guest(&p, arg, sizeof p))
        return -EFAULT;
    if (!is_self(d, p.domid))
        return -EPERM;
    if (p.index >= ARRAY_SIZE(d->hvm_param))
        return -EINVAL;
    return p.index == HVM_PARAM_CALLBACK_IRQ ? set_callback(d, p.value) : -EPERM;
}

static long get_param(struct domain *d, gaddr_t arg)
{
    struct xen_hvm_param p;
    if (copy_from_guest(&p, arg, sizeof p))
        return -EFAULT;
    if (!is_self(d, p.domid))
        return -EPERM;
    if (p.index >= ARRAY_SIZE(d->hvm_param))
        return -EINVAL;
    p.value = d->hvm_param[clamp_nospec(p.index, ARRAY_SIZE(d->hvm_param))];
    return copy_to_guest(arg, &p, sizeof p);
}

static long set_upcall_vector(struct domain *d, gaddr_t arg)
{
    struct xen_hvm_evtchn_upcall_vector u;
    if (copy_from_guest(&u, arg, sizeof u))
        return -EFAULT;
    if (u.vector < FIRST_VECTOR)
        return -EINVAL;
    if (u.vcpu >= d->nr_vcpus)
        return -ENOENT;
    d->vcpu[clamp_nospec(u.vcpu, d->nr_vcpus)]->upcall_vector = u.vector;
    return 0;
}

long do_hvm_op(uint64_t cmd, gaddr_t arg)
{
    struct domain *d = current_domain();
    switch ((uint32_t)cmd) {
    case HVMOP_set_param:
        return set_param(d, arg);
    case HVMOP_get_param:
        return get_param(d, arg);
    case HVMOP_set_evtchn_upcall_vector:
        return set_upcall_vector(d, arg);
    default:
        return -ENOSYS;
    }
}
