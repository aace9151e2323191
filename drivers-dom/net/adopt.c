/* SPDX-License-Identifier: MIT */
/*
 * Keep records and the adoption of a dead instance's rings (docs/restart-protocol.md 4 and 6).
 *
 * Where the dead instance stopped, seen from its stores:
 *   entries, req_cons | bodies | rsp_next, rsp_prod, rsp_pub
 * Slots [rsp_prod, req_cons) may hold requests, bodies, or some of each: they are answered from the copies and never read.
 * Slots from req_cons on hold requests, untouched. rsp_prod is the front-end's to damage as well, so it must equal what we last
 * published or were about to publish.
 */
#include <string.h>
#include "netback.h"

#define MASK (KEEP_RING - 1)

enum keep_state keep_vif_state(const struct keep_vif *k)
{
    if (!k->head.magic)
        return KEEP_EMPTY;
    return keep_record_valid(k, KEEP_VIF_MAGIC, KEEP_VERSION, sizeof(k->head)) ? KEEP_VALID
                                                                               : KEEP_DAMAGED;
}

void keep_vif_close(struct keep_vif *k) { SHARED_STORE(&k->head.magic, 0u); }

void keep_vif_open(struct keep_vif *k, const struct keep_vif_head *from, uint32_t tx, uint32_t rx)
{
    keep_vif_close(k);
    keep_ring_open(&k->tx, tx);
    keep_ring_open(&k->rx, rx);
    memset(k->mcast, 0, sizeof(k->mcast));
    keep_record_save(&k->head, from, KEEP_VIF_MAGIC, KEEP_VERSION, sizeof(*from));
}

static bool same_vif(const struct keep_vif_head *a, const struct keep_vif_head *b)
{
    return a->domid == b->domid && a->devid == b->devid && a->features == b->features &&
           !memcmp(a->mac, b->mac, sizeof(a->mac)) && a->nr_queues == b->nr_queues &&
           a->slot_gen == b->slot_gen;
}

enum keep_state keep_queues_state(struct keep_vif *const k[], unsigned n)
{
    const struct keep_vif_head *first = &k[0]->head;
    enum keep_state state = keep_vif_state(k[0]);

    if (state != KEEP_VALID)
        return state;
    if (!first->nr_queues || first->nr_queues > n)
        return KEEP_DAMAGED;
    for (unsigned i = 0; i < first->nr_queues; i++) {
        if (keep_vif_state(k[i]) != KEEP_VALID || k[i]->head.queue != i ||
            !same_vif(first, &k[i]->head))
            return KEEP_DAMAGED;
    }
    return KEEP_VALID;
}

void keep_queues_close(struct keep_vif *const k[], unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (k[i]->head.magic)
            keep_vif_close(k[i]);
    }
}

/* --- adoption ------------------------------------------------------------------------------------------- */

static const char *copies_check(const struct keep_vif *k, uint32_t tx, uint32_t rx)
{
    for (uint32_t i = tx; i != (uint32_t)k->tx.req_cons; i++) {
        if (keep_tx_kind(i, k->tx_copy[i & MASK]) < 0)
            return "a copied Tx request is damaged";
    }
    for (uint32_t i = rx; i != (uint32_t)k->rx.req_cons; i++) {
        if (!keep_rx_ok(i, k->rx_copy[i & MASK]))
            return "a copied Rx request is damaged";
    }
    for (unsigned i = 0; i < KEEP_MCAST; i++) {
        if (!keep_mcast_ok(k->mcast[i]))
            return "an address of its groups is damaged";
    }
    return NULL;
}

/* Both indices say again what the ring says. Each is one store, sound in between: rsp_pub or rsp_next equals it already. */
static void ring_settle(struct keep_ring *r, uint32_t rsp_prod)
{
    if ((uint32_t)r->rsp_pub != rsp_prod)
        SHARED_STORE(&r->rsp_pub, keep_idx(rsp_prod));
    if ((uint32_t)r->rsp_next != rsp_prod)
        SHARED_STORE(&r->rsp_next, keep_idx(rsp_prod));
}

static void notify_missed(struct nb *nb, struct batch *b)
{
    mb(); /* rsp_prod is visible before rsp_event is read */
    if (ring_event_missed(&nb->txs->rsp_event, nb->tx_pub))
        batch_send(b, nb->tx_port);
    if (ring_event_missed(&nb->rxs->rsp_event, nb->rx_pub))
        batch_send(b, nb->rx_port);
}

const char *nb_adopt_check(struct nb *nb)
{
    const struct keep_vif *k = nb->keep;
    uint32_t tx = READ_ONCE(nb->txs->rsp_prod), rx = READ_ONCE(nb->rxs->rsp_prod);

    if (keep_vif_state(k) != KEEP_VALID)
        return "the record's head is damaged";
    const char *why = keep_ring_check(&k->tx, tx, KEEP_RING);
    if (!why)
        why = keep_ring_check(&k->rx, rx, KEEP_RING);
    if (!why)
        why = copies_check(k, tx, rx);
    nb->tx_cons = (uint32_t)k->tx.req_cons;
    nb->tx_rsp = nb->tx_pub = tx;
    nb->rx_taken = (uint32_t)k->rx.req_cons;
    nb->rx_cons = nb->rx_seen = nb->rx_rsp = nb->rx_pub = rx;
    return why;
}

void nb_adopt(struct nb *nb, struct batch *b)
{
    ring_settle(&nb->keep->tx, nb->tx_pub);
    ring_settle(&nb->keep->rx, nb->rx_pub);
    /* What was consumed and not answered is lost, which packets may be. Rx requests are filled in their turn. */
    if (nb->tx_cons != nb->tx_pub) {
        nb->vif->stats.tx_dropped += nb->tx_cons - nb->tx_pub;
        nb_tx_answer(nb, nb->tx_cons - nb->tx_pub, NETIF_RSP_DROPPED);
        nb_publish_tx(nb);
    }
    notify_missed(nb, b);
    nb_wake(nb);
    SHARED_STORE(&nb->txs->req_event, nb->tx_cons + 1);
    SHARED_STORE(&nb->rxs->req_event, nb->rx_taken + 1);
    mb(); /* then the caller's first round reads req_prod */
}
