/* SPDX-License-Identifier: MIT */
/* Privileged instructions, and the per-CPU structure (GS base points at it). Host unit tests replace this
 * header by tests/unit/shim/lib/cpu.h. */
#pragma once
#include "lib/list.h"
#include "lib/lock.h"
#include "lib/types.h"

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return ((uint64_t)hi << 32) | lo;
}
static inline void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
    return ((uint64_t)hi << 32) | lo;
}
struct cpuid_regs { uint32_t eax, ebx, ecx, edx; };
static inline struct cpuid_regs cpuid(uint32_t leaf, uint32_t sub)
{
    struct cpuid_regs r;
    __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(sub));
    return r;
}
static inline void outb(uint16_t p, uint8_t v) { __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(p)); }
static inline uint8_t inb(uint16_t p) { uint8_t v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline void outw(uint16_t p, uint16_t v) { __asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(p)); }
static inline void outl(uint16_t p, uint32_t v) { __asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(p)); }
static inline uint32_t inl(uint16_t p) { uint32_t v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline uint64_t read_cr0(void) { uint64_t v; __asm__ volatile("mov %%cr0, %0" : "=r"(v)); return v; }
static inline uint64_t read_cr2(void) { uint64_t v; __asm__ volatile("mov %%cr2, %0" : "=r"(v)); return v; }
static inline uint64_t read_cr3(void) { uint64_t v; __asm__ volatile("mov %%cr3, %0" : "=r"(v)); return v; }
static inline uint64_t read_cr4(void) { uint64_t v; __asm__ volatile("mov %%cr4, %0" : "=r"(v)); return v; }
static inline void write_cr0(uint64_t v) { __asm__ volatile("mov %0, %%cr0" ::"r"(v) : "memory"); }
static inline void write_cr3(uint64_t v) { __asm__ volatile("mov %0, %%cr3" ::"r"(v) : "memory"); }
static inline void write_cr4(uint64_t v) { __asm__ volatile("mov %0, %%cr4" ::"r"(v) : "memory"); }
static inline void invlpg(const void *p) { __asm__ volatile("invlpg (%0)" ::"r"(p) : "memory"); }
static inline void mb(void) { __asm__ volatile("mfence" ::: "memory"); }
static inline void irq_on(void) { __asm__ volatile("sti" ::: "memory"); }
static inline void irq_off(void) { __asm__ volatile("cli" ::: "memory"); }

struct vcpu;
struct timer;

/* One per CPU. Fields without a letter are touched by their own CPU alone.
 * r: under `rq_lock`   t: under `timer_lock`   a: atomic */
struct cpu {
    struct cpu *self;            /* %gs:0 */
    uint32_t id;                 /* 0..nr_cpus-1 */
    uint32_t apic_id;
    uint64_t stack_top;
    struct vcpu *current;        /* vCPU being run or whose hypercall is served; 0 = idle (others: read only) */
    volatile uint32_t need_resched; /* a */
    volatile uint32_t idle;         /* a: halted or about to; a wake must send an IPI */
    struct spinlock rq_lock;
    struct list rq;              /* r: runnable vCPUs, vcpu.rq_node */
    uint32_t rq_len;             /* r */
    uint64_t slice_start_ns;     /* when `current` was put on */
    struct spinlock timer_lock;
    struct list timers;          /* t: struct timer, sorted by expiry */
    void *virt;                  /* vendor state (VMCB host save area, ASID generation) */
    void *tss;
    struct vcpu *fpu_owner;      /* whose FPU state is loaded */
    uint64_t idle_ns;
    uint64_t last_scrub_ns;
};

extern struct cpu *cpus[MAX_CPUS];
extern uint32_t nr_cpus;         /* online */
static inline struct cpu *this_cpu(void)
{
    struct cpu *c;
    __asm__("mov %%gs:0, %0" : "=r"(c));
    return c;
}
