/* SPDX-License-Identifier: MIT */
/*
 * netback's ring logic: <xen/io/netif.h>, up to four queues for each vif, grant copies, no control ring. netback.c knows one queue, queues.c those of a
 * vif.
 *
 * Nothing here calls the core: copies and sends are collected in a struct batch, which the caller flushes once a round:
 *
 *     nb_collect          (all vifs)   requests consumed, copies queued
 *     batch_flush
 *     nb_vif_finish       (all vifs)   responses written, then published; notifications queued for the next flush
 *
 * The front-end is hostile. Each slot is copied once and only the copy is used; what breaks the protocol marks the vif broken and
 * nothing is read from or written to its rings any more (it harms itself only). What is merely unusable is dropped and
 * answered.
 *
 * This instance may die after any store; keep.h and adopt.c say what the next one relies on:
 *   - a slot's answer needs only the keep record: it is copied there, then keep's req_cons passes it, and only then may a
 *     response body be stored over it;
 *   - req_cons and rsp_prod move by whole packets.
 */
#pragma once
#include <bh.h>
#include <xen/io/netif.h>
#include "keep.h"
#include "pkt.h"
#include "rate.h"

#define NB_ROUND     64u  /* packets of a vif each way and round: fairness */
#define NB_ITEMS     512u /* of all of them: more than a batch has copies */
#define NB_RXQ       64u  /* packets that wait for a queue's buffers, at most; power of two */
#define NB_MAX_SLOTS XEN_NETIF_NR_SLOTS_MIN

struct nb_item { /* a packet between collect and finish */
    struct pkt *pkt;
    uint16_t slots, copy0, ncopies;
    int16_t status;
    bool too_long;
};
/* Those of a round: for each queue and direction some that lie behind each other. All zero at first. */
struct nb_items {
    struct nb_item item[NB_ITEMS];
    unsigned used, live;
};
struct nb_list {
    struct nb_item *item;
    unsigned nr;
};

struct nb_stats {
    uint64_t tx_packets, tx_long, tx_errors, tx_dropped, rx_packets, rx_errors,
        rx_dropped; /* tx_long: in more slots than a packet may have */
};

/* How much of the wire a vif may take in a round. One that sends more waits in its own ring. */
struct nb_room {
    unsigned bufs; /* what the NIC takes of it */
    bool idle;     /* nothing of it is with the NIC: one packet may be longer than that */
    bool cut;      /* TCP has to be cut for the NIC */
};

struct nb { /* a queue */
    struct nb_vif *vif;
    netif_tx_sring_t *txs;
    netif_rx_sring_t *rxs;
    struct keep_vif *keep;
    uint32_t tx_port, rx_port; /* local ports */
    bool awake; /* rounds look at it: it had an event, or has work left. Else it was armed, and nothing has come since */

    uint32_t tx_cons;  /* = keep tx.req_cons */
    uint32_t tx_rsp;   /* responses written */
    uint32_t tx_pub;   /* = the ring's rsp_prod */
    unsigned tx_short; /* slots past tx_cons that were seen and are not a whole packet yet */
    bool tx_waits;     /* the next packet waits for the wire or for its turn (rate.h) */

    uint32_t rx_cons;  /* next request to fill; behind rx_taken after an adoption */
    uint32_t rx_taken; /* = keep rx.req_cons */
    uint32_t rx_rsp, rx_pub;

    struct pkt *rxq[NB_RXQ];
    uint32_t rxq_head, rxq_tail;
    unsigned rxq_slots; /* what they need of the front-end's, at most */
    uint32_t rx_seen;   /* requests up to here were relied on: there is no going back */
    unsigned rxq_cut;   /* segments of the first of them that are out already */
    struct nb_list tx_items, rx_items;
};

/* What its queues share. */
struct nb_vif {
    struct pkt_pool *pool;
    struct nb_items *items;
    domid_t dom;
    uint32_t gen;               /* of its entry: whose fault a death at its rings is (blame.h) */
    uint32_t features;          /* KEEP_F_* */
    const char *broken;         /* why, or NULL: by any queue, and all of them stand still */
    const struct nb_room *room; /* of this round; NULL: no bound */
    unsigned used;              /* of that, in this round */
    struct rate rate;           /* of what the front-end sends */
    uint64_t now;               /* when the round began */
    unsigned rxq_bufs;          /* buffers of what waits in the rxqs */
    unsigned nr_tx_items, nr_rx_items;
    uint64_t led;  /* the round in which it came first */
    unsigned turn; /* whose turn it is among the queues */
    bool awake;    /* one of them is */
    struct nb_stats stats;
    unsigned nr_queues;
    struct nb q[KEEP_QUEUES];
};

/* A blank checksum stays so. Linux's front-end looks for the header right behind the Ethernet header, whatever it promised: tagged frames go filled in. */
static inline bool nb_takes_blank(const struct nb_vif *v, const struct pkt *p)
{
    return !p->tagged && (v->features & (p->ipv6 ? KEEP_F_CSUM6 : KEEP_F_CSUM4));
}

/* --- a vif (queues.c) --- */

/* Rings of a front-end that just connected: *v has pool, items, dom, gen, nr_queues, and of each queue rings, keep, ports set; all else is zero. head: for
 * each queue. All records are made valid, that of the first queue last; or none is, and `broken` says why. */
int nb_vif_attach(struct nb_vif *v, const struct keep_vif_head *head)
    __attribute__((warn_unused_result));
/* Rings of a dead instance, likewise. Checks all, then commits. On -EINVAL (a record damaged or rsp_prod tampered with, *why) not a byte was stored
 * to a ring or record. Notifications go to b. */
int nb_vif_adopt(struct nb_vif *v, struct batch *b, const char **why)
    __attribute__((warn_unused_result));
void nb_vif_detach(struct nb_vif *v); /* drops what is queued; touches neither ring nor record */
/* Which queue a packet to the front-end takes: that of its flow (rss.h). */
unsigned nb_vif_queue(const struct nb_vif *v, const struct pkt *p);
/* With an event of the queue's. What is queued for it, and a ring that was just attached or adopted, wakes it as well. */
static inline void nb_wake(struct nb *nb) { nb->awake = nb->vif->awake = true; }
void nb_vif_wake(struct nb_vif *v); /* all of them: an event waits, who knows whose */
/* Both collections for n vifs. A batch may be too small for the work of all (a packet may take 19 copies), so the one comes
 * first that has not for longest, whoever else comes and goes: a flooding front-end leaves the others at least every n-th round. So do the queues of a vif among themselves. */
unsigned nb_collect(struct nb_vif *const v[], unsigned n, struct batch *b);
void nb_vif_finish(struct nb_vif *v, struct batch *b, void (*deliver)(void *arg, struct pkt *p),
                   void *arg);
bool nb_vif_arm(struct nb_vif *v);         /* who has nothing left sleeps then */
bool nb_vif_waits(const struct nb_vif *v); /* a queue of it does: tx_waits */

/* --- a queue --- */

int nb_attach(struct nb *nb, const struct keep_vif_head *head) __attribute__((warn_unused_result));
void nb_detach(struct nb *nb);
unsigned nb_collect_tx(struct nb *nb, struct batch *b); /* packets consumed */
void nb_finish_tx(struct nb *nb, const struct batch *b, void (*deliver)(void *arg, struct pkt *p),
                  void *arg);
/* Takes a reference of its own; false: full, dropped and counted. Who takes nothing has at most half of what is free, and nothing of the
 * last three eighths of the pool, of which a NIC that stands still has a quarter: that is for packets that the front-end has asked for already, which are gone with this round; what is to be cut for it
 * leaves PKT_BUFS of them. */
bool nb_queue_rx(struct nb *nb, struct pkt *p);
unsigned nb_collect_rx(struct nb *nb,
                       struct batch *b); /* copies of packets into the guest; how many packets */
void nb_finish_rx(struct nb *nb,
                  const struct batch *b); /* after the batch: bodies of the responses; nb_push publishes */
void nb_push(struct nb *nb, struct batch *b);
/* Asks for an event with the next request that could be served; true: there is work already, go round again. */
bool nb_arm(struct nb *nb);

/* adopt.c: NULL, or why a dead instance's ring cannot be taken over. Stores nothing. */
const char *nb_adopt_check(struct nb *nb);
void nb_adopt(struct nb *nb, struct batch *b); /* then it is */

/* Shared between netback.c and adopt.c. */
void nb_tx_answer(struct nb *nb, unsigned slots, int16_t status);
void nb_publish_tx(struct nb *nb);
