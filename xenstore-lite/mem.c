/* SPDX-License-Identifier: MIT */
/*
 * Heaps of chunks: see mem.h. Within a chunk blocks follow each other without gaps; free neighbours are one. Free blocks hang in bins,
 * four for each power of two, and a request looks only into bins in which every block is large enough: no search. A
 * chunk that is empty goes back at once, for any other heap.
 */
#include "mem.h"
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__ /* the tests' sanitizer is told what is free, since it sees malloc's chunks only */
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif
#define RAW __attribute__((no_sanitize("address"))) /* may look into free blocks */

#define UNIT  8u /* sizes and places are counted in these */
#define UNITS (XS_CHUNK / UNIT)
#define LEAST 3u /* header and the two links of a free block */

struct block {
    uint16_t size, before; /* its own; that of the block in front of it (0: it is the first) */
    uint16_t at;           /* where in its chunk */
    uint16_t used;
    struct block *next, *prev; /* of its bin, while free */
};
#define HEADER offsetof(struct block, next)

struct chunk {
    struct heap *heap;
    struct chunk *next; /* while spare */
};
#define FIRST (sizeof(struct chunk) / UNIT)
#define LAST  (UNITS - HEADER / UNIT) /* a header that is never free ends the chunk */
_Static_assert(sizeof(struct block) == LEAST * UNIT && sizeof(struct chunk) % UNIT == 0 &&
                   UNITS < 1u << 12,
               "layout");

struct xs_mem xs_mem = { .limit = (size_t)1 << 30, .fail_in = -1 };
static struct heap heaps[XS_HEAPS] = { { .live = true, .max = UINT32_MAX } };
struct heap *const ctl_heap = &heaps[0];
static uint8_t heap_at[1u << 15]; /* by domid; 0: the control domain's */
static struct chunk *spare;

/* --- blocks ------------------------------------------------------------------------------------------------------- */
static struct block *block_at(struct chunk *c, unsigned at)
{
    return (struct block *)((char *)c + at * UNIT);
}

static struct chunk *chunk_of(const struct block *b)
{
    return (struct chunk *)((char *)b - b->at * UNIT);
}

static unsigned bin_of(unsigned size)
{
    unsigned log = 31u - (unsigned)__builtin_clz(size);
    return size < 4 ? size : log * 4 + (size >> (log - 2) & 3);
}

/* The first bin whose blocks all have that size. */
static unsigned bin_for(unsigned size)
{
    unsigned log = 31u - (unsigned)__builtin_clz(size);
    return bin_of(size < 4 ? size : size + (1u << (log - 2)) - 1);
}

RAW static void bin_add(struct heap *h, struct block *b)
{
    unsigned i = bin_of(b->size);
    b->used = 0;
    b->prev = NULL;
    b->next = h->bin[i];
    if (b->next)
        b->next->prev = b;
    h->bin[i] = b;
    h->map |= 1ull << i;
}

RAW static void bin_del(struct heap *h, struct block *b)
{
    unsigned i = bin_of(b->size);
    if (b->next)
        b->next->prev = b->prev;
    if (b->prev)
        b->prev->next = b->next;
    else
        h->bin[i] = b->next;
    if (!h->bin[i])
        h->map &= ~(1ull << i);
}

static void block_set(struct chunk *c, unsigned at, unsigned size, unsigned before)
{
    struct block *b = block_at(c, at);
    ASAN_UNPOISON_MEMORY_REGION(b, HEADER);
    b->at = (uint16_t)at;
    b->size = (uint16_t)size;
    b->before = (uint16_t)before;
    block_at(c, at + size)->before = (uint16_t)size;
}

/* --- chunks ------------------------------------------------------------------------------------------------------- */
static unsigned share(const struct heap *h) { return h->chunks > h->floor ? h->chunks : h->floor; }

static bool room_for(size_t more) { return (xs_mem.promised + more) * XS_CHUNK <= xs_mem.limit; }

static unsigned to_promise(void)
{
    return xs_mem.aside > xs_mem.floors ? xs_mem.aside - xs_mem.floors : 0;
}

/* Sets one of the two, and what is promised with it. */
static void set_share(struct heap *h, unsigned chunks, unsigned floor)
{
    if (h != ctl_heap)
        xs_mem.floors += floor - h->floor;
    xs_mem.promised -= share(h);
    h->chunks = chunks;
    h->floor = floor;
    xs_mem.promised += share(h);
}

static struct block *chunk_get(struct heap *h)
{
    struct chunk *c = spare;
    if (h->chunks >= h->max && !(h->over && h->chunks == h->max))
        return NULL;
    if (h->chunks >= h->floor && !room_for(1 + to_promise()))
        return NULL;
    if (c)
        spare = c->next;
    else if (!(c = malloc(XS_CHUNK)))
        return NULL;
    ASAN_POISON_MEMORY_REGION(c, XS_CHUNK);
    ASAN_UNPOISON_MEMORY_REGION(c, sizeof *c);
    c->heap = h;
    set_share(h, h->chunks + 1, h->floor);
    struct block *end = block_at(c, LAST);
    ASAN_UNPOISON_MEMORY_REGION(end, HEADER);
    *(uint64_t *)end = 0;
    end->used = 1;
    block_set(c, FIRST, LAST - FIRST, 0);
    bin_add(h, block_at(c, FIRST));
    return block_at(c, FIRST);
}

static void chunk_put(struct chunk *c)
{
    struct heap *h = c->heap;
    set_share(h, h->chunks - 1, h->floor);
    c->next = spare;
    spare = c;
}

void xs_mem_init(size_t limit)
{
    memset(heaps, 0, sizeof heaps);
    memset(heap_at, 0, sizeof heap_at);
    spare = NULL;
    ctl_heap->live = true;
    ctl_heap->max = UINT32_MAX;
    xs_mem = (struct xs_mem){ .limit = limit, .fail_in = -1 };
}

void xs_mem_take(void)
{
    size_t left = xs_mem.limit / XS_CHUNK, run = left;
    while (run) { /* all at once, else by halves: to look for each would take longer than all the rest of a start */
        char *at = malloc(run * XS_CHUNK);
        if (!at) {
            run /= 2;
            continue;
        }
        for (size_t i = 0; i < run; i++) {
            struct chunk *c = (struct chunk *)(at + i * XS_CHUNK);
            c->next = spare;
            spare = c;
        }
        left -= run;
        run = run < left ? run : left;
    }
    xs_mem.limit -= left * XS_CHUNK;
}

/* --- heaps -------------------------------------------------------------------------------------------------------- */
struct heap *heap_of(uint16_t domid) { return &heaps[heap_at[domid % (1u << 15)]]; }

bool heap_promise(struct heap *h, unsigned floor)
{
    unsigned now = share(h), then = h->chunks > floor ? h->chunks : floor;
    if (then > now && !room_for(then - now))
        return false;
    set_share(h, h->chunks, floor);
    return true;
}

struct heap *heap_new(uint16_t domid, unsigned floor, unsigned max)
{
    struct heap *h = heaps + 1;
    while (h < heaps + XS_HEAPS && (h->live || h->chunks))
        h++;
    if (h == heaps + XS_HEAPS)
        return NULL;
    memset(h, 0, sizeof *h);
    if (!heap_promise(h, floor))
        return NULL;
    h->domid = domid;
    h->max = max;
    h->live = true;
    heap_at[domid] = (uint8_t)(h - heaps);
    return h;
}

void heap_end(struct heap *h)
{
    heap_at[h->domid] = 0;
    h->live = false;
    set_share(h, h->chunks, 0);
}

/* --- the two calls ------------------------------------------------------------------------------------------------ */
void *xs_alloc(struct heap *h, size_t n)
{
    if (n > XS_CHUNK || (xs_mem.fail_in > 0 && --xs_mem.fail_in == 0))
        return NULL;
    unsigned size = (unsigned)((n + HEADER + UNIT - 1) / UNIT);
    size = size < LEAST ? LEAST : size;
    if (size > LAST - FIRST)
        return NULL;
    uint64_t fit = h->map >> bin_for(size) << bin_for(size);
    struct block *b = fit ? h->bin[__builtin_ctzll(fit)] : chunk_get(h);
    if (!b)
        return NULL;
    bin_del(h, b);
    struct chunk *c = chunk_of(b);
    unsigned rest = b->size - size, at = b->at;
    if (rest >= LEAST) {
        block_set(c, at + size, rest, size);
        bin_add(h, block_at(c, at + size));
        block_set(c, at, size, b->before);
    }
    b->used = 1;
    h->used += b->size * UNIT;
    xs_mem.used += b->size * UNIT;
    ASAN_POISON_MEMORY_REGION((char *)b + HEADER, b->size * UNIT - HEADER);
    ASAN_UNPOISON_MEMORY_REGION((char *)b + HEADER, n);
    return memset((char *)b + HEADER, 0, n);
}

void xs_free(void *p)
{
    if (!p)
        return;
    struct block *b = (struct block *)((char *)p - HEADER);
    struct chunk *c = chunk_of(b);
    struct heap *h = c->heap;
    if (b->used != 1)
        __builtin_trap(); /* freed twice, or written over: nothing in here can be believed any more */
    h->used -= b->size * UNIT;
    xs_mem.used -= b->size * UNIT;
    ASAN_POISON_MEMORY_REGION((char *)b + HEADER, b->size * UNIT - HEADER);
    unsigned at = b->at, size = b->size, before = b->before;
    struct block *after = block_at(c, at + size);
    if (!after->used) {
        bin_del(h, after);
        size += after->size;
    }
    if (before && !block_at(c, at - before)->used) {
        b = block_at(c, at - before);
        bin_del(h, b);
        at -= before;
        size += before;
        before = b->before;
    }
    block_set(c, at, size, before);
    bin_add(h, block_at(c, at));
    if (size == LAST - FIRST) {
        bin_del(h, block_at(c, at));
        chunk_put(c);
    }
}

struct heap *mem_heap(const void *p)
{
    return chunk_of((const struct block *)((const char *)p - HEADER))->heap;
}

/* --- whether it is sound ------------------------------------------------------------------------------------------ */
RAW static bool bin_sound(const struct heap *h, unsigned i)
{
    const struct block *before = NULL;
    for (const struct block *b = h->bin[i]; b; before = b, b = b->next) {
        const struct chunk *c = chunk_of(b);
        if (b->used || b->prev != before || bin_of(b->size) != i || c->heap != h || b->at < FIRST ||
            b->at + b->size > LAST || block_at((struct chunk *)c, b->at + b->size)->before != b->size)
            return false;
    }
    return !h->bin[i] == !(h->map >> i & 1);
}

bool mem_sound(void)
{
    size_t used = 0;
    unsigned promised = 0, floors = 0;
    for (const struct heap *h = heaps; h < heaps + XS_HEAPS; h++) {
        used += h->used;
        promised += share(h);
        floors += h == ctl_heap ? 0 : h->floor;
        for (unsigned i = 0; i < HEAP_BINS; i++)
            if (!bin_sound(h, i))
                return false;
    }
    return used == xs_mem.used && promised == xs_mem.promised && floors == xs_mem.floors;
}
