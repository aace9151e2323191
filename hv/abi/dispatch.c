/* SPDX-License-Identifier: MIT */
/* The one dispatcher: every operation of every hypercall goes through op_call, called by the door (hypercall.c). No lock. */
#include "abi/dispatch.h"
#include "base/string.h"
#include "mem/gcopy.h"

/* One that needs a privilege, or whose argument is copied. */
static long call_checked(const struct op *o, struct call *c, gaddr_t at)
{
    uint64_t arg[OP_ARG_MAX / 8];

    if (o->priv != PRIV_OPEN && !priv_allows(c->d->role, (enum priv)o->priv))
        return -EPERM;
    if (o->dir & DIR_IN) {
        if (copy_from_guest(arg, at, o->size))
            return -EFAULT;
    } else {
        memset(arg, 0, o->size);
    }
    long rc = o->fn(c, arg);
    if (!(o->dir & DIR_OUT) || rc == HC_AGAIN || (rc < 0 && !(o->dir & DIR_ALWAYS)))
        return rc;
    return copy_to_guest(at, arg, o->size) ? -EFAULT : rc;
}

long op_call(const struct ops *t, struct call *c)
{
    uint64_t nr = c->a[0] & t->mask;

    if (nr >= t->nr)
        return -ENOSYS;
    const struct op *o = &t->op[clamp_nospec(nr, t->nr)];
    if (!(o->bits & c->bits))
        return -ENOSYS;
    return o->priv || o->dir ? call_checked(o, c, GADDR(c->a[t->ptr])) : o->fn(c, NULL);
}
