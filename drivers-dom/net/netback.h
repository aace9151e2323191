/* SPDX-License-Identifier: MIT */
/*
 * netback's ring logic for one vif: <xen/io/netif.h>, one queue, grant copies, no control ring.
 *
 * Nothing here calls the core: copies and sends are collected in a struct batch, which the caller flushes once a round:
 *
 *     nb_collect                     (all vifs)   requests consumed, copies queued
 *     batch_flush
 *     nb_finish_tx, nb_finish_rx     (all vifs)   responses written
 *     nb_push                        (all vifs)   responses published, notifications queued for the next flush
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

#define NB_ROUND     64u /* packets of a vif each way and round: fairness */
#define NB_RXQ       64u /* packets that wait for a front-end's buffers, at most; power of two */
#define NB_MAX_SLOTS XEN_NETIF_NR_SLOTS_MIN

struct nb_item { /* a packet between collect and finish */
    struct pkt *pkt;
    uint16_t slots, copy0, ncopies;
    int16_t status;
    bool too_long;
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

struct nb {
    netif_tx_sring_t *txs;
    netif_rx_sring_t *rxs;
    struct keep_vif *keep;
    struct pkt_pool *pool;
    domid_t dom;
    uint32_t gen;              /* of its entry: whose fault a death at its rings is (blame.h) */
    uint32_t tx_port, rx_port; /* local ports */
    uint32_t features;         /* KEEP_F_* */
    const char *broken;        /* why, or NULL */

    uint32_t tx_cons;  /* = keep tx.req_cons */
    uint32_t tx_rsp;   /* responses written */
    uint32_t tx_pub;   /* = the ring's rsp_prod */
    unsigned tx_short; /* slots past tx_cons that were seen and are not a whole packet yet */
    const struct nb_room *room; /* of this round; NULL: no bound */
    struct rate rate;           /* of what the front-end sends */
    uint64_t now;               /* when the round began */
    bool tx_waits;              /* the next packet waits for one of them */

    uint32_t rx_cons;  /* next request to fill; behind rx_taken after an adoption */
    uint32_t rx_taken; /* = keep rx.req_cons */
    uint32_t rx_rsp, rx_pub;

    struct pkt *rxq[NB_RXQ];
    uint32_t rxq_head, rxq_tail;
    unsigned rxq_bufs;  /* buffers of theirs */
    unsigned rxq_slots; /* what they need of the front-end's, at most */
    uint32_t rx_seen;   /* requests up to here were relied on: there is no going back */
    unsigned rxq_cut;   /* segments of the first of them that are out already */
    struct nb_item tx_item[NB_ROUND], rx_item[NB_ROUND];
    unsigned nr_tx_items, nr_rx_items;
    struct nb_stats stats;
};

/* Rings of a front-end that just connected: *nb has txs, rxs, keep, pool, dom, gen, ports set. The record is made valid. */
int nb_attach(struct nb *nb, const struct keep_vif_head *head) __attribute__((warn_unused_result));
void nb_detach(struct nb *nb); /* drops what is queued; touches neither ring nor record */

/* A blank checksum stays so. Linux's front-end looks for the header right behind the Ethernet header, whatever it promised: tagged frames go filled in. */
static inline bool nb_takes_blank(const struct nb *nb, const struct pkt *p)
{
    return !p->tagged && (nb->features & (p->ipv6 ? KEEP_F_CSUM6 : KEEP_F_CSUM4));
}

unsigned nb_collect_tx(struct nb *nb, struct batch *b); /* packets consumed */
void nb_finish_tx(struct nb *nb, const struct batch *b, void (*deliver)(void *arg, struct pkt *p),
                  void *arg);
/* Takes a reference of its own; false: full, dropped and counted. Who takes nothing has at most half of what is free, and nothing of the
 * last quarter of the pool: that is for packets that the front-end has asked for already, which are gone with this round. */
bool nb_queue_rx(struct nb *nb, struct pkt *p);
unsigned nb_collect_rx(struct nb *nb,
                       struct batch *b); /* copies of packets into the guest; how many packets */
void nb_finish_rx(struct nb *nb,
                  const struct batch *b); /* after the batch: bodies of the responses; nb_push publishes */
/* Both collections for n vifs. A batch may be too small for the work of all (a packet may take 19 copies), so another vif comes
 * first each time: a flooding front-end leaves the others at least every n-th round. */
unsigned nb_collect(struct nb *const nb[], unsigned n, struct batch *b);
void nb_push(struct nb *nb, struct batch *b);
/* Asks for an event with the next request that could be served; true: there is work already, go round again. */
bool nb_arm(struct nb *nb);

/* adopt.c: rings of a dead instance. Checks all, then commits. On -EINVAL (record damaged or rsp_prod tampered with, *why) not a
 * byte was stored to ring or record. Notifications go to b. */
int nb_adopt(struct nb *nb, struct batch *b, const char **why) __attribute__((warn_unused_result));

/* Shared between netback.c and adopt.c. */
void nb_tx_answer(struct nb *nb, unsigned slots, int16_t status);
void nb_publish_tx(struct nb *nb);
