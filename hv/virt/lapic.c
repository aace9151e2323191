/* SPDX-License-Identifier: MIT */
/*
 * The virtual local APIC (SDM3 11.12, APM2 16.9-16.14). It is in x2APIC mode from the first instruction and stays there:
 * the memory-mapped one would need an instruction decoder; its page is a filler (virt/filler.h). It has no timer: guests use VIRQ_TIMER.
 * IRR bits are set by any CPU with atomics; all else belongs to the vCPU's own CPU.
 */
#include "virt/lapic.h"
#include "common/regs.h"
#include <bulkhead.h>
#include "base/string.h"
#include "domain/struct.h"
#include "sched/pending.h"
#include "sched/sched.h"
#include "virt/virt.h"

#define BASE_ADDR 0xfee00000ull
#define ICR_BUSY  (1ull << 12)
#define VERSION   0x50014u /* 6 LVT entries, as x2APICs have them */

enum reg {
    R_ID = 0x02,
    R_VERSION = 0x03,
    R_TPR = 0x08,
    R_PPR = 0x0a,
    R_EOI = 0x0b,
    R_LDR = 0x0d,
    R_DFR = 0x0e,
    R_SVR = 0x0f,
    R_ISR = 0x10,
    R_TMR = 0x18,
    R_IRR = 0x20,
    R_ESR = 0x28,
    R_LVT_CMCI = 0x2f,
    R_ICR = 0x30,
    R_LVT = 0x32,
    R_LVT_ERROR = 0x37,
    R_TMICT = 0x38,
    R_TMCCT = 0x39,
    R_TDCR = 0x3e,
    R_SELF_IPI = 0x3f
};
/* Of the error status register (SDM3 11.5.3); an access of a register that does not exist is #GP in x2APIC mode. */
enum { ESR_SEND_ILLEGAL = 1u << 5, ESR_RECEIVE_ILLEGAL = 1u << 6 };
enum delivery { DM_FIXED = 0, DM_LOWEST = 1, DM_NMI = 4, DM_INIT = 5, DM_SIPI = 6 };

static uint32_t ldr_of(uint32_t id) { return (id >> 4) << 16 | 1u << (id & 15); }

/* Vectors below 16 are illegal: the sender refused them. */
static void post(struct vcpu *v, uint32_t vector)
{
    __atomic_fetch_or(&v->apic.irr[vector / 32], 1u << (vector % 32), __ATOMIC_SEQ_CST);
    vcpu_kick(v);
}

/* An error that was not known since the last look: the error LVT's interrupt says so, unless it is masked or illegal itself. */
static void error(struct vcpu *v, uint32_t bit)
{
    uint32_t lvt = v->apic.lvt[R_LVT_ERROR - R_LVT], vector = lvt & 0xff;
    bool known = v->apic.errors & bit;
    v->apic.errors |= bit;
    if (known || (lvt & APIC_LVT_MASKED))
        return;
    if (vector < 16)
        v->apic.errors |= ESR_RECEIVE_ILLEGAL;
    else
        post(v, vector);
}

/* --- inter-processor interrupts --------------------------------------------------------------------------------- */

/* INIT stops the target wherever it is; its own CPU takes it offline (sched.c). A SIPI counts only for one that waits. */
static void deliver(struct vcpu *t, uint32_t mode, uint32_t vector)
{
    switch (mode) {
    case DM_FIXED:
    case DM_LOWEST: post(t, vector); break;
    case DM_NMI:
        t->nmi_pending = 1;
        vcpu_kick(t);
        break;
    case DM_INIT:
        t->wait_sipi = 1;
        vcpu_kick(t);
        break;
    case DM_SIPI:
        if (__atomic_exchange_n(&t->wait_sipi, 0, __ATOMIC_ACQ_REL)) {
            __atomic_store_n(&t->sipi_vector, 0x100 | vector, __ATOMIC_RELEASE);
            vcpu_set_online(t);
            vcpu_kick(t); /* it may have gone to sleep between the two, and be not offline */
        }
        break;
    default: break;
    }
}

static bool matches(const struct vcpu *t, uint32_t dest, bool logical)
{
    uint32_t id = BH_APIC_ID(t->id);
    if (dest == 0xffffffff)
        return true;
    if (!logical)
        return id == dest;
    uint32_t ldr = ldr_of(id);
    return (ldr >> 16) == (dest >> 16) && (ldr & dest & 0xffff);
}

static void send_ipi(struct vcpu *v, uint64_t icr)
{
    struct domain *d = v->domain;
    uint32_t mode = (icr >> 8) & 7, shorthand = (icr >> 18) & 3, vector = icr & 0xff,
             dest = (uint32_t)(icr >> 32);
    bool logical = icr & (1u << 11),
         deassert = mode == DM_INIT && !(icr & (1u << 14)) && (icr & (1u << 15));
    if (deassert)
        return; /* INIT level de-assert: nothing on any CPU since the Pentium 4 */
    if ((mode == DM_FIXED || mode == DM_LOWEST) && vector < 16) {
        error(v, ESR_SEND_ILLEGAL);
        return;
    }
    for (uint32_t i = 0; i < d->nr_vcpus; i++) {
        struct vcpu *t = d->vcpu[i];
        bool self = t == v, hit = shorthand == 1 ? self : shorthand == 2 || !self;
        if (shorthand == 0)
            hit = matches(t, dest, logical);
        if (!hit)
            continue;
        deliver(t, mode, vector);
        if (mode == DM_LOWEST)
            return; /* one is enough */
    }
}

/* --- registers ------------------------------------------------------------------------------------------------------ */

uint64_t lapic_base(const struct vcpu *v)
{
    return BASE_ADDR | APIC_BASE_EN | APIC_BASE_EXTD | (v->id ? 0 : APIC_BASE_BSP);
}
int lapic_set_base(struct vcpu *v, uint64_t x) { return x == lapic_base(v) ? 0 : -1; }

static unsigned lvt_index(uint32_t r)
{
    return (unsigned)clamp_nospec(r == R_LVT_CMCI ? 6 : r - R_LVT, 7);
}

int lapic_read(struct vcpu *v, uint32_t msr, uint64_t *x)
{
    uint32_t r = msr - MSR_X2APIC;
    switch (r) {
    case R_ID: *x = BH_APIC_ID(v->id); return 0;
    case R_VERSION: *x = VERSION; return 0;
    case R_TPR: *x = v->apic.tpr; return 0;
    case R_PPR: *x = vlapic_ppr(v); return 0;
    case R_LDR: *x = ldr_of(BH_APIC_ID(v->id)); return 0;
    case R_SVR: *x = v->apic.svr; return 0;
    case R_ISR ... R_ISR + 7: *x = v->apic.isr[(r - R_ISR) & 7]; return 0;
    case R_TMR ... R_TMR + 7: *x = 0; return 0; /* nothing is level-triggered */
    case R_IRR ... R_IRR + 7: *x = v->apic.irr[(r - R_IRR) & 7]; return 0;
    case R_ESR: *x = v->apic.esr; return 0;
    case R_ICR: *x = v->apic.icr; return 0; /* always idle */
    case R_LVT_CMCI:
    case R_LVT ... R_LVT + 5: *x = v->apic.lvt[lvt_index(r)]; return 0;
    case R_TMICT:
    case R_TMCCT: *x = 0; return 0;
    case R_TDCR: *x = v->apic.timer_dcr; return 0;
    default: return -1;
    }
}

/* SDM3 11.4.7.1; a register is the first word of 16 bytes. */
void lapic_page(uint32_t *page)
{
    memset(page, 0, PAGE_SIZE);
    page[R_ID * 4] = BH_APIC_ID(0) << 24;
    page[R_VERSION * 4] = VERSION;
    page[R_DFR * 4] = 0xffffffff;
    page[R_SVR * 4] = APIC_SVR_RESET;
    for (uint32_t r = R_LVT; r <= R_LVT + 5; r++)
        page[r * 4] = APIC_LVT_MASKED;
}

static int write_tpr(struct vcpu *v, uint64_t x)
{
    if (x & ~0xffull)
        return -1;
    v->apic.tpr = (uint32_t)x;
    return 0;
}

static int write_eoi(struct vcpu *v, uint64_t x)
{
    if (x)
        return -1;
    int vec = vlapic_highest(v->apic.isr);
    if (vec >= 0)
        v->apic.isr[vec / 32] &= ~(1u << (vec % 32));
    return 0;
}

/* A write, of 0 only, makes readable what has gone wrong since the last one. */
static int write_esr(struct vcpu *v, uint64_t x)
{
    if (x)
        return -1;
    v->apic.esr = v->apic.errors;
    v->apic.errors = 0;
    return 0;
}

/* SDM3 11.4.7.2: while it is switched off, every LVT entry is masked. */
static int write_svr(struct vcpu *v, uint32_t x)
{
    v->apic.svr = x & 0x1ff;
    for (unsigned i = 0; !(x & APIC_SVR_ON) && i < ARRAY_SIZE(v->apic.lvt); i++)
        v->apic.lvt[i] |= APIC_LVT_MASKED;
    return 0;
}

static int write_lvt(struct vcpu *v, uint32_t r, uint32_t x)
{
    v->apic.lvt[lvt_index(r)] = v->apic.svr & APIC_SVR_ON ? x : x | APIC_LVT_MASKED;
    return 0;
}

static int self_ipi(struct vcpu *v, uint64_t x)
{
    if (x & ~0xffull)
        return -1;
    if (x < 16)
        error(v, ESR_SEND_ILLEGAL);
    else
        post(v, (uint32_t)x);
    return 0;
}

int lapic_write(struct vcpu *v, uint32_t msr, uint64_t x)
{
    uint32_t r = msr - MSR_X2APIC, lo = (uint32_t)x;
    if (r != R_ICR && x >> 32)
        return -1;
    switch (r) {
    case R_TPR: return write_tpr(v, x);
    case R_EOI: return write_eoi(v, x);
    case R_SVR: return write_svr(v, lo);
    case R_ESR: return write_esr(v, x);
    case R_ICR:
        v->apic.icr = x & ~ICR_BUSY;
        send_ipi(v, x);
        return 0;
    case R_LVT_CMCI:
    case R_LVT ... R_LVT + 5: return write_lvt(v, r, lo); /* but the error's no source ever fires */
    case R_TMICT: return 0;                               /* never counts */
    case R_TDCR: v->apic.timer_dcr = lo & 0xb; return 0;
    case R_SELF_IPI: return self_ipi(v, x);
    default: return -1;
    }
}
