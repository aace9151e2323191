/* SPDX-License-Identifier: MIT */
/*
 * Descriptor tables and exceptions of the core. An exception here is a broken core (the guests' own stay in the guests), so
 * each one is reported and ends in panic, but those of an instruction listed in .ex_table (rdmsr_safe and the like).
 * #DF, NMI and #MC have stacks of their own (IST, SDM3 6.14.5), so that a stack overflow can still be told.
 */
#include "arch/trap.h"
#include "arch/machine.h"
#include "arch/irq.h"
#include "base/cpu.h"
#include "base/print_internal.h"
#include "base/string.h"
#include "mem/frame.h"
#include "mem/paging.h"

struct cpu_tables {
    uint64_t gdt[5];
    struct tss tss;
};
enum { IST_DF = 1, IST_NMI = 2, IST_MC = 3 };
enum { VEC_NMI = 2, VEC_DF = 8, VEC_GP = 13, VEC_PF = 14, VEC_MC = 18 };
#define IST_PAGES 2

extern const uint8_t idt_stubs[];
extern const struct {
    uint64_t at, fixup;
} __ex_table_start[], __ex_table_end[];
static struct gate idt[256] __aligned(16);

static void set_gate(unsigned v, uint8_t ist)
{
    idt[v] = trap_gate((uint64_t)idt_stubs + v * 16, ist);
}

static void load_idt(void)
{
    struct desc_ptr p = { sizeof idt - 1, (uint64_t)idt };
    __asm__ volatile("lidt %0" ::"m"(p));
}

void trap_init_early(void)
{
    for (unsigned v = 0; v < 256; v++)
        set_gate(v, 0);
    load_idt();
}

void trap_init_cpu(struct cpu *c)
{
    struct cpu_tables *t = kmalloc(sizeof *t);
    if (!t)
        panic("no memory for the tables of CPU %u", c->id);
    t->gdt[1] = 0x00af9b000000ffff; /* 64-bit code, accessed */
    t->gdt[2] = 0x00cf93000000ffff; /* data */
    trap_tss(&t->tss, &t->gdt[SEL_TSS / 8]);
    for (unsigned i = IST_DF; i <= IST_MC; i++) {
        void *top = stack_alloc(IST_PAGES);
        if (!top)
            panic("no memory for the exception stacks of CPU %u", c->id);
        t->tss.ist[i - 1] = (uint64_t)top;
    }
    c->tss = t;
}

void trap_load(struct cpu *c)
{
    struct cpu_tables *t = c->tss;
    struct desc_ptr p = { sizeof t->gdt - 1, (uint64_t)t->gdt };
    t->gdt[SEL_TSS / 8] &= ~(2ull << 40); /* not busy: ltr would fault */
    __asm__ volatile("lgdt %0\n\t"
                     "pushq %1\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n"
                     "1: movl %2, %%eax\n\t"
                     "movl %%eax, %%ds\n\t"
                     "movl %%eax, %%es\n\t"
                     "movl %%eax, %%ss\n\t"
                     "ltr %w3" ::"m"(p),
                     "i"(SEL_CODE), "i"(SEL_DATA), "r"((uint16_t)SEL_TSS)
                     : "rax", "memory");
    /* The same gates for every CPU: the first to have IST stacks turns them on. */
    set_gate(VEC_DF, IST_DF);
    set_gate(VEC_NMI, IST_NMI);
    set_gate(VEC_MC, IST_MC);
    load_idt();
}

static void report(const struct trap_frame *f)
{
    uint64_t cr2 = read_cr2();
    console_claim(false);
    log_err("exception %lu (%s), error code %lx, in the core", f->vector, trap_name(f->vector),
            f->error);
    log_err("  rip %016lx  rsp %016lx  rflags %08lx  cs %lx", f->rip, f->rsp, f->rflags, f->cs);
    log_err("  rax %016lx  rcx %016lx  rdx %016lx  rbx %016lx", f->rax, f->rcx, f->rdx, f->rbx);
    log_err("  rbp %016lx  rsi %016lx  rdi %016lx  r8  %016lx", f->rbp, f->rsi, f->rdi, f->r8);
    log_err("  r9  %016lx  r10 %016lx  r11 %016lx  r12 %016lx", f->r9, f->r10, f->r11, f->r12);
    log_err("  r13 %016lx  r14 %016lx  r15 %016lx", f->r13, f->r14, f->r15);
    log_err("  cr0 %lx  cr2 %016lx  cr3 %lx  cr4 %lx", read_cr0(), cr2, read_cr3(), read_cr4());
    if ((f->vector == VEC_PF || f->vector == VEC_DF) && stack_guard_hit(cr2))
        log_err("  the address is a stack's guard page: stack overflow");
    print_backtrace(f->rbp);
}

static bool fixed_up(struct trap_frame *f)
{
    for (size_t i = 0; &__ex_table_start[i] < __ex_table_end; i++)
        if (__ex_table_start[i].at == f->rip) {
            f->rip = __ex_table_start[i].fixup;
            return true;
        }
    return false;
}

void trap_entry(struct trap_frame *f)
{
    if (f->vector >= 32) {
        irq_dispatch((uint8_t)f->vector);
        return;
    }
    if (f->vector == VEC_NMI) {
        if (apic_stop_wanted())
            cpu_stop();
        this_cpu()->nmis++; /* told by print_deferred: it may have come between any two instructions, of the APIC's too */
        return;
    }
    if (f->vector == VEC_GP && fixed_up(f))
        return;
    if (f->vector == VEC_MC)
        machine_check();
    report(f);
    panic("exception %lu at %lx", f->vector, f->rip);
}
