/* SPDX-License-Identifier: MIT */
/*
 * What the control domain may set while the store runs: a guest's limits, and the log of requests. Set values are in the journal and so
 * outlive an instance. Whoever has more than a new limit keeps it and gets no more. A driver domain's limits follow from what it offers
 * (accounts.c) and stay.
 */
#include "xs.h"
#include "journal.h"
#include "mem.h"

#define OF(f)     offsetof(struct limits, f)
#define HEAP_MOST (10u * XS_CHUNK) /* a guest's heap, whatever is set */

const struct setting settings[SETTINGS] = {
    { "nodes", "nodes that a guest owns", OF(nodes), 1, UINT16_MAX },
    { "node-size", "bytes of a node, with the names of its children", OF(node_size), 64,
      XENSTORE_PAYLOAD_MAX },
    { "node-memory", "bytes of all nodes that a guest owns", OF(node_mem), 1024, HEAP_MOST },
    { "permissions", "entries of a node's list of permissions", OF(perms), 1, PRIV_PERMS },
    { "watches", "watches", OF(watches), 1, 4096 },
    { "transactions", "open transactions", OF(txs), 1, 256 },
    { "transaction-nodes", "changes, and nodes looked at, in a transaction", OF(tx_ops), 1, 4096 },
    { "memory", "bytes of watches and transactions", OF(work_mem), 1024, HEAP_MOST },
    { "outstanding", "bytes of replies and events that wait", OF(out), OUT_HIGH, PRIV_OUT },
    { "log", "1: each request is said on the console", SETTING_LOG, 0, 1 },
};

static uint32_t *value_of(struct xs *xs, unsigned i)
{
    return settings[i].at == SETTING_LOG ? &xs->log
                                         : (uint32_t *)((char *)&limits_guest + settings[i].at);
}

uint32_t setting_get(const struct xs *xs, unsigned i) { return *value_of((struct xs *)xs, i); }

bool setting_set(struct xs *xs, uint32_t i, uint32_t value)
{
    if (i >= SETTINGS || value < settings[i].least || value > settings[i].most)
        return false;
    *value_of(xs, i) = value;
    journal_put(J_SET, 0, i, value, NULL, 0);
    return true;
}

void settings_snapshot(const struct xs *xs)
{
    for (unsigned i = 0; i < SETTINGS; i++)
        journal_put(J_SET, 0, i, setting_get(xs, i), NULL, 0);
}
