/* SPDX-License-Identifier: MIT */
/*
 * A domain: the one kind of compartment. Found by domid; kept alive by references (domain_get/put, domain/table.c).
 *
 * Fields: L: d->lock; E: d->evtchn.lock; G: d->grant.lock; a: atomic; c: constant after create
 */
#pragma once
#include <stdint.h>
#include <xen/xen.h>
#include <bulkhead.h>
#include "ipc/evtchn.h"
#include "base/lock.h"
#include "mem/frame.h"
#include "ipc/grant.h"
#include "mem/npt.h"
#include "sched/vcpu.h"

#define MAX_EXTENTS  8
#define DOMAIN_WORDS 2048u

struct domain {
    struct domain *next;            /* list lock: sorted by domid */
    struct domain *hash_next;       /* list lock */
    bool counted;                   /* list lock: one of the guests that there may be */
    bool ended;                     /* list lock to set: its destroy is complete */
    void (*free)(struct domain *d); /* c: what the last domain_put calls */
    domid_t id;                     /* c */
    uint8_t role;                   /* c: enum bh_role */
    uint8_t flags;                  /* c: BH_CREATE_* */
    volatile uint8_t state;         /* L: enum bh_domstate */
    volatile uint32_t refs;         /* a */
    struct spinlock lock;
    char name[BH_NAME_LEN]; /* c */
    uint8_t uuid[16];       /* c */
    int32_t clock_offset;   /* c: seconds that its wall clock is ahead of UTC */

    uint32_t nr_vcpus; /* c */
    struct vcpu *vcpu[BH_MAX_VCPUS];

    /* Memory */
    struct p2m p2m;
    volatile uint64_t tot_pages; /* a: frames owned */
    uint64_t max_pages;          /* L */
    uint64_t ram_promised; /* heap lock: frames of RAM that are kept for it, whoever asks (frame_promise) */
    volatile uint64_t allowance_used; /* heap lock: frames of the core that count against its allowance */
    uint64_t allowance;               /* heap lock */
    uint64_t iommu_promised;          /* pci lock: of the allowance, for the IOMMU's table */
    struct {
        uint64_t gfn, nr;
        bool reserved;
    } extent[MAX_EXTENTS]; /* L: what POPULATE gave, for restart and memory map */
    uint32_t nr_extents;
    uint32_t nr_fillers;        /* a: pages of its own at places that nobody backs */
    bool filler_ro_said;        /* a */
    uint64_t keep_gfn;          /* c */
    uint32_t nr_keep;           /* c */
    uint64_t table_gfn;         /* c: slot table, written by BH_CTL_SLOT_WRITE alone */
    uint32_t nr_table;          /* c */
    struct shared_info *shared; /* c: core page, P2M_SHARED where the guest puts it */
    uint64_t shared_gfn;        /* L: ~0ull if nowhere */

    struct grant_table grant;
    struct evtchn_table evtchn;

    /* Slot pages (SETUP_RINGS) */
    bool rings; /* L */
    uint64_t console_gfn, store_gfn;
    uint16_t console_domid, store_domid;
    uint32_t console_port, store_port;
    uint64_t hvm_param[64];  /* L: by HVM_PARAM_* below 64 */
    uint8_t callback_vector; /* L: from HVM_PARAM_CALLBACK_IRQ */

    /* Life */
    uint32_t pause_count;     /* L: BH_CTL_PAUSE */
    bool once_sealed;         /* L: keep pages may not be written any more */
    uint32_t shutdown_reason; /* L */
    uint32_t shutdown_vcpu;   /* L: who said it */
    struct bh_report report;  /* L */
    uint64_t instance, crash_ns, restart_ns, unpause_ns, adopted_ns; /* L */
    uint64_t dma_ns;                                                 /* pci lock */
    bool adopted, served; /* L: what this instance said of itself */
    struct spinlock op_lock; /* only tried, never waited for: one control operation at a time; outside the order */
    uint32_t op_stage; /* op_lock: where a restart or destroy stands (HC_AGAIN), 0 = none under way */
    uint64_t op_cursor;
    struct grant_cursor op_redirect; /* op_lock */
    bool restart_fresh;              /* op_lock: this restart replaces immutable pages too */

    /* Hang deadline (BH_SVC_DEADLINE): see domain/deadline.c */
    uint64_t deadline_ms; /* 0 = off */
    uint64_t deadline_missed;
    struct timer deadline_timer;
    uint64_t deadline_cpu_ns;   /* CPU time when it was last armed */
    uint32_t deadline_ticks;    /* a: looks in a row that counted (domain/deadline.c) */
    struct timer watchdog[2];   /* SCHEDOP_watchdog */
    struct spinlock watch_lock; /* which of watchdog[] is in use */

    struct timer inject_timer; /* BH_CRASH_INJECT */
    volatile uint32_t inject;  /* a: enum inject_state of domain/deadline.c */
    uint64_t inject_until;     /* crash it by then, blocked or not */
    volatile uint32_t hang;    /* a: BH_CRASH_HANG */

    struct pci_dev *devices; /* pci lock; only whether there are any, none: assigned devices, pci_dev.next_owned */
    struct iommu_domain *iommu; /* pci lock: IOMMU table, NULL without devices */
    char *words; /* L: ring, the last DOMAIN_WORDS of what it said by console_io and port 0xE9 */
    uint64_t words_end; /* L: position of the next byte */
};

/* Memory may be in single frames: what is large has an allocation of its own. */
_Static_assert(sizeof(struct domain) <= 4096, "a domain fits into a frame");

extern struct domain *control_domain;

/* Looks up and takes a reference; NULL if there is none. */
struct domain *domain_get(domid_t id) __must_check;
struct domain *domain_get_next(domid_t from) __must_check; /* lowest domid >= from */
void domain_put(struct domain *d);
/* Puts d into the table; others find it as soon as there is a reference. When the last one goes, free is called. -EEXIST, -ENOSPC */
int domain_list(struct domain *d, void (*free)(struct domain *d)) __must_check;
void domain_unlink(struct domain *d); /* out of it: nobody finds it any more */
static inline struct domain *current_domain(void) { return this_cpu()->current->domain; }

/* HC_AGAIN: call it again, it takes longer to find a domid. */
int domain_create(const struct bh_create *c, struct domain **out) __must_check;
/* The domain did it: marks it crashed (first one wins), stops its vCPUs, fills the report from v (may be NULL), tells
 * the control domain (VIRQ_DOM_EXC). When it is the control domain itself: panic, for now. Any context, no locks held. */
void domain_crash(struct domain *d, struct vcpu *v, enum bh_crash_cause cause, const char *fmt, ...)
    __printf(4, 5);
void domain_shutdown(struct domain *d, uint32_t reason); /* SCHEDOP_shutdown */
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
/* No vCPU in guest or core. */
static inline bool domain_stopped(const struct domain *d)
{
    for (uint32_t i = 0; i < d->nr_vcpus; i++)
        if (!vcpu_stopped(d->vcpu[i]))
            return false;
    return true;
}
void notify_control(uint32_t virq); /* VIRQ_DOM_EXC, VIRQ_CON_RING, VIRQ_CONSOLE to the holder */

/* BH_CTL_POPULATE; *done pages were made before. HC_AGAIN until done */
int domain_populate_kind(struct domain *d, uint64_t gfn, uint64_t nr, bool reserved,
                         uint64_t *done) __must_check;
static inline __must_check int domain_populate(struct domain *d, uint64_t gfn, uint64_t nr,
                                               uint64_t *done)
{
    return domain_populate_kind(d, gfn, nr, false, done);
}
/* Where the builder put RAM, whatever is there now. */
static inline bool domain_in_extent(const struct domain *d, uint64_t gfn)
{
    for (uint32_t i = 0; i < d->nr_extents; i++)
        if (gfn - d->extent[i].gfn < d->extent[i].nr)
            return true;
    return false;
}
static inline bool domain_is_table(const struct domain *d, uint64_t gfn)
{
    return d->nr_table && gfn - d->table_gfn < d->nr_table;
}
/* BH_CTL_SLOT_WRITE: n words at gpa (a multiple of 8) of the slot table. -EACCES, and nothing is written, if one of them lies
 * outside of it or in a page that is not immutable. d->op_lock held, so that no page of it goes meanwhile. */
int domain_table_write(struct domain *d, uint64_t gpa, const uint64_t *word, unsigned n) __must_check;
/* BH_CTL_PROTECT; *done pages were made before. domain/restart.c; HC_AGAIN until done */
int domain_protect(struct domain *d, uint64_t gfn, uint64_t nr, uint64_t *done) __must_check;
int domain_restart(struct domain *d,
                   uint32_t flags) __must_check; /* BH_RESTART_*; domain/restart.c; HC_AGAIN until done */
int domain_soft_reset(struct domain *d)
    __must_check; /* BH_CTL_SOFT_RESET; domain/restart.c; HC_AGAIN until done */
int domain_destroy(struct domain *d) __must_check; /* domain/restart.c; HC_AGAIN until done */
/* BH_CTL_FORGET: no service names the domid any more. -EBUSY: something is left of the domain, -ESRCH: there is none. */
int domid_forget(domid_t id) __must_check;
int domid_alloc(domid_t *id)
    __must_check; /* a guest's. -ENOSPC; HC_AGAIN: call it again, it takes longer to find one */
void domid_free(domid_t id, bool services_know); /* not before domid_forget if services know it */
/* A destroy is complete; what is left is what others hold of it. */
static inline bool domain_destroyed(const struct domain *d) { return READ_ONCE(d->ended); }
/* Destroyed domains whose last frame came back leave the list; the control operations call it. domain/restart.c */
void domain_reap(void);
/* One of them, with a reference, or NULL. */
struct domain *domain_get_gone(void) __must_check;
/* Its destroy is complete: from now on it is not one of the guests that there may be, whoever still maps a page of it. */
void domain_ended(struct domain *d);
/* Off the list, and drops the list's own reference: the last domain_put frees vCPUs, p2m tables, grant table, event
 * channels and shared_info. Once a domain, by domain_reap alone. */
void domain_unlist(struct domain *d);

/* --- domain/deadline.c ------------------------------------------------------------------------------------------------ */

void deadline_init(struct domain *d); /* the timers of a new domain */
void deadline_cancel_all(struct domain *d); /* restart, destroy: deadline, watchdog, injection, hang are off */
/* Hang deadline (BH_SVC_DEADLINE): armed, anew each time; 0 = off. */
void deadline_arm(struct domain *d, uint64_t ms);
/* A crash out of the blue, for tests of recovery (BH_CTL_CRASH). */
void deadline_inject_crash(struct domain *d); /* at a random instruction within some milliseconds */
void deadline_hang(struct domain *d);         /* no CPU time from now on */
void deadline_inject_entry(struct vcpu *v);   /* before an entry, if d->inject: is it due? */
/* SCHEDOP_watchdog; id 0: a new one. Its id or -errno */
int watchdog_set(struct domain *d, uint32_t id, uint32_t seconds);
