/* SPDX-License-Identifier: MIT */
/*
 * A virtual CPU: scheduling state, guest registers, and what Xen's ABI attaches to it. The vendor's state is `arch`,
 * which only struct virt_ops (virt/virt.h) looks into.
 *
 * Run states change under the run-queue lock of v->cpu (take it, re-check v->cpu, go on).
 * Fields: q: that lock; o: only the CPU that runs it (v->running) or with the vCPU stopped; a: atomic; d: d->lock
 */
#pragma once
#include <stdint.h>
#include <bulkhead.h>
#include <xen/xen.h>
#include <xen/hvm/hvm_vcpu.h>
#include "base/cpu.h"
#include "mem/gcopy.h"
#include "time/time.h"

struct domain;

enum { CONTEXT_WRITING = 1, CONTEXT_READY };
enum vcpu_state { VCPU_OFFLINE, VCPU_RUNNABLE, VCPU_BLOCKED };

struct regs { /* order of bh_report.gpr */
    uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rip, rflags;
};

struct vlapic {                                        /* x2APIC only */
    uint32_t svr, tpr, esr, errors, lvt[7], timer_dcr; /* errors: since ESR was last written */
    uint64_t icr;
    _Alignas(8) uint32_t irr[8]; /* a: posted by others */
    _Alignas(8) uint32_t isr[8];
};

/* An access to configuration space that waits for its answer (pci/trap.h). d->lock; its own CPU begins and ends it. */
enum trap_state { TRAP_NONE, TRAP_WAITING, TRAP_ANSWERED };
struct cfg_trap {
    uint8_t state; /* a to read: enum trap_state */
    uint8_t devfn, off, size;
    bool write;
    uint32_t value; /* written, or the answer */
    uint64_t serial;
};

struct vcpu {
    struct domain *domain;
    uint32_t id;
    struct cpu *cpu;           /* q: whose run queue it is or was on */
    struct list rq_node;       /* q */
    enum vcpu_state state;     /* q */
    uint32_t pause_count;      /* q: not run while > 0 */
    volatile uint32_t running; /* q to set; cleared (release) when out of the guest and of the core */
    volatile uint32_t in_guest; /* a: between VM entry and exit, or the core goes where the guest could (gcopy.c) */
    volatile uint32_t wait_sipi;   /* a: after INIT */
    volatile uint32_t sipi_vector; /* a: 0x100 | vector when one arrived */
    volatile uint32_t kicked;      /* a: something to look at before the next entry */
    volatile uint32_t nmi_pending; /* a */
    /* VCPUOP_initialise, taken by its own CPU before the first entry: 0 none, CONTEXT_WRITING, CONTEXT_READY. a */
    volatile uint32_t context_state;
    struct vcpu_hvm_context context;
    bool phys_ptr;    /* o: BH_SVC_PTR_MODE */
    bool yielded;     /* q */
    bool initialised; /* has register state */

    struct regs regs;             /* o: loaded/stored around every entry */
    struct gmemo memo[NR_GMEMOS]; /* o: translations of its pointers, see gcopy.c */
    void *arch;                   /* vendor part */
    uint64_t npt_gen;             /* o: last generation flushed, see npt.h */
    struct vlapic apic;

    /* Event delivery. vcpu_info lies in shared_info until registered elsewhere. */
    struct vcpu_info *info; /* core address of it, NULL when none; d */
    mfn_t info_mfn;         /* pinned frame when registered, else INVALID_MFN */
    uint8_t upcall_vector;  /* HVMOP_set_evtchn_upcall_vector, 0 = domain-wide callback */

    struct timer singleshot;     /* VCPUOP_set_singleshot_timer -> VIRQ_TIMER */
    struct timer poll_timer;     /* SCHEDOP_poll, BH_SVC_WAIT time-outs */
    bool poll_timed_out;         /* o */
    volatile uint32_t poll_port; /* SCHEDOP_poll: waited-for port, ~0u = several/any, 0 = not polling */
    uint8_t redo_len; /* o: a hypercall said HC_AGAIN: length of its instruction, served before the next entry */
    bool halted;     /* o: executed HLT: enters the guest again only with something to deliver */
    bool waiting;    /* inside BH_SVC_WAIT or SCHEDOP_poll: re-executed hypercall resumes */
    bool wait_event; /* o: vcpu_wait said HC_AGAIN, and no hypercall was executed since */
    uint64_t wait_until;

    struct cfg_trap trap;

    struct spinlock info_lock; /* senders hold it while they touch *info; evtchn_info_drop takes info away under it */

    /* Progress of a long hypercall that is executed again (HC_AGAIN): valid while op and argument are the same. o */
    uint64_t hc_op, hc_arg, hc_done;

    uint16_t virq_port[NR_VIRQS]; /* evtchn lock */
    uint64_t cpu_ns;              /* o: CPU time */
    struct bh_counts counts;      /* o; others read: see vcpu_counts */
    uint64_t vtime;               /* q: sched/share.h */
    uint64_t per_weight;          /* q: 2^32 by the weight */
    int64_t slice;                /* q: virtual time of one */
    uint32_t weight;              /* q */
    bool shares;                  /* q: among those that share its CPU */
    bool boosted;                 /* q: joined as one that woke below its share */
    bool held;                    /* q: pause_count has one for its domain's cap, see sched/cap.h */
    uint32_t affinity;            /* q: CPUs that it may run on, a bit each */
    uint64_t slice_used; /* q: ns of its slice that it had before a wake took the CPU from it, not charged yet */
};

_Static_assert(sizeof(struct vcpu) <= 2048, "a class of kmalloc");

/* vCPU id of d, offline, on no CPU. 0 or -ENOMEM. Freed when d's last reference goes: it runs nowhere then. */
int vcpu_create(struct domain *d, uint32_t id) __must_check;
void vcpu_free(struct vcpu *v);
/* Out of the guest and of the core (acquire). */
static inline bool vcpu_stopped(const struct vcpu *v)
{
    return !__atomic_load_n(&v->running, __ATOMIC_ACQUIRE);
}
/* Neither waits for SIPI nor halted with interrupts off, from which but an NMI only INIT and SIPI bring it back: so does a kernel with one that it
 * takes down. Of one that runs it may be a moment old. */
bool vcpu_online(const struct vcpu *v);
uint64_t vcpu_cpu_ns(const struct vcpu *v); /* CPU time, the running slice included */

/* The counters that what this CPU does is added to: of the vCPU that it serves, else its own. Only the CPU that serves a vCPU writes
 * that one's counters, only a CPU its own: a plain increment. */
static inline struct bh_counts *counts(void) { return this_cpu()->counts; }
/* Adds c to *sum. Takes no lock: a counter is an aligned word, which is read whole; those that are read do not belong to one moment. */
void counts_add(struct bh_counts *sum, const struct bh_counts *c);
void counts_ended(struct bh_counts *sum); /* adds those of vCPUs that were freed */
void counts_keep(const struct vcpu *v); /* v is freed: the machine's sum goes on with what it counted */
/* Interrupts, NMI, start-up: something that ends HLT, SCHEDOP_block and the like. */
bool vcpu_has_work(const struct vcpu *v);
void vcpu_publish_time(struct vcpu_time_info *t); /* the constant pvclock record */
/* Timers off, registrations dropped: vcpu_info is in shared_info again. The vCPU is stopped. */
void vcpu_unregister(struct vcpu *v);
/* Back to the state after creation: timers off, registrations dropped, offline. The vCPU is stopped. */
void vcpu_reset(struct vcpu *v);
