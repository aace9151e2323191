/* SPDX-License-Identifier: MIT */
/*
 * The store's memory: a heap for each client. A heap takes whole chunks (eight pages), lays its blocks out in those alone, and is gone
 * with its client. So what a client can hold is what its chunks hold, however it cuts them up, and nobody else's blocks lie in
 * between. `floor` chunks of each heap are promised when it is made and stay promised; beyond them, up to `max`, a heap takes
 * from what neither a promise covers nor is set aside for promises to come. Domain ids without a heap of their own use the
 * control domain's, which is always there.
 * Every failure is an ordinary NULL and ends as ENOMEM of one request.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XS_CHUNK  (8u * 4096 - 32) /* with malloc's header eight whole pages */
#define XS_HEAPS  256u /* 200 guests, the service domains, and those that are on their way out */
#define HEAP_BINS 48u

struct heap {
    uint16_t domid;
    bool live; /* false: free, or emptied block by block after its client has gone */
    bool over; /* the request at hand gives memory back: it may take one chunk beyond max meanwhile */
    unsigned chunks, floor, max;
    size_t used;  /* bytes of its blocks, headers counted */
    uint64_t map; /* bins with free blocks */
    struct block *bin[HEAP_BINS];
};

struct xs_mem {
    size_t used;       /* as in struct heap, of all */
    size_t limit;      /* bytes that chunks may come to */
    unsigned promised; /* chunks that are taken or promised */
    unsigned floors;   /* what of it was promised to clients, taken or not */
    unsigned aside;    /* kept for what will be promised to clients: floors included */
    long fail_in; /* test hook: > 0 counts allocations down, the one that reaches 0 fails; else off */
};
extern struct xs_mem xs_mem;
extern struct heap *const ctl_heap;

/* Before anything else: no heap but the control domain's, nothing taken. */
void xs_mem_init(size_t limit);
/* Takes the chunks for `limit` bytes from malloc at once, so that no promise depends on it later. */
void xs_mem_take(void);
/* A heap for domid with `floor` chunks promised; NULL if that many are not left. */
struct heap *heap_new(uint16_t domid, unsigned floor, unsigned max);
bool heap_promise(struct heap *h, unsigned floor); /* another floor */
void heap_end(struct heap *h); /* its promise ends now, its chunks leave with their last blocks */
struct heap *heap_of(uint16_t domid);

void *xs_alloc(struct heap *h, size_t n); /* zeroed, 8-byte aligned, or NULL */
void xs_free(void *p);
struct heap *mem_heap(const void *p); /* in which it lies */
bool mem_sound(void);                 /* the books of all heaps agree with their free blocks */
