/* SPDX-License-Identifier: MIT */
/*
 * Device vectors and the dispatch of every interrupt. Interrupts are on only in the idle loop and in one window after each
 * exit, where no lock is held, so a handler may take any. Lock: `lock` for the table.
 */
#include "arch/irq.h"
#include "base/cpu.h"
#include "base/lock.h"
#include "base/print_internal.h"

static struct spinlock lock;
/* lock to write. Who reads fn and then arg may get the arg of the next user: all vectors that are ever given back are routes of
 * devices (pci/pirq.c), whose handler looks at what it is given, and one event too many harms nobody. */
static struct {
    irq_fn fn;
    void *arg;
} vectors[256];
static uint32_t spurious_logged;

static void given_back(void *arg) { (void)arg; } /* one that was on its way */

int irq_vector_alloc(irq_fn fn, void *arg)
{
    int found = -ENOSPC;
    spin_lock(&lock);
    for (unsigned v = VEC_DYN_FIRST; v <= VEC_DYN_LAST; v++)
        if (!vectors[v].fn || vectors[v].fn == given_back) {
            vectors[v].arg = arg;
            __atomic_store_n(&vectors[v].fn, fn, __ATOMIC_RELEASE);
            found = (int)v;
            break;
        }
    spin_unlock(&lock);
    return found;
}

void irq_vector_free(uint8_t vector)
{
    spin_lock(&lock);
    __atomic_store_n(&vectors[vector].fn, given_back, __ATOMIC_RELEASE);
    spin_unlock(&lock);
}

void irq_vector_set(uint8_t vector, irq_fn fn)
{
    __atomic_store_n(&vectors[vector].fn, fn, __ATOMIC_RELEASE);
}

void irq_init(void)
{
    /* The two 8259s: moved away from the exceptions, every line masked (they may still say "spurious"). */
    static const struct {
        uint16_t port;
        uint8_t value;
    } init[] = {
        { 0x20, 0x11 }, { 0xa0, 0x11 }, { 0x21, 0x20 }, { 0xa1, 0x28 }, { 0x21, 0x04 },
        { 0xa1, 0x02 }, { 0x21, 0x01 }, { 0xa1, 0x01 }, { 0x21, 0xff }, { 0xa1, 0xff },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(init); i++)
        outb(init[i].port, init[i].value);
}

static void device_irq(uint8_t vector)
{
    irq_fn fn = __atomic_load_n(&vectors[vector].fn, __ATOMIC_ACQUIRE);
    if (fn)
        fn(vectors[vector].arg);
    else if (vector >= VEC_DYN_FIRST &&
             __atomic_add_fetch(&spurious_logged, 1, __ATOMIC_RELAXED) <= 10)
        log_warn("interrupt on vector %x, which nobody asked for", vector);
    if (vector >= VEC_DYN_FIRST)
        apic_eoi();
}

static void dispatch(uint8_t vector)
{
    switch (vector) {
    case VEC_SPURIOUS: /* no EOI: SDM3 10.9 */ return;
    case VEC_STOP: cpu_stop();
    case VEC_KICK: apic_eoi(); break;
    default: device_irq(vector);
    }
    print_deferred();
}

/* What an interrupt asks for is nothing that the vCPU did during which it came. */
void irq_dispatch(uint8_t vector)
{
    struct cpu *c = this_cpu();
    struct bh_counts *served = c->counts;

    c->counts = &c->own_counts;
    dispatch(vector);
    c->counts = served;
}
