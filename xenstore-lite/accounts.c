/* SPDX-License-Identifier: MIT */
/* What each kind of client may have, and what every owner has. */
#include "xs.h"
#include <string.h>
#include "mem.h"

/* --- limits ------------------------------------------------------------------------------------------------------- */
/* A guest with a vif, a disk and the watches that Linux sets holds about 30 KiB. */
static const struct limits guest_at_first = {
    .nodes = QUOTA_NODES,
    .node_size = QUOTA_NODE_SIZE,
    .node_mem = QUOTA_NODE_MEM,
    .watches = QUOTA_WATCHES,
    .txs = QUOTA_TX,
    .tx_ops = QUOTA_TX_OPS,
    .perms = QUOTA_PERMS,
    .work_mem = QUOTA_WORK_MEM,
    .out = QUOTA_OUT,
    .floor = 2,
    .max = 10,
};
struct limits limits_guest;

void limits_init(void) { limits_guest = guest_at_first; }

/* blk0 offers 16 disks with 32 nodes each and lists 129 volumes, with 130 bytes of text for each and, for its users, 128 more; net0
 * offers 64 vifs with 30 nodes. Twice that, since what changes is there twice meanwhile. It changes no rights: what it opened to a guest
 * would still be open when another instance of it, which knows nothing of that, has its place. */
const struct limits limits_driver = {
    .nodes = 4 * QUOTA_NODES,
    .node_size = QUOTA_NODE_SIZE,
    .node_mem = 4 * QUOTA_NODE_MEM,
    .watches = QUOTA_WATCHES,
    .txs = QUOTA_TX,
    .tx_ops = QUOTA_TX_OPS,
    .perms = 0,
    .work_mem = QUOTA_WORK_MEM,
    .out = QUOTA_OUT,
    .floor = 12,
    .max = 30,
};
const struct limits limits_ctl = {
    .nodes = UINT32_MAX,
    .node_size = UINT32_MAX,
    .node_mem = UINT32_MAX,
    .watches = UINT32_MAX,
    .txs = UINT32_MAX,
    .tx_ops = UINT32_MAX,
    .perms = PRIV_PERMS,
    .work_mem = UINT32_MAX,
    .out = PRIV_OUT,
};

/* --- accounts --------------------------------------------------------------------------------------------------- */
/* Makes places for n more accounts. A guest's goes when it is released: xs_forget. */
static bool usage_room(struct xs *xs, unsigned n)
{
    if (xs->nr_usage + n <= xs->cap_usage)
        return true;
    unsigned cap = 2 * (xs->nr_usage + n);
    struct usage *u = xs_alloc(ctl_heap, cap * sizeof *u);
    if (!u)
        return false;
    if (xs->nr_usage)
        memcpy(u, xs->usage, xs->nr_usage * sizeof *u);
    xs_free(xs->usage);
    xs->usage = u;
    xs->cap_usage = cap;
    return true;
}

struct usage *xs_usage(struct xs *xs, uint16_t domid, bool create)
{
    for (unsigned i = 0; i < xs->nr_usage; i++)
        if (xs->usage[i].domid == domid)
            return &xs->usage[i];
    if (!create)
        return NULL;
    xs->usage[xs->nr_usage] = (struct usage){ .domid = domid };
    return &xs->usage[xs->nr_usage++];
}

int xs_usage_reserve(struct xs *xs, const struct edit *e)
{
    if (!usage_room(xs, e->nr))
        return XE_ENOMEM;
    for (unsigned i = 0; i < e->nr; i++)
        xs_usage(xs, e->delta[i].domid, true);
    return XE_OK;
}

int check_domain_quota(struct req *r, const struct edit *e)
{
    const struct limits *l = r->conn->limits;
    const struct usage *now = edit_delta(e, r->conn->domid),
                       *all = xs_usage(r->xs, r->conn->domid, false);
    if (r->conn->privileged || !now)
        return XE_OK;
    if (now->nodes > 0 && (unsigned)(now->nodes + (all ? all->nodes : 0)) > l->nodes)
        return XE_ENOSPC;
    if (now->bytes > 0 && (uint32_t)(now->bytes + (all ? all->bytes : 0)) > l->node_mem)
        return XE_ENOSPC;
    return XE_OK;
}
