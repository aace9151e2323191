/* SPDX-License-Identifier: MIT */
/*
 * malloc: small sizes from one-page slabs of a size class, the rest in whole pages. Either kind begins at a page boundary
 * with a header that says which it is, so free() needs no search. Empty slabs go back to the page allocator. Nothing is zeroed but by
 * calloc: it would show in the outage of a restart.
 */
#include "bh.h"
#include <stdlib.h>
#include <string.h>

#define SLAB_MAGIC  0x42414c53u
#define LARGE_MAGIC 0x4752414cu

struct object {
    struct object *next;
};
struct header { /* 32 bytes: what follows is aligned to 16 */
    uint32_t magic;
    uint16_t class, used; /* slab: objects in use */
    union {
        struct object *free;
        uint64_t pages; /* large: length of the run */
    };
    struct header *next, *prev; /* slab: list of slabs of the class with a free object */
};
_Static_assert(sizeof(struct header) == 32, "objects are aligned to 16");

static const uint16_t class_size[] = { 16,  32,  48,  64,  96,   128,  192,
                                       256, 400, 576, 800, 1008, 1344, 2032 };
static struct header *partial[ARRAY_SIZE(class_size)];

static unsigned capacity(unsigned class)
{
    return (unsigned)((PAGE_SIZE - sizeof(struct header)) / class_size[class]);
}

static void list_add(struct header *h)
{
    h->prev = NULL;
    h->next = partial[h->class];
    if (h->next)
        h->next->prev = h;
    partial[h->class] = h;
}

static void list_del(struct header *h)
{
    if (h->prev)
        h->prev->next = h->next;
    else
        partial[h->class] = h->next;
    if (h->next)
        h->next->prev = h->prev;
}

static struct header *new_slab(unsigned class)
{
    struct header *h = page_take(1);

    if (!h)
        return NULL;
    *h = (struct header){ .magic = SLAB_MAGIC, .class = (uint16_t) class };
    for (unsigned i = capacity(class); i-- > 0;) {
        struct object *o = (struct object *)((char *)(h + 1) + i * class_size[class]);
        o->next = h->free;
        h->free = o;
    }
    list_add(h);
    return h;
}

static void *alloc_large(size_t n)
{
    if (n > SIZE_MAX / 2)
        return NULL;
    uint64_t pages = (n + sizeof(struct header) + PAGE_SIZE - 1) / PAGE_SIZE;
    struct header *h = pages > 0xffffffff ? NULL : page_take((unsigned)pages);

    if (!h)
        return NULL;
    h->magic = LARGE_MAGIC;
    h->pages = pages;
    return h + 1;
}

void *malloc(size_t n)
{
    unsigned class = 0;

    while (class < ARRAY_SIZE(class_size) && class_size[class] < n)
        class ++;
    if (class == ARRAY_SIZE(class_size))
        return alloc_large(n);
    struct header *h = partial[class] ? partial[class] : new_slab(class);
    if (!h)
        return NULL;
    struct object *o = h->free;
    h->free = o->next;
    h->used++;
    if (!h->free)
        list_del(h);
    return o;
}

static struct header *header_of(void *p, const char *who)
{
    struct header *h = (struct header *)((uint64_t)p & ~(PAGE_SIZE - 1));

    if ((h->magic != SLAB_MAGIC && h->magic != LARGE_MAGIC) || (uint64_t)p % 16 || (void *)h == p)
        bh_panic("%s(%p): not from malloc", who, p);
    return h;
}

void free(void *p)
{
    if (!p)
        return;
    struct header *h = header_of(p, "free");
    if (h->magic == LARGE_MAGIC) {
        h->magic = 0;
        page_free(h, (unsigned)h->pages);
        return;
    }
    if (!h->used)
        bh_panic("free(%p): freed already", p);
    if (!h->free)
        list_add(h);
    struct object *o = p;
    o->next = h->free;
    h->free = o;
    if (--h->used == 0 && (h->next || h->prev)) { /* keep the last one, against ping-pong */
        list_del(h);
        h->magic = 0;
        page_free(h, 1);
    }
}

static size_t usable(void *p)
{
    struct header *h = header_of(p, "realloc");

    return h->magic == LARGE_MAGIC ? h->pages * PAGE_SIZE - sizeof(*h) : class_size[h->class];
}

void *calloc(size_t n, size_t size)
{
    size_t len;

    if (__builtin_mul_overflow(n, size, &len))
        return NULL;
    void *p = malloc(len);
    return p ? memset(p, 0, len) : NULL;
}

void *realloc(void *p, size_t n)
{
    if (!p)
        return malloc(n);
    size_t have = usable(p);
    if (n <= have && n > have / 4)
        return p;
    void *q = malloc(n);
    if (!q)
        return n <= have ? p : NULL;
    memcpy(q, p, n < have ? n : have);
    free(p);
    return q;
}
