/* SPDX-License-Identifier: MIT */
/* console_io: the physical console for its holder; for anybody else lines in the core's log, limited in rate. */
#include "lib/types.h"
#include <xen/xen.h>
#include "abi/hypercall.h"
#include "lib/print.h"
#include "mem/gcopy.h"
#include "sched/domain.h"
#include "sched/sched.h"

#define CHUNK 128u

/* Advances the guest's own count and pointer, so that a call that is executed again goes on where it stood. */
static long console_out(struct vcpu *v, uint64_t count, gaddr_t buf, bool holder)
{
    char text[CHUNK];
    while (count) {
        size_t n = MIN(count, CHUNK);
        if (copy_from_guest(text, buf, n))
            return -EFAULT;
        if (holder)
            console_write(text, n);
        else
            domain_say(v->domain, text, n);
        count -= n;
        buf = gaddr_add(buf, n);
        if (count && must_yield()) {
            v->regs.rsi = count;
            v->regs.rdx = buf.v;
            return HC_AGAIN;
        }
    }
    return 0;
}

static long console_in(uint64_t count, gaddr_t buf)
{
    char text[CHUNK];
    size_t n = console_read(text, MIN(count, CHUNK));
    return copy_to_guest(buf, text, n) ? -EFAULT : (long)n;
}

long do_console_io(uint64_t cmd, uint64_t count, gaddr_t buf)
{
    struct vcpu *v = this_cpu()->current;
    bool holder = priv_allows(v->domain->role, PRIV_CONSOLE);
    count = (uint32_t)count;
    switch ((uint32_t)cmd) {
    case CONSOLEIO_write:
        return console_out(v, count, buf, holder);
    case CONSOLEIO_read:
        return holder ? console_in(count, buf) : -EPERM;
    default:
        return -ENOSYS;
    }
}
