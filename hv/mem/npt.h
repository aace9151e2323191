/* SPDX-License-Identifier: MIT */
/*
 * A domain's physical-to-machine map (p2m) as nested page tables (AMD APM vol. 2, 15.25): 4 levels, 4 KiB and
 * 2 MiB leaves, U/A/D set on every leaf. Each present leaf that maps domain RAM or a granted frame holds one reference
 * on each of its frames. What a leaf is lies in software bits 9..11 and 52.
 *
 * Order of removal: whole entry replaced, then npt_flush (ASIDs shot down), then references dropped.
 * Locks: d->p2m.lock inside; p2m_lookup is lock-free for readers (tables are freed only with the domain).
 */
#pragma once
#include "base/list.h"
#include "base/lock.h"
#include "base/percpu.h"
#include "base/types.h"

struct domain;
enum p2m_type {
    P2M_NONE = 0,
    P2M_RAM,      /* owned by the domain, RWX */
    P2M_RAM_RO,   /* bundle: core-owned, read-only, no reference counting */
    P2M_GRANT_RW, /* foreign frame mapped by a grant */
    P2M_GRANT_RO,
    P2M_MMIO,   /* BAR: uncached, no frame */
    P2M_SHARED, /* core-owned page of this domain (shared_info, grant table): RW, NX */
    P2M_RAM_IMMUTABLE, /* owned by the domain like RAM, read and executed only: nobody ever writes it again */
    P2M_FILLER, /* nothing is there: a page of the core for this guest alone, RW, NX (virt/filler.h) */
    P2M_FILLER_RO /* the same: the one page for all, read-only, NX, no reference counting */
};

struct p2m {
    struct spinlock lock;
    uint64_t *root; /* level 4 */
    maddr_t root_maddr;
    volatile uint64_t gen; /* raised by npt_flush: a vCPU that enters with an older one flushes its ASID */
    uint64_t nr_tables;
    uint64_t held_tables; /* c: so many are held back of the allowance for tables alone */
    struct list emptied;  /* unlinked tables, until nobody can be in them any more */
    uint64_t quiet;       /* p2m_quiet that every CPU must have seen by then */
    uint64_t max_gfn;     /* exclusive bound of gfns accepted: 1 << (physaddr bits - 12) */
};

/* An empty root, which counts against d's allowance. 0 or -ENOMEM. */
int p2m_init(struct domain *d) __must_check;
/* Tables only; leaves must be gone, and nobody may know d any more. One step; p2m.root is NULL after the last. */
void p2m_free(struct domain *d);
/* Gives back tables that hold nothing, but for the root: a restart or destroy, so that a slot's next instance finds what the last
 * one spent. Readers take no lock, so the tables go when every other CPU has been between two exits or idle since they were
 * unlinked. *cursor: 0 at first. True when done; false: call again. */
bool p2m_shrink(struct domain *d, uint64_t *cursor, unsigned budget) __must_check;

/* This CPU is in nobody's tables now: between two exits of a vCPU, and when idle. The exchange is a full barrier: what it reads
 * afterwards was not unlinked before the value that it has seen. */
extern volatile uint64_t p2m_quiet;
static inline void p2m_pass(struct cpu *c)
{
    __atomic_exchange_n(&c->quiet_seen, p2m_quiet, __ATOMIC_SEQ_CST);
}

/* Fillers (virt/filler.h). */
#define FILLER_FROM  (0xfec00000ull >> PAGE_SHIFT) /* the device hole, in gfns */
#define FILLER_END   (0xfef00000ull >> PAGE_SHIFT)
#define FILLER_PAGES 16u /* of the core, of a guest; they count against its allowance */
/* Nothing of anybody's is there: what is put there takes a filler's place. */
static inline bool p2m_filler(enum p2m_type t) { return t == P2M_FILLER || t == P2M_FILLER_RO; }
static inline bool p2m_vacant(enum p2m_type t) { return t == P2M_NONE || p2m_filler(t); }
/* Sets one leaf of 2^order frames (order 0 or ORDER_2M); the slot must be vacant (-EEXIST), for a filler empty. The caller hands over its
 * references. Allocates tables first, so a failure (-ENOMEM, -EINVAL gfn) changes nothing. Tables count against the domain's
 * allowance, splits too. */
int p2m_set(struct domain *d, gfn_t g, mfn_t m, unsigned order, enum p2m_type t) __must_check;
/* Clears one 4 KiB place (splitting a 2 MiB leaf if needed) and returns what was there; the caller flushes,
 * then drops the reference. -ENOENT if nothing was mapped. */
int p2m_clear(struct domain *d, gfn_t g, mfn_t *m, enum p2m_type *t) __must_check;
/* The same, but only if what is there is of one of `types` (1 << type): looked at and cleared in one step, since another
 * vCPU may put something else there meanwhile. -EBUSY if it is not. */
int p2m_clear_only(struct domain *d, gfn_t g, unsigned types, mfn_t *m, enum p2m_type *t) __must_check;
/* Clears the leaf that maps machine frame m as MMIO at g, as it is, so that no memory is needed and nothing can fail. Returns how
 * many places it had; 0: something else is there, or nothing. The caller flushes. */
uint64_t p2m_clear_mmio(struct domain *d, gfn_t g, mfn_t m);
/* Takes what is P2M_FILLER in [g, end) away, flushed and freed. */
void p2m_clear_fillers(struct domain *d, uint64_t g, uint64_t end);
/* Replaces the frame under an existing 4 KiB leaf (redirect to the zero frame); same flush rule. */
int p2m_replace(struct domain *d, gfn_t g, mfn_t m, enum p2m_type t, mfn_t *old) __must_check;
/* Looks one gfn up. *t = P2M_NONE if nothing. Does not take a reference. */
mfn_t p2m_lookup(struct domain *d, gfn_t g, enum p2m_type *t);
/* Looks up and pins: takes a reference on RAM/GRANT frames so they cannot be reused. INVALID_MFN if nothing. */
mfn_t p2m_get(struct domain *d, gfn_t g, enum p2m_type *t) __must_check;
/* The first gfn in [g, end) where something is mapped, or end. */
uint64_t p2m_next(struct domain *d, uint64_t g, uint64_t end);
/* True for types whose leaf holds a reference on its frame. */
static inline bool p2m_counted(enum p2m_type t)
{
    return t == P2M_RAM || t == P2M_GRANT_RW || t == P2M_GRANT_RO || t == P2M_RAM_IMMUTABLE ||
           t == P2M_FILLER;
}
/* Clears leaves of any kind from *cursor on and lets go of what they held, after flushing; returns true when the end was reached.
 * `budget` is in entries looked at, empty ones too. For teardown and restart. `keep(g, type)` true leaves a leaf alone (may be
 * NULL). */
bool p2m_teardown(struct domain *d, uint64_t *cursor, unsigned budget,
                  bool (*keep)(struct domain *d, gfn_t g, enum p2m_type t));
/* Raises gen, kicks every CPU that runs a vCPU of d, returns when none runs on an older generation. Bounded: it
 * waits only for CPUs in guest mode, or in the core where that counts as such: a few hundred instructions without a lock (gcopy.h). */
void npt_flush(struct domain *d);
