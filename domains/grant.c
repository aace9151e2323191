/* SPDX-License-Identifier: MIT */
/*
 * Grants, both directions, version 1 tables. Own entries: frames of the table are put into the window when they are needed.
 * Foreign grants are mapped into the window, where no RAM is.
 */
#include "internal.h"
#include <errno.h>
#include <string.h>
#include <xen/memory.h>

#define ENTRIES_PER_FRAME (PAGE_SIZE / sizeof(struct grant_entry_v1))
#define MAX_FRAMES        4
#define MAX_REFS          (MAX_FRAMES * ENTRIES_PER_FRAME)
#define FIRST_REF \
    8 /* 0: console, 1: xenstore, seeded by the core; the rest reserved by Xen's convention */

static volatile struct grant_entry_v1 *table;
static unsigned nr_frames, max_frames;
static uint16_t free_refs[MAX_REFS];
static unsigned nr_free;

void grant_init(void)
{
    struct gnttab_query_size q = { .dom = DOMID_SELF };

    table = window_alloc(MAX_FRAMES);
    max_frames = MAX_FRAMES;
    if (!hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_query_size, (uint64_t)&q, 1, 0) &&
        q.status == GNTST_okay && q.max_nr_frames < max_frames)
        max_frames = q.max_nr_frames;
}

static bool grow(void)
{
    struct xen_add_to_physmap x = { .domid = DOMID_SELF,
                                    .space = XENMAPSPACE_grant_table,
                                    .idx = nr_frames };

    if (!table || nr_frames >= max_frames)
        return false;
    x.gpfn = virt_to_gfn((const void *)table) + nr_frames;
    if (hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, (uint64_t)&x, 0, 0))
        return false;
    unsigned first = nr_frames ? (unsigned)(nr_frames * ENTRIES_PER_FRAME) : FIRST_REF;
    nr_frames++;
    for (unsigned r = (unsigned)(nr_frames * ENTRIES_PER_FRAME); r-- > first;)
        free_refs[nr_free++] = (uint16_t)r;
    return true;
}

int grant_give(domid_t to, const void *page, unsigned flags)
{
    if (!nr_free && !grow())
        return -ENOSPC;
    uint16_t ref = free_refs[--nr_free];
    table[ref].domid = to;
    table[ref].frame = (uint32_t)virt_to_gfn(page);
    wmb(); /* the core believes the entry once its type is set */
    table[ref].flags = GTF_permit_access | (flags & GRANT_RO ? GTF_readonly : 0);
    return ref;
}

int grant_end(uint32_t ref)
{
    if (ref < FIRST_REF || ref >= nr_frames * ENTRIES_PER_FRAME)
        return -EINVAL;
    uint16_t old = table[ref].flags;
    do {
        if (old & (GTF_reading | GTF_writing))
            return -EBUSY;
        if (!(old & GTF_type_mask))
            return -EINVAL;
    } while (!__atomic_compare_exchange_n(&table[ref].flags, &old, 0, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
    free_refs[nr_free++] = (uint16_t)ref;
    return 0;
}

static void unmap(void *va, const uint32_t *handle, unsigned n)
{
    struct gnttab_unmap_grant_ref u[ARRAY_SIZE(((struct grant_map *)0)->handle)];

    for (unsigned i = 0; i < n; i++)
        u[i] = (struct gnttab_unmap_grant_ref){
            .host_addr = (uint64_t)va + i * PAGE_SIZE,
            .handle = handle[i],
        };
    if (n)
        hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, (uint64_t)u, n, 0);
}

int grant_map(struct grant_map *m, domid_t dom, const uint32_t *refs, unsigned n, unsigned flags)
{
    struct gnttab_map_grant_ref op[ARRAY_SIZE(m->handle)];
    unsigned good = 0;
    long rc;

    memset(m, 0, sizeof(*m));
    if (!n || n > ARRAY_SIZE(m->handle))
        return -EINVAL;
    char *va = window_alloc(n);
    if (!va)
        return -ENOSPC;
    for (unsigned i = 0; i < n; i++)
        op[i] = (struct gnttab_map_grant_ref){
            .host_addr = (uint64_t)va + i * PAGE_SIZE,
            .ref = refs[i],
            .dom = dom,
            .status = GNTST_general_error,
            .flags = GNTMAP_host_map | (flags & GRANT_RO ? GNTMAP_readonly : 0),
        };
    rc = hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, (uint64_t)op, n, 0);
    while (!rc && good < n && op[good].status == GNTST_okay)
        good++;
    if (good == n) {
        for (unsigned i = 0; i < n; i++)
            m->handle[i] = op[i].handle;
        m->va = va;
        m->n = n;
        return 0;
    }
    /* All or nothing: those after a failed one may have succeeded too. */
    for (unsigned i = 0; !rc && i < n; i++)
        if (op[i].status == GNTST_okay)
            unmap(va + i * PAGE_SIZE, &op[i].handle, 1);
    window_free(va, n);
    return rc ? (int)rc : -EACCES;
}

int grant_unmap(struct grant_map *m)
{
    if (!m->va)
        return -EINVAL;
    unmap(m->va, m->handle, m->n);
    window_free(m->va, m->n);
    m->va = NULL;
    return 0;
}
