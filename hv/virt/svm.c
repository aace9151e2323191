/* SPDX-License-Identifier: MIT */
/*
 * AMD SVM with nested paging (APM volume 2, chapter 15): turning it on, vCPU state, and the way into the guest. Exits are
 * in svm_exit.c. Works without NRIP save, decode assists and flush-by-ASID.
 *
 * Every VMRUN carries the whole state (no clean bits). A vCPU's FPU state is saved whenever it leaves a CPU, and loaded when it
 * comes to one whose registers are not its own any more.
 */
#include "virt/svm.h"
#include <bulkhead.h>
#include "arch/irq.h"
#include "common/regs.h"
#include "base/print.h"
#include "base/string.h"
#include "mem/frame.h"
#include "domain/struct.h"
#include "sched/irqs_off.h"
#include "sched/pending.h"
#include "virt/virt.h"

#define PAT_RESET   0x0007040600070406ull
#define ATTR_DB     (1u << 10)
#define ATTR_CODE32 0xc9b
#define ATTR_DATA   0xc93
#define ATTR_CODE16 0x09b
#define ATTR_DATA16 0x093
#define ATTR_TSS32  0x08b
#define ATTR_LDT    0x082

struct virt_mitigations virt_mitigations;
bool svm_nrip;
uint64_t svm_xcr0_all;
static uint32_t nr_asids;
bool svm_tsc_aux;
static void *msrpm, *iopm; /* 8 and 12 KiB, contiguous */

static struct svm_cpu *cpu_of(struct cpu *c) { return c->virt; }
static void set_xcr0(uint64_t x)
{
    struct svm_cpu *s = cpu_of(this_cpu());
    if (s->xcr0 == x)
        return;
    __asm__ volatile("xsetbv" ::"c"(0), "a"((uint32_t)x), "d"((uint32_t)(x >> 32)));
    s->xcr0 = x;
}

/* --- once ------------------------------------------------------------------------------------------------ */

/* Two bits an MSR, read and write, 1 = intercepted: APM2 15.11. */
static void msr_pass(uint32_t msr, bool rd, bool wr)
{
    bool high = msr >=
                0xc0000000; /* the second of three ranges of 0x2000 MSRs; nothing of the third is passed */
    uint32_t off = high ? msr - 0xc0000000 : msr;
    uint8_t *p = (uint8_t *)msrpm + (high ? 0x800 : 0) + off / 4;
    unsigned bit = (off % 4) * 2;
    *p = (uint8_t)(*p & ~((rd ? 1u << bit : 0) | (wr ? 2u << bit : 0)));
}

/* Everything is intercepted but what VMLOAD/VMSAVE switches anyway, and TSC_AUX for reading. The time stamp counter, too: guests use
 * RDTSC, and QEMU's emulation has no such MSR. */
static void msr_bitmap_init(void)
{
    static const uint32_t resident[] = {
        0x174,      0x175,      0x176,                  /* SYSENTER_CS, ESP, EIP */
        0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, /* STAR, LSTAR, CSTAR, SFMASK */
        0xc0000100, 0xc0000101, 0xc0000102,             /* FS base, GS base, kernel GS base */
    };
    memset(msrpm, 0xff, 2 * PAGE_SIZE);
    for (unsigned i = 0; i < ARRAY_SIZE(resident); i++)
        msr_pass(resident[i], true, true);
    if (svm_tsc_aux)
        msr_pass(MSR_TSC_AUX, true, false);
}

static int svm_detect(void)
{
    if (cpuid(0x80000000, 0).eax < 0x8000000a || !(cpuid(0x80000001, 0).ecx & (1u << 2))) {
        log_err("this CPU has no SVM");
        return -ENODEV;
    }
    if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS) {
        log_err("SVM is disabled by the firmware");
        return -ENODEV;
    }
    struct cpuid_regs r = cpuid(0x8000000a, 0);
    if (!(r.edx & 1)) {
        log_err("this CPU has no nested paging");
        return -ENODEV;
    }
    if (!(cpuid(1, 0).ecx & (1u << 26)) || cpuid(0xd, 0).ecx > PAGE_SIZE) {
        log_err("this CPU has no XSAVE, or a state larger than a page");
        return -ENODEV;
    }
    nr_asids = r.ebx;
    svm_nrip = r.edx & (1u << 3);
    svm_tsc_aux = cpuid(0x80000001, 0).edx & (1u << 27) ||
                  (cpuid(0, 0).eax >= 7 && cpuid(7, 0).ecx & (1u << 22));
    svm_xcr0_all = cpuid(0xd, 0).eax & XCR0_KNOWN;
    return nr_asids > 1 ? 0 : -ENODEV;
}

/* IBPB, and whether XSAVE and XRSTOR always carry the x87 pointers: CPUID 8000_0008 ebx, as of AMD; the first also as of Intel,
 * which emulators of the one may announce for the other. */
static void find_mitigations(void)
{
    uint32_t b = cpuid(0x80000000, 0).eax >= 0x80000008 ? cpuid(0x80000008, 0).ebx : 0;
    virt_mitigations.ibpb = b & (1u << 12) || (cpuid(0, 0).eax >= 7 && cpuid(7, 0).edx & (1u << 26));
    virt_mitigations.x87_kept = b & (1u << 2);
    virt_mitigations.lfence = true; /* until a CPU does not */
}

static int once(void)
{
    if (iopm)
        return 0;
    int rc = svm_detect();
    if (rc)
        return rc;
    msrpm = core_alloc(1);
    iopm = core_alloc(2);
    if (!msrpm || !iopm)
        return -ENOMEM;
    msr_bitmap_init();
    find_mitigations();
    memset(iopm, 0xff, 3 * PAGE_SIZE); /* every port is intercepted */
    virt_features |= svm_nrip ? BH_SYS_NRIP : 0;
    return 0;
}

static int svm_cpu_init(struct cpu *c)
{
    if (c->virt)
        return 0;
    int rc = once();
    if (rc)
        return rc;
    struct svm_cpu *s = kmalloc(sizeof *s);
    void *host = core_alloc(0);
    if (!s || !host || !(s->hsave = core_alloc(0)))
        return -ENOMEM;
    s->host_vmcb = virt_to_maddr(host);
    s->asid_gen = 1;
    s->asid_next = 1;
    s->asid_max = nr_asids - 1;
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_HSAVE_PA, virt_to_maddr(s->hsave).v);
    write_cr0((read_cr0() & ~(CR0_EM | CR0_TS)) |
              CR0_MP); /* MP, not EM or TS: the FPU is switched with the vCPU, never lazily */
    write_cr4(read_cr4() | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE);
    virt_msr_cpu_init();
    c->virt = s;
    set_xcr0(svm_xcr0_all);
    __asm__ volatile("vmsave %%rax" ::"a"(s->host_vmcb.v)
                     : "memory"); /* TR, GS and the like stay as they are now */
    return 0;
}

/* --- vCPU state -------------------------------------------------------------------------------------------- */

static void seg(struct vmcb_seg *s, uint16_t sel, uint16_t attr, uint32_t limit, uint64_t base)
{
    *s = (struct vmcb_seg){ sel, attr, limit, base };
}

static void intercepts(struct vmcb *b)
{
    static const uint8_t on[] = {
        INTERCEPT_INTR,     INTERCEPT_NMI,     INTERCEPT_INIT,    INTERCEPT_RDPMC,
        INTERCEPT_CPUID,    INTERCEPT_RSM,     INTERCEPT_INVD,    INTERCEPT_HLT,
        INTERCEPT_INVLPGA,  INTERCEPT_IOIO,    INTERCEPT_MSR,     INTERCEPT_FERR,
        INTERCEPT_SHUTDOWN, INTERCEPT_VMRUN,   INTERCEPT_VMMCALL, INTERCEPT_VMLOAD,
        INTERCEPT_VMSAVE,   INTERCEPT_STGI,    INTERCEPT_CLGI,    INTERCEPT_SKINIT,
        INTERCEPT_WBINVD,   INTERCEPT_MONITOR, INTERCEPT_MWAIT,   INTERCEPT_MWAIT_ARMED,
        INTERCEPT_XSETBV,   INTERCEPT_RDPRU,
    };
    for (unsigned i = 0; i < ARRAY_SIZE(on); i++)
        vmcb_intercept(b, (enum vmcb_intercept)on[i], true);
    b->intercept_dr = 0xffffffff; /* until first used */
    /* #DB and #AC can be made to loop in their own delivery without an end (CVE-2015-8104, CVE-2015-5307); a machine check
     * is the host's. */
    b->intercept_exc = (1u << 1) | (1u << 17) | (1u << 18);
}

/* FPU state as after reset. MXCSR counts even when XSTATE_BV says initial: SDM1 13.8.1. */
static void fpu_reset(struct svm_vcpu *a)
{
    memset(a->xsave, 0, PAGE_SIZE);
    *(uint16_t *)a->xsave = 0x37f;
    *(uint32_t *)((char *)a->xsave + 24) = 0x1f80;
    a->xcr0 = 1;
}

/* What INIT and the PVH entry have in common. */
void svm_state_reset(struct vcpu *v)
{
    struct svm_vcpu *a = svm_of(v);
    struct vmcb *b = a->vmcb;
    memset(b, 0, sizeof *b);
    intercepts(b);
    b->iopm_base = virt_to_maddr(iopm).v;
    b->msrpm_base = virt_to_maddr(msrpm).v;
    b->int_ctl = V_INTR_MASKING;
    b->nested_ctl = 1;
    b->nested_cr3 = v->domain->p2m.root_maddr.v;
    b->efer = EFER_SVME;
    b->g_pat = PAT_RESET;
    b->dr6 = 0xffff0ff0;
    b->dr7 = 0x400;
    b->rflags = 2;
    seg(&b->ldtr, 0, ATTR_LDT, 0xffff, 0);
    seg(&b->tr, 0, ATTR_TSS32, 0x67, 0);
    seg(&b->gdtr, 0, 0, 0xffff, 0);
    seg(&b->idtr, 0, 0, 0xffff, 0);
    memset(&v->regs, 0, sizeof v->regs);
    v->regs.rflags = 2;
    a->asid_gen = 0;
    a->dr_used = a->nmi_blocked = a->upcall_in = false;
    memset(a->insn, 0, sizeof a->insn);
    a->swint_rip = ~0ull;
    memset(a->dr, 0, sizeof a->dr);
    a->tsc_aux = 0;
    a->last_cpu = NULL;
    fpu_reset(a);
    v->initialised = true;
}

/* A domain's instances are numbered at their entry, which its first vCPU has: so a restart makes another domain of it. */
static uint64_t instances;
static uint64_t instance_of(const struct vcpu *v) { return svm_of(v->domain->vcpu[0])->instance; }

static void svm_set_pvh_entry(struct vcpu *v, uint64_t eip, uint64_t ebx)
{
    struct vmcb *b = svm_of(v)->vmcb;
    struct vmcb_seg *data[] = { &b->es, &b->ss, &b->ds, &b->fs, &b->gs };
    svm_state_reset(v);
    seg(&b->cs, 8, ATTR_CODE32, 0xffffffff, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(data); i++)
        seg(data[i], 16, ATTR_DATA, 0xffffffff, 0);
    b->cr0 = 0x11; /* PE, ET */
    svm_of(v)->instance = __atomic_add_fetch(&instances, 1, __ATOMIC_RELAXED);
    v->regs.rip = eip;
    v->regs.rbx = ebx;
}

static void svm_set_sipi(struct vcpu *v, uint8_t vector)
{
    struct vmcb *b = svm_of(v)->vmcb;
    struct vmcb_seg *data[] = { &b->es, &b->ss, &b->ds, &b->fs, &b->gs };
    svm_state_reset(v);
    seg(&b->cs, (uint16_t)(vector << 8), ATTR_CODE16, 0xffff, (uint64_t)vector << 12);
    for (unsigned i = 0; i < ARRAY_SIZE(data); i++)
        seg(data[i], 0, ATTR_DATA16, 0xffff, 0);
    b->cr0 = 0x10;
}

/* A CPU's fpu_owner may go on naming it: only that CPU writes there. A later vCPU at the same address does not pass for this
 * one, because its last_cpu is NULL until it was put on. */
static void svm_vcpu_free(struct vcpu *v)
{
    struct svm_vcpu *a = svm_of(v);
    if (!a)
        return;
    if (a->vmcb)
        core_free(a->vmcb, 0);
    if (a->xsave)
        core_free(a->xsave, 0);
    kfree(a, sizeof *a);
    v->arch = NULL;
}

static int svm_vcpu_init(struct vcpu *v)
{
    struct svm_vcpu *a = kmalloc(sizeof *a);
    if (!a)
        return -ENOMEM;
    v->arch = a;
    a->vmcb = core_alloc(0);
    a->xsave = core_alloc(0);
    if (!a->vmcb || !a->xsave) {
        svm_vcpu_free(v);
        return -ENOMEM;
    }
    a->vmcb_maddr = virt_to_maddr(a->vmcb);
    svm_state_reset(v);
    v->initialised = false;
    return 0;
}

/* --- on and off a CPU ---------------------------------------------------------------------------------------- */

/* Always every component, also those that the guest has switched off at the moment: the next one must not find them. */
static void fpu_save(struct svm_vcpu *a)
{
    set_xcr0(svm_xcr0_all);
    __asm__ volatile("xsave64 (%0)" ::"r"(a->xsave), "a"(~0u), "d"(~0u) : "memory");
}
/* Where XRSTOR leaves the x87 pointers alone when no exception is pending (APM4, FXRSTOR), they are made to point into the core
 * first: not what another guest left. FNCLEX and EMMS, so that FILD itself neither faults nor overflows. */
static void fpu_load(struct svm_vcpu *a)
{
    static const uint32_t zero;
    if (!virt_mitigations.x87_kept)
        __asm__ volatile("fnclex; emms; fildl %0" ::"m"(zero));
    set_xcr0(svm_xcr0_all);
    __asm__ volatile("xrstor64 (%0)" ::"r"(a->xsave), "a"(~0u), "d"(~0u) : "memory");
}

static void dr_load(const uint64_t dr[4])
{
    __asm__ volatile("mov %0, %%db0; mov %1, %%db1; mov %2, %%db2; mov %3, %%db3" ::"r"(dr[0]),
                     "r"(dr[1]), "r"(dr[2]), "r"(dr[3]));
}
static void dr_save(uint64_t dr[4])
{
    __asm__ volatile("mov %%db0, %0; mov %%db1, %1; mov %%db2, %2; mov %%db3, %3"
                     : "=r"(dr[0]), "=r"(dr[1]), "=r"(dr[2]), "=r"(dr[3]));
}

/* FPU state is saved; DR0-3, if the guest used them, too, and intercepted again, so that nobody finds another's. The registers
 * themselves stay as they are: if nobody else runs here meanwhile they need not be loaded again. */
static void svm_switch_from(struct vcpu *v)
{
    struct svm_vcpu *a = svm_of(v);
    if (this_cpu()->fpu_owner == v && a->last_cpu == this_cpu())
        fpu_save(a);
    if (a->dr_used) {
        dr_save(a->dr);
        a->dr_used = false;
        a->vmcb->intercept_dr = 0xffffffff;
    }
}

void svm_use_debug_registers(struct vcpu *v)
{
    struct svm_vcpu *a = svm_of(v);
    dr_load(a->dr);
    a->dr_used = true;
    a->vmcb->intercept_dr = 0;
}

void svm_forget_asid(struct vcpu *v) { svm_of(v)->asid_gen = 0; }

static void new_asid(struct svm_cpu *s, struct svm_vcpu *a)
{
    if (s->asid_next > s->asid_max) {
        s->asid_gen++;
        s->asid_next = 1;
        s->flush = true;
    }
    a->vmcb->asid = s->asid_next++;
    a->asid_gen = s->asid_gen;
}

static void switch_to(struct cpu *c, struct vcpu *v)
{
    struct svm_vcpu *a = svm_of(v);
    struct svm_cpu *s = cpu_of(c);
    if (a->last_cpu != c) {
        a->last_cpu = c;
        a->asid_gen = 0; /* an ASID of another CPU means nothing here */
    }
    if (s->instance !=
        instance_of(v)) { /* its indirect branches must not go where another trained them to */
        s->instance = instance_of(v);
        if (virt_mitigations.ibpb)
            wrmsr(MSR_PRED_CMD, PRED_IBPB);
    }
    fpu_load(a);
    c->fpu_owner = v;
    if (svm_tsc_aux)
        wrmsr(MSR_TSC_AUX, a->tsc_aux);
}

/* --- injection -------------------------------------------------------------------------------------------------- */

void svm_inject(struct vcpu *v, unsigned vector, bool has_err, uint32_t err)
{
    svm_of(v)->upcall_in = false; /* it may take the place of one */
    svm_of(v)->vmcb->event_inj = has_err ? vmcb_event_err(vector, err)
                                         : vmcb_event(EVENT_EXC, vector);
}

/* The one event that goes in with this entry; and a window is asked for when something waits that cannot go in yet. */
static void prepare_events(struct vcpu *v)
{
    struct svm_vcpu *a = svm_of(v);
    struct vmcb *b = a->vmcb;
    bool busy = b->event_inj & EVENT_VALID, shadow = b->int_state & 1;

    if (v->nmi_pending && !busy && !shadow && !a->nmi_blocked) {
        v->nmi_pending = 0;
        b->event_inj = vmcb_event(EVENT_NMI, 2);
        a->nmi_blocked = true;
        vmcb_intercept(b, INTERCEPT_IRET, true);
        busy = true;
    }
    int vec = vcpu_pending_vector(v);
    bool window = v->nmi_pending && !a->nmi_blocked;
    if (vec >= 0 && !busy && !shadow && (b->rflags & RFLAGS_IF)) {
        b->event_inj = vmcb_event(EVENT_INTR, (unsigned)vec);
        a->upcall_in = vcpu_vector_injected(v, vec);
    } else if (vec >= 0) {
        /* The bit of an up-call that is in stays until its handler clears it, which it does before interrupts are on again. What
         * comes after that kicks (evtchn_raise). */
        window |= !a->upcall_in || !vcpu_only_upcall(v);
    } else {
        a->upcall_in = false; /* cleared: what sets it again, be it the guest itself, is new */
    }
    /* A virtual interrupt that is never taken: its intercept comes when the guest could take one (APM2 15.21.4). */
    vmcb_intercept(b, INTERCEPT_VINTR, window);
    b->int_ctl = (b->int_ctl & V_TPR_MASK) | V_INTR_MASKING | (window ? V_IRQ | V_IGN_TPR : 0);
    if (virt_emulated && (b->event_inj & EVENT_VALID) && EVENT_TYPE(b->event_inj) == EVENT_INTR)
        apic_send_ipi(this_cpu()->id, VEC_KICK); /* held by clgi until the event is in */
}

/* An event whose delivery was cut short by the exit is delivered again; software interrupts come by themselves, because
 * rip is still on their instruction. */
static void requeue_event(struct vmcb *b)
{
    uint64_t e = b->exit_int_info;
    b->event_inj = 0;
    if (!(e & EVENT_VALID) || EVENT_TYPE(e) == EVENT_SOFT)
        return;
    if (EVENT_TYPE(e) == EVENT_EXC && (EVENT_VECTOR(e) == 3 || EVENT_VECTOR(e) == 4))
        return;
    b->event_inj = e;
}

/* --- one entry and one exit ---------------------------------------------------------------------------------------- */

static void sync_in(struct vcpu *v)
{
    struct vmcb *b = svm_of(v)->vmcb;
    b->rax = v->regs.rax;
    b->rsp = v->regs.rsp;
    b->rip = v->regs.rip;
    b->rflags = v->regs.rflags;
}
static void sync_out(struct vcpu *v)
{
    const struct vmcb *b = svm_of(v)->vmcb;
    v->regs.rax = b->rax;
    v->regs.rsp = b->rsp;
    v->regs.rip = b->rip;
    v->regs.rflags = b->rflags;
}

/* QEMU's emulator runs XSETBV without looking at the intercept: what is loaded counts. */
static void sync_xcr0(struct svm_vcpu *a)
{
    uint32_t lo, hi;

    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    a->xcr0 = cpu_of(this_cpu())->xcr0 = lo | (uint64_t)hi << 32;
}

static unsigned svm_run(struct vcpu *v)
{
    struct cpu *c = this_cpu();
    struct svm_vcpu *a = svm_of(v);
    struct svm_cpu *s = cpu_of(c);

    if (c->fpu_owner != v || a->last_cpu != c)
        switch_to(c, v);
    set_xcr0(a->xcr0);
    /* DR7 comes with the VMCB, DR0-3 do not: what its breakpoints compare with must be its own, not what another left. */
    if (!a->dr_used && (a->vmcb->dr7 & DR7_ENABLED))
        svm_use_debug_registers(v);
    if (__atomic_exchange_n(&v->kicked, 0,
                            __ATOMIC_SEQ_CST)) /* what it was for is looked at below, after it was taken */
        a->upcall_in = false;
    sync_in(v);
    prepare_events(v);
    v->in_guest = 1;
    mb(); /* against vcpu_kick and npt_flush: they write, then read in_guest; we write that, then read theirs */
    uint64_t gen = v->domain->p2m.gen;
    if (v->npt_gen != gen || a->asid_gen != s->asid_gen) {
        new_asid(s, a);
        WRITE_ONCE(v->npt_gen, gen);
    }
    if (v->kicked || c->need_resched) {
        v->in_guest = 0; /* what was prepared stays in the VMCB for the next time */
        return 0;
    }
    a->vmcb->tlb_control = s->flush ? TLB_FLUSH_ALL : 0;
    s->flush = false;
    struct vmcb *b = a->vmcb;
    if (virt_emulated)
        b->exit_info2 = SVM_NOT_ENTERED;
    bool shadow = virt_emulated && (b->int_state & 1) && !(b->event_inj & EVENT_VALID);
    svm_enter(&v->regs, a->vmcb_maddr.v, s->host_vmcb.v, shadow);
    irqs_off_begin(OFF_EXIT_OF((uint32_t)b->exit_code));
    if (!svm_nrip)
        svm_insn_look(v);
    v->in_guest = 0;
    sync_xcr0(a);
    sync_out(v);
    requeue_event(b);
    return svm_handle_exit(v);
}

/* --- for the rest of the core ----------------------------------------------------------------------------------------- */

static uint64_t svm_get_cr(const struct vcpu *v, unsigned n)
{
    const struct vmcb *b = svm_of(v)->vmcb;
    switch (n) {
    case 0: return b->cr0;
    case 2: return b->cr2;
    case 3: return b->cr3;
    case 4: return b->cr4;
    case CR_EFER: return b->efer;
    case CR_XCR0: return svm_of(v)->xcr0;
    default: return 0;
    }
}
static unsigned svm_cpl(const struct vcpu *v) { return svm_of(v)->vmcb->cpl; }
static unsigned svm_code_bits(const struct vcpu *v)
{
    const struct vmcb *b = svm_of(v)->vmcb;
    if (!(b->cr0 & CR0_PE))
        return 0;
    if ((b->efer & EFER_LMA) && (b->cs.attr & ATTR_L))
        return 64;
    return b->cs.attr & ATTR_DB ? 32 : 16;
}
static void svm_exit_info(const struct vcpu *v, uint64_t *code, uint64_t *info1, uint64_t *info2)
{
    const struct vmcb *b = svm_of(v)->vmcb;
    *code = b->exit_code;
    *info1 = b->exit_info1;
    *info2 = b->exit_info2;
}

const struct virt_ops svm_ops = {
    .name = "AMD SVM with nested paging",
    .cpu_init = svm_cpu_init,
    .vcpu_init = svm_vcpu_init,
    .vcpu_free = svm_vcpu_free,
    .set_pvh_entry = svm_set_pvh_entry,
    .set_sipi = svm_set_sipi,
    .context_ok = svm_context_ok,
    .set_context = svm_set_context,
    .run = svm_run,
    .switch_from = svm_switch_from,
    .get_cr = svm_get_cr,
    .cpl = svm_cpl,
    .code_bits = svm_code_bits,
    .exit_info = svm_exit_info,
};
