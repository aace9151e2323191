/* SPDX-License-Identifier: MIT */
/* The virtual local APIC: x2APIC mode only, by MSR (0x800..0x8ff), without a timer. */
#pragma once
#include "sched/vcpu.h"

#define APIC_BASE_MSR   0x1b
#define X2APIC_MSR      0x800
#define X2APIC_MSR_LAST 0x8ff

#define APIC_SVR_RESET  0xffu      /* switched off by software */
#define APIC_LVT_MASKED (1u << 16)

/* SDM3 11.4.7.1 and 11.4.7.3: after a reset, and after INIT. Interrupts that were on their way are lost. */
static inline void lapic_reset(struct vcpu *v)
{
    v->apic = (struct vlapic){ .svr = APIC_SVR_RESET };
    for (unsigned i = 0; i < sizeof v->apic.lvt / sizeof v->apic.lvt[0]; i++)
        v->apic.lvt[i] = APIC_LVT_MASKED;
}
uint64_t lapic_base(const struct vcpu *v);                       /* value of IA32_APIC_BASE */
int lapic_set_base(struct vcpu *v, uint64_t x);
int lapic_read(struct vcpu *v, uint32_t msr, uint64_t *x);       /* 0, or -1: #GP */
int lapic_write(struct vcpu *v, uint32_t msr, uint64_t x);
/* Fills a page with the registers of the first vCPU's APIC after a reset, as a kernel that uses it by memory reads them. */
void lapic_page(uint32_t *page);
