/* SPDX-License-Identifier: MIT */
/*
 * Small objects of the core: one list of partly used pages per power of two from 32 to 2048. A page's frame holds the
 * index of its first free object, each free object the index of the next; an empty page goes back to the frame allocator.
 * Lock: slab_lock, outside the frame heap's.
 */
#include "base/lock.h"
#include "base/print.h"
#include "base/string.h"
#include "mem/frame.h"

#define MIN_SHIFT 5u
#define MAX_SHIFT 11u
#define NO_OBJECT 0xffffu

static struct spinlock slab_lock;
static struct list partial[MAX_SHIFT - MIN_SHIFT + 1];
static bool ready;

static unsigned size_shift(size_t n)
{
    unsigned s = MIN_SHIFT;
    while (n > 1ull << s)
        s++;
    return s;
}

static struct frame *new_slab(unsigned shift)
{
    uint8_t *page = core_alloc(0);
    if (!page)
        return NULL;
    unsigned count = (unsigned)(PAGE_SIZE >> shift);
    for (unsigned i = 0; i < count; i++)
        *(uint16_t *)(page + ((size_t)i << shift)) = (uint16_t)(i + 1 < count ? i + 1 : NO_OBJECT);
    struct frame *f = mfn_to_frame(virt_to_mfn(page));
    f->slab_free = 0;
    f->slab_used = 0;
    list_insert(&partial[shift - MIN_SHIFT], &f->node);
    return f;
}

void *kmalloc(size_t n)
{
    if (n > 1u << MAX_SHIFT)
        return n <= PAGE_SIZE ? core_alloc(0) : NULL;
    unsigned shift = size_shift(n);
    struct list *l = &partial[shift - MIN_SHIFT];
    spin_lock(&slab_lock);
    if (!ready) {
        for (unsigned i = 0; i < ARRAY_SIZE(partial); i++)
            list_init(&partial[i]);
        ready = true;
    }
    struct frame *f = list_empty(l) ? new_slab(shift) : list_entry(l->next, struct frame, node);
    if (!f) {
        spin_unlock(&slab_lock);
        return NULL;
    }
    uint8_t *obj = (uint8_t *)mfn_to_virt(frame_to_mfn(f)) + ((size_t)f->slab_free << shift);
    f->slab_free = *(uint16_t *)obj;
    f->slab_used++;
    if (f->slab_free == NO_OBJECT)
        list_del(&f->node); /* full */
    spin_unlock(&slab_lock);
    return memset(obj, 0, 1ull << shift);
}

void kfree(void *p, size_t n)
{
    if (!p)
        return;
    if (n > 1u << MAX_SHIFT) {
        core_free(p, 0);
        return;
    }
    unsigned shift = size_shift(n);
    struct frame *f = mfn_to_frame(virt_to_mfn(p));
    uint8_t *page = mfn_to_virt(virt_to_mfn(p));
    size_t off = (size_t)((uint8_t *)p - page);
    BUG_ON(!f || f->owner != DOMID_CORE || !f->slab_used || off & ((1ull << shift) - 1));
    spin_lock(&slab_lock);
    if (f->slab_free == NO_OBJECT)
        list_insert(&partial[shift - MIN_SHIFT], &f->node);
    *(uint16_t *)p = f->slab_free;
    f->slab_free = (uint16_t)(off >> shift);
    bool empty = --f->slab_used == 0;
    if (empty)
        list_del(&f->node);
    spin_unlock(&slab_lock);
    if (empty)
        core_free(page, 0);
}
