/* SPDX-License-Identifier: MIT */
/*
 * What a domain is made of. Every floor looks into it (tests/layers.txt), so there is no function of anybody's here.
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
#include "sched/cap.h"
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
    uint64_t max_pages;          /* a */
    uint64_t most_pages;         /* c: that max_pages may be */
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
    bool ordered;         /* its death is: BH_CTL_CRASH */
    struct spinlock op_lock; /* only tried, never waited for: one control operation at a time; outside the order */
    uint32_t op_stage; /* op_lock: where a restart or destroy stands (HC_AGAIN), 0 = none under way */
    uint64_t op_cursor;
    struct grant_cursor op_redirect; /* op_lock */
    bool restart_fresh;              /* op_lock: this restart replaces immutable pages too */
    bool dma_fenced;                 /* op_lock: its devices are, since it crashed */

    /* Hang deadline (BH_SVC_DEADLINE): see domain/deadline.c */
    uint64_t deadline_ms; /* 0 = off */
    uint64_t deadline_missed;
    struct timer deadline_timer;
    uint64_t deadline_cpu_ns;   /* CPU time when it was last armed, or a look counted */
    uint32_t deadline_ticks;    /* a: looks that counted (domain/deadline.c) */
    struct timer watchdog[2];   /* SCHEDOP_watchdog */
    struct spinlock watch_lock; /* which of watchdog[] is in use */

    struct timer inject_timer; /* BH_CRASH_INJECT */
    volatile uint32_t inject;  /* a: enum inject_state of domain/deadline.c */
    uint64_t inject_until;     /* crash it by then, blocked or not */
    volatile uint32_t hang;    /* a: BH_CRASH_HANG */

    struct cap cap; /* of CPU time: sched/cap.h */

    uint32_t cfg_address; /* a: what its port 0xcf8 holds (pci/trap.h) */
    uint32_t trap_turn;   /* L: whose access pciback is given next */
    uint32_t pirq_next;   /* pci lock: number that PHYSDEVOP_get_free_pirq looks at next */
    struct pci_dev *devices; /* pci lock; only whether there are any, none: assigned devices, pci_dev.next_owned */
    struct iommu_domain *iommu; /* pci lock: IOMMU table, NULL without devices */
    char *words; /* L: ring, the last DOMAIN_WORDS of what it said by console_io and port 0xE9 */
    uint64_t words_end; /* L: position of the next byte */
};

/* Memory may be in single frames: what is large has an allocation of its own. */
_Static_assert(sizeof(struct domain) <= 4096, "a domain fits into a frame");

static inline struct domain *current_domain(void) { return this_cpu()->current->domain; }
/* No vCPU in guest or core. */
static inline bool domain_stopped(const struct domain *d)
{
    for (uint32_t i = 0; i < d->nr_vcpus; i++)
        if (!vcpu_stopped(d->vcpu[i]))
            return false;
    return true;
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
/* A destroy is complete; what is left is what others hold of it. */
static inline bool domain_destroyed(const struct domain *d) { return READ_ONCE(d->ended); }
