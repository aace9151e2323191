/* SPDX-License-Identifier: MIT */
/*
 * The scheduler: on each CPU shares by weight (share.h), in slices, with wake preemption for who is below its share, tickless; an idle
 * CPU takes a waiting vCPU whose affinity it is in from the longest queue, but leaves another idle one what that was told of. A
 * domain may have a cap (cap.h). One stack per CPU: sched_loop() picks a vCPU, and has what sched_listen was given enter it.
 * Nothing in the core sleeps: an operation that must wait returns HC_AGAIN or blocks its vCPU.
 */
#pragma once
#include "base/cpu.h"
#include "sched/share.h"
#include "sched/vcpu.h"

#define WAKE_PREEMPT_NS (200 * NS_PER_US)

/* Each CPU: its empty run queue; then its last call of start-up, which never returns. */
void sched_init_cpu(struct cpu *c);
void sched_loop(void) __noreturn;
/*
 * What the floors above have to do on a CPU, given once, before the first sched_loop; called by the loop, interrupts off, no lock held.
 * on_cpu: v is c's current; enters its guest and serves its exits, as long as sched_keeps(c, v) says before each entry.
 * when_idle (may be NULL): there is nothing to run; now is the system time.
 */
void sched_listen(void (*on_cpu)(struct cpu *c, struct vcpu *v), void (*when_idle)(uint64_t now));
bool sched_goes_on(struct cpu *c, const struct vcpu *v);
static inline bool sched_keeps(struct cpu *c, const struct vcpu *v)
{
    return !c->need_resched && sched_goes_on(c, v);
}
bool vcpu_runnable(const struct vcpu *v); /* see vcpu_recheck */
void vcpu_wake(struct vcpu *v); /* BLOCKED -> RUNNABLE; any CPU; kicks a CPU if that helps */
void vcpu_block(struct vcpu *v); /* current vCPU only; unless an event is already pending (no lost wake) */
void vcpu_mark_blocked(
    struct vcpu *v); /* the same in any case: who calls looks afterwards for what it waits for */
void vcpu_kick(struct vcpu *v);  /* wake it if blocked, make it exit if in guest: it has news */
void vcpu_pause(struct vcpu *v); /* raises pause_count and kicks; does not wait */
void vcpu_unpause(struct vcpu *v);
void vcpu_set_online(struct vcpu *v); /* OFFLINE -> RUNNABLE */
/* INIT took the vCPU away: it waits for a SIPI. Under the lock, so that a SIPI that came meanwhile is not lost. */
void vcpu_go_offline(struct vcpu *v);
void sched_yield(void); /* current goes to the queue's end */
bool must_yield(void);  /* long operations: time to return HC_AGAIN? (IRQ, wake, slice) */

/* A vCPU is run while its state is RUNNABLE, nobody paused it, and its domain is RUNNING and not made to hang. Whoever
 * changes one of these calls vcpu_recheck: it queues the vCPU, takes it off its queue, or makes it leave the guest. */
void vcpu_recheck(struct vcpu *v);

/* Parameters; any CPU. A vCPU that runs or waits where it may not any more goes elsewhere at once. */
uint32_t domain_cpus(void);                                 /* those that run domains, a bit each */
void sched_set_weight(struct vcpu *v, uint32_t weight);     /* 1..65535 */
void sched_set_affinity(struct vcpu *v, uint32_t affinity); /* with one of domain_cpus() at least */
void sched_pick_again(struct vcpu *v);                      /* if it runs, it begins anew */
void sched_let_go(struct vcpu *v);                          /* cap.h: its domain has time again */

/* Blocks the current vCPU until an event is pending (0) or system time reaches until_ns (-ETIME; 0: never): call it again
 * each time it says HC_AGAIN; the run loop does so itself, without executing the caller's hypercall again. BH_SVC_WAIT. */
long vcpu_wait(struct vcpu *v, uint64_t until_ns);
/* The same for a condition of the caller's. It is looked at after the vCPU is marked blocked, so a sender that makes it true
 * and then calls vcpu_kick or vcpu_wake is never missed. */
long vcpu_wait_for(struct vcpu *v, uint64_t until_ns, bool (*ready)(struct vcpu *v, void *arg),
                   void *arg);
void vcpu_wait_over(struct vcpu *v); /* v is in no wait any more: its call begins anew */
void sched_begin_op(void);           /* the door: must_yield counts from here */
