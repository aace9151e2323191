/* SPDX-License-Identifier: MIT */
/*
 * What a guest's exit means. Whatever a guest does ends in an answer, an exception for it, or domain_crash.
 */
#include "common/regs.h"
#include "base/print.h"
#include "virt/filler.h"
#include "mem/gcopy.h"
#include "mem/npt.h"
#include "domain/domain.h"
#include "sched/sched.h"
#include "virt/svm.h"
#include "virt/virt.h"

#define FXSR_OPT     (1u << 25)
#define NPF_WRITE    (1ull << 1)
#define NPF_FETCH    (1ull << 4)
#define NPF_PATIENCE 100u /* faults in a row on a good mapping before we call it broken */
enum { OP_INT3 = 0xcc, OP_INTO = 0xce }; /* INT n between them */
enum { VEC_DB = 1, VEC_UD = 6, VEC_GP = 13, VEC_AC = 17 };

static void inject_gp(struct vcpu *v) { svm_inject(v, VEC_GP, true, 0); }
static void inject_ud(struct vcpu *v) { svm_inject(v, VEC_UD, false, 0); }

/* --- past an instruction -------------------------------------------------------------------------------------- */

static const uint8_t op_cpuid[] = { 0x0f, 0xa2 }, op_rdmsr[] = { 0x0f, 0x32 },
                     op_wrmsr[] = { 0x0f, 0x30 }, op_hlt[] = { 0xf4 },
                     op_vmmcall[] = { 0x0f, 0x01, 0xd9 }, op_xsetbv[] = { 0x0f, 0x01, 0xd1 },
                     op_invd[] = { 0x0f, 0x08 }, op_wbinvd[] = { 0x0f, 0x09 };
#define INSN_LEN(v, op) svm_insn_len(v, op, sizeof(op))

static void advance_to(struct vcpu *v, uint64_t rip)
{
    struct vmcb *b = svm_of(v)->vmcb;
    v->regs.rip = svm_is64(b) ? rip : (uint32_t)rip;
    b->int_state &= ~1ull;
    if (v->regs.rflags & RFLAGS_TF) { /* single stepping sees the instruction end */
        b->dr6 |= DR6_BS;
        svm_inject(v, VEC_DB, false, 0);
    }
}
static void advance(struct vcpu *v, unsigned len) { advance_to(v, v->regs.rip + len); }

/* --- MSRs that live in the VMCB ------------------------------------------------------------------------------- */

static bool pat_ok(uint64_t p)
{
    for (; p; p >>= 8)
        if ((p & 0xff) > 7 || (p & 0xff) == 2 || (p & 0xff) == 3)
            return false;
    return true;
}

uint64_t svm_efer_allowed(void)
{
    bool ffxsr = cpuid(0x80000001, 0).edx & FXSR_OPT; /* else VMRUN refuses it */
    return EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | (ffxsr ? EFER_FFXSR : 0);
}

static int write_efer(struct vmcb *b, uint64_t x)
{
    if ((x & ~svm_efer_allowed()) || ((x ^ b->efer) & EFER_LME && (b->cr0 & CR0_PG)))
        return -1;
    b->efer = (x & ~EFER_LMA) | (b->efer & EFER_LMA) |
              EFER_SVME; /* VMRUN wants SVME set: APM2 15.5.1 */
    return 0;
}

static int msr_write(struct vcpu *v, uint32_t msr, uint64_t x)
{
    struct svm_vcpu *a = svm_of(v);
    switch (msr) {
    case MSR_EFER: return write_efer(a->vmcb, x);
    case MSR_PAT:
        if (!pat_ok(x))
            return -1;
        a->vmcb->g_pat = x;
        return 0;
    case MSR_TSC_AUX:
        if (!svm_tsc_aux || x >> 32)
            return -1;
        a->tsc_aux = x;
        wrmsr(MSR_TSC_AUX, x); /* this CPU runs it; RDTSCP and RDPID read it without an exit */
        return 0;
    case MSR_DEBUGCTL: /* accepted, without branch records or branch stepping */ return 0;
    default: return virt_wrmsr(v, msr, x);
    }
}

static int msr_read(struct vcpu *v, uint32_t msr, uint64_t *x)
{
    struct svm_vcpu *a = svm_of(v);
    switch (msr) {
    case MSR_EFER: *x = a->vmcb->efer & ~EFER_SVME; return 0;
    case MSR_PAT: *x = a->vmcb->g_pat; return 0;
    case MSR_TSC_AUX: *x = a->tsc_aux; return svm_tsc_aux ? 0 : -1;
    case MSR_DEBUGCTL: *x = 0; return 0;
    default: return virt_rdmsr(v, msr, x);
    }
}

static void exit_msr(struct vcpu *v)
{
    bool wr = svm_of(v)->vmcb->exit_info1 & 1;
    unsigned len = wr ? INSN_LEN(v, op_wrmsr) : INSN_LEN(v, op_rdmsr);
    if (!len)
        return;
    uint32_t msr = (uint32_t)v->regs.rcx;
    uint64_t x = (uint32_t)v->regs.rax | v->regs.rdx << 32;
    int rc = wr ? msr_write(v, msr, x) : msr_read(v, msr, &x);
    if (rc) {
        log_debug("d%uv%u: #GP for %s of MSR %x", v->domain->id, v->id, wr ? "write" : "read", msr);
        inject_gp(v);
        return;
    }
    if (!wr) {
        v->regs.rax = (uint32_t)x;
        v->regs.rdx = x >> 32;
    }
    advance(v, len);
}

/* --- other instructions ------------------------------------------------------------------------------------------ */

static void exit_cpuid(struct vcpu *v)
{
    unsigned len = INSN_LEN(v, op_cpuid);
    if (!len)
        return;
    virt_cpuid(v);
    advance(v, len);
}

static void exit_hlt(struct vcpu *v)
{
    unsigned len = INSN_LEN(v, op_hlt);
    if (!len)
        return;
    advance(v, len);
    v->halted = true;
    vcpu_block(v);
}

static void exit_skip(struct vcpu *v, const uint8_t *op, unsigned n)
{
    unsigned len = svm_insn_len(v, op, n);
    if (len)
        advance(v, len);
}

static unsigned exit_vmmcall(struct vcpu *v)
{
    unsigned len = INSN_LEN(v, op_vmmcall);
    if (len)
        svm_of(v)->vmcb->int_state &= ~1ull;
    return len;
}

/* XCR0: x87 always; AVX needs SSE; the three AVX-512 parts go together and need AVX (SDM1 13.3). */
static bool xcr0_ok(uint64_t x)
{
    uint64_t zmm = x & 0xe0;
    if (!(x & 1) || (x & ~svm_xcr0_all))
        return false;
    if ((x & 4) && !(x & 2))
        return false;
    return !zmm || (zmm == 0xe0 && (x & 4));
}

static void exit_xsetbv(struct vcpu *v)
{
    struct svm_vcpu *a = svm_of(v);
    unsigned len = INSN_LEN(v, op_xsetbv);
    if (!len)
        return;
    uint64_t x = (uint32_t)v->regs.rax | v->regs.rdx << 32;
    if (!(a->vmcb->cr4 & CR4_OSXSAVE)) {
        inject_ud(v);
    } else if (a->vmcb->cpl || (uint32_t)v->regs.rcx || !xcr0_ok(x)) {
        inject_gp(v);
    } else {
        a->xcr0 = x; /* loaded before the next entry */
        advance(v, len);
    }
}

static void exit_io(struct vcpu *v)
{
    const struct vmcb *b = svm_of(v)->vmcb;
    uint64_t info = b->exit_info1;
    unsigned size = IOIO_SIZE(info);
    uint16_t port = IOIO_PORT(info);
    if ((info & IOIO_STRING) || (size != 1 && size != 2 && size != 4)) {
        inject_gp(v); /* would need an instruction decoder */
        return;
    }
    uint32_t mask = size == 4 ? ~0u : (1u << (8 * size)) - 1;
    if (info & IOIO_IN) {
        uint32_t x = virt_port_in(v, port, size) & mask;
        v->regs.rax = size == 4 ? x : (v->regs.rax & ~(uint64_t)mask) | x;
    } else {
        virt_port_out(v, port, size, (uint32_t)v->regs.rax & mask);
    }
    advance_to(v, b->exit_info2);
}

/* --- faults ---------------------------------------------------------------------------------------------------------- */

static const char *const type_name[] = {
    [P2M_NONE] = "nothing there",       [P2M_RAM] = "RAM",
    [P2M_RAM_RO] = "read-only RAM",     [P2M_GRANT_RW] = "grant",
    [P2M_GRANT_RO] = "read-only grant", [P2M_MMIO] = "device memory",
    [P2M_SHARED] = "page of the core",  [P2M_RAM_IMMUTABLE] = "page of the image",
    [P2M_FILLER] = "nothing there",     [P2M_FILLER_RO] = "nothing there",
};

static bool allowed(enum p2m_type t, uint64_t err)
{
    if (t == P2M_NONE)
        return false;
    if ((err & NPF_FETCH) && t != P2M_RAM && t != P2M_RAM_IMMUTABLE)
        return false;
    return !(err & NPF_WRITE) ||
           (t != P2M_RAM_RO && t != P2M_GRANT_RO && t != P2M_RAM_IMMUTABLE && t != P2M_FILLER_RO);
}

/* The mapping may have changed between the fault and now: then it is tried again; as where a filler went. Otherwise nobody can help
 * the guest. */
static void exit_npf(struct vcpu *v)
{
    struct svm_vcpu *a = svm_of(v);
    uint64_t err = a->vmcb->exit_info1, gpa = a->vmcb->exit_info2;
    enum p2m_type t;
    (void)p2m_lookup(v->domain, GFN(gpa >> PAGE_SHIFT), &t);
    if (allowed(t, err) && ++a->npf_again < NPF_PATIENCE) {
        svm_forget_asid(v);
        return;
    }
    if (t == P2M_NONE && !(err & NPF_FETCH) && filler_touch(v->domain, gpa, err & NPF_WRITE))
        return;
    domain_crash(v->domain, v, BH_CAUSE_NPF, "%s of guest-physical %lx: %s",
                 err & NPF_FETCH   ? "fetch"
                 : err & NPF_WRITE ? "write"
                                   : "read",
                 (unsigned long)gpa, type_name[t]);
}

static void exit_iret(struct vcpu *v)
{
    struct svm_vcpu *a = svm_of(v);
    a->nmi_blocked = false; /* one instruction early: a pending NMI then nests at most once */
    vmcb_intercept(a->vmcb, INTERCEPT_IRET, false);
}

/*
 * virt_emulated: an INT3, INTO or INT n is about to run, by the emulator's translation of the code, which may be older than the
 * code. If memory holds another instruction, what was translated is dropped (guest_rewrite_code) and the guest tries again.
 * Otherwise, or when it comes here from the same place again (behind a prefix, or not in RAM), it runs without the intercept, until
 * the next exit.
 */
static void exit_swint(struct vcpu *v)
{
    struct svm_vcpu *a = svm_of(v);
    uint8_t op;
    if (a->swint_rip != v->regs.rip && guest_rewrite_code(svm_linear_rip(v), &op) == 0 &&
        (op < OP_INT3 || op > OP_INTO)) {
        a->swint_rip = v->regs.rip;
        return;
    }
    a->swint_rip = ~0ull;
    vmcb_intercept(a->vmcb, INTERCEPT_SWINT, false);
}

/* --- dispatch ------------------------------------------------------------------------------------------------------------ */

/*
 * VMRUN refused the state; or, where virt_emulated, the guest moved to CR3 or CR4 what this CPU does not have, for which hardware raises
 * #GP and the emulator makes this exit, rip on the MOV. The emulator's VMRUN refuses most states before it has loaded them, and then leaves
 * the host's in the VMCB, which must never be run: SVM_NOT_ENTERED still stands there. What it refuses later it refuses again
 * with the #GP, which it then has not delivered.
 */
static void exit_invalid(struct vcpu *v)
{
    const struct vmcb *b = svm_of(v)->vmcb;
    if (virt_emulated && b->exit_info2 != SVM_NOT_ENTERED && !(b->exit_int_info & EVENT_VALID))
        inject_gp(v);
    else
        domain_crash(v->domain, v, BH_CAUSE_VMENTRY, "invalid guest state");
}

static void exit_shutdown(struct vcpu *v)
{
    domain_crash(v->domain, v, BH_CAUSE_TRIPLE_FAULT, "triple fault");
}

static void handle_rare(struct vcpu *v, uint64_t code)
{
    switch (code) {
    case EXIT_DR_READ ... EXIT_DR_WRITE_LAST: svm_use_debug_registers(v); break;
    case EXIT_EXC_DB: svm_inject(v, VEC_DB, false, 0); break;
    case EXIT_EXC_AC: svm_inject(v, VEC_AC, true, 0); break;
    case EXIT_EXC_MC: machine_check();
    case EXIT_RDPMC: inject_gp(v); break;
    case EXIT_IRET: exit_iret(v); break;
    case EXIT_INVD: /* caches are coherent for everybody: nothing to write back, and nothing may be dropped */
        exit_skip(v, op_invd, sizeof op_invd);
        break;
    case EXIT_WBINVD: exit_skip(v, op_wbinvd, sizeof op_wbinvd); break;
    case EXIT_XSETBV: exit_xsetbv(v); break;
    case EXIT_SWINT: exit_swint(v); break;
    case EXIT_RSM:
    case EXIT_INVLPGA:
    case EXIT_VMRUN:
    case EXIT_VMLOAD:
    case EXIT_VMSAVE:
    case EXIT_STGI:
    case EXIT_CLGI:
    case EXIT_SKINIT:
    case EXIT_MONITOR:
    case EXIT_MWAIT:
    case EXIT_MWAIT_ARMED:
    case EXIT_RDPRU:
        inject_ud(v); /* what CPUID does not announce */
        break;
    case EXIT_SHUTDOWN: exit_shutdown(v); break;
    default:
        if ((uint32_t)code == EXIT_INVALID)
            exit_invalid(v);
        else
            domain_crash(v->domain, v, BH_CAUSE_OTHER, "exit %lx", (unsigned long)code);
    }
}

unsigned svm_handle_exit(struct vcpu *v)
{
    struct svm_vcpu *a = svm_of(v);
    uint64_t code = a->vmcb->exit_code;
    enum bh_exit class = BH_EXIT_OTHER;
    unsigned call = 0;
    if (virt_emulated)
        vmcb_intercept(a->vmcb, INTERCEPT_SWINT, true);
    if (code != EXIT_NPF)
        a->npf_again = 0;
    switch (code) {
    case EXIT_VMMCALL:
        class = BH_EXIT_CALL;
        call = exit_vmmcall(v);
        break;
    case EXIT_INTR: /* the host's business, taken in the window after this */
        class = BH_EXIT_INTR;
        break;
    case EXIT_VINTR: /* a window to inject in */ class = BH_EXIT_WINDOW; break;
    case EXIT_NMI:
    case EXIT_SMI:
    case EXIT_INIT:
    case EXIT_FERR: /* the host's, too */ break;
    case EXIT_HLT:
        class = BH_EXIT_HLT;
        exit_hlt(v);
        break;
    case EXIT_MSR:
        class = BH_EXIT_MSR;
        exit_msr(v);
        break;
    case EXIT_CPUID:
        class = BH_EXIT_CPUID;
        exit_cpuid(v);
        break;
    case EXIT_IOIO:
        class = BH_EXIT_IO;
        exit_io(v);
        break;
    case EXIT_NPF:
        class = BH_EXIT_NPF;
        exit_npf(v);
        break;
    default: handle_rare(v, code);
    }
    v->counts.exits[class]++;
    return call;
}
