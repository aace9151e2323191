/* SPDX-License-Identifier: MIT */
/* AMD SVM: what svm.c (CPUs, vCPUs, entry) and svm_exit.c (exits) share. */
#pragma once
#include "mem/gcopy.h"
#include "common/regs.h"
#include "sched/vcpu.h"
#include "virt/vmcb.h"

/* Per CPU (cpu.virt). */
struct svm_cpu {
    maddr_t host_vmcb; /* the host's part of VMSAVE/VMLOAD */
    uint64_t asid_gen; /* ASIDs are handed out upwards; when they are used up, a new generation begins with a full flush */
    uint32_t asid_next, asid_max;
    bool flush;        /* the next entry flushes every ASID */
    uint64_t xcr0;     /* what this CPU has loaded */
    uint64_t instance; /* of the domain that ran here last */
    void *hsave;
};

/* An instruction whose length is known, and all that it was read from: svm_insn.c. */
#define NR_INSNS 8u
struct insn_memo {
    uint64_t rip, cr3, gen, bytes;
    struct gtrace at;
    unsigned len;
}; /* len 0: none */

/* Per vCPU (vcpu.arch). */
struct svm_vcpu {
    struct vmcb *vmcb;
    maddr_t vmcb_maddr;
    void *xsave;          /* FPU and vector state while not loaded; a page */
    struct cpu *last_cpu; /* where it ran last: FPU state there is ours if cpu.fpu_owner says so too */
    uint64_t asid_gen;    /* valid on last_cpu */
    uint64_t xcr0;        /* the guest's */
    uint64_t dr[4];       /* the guest's DR0-3 while not loaded */
    uint64_t tsc_aux;
    uint64_t instance;  /* of the domain; its first vCPU's counts */
    bool dr_used;       /* DR0-3 are loaded and not intercepted */
    uint32_t npf_again; /* faults in a row that found a good mapping */
    bool nmi_blocked;   /* an NMI handler runs: until IRET */
    bool upcall_in; /* an up-call went in, and nothing since says that its bit is another one's */
    unsigned insn_len; /* of the instruction that made this exit, 0: not known yet */
    struct insn_memo insn[NR_INSNS];
    uint64_t swint_rip; /* virt_emulated: where an INT that memory does not hold was tried again; ~0: nowhere */
};

/* virt_emulated: in exit_info2 before an entry; VMRUN clears it when it has found the state good, as hardware does. */
#define SVM_NOT_ENTERED (~0ull)

static inline struct svm_vcpu *svm_of(const struct vcpu *v) { return v->arch; }

extern bool svm_nrip;
extern bool svm_tsc_aux;      /* the MSR is there: RDTSCP or RDPID is */
extern uint64_t svm_xcr0_all; /* the host's XCR0: everything a guest may enable */

void svm_enter(struct regs *r, uint64_t guest_vmcb, uint64_t host_vmcb, bool shadow); /* svm_entry.S */
unsigned svm_handle_exit(struct vcpu *v); /* the length of the hypercall instruction that made it, else 0 */
void svm_state_reset(
    struct vcpu *v); /* what INIT and every entry have in common; the vCPU has register state then */
uint64_t svm_efer_allowed(void);                       /* what a guest may set in EFER */
bool svm_context_ok(const struct vcpu_hvm_context *c); /* svm_context.c; see virt_ops */
void svm_set_context(struct vcpu *v, const struct vcpu_hvm_context *c);
void svm_use_debug_registers(struct vcpu *v); /* loads DR0-3 and stops intercepting them */
void svm_forget_asid(struct vcpu *v);         /* nothing cached for it is used any more */
#define ATTR_L (1u << 9)
static inline bool svm_is64(const struct vmcb *b)
{
    return (b->efer & EFER_LMA) && (b->cs.attr & ATTR_L);
}

/* svm_insn.c: for exits whose instruction's length nobody tells. */
uint64_t svm_linear_rip(const struct vcpu *v);
void svm_insn_look(struct vcpu *v); /* right after an exit, the vCPU still counts as in the guest: may know the length */
unsigned svm_insn_read(struct vcpu *v, const uint8_t *op, unsigned n);
/* Of the instruction that made this exit, whose opcode is op[0..n). 0: the domain was crashed. */
static inline unsigned svm_insn_len(struct vcpu *v, const uint8_t *op, unsigned n)
{
    unsigned known = svm_of(v)->insn_len;
    return known ? known : svm_insn_read(v, op, n);
}
void svm_inject(struct vcpu *v, unsigned vector, bool has_err, uint32_t err); /* an exception */
