/* SPDX-License-Identifier: MIT */
/* netback's ring logic: see netback.h for the round, the trust and the rules that a crash at any store imposes. */
#include "netback.h"
#include <errno.h>
#include <string.h>
#include "mcast.h"

#define MASK (KEEP_RING - 1)
_Static_assert(__CONST_RING_SIZE(netif_tx, 4096) == KEEP_RING, "one-page Tx ring");
_Static_assert(__CONST_RING_SIZE(netif_rx, 4096) == KEEP_RING, "one-page Rx ring");
_Static_assert(sizeof(union netif_tx_sring_entry) == 12, "Tx slot");
_Static_assert(sizeof(union netif_rx_sring_entry) == 8, "Rx slot");
_Static_assert(sizeof(struct netif_tx_response) == 4, "Tx response is one store");
_Static_assert(sizeof(struct netif_rx_response) == 8, "Rx response is one store");
_Static_assert(sizeof(struct netif_extra_info) == 8, "so is an extra info in its place");
_Static_assert(PKT_BUFS == NB_MAX_SLOTS + 1, "buffers and copies of a packet");

static void nb_break(struct nb *nb, const char *why)
{
    if (!nb->vif->broken)
        nb->vif->broken = why;
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

    nb->vif->features = head->features;
    nb->tx_cons = nb->tx_rsp = nb->tx_pub = tx;
    nb->rx_cons = nb->rx_taken = nb->rx_seen = nb->rx_rsp = nb->rx_pub = rx;
    (void)ring_avail(nb, &nb->txs->req_prod, tx, tx);
    (void)ring_avail(nb, &nb->rxs->req_prod, rx, rx);
    if (nb->vif->broken)
        return -EINVAL;
    keep_vif_open(nb->keep, head, tx, rx);
    nb_wake(nb);
    return 0;
}

/* of_vif: how many of that direction all queues of the vif have. */
static bool items_left(const struct nb *nb, unsigned of_vif)
{
    return of_vif < NB_ROUND && nb->vif->items->used < NB_ITEMS;
}

static struct nb_item *item_new(struct nb *nb, struct nb_list *list, unsigned *of_vif)
{
    struct nb_items *all = nb->vif->items;

    if (!list->nr)
        list->item = &all->item[all->used];
    all->used++;
    all->live++;
    ++*of_vif;
    return &list->item[list->nr++];
}

static void items_over(struct nb *nb, struct nb_list *list, unsigned *of_vif)
{
    struct nb_items *all = nb->vif->items;

    if (!list->nr)
        return;
    *of_vif -= list->nr;
    all->live -= list->nr;
    list->nr = 0;
    if (!all->live)
        all->used = 0;
}

static void drop_items(struct nb *nb)
{
    for (unsigned i = 0; i < nb->tx_items.nr; i++) {
        if (nb->tx_items.item[i].pkt)
            pkt_put(nb->vif->pool, nb->tx_items.item[i].pkt);
    }
    for (unsigned i = 0; i < nb->rx_items.nr; i++)
        pkt_put(nb->vif->pool, nb->rx_items.item[i].pkt);
    items_over(nb, &nb->tx_items, &nb->vif->nr_tx_items);
    items_over(nb, &nb->rx_items, &nb->vif->nr_rx_items);
}

void nb_detach(struct nb *nb)
{
    while (nb->rxq_head != nb->rxq_tail) {
        struct pkt *p = nb->rxq[nb->rxq_head++ % NB_RXQ];
        nb->vif->rxq_bufs -= p->nr;
        pkt_put(nb->vif->pool, p);
    }
    nb->rxq_slots = nb->rxq_cut = 0;
    drop_items(nb);
}

/* --- Tx: from the front-end ------------------------------------------------------------------------- */

struct tx_chain {
    unsigned slots, extras, frags;
    bool refused; /* it has an extra info that was not offered, or one that makes no sense */
    uint8_t gso;
    uint8_t mcast; /* no packet but a change of its groups: the extra info's type, 0: it is one */
    uint8_t group[6];
    uint16_t gso_size;
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

/* Of extra infos one is offered at a time: how TCP is to be cut, or a group that it wants to hear, or no more. */
static void tx_extra(struct tx_chain *c, const struct netif_extra_info *x)
{
    bool v4 = x->u.gso.type == XEN_NETIF_GSO_TYPE_TCPV4,
         v6 = x->u.gso.type == XEN_NETIF_GSO_TYPE_TCPV6;

    c->refused |= c->extras++ > 0;
    if (x->type == XEN_NETIF_EXTRA_TYPE_MCAST_ADD || x->type == XEN_NETIF_EXTRA_TYPE_MCAST_DEL) {
        c->mcast = x->type;
        memcpy(c->group, x->u.mcast.addr, 6);
        return;
    }
    if (x->type != XEN_NETIF_EXTRA_TYPE_GSO || (!v4 && !v6) || x->u.gso.size < GSO_MIN ||
        x->u.gso.features)
        c->refused = true;
    c->gso = v6 ? PKT_GSO_TCP6 : PKT_GSO_TCP4;
    c->gso_size = x->u.gso.size;
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

    memset(c, 0, offsetof(struct tx_chain, frag));
    s = tx_snapshot(nb, i);
    SHARED_STORE(&nb->keep->tx_copy[i & MASK], keep_tx(i, s.req.id, false));
    i++;
    c->frag[c->frags++] = s.req;
    more = s.req.flags & NETTXF_more_data;
    for (extra = s.req.flags & NETTXF_extra_info; extra;) {
        if (i == end)
            return false;
        s = tx_snapshot(nb, i);
        SHARED_STORE(&nb->keep->tx_copy[i & MASK], keep_tx(i, 0, true));
        i++;
        tx_extra(c, &s.extra);
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

/* The first slot's size is the packet's; what the other slots hold is taken off. false: not a packet we can take. */
static bool tx_sizes(struct tx_chain *c)
{
    unsigned rest = 0, total = c->frag[0].size;

    if (c->refused || c->frags > NB_MAX_SLOTS || total < ETH_HLEN)
        return false;
    if (c->gso && !(c->frag[0].flags & NETTXF_csum_blank))
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

/* One copy for each slot: behind the last one's bytes where it fits there, else into a buffer of its own. The first may be longer than the
 * room in the first buffer: two copies. There are buffers for all that. */
static void tx_queue_copies(struct nb *nb, struct batch *b, const struct tx_chain *c,
                            struct nb_item *it)
{
    struct pkt *p = it->pkt, *to = p;
    unsigned room = PKT_BUF - PKT_HEAD;

    it->copy0 = (uint16_t)b->nr_copies;
    for (unsigned i = 0; i < c->frags; i++) {
        const struct netif_tx_request *f = &c->frag[i];
        for (unsigned done = 0; done < f->size;) {
            unsigned n = f->size - done;
            if (to->len && n > room) {
                to = pkt_grow(nb->vif->pool, p, to);
                room = PKT_BUF;
            }
            n = n < room ? n : room;
            (void)batch_copy_from(b, nb->vif->dom, f->gref, f->offset + done, to->data + to->len, n);
            to->len = (uint16_t)(to->len + n);
            p->rest += to == p ? 0 : n;
            room -= n;
            done += n;
        }
    }
    it->ncopies = (uint16_t)(b->nr_copies - it->copy0);
    if (c->frag[0].flags & NETTXF_csum_blank)
        p->flags = PKT_CSUM_BLANK | PKT_CSUM_VALID;
    else if (c->frag[0].flags & NETTXF_data_validated)
        p->flags = PKT_CSUM_VALID;
    p->gso = c->gso;
    p->gso_size = c->gso_size;
}

/* Whether the wire has room for one more, if it goes there, after what its vif has used of it in this round. */
static bool tx_room(struct nb *nb, const struct tx_chain *c)
{
    const struct nb_room *room = nb->vif->room;
    unsigned need = c->frags, *used = &nb->vif->used;

    if (!room)
        return true;
    if (c->gso && room->cut && c->gso_size) {
        unsigned each = pkt_bufs(c->gso_size + PKT_PULL);
        need = (c->frag[0].size / c->gso_size + 1) * each;
    }
    nb->tx_waits = *used + need > room->bufs && (*used || !room->idle);
    *used += need;
    return !nb->tx_waits;
}

unsigned nb_collect_tx(struct nb *nb, struct batch *b)
{
    struct nb_vif *v = nb->vif;
    struct tx_chain c;

    nb->tx_waits = false;
    while (!v->broken && items_left(nb, v->nr_tx_items)) {
        unsigned avail = ring_avail(nb, &nb->txs->req_prod, nb->tx_cons, nb->tx_pub);
        nb->tx_short = 0;
        /* Checked before parsing: a packet is consumed only if it can be carried on. */
        if (!avail || v->pool->nr_free < PKT_BUFS || b->nr_copies + PKT_BUFS > BH_BATCH_COPIES)
            break;
        if (!tx_parse(nb, avail, &c)) {
            if (avail == KEEP_RING)
                nb_break(nb, "packet longer than the ring");
            nb->tx_short = avail;
            break;
        }
        if (rate_when(&v->rate) > v->now) {
            nb->tx_waits = true;
            break;
        }
        if (!tx_room(nb, &c))
            break;
        rate_take(&v->rate, v->now, c.frag[0].size);
        struct nb_item *it = item_new(nb, &nb->tx_items, &v->nr_tx_items);
        *it = (struct nb_item){ .slots = (uint16_t)c.slots, .status = NETIF_RSP_OKAY };
        if (c.mcast) {
            if (c.refused ||
                !mcast_change(v->q[0].keep, c.group, c.mcast == XEN_NETIF_EXTRA_TYPE_MCAST_ADD))
                it->status = NETIF_RSP_ERROR;
        } else if (tx_sizes(&c)) {
            it->pkt = pkt_alloc(v->pool);
            tx_queue_copies(nb, b, &c, it);
        } else {
            it->status = NETIF_RSP_ERROR;
            it->too_long = c.frags > NB_MAX_SLOTS;
        }
        nb->tx_cons += c.slots;
        SHARED_STORE(&nb->keep->tx.req_cons, keep_idx(nb->tx_cons));
    }
    return nb->tx_items.nr;
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
    if (nb->vif->broken)
        drop_items(nb);
    for (unsigned i = 0; i < nb->tx_items.nr; i++) {
        struct nb_item *it = &nb->tx_items.item[i];
        if (!copies_ok(b, it))
            it->status = NETIF_RSP_ERROR;
        nb_tx_answer(nb, it->slots, it->status);
        if (it->status == NETIF_RSP_OKAY && it->pkt) {
            nb->vif->stats.tx_packets++;
            pkt_pull(nb->vif->pool, it->pkt);
            deliver(arg, it->pkt);
        } else if (it->status != NETIF_RSP_OKAY) {
            (*(it->too_long ? &nb->vif->stats.tx_long : &nb->vif->stats.tx_errors))++;
        }
        if (it->pkt)
            pkt_put(nb->vif->pool, it->pkt);
    }
    items_over(nb, &nb->tx_items, &nb->vif->nr_tx_items);
}

/* --- Rx: to the front-end --------------------------------------------------------------------------- */

static bool rx_takes_whole(const struct nb *nb, const struct pkt *p)
{
    return !p->gso || (nb_takes_blank(nb->vif, p) && (nb->vif->features & KEEP_F_SG) &&
                       (nb->vif->features & (p->ipv6 ? KEEP_F_GSO6 : KEEP_F_GSO4)));
}

/* A packet's buffers lie in a slot each, or one behind the other where that would be more slots than a front-end has to take. */
static bool rx_packs(unsigned bufs) { return bufs >= NB_MAX_SLOTS; }

static unsigned rx_slots(unsigned bufs, unsigned len, bool gso)
{
    return (rx_packs(bufs) ? (len + (unsigned)PAGE_SIZE - 1) / (unsigned)PAGE_SIZE : bufs) + gso;
}

/* What a packet needs of the front-end's slots, all of its segments together. */
static unsigned rx_slots_all(const struct nb *nb, const struct pkt *p)
{
    return rx_takes_whole(nb, p) ? rx_slots(p->nr, pkt_len(p), p->gso)
                                 : pkt_segments(p) * rx_slots(pkt_bufs(pkt_segment_len(p, 0)),
                                                              pkt_segment_len(p, 0), false);
}

/* Its requests for packets. Those that were relied on do not go back: what waits for them would wait for ever. */
static unsigned rx_avail(struct nb *nb)
{
    unsigned n = ring_avail(nb, &nb->rxs->req_prod, nb->rx_cons, nb->rx_pub);

    if ((int32_t)(nb->rx_seen - (nb->rx_cons + n)) <= 0)
        return n;
    nb_break(nb, "its requests for packets went back");
    return 0;
}

/* Who has asked for a packet may have it whole in any buffers: it is gone with this round. One that is to be cut takes buffers to go. */
static bool rx_room(struct nb *nb, const struct pkt *p, unsigned slots)
{
    if (nb->vif->broken || nb->rxq_tail - nb->rxq_head >= NB_RXQ)
        return false;
    if (nb->vif->rxq_bufs + p->nr <= nb->vif->pool->nr_free / 2 &&
        nb->vif->pool->nr_free >= nb->vif->pool->nr / 8 * 3)
        return true;
    if (rx_avail(nb) < nb->rxq_slots + slots ||
        (nb->vif->pool->nr_free < PKT_BUFS && !rx_takes_whole(nb, p)))
        return false;
    nb->rx_seen = nb->rx_cons + nb->rxq_slots + slots;
    return true;
}

bool nb_queue_rx(struct nb *nb, struct pkt *p)
{
    unsigned slots = rx_slots_all(nb, p);

    if (!rx_room(nb, p, slots)) {
        nb->vif->stats.rx_dropped++;
        return false;
    }
    nb_wake(nb);
    nb->rxq[nb->rxq_tail++ % NB_RXQ] = pkt_get(p);
    nb->vif->rxq_bufs += p->nr;
    nb->rxq_slots += slots;
    return true;
}

struct rx_cut {
    const struct pkt *b;
    unsigned at;
    bool pack;
};

/* The next piece for a slot that holds `have` bytes; 0: there is none for it. */
static unsigned rx_piece(struct rx_cut *c, unsigned have, const uint8_t **from)
{
    if (have && !c->pack)
        return 0;
    if (c->at == c->b->len && c->b->next)
        *c = (struct rx_cut){ c->b->next, 0, c->pack };
    unsigned n = c->b->len - c->at, room = (unsigned)PAGE_SIZE - have;
    n = n < room ? n : room;
    *from = c->b->data + c->at;
    c->at += n;
    return n;
}

static bool rx_more(const struct rx_cut *c) { return c->b->next || c->at < c->b->len; }

/* What the next packet needs: slots, and copies at most. */
static unsigned rx_need(const struct nb *nb, unsigned *copies)
{
    const struct pkt *p = nb->rxq[nb->rxq_head % NB_RXQ];
    bool whole = rx_takes_whole(nb, p);
    unsigned len = whole ? pkt_len(p) : pkt_segment_len(p, nb->rxq_cut),
             bufs = whole ? p->nr : pkt_bufs(len), need = rx_slots(bufs, len, whole && p->gso);

    *copies = rx_packs(bufs) ? need + bufs : need;
    return need;
}

/* The next packet, the queue's reference included. NULL: no buffers for a segment. */
static struct pkt *rx_take(struct nb *nb)
{
    struct pkt *p = nb->rxq[nb->rxq_head % NB_RXQ], *s = p;

    if (!rx_takes_whole(nb, p)) {
        s = pkt_segment(nb->vif->pool, p, nb->rxq_cut);
        if (!s)
            return NULL;
        if (!nb_takes_blank(nb->vif, s))
            pkt_csum_fill(s);
        if (++nb->rxq_cut < pkt_segments(p))
            return s;
    }
    nb->rxq_cut = 0;
    nb->rxq_head++;
    nb->vif->rxq_bufs -= p->nr;
    nb->rxq_slots -= rx_slots_all(nb, p);
    if (s != p)
        pkt_put(nb->vif->pool, p);
    return s;
}

/* Consumes requests up to `end`: copied to the record, then req_cons passes them. What a dead instance took is there already. */
static void rx_consume(struct nb *nb, uint32_t end)
{
    if ((int32_t)(nb->rx_seen - end) < 0)
        nb->rx_seen = end;
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

/* Slots of a packet that are filled from the record: each takes a request, that of the extra info too, whose buffer stays as it is. */
static void rx_queue_copies(struct nb *nb, struct batch *b, const struct nb_item *it)
{
    struct rx_cut cut = { it->pkt, 0, rx_packs(it->pkt->nr) };

    for (unsigned k = 0; k < it->slots; k++) {
        uint32_t gref = keep_rx_gref(nb->keep->rx_copy[nb->rx_cons++ & MASK]);
        const uint8_t *from;
        if (k == 1 && it->pkt->gso)
            continue;
        for (unsigned have = 0, n; (n = rx_piece(&cut, have, &from)); have += n)
            (void)batch_copy_to(b, nb->vif->dom, gref, have, from, n);
    }
}

unsigned nb_collect_rx(struct nb *nb, struct batch *b)
{
    struct nb_vif *v = nb->vif;

    while (!v->broken && items_left(nb, v->nr_rx_items) && nb->rxq_head != nb->rxq_tail) {
        unsigned copies, need = rx_need(nb, &copies);
        if (rx_avail(nb) < need || b->nr_copies + copies > BH_BATCH_COPIES)
            break;
        struct pkt *p = rx_take(nb);
        if (!p)
            break;
        if (need > 1 && !(v->features & KEEP_F_SG)) {
            v->stats.rx_dropped++;
            pkt_put(v->pool, p);
            continue;
        }
        rx_consume(nb, nb->rx_cons + need);
        struct nb_item *it = item_new(nb, &nb->rx_items, &v->nr_rx_items);
        *it = (struct nb_item){ .pkt = p, .slots = (uint16_t)need, .copy0 = (uint16_t)b->nr_copies };
        rx_queue_copies(nb, b, it);
        it->ncopies = (uint16_t)(b->nr_copies - it->copy0);
    }
    return nb->rx_items.nr;
}

/* The extra info behind the first response, from low to high: type, flags 0, size, kind, 0, features 0: see the assertion on its size. */
static uint64_t rx_extra(const struct pkt *p)
{
    uint64_t kind = p->gso == PKT_GSO_TCP6 ? XEN_NETIF_GSO_TYPE_TCPV6 : XEN_NETIF_GSO_TYPE_TCPV4;

    return XEN_NETIF_EXTRA_TYPE_GSO | (uint64_t)p->gso_size << 16 | kind << 32;
}

static uint16_t rx_flags(const struct pkt *p)
{
    uint16_t flags = p->gso ? NETRXF_extra_info : 0;

    if (p->flags & PKT_CSUM_BLANK)
        return flags | NETRXF_csum_blank | NETRXF_data_validated;
    return p->flags & PKT_CSUM_VALID ? flags | NETRXF_data_validated : flags;
}

static void rx_answer(struct nb *nb, const struct batch *b, const struct nb_item *it)
{
    struct rx_cut cut = { it->pkt, 0, rx_packs(it->pkt->nr) };
    const struct gnttab_copy *copy = &b->copy[it->copy0];

    for (unsigned k = 0; k < it->slots; k++) {
        uint32_t i = nb->rx_rsp++;
        uint64_t body;

        if (k == 1 && it->pkt->gso) {
            body = rx_extra(it->pkt);
        } else {
            unsigned len = 0, n;
            bool good = true;
            const uint8_t *from;
            for (; (n = rx_piece(&cut, len, &from)); len += n)
                good &= copy++->status == GNTST_okay;
            uint16_t flags = (uint16_t)((k ? 0 : rx_flags(it->pkt)) |
                                        (rx_more(&cut) ? NETRXF_more_data : 0));
            uint16_t status = good ? (uint16_t)len : (uint16_t)NETIF_RSP_ERROR;
            /* id, offset 0, flags, status from low to high: see the assertion on its size */
            body = keep_rx_id(nb->keep->rx_copy[i & MASK]) | (uint64_t)flags << 32 |
                   (uint64_t)status << 48;
        }
        SHARED_STORE((uint64_t *)&nb->rxs->ring[i & MASK].rsp, body);
    }
}

void nb_finish_rx(struct nb *nb, const struct batch *b)
{
    if (nb->vif->broken)
        nb_detach(nb); /* what waits for it would never go */
    for (unsigned i = 0; i < nb->rx_items.nr; i++) {
        struct nb_item *it = &nb->rx_items.item[i];
        rx_answer(nb, b, it);
        if (copies_ok(b, it))
            nb->vif->stats.rx_packets++;
        else
            nb->vif->stats.rx_errors++;
        pkt_put(nb->vif->pool, it->pkt);
    }
    items_over(nb, &nb->rx_items, &nb->vif->nr_rx_items);
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

    if (nb->vif->broken)
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

/* Requests that another round could serve: all but the slots of a packet whose end is still to come, or that waits for the wire. */
static bool tx_work(struct nb *nb)
{
    return !nb->tx_waits &&
           ring_avail(nb, &nb->txs->req_prod, nb->tx_cons, nb->tx_pub) > nb->tx_short;
}

bool nb_arm(struct nb *nb)
{
    unsigned need = 0, copies;

    if (nb->vif->broken)
        return false;
    if (!nb->tx_waits) /* else it is looked at again without an event (round.c) */
        SHARED_STORE(&nb->txs->req_event, nb->tx_cons + nb->tx_short + 1);
    if (nb->rxq_head != nb->rxq_tail) {
        need = rx_need(nb, &copies);
        SHARED_STORE(&nb->rxs->req_event, nb->rx_cons + need);
    }
    mb(); /* the front-end sees req_event, or we see its req_prod */
    if (tx_work(nb))
        return true;
    return need && (rx_avail(nb) >= need || nb->vif->broken);
}
