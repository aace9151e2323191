/* SPDX-License-Identifier: MIT */
/*
 * The vifs: xenbus glue around netback.h. vif n lives on switch port n and in keep page n, in this life and the next.
 *
 * States (<xen/io/xenbus.h>): we advertise and go to InitWait; on the front-end's Connected we map its rings and go to
 * Connected; on its Closing, Closed or a detach we unmap and follow; on its Initialising we are at InitWait again. A crash of this
 * domain moves no state: the next life maps the same rings from the keep record and asks the store afterwards. Whose a vif is and what
 * address it has says its entry in the slot table; a record that differs from that is cleared, and the vif plugged again.
 */
#pragma once
#include <xenbus_backend.h>
#include <bh.h>
#include <counters.h>
#include <store_keys.h>
#include "keep.h"
#include "net.h"
#include "netback.h"

struct vif {
    struct be_dev be;
    bool connected;   /* rings are mapped: nb works */
    bool held;        /* what the record says of them is what the front-end says */
    bool told, asked; /* its protocol error was printed; its replacement was asked for */
    bool aside,
        said; /* it is put aside, and its record, if it has one, waits for another chance; bh-stalled was written */
    struct talk comings, breaches,
        refusals; /* lines about connecting and closing; about broken rings; about frames that it may not send */
    uint8_t mac[6];
    bool has_mac;
    struct slot_vif conf; /* what else its entry says */
    struct rate rate;     /* likewise */
    struct grant_map map;
    struct keep_vif *keep;
    struct nb nb;
    struct counters counters; /* of vif_count, in the store */
};

extern struct vif vifs[SW_VIFS]; /* [0] is the uplink's place and unused */

/* Their ports: what a round looks at. */
static inline ports_t vifs_connected(void) { return net.sw.up & ~SW_WIRES; }

/* Takes over the rings of the last life: no store access. Returns how many. keep: page 1 of the keep pages. */
unsigned vifs_adopt(struct keep_vif *(*keep_of)(unsigned port));
/* What the store has to say, if anything: watches, states. Blocks in store calls; only outside of a round. */
void vifs_store_work(void);
/* What is counted of a vif's connection, as it stands in bh-stats. */
void vif_count(const struct vif *v, uint64_t n[BH_NET_STATS]);
/* Tells the store what was counted, at most once a second. Returns when to come again, 0: nothing is unsaid. Blocks in store calls. */
uint64_t vifs_say_stats(void);
/* Puts a frame on the vif's queue. A blank checksum, which pkt_csum_find found, is filled in unless the front-end can do that, or once it is cut. */
void vif_offer(struct vif *v, struct pkt *p);
