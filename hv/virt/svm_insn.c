/* SPDX-License-Identifier: MIT */
/*
 * The length of an intercepted instruction: from NRIP save or, without it, from reading the instruction: prefixes, then the opcode
 * that the exit code promises.
 *
 * Reading goes through the guest's tables, four levels and a page, each through the p2m: dear, and a kernel makes the same few exits
 * all the time. So what was read is remembered, with where it was read: the same CR3, entries, bytes and generation of the p2m
 * give the same length, whoever runs and whatever was changed meanwhile. All of it is looked at again each time; only the p2m is not
 * walked. The pointers are good then: the vCPU still counts as in the guest with the generation that they were taken in, so npt_flush
 * waits for it before a page of that generation goes to anybody else; the guest itself could read there. What a kernel runs is
 * remembered, no user's: those have too many.
 */
#include "base/string.h"
#include "mem/gcopy.h"
#include "common/regs.h"
#include "domain/domain.h"
#include "virt/svm.h"
#include "virt/virt.h"

uint64_t svm_linear_rip(const struct vcpu *v)
{
    const struct vmcb *b = svm_of(v)->vmcb;
    return svm_is64(b) ? v->regs.rip : (uint32_t)(b->cs.base + v->regs.rip);
}

/* --- remembered ------------------------------------------------------------------------------------------------- */

static struct insn_memo *memo_of(struct svm_vcpu *a, uint64_t rip)
{
    return &a->insn[(rip ^ rip >> 4) % NR_INSNS];
}

struct word {
    uint64_t bytes;
} __attribute__((packed, may_alias)); /* a load, wherever it stands */

static bool wants_length(uint64_t code)
{
    return code == EXIT_VMMCALL || code == EXIT_CPUID || code == EXIT_MSR || code == EXIT_HLT;
}

void svm_insn_look(struct vcpu *v)
{
    struct svm_vcpu *a = svm_of(v);
    const struct vmcb *b = a->vmcb;
    const struct insn_memo *m = memo_of(a, b->rip);
    uint64_t bytes;

    a->insn_len = 0;
    if (m->rip != b->rip || !m->len || !wants_length(b->exit_code) || m->cr3 != b->cr3 ||
        m->gen != v->npt_gen || !svm_is64(b) || (b->cr4 & CR4_LA57))
        return;
    __asm__ volatile(
        "lfence" ::
            : "memory"); /* no pointer is followed, not even speculatively, that may be another's by now */
    if (!gtrace_holds(&m->at))
        return;
    bytes = ((const struct word *)m->at.byte)->bytes;
    if (!((bytes ^ m->bytes) << (64 - 8 * m->len)))
        a->insn_len = m->len;
}

/* What decode has just read: within a page, and short enough to be compared as a word. */
static void remember(struct vcpu *v, const uint8_t *insn, unsigned len)
{
    struct svm_vcpu *a = svm_of(v);
    const struct vmcb *b = a->vmcb;
    uint64_t rip = v->regs.rip;
    struct insn_memo *m = memo_of(a, rip),
                     new = { .rip = rip, .cr3 = b->cr3, .gen = READ_ONCE(v->domain->p2m.gen) };

    if (b->cpl || !svm_is64(b) || len > sizeof new.bytes ||
        (rip & (PAGE_SIZE - 1)) > PAGE_SIZE - sizeof new.bytes)
        return;
    mb(); /* the generation before what is read in it */
    memcpy(&new.bytes, insn, sizeof new.bytes);
    new.len = guest_trace(rip, &new.at) ? 0 : len;
    *m = new;
}

/* --- read ------------------------------------------------------------------------------------------------------- */

static bool is_prefix(uint8_t c, bool long64)
{
    switch (c) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0x66:
    case 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3: return true;
    default: return long64 && (c & 0xf0) == 0x40;
    }
}

/* Length of the instruction at rip, whose opcode must be op[0..n); 0: it is another, or not readable. */
static unsigned decode(struct vcpu *v, const uint8_t *op, unsigned n, uint8_t insn[15])
{
    bool long64 = svm_is64(svm_of(v)->vmcb);
    uint64_t at = svm_linear_rip(v);
    unsigned i = 0, got = 0, matched = 0;
    while (i < 15) {
        if (i == got) { /* the rest, but not of a page that it may not reach into */
            unsigned part = MIN(15 - got, (unsigned)(PAGE_SIZE - ((at + got) & (PAGE_SIZE - 1))));
            if (copy_from_guest(insn + got, GADDR(at + got), part))
                return 0;
            got += part;
        }
        uint8_t c = insn[i++];
        if (c == op[matched]) {
            if (++matched == n)
                return i;
        } else if (matched || !is_prefix(c, long64)) {
            return 0;
        }
    }
    return 0;
}

unsigned svm_insn_read(struct vcpu *v, const uint8_t *op, unsigned n)
{
    const struct vmcb *b = svm_of(v)->vmcb;
    uint8_t insn[15];
    if (svm_nrip && b->next_rip - v->regs.rip - 1 < 15)
        return (unsigned)(b->next_rip - v->regs.rip);
    unsigned len = decode(v, op, n, insn);
    if (!len)
        domain_crash(v->domain, v, BH_CAUSE_OTHER, "unreadable instruction (exit %lx)",
                     (unsigned long)b->exit_code);
    else
        remember(v, insn, len);
    return len;
}
