/* SPDX-License-Identifier: MIT */
/* Stands in for hv/base/cpu.h in native tests: privileged instructions become calls that a test may replace (weak). */
#pragma once
#include "base/percpu.h"
#include "base/types.h"

struct cpuid_regs {
    uint32_t eax, ebx, ecx, edx;
};
uint64_t rdmsr(uint32_t msr);
void wrmsr(uint32_t msr, uint64_t v);
int rdmsr_safe(uint32_t msr, uint64_t *v);
int wrmsr_safe(uint32_t msr, uint64_t v);
uint64_t rdtsc(void);
struct cpuid_regs cpuid(uint32_t leaf, uint32_t sub);
void outb(uint16_t p, uint8_t v);
uint8_t inb(uint16_t p);
void outw(uint16_t p, uint16_t v);
uint16_t inw(uint16_t p);
void outl(uint16_t p, uint32_t v);
uint32_t inl(uint16_t p);
static inline uint64_t read_cr0(void) { return 0; }
static inline uint64_t read_cr2(void) { return 0; }
static inline uint64_t read_cr3(void) { return 0; }
static inline uint64_t read_cr4(void) { return 0; }
static inline void write_cr0(uint64_t v) {}
static inline void write_cr3(uint64_t v) {}
static inline void write_cr4(uint64_t v) {}
static inline void invlpg(const void *p) {}
static inline void mb(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void irq_on(void) {}
static inline void irq_off(void) {}
static inline void cpu_idle(void) {}
void cpu_stop(void) __noreturn;
struct cpu *this_cpu(void);
