/* SPDX-License-Identifier: MIT */
/* Host interrupts: local APIC (xAPIC by MMIO, x2APIC where the machine has it), IO-APIC, vectors, IPIs. */
#pragma once
#include "base/types.h"

#define VEC_DYN_FIRST 0x30 /* device vectors 0x30..0xdf, allocated globally */
#define VEC_DYN_LAST  0xdf
#define DEVICE_VECTORS \
    (VEC_DYN_LAST - VEC_DYN_FIRST) /* for devices' messages: all but the serial line's */
#define VEC_KICK     0xf1          /* IPI: look at need_resched, kicked, timers */
#define VEC_STOP     0xf2          /* IPI: panic stops the others */
#define VEC_TIMER    0xf3
#define VEC_SPURIOUS 0xff

void irq_init(void);      /* the old interrupt controllers are silenced */
void apic_init_bsp(void); /* the boot CPU's; panics without a local APIC */
void apic_init_ap(void);  /* each other CPU's, by itself */
uint32_t apic_id(void);   /* of this CPU: 8 bits, of an x2APIC 32 */
void apic_eoi(void);
void apic_send_ipi(uint32_t cpu,
                   uint8_t vector); /* cpu: the core's number; does not wait for delivery */
/* Start of another CPU (SDM3 9.4.4): page is that of its first instruction, 4 KiB below 1 MiB. */
void apic_send_init(uint32_t apic_id);
void apic_send_sipi(uint32_t apic_id, uint8_t page);
void apic_timer_set_ns(uint64_t delta_ns); /* one shot; 0 = stop */
void apic_stop_others(void);               /* panic, power-off: IPI and NMI, without waiting long */
bool apic_stop_wanted(void); /* another CPU called apic_stop_others: this one must not go on */

typedef void (*irq_fn)(void *arg);
/* A free device vector bound to fn, or -ENOSPC. */
int irq_vector_alloc(irq_fn fn, void *arg) __must_check;
void irq_vector_set(uint8_t vector,
                    irq_fn fn); /* at the start: of the fixed ones that others serve (VEC_TIMER) */
void irq_vector_free(uint8_t vector); /* nothing sends it any more; one that is on its way is dropped */
void irq_dispatch(uint8_t vector); /* from the IDT entry; does the EOI */

void ioapic_init(void); /* every pin masked */
/* Routes an ISA irq (overrides of the MADT applied) to a vector on the boot CPU. */
int ioapic_route_isa(unsigned isa_irq, uint8_t vector) __must_check;
