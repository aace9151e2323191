/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/copies.c drivers-dom/net/queues.c drivers-dom/net/rss.c drivers-dom/net/netback.c drivers-dom/net/mcast.c drivers-dom/net/adopt.c drivers-dom/lib/blame.c drivers-dom/lib/keep_record.c drivers-dom/net/pkt.c drivers-dom/net/gso.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net -lz
/* Ring handling of netback against a front-end that lies: every malformed packet, indices, failing copies, no buffers. */
#include <blame.h>
#include "copies.h"
#include "mcast.h"
#include "netback.h"

enum { POOL = 160 };
static _Alignas(4096) uint8_t tx_page[4096], rx_page[4096], keep_page[4096], guest[4096];
#define TXS ((netif_tx_sring_t *)tx_page)
#define RXS ((netif_rx_sring_t *)rx_page)

static struct nb_vif vif;
static struct nb_items items;
static struct nb *const nb = &vif.q[0]; /* the only queue, but where a test makes more */
static struct batch batch;
static struct pkt_pool pool;
static struct pkt pkts[POOL];
static _Alignas(4096) uint8_t pool_mem[POOL * PKT_BUF];
enum { RX_REF = 1000 }; /* the grant of the first receive buffer */
static uint8_t rx_buf[256][4096];
static unsigned delivered, last_len, last_flags, last_gso, last_size, last_bufs, sends, fail_ref;
static uint8_t last_frame[FRAME_MAX];

void shared_stored(void) {}

static int copy(struct batch *b, uint32_t ref, unsigned off, void *p, unsigned len, uint16_t flags)
{
    if (vif.gen && blame_kept->whose != keep_idx(ref == 5 ? vif.gen : vif.gen + 1))
        fail_msg("at work on %u, a death would be the fault of %lx", ref, blame_kept->whose);
    return copy_put(b, ref, off, p, len, flags);
}
int batch_copy_from(struct batch *b, domid_t dom, uint32_t ref, unsigned off, void *dst, unsigned len)
{
    /* The destination must lie in one packet buffer, not in the header room of a packet's first one. */
    size_t at = (size_t)((uint8_t *)dst - pool_mem);
    if (at / PKT_BUF >= POOL || at % PKT_BUF + len > PKT_BUF)
        fail_msg("copy past a buffer");
    return copy(b, ref, off, dst, len, GNTCOPY_source_gref);
}
int batch_copy_to(struct batch *b, domid_t dom, uint32_t ref, unsigned off, const void *src,
                  unsigned len)
{
    return copy(b, ref, off, (void *)(uintptr_t)src, len, GNTCOPY_dest_gref);
}
void batch_send(struct batch *b, uint32_t port) { sends++; }

static void flush(void)
{
    for (unsigned i = 0; i < batch.nr_copies; i++) {
        struct gnttab_copy *c = &batch.copy[i];
        bool from = c->flags & GNTCOPY_source_gref;
        c->status = (from ? c->source.u.ref : c->dest.u.ref) == fail_ref ? GNTST_bad_gntref
                                                                         : GNTST_okay;
        if (from)
            memcpy(copied[i], guest + c->source.offset, c->len);
        else if (c->dest.u.ref >= RX_REF && c->dest.u.ref < RX_REF + 256)
            memcpy(rx_buf[c->dest.u.ref - RX_REF] + c->dest.offset, copied[i], c->len);
    }
    batch.nr_copies = 0;
}

static void deliver(void *arg, struct pkt *p)
{
    unsigned at = 0, n = 0;

    for (const struct pkt *b = p; b; b = b->next, n++) {
        memcpy(last_frame + at, b->data, b->len);
        at += b->len;
        if (!b->len || (uintptr_t)b->data % PKT_BUF + b->len > PKT_BUF)
            fail_msg("a buffer of %u bytes", b->len);
    }
    if (at != pkt_len(p) || n != p->nr || n > PKT_BUFS ||
        p->len < (at < PKT_PULL ? at : PKT_PULL) || (uintptr_t)p->data % PKT_BUF != PKT_HEAD)
        fail_msg("%u bytes in %u buffers, %u and %u bytes in %u are there", pkt_len(p), p->nr, at,
                 p->len, n);
    delivered++;
    last_len = at;
    last_flags = p->flags;
    last_gso = p->gso;
    last_size = p->gso_size;
    last_bufs = n;
}

static unsigned round_trip(void)
{
    struct nb_vif *all[] = { &vif };
    unsigned n = nb_collect(all, 1, &batch);
    flush();
    nb_vif_finish(&vif, &batch, deliver, NULL);
    return n;
}

static void queue(struct nb_vif *v, unsigned i, void *txs, void *rxs, void *keep)
{
    v->q[i] = (struct nb){ .vif = v, .txs = txs, .rxs = rxs, .keep = keep };
    v->q[i].tx_port = 1 + 2 * i;
    v->q[i].rx_port = 2 + 2 * i;
}

int setup(void **state)
{
    struct keep_vif_head head = { .domid = 16, .features = KEEP_F_SG };

    memset(tx_page, 0, sizeof(tx_page));
    memset(rx_page, 0, sizeof(rx_page));
    memset(keep_page, 0, sizeof(keep_page));
    memset(&batch, 0, sizeof(batch));
    memset(&items, 0, sizeof(items));
    for (unsigned i = 0; i < sizeof(guest); i++)
        guest[i] = (uint8_t)(i * 13 + i / 256);
    delivered = sends = fail_ref = 0;
    pkt_pool_init(&pool, pkts, pool_mem, POOL);
    vif = (struct nb_vif){ .pool = &pool, .items = &items, .nr_queues = 1 };
    queue(&vif, 0, TXS, RXS, keep_page);
    return nb_vif_attach(&vif, &head);
}

static void slot(uint32_t ref, unsigned off, unsigned flags, unsigned id, unsigned size)
{
    TXS->ring[TXS->req_prod++ & 255].req = (struct netif_tx_request){ ref, (uint16_t)off,
                                                                      (uint16_t)flags, (uint16_t)id,
                                                                      (uint16_t)size };
}

static void extra(unsigned type, unsigned flags)
{
    struct netif_extra_info *x = (void *)&TXS->ring[TXS->req_prod++ & 255];
    memset(x, 0xa5, 12);
    x->type = (uint8_t)type;
    x->flags = (uint8_t)flags;
}

static void expect(unsigned i, unsigned id, int status)
{
    struct netif_tx_response r = TXS->ring[i & 255].rsp;
    assert_int_equal(r.status, status);
    if (status != NETIF_RSP_NULL)
        assert_int_equal(r.id, id);
}

#define M NETTXF_more_data
#define E NETTXF_extra_info

TEST(test_good_packets)
{
    slot(5, 100, NETTXF_csum_blank | NETTXF_data_validated, 7, 60);
    assert_int_equal(round_trip(), 1);
    assert_int_equal(delivered, 1);
    assert_int_equal(last_len, 60);
    assert_int_equal(last_flags, PKT_CSUM_BLANK | PKT_CSUM_VALID);
    assert_int_equal(TXS->rsp_prod, 1);
    expect(0, 7, NETIF_RSP_OKAY);
    slot(5, 0, M | NETTXF_data_validated, 8, 1500);
    assert_int_equal(round_trip(), 0); /* not complete */
    assert_false(nb_arm(nb));
    assert_int_equal(TXS->req_event, 3);
    slot(6, 4000, M, 9, 96);
    slot(7, 0, 0, 10, 404);
    assert_true(nb_arm(nb));
    assert_int_equal(round_trip(), 1);
    assert_int_equal(last_len, 1500);
    assert_int_equal(last_flags, PKT_CSUM_VALID);
    expect(1, 8, NETIF_RSP_OKAY);
    expect(3, 10, NETIF_RSP_OKAY);
    assert_int_equal(TXS->rsp_prod, 4);
}

static void group(bool add, unsigned last, unsigned flags)
{
    struct netif_extra_info *x = (void *)&TXS->ring[TXS->req_prod & 255];

    extra(add ? XEN_NETIF_EXTRA_TYPE_MCAST_ADD : XEN_NETIF_EXTRA_TYPE_MCAST_DEL, flags);
    memcpy(x->u.mcast.addr, (uint8_t[]){ 1, 0, 0x5e, 0, 0, (uint8_t)last }, 6);
}

/* Asks for one group more or less; what it is told. No packet comes of it. */
static int asks(bool add, unsigned last)
{
    uint32_t at = TXS->req_prod;

    slot(5, 0, E, 50, 60), group(add, last, 0);
    assert_int_equal(round_trip(), 1);
    assert_int_equal(delivered, 0);
    assert_int_equal(TXS->rsp_prod, at + 2);
    assert_int_equal(TXS->ring[(at + 1) & 255].rsp.status, NETIF_RSP_NULL);
    assert_int_equal(TXS->ring[at & 255].rsp.id, 50);
    return TXS->ring[at & 255].rsp.status;
}

static bool hears(unsigned last)
{
    return mcast_passes(&vif, (uint8_t[]){ 1, 0, 0x5e, 0, 0, (uint8_t)last });
}

/* Multicast control: a list of so many groups, which a front-end that asked for it hears, and no others; what was done twice is done once. */
TEST(test_groups)
{
    static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, one[6] = { 2 };

    for (unsigned i = 0; i < KEEP_MCAST; i++)
        assert_int_equal(asks(true, i), NETIF_RSP_OKAY);
    assert_int_equal(asks(true, 63), NETIF_RSP_OKAY); /* it has that */
    assert_int_equal(asks(true, 64), NETIF_RSP_ERROR);
    assert_true(hears(64)); /* it did not ask for control */
    vif.features |= KEEP_F_MCAST;
    assert_true(mcast_passes(&vif, all) && mcast_passes(&vif, one));
    for (unsigned i = 0; i < 256; i++)
        assert_int_equal(hears(i), i < KEEP_MCAST);
    assert_int_equal(asks(false, 5), NETIF_RSP_OKAY);
    assert_int_equal(asks(false, 5), NETIF_RSP_OKAY);
    assert_false(hears(5));
    assert_int_equal(asks(true, 200), NETIF_RSP_OKAY);
    assert_true(hears(200) && hears(6) && !hears(5));
    /* What is no group, and what says more than that. */
    uint32_t at = TXS->req_prod;
    struct netif_extra_info *x = (void *)&TXS->ring[(at + 1) & 255];
    slot(5, 0, E, 50, 60), group(true, 9, 0);
    x->u.mcast.addr[0] = 2;
    assert_int_equal(round_trip(), 1);
    expect(at, 50, NETIF_RSP_ERROR);
    slot(5, 0, E, 51, 60), group(false, 6, XEN_NETIF_EXTRA_FLAG_MORE), group(false, 7, 0);
    assert_int_equal(round_trip(), 1);
    expect(at + 2, 51, NETIF_RSP_ERROR);
    assert_true(hears(6) && hears(7));
    assert_null(vif.broken);
    assert_int_equal(pool.nr_free, POOL);
}

/* One malformed packet, then a good one: the first is answered slot by slot, the second goes. */
static void answered(unsigned slots, int first_extra, int extras)
{
    uint32_t at = TXS->req_prod - slots;
    unsigned was = delivered;

    slot(9, 0, 0, 77, 64);
    assert_int_equal(round_trip(), 2);
    assert_null(vif.broken);
    assert_int_equal(delivered, was + 1);
    assert_int_equal(TXS->rsp_prod, at + slots + 1);
    for (unsigned i = 0; i < slots; i++) {
        bool x = (int)i >= first_extra && (int)i < first_extra + extras;
        expect(at + i, 100 + i, x ? NETIF_RSP_NULL : NETIF_RSP_ERROR);
    }
    expect(at + slots, 77, NETIF_RSP_OKAY);
    assert_int_equal(pool.nr_free, POOL);
}

TEST(test_malformed)
{
    static const struct {
        unsigned off, size;
    } one[] = { { 0, 0 },      { 0, 13 },    { 0, 4097 }, { 4090, 60 },
                { 65535, 60 }, { 4096, 60 }, { 0, 65535 } };

    for (unsigned i = 0; i < ARRAY_SIZE(one); i++) {
        slot(5, one[i].off, 0, 100, one[i].size);
        answered(1, 0, 0);
    }
    slot(5, 0, M, 100, 100), slot(6, 0, 0, 101, 100); /* the rest is all of it */
    answered(2, 0, 0);
    slot(5, 0, M, 100, 100), slot(6, 0, 0, 101, 65535);
    answered(2, 0, 0);
    slot(5, 0, M, 100, 200), slot(6, 4095, 0, 101, 2);
    answered(2, 0, 0);
    slot(5, 4000, M, 100, 200), slot(6, 0, 0, 101, 50); /* first part crosses the page */
    answered(2, 0, 0);
    slot(5, 0, E, 100, 200), extra(XEN_NETIF_EXTRA_TYPE_GSO, 0);
    answered(2, 1, 1);
    slot(5, 0, E | M, 100, 200), extra(XEN_NETIF_EXTRA_TYPE_MCAST_ADD, 1), extra(0, 1),
        extra(255, 0xfe), slot(6, 0, 0, 104, 20);
    answered(5, 1, 3);
    for (unsigned i = 0; i < 40; i++)
        slot(5, 0, i < 39 ? M : 0, 100 + i, i ? 10 : 1000);
    answered(40, 0, 0);
    assert_int_equal(vif.stats.tx_long, 1);
    assert_int_equal(vif.stats.tx_errors, ARRAY_SIZE(one) + 7 - 1);
}

static void gso_extra(unsigned type, unsigned size, unsigned features, unsigned flags)
{
    struct netif_extra_info *x = (void *)&TXS->ring[TXS->req_prod++ & 255];
    memset(x, 0, 12);
    x->type = XEN_NETIF_EXTRA_TYPE_GSO;
    x->flags = (uint8_t)flags;
    x->u.gso.type = (uint8_t)type;
    x->u.gso.size = (uint16_t)size;
    x->u.gso.features = (uint16_t)features;
}

#define BLANK (NETTXF_csum_blank | NETTXF_data_validated)
#define MORE  XEN_NETIF_EXTRA_FLAG_MORE

/* What says how it is to be cut, and does not say it right. */
TEST(test_gso_refused)
{
    static const struct {
        unsigned type, size, features;
    } bad[] = { { 1, 0, 0 },    { 1, 1, 0 },      { 2, GSO_MIN - 1, 0 }, { 0, 1448, 0 },
                { 3, 1448, 0 }, { 255, 1448, 0 }, { 1, 1448, 1 },        { 2, 1448, 0x8000 } };
    unsigned n = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++, n++) {
        slot(5, 0, E | BLANK, 100, 200), gso_extra(bad[i].type, bad[i].size, bad[i].features, 0);
        answered(2, 1, 1);
    }
    slot(5, 0, E | NETTXF_data_validated, 100, 200),
        gso_extra(1, 1448, 0, 0); /* a checksum is there */
    answered(2, 1, 1);
    slot(5, 0, E | BLANK, 100, 200), gso_extra(1, 1448, 0, MORE), gso_extra(1, 1448, 0, 0); /* twice */
    answered(3, 1, 2);
    slot(5, 0, E | BLANK, 100, 200), gso_extra(1, 1448, 0, MORE), extra(XEN_NETIF_EXTRA_TYPE_HASH, 0);
    answered(3, 1, 2);
    slot(5, 0, E | BLANK, 100, 200), extra(XEN_NETIF_EXTRA_TYPE_MCAST_DEL, MORE),
        gso_extra(1, 1448, 0, 0);
    answered(3, 1, 2);
    slot(5, 0, E | M | BLANK, 100, 65535), gso_extra(1, 1448, 0, 0); /* slots that go beyond it */
    for (unsigned i = 0; i < 17; i++)
        slot(6, 0, i < 16 ? M : 0, 102 + i, 4096);
    answered(19, 1, 1);
    slot(5, 0, E | M | BLANK, 100, 9000),
        gso_extra(2, 1448, 0, 0); /* more slots than a packet may have */
    for (unsigned i = 0; i < 18; i++)
        slot(6, 0, i < 17 ? M : 0, 102 + i, 100);
    answered(20, 1, 1);
    assert_int_equal(vif.stats.tx_long, 1);
    assert_int_equal(vif.stats.tx_errors, ARRAY_SIZE(bad) + 5);
}

/* An info where a slot should be is a slot: what it names is not there, or makes no packet. */
TEST(test_gso_misplaced)
{
    slot(5, 0, M | BLANK, 100, 500), gso_extra(1, 1448, 0, 0); /* not announced */
    round_trip();
    assert_null(vif.broken);
    assert_int_equal(delivered, 1); /* of 500 bytes, none of them in the second slot */
    assert_int_equal(last_gso, 0);
    setup(NULL);
    slot(5, 0, M | BLANK, 100, 500), slot(6, 0, E, 101, 100), gso_extra(1, 1448, 0, 0);
    round_trip(); /* announced by another slot than the first: a packet of its own, of no length */
    assert_int_equal(delivered, 1);
    assert_int_equal(vif.stats.tx_errors, 1);
    assert_int_equal(TXS->rsp_prod, 3);
    setup(NULL);
    slot(5, 0, E | BLANK, 100, 500); /* announced and not there yet */
    round_trip();
    assert_int_equal(TXS->rsp_prod, 0);
    assert_false(nb_arm(nb));
}

/* Large packets: their bytes in order, a copy for each slot, in no more buffers than slots; slots that fit behind each other share one. */
TEST(test_large_packets)
{
    static const struct {
        unsigned first, each, slots, bufs;
    } large[] = { { 66, 4096, 16, 16 },   { 66, 3000, 16, 15 }, { 4096, 4096, 15, 16 },
                  { 4096, 3600, 18, 18 }, { 66, 50, 18, 1 },    { 1, 1, 18, 1 },
                  { 10, 2000, 18, 9 },    { 1, 4096, 2, 2 } };

    for (unsigned i = 0; i < ARRAY_SIZE(large); i++) {
        unsigned total = large[i].first, at = 0;
        for (unsigned k = 1; k < large[i].slots; k++)
            total += large[i].each;
        setup(NULL);
        slot(5, 0, E | M | BLANK, 1, total);
        gso_extra(1 + i % 2, 1400 + i, 0, 0);
        for (unsigned k = 1; k < large[i].slots; k++)
            slot(6, (k * 7) % (4097 - large[i].each), k + 1 < large[i].slots ? M : 0, k,
                 large[i].each);
        assert_int_equal(nb_collect_tx(nb, &batch), 1);
        assert_true(batch.nr_copies <= large[i].slots + 1);
        assert_int_equal(batch.nr_copies, large[i].slots + (large[i].first > PKT_BUF - PKT_HEAD));
        flush();
        nb_finish_tx(nb, &batch, deliver, NULL);
        assert_int_equal(delivered, total >= ETH_HLEN);
        if (!delivered)
            continue;
        assert_int_equal(last_len, total);
        assert_int_equal(last_bufs, large[i].bufs);
        assert_int_equal(last_gso, i % 2 ? PKT_GSO_TCP6 : PKT_GSO_TCP4);
        assert_int_equal(last_size, 1400 + i);
        assert_memory_equal(last_frame, guest, large[i].first);
        at = large[i].first;
        for (unsigned k = 1; k < large[i].slots; k++, at += large[i].each)
            assert_memory_equal(last_frame + at, guest + (k * 7) % (4097 - large[i].each),
                                large[i].each);
        assert_int_equal(pool.nr_free, POOL);
    }
    setup(NULL); /* the longest that a front-end can say */
    slot(5, 0, E | M | BLANK, 1, 65535), gso_extra(1, 1448, 0, 0);
    for (unsigned k = 0; k < 15; k++)
        slot(6, 0, M, k, 4096);
    slot(6, 0, 0, 17, 65535 - 15 * 4096 - 66);
    round_trip();
    assert_int_equal(last_len, 65535);
}

static void posts(unsigned n)
{
    while (n--) {
        uint32_t i = RXS->req_prod++;
        RXS->ring[i & 255].req = (struct netif_rx_request){ (uint16_t)(i + 9), 0, RX_REF + (i & 255) };
    }
}

/* A frame of TCP over IPv4 in buffers of these sizes, to be cut if gso_size is given. */
static struct pkt *frame(unsigned gso_size, unsigned nr, const unsigned *len)
{
    struct pkt *p = pkt_alloc(&pool), *last = p;
    unsigned total = 0, at = 0;

    for (unsigned i = 0; i < nr; i++)
        total += len[i];
    for (unsigned i = 0; i < nr; i++) {
        if (i)
            last = pkt_grow(&pool, p, last);
        for (unsigned k = 0; k < len[i]; k++)
            last->data[k] = (uint8_t)(at * 11 + at / 256), at++;
        last->len = (uint16_t)len[i];
        p->rest += i ? len[i] : 0;
    }
    static const uint8_t head[] = { 8, 0, 0x45, 0, 0, 0, 1, 2, 0x40, 0, 64, 6, 0, 0 };
    memcpy(p->data + 12, head, sizeof(head));
    p->data[16] = (uint8_t)((total - 14) >> 8), p->data[17] = (uint8_t)(total - 14);
    p->data[46] = 0x50;
    p->flags = PKT_CSUM_BLANK | PKT_CSUM_VALID;
    p->gso = gso_size ? PKT_GSO_TCP4 : PKT_WHOLE;
    p->gso_size = (uint16_t)gso_size;
    if (gso_size)
        assert_true(pkt_gso_find(p));
    return p;
}

/* What the front-end has received from response `at` on: whether it is that frame. Returns how many responses it was. */
static unsigned received(uint32_t at, const struct pkt *p)
{
    static uint8_t got[FRAME_MAX + 4096];
    unsigned len = 0, n = 0, off = 0;
    bool more = true;

    for (; more; n++) {
        struct netif_rx_response r = RXS->ring[(at + n) & 255].rsp;
        assert_int_equal(r.id, (uint16_t)(at + n + 9));
        assert_in_range(r.status, 1, 4096);
        memcpy(got + len, rx_buf[(at + n) & 255], (unsigned)r.status);
        len += (unsigned)r.status;
        more = r.flags & NETRXF_more_data;
        assert_int_equal(!!(r.flags & NETRXF_extra_info), !n && p->gso);
        if (!n)
            assert_int_equal(r.flags & 3, NETRXF_csum_blank | NETRXF_data_validated);
        if (!n && p->gso) {
            struct netif_extra_info *x = (void *)&RXS->ring[(at + ++n) & 255];
            assert_int_equal(x->type, XEN_NETIF_EXTRA_TYPE_GSO);
            assert_int_equal(x->flags, 0);
            assert_int_equal(x->u.gso.size, p->gso_size);
            assert_int_equal(x->u.gso.type, XEN_NETIF_GSO_TYPE_TCPV4);
            assert_int_equal(x->u.gso.features | x->u.gso.pad, 0);
        }
    }
    assert_int_equal(len, pkt_len(p));
    for (const struct pkt *b = p; b; off += b->len, b = b->next)
        assert_memory_equal(got + off, b->data, b->len);
    return n;
}

static const unsigned shapes[][19] = { { 1514 },
                                       { 4032, 800 },
                                       { 4032, 4096, 4096, 100 },
                                       { 256, 4032 },
                                       { 66 + 190, 3906, 4096, 4096, 4096, 4096, 4096, 4096, 4096,
                                         4096, 4096, 4096, 4096, 4096, 4096, 4096, 300, 0, 0 },
                                       { 4032, 3600, 3600, 3600, 3600, 3600, 3600, 3600, 3600, 3600,
                                         3600, 3600, 3600, 3600, 3600, 3600, 3600, 3600 },
                                       { 4032, 64, 3300, 3300, 3300, 3300, 3300, 3300, 3300, 3300,
                                         3300, 3300, 3300, 3300, 3300, 3300, 3300, 3300, 3300 } };

static unsigned bufs_of(const unsigned *shape)
{
    unsigned n = 0;
    while (n < 19 && shape[n])
        n++;
    return n;
}

/* To a front-end that takes large packets: with the info and without, in a slot for each buffer, or in fewer where those are more than it has to take. */
TEST(test_rx_large)
{
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(shapes); i++) {
        unsigned n = bufs_of(shapes[i / 2]), gso = i & 1 ? 1000 : 0;
        setup(NULL);
        vif.features = KEEP_F_SG | KEEP_F_CSUM4 | KEEP_F_GSO4;
        struct pkt *p = frame(gso, n, shapes[i / 2]);
        unsigned slots = (n < 18 ? n : (pkt_len(p) + 4095) / 4096) + (p->gso ? 1 : 0);
        assert_true(slots <= 18);
        assert_true(nb_queue_rx(nb, p));
        posts(slots - 1);
        assert_int_equal(round_trip(), 0); /* not all at once: not at all */
        assert_false(nb_arm(nb));
        assert_int_equal(RXS->req_event, slots);
        posts(5);
        assert_true(nb_arm(nb));
        assert_int_equal(round_trip(), 1);
        assert_int_equal(RXS->rsp_prod, slots);
        assert_int_equal(received(0, p), slots);
        pkt_put(&pool, p);
        assert_int_equal(pool.nr_free, POOL);
    }
}

/* However many front-ends take nothing, the others send and receive: the last three eighths of the buffers are for what was asked for already. */
TEST(test_rx_reserve)
{
    enum { IDLE = 40 };
    static struct nb_vif idle[IDLE];
    static _Alignas(4096) uint8_t rings[IDLE][4096];
    unsigned len[18] = { 4032 }, held = 0;

    setup(NULL);
    vif.features = KEEP_F_SG | KEEP_F_CSUM4 | KEEP_F_GSO4;
    for (unsigned i = 1; i < 15; i++)
        len[i] = 4096;
    for (unsigned i = 0; i < IDLE; i++) {
        memset(rings[i], 0, sizeof(rings[i]));
        idle[i] = (struct nb_vif){
            .pool = &pool, .items = &items, .features = vif.features, .nr_queues = 1
        };
        queue(&idle[i], 0, NULL, rings[i], NULL);
        for (unsigned k = 0; k < NB_RXQ && pool.nr_free > 1; k++) {
            struct pkt *p = frame(0, 1, len);
            held += nb_queue_rx(&idle[i].q[0], p);
            pkt_put(&pool, p);
        }
    }
    assert_int_equal(held, POOL - pool.nr_free);
    assert_in_range(pool.nr_free, POOL / 8 * 3 - 1, POOL / 8 * 3 + 1);
    for (unsigned i = 0; i < 100; i++) {
        /* Asked for: it goes, and as much again at once as was asked for, and no more. */
        struct pkt *p = frame(1000, 15, len);
        posts(16 + 15);
        pool.nr_free -= 19; /* short, for those who only hold */
        assert_true(nb_queue_rx(nb, p));
        assert_false(nb_queue_rx(nb, p));
        assert_false(nb_queue_rx(&idle[0].q[0], p));
        pool.nr_free += 19;
        pkt_put(&pool, p);
        assert_int_equal(round_trip(), 1);
        assert_true(pool.nr_free >= PKT_BUFS);
        p = frame(0, 1, len);
        assert_true(nb_queue_rx(nb, p));
        pkt_put(&pool, p);
        assert_int_equal(round_trip(), 1);
        posts(0);
        RXS->req_prod = RXS->rsp_prod; /* the rest it takes back, as it may: nothing relied on it */
        assert_null(vif.broken);
    }
    for (unsigned i = 0; i < IDLE; i++)
        nb_vif_detach(&idle[i]);
    assert_int_equal(pool.nr_free, POOL);
}

/* What was relied on does not go back: it would hold what is nobody's to hold. */
TEST(test_rx_goes_back)
{
    unsigned len[15] = { 4032 };

    setup(NULL);
    vif.features = KEEP_F_SG | KEEP_F_CSUM4 | KEEP_F_GSO4;
    for (unsigned i = 1; i < 15; i++)
        len[i] = 4096;
    struct pkt *p = frame(1000, 15, len);
    posts(20);
    pool.nr_free -= POOL - 20;
    assert_true(nb_queue_rx(nb, p));
    pool.nr_free += POOL - 20;
    RXS->req_prod -= 5;
    assert_int_equal(round_trip(), 0);
    assert_non_null(vif.broken);
    pkt_put(&pool, p);
    assert_int_equal(pool.nr_free, POOL);
}

/* Nor while it is asleep. */
TEST(test_rx_goes_back_asleep)
{
    setup(NULL);
    struct pkt *p = frame(0, 1, (unsigned[]){ 1000 });
    posts(1);
    pool.nr_free -= POOL - 20;
    assert_true(nb_queue_rx(nb, p));
    pool.nr_free += POOL - 20;
    pkt_put(&pool, p);
    RXS->req_prod--;
    assert_true(nb_vif_arm(&vif));
    assert_non_null(vif.broken);
    assert_int_equal(round_trip(), 0);
    assert_int_equal(pool.nr_free, POOL);
    assert_false(nb_vif_arm(&vif));
}

/* All buffers are in packets that are to be cut: some are left to cut them into, and in the end all of them are. */
TEST(test_rx_cut_reserve)
{
    enum { NR = POOL / 16 };
    struct pkt *p[NR];
    unsigned len[16] = { 4032 }, taken = 0, got = 0;

    setup(NULL);
    for (unsigned i = 1; i < 16; i++)
        len[i] = i < 15 ? 4096 : 100;
    for (unsigned i = 0; i < NR; i++) /* as a round collects them */
        p[i] = frame(9000, 16, len);
    assert_int_equal(pool.nr_free, 0);
    posts(256);
    for (unsigned i = 0; i < NR; i++) {
        taken += nb_queue_rx(nb, p[i]);
        pkt_put(&pool, p[i]);
    }
    assert_in_range(taken, NR - 3, NR - 1);
    for (unsigned round = 0; round < 100; round++)
        got += round_trip();
    assert_int_equal(got, 7 * taken);
    assert_int_equal(pool.nr_free, POOL);
}

/* To one that does not: cut, as many at a time as it has room for; nothing is left over. */
TEST(test_rx_cut)
{
    static const unsigned no[] = { 0,
                                   KEEP_F_SG,
                                   KEEP_F_SG | KEEP_F_CSUM4,
                                   KEEP_F_CSUM4 | KEEP_F_GSO4,
                                   KEEP_F_SG | KEEP_F_GSO4,
                                   KEEP_F_SG | KEEP_F_CSUM6 | KEEP_F_GSO6 };

    for (unsigned i = 0; i < ARRAY_SIZE(no); i++) {
        unsigned sent = 0, n = bufs_of(shapes[4]);
        setup(NULL);
        vif.features = no[i];
        struct pkt *p = frame(1448, n, shapes[4]), *whole = frame(0, 1, (unsigned[]){ 100 });
        unsigned segments = pkt_segments(p);
        assert_true(nb_queue_rx(nb, p) && nb_queue_rx(nb, whole));
        pkt_put(&pool, p), pkt_put(&pool, whole);
        assert_int_equal(segments, (pkt_len(p) - 54 + 1447) / 1448);
        for (unsigned round = 0; sent < segments + 1; round++) {
            unsigned room = 1 + round % 7;
            posts(room);
            assert_int_equal(round_trip(), room < segments + 1 - sent ? room : segments + 1 - sent);
            for (; sent < RXS->rsp_prod; sent++) {
                struct netif_rx_response r = RXS->ring[sent & 255].rsp;
                bool blank = no[i] & KEEP_F_CSUM4;
                assert_int_equal(r.status, sent < segments ? pkt_segment_len(p, sent) : 100);
                if (sent < segments) /* the one behind was not asked what it takes */
                    assert_int_equal(r.flags, blank ? NETRXF_csum_blank | NETRXF_data_validated
                                                    : NETRXF_data_validated);
            }
            assert_true(sent == segments + 1 || !nb_arm(nb));
        }
        assert_int_equal(pool.nr_free, POOL);
    }
    /* no buffers for a segment: it waits */
    setup(NULL);
    struct pkt *p = frame(1448, 2, (unsigned[]){ 4032, 4096 }), *all = NULL, *one;
    assert_true(nb_queue_rx(nb, p));
    pkt_put(&pool, p);
    posts(20);
    while ((one = pkt_alloc(&pool)))
        one->data = (void *)all, all = one;
    assert_int_equal(round_trip(), 0);
    for (; all; all = one) {
        one = (void *)all->data;
        pkt_put(&pool, all);
    }
    assert_int_equal(round_trip(), 6);
    assert_int_equal(pool.nr_free, POOL);
}

/* The wire has no room: what is in the ring stays there, and so does the next packet's place in it. */
TEST(test_room)
{
    struct nb_room room = { .bufs = 3, .idle = false };

    vif.room = &room;
    for (unsigned i = 0; i < 5; i++)
        slot(5, 0, 0, i, 100);
    assert_int_equal(round_trip(), 3);
    assert_false(nb_arm(nb));
    assert_true(nb->tx_waits);
    room.bufs = 0;
    assert_int_equal(round_trip(), 0);
    room.bufs = 10;
    assert_int_equal(round_trip(), 2);
    assert_false(nb->tx_waits);
    /* cut in software it is so many frames; alone it may be more than there is room */
    room.cut = true;
    slot(5, 0, E | M | BLANK, 1, 8000), gso_extra(1, 500, 0, 0), slot(5, 0, 0, 1, 4000);
    assert_int_equal(round_trip(), 0);
    assert_true(nb->tx_waits);
    room.bufs = 17;
    assert_int_equal(round_trip(), 1);
    slot(5, 0, E | M | BLANK, 1, 8000), gso_extra(1, 50, 0, 0), slot(5, 0, 0, 1, 4000);
    assert_int_equal(round_trip(), 0);
    room.idle = true;
    slot(5, 0, 0, 1, 100);
    assert_int_equal(round_trip(), 1);
    assert_int_equal(round_trip(), 1);
}

TEST(test_eighteen_slots)
{
    for (unsigned i = 0; i < 18; i++)
        slot(5, 0, i < 17 ? M : 0, i, i ? 50 : 1000);
    assert_int_equal(round_trip(), 1);
    assert_int_equal(last_len, 1000);
    assert_int_equal(delivered, 1);
}

TEST(test_endless_packet)
{
    for (unsigned i = 0; i < 256; i++) {
        assert_int_equal(round_trip(), 0);
        assert_null(vif.broken);
        slot(5, 0, M, i, 10);
    }
    assert_int_equal(round_trip(), 0);
    assert_non_null(vif.broken);
    assert_int_equal(TXS->rsp_prod, 0);
    setup(NULL);
    slot(5, 0, E, 1, 100);
    for (unsigned i = 0; i < 255; i++)
        extra(1, 1);
    assert_int_equal(round_trip(), 0);
    assert_non_null(vif.broken);
}

TEST(test_indices)
{
    static const uint32_t bad[] = { 258, 1000, 0x80000000, 0xffffffff, 0xffffff00 };

    for (unsigned i = 0; i < 2 * ARRAY_SIZE(bad); i++) {
        setup(NULL);
        slot(5, 0, 0, 1, 60);
        struct pkt *p = pkt_alloc(&pool);
        p->len = 60;
        nb_queue_rx(nb, p);
        pkt_put(&pool, p);
        round_trip();
        (i & 1 ? &TXS->req_prod : &RXS->req_prod)[0] = bad[i / 2];
        uint8_t before[4096];
        memcpy(before, tx_page, sizeof(before));
        round_trip();
        assert_non_null(vif.broken);
        assert_false(nb_arm(nb));
        assert_memory_equal(before, tx_page, sizeof(before)); /* left alone */
        nb_vif_detach(&vif);
        assert_int_equal(pool.nr_free, POOL);
    }
    setup(NULL);
    TXS->req_prod = 300;
    struct keep_vif_head head = { .domid = 16 };
    assert_int_not_equal(nb_vif_attach(&vif, &head), 0);
}

/* One that broke the protocol keeps no buffers. */
TEST(test_broken_gives_back)
{
    struct pkt *p = frame(1448, 2, (unsigned[]){ 4032, 4096 });

    for (unsigned i = 0; i < 5; i++)
        assert_true(nb_queue_rx(nb, p));
    pkt_put(&pool, p);
    TXS->req_prod = 1000;
    (void)nb_arm(nb);
    assert_non_null(vif.broken);
    round_trip();
    assert_false(nb_queue_rx(nb, p));
    assert_int_equal(pool.nr_free, POOL);
}

TEST(test_failing_copies)
{
    fail_ref = 66;
    slot(5, 0, M, 1, 300), slot(66, 0, 0, 2, 100);
    slot(5, 0, 0, 3, 60);
    assert_int_equal(round_trip(), 2);
    assert_int_equal(delivered, 1);
    expect(0, 1, NETIF_RSP_ERROR), expect(1, 2, NETIF_RSP_ERROR), expect(2, 3, NETIF_RSP_OKAY);
    for (unsigned i = 0; i < 2; i++)
        RXS->ring[RXS->req_prod++].req = (struct netif_rx_request){ (uint16_t)(40 + i), 0,
                                                                    i ? 8 : 66 };
    for (unsigned i = 0; i < 2; i++) {
        struct pkt *p = pkt_alloc(&pool);
        p->len = 100;
        p->flags = i ? PKT_CSUM_BLANK : 0;
        assert_true(nb_queue_rx(nb, p));
        pkt_put(&pool, p);
    }
    round_trip();
    assert_int_equal(RXS->rsp_prod, 2);
    assert_int_equal(RXS->ring[0].rsp.status, NETIF_RSP_ERROR);
    assert_int_equal(RXS->ring[0].rsp.id, 40);
    assert_int_equal(RXS->ring[1].rsp.status, 100);
    assert_int_equal(RXS->ring[1].rsp.flags, NETRXF_csum_blank | NETRXF_data_validated);
    assert_int_equal(pool.nr_free, POOL);
}

TEST(test_no_rx_buffers)
{
    unsigned taken = 0;

    for (unsigned i = 0; i < 2 * NB_RXQ; i++) {
        struct pkt *p = pkt_alloc(&pool);
        if (!p)
            break;
        p->len = 60;
        taken += nb_queue_rx(nb, p);
        pkt_put(&pool, p);
    }
    assert_int_equal(taken,
                     POOL / 3); /* this pool is small: half of what is left then is more than that */
    assert_int_equal(round_trip(), 0);
    assert_false(nb_arm(nb));
    assert_int_equal(RXS->req_event, 1);
    RXS->ring[RXS->req_prod++].req = (struct netif_rx_request){ 1, 0, 8 };
    assert_true(nb_arm(nb));
    assert_int_equal(round_trip(), 1);
    /* no packet buffers: requests wait, nothing is lost */
    struct pkt *all[POOL];
    unsigned n = 0;
    while ((all[n] = pkt_alloc(&pool)))
        n++;
    slot(5, 0, 0, 1, 60);
    assert_int_equal(round_trip(), 0);
    while (n)
        pkt_put(&pool, all[--n]);
    assert_int_equal(round_trip(), 1);
    assert_int_equal(delivered, 1);
    nb_vif_detach(&vif);
    assert_int_equal(pool.nr_free, POOL);
}

TEST(test_notifications)
{
    TXS->rsp_event = 2;
    slot(5, 0, 0, 1, 60);
    round_trip();
    assert_int_equal(sends, 0);
    slot(5, 0, 0, 2, 60);
    round_trip();
    assert_int_equal(sends, 1);
    slot(5, 0, 0, 3, 60);
    round_trip();
    assert_int_equal(sends, 1);
}

/* A front-end that fills the batch with packets of 18 slots, each time anew, and one that wants to send and to receive one
 * packet: it is the other's turn after two rounds, whatever their order. Whose turn it is is said all the time. */
TEST(test_flood)
{
    static _Alignas(4096) uint8_t tx2[4096], rx2[4096], keep2[4096];
    struct keep_vif_head head = { .domid = 17 };
    static struct nb_vif other;

    for (unsigned order = 0; order < 2; order++) {
        setup(NULL);
        memset(tx2, 0, sizeof(tx2));
        memset(rx2, 0, sizeof(rx2));
        other = (struct nb_vif){ .pool = &pool, .items = &items, .nr_queues = 1 };
        queue(&other, 0, tx2, rx2, keep2);
        vif.gen = 7;
        other.gen = 8;
        assert_int_equal(nb_vif_attach(&other, &head), 0);
        other.q[0].txs->ring[0].req = (struct netif_tx_request){ .gref = 9, .size = 100 };
        other.q[0].txs->req_prod = 1;
        other.q[0].rxs->ring[0].req = (struct netif_rx_request){ .gref = 10 };
        other.q[0].rxs->req_prod = 1;
        struct pkt *p = pkt_alloc(&pool);
        p->len = 100;
        assert_true(nb_queue_rx(&other.q[0], p));
        pkt_put(&pool, p);
        struct nb_vif *all[2] = { order ? &other : &vif, order ? &vif : &other };
        for (unsigned round = 0; round < 2; round++) {
            while (TXS->req_prod - TXS->rsp_prod + 18 <= 256) {
                slot(5, 0, M, 1, 300);
                for (unsigned i = 1; i < 18; i++)
                    slot(5, 0, i < 17 ? M : 0, 1, 10);
            }
            nb_collect(all, 2, &batch);
            assert_true(blame_kept->whose == keep_idx(0));
            flush();
            for (unsigned i = 0; i < 2; i++)
                nb_vif_finish(all[i], &batch, deliver, NULL);
        }
        assert_int_equal(other.stats.tx_packets, 1);
        assert_int_equal(other.stats.rx_packets, 1);
        assert_true(vif.stats.tx_packets >= 10);
        nb_vif_detach(&vif);
        nb_vif_detach(&other);
    }
}

/* Random rings: nothing but the sanitizers and the mocks' checks to hold against. */
TEST(test_random)
{
    for (unsigned run = 0; run < 3000; run++) {
        setup(NULL);
        TXS->req_prod = RXS->req_prod = 0;
        for (unsigned step = 0; step < 20; step++) {
            for (unsigned i = 0; i < sizeof(tx_page) - 64; i++)
                tx_page[64 + i] = (uint8_t)(rand() % 5 ? rand() & 6 : rand());
            for (unsigned i = 0; i < 255; i += 1 + (unsigned)rand() % 20) { /* some that are to be cut */
                struct netif_extra_info *x = (void *)&TXS->ring[i + 1];
                TXS->ring[i].req.flags |= E | BLANK;
                *x = (struct netif_extra_info){ .type = XEN_NETIF_EXTRA_TYPE_GSO,
                                                .flags = rand() % 4 ? 0 : MORE,
                                                .u.gso = { .type = 1 + rand() % 2,
                                                           .size = (uint16_t)(rand() % 3000) } };
            }
            for (unsigned i = 64; i < sizeof(rx_page); i++)
                rx_page[i] = (uint8_t)rand();
            TXS->req_prod += (unsigned)rand() % 40;
            RXS->req_prod += (unsigned)rand() % 40;
            TXS->rsp_event = (unsigned)rand();
            struct pkt *p = pkt_alloc(&pool);
            if (p) {
                p->len = (uint16_t)(14 + rand() % 1500);
                nb_queue_rx(nb, p);
                pkt_put(&pool, p);
            }
            round_trip();
            nb_arm(nb);
        }
        nb_vif_detach(&vif);
        assert_int_equal(pool.nr_free, POOL);
    }
}
