/* SPDX-License-Identifier: MIT */
/* console_io: the physical console for its holder; for anybody else its own few lines of BH_CTL_LOG. */
#include "base/types.h"
#include <xen/xen.h>
#include "abi/hypercall.h"
#include "arch/irq.h"
#include "arch/serial_irq.h"
#include "base/print.h"
#include "base/serial.h"
#include "mem/gcopy.h"
#include "domain/domain.h"
#include "sched/sched.h"
#include "time/time.h"

#define CHUNK   128u
#define LOOK_NS 2000000ull

/* While bytes wait for the serial line: it goes on without its interrupt too, if that is lost. */
static struct timer look;
static uint32_t looking; /* a */

static void line_look(struct timer *t);

static void look_again(void)
{
    if (serial_waiting() && !__atomic_exchange_n(&looking, 1, __ATOMIC_ACQ_REL)) {
        if (!look.fn)
            timer_setup(&look, line_look);
        timer_set(&look, now_ns() + LOOK_NS);
    }
}

static void line_look(struct timer *t)
{
    (void)t;
    serial_write("", 0);
    if (serial_room_made())
        notify_control(VIRQ_CONSOLE);
    __atomic_store_n(&looking, 0, __ATOMIC_RELEASE);
    look_again();
}

/* Advances the guest's own count and pointer, so that a call that is executed again goes on where it stood. The holder gets
 * the number of bytes that found no room: VIRQ_CONSOLE tells when there is. */
static long console_out(struct vcpu *v, uint64_t count, gaddr_t buf, bool holder)
{
    char text[CHUNK];
    while (count) {
        size_t room = holder ? serial_room() : CHUNK, n = MIN(count, MIN(room, CHUNK));
        if (!n)
            break;
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
    if (holder)
        look_again();
    return (long)count;
}

static long console_in(uint64_t count, gaddr_t buf)
{
    char text[CHUNK];
    size_t n = console_read(text, MIN(count, CHUNK));
    return copy_to_guest(buf, text, n) ? -EFAULT : (long)n;
}

static void lines_soon(void) { apic_send_ipi(this_cpu()->id, VEC_KICK); }
static void lines_now(void) { notify_control(VIRQ_CON_RING); }
static void line_told(void) { notify_control(VIRQ_CONSOLE); }

void console_io_init(void)
{
    static const struct print_listener listener = { lines_soon, lines_now };
    print_listen(&listener);
    serial_listen(line_told);
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
