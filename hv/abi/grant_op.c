/* SPDX-License-Identifier: MIT */
/*
 * grant_table_op for version 1 tables. Arrays are served in batches; between two batches the call may be preempted: then
 * the guest's own registers say where it goes on. Every operation has its own status.
 * What is not here (transfer, version 2's frames, ...) is -ENOSYS.
 */
#include "abi/dispatch.h"
#include "base/string.h"
#include "mem/frame.h"
#include "mem/gcopy.h"
#include "ipc/grant.h"
#include "mem/npt.h"
#include "sched/sched.h"

_Static_assert(sizeof(struct gnttab_map_grant_ref) == 32 &&
                   sizeof(struct gnttab_unmap_grant_ref) == 24 && sizeof(struct gnttab_copy) == 40,
               "Xen's layouts");

/* --- copy ----------------------------------------------------------------------------------------------- */
struct side {
    struct domain *rd; /* granter, NULL: own memory by frame number */
    uint32_t ref;
    bool ro;
    mfn_t m;
};

static int16_t own_frame(struct side *s, uint64_t gfn)
{
    struct domain *d = current_domain();
    enum p2m_type t = P2M_NONE;

    if (gfn >= d->p2m.max_gfn)
        return GNTST_bad_page;
    s->m = p2m_get(d, GFN(gfn), &t);
    if (s->m.v == INVALID_MFN.v)
        return GNTST_bad_page;
    if (t == P2M_RAM || (t == P2M_RAM_IMMUTABLE && s->ro))
        return GNTST_okay;
    if (p2m_counted(t))
        frame_put(s->m);
    return GNTST_bad_page;
}

/* The granter that the copies of a call had last as their source, or as their destination: most have the same. With a reference. */
struct granter {
    struct domain *rd;
    domid_t id;
};

static struct domain *granter_get(struct granter *g, domid_t id)
{
    if (g->rd && g->id == id)
        return g->rd;
    if (g->rd)
        domain_put(g->rd);
    g->id = id;
    g->rd = domain_get(id == DOMID_SELF ? current_domain()->id : id);
    return g->rd;
}

static int16_t side_get(struct side *s, const struct gnttab_copy_ptr *p, bool gref, bool ro,
                        struct granter *g)
{
    *s = (struct side){ .ro = ro, .ref = p->u.ref };
    if (!gref)
        return is_self(current_domain(), p->domid) ? own_frame(s, p->u.gmfn)
                                                   : GNTST_permission_denied;
    s->rd = granter_get(g, p->domid);
    if (!s->rd || s->rd->state == BH_DOM_DYING)
        return GNTST_bad_domain;
    return grant_pin(s->rd, s->ref, current_domain()->id, ro, &s->m);
}

static void side_put(struct side *s)
{
    if (s->rd)
        grant_unpin(s->rd, s->ref, s->ro);
    else
        frame_put(s->m);
}

/* The offset was checked, or the length is 0; the mask holds also where the CPU takes the check for passed. */
static char *in_frame(mfn_t m, uint16_t offset)
{
    return (char *)mfn_to_virt(m) + (offset & (PAGE_SIZE - 1));
}

static int16_t copy_one(const struct gnttab_copy *op, struct granter *from, struct granter *to)
{
    struct side src, dst;

    if ((uint32_t)op->source.offset + op->len > PAGE_SIZE ||
        (uint32_t)op->dest.offset + op->len > PAGE_SIZE)
        return GNTST_bad_copy_arg;
    int16_t st = side_get(&src, &op->source, op->flags & GNTCOPY_source_gref, true, from);
    if (st != GNTST_okay)
        return st;
    st = side_get(&dst, &op->dest, op->flags & GNTCOPY_dest_gref, false, to);
    if (st == GNTST_okay) {
        memmove(in_frame(dst.m, op->dest.offset), in_frame(src.m, op->source.offset), op->len);
        side_put(&dst);
    }
    side_put(&src);
    return st;
}

void grant_copy(struct gnttab_copy *op, unsigned n)
{
    struct granter from = { .rd = NULL }, to = { .rd = NULL };

    counts()->copies += n;
    for (unsigned i = 0; i < n; i++)
        op[i].status = copy_one(&op[i], &from, &to);
    if (from.rd)
        domain_put(from.rd);
    if (to.rd)
        domain_put(to.rd);
}

/* --- arrays ----------------------------------------------------------------------------------------------- */
union batch {
    struct gnttab_map_grant_ref map[GRANT_BATCH];
    struct gnttab_unmap_grant_ref unmap[GRANT_BATCH];
    struct gnttab_copy copy[GRANT_BATCH];
    struct gnttab_swap_grant_ref swap[GRANT_BATCH];
};

static void batch_map(union batch *b, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        grant_map_one(current_domain(), &b->map[i]);
}
static void batch_unmap(union batch *b, unsigned n)
{
    grant_unmap_batch(current_domain(), b->unmap, n);
}
static void batch_swap(union batch *b, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        b->swap[i].status = grant_swap(current_domain(), b->swap[i].ref_a, b->swap[i].ref_b);
}
static void batch_copy(union batch *b, unsigned n) { grant_copy(b->copy, n); }

static long array_op(struct call *c, size_t size, void (*fn)(union batch *b, unsigned n))
{
    gaddr_t arg = GADDR(c->a[1]);
    uint32_t count = (uint32_t)c->a[2];
    union batch b;

    if ((int32_t)count < 0)
        return -EINVAL;
    while (count) {
        unsigned n = MIN(count, GRANT_BATCH);
        if (copy_from_guest(&b, arg, n * size))
            return -EFAULT;
        fn(&b, n);
        if (copy_to_guest(arg, &b, n * size))
            return -EFAULT;
        arg = gaddr_add(arg, n * size);
        count -= n;
        if (count && must_yield()) {
            c->a[1] = arg.v;
            c->a[2] = count;
            return HC_AGAIN;
        }
    }
    return 0;
}

static long op_map_grant_ref(struct call *c)
{
    return array_op(c, sizeof(struct gnttab_map_grant_ref), batch_map);
}
static long op_unmap_grant_ref(struct call *c)
{
    return array_op(c, sizeof(struct gnttab_unmap_grant_ref), batch_unmap);
}
static long op_copy(struct call *c) { return array_op(c, sizeof(struct gnttab_copy), batch_copy); }
static long op_swap_grant_ref(struct call *c)
{
    return array_op(c, sizeof(struct gnttab_swap_grant_ref), batch_swap);
}

/* --- single operations -------------------------------------------------------------------------------------- */
static long op_query_size(struct call *c, struct gnttab_query_size *q)
{
    if ((uint32_t)c->a[2] != 1)
        return -EINVAL;
    q->status = is_self(c->d, q->dom) ? GNTST_okay : GNTST_permission_denied;
    if (q->status == GNTST_okay) {
        q->nr_frames = c->d->grant.nr_frames;
        q->max_nr_frames = GRANT_MAX_FRAMES;
    }
    return 0;
}

/* Where the frames are in the caller's own map; all ones for one that it has not placed (XENMEM_add_to_physmap): the table is made
 * as large as asked for, nothing is mapped. */
static long op_setup_table(struct call *c, struct gnttab_setup_table *s)
{
    struct domain *d = c->d;
    mfn_t m;

    if ((uint32_t)c->a[2] != 1)
        return -EINVAL;
    s->status = !is_self(d, s->dom)               ? GNTST_permission_denied
                : s->nr_frames > GRANT_MAX_FRAMES ? GNTST_general_error
                                                  : GNTST_okay;
    for (uint32_t i = 0; s->status == GNTST_okay && i < s->nr_frames; i++) {
        xen_pfn_t gfn;
        if (grant_frame_mfn(d, i, &m)) {
            s->status = GNTST_general_error;
            break;
        }
        gfn = d->grant.frame_gfn[clamp_nospec(i, GRANT_MAX_FRAMES)];
        if (copy_to_guest(GADDR((uint64_t)s->frame_list.p + i * sizeof gfn), &gfn, sizeof gfn))
            s->status = GNTST_bad_virt_addr;
    }
    return 0;
}

/* Of these two Xen does not look at the count. */
static long op_set_version(struct call *c, struct gnttab_set_version *s)
{
    (void)c;
    long rc = s->version == 1 ? 0 : s->version == 2 ? -ENOSYS : -EINVAL;
    s->version = 1;
    return rc;
}

static long op_get_version(struct call *c, struct gnttab_get_version *g)
{
    if (!is_self(c->d, g->dom))
        return -EPERM;
    g->version = 1;
    return 0;
}

#define GRANT_TABLE_OP OP_STUB
#include <ops.def>
#define GRANT_TABLE_OP OP_ROW
static const struct op rows[] = {
#include <ops.def>
};
const struct ops grant_table_op_ops = OPS(rows, OP_INT, 1);
