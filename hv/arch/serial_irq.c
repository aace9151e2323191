/* SPDX-License-Identifier: MIT */
/*
 * The serial line's interrupt, routed to the boot CPU. Whether it comes at all is tried once (serial_irq_watch): enabling the
 * transmitter's interrupt with nothing to send raises it (PC16550D, 8.6.1). Where it does not, a timer does what it would have done.
 */
#include "arch/serial_irq.h"
#include "arch/irq.h"
#include "base/print.h"
#include "base/serial.h"
#include "time/time.h"

#define WATCH_NS    (500 * NS_PER_MS)
#define WATCH_LOOKS 2u /* between two of them this CPU has taken what was pending */
#define POLL_NS     (2 * NS_PER_MS)

static void (*listener)(void);
static bool routed;
static bool irq_came;  /* a: since serial_irq_watch */
static unsigned looks; /* this and the next: of watch_timer alone */
static bool polling;
static struct timer watch_timer;

void serial_listen(void (*tell)(void)) { listener = tell; }

static void line_irq(void *arg)
{
    (void)arg;
    WRITE_ONCE(irq_came, true);
    if (serial_interrupt())
        listener();
}

void serial_irq_init(void)
{
    int isa = serial_isa_irq();
    if (isa < 0)
        return;
    int vector = irq_vector_alloc(line_irq, NULL);
    if (vector < 0 || ioapic_route_isa((unsigned)isa, (uint8_t)vector) < 0) {
        log_warn("serial: no interrupt");
        if (vector >= 0)
            irq_vector_free((uint8_t)vector);
        return;
    }
    routed = true;
    serial_irq_on();
}

static void watch(struct timer *t)
{
    if (polling) {
        if (serial_look())
            listener();
    } else if (READ_ONCE(irq_came)) {
        return;
    } else if (!routed || ++looks == WATCH_LOOKS) {
        log_warn(
            "serial: the interrupt of the line does not come: it is polled, and input that comes fast may be lost");
        polling = true;
    }
    timer_set(t, now_ns() + (polling ? POLL_NS : WATCH_NS));
}

void serial_irq_watch(void)
{
    if (serial_isa_irq() < 0)
        return;
    WRITE_ONCE(irq_came, false);
    serial_irq_again();
    timer_setup(&watch_timer, watch);
    timer_set(&watch_timer, now_ns() + WATCH_NS);
}
