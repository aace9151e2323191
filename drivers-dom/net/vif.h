/* SPDX-License-Identifier: MIT */
/*
 * The vifs: xenbus glue around netback.h. vif n lives on switch port n, and its queue q in keep page n + q * (SW_VIFS - 1), in this life and
 * the next.
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
    struct keep_vif *keep[KEEP_QUEUES]; /* vif_queues of them */
    struct nb_vif nb;
    struct counters counters; /* of vif_count, in the store */
};

extern struct vif vifs[SW_VIFS]; /* [0] is the uplink's place and unused */

/* Their ports: what a round looks at. */
static inline ports_t vifs_connected(void) { return net.sw.up & ~SW_WIRES; }

extern unsigned vif_queues; /* that each may have: as many as there are keep pages for */
#define VIF_KEEP(queues) (1 + (queues) * (SW_VIFS - 1)) /* pages of so many, page 0 included */

/* Takes over the rings of the last life: no store access. Returns how many. keep: vif_queues says how much of it. */
unsigned vifs_adopt(uint8_t *keep);
/* What the store has to say, if anything: watches, states. Blocks in store calls; only outside of a round. */
void vifs_store_work(void);
/* What is counted of a vif's connection, as it stands in bh-stats. */
void vif_count(const struct vif *v, uint64_t n[BH_NET_STATS]);
/* Tells the store what was counted, at most once a second. Returns when to come again, 0: nothing is unsaid. Blocks in store calls. */
uint64_t vifs_say_stats(void);
/* Puts a frame on one of the vif's queues. A blank checksum, which pkt_csum_find found, is filled in unless the front-end can do that, or once it is cut. */
void vif_offer(struct vif *v, struct pkt *p);

/* vif_front.c: what the front-end wrote, a head for each queue. NULL, or what is wrong with it; *again: the store gave no answer. */
const char *vif_front(const struct vif *v, struct keep_vif_head h[KEEP_QUEUES], bool *again);
extern const char vif_no_rings[]; /* what is wrong if there is nothing */
