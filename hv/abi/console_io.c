/* SPDX-License-Identifier: MIT */
/* console_io: the physical console for its holder; for anybody else its own few lines of BH_CTL_LOG. */
#include "abi/dispatch.h"
#include <xen/xen.h>
#include "arch/irq.h"
#include "arch/serial_irq.h"
#include "base/print.h"
#include "base/serial.h"
#include "debug/debug.h"
#include "mem/gcopy.h"
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

/* The holder gets the number of bytes that found no room: VIRQ_CONSOLE tells when there is. */
static long op_write(struct call *c)
{
    bool holder = priv_allows(c->d->role, PRIV_CONSOLE);
    uint64_t count = (uint32_t)c->a[1];
    gaddr_t buf = GADDR(c->a[2]);
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
            domain_say(c->d, text, n);
        count -= n;
        buf = gaddr_add(buf, n);
        if (count && must_yield()) {
            c->a[1] = count;
            c->a[2] = buf.v;
            return HC_AGAIN;
        }
    }
    if (holder)
        look_again();
    return (long)count;
}

static long op_read(struct call *c)
{
    char text[CHUNK];
    size_t n = console_read(text, MIN((uint32_t)c->a[1], CHUNK));
    debug_poll(); /* that may have taken keys off the line */
    return copy_to_guest(GADDR(c->a[2]), text, n) ? -EFAULT : (long)n;
}

static void lines_soon(void) { apic_send_ipi(this_cpu()->id, VEC_KICK); }
static void lines_now(void) { notify_control(VIRQ_CON_RING); }
static void line_told(void)
{
    debug_poll();
    notify_control(VIRQ_CONSOLE);
}

void console_io_init(void)
{
    static const struct print_listener listener = { lines_soon, lines_now };
    debug_init();
    print_listen(&listener);
    serial_listen(line_told);
}

#define CONSOLE_IO OP_STUB
#include <ops.def>
#define CONSOLE_IO OP_ROW
static const struct op rows[] = {
#include <ops.def>
};
const struct ops console_io_ops = OPS(rows, OP_INT, 1);
