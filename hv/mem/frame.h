/* SPDX-License-Identifier: MIT */
/*
 * Machine frames: who owns each, how many references it has, and the heaps of free ones.
 *
 * Every RAM frame has a struct frame. Owner DOMID_CORE: page tables, structures. A domain's frame carries one
 * reference for its place in the owner's p2m and one for every grant mapping, IOMMU entry and copy in
 * flight; the last put frees it to the dirty heap and takes it off the owner's count. Frames leave the
 * allocator zeroed: from the clean heap, else scrubbed on the way; idle CPUs scrub dirty blocks.
 * Locks: the heap lock inside; reference counts are atomic.
 */
#pragma once
#include "base/list.h"
#include "base/types.h"

#define DOMID_CORE 0x7fff
#define DOMID_NONE 0x7ffe /* free */
#define MAX_ORDER  10     /* largest block: 2^10 frames = 4 MiB; ORDER_2M = 9 */
#define ORDER_2M   9

struct domain;
struct frame {
    struct list node;              /* free lists; free for the owner's use while allocated */
    volatile uint32_t refs;        /* atomic */
    uint16_t owner;                /* domid */
    uint8_t order;                 /* of a free block (first frame of it) */
    uint8_t flags;                 /* FRAME_* */
    uint16_t slab_free, slab_used; /* pages of small objects: first free object, objects in use */
    uint16_t charged; /* the core's: domid of whose allowance it counts against, DOMID_NONE if nobody's */
    uint16_t pad;
};
_Static_assert(sizeof(struct frame) == 32, "0.8 % of RAM");
#define FRAME_FREE  1u
#define FRAME_DIRTY 2u
#define FRAME_RAM   4u /* exists; frames of holes have refs 0 and no flags */

#define DIRECTMAP_BASE 0xffff800000000000ull
#define IMAGE_BASE     0xffffffff80000000ull
#ifndef UNIT_TEST
static inline void *maddr_to_virt(maddr_t m) { return (void *)(DIRECTMAP_BASE + m.v); }
/* Direct map, or the core's image (which is mapped at IMAGE_BASE + its machine address). */
static inline maddr_t virt_to_maddr(const void *p)
{
    return MADDR((uint64_t)p - ((uint64_t)p >= IMAGE_BASE ? IMAGE_BASE : DIRECTMAP_BASE));
}
#else /* the unit tests' own memory */
void *maddr_to_virt(maddr_t m);
maddr_t virt_to_maddr(const void *p);
#endif
static inline void *mfn_to_virt(mfn_t m) { return maddr_to_virt(MADDR(m.v << PAGE_SHIFT)); }
static inline mfn_t virt_to_mfn(const void *p) { return MFN(virt_to_maddr(p).v >> PAGE_SHIFT); }

/* Start-up: the frame table covers [0, max_mfn); then each usable range is freed into the heap. */
void frame_init(struct frame *table, uint64_t max_mfn);
void frame_add_range(mfn_t start, uint64_t nr);
void frame_mark_core(mfn_t start, uint64_t nr); /* image, modules, tables: the core's for ever */
void frame_setup(void); /* start-up as main.c does it: table, ranges, zero_mfn */

struct frame *mfn_to_frame(mfn_t m); /* NULL outside the table */
mfn_t frame_to_mfn(const struct frame *f);

/* 2^order contiguous zeroed frames for the core (owner DOMID_CORE, one reference each), or NULL/INVALID. */
void *core_alloc(unsigned order) __must_check;
void core_free(void *p, unsigned order);

/*
 * What is promised is kept back: an allocation that was not promised fails while no more than that is free. A domain is promised
 * its allowance (the core's frames that serve it alone: tables, grant frames, event channels), a slot also its RAM, so that
 * whatever an instance gave away is there when it is restarted.
 */
/* Raises what d was promised by `ram` frames of RAM and `allowance` frames of the core. 0 or -ENOMEM, then nothing is changed. */
int frame_promise(struct domain *d, uint64_t ram, uint64_t allowance) __must_check;
/* d ends, or never came to be: what it was promised is free for all. What it has counts on until it comes back. */
void frame_promise_end(struct domain *d);
/* The last thing before d's structure goes: no frame leads to it any more. It owns none and nothing is charged to it. */
void frame_forget(struct domain *d);

/* One zeroed frame of the core that counts against d's allowance until its last reference is dropped, by whatever call.
 * NULL: the allowance is used up; then only. */
void *core_alloc_for(struct domain *d) __must_check;
void core_free_for(struct domain *d, void *p); /* p may be NULL */
/* The same for a table of its p2m: what p2m.held_tables keeps of the allowance is for those alone. */
void *core_alloc_table(struct domain *d) __must_check;

/* 2^order contiguous zeroed frames owned by d, one reference each; counted against d->max_pages.
 * Errors: INVALID_MFN when the machine or the limit has no room. */
mfn_t frame_alloc(struct domain *d, unsigned order) __must_check;

/* Takes a reference if the frame is owned by `owner` and has one (so it cannot be resurrected). */
bool frame_get(mfn_t m, uint16_t owner) __must_check;
void frame_get_held(mfn_t m); /* one more, by somebody who holds one already */
void frame_put(mfn_t m);      /* the last one frees */
/* The same of each frame of a block, under one lock for those that follow each other: an idle CPU that scrubs wants it, too, for every page. */
void frame_put_block(mfn_t m, unsigned order);

/* One unit of idle work (at most ~100 us): scrubs a dirty block. False when nothing is dirty. */
bool frame_scrub_some(void);

struct frame_stats {
    uint64_t total, free, dirty, core, promised;
}; /* free: dirty ones too, promised ones not */
void frame_get_stats(struct frame_stats *s);
bool frame_try_stats(struct frame_stats *s) __must_check; /* waits for nobody: false, the heap is held */
extern mfn_t ones_mfn; /* a frame of the core, all ones, under what nobody backs (filler.h) */
extern mfn_t zero_mfn; /* a zero frame of the core that redirected foreign mappings read */

/* Small core objects, zeroed, up to PAGE_SIZE (slab of powers of two from 32). */
void *kmalloc(size_t n) __must_check;
void kfree(void *p, size_t n);
