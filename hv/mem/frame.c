/* SPDX-License-Identifier: MIT */
/*
 * The frame allocator: a buddy system with two sets of free lists, clean (zeroed) and dirty. Blocks merge within their
 * set alone; the idle loop moves dirty blocks over (frame_scrub_some). Everything that leaves is zero.
 * Locks: heap_lock guards the lists, `order`, `flags` and `node` of free blocks, and the statistics; innermost but the console.
 * References: atomic. A frame with none is never revived (frame_get starts from one), and its owner is read after
 * the reference is held, so that a frame that changed owner meanwhile is given back.
 */
#include "mem/frame.h"
#include "base/lock.h"
#include "base/print.h"
#include "base/string.h"
#include "domain/struct.h"

enum { CLEAN, DIRTY, NR_HEAPS };
#define UNSCRUBBED 16u /* so many free frames are left as they are */

static struct frame *table;
static uint64_t nr_frames;
static struct spinlock heap_lock;
static struct list heap[NR_HEAPS][MAX_ORDER + 1];
static uint64_t heap_frames[NR_HEAPS];
static uint64_t scrubbing;                 /* taken off the heap by idle CPUs, soon back: free */
static uint64_t total_frames, core_frames; /* core_frames: atomic */
static uint64_t promised; /* free frames that are somebody's already: sum of owed() over all domains */
mfn_t zero_mfn;
mfn_t ones_mfn;

/* Whose count a frame comes off: the domain of a domid as of its last allocation. A domain is freed only when it owns
 * no frame, so an entry that a frame leads to is alive. */
#define OWNERS_PER_PAGE (PAGE_SIZE / sizeof(struct domain *))
static struct domain **owners[32768 / OWNERS_PER_PAGE];

static struct domain *owner_of(uint16_t id)
{
    struct domain **page = id < 32768 ? owners[id / OWNERS_PER_PAGE] : NULL;
    return page ? page[id % OWNERS_PER_PAGE] : NULL;
}

struct frame *mfn_to_frame(mfn_t m) { return m.v < nr_frames ? &table[m.v] : NULL; }
mfn_t frame_to_mfn(const struct frame *f) { return MFN((uint64_t)(f - table)); }

void frame_init(struct frame *t, uint64_t max_mfn)
{
    table = t;
    nr_frames = max_mfn;
    memset(table, 0, max_mfn * sizeof *table);
    for (uint64_t i = 0; i < max_mfn; i++)
        table[i].owner = table[i].charged = DOMID_NONE;
    for (unsigned h = 0; h < NR_HEAPS; h++)
        for (unsigned o = 0; o <= MAX_ORDER; o++)
            list_init(&heap[h][o]);
    heap_frames[CLEAN] = heap_frames[DIRTY] = scrubbing = total_frames = core_frames = promised = 0;
    memset(owners, 0, sizeof owners);
}

/* --- the heaps: heap_lock is held --------------------------------------------------------------------- */
static void heap_insert(struct frame *f, unsigned order, unsigned h)
{
    f->order = (uint8_t)order;
    f->flags = (uint8_t)(FRAME_RAM | FRAME_FREE | (h == DIRTY ? FRAME_DIRTY : 0));
    list_insert(heap[h][order].next, &f->node); /* at the head: warm memory first */
}

static void heap_remove(struct frame *f)
{
    list_del(&f->node);
    f->flags = FRAME_RAM;
}

static void heap_free(struct frame *f, unsigned order, unsigned h)
{
    uint64_t at = frame_to_mfn(f).v;
    unsigned want = FRAME_RAM | FRAME_FREE | (h == DIRTY ? FRAME_DIRTY : 0);
    heap_frames[h] += 1ull << order;
    for (; order < MAX_ORDER; order++) {
        struct frame *buddy = mfn_to_frame(MFN(at ^ 1ull << order));
        if (!buddy || buddy->flags != want || buddy->order != order)
            break;
        heap_remove(buddy);
        at &= ~(1ull << order);
    }
    heap_insert(&table[at], order, h);
}

/* Takes a block of the order or splits a larger one; NULL if the heap has none. */
static struct frame *heap_take(unsigned order, unsigned h)
{
    unsigned o = order;
    while (o <= MAX_ORDER && list_empty(&heap[h][o]))
        o++;
    if (o > MAX_ORDER)
        return NULL;
    struct frame *f = list_entry(heap[h][o].next, struct frame, node);
    heap_remove(f);
    heap_frames[h] -= 1ull << order;
    while (o-- > order)
        heap_insert(f + (1ull << o), o, h);
    return f;
}

static uint64_t free_frames(void) { return heap_frames[CLEAN] + heap_frames[DIRTY] + scrubbing; }

/* --- scrubbing ------------------------------------------------------------------------------------------ */
/* Looks before it writes: much memory was never used, and reading is the cheaper half. */
static void scrub(struct frame *f, uint64_t nr)
{
    for (uint64_t i = 0; i < nr; i++) {
        uint64_t *w = mfn_to_virt(frame_to_mfn(f + i));
        for (unsigned j = 0; j < PAGE_SIZE / 8; j += 8)
            if (w[j] | w[j + 1] | w[j + 2] | w[j + 3] | w[j + 4] | w[j + 5] | w[j + 6] | w[j + 7]) {
                memset(w + j, 0, PAGE_SIZE - j * 8);
                break;
            }
    }
}

/* The smallest block first: what was begun is finished, so that whole large blocks become clean. One frame a time: no interrupt has to wait for
 * more. The last ones are left alone, so that hardly anybody ever has to wait for the one that is being scrubbed. heap_lock is held. */
static struct frame *take_to_scrub(void)
{
    if (heap_frames[CLEAN] + heap_frames[DIRTY] <= UNSCRUBBED)
        return NULL;
    struct frame *f = heap_take(0, DIRTY);
    scrubbing += f != NULL;
    return f;
}

bool frame_scrub_some(void)
{
    if (!READ_ONCE(heap_frames[DIRTY]))
        return false;
    if (!spin_trylock(&heap_lock)) /* who works goes first */
        return true;
    struct frame *f = take_to_scrub();
    spin_unlock(&heap_lock);
    if (!f)
        return false;
    scrub(f, 1);
    spin_lock(&heap_lock);
    scrubbing--;
    heap_free(f, 0, CLEAN);
    spin_unlock(&heap_lock);
    return true;
}

/* --- promises: heap_lock is held ------------------------------------------------------------------------- */
static uint64_t owed(const struct domain *d)
{
    return (d->ram_promised > d->tot_pages ? d->ram_promised - d->tot_pages : 0) +
           (d->allowance > d->allowance_used ? d->allowance - d->allowance_used : 0);
}

/* d's counts change; what it is owed with them. */
static void count(struct domain *d, int64_t ram, int64_t charged)
{
    promised -= owed(d);
    d->tot_pages += (uint64_t)ram;
    d->allowance_used += (uint64_t)charged;
    promised += owed(d);
}

/* False: some of the n frames that d wants would be another's. */
static bool room(const struct domain *d, uint64_t n, bool ram)
{
    uint64_t own = 0;
    if (d && ram)
        own = d->ram_promised > d->tot_pages ? MIN(n, d->ram_promised - d->tot_pages) : 0;
    else if (d)
        own = n; /* within its allowance */
    return free_frames() >= promised + (n - own);
}

/* --- allocation ------------------------------------------------------------------------------------------ */
enum what { FOR_CORE, RAM_OF, CHARGED_TO, TABLE_OF };

/* Whether d's allowance has n frames for that. A restart needs tables whatever else an instance has spent it on. */
static bool allowed(const struct domain *d, uint64_t n, enum what w)
{
    uint64_t tables = READ_ONCE(d->p2m.nr_tables), held = d->p2m.held_tables;
    held = w == TABLE_OF || held < tables ? 0 : held - tables;
    return d->allowance_used + n + held <= d->allowance;
}

/* heap_lock is held; d is NULL with FOR_CORE alone. NULL and *wait: there will be one in a moment. */
static struct frame *take(unsigned order, struct domain *d, enum what w, bool *dirty, bool *wait)
{
    uint64_t n = 1ull << order;
    *wait = false;
    if (w == RAM_OF && d->tot_pages + n > READ_ONCE(d->max_pages))
        return NULL;
    if ((w == CHARGED_TO || w == TABLE_OF) && !allowed(d, n, w))
        return NULL;
    if (!room(d, n, w == RAM_OF))
        return NULL;
    struct frame *f = heap_take(order, CLEAN);
    *dirty = !f;
    if (!f)
        f = heap_take(order, DIRTY);
    *wait = !f && !order && scrubbing;
    if (f && d)
        count(d, w == RAM_OF ? (int64_t)n : 0, w == RAM_OF ? 0 : (int64_t)n);
    return f;
}

static struct frame *alloc(unsigned order, struct domain *d, enum what w)
{
    bool dirty, wait;
    if (order > MAX_ORDER)
        return NULL;
    spin_lock(&heap_lock);
    struct frame *f = take(order, d, w, &dirty, &wait);
    while (wait) { /* for an idle CPU, which scrubs one */
        spin_unlock(&heap_lock);
        cpu_relax();
        spin_lock(&heap_lock);
        f = take(order, d, w, &dirty, &wait);
    }
    spin_unlock(&heap_lock);
    if (!f)
        return NULL;
    if (dirty)
        scrub(f, 1ull << order);
    for (uint64_t i = 0; i < 1ull << order; i++) {
        list_init(&f[i].node);
        f[i].flags = FRAME_RAM;
        f[i].owner = w == RAM_OF ? d->id : DOMID_CORE;
        f[i].charged = w == CHARGED_TO || w == TABLE_OF ? d->id : DOMID_NONE;
        f[i].slab_free = f[i].slab_used = 0;
        __atomic_store_n(&f[i].refs, 1, __ATOMIC_RELEASE); /* the owner is visible first */
    }
    if (w != RAM_OF)
        __atomic_add_fetch(&core_frames, 1ull << order, __ATOMIC_RELAXED);
    return f;
}

/* The n frames from f on go into the heap, in blocks as large as their places allow. heap_lock is held. */
static void heap_free_run(struct frame *f, uint64_t n)
{
    for (uint64_t at = frame_to_mfn(f).v, end = at + n; at < end;) {
        unsigned order = 0;
        while (order < MAX_ORDER && !(at & ((2ull << order) - 1)) && at + (2ull << order) <= end)
            order++;
        heap_free(&table[at], order, DIRTY);
        at += 1ull << order;
    }
}

/* n frames of one owner, one behind another, without references. Whoever sees the domain's counts at zero may free it: not before this lock
 * is let go, which frame_forget takes. */
static void release(struct frame *f, uint64_t n)
{
    bool core = f->owner == DOMID_CORE;
    struct domain *d = owner_of(core ? f->charged : f->owner);
    BUG_ON(!core && !d);
    for (uint64_t i = 0; i < n; i++)
        f[i].owner = f[i].charged = DOMID_NONE;
    if (core)
        __atomic_sub_fetch(&core_frames, n, __ATOMIC_RELAXED);
    spin_lock(&heap_lock);
    heap_free_run(f, n);
    if (d)
        count(d, core ? 0 : -(int64_t)n, core ? -(int64_t)n : 0);
    spin_unlock(&heap_lock);
}

void *core_alloc(unsigned order)
{
    struct frame *f = alloc(order, NULL, FOR_CORE);
    return f ? mfn_to_virt(frame_to_mfn(f)) : NULL;
}

void *core_alloc_for(struct domain *d)
{
    struct frame *f = alloc(0, d, CHARGED_TO);
    return f ? mfn_to_virt(frame_to_mfn(f)) : NULL;
}

void *core_alloc_table(struct domain *d)
{
    struct frame *f = alloc(0, d, TABLE_OF);
    return f ? mfn_to_virt(frame_to_mfn(f)) : NULL;
}

void core_free(void *p, unsigned order)
{
    if (!p)
        return;
    struct frame *f = mfn_to_frame(virt_to_mfn(p));
    BUG_ON(!f);
    for (uint64_t i = 0; i < 1ull << order; i++)
        BUG_ON(f[i].owner != DOMID_CORE || !f[i].refs);
    /* A frame_get that meant the frame's owner of before may hold one more reference until it sees the new owner: then it is
     * that one whose put frees. */
    frame_put_block(virt_to_mfn(p), order);
}

void core_free_for(struct domain *d, void *p)
{
    BUG_ON(p && mfn_to_frame(virt_to_mfn(p))->charged != d->id);
    core_free(p, 0);
}

static bool owner_set(struct domain *d)
{
    struct domain ***page = &owners[d->id / OWNERS_PER_PAGE];
    if (!READ_ONCE(*page)) {
        struct domain **fresh = core_alloc(0), **none = NULL;
        if (!fresh)
            return false;
        if (!__atomic_compare_exchange_n(page, &none, fresh, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE))
            core_free(fresh, 0);
    }
    WRITE_ONCE((*page)[d->id % OWNERS_PER_PAGE], d);
    return true;
}

mfn_t frame_alloc(struct domain *d, unsigned order)
{
    struct frame *f = d->id < 32768 && owner_set(d) ? alloc(order, d, RAM_OF) : NULL;
    return f ? frame_to_mfn(f) : INVALID_MFN;
}

int frame_promise(struct domain *d, uint64_t ram, uint64_t allowance)
{
    if (d->id >= 32768 || !owner_set(d))
        return -ENOMEM;
    spin_lock(&heap_lock);
    uint64_t before = owed(d), most = free_frames();
    bool fits = ram <= most && allowance <= most;
    if (fits) {
        d->ram_promised += ram;
        d->allowance += allowance;
        fits = promised - before + owed(d) <= most;
        if (fits) {
            promised += owed(d) - before;
        } else {
            d->ram_promised -= ram;
            d->allowance -= allowance;
        }
    }
    spin_unlock(&heap_lock);
    return fits ? 0 : -ENOMEM;
}

void frame_promise_end(struct domain *d)
{
    spin_lock(&heap_lock);
    promised -= owed(d);
    d->ram_promised = d->allowance = 0;
    spin_unlock(&heap_lock);
}

void frame_forget(struct domain *d)
{
    /* A frame_get on another CPU that meant a frame's owner of before is about to drop its reference (see core_free). */
    for (unsigned turns = 0; d->allowance_used; turns++) {
        BUG_ON(turns > 100000000); /* nobody will */
        cpu_relax();
    }
    spin_lock(&heap_lock); /* whoever counted last is done with d */
    if (owner_of(d->id) == d)
        owners[d->id / OWNERS_PER_PAGE][d->id % OWNERS_PER_PAGE] = NULL;
    spin_unlock(&heap_lock);
}

/* --- references -------------------------------------------------------------------------------------------- */
bool frame_get(mfn_t m, uint16_t owner)
{
    struct frame *f = mfn_to_frame(m);
    if (!f || f->owner != owner)
        return false;
    uint32_t refs = READ_ONCE(f->refs);
    do {
        if (!refs || refs >= UINT32_MAX / 2)
            return false;
    } while (!__atomic_compare_exchange_n(&f->refs, &refs, refs + 1, false, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED));
    if (READ_ONCE(f->owner) == owner)
        return true;
    frame_put(m);
    return false;
}

void frame_get_held(mfn_t m)
{
    struct frame *f = mfn_to_frame(m);
    BUG_ON(!f || !f->refs);
    BUG_ON(__atomic_add_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) == 0);
}

/* True: it was the last reference. */
static bool put(struct frame *f)
{
    uint32_t left = __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL);
    BUG_ON(left == UINT32_MAX);
    return !left;
}

void frame_put(mfn_t m)
{
    struct frame *f = mfn_to_frame(m);
    BUG_ON(!f);
    if (put(f))
        release(f, 1);
}

void frame_put_block(mfn_t m, unsigned order)
{
    struct frame *f = mfn_to_frame(m), *end = f + (1ull << order), *run = f;
    BUG_ON(!f || !mfn_to_frame(MFN(m.v + (1ull << order) - 1)));
    for (; f < end; f++) {
        bool gone = put(f);
        if (run < f && (!gone || f->owner != run->owner || f->charged != run->charged)) {
            release(run, (uint64_t)(f - run));
            run = f;
        }
        if (!gone)
            run = f + 1;
    }
    if (run < end)
        release(run, (uint64_t)(end - run));
}

/* --- start-up ------------------------------------------------------------------------------------------------ */
void frame_add_range(mfn_t start, uint64_t nr)
{
    uint64_t at = start.v, end = MIN(start.v + nr, nr_frames);
    for (; at < end;) {
        unsigned order = 0;
        while (order < MAX_ORDER && !(at & ((2ull << order) - 1)) && at + (2ull << order) <= end)
            order++;
        for (uint64_t i = 0; i < 1ull << order; i++) {
            struct frame *f = &table[at + i];
            if (f->flags & FRAME_RAM)
                core_frames -= f->owner == DOMID_CORE;
            else
                total_frames++;
            f->flags = FRAME_RAM;
            f->refs = 0;
            f->owner = DOMID_NONE;
        }
        spin_lock(&heap_lock);
        heap_free(&table[at], order, DIRTY);
        spin_unlock(&heap_lock);
        at += 1ull << order;
    }
}

void frame_mark_core(mfn_t start, uint64_t nr)
{
    for (uint64_t i = start.v; i < MIN(start.v + nr, nr_frames); i++) {
        table[i].flags = FRAME_RAM;
        table[i].refs = 1;
        table[i].owner = DOMID_CORE;
        list_init(&table[i].node);
        total_frames++;
        core_frames++;
    }
}

/* heap lock, which it lets go */
static void stats(struct frame_stats *s)
{
    s->total = total_frames;
    s->promised = promised;
    s->free = free_frames() - promised;
    s->dirty = MIN(heap_frames[DIRTY] + scrubbing, s->free);
    s->core = READ_ONCE(core_frames);
    spin_unlock(&heap_lock);
}

void frame_get_stats(struct frame_stats *s)
{
    spin_lock(&heap_lock);
    stats(s);
}

bool frame_try_stats(struct frame_stats *s)
{
    if (!spin_trylock(&heap_lock))
        return false;
    stats(s);
    return true;
}
