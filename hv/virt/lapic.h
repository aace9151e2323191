/* SPDX-License-Identifier: MIT */
/* The virtual local APIC: x2APIC mode only, by MSR (0x800..0x8ff), without a timer. */
#pragma once
#include "sched/vcpu.h"

uint64_t lapic_base(const struct vcpu *v); /* value of IA32_APIC_BASE */
int lapic_set_base(struct vcpu *v, uint64_t x);
int lapic_read(struct vcpu *v, uint32_t msr, uint64_t *x); /* 0, or -1: #GP */
int lapic_write(struct vcpu *v, uint32_t msr, uint64_t x);
/* Fills a page with the registers of the first vCPU's APIC after a reset, as a kernel that uses it by memory reads them. */
void lapic_page(uint32_t *page);
