/* SPDX-License-Identifier: MIT */
/*
 * Keep records and the adoption of a dead instance's rings (restart.md 4 and 6).
 *
 * Where the dead instance stopped, seen from its stores:
 *   entries, req_cons | bodies | rsp_next, rsp_prod, rsp_pub
 * Slots [rsp_prod, req_cons) may hold requests, bodies, or some of each: they are answered from the copies and never read.
 * Slots from req_cons on hold requests, untouched. rsp_prod is the front-end's to damage as well, so it must equal what we last
 * published or were about to publish.
 */
#include <errno.h>
#include <string.h>
#include "netback.h"

#define MASK (KEEP_RING - 1)

/* CRC-32 (IEEE 802.3, reflected), four bits a step: records are small and this runs once for each. */
uint32_t keep_crc(const void *p, size_t n)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    const uint8_t *b = p;
    uint32_t c = 0xffffffffu;

    while (n--) {
        c ^= *b++;
        c = c >> 4 ^ nibble[c & 15];
        c = c >> 4 ^ nibble[c & 15];
    }
    return ~c;
}

/* Both kinds of head start alike: magic, crc of the rest, version. */
struct keep_any {
    uint32_t magic, crc, version;
};

static bool any_valid(const void *rec, uint32_t magic, size_t n)
{
    const struct keep_any *k = rec;

    return k->magic == magic && k->version == KEEP_VERSION && k->crc == keep_crc((const uint8_t *)rec + 8, n - 8);
}

/* magic is cleared first and stored last: a record that was being written is no record. */
static void any_save(void *rec, const void *from, uint32_t magic, size_t n)
{
    uint32_t *to = rec, word[sizeof(struct keep_vif_head) / 4];

    memcpy(word, from, n);
    word[0] = magic;
    word[2] = KEEP_VERSION;
    word[1] = keep_crc(word + 2, n - 8);
    SHARED_STORE(&to[0], 0u);
    for (size_t i = 1; i < n / 4; i++)
        SHARED_STORE(&to[i], word[i]);
    SHARED_STORE(&to[0], word[0]);
}

bool keep_nic_valid(const struct keep_nic *k) { return any_valid(k, KEEP_NIC_MAGIC, sizeof(*k)); }
void keep_nic_save(struct keep_nic *k, const struct keep_nic *from) { any_save(k, from, KEEP_NIC_MAGIC, sizeof(*k)); }
void keep_nic_clear(struct keep_nic *k) { SHARED_STORE(&k->magic, 0u); }

enum keep_state keep_vif_state(const struct keep_vif *k)
{
    if (any_valid(k, KEEP_VIF_MAGIC, sizeof(k->head)))
        return KEEP_VALID;
    return k->head.magic ? KEEP_DAMAGED : KEEP_EMPTY;
}

void keep_vif_close(struct keep_vif *k) { SHARED_STORE(&k->head.magic, 0u); }

static void ring_open(struct keep_ring *r, uint32_t i)
{
    SHARED_STORE(&r->req_cons, keep_idx(i));
    SHARED_STORE(&r->rsp_next, keep_idx(i));
    SHARED_STORE(&r->rsp_pub, keep_idx(i));
}

void keep_vif_open(struct keep_vif *k, const struct keep_vif_head *from, uint32_t tx, uint32_t rx)
{
    keep_vif_close(k);
    ring_open(&k->tx, tx);
    ring_open(&k->rx, rx);
    any_save(&k->head, from, KEEP_VIF_MAGIC, sizeof(*from));
}

/* --- adoption ------------------------------------------------------------------------------------------- */

static const char *ring_check(const struct keep_ring *r, uint32_t rsp_prod)
{
    if (!keep_idx_ok(r->req_cons) || !keep_idx_ok(r->rsp_next) || !keep_idx_ok(r->rsp_pub))
        return "ring indices are damaged";
    uint32_t cons = (uint32_t)r->req_cons, next = (uint32_t)r->rsp_next, pub = (uint32_t)r->rsp_pub;
    if (cons - pub > KEEP_RING || next - pub > cons - pub)
        return "ring indices contradict each other";
    if (rsp_prod != pub && rsp_prod != next)
        return "the front-end moved rsp_prod";
    return NULL;
}

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

/*
 * The dead instance may have published and not notified: exactly if rsp_event lies at or before rsp_prod. A send without
 * progress counts as spurious in Linux and throttles the port, so no other send.
 */
static void notify_missed(struct nb *nb, struct batch *b)
{
    mb(); /* rsp_prod is visible before rsp_event is read */
    if ((int32_t)(nb->tx_pub - READ_ONCE(nb->txs->rsp_event)) >= 0)
        batch_send(b, nb->tx_port);
    if ((int32_t)(nb->rx_pub - READ_ONCE(nb->rxs->rsp_event)) >= 0)
        batch_send(b, nb->rx_port);
}

int nb_adopt(struct nb *nb, struct batch *b, const char **why)
{
    struct keep_vif *k = nb->keep;
    uint32_t tx = READ_ONCE(nb->txs->rsp_prod), rx = READ_ONCE(nb->rxs->rsp_prod);

    *why = keep_vif_state(k) == KEEP_VALID ? NULL : "the record's head is damaged";
    if (!*why)
        *why = ring_check(&k->tx, tx);
    if (!*why)
        *why = ring_check(&k->rx, rx);
    if (!*why)
        *why = copies_check(k, tx, rx);
    if (*why)
        return -EINVAL;

    nb->features = k->head.features;
    nb->tx_cons = (uint32_t)k->tx.req_cons;
    nb->tx_rsp = nb->tx_pub = tx;
    nb->rx_taken = (uint32_t)k->rx.req_cons;
    nb->rx_cons = nb->rx_rsp = nb->rx_pub = rx;
    ring_settle(&k->tx, tx);
    ring_settle(&k->rx, rx);
    /* What was consumed and not answered is lost, which packets may be. Rx requests are filled in their turn. */
    if (nb->tx_cons != tx) {
        nb->stats.tx_dropped += nb->tx_cons - tx;
        nb_tx_answer(nb, nb->tx_cons - tx, NETIF_RSP_DROPPED);
        nb_publish_tx(nb);
    }
    notify_missed(nb, b);
    SHARED_STORE(&nb->txs->req_event, nb->tx_cons + 1);
    SHARED_STORE(&nb->rxs->req_event, nb->rx_taken + 1);
    mb(); /* then the caller's first round reads req_prod */
    return 0;
}
