/* SPDX-License-Identifier: MIT */
/* netback's ring logic: see netback.h for the round, the trust and the rules that a crash at any store imposes. */
#include "netback.h"
#include <blame.h>
#include <errno.h>
#include <string.h>

#define MASK (KEEP_RING - 1)
_Static_assert(__CONST_RING_SIZE(netif_tx, 4096) == KEEP_RING, "one-page Tx ring");
_Static_assert(__CONST_RING_SIZE(netif_rx, 4096) == KEEP_RING, "one-page Rx ring");
_Static_assert(sizeof(union netif_tx_sring_entry) == 12, "Tx slot");
_Static_assert(sizeof(union netif_rx_sring_entry) == 8, "Rx slot");
_Static_assert(sizeof(struct netif_tx_response) == 4, "Tx response is one store");
_Static_assert(sizeof(struct netif_rx_response) == 8, "Rx response is one store");

static void nb_break(struct nb *nb, const char *why)
{
    if (!nb->broken)
        nb->broken = why;
}

/* Requests in [cons, the ring's req_prod), which may not pass what the front-end may have outstanding. */
static unsigned ring_avail(struct nb *nb, RING_IDX *req_prod, uint32_t cons, uint32_t pub)
{
    uint32_t n;

    if (ring_requests(req_prod, cons, pub, KEEP_RING, &n))
        return n;
    nb_break(nb, "request index out of bounds");
    return 0;
}

int nb_attach(struct nb *nb, const struct keep_vif_head *head)
{
    uint32_t tx = READ_ONCE(nb->txs->rsp_prod), rx = READ_ONCE(nb->rxs->rsp_prod);

    nb->features = head->features;
    nb->tx_cons = nb->tx_rsp = nb->tx_pub = tx;
    nb->rx_cons = nb->rx_taken = nb->rx_rsp = nb->rx_pub = rx;
    (void)ring_avail(nb, &nb->txs->req_prod, tx, tx);
    (void)ring_avail(nb, &nb->rxs->req_prod, rx, rx);
    if (nb->broken)
        return -EINVAL;
    keep_vif_open(nb->keep, head, tx, rx);
    return 0;
}

static void drop_items(struct nb *nb)
{
    for (unsigned i = 0; i < nb->nr_tx_items; i++) {
        if (nb->tx_item[i].pkt)
            pkt_put(nb->pool, nb->tx_item[i].pkt);
    }
    for (unsigned i = 0; i < nb->nr_rx_items; i++)
        pkt_put(nb->pool, nb->rx_item[i].pkt);
    nb->nr_tx_items = nb->nr_rx_items = 0;
}

void nb_detach(struct nb *nb)
{
    while (nb->rxq_head != nb->rxq_tail)
        pkt_put(nb->pool, nb->rxq[nb->rxq_head++ % NB_RXQ]);
    drop_items(nb);
}

/* --- Tx: from the front-end ------------------------------------------------------------------------- */

struct tx_chain {
    unsigned slots, extras, frags;
    struct netif_tx_request frag[NB_MAX_SLOTS];
};

union tx_slot {
    struct netif_tx_request req;
    struct netif_extra_info extra;
    uint32_t word[3];
};

static union tx_slot tx_snapshot(const struct nb *nb, uint32_t i)
{
    const uint32_t *p = (const uint32_t *)&nb->txs->ring[i & MASK];
    union tx_slot s;

    for (unsigned k = 0; k < 3; k++)
        s.word[k] = READ_ONCE(p[k]);
    return s;
}

/*
 * Reads the packet at tx_cons (first slot, extra infos, further slots) and copies to the keep record what its answers need;
 * these entries lie at or past req_cons and mean nothing until it moves. false: the chain is not complete yet.
 */
static bool tx_parse(struct nb *nb, unsigned avail, struct tx_chain *c)
{
    uint32_t i = nb->tx_cons, end = i + avail;
    union tx_slot s;
    bool more, extra;

    *c = (struct tx_chain){ .frags = 0 };
    s = tx_snapshot(nb, i);
    SHARED_STORE(&nb->keep->tx_copy[i & MASK], keep_tx(i, s.req.id, false));
    i++;
    c->frag[c->frags++] = s.req;
    more = s.req.flags & NETTXF_more_data;
    for (extra = s.req.flags & NETTXF_extra_info; extra; c->extras++) {
        if (i == end)
            return false;
        s = tx_snapshot(nb, i);
        SHARED_STORE(&nb->keep->tx_copy[i & MASK], keep_tx(i, 0, true));
        i++;
        extra = s.extra.flags & XEN_NETIF_EXTRA_FLAG_MORE;
    }
    for (; more; c->frags++) {
        if (i == end)
            return false;
        s = tx_snapshot(nb, i);
        SHARED_STORE(&nb->keep->tx_copy[i & MASK], keep_tx(i, s.req.id, false));
        i++;
        more = s.req.flags & NETTXF_more_data;
        if (c->frags < NB_MAX_SLOTS)
            c->frag[c->frags] = s.req;
    }
    c->slots = i - nb->tx_cons;
    return true;
}

/* The first slot's size is the packet's; what the other slots hold is taken off. false: not a packet we can take. No extra
 * info type was offered, so a packet that has one asks for what we do not do. */
static bool tx_sizes(struct tx_chain *c)
{
    unsigned rest = 0, total = c->frag[0].size;

    if (c->extras || c->frags > NB_MAX_SLOTS || total < ETH_HLEN || total > FRAME_MAX)
        return false;
    for (unsigned i = 1; i < c->frags; i++) {
        if ((unsigned)c->frag[i].offset + c->frag[i].size > PAGE_SIZE)
            return false;
        rest += c->frag[i].size;
    }
    if (rest >= total || c->frag[0].offset + (total - rest) > PAGE_SIZE)
        return false;
    c->frag[0].size = (uint16_t)(total - rest);
    return true;
}

static void tx_queue_copies(struct nb *nb, struct batch *b, const struct tx_chain *c,
                            struct nb_item *it)
{
    struct pkt *p = it->pkt;

    it->copy0 = (uint16_t)b->nr_copies;
    for (unsigned i = 0; i < c->frags; i++) {
        const struct netif_tx_request *f = &c->frag[i];
        if (!f->size)
            continue;
        (void)batch_copy_from(b, nb->dom, f->gref, f->offset, p->data + p->len,
                              f->size); /* room was checked */
        p->len = (uint16_t)(p->len + f->size);
    }
    it->ncopies = (uint16_t)(b->nr_copies - it->copy0);
    if (c->frag[0].flags & NETTXF_csum_blank)
        p->flags = PKT_CSUM_BLANK | PKT_CSUM_VALID;
    else if (c->frag[0].flags & NETTXF_data_validated)
        p->flags = PKT_CSUM_VALID;
}

unsigned nb_collect_tx(struct nb *nb, struct batch *b)
{
    struct tx_chain c;

    while (!nb->broken && nb->nr_tx_items < NB_ROUND) {
        unsigned avail = ring_avail(nb, &nb->txs->req_prod, nb->tx_cons, nb->tx_pub);
        nb->tx_short = 0;
        /* Checked before parsing: a packet is consumed only if it can be carried on. */
        if (!avail || !nb->pool->free || b->nr_copies + NB_MAX_SLOTS > BH_BATCH_COPIES)
            break;
        if (!tx_parse(nb, avail, &c)) {
            if (avail == KEEP_RING)
                nb_break(nb, "packet longer than the ring");
            nb->tx_short = avail;
            break;
        }
        struct nb_item *it = &nb->tx_item[nb->nr_tx_items];
        *it = (struct nb_item){ .slots = (uint16_t)c.slots, .status = NETIF_RSP_OKAY };
        if (tx_sizes(&c)) {
            it->pkt = pkt_alloc(nb->pool);
            tx_queue_copies(nb, b, &c, it);
        } else {
            it->status = NETIF_RSP_ERROR;
            it->too_long = c.frag[0].size > FRAME_MAX;
        }
        nb->tx_cons += c.slots;
        SHARED_STORE(&nb->keep->tx.req_cons, keep_idx(nb->tx_cons));
        nb->nr_tx_items++;
    }
    return nb->nr_tx_items;
}

/* Response bodies for the next `slots` slots, from the keep record alone. */
void nb_tx_answer(struct nb *nb, unsigned slots, int16_t status)
{
    while (slots--) {
        uint32_t i = nb->tx_rsp++, e = nb->keep->tx_copy[i & MASK];
        bool extra = keep_tx_kind(i, e) == 1;
        uint16_t st = (uint16_t)(extra ? NETIF_RSP_NULL : status);
        /* id in the low half, status in the high one: see the assertion on its size */
        uint32_t body = (extra ? 0 : e & 0xffff) | (uint32_t)st << 16;
        SHARED_STORE((uint32_t *)&nb->txs->ring[i & MASK].rsp, body);
    }
}

static bool copies_ok(const struct batch *b, const struct nb_item *it)
{
    for (unsigned i = 0; i < it->ncopies; i++) {
        if (b->copy[it->copy0 + i].status != GNTST_okay)
            return false;
    }
    return true;
}

void nb_finish_tx(struct nb *nb, const struct batch *b, void (*deliver)(void *arg, struct pkt *p),
                  void *arg)
{
    if (nb->broken)
        drop_items(nb);
    for (unsigned i = 0; i < nb->nr_tx_items; i++) {
        struct nb_item *it = &nb->tx_item[i];
        if (!copies_ok(b, it))
            it->status = NETIF_RSP_ERROR;
        nb_tx_answer(nb, it->slots, it->status);
        if (it->status == NETIF_RSP_OKAY) {
            nb->stats.tx_packets++;
            deliver(arg, it->pkt);
        } else {
            (*(it->too_long ? &nb->stats.tx_long : &nb->stats.tx_errors))++;
        }
        if (it->pkt)
            pkt_put(nb->pool, it->pkt);
    }
    nb->nr_tx_items = 0;
}

/* --- Rx: to the front-end --------------------------------------------------------------------------- */

bool nb_queue_rx(struct nb *nb, struct pkt *p)
{
    unsigned queued = nb->rxq_tail - nb->rxq_head;

    /* A front-end that takes nothing may hold few buffers while they are scarce, so that it cannot starve its neighbours. */
    unsigned limit = nb->pool->nr_free < PKT_NR / 4 ? NB_RXQ / 4 : NB_RXQ;
    if (nb->broken || queued >= limit) {
        nb->stats.rx_dropped++;
        return false;
    }
    nb->rxq[nb->rxq_tail++ % NB_RXQ] = pkt_get(p);
    return true;
}

static unsigned rx_slots(const struct pkt *p)
{
    return (p->len + (unsigned)PAGE_SIZE - 1) / (unsigned)PAGE_SIZE;
}

/* Consumes requests up to `end`: copied to the record, then req_cons passes them. What a dead instance took is there already. */
static void rx_consume(struct nb *nb, uint32_t end)
{
    if ((int32_t)(end - nb->rx_taken) <= 0)
        return;
    while (nb->rx_taken != end) {
        uint32_t i = nb->rx_taken;
        const struct netif_rx_request *r = &nb->rxs->ring[i & MASK].req;
        uint16_t id = READ_ONCE(r->id);
        uint32_t gref = READ_ONCE(r->gref);
        SHARED_STORE(&nb->keep->rx_copy[i & MASK], keep_rx(i, id, gref));
        nb->rx_taken++;
    }
    SHARED_STORE(&nb->keep->rx.req_cons, keep_idx(nb->rx_taken));
}

unsigned nb_collect_rx(struct nb *nb, struct batch *b)
{
    while (!nb->broken && nb->nr_rx_items < NB_ROUND && nb->rxq_head != nb->rxq_tail) {
        struct pkt *p = nb->rxq[nb->rxq_head % NB_RXQ];
        unsigned need = rx_slots(p),
                 avail = ring_avail(nb, &nb->rxs->req_prod, nb->rx_cons, nb->rx_pub);
        if (avail < need || b->nr_copies + need > BH_BATCH_COPIES)
            break;
        nb->rxq_head++;
        if (need > 1 && !(nb->features & KEEP_F_SG)) {
            nb->stats.rx_dropped++;
            pkt_put(nb->pool, p);
            continue;
        }
        rx_consume(nb, nb->rx_cons + need);
        struct nb_item *it = &nb->rx_item[nb->nr_rx_items++];
        *it = (struct nb_item){ .pkt = p,
                                .slots = (uint16_t)need,
                                .copy0 = (uint16_t)b->nr_copies,
                                .ncopies = (uint16_t)need };
        for (unsigned k = 0; k < need; k++) {
            unsigned at = k * (unsigned)PAGE_SIZE, len = p->len - at;
            uint32_t gref = keep_rx_gref(nb->keep->rx_copy[nb->rx_cons++ & MASK]);
            (void)batch_copy_to(b, nb->dom, gref, 0, p->data + at,
                                len < PAGE_SIZE ? len : (unsigned)PAGE_SIZE);
        }
    }
    return nb->nr_rx_items;
}

static void rx_answer(struct nb *nb, const struct batch *b, const struct nb_item *it)
{
    for (unsigned k = 0; k < it->slots; k++) {
        uint32_t i = nb->rx_rsp++;
        unsigned at = k * (unsigned)PAGE_SIZE, len = it->pkt->len - at;
        uint16_t flags = 0, status;

        if (len > PAGE_SIZE)
            len = (unsigned)PAGE_SIZE;
        if (k == 0 && (it->pkt->flags & PKT_CSUM_BLANK))
            flags = NETRXF_csum_blank | NETRXF_data_validated;
        else if (k == 0 && (it->pkt->flags & PKT_CSUM_VALID))
            flags = NETRXF_data_validated;
        if (k + 1u < it->slots)
            flags |= NETRXF_more_data;
        status = b->copy[it->copy0 + k].status == GNTST_okay ? (uint16_t)len
                                                             : (uint16_t)NETIF_RSP_ERROR;
        /* id, offset 0, flags, status from low to high: see the assertion on its size */
        uint64_t body = keep_rx_id(nb->keep->rx_copy[i & MASK]) | (uint64_t)flags << 32 |
                        (uint64_t)status << 48;
        SHARED_STORE((uint64_t *)&nb->rxs->ring[i & MASK].rsp, body);
    }
}

void nb_finish_rx(struct nb *nb, const struct batch *b)
{
    if (nb->broken)
        drop_items(nb);
    for (unsigned i = 0; i < nb->nr_rx_items; i++) {
        struct nb_item *it = &nb->rx_item[i];
        rx_answer(nb, b, it);
        if (copies_ok(b, it))
            nb->stats.rx_packets++;
        else
            nb->stats.rx_errors++;
        pkt_put(nb->pool, it->pkt);
    }
    nb->nr_rx_items = 0;
}

unsigned nb_collect(struct nb *const nb[], unsigned n, struct batch *b)
{
    static unsigned first;
    unsigned packets = 0;

    first++;
    for (unsigned i = 0; i < n; i++) {
        struct nb *one = nb[(first + i) % n];
        blame(one->gen);
        packets += nb_collect_rx(one, b);
        packets += nb_collect_tx(one, b);
    }
    blame(0);
    return packets;
}

/* --- Publishing ------------------------------------------------------------------------------------- */

void nb_publish_tx(struct nb *nb)
{
    keep_ring_publish(&nb->keep->tx, &nb->txs->rsp_prod, nb->tx_rsp);
    nb->tx_pub = nb->tx_rsp;
}

static void publish_rx(struct nb *nb)
{
    keep_ring_publish(&nb->keep->rx, &nb->rxs->rsp_prod, nb->rx_rsp);
    nb->rx_pub = nb->rx_rsp;
}

void nb_push(struct nb *nb, struct batch *b)
{
    uint32_t tx_old = nb->tx_pub, rx_old = nb->rx_pub;

    if (nb->broken)
        return;
    if (nb->tx_rsp != tx_old)
        nb_publish_tx(nb);
    if (nb->rx_rsp != rx_old)
        publish_rx(nb);
    if (nb->tx_pub == tx_old && nb->rx_pub == rx_old)
        return;
    mb(); /* the front-end sees rsp_prod, or we see its rsp_event */
    if (ring_event_due(&nb->txs->rsp_event, tx_old, nb->tx_pub))
        batch_send(b, nb->tx_port);
    if (ring_event_due(&nb->rxs->rsp_event, rx_old, nb->rx_pub))
        batch_send(b, nb->rx_port);
}

/* Requests that another round could serve: all but the slots of a packet whose end is still to come. */
static bool tx_work(struct nb *nb)
{
    return ring_avail(nb, &nb->txs->req_prod, nb->tx_cons, nb->tx_pub) > nb->tx_short;
}

bool nb_arm(struct nb *nb)
{
    unsigned need = 0;

    if (nb->broken)
        return false;
    SHARED_STORE(&nb->txs->req_event, nb->tx_cons + nb->tx_short + 1);
    if (nb->rxq_head != nb->rxq_tail) {
        need = rx_slots(nb->rxq[nb->rxq_head % NB_RXQ]);
        SHARED_STORE(&nb->rxs->req_event, nb->rx_cons + need);
    }
    mb(); /* the front-end sees req_event, or we see its req_prod */
    if (tx_work(nb))
        return true;
    return need && ring_avail(nb, &nb->rxs->req_prod, nb->rx_cons, nb->rx_pub) >= need;
}
