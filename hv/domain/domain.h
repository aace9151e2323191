/* SPDX-License-Identifier: MIT */
/* A domain: the one kind of compartment. What is done with one, from its creation to its end. */
#pragma once
#include "domain/table.h"

extern struct domain *control_domain;

/* HC_AGAIN: call it again, it takes longer to find a domid. */
int domain_create(const struct bh_create *c, struct domain **out) __must_check;
/* The domain did it: marks it crashed (first one wins), stops its vCPUs, fills the report from v (may be NULL), tells
 * the control domain (VIRQ_DOM_EXC); whose own end gives the console back to the core. Any context, no locks held. */
void domain_crash(struct domain *d, struct vcpu *v, enum bh_crash_cause cause, const char *fmt, ...)
    __printf(4, 5);
void domain_shutdown(struct domain *d,
                     uint32_t reason); /* SCHEDOP_shutdown; the control domain's is a crash */
/* Given once, at the start: what is called when a domain has ended and the control domain does not run. Any context, no lock held. */
void domain_listen(void (*nobody_looks)(void));
/* BUILDING -> RUNNING (seals): vCPU 0 goes online. Its entry state must be set. Takes d->lock. -EINVAL otherwise. */
int domain_start(struct domain *d) __must_check;
void domain_recheck(struct domain *d); /* d->state or d->hang changed: vcpu_recheck of each vCPU */
/* What a domain without the physical console says goes to a ring of its own, printable characters and single newlines: it can push
 * out nobody's words but its own, and costs no line of the core's log. Both take d->lock; domain_words is as log_read. */
void domain_say(struct domain *d, const char *text, size_t n);
size_t domain_words(struct domain *d, uint64_t *pos, char *buf, size_t n);
uint64_t domain_cpu_ns(struct domain *d);
void domain_pause(struct domain *d); /* all vCPUs; does not wait */
void domain_unpause(struct domain *d);
void notify_control(uint32_t virq); /* VIRQ_DOM_EXC, VIRQ_CON_RING, VIRQ_CONSOLE to the holder */

/* BH_CTL_SETUP_RINGS, the pages being RAM: ports, parameters, grant entries 0 and 1. The control domain gets no console port. d is under
 * construction, d->op_lock held where there are others. 0 or -errno */
int domain_setup_rings(struct domain *d, struct bh_setup_rings *r) __must_check;
/* BH_CTL_POPULATE; *done pages were made before. HC_AGAIN until done */
int domain_populate_kind(struct domain *d, uint64_t gfn, uint64_t nr, bool reserved,
                         uint64_t *done) __must_check;
static inline __must_check int domain_populate(struct domain *d, uint64_t gfn, uint64_t nr,
                                               uint64_t *done)
{
    return domain_populate_kind(d, gfn, nr, false, done);
}
/* BH_CTL_SLOT_WRITE: n words at gpa (a multiple of 8) of the slot table. -EACCES, and nothing is written, if one of them lies
 * outside of it or in a page that is not immutable. d->op_lock held, so that no page of it goes meanwhile. */
int domain_table_write(struct domain *d, uint64_t gpa, const uint64_t *word, unsigned n) __must_check;
/* BH_CTL_PROTECT; *done pages were made before. HC_AGAIN until done */
int domain_protect(struct domain *d, uint64_t gfn, uint64_t nr, uint64_t *done) __must_check;
int domain_restart(struct domain *d,
                   uint32_t flags) __must_check; /* BH_RESTART_*; HC_AGAIN until done */
/* Nobody is there to restart d: if it crashed, its devices' DMA ends already now. d->op_lock held. 0; HC_AGAIN: it is not out of the core
 * yet, call again. */
int domain_fence_dma(struct domain *d) __must_check;
int domain_soft_reset(struct domain *d) __must_check; /* HC_AGAIN until done */
int domain_destroy(struct domain *d) __must_check;    /* HC_AGAIN until done */
/* BH_CTL_FORGET: no service names the domid any more. -EBUSY: something is left of the domain, -ESRCH: there is none. */
int domid_forget(domid_t id) __must_check;
/* A guest's. -ENOSPC; HC_AGAIN: call it again, it takes longer to find one. */
int domid_alloc(domid_t *id) __must_check;
void domid_free(domid_t id, bool services_know); /* not before domid_forget if services know it */
/* Destroyed domains whose last frame came back leave the list; the control operations call it. */
void domain_reap(void);

/* --- domain/deadline.c ------------------------------------------------------------------------------------------------ */

void deadline_init(struct domain *d); /* the timers of a new domain */
void deadline_cancel_all(struct domain *d); /* restart, destroy: deadline, watchdog, injection, hang are off */
/* Hang deadline (BH_SVC_DEADLINE): armed, anew each time; 0 = off. */
void deadline_arm(struct domain *d, uint64_t ms);
/* A crash out of the blue, for tests of recovery (BH_CTL_CRASH). */
void deadline_inject_crash(struct domain *d,
                           uint32_t after_ms); /* at a random instruction within some milliseconds from then on */
void deadline_hang(struct domain *d);       /* no CPU time from now on */
void deadline_inject_entry(struct vcpu *v); /* before an entry, if d->inject: is it due? */
/* SCHEDOP_watchdog; id 0: a new one. Its id or -errno */
int watchdog_set(struct domain *d, uint32_t id, uint32_t seconds);
