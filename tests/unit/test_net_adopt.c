/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/copies.c drivers-dom/net/queues.c drivers-dom/net/rss.c drivers-dom/net/netback.c drivers-dom/net/mcast.c drivers-dom/net/adopt.c drivers-dom/lib/blame.c drivers-dom/lib/keep_record.c drivers-dom/net/pkt.c drivers-dom/net/gso.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net -lz
/*
 * Death of netback at every single store. A scripted front-end (a model of Linux's xen-netfront and its checks) exchanges
 * packets with the back-end's ring code. Every store to ring or keep memory, every grant copy and every send is a point at
 * which the instance dies: all of its private memory is lost, a fresh one adopts rings and record, the script goes on, and at its
 * end everything must have been answered exactly once and traffic must flow. Pairs of deaths follow, then damaged records. All of it with one queue
 * and with two, which do the same.
 */
#include "copies.h"
#include "netback.h"

enum {
    RING = 256,
    BUF = 4096,
    NGRANT = 1024,
    MAXPKT = 256,
    POOL = 128,
    START = 0xfffffff0 - 40,
    MAXQ = 2
};
#define MASK (RING - 1)

/* --- what survives: guest, rings, keep pages ------------------------------------------------------------- */

struct grant {
    uint32_t ref;
    int kind; /* 0 none, 1 Tx, 2 Rx */
    unsigned off, len;
    uint8_t *buf;
};

static _Alignas(4096) uint8_t tx_page[MAXQ][4096], rx_page[MAXQ][4096], keep_page[MAXQ][4096];
static unsigned nr_queues, cur; /* cur: whose turn it is; fe, TXS, RXS, KEEP are its */
#define TXS  ((netif_tx_sring_t *)tx_page[cur])
#define RXS  ((netif_rx_sring_t *)rx_page[cur])
#define KEEP ((struct keep_vif *)keep_page[cur])

static uint8_t fe_mem[MAXQ][2][RING][BUF]; /* [queue][Tx/Rx][slot] */
static struct grant grants[NGRANT];
static uint32_t next_ref;
static struct front {
    uint32_t tx_prod, tx_rsp_cons, rx_prod, rx_rsp_cons;
    uint32_t tx_ref[RING]; /* by slot; 0 for an extra slot */
    uint16_t tx_id[RING];
    bool tx_extra[RING], tx_end[RING];
    uint8_t pending[65536]; /* Tx ids in flight */
    uint16_t next_id;
    uint32_t rx_ref[RING];
    uint16_t rx_id[RING];
    bool told;                    /* it notified the back-end */
    bool event;                   /* the back-end sent */
    uint32_t tx_seq, rx_seq;      /* last packet number delivered each way */
    uint32_t guest_seq, host_seq; /* ... and handed in */
} fes[MAXQ];
#define fe fes[cur]
static unsigned sends, spurious;
static bool eager; /* looks at the rings after every store, as a polling NAPI may; else only on events */

#define EACH(q) \
    for (unsigned q = 0, was_ = cur; (cur = q < nr_queues ? q : was_), q < nr_queues; q++)

static uint32_t host_seq, guest_seq;
static unsigned queue_of_host[MAXPKT], queue_of_guest[MAXPKT];
static unsigned host_len[MAXPKT]; /* host -> guest, by number */
static unsigned guest_len[MAXPKT];
static bool guest_bad[MAXPKT];
static unsigned pkt_gso[MAXPKT],
    guest_gso[MAXPKT]; /* how long the segments of each are, 0: not to be cut */

static void fe_look(void);

static void check_published(void)
{
    uint32_t tx = TXS->rsp_prod, rx = RXS->rsp_prod;

    if (tx - fe.tx_rsp_cons > fe.tx_prod - fe.tx_rsp_cons)
        fail_msg("illegal number of Tx responses");
    if (rx - fe.rx_rsp_cons > fe.rx_prod - fe.rx_rsp_cons)
        fail_msg("illegal number of Rx responses");
    if (tx != fe.tx_rsp_cons && !fe.tx_end[(tx - 1) & MASK])
        fail_msg("Tx responses end inside a packet");
    for (uint32_t i = fe.rx_rsp_cons; i != rx;) {
        unsigned flags = RXS->ring[i++ & MASK].rsp.flags;
        if (flags & NETRXF_extra_info && i++ == rx)
            fail_msg("Rx responses end before an extra info");
        for (; flags & NETRXF_more_data; flags = RXS->ring[i++ & MASK].rsp.flags)
            if (i == rx)
                fail_msg("Rx responses end inside a packet");
    }
}

void shared_stored(void)
{
    EACH(q)
    {
        check_published();
        if (eager)
            fe_look();
    }
    crash_point();
}

/* --- grants and the batch ----------------------------------------------------------------------------- */

static struct grant *grant_of(uint32_t ref)
{
    struct grant *g = &grants[ref % NGRANT];
    return g->kind && g->ref == ref ? g : NULL;
}

static uint32_t grant_new(int kind, uint8_t *buf, unsigned off, unsigned len)
{
    while (grants[next_ref % NGRANT].kind || !next_ref)
        next_ref++;
    grants[next_ref % NGRANT] = (struct grant){ next_ref, kind, off, len, buf };
    return next_ref++;
}

int batch_copy_from(struct batch *b, domid_t dom, uint32_t ref, unsigned off, void *dst, unsigned len)
{
    return copy_put(b, ref, off, dst, len, GNTCOPY_source_gref);
}
int batch_copy_to(struct batch *b, domid_t dom, uint32_t ref, unsigned off, const void *src,
                  unsigned len)
{
    return copy_put(b, ref, off, (void *)(uintptr_t)src, len, GNTCOPY_dest_gref);
}

static void fe_send_arrived(uint32_t port)
{
    unsigned was = cur;

    cur = (port - 1) / 2;
    sends++;
    if (TXS->rsp_prod == fe.tx_rsp_cons && RXS->rsp_prod == fe.rx_rsp_cons)
        spurious++;
    fe.event = true;
    cur = was;
}

int batch_flush(struct batch *b)
{
    for (unsigned i = 0; i < b->nr_copies; i++) {
        struct gnttab_copy *c = &b->copy[i];
        bool from = c->flags & GNTCOPY_source_gref;
        struct grant *g = grant_of(from ? c->source.u.ref : c->dest.u.ref);
        unsigned off = from ? c->source.offset : c->dest.offset;
        if (!g || g->kind != (from ? 1 : 2))
            fail_msg("copy %s grant %u, which is not offered for it", from ? "from" : "to",
                     from ? c->source.u.ref : c->dest.u.ref);
        if (off < g->off || off + c->len > g->off + g->len)
            fail_msg("copy outside of what the slot names");
        if (from)
            memcpy(copied[i], g->buf + off, c->len);
        else
            memcpy(g->buf + off, copied[i], c->len);
        c->status = GNTST_okay;
        crash_point();
    }
    b->nr_copies = 0;
    for (unsigned i = 0; i < b->nr_sends; i++) {
        fe_send_arrived(b->send[i]);
        crash_point();
    }
    b->nr_sends = 0;
    return 0;
}

/* --- the front-end ------------------------------------------------------------------------------------------ */

static uint8_t pattern(uint32_t seq, unsigned i, bool host)
{
    return (uint8_t)(seq * 31 + i * 7 + i / 251 + (host ? 0x80 : 0));
}

static void fe_push_tx(void)
{
    uint32_t old = TXS->req_prod;
    TXS->req_prod = fe.tx_prod;
    if (fe.tx_prod - TXS->req_event < fe.tx_prod - old)
        fe.told = true;
}

static uint16_t fe_id(void)
{
    do
        fe.next_id = (uint16_t)(fe.next_id * 5 + 77);
    while (fe.pending[fe.next_id]);
    return fe.next_id;
}

static void fe_slot(unsigned size_field, unsigned off, unsigned len, unsigned flags, bool last)
{
    unsigned s = fe.tx_prod & MASK;
    uint8_t *buf = fe_mem[cur][0][s];

    fe.tx_extra[s] = false;
    fe.tx_end[s] = last;
    fe.tx_id[s] = fe_id();
    fe.pending[fe.tx_id[s]] = 1;
    fe.tx_ref[s] = grant_new(1, buf, off, len);
    TXS->ring[s].req = (struct netif_tx_request){ fe.tx_ref[s], (uint16_t)off, (uint16_t)flags,
                                                  fe.tx_id[s], (uint16_t)size_field };
    fe.tx_prod++;
}

/* A packet of `frags` slots and `extras` extra infos, of which one alone says how long its segments are; bad: sizes that make no sense. */
static void guest_sends(unsigned len, unsigned frags, unsigned extras, bool bad)
{
    unsigned seq = ++guest_seq, each = len / frags, at = 0;

    if (fe.tx_prod - fe.tx_rsp_cons + frags + extras > RING)
        fail_msg("script overfills the ring");
    guest_len[seq] = len;
    queue_of_guest[fe.guest_seq = seq] = cur;
    guest_bad[seq] = bad || extras > 1;
    guest_gso[seq] = extras ? 1000 + seq : 0;
    for (unsigned f = 0; f < frags; f++) {
        unsigned n = f + 1 < frags ? each : len - at, off = 16 * f + 4, slot = fe.tx_prod & MASK;
        unsigned flags = (f + 1 < frags ? NETTXF_more_data : 0) |
                         (!f && extras ? NETTXF_extra_info | NETTXF_csum_blank : 0);
        fe_slot(f ? n : bad ? 5 : len, off, n, flags, f + 1 == frags && !extras);
        for (unsigned i = 0; i < n; i++)
            fe_mem[cur][0][slot][off + i] = at + i < 4 ? (uint8_t)(seq >> (8 * (at + i)))
                                                       : pattern(seq, at + i, false);
        at += n;
        for (unsigned e = 0; !f && e < extras; e++) {
            unsigned s = fe.tx_prod++ & MASK;
            memset(&TXS->ring[s], 0, sizeof(TXS->ring[s]));
            struct netif_extra_info *x = (struct netif_extra_info *)&TXS->ring[s];
            x->type = XEN_NETIF_EXTRA_TYPE_GSO;
            x->u.gso.type = XEN_NETIF_GSO_TYPE_TCPV4;
            x->u.gso.size = (uint16_t)guest_gso[seq];
            x->flags = e + 1 < extras ? XEN_NETIF_EXTRA_FLAG_MORE : 0;
            fe.tx_extra[s] = true;
            fe.tx_ref[s] = 0;
            fe.tx_end[s] = frags == 1 && e + 1 == extras;
        }
    }
    if (extras)
        fe.tx_end[(fe.tx_prod - 1) & MASK] = true;
    fe_push_tx();
}

static void guest_posts(unsigned n)
{
    uint32_t old = fe.rx_prod;

    while (n--) {
        unsigned s = fe.rx_prod & MASK;
        memset(fe_mem[cur][1][s], 0xee, BUF);
        fe.rx_id[s] = (uint16_t)(fe.rx_prod * 3 + 11);
        fe.rx_ref[s] = grant_new(2, fe_mem[cur][1][s], 0, BUF);
        RXS->ring[s].req = (struct netif_rx_request){ fe.rx_id[s], 0, fe.rx_ref[s] };
        fe.rx_prod++;
    }
    RXS->req_prod = fe.rx_prod;
    if (fe.rx_prod - RXS->req_event < fe.rx_prod - old)
        fe.told = true;
}

/* xennet_tx_buf_gc: each id once, its grant free. */
static void fe_tx_responses(void)
{
    uint32_t prod = TXS->rsp_prod;

    check_published();
    for (; fe.tx_rsp_cons != prod; fe.tx_rsp_cons++) {
        unsigned s = fe.tx_rsp_cons & MASK;
        struct netif_tx_response r = TXS->ring[s].rsp;
        if ((r.status == NETIF_RSP_NULL) != fe.tx_extra[s])
            fail_msg("extra slot and its response do not match");
        if (r.status == NETIF_RSP_NULL)
            continue;
        if (!fe.pending[r.id] || r.id != fe.tx_id[s])
            fail_msg("response for id %u, which is not pending here", r.id);
        fe.pending[r.id] = 0;
        grant_of(fe.tx_ref[s])->kind = 0;
    }
    TXS->rsp_event = prod + 1;
}

static void fe_rx_packet(const uint8_t *data, unsigned len, unsigned gso)
{
    uint32_t seq = (uint32_t)(data[0] | data[1] << 8);

    if (len < 4 || seq == 0 || seq >= MAXPKT || len != host_len[seq] || gso != pkt_gso[seq] ||
        queue_of_host[seq] != cur)
        fail_msg("received something that nobody sent");
    for (unsigned i = 4; i < len; i++) {
        if (data[i] != pattern(seq, i, true))
            fail_msg("payload of packet %u is wrong at %u", seq, i);
    }
    if (seq <= fe.rx_seq)
        fail_msg("packet %u twice or out of order", seq);
    fe.rx_seq = seq;
}

/* xennet_get_responses: id and buffer by position, whole packets. */
static void fe_rx_responses(void)
{
    static uint8_t data[19 * BUF];
    uint32_t prod = RXS->rsp_prod;
    unsigned len = 0, gso = 0;

    check_published();
    for (; fe.rx_rsp_cons != prod; fe.rx_rsp_cons++) {
        unsigned s = fe.rx_rsp_cons & MASK;
        struct netif_rx_response r = RXS->ring[s].rsp;
        if (r.id != fe.rx_id[s] || r.status < 0 || r.offset + r.status > BUF)
            fail_msg("Rx response with id %u, status %d", r.id, r.status);
        memcpy(data + len, fe_mem[cur][1][s] + r.offset, (unsigned)r.status);
        len += (unsigned)r.status;
        grant_of(fe.rx_ref[s])->kind = 0;
        if (r.flags &
            NETRXF_extra_info) { /* xennet_get_extras: the request in its slot is answered by that */
            s = ++fe.rx_rsp_cons & MASK;
            struct netif_extra_info x;
            memcpy(&x, &RXS->ring[s], sizeof(x));
            if (len != (unsigned)r.status || x.type != XEN_NETIF_EXTRA_TYPE_GSO || x.flags ||
                x.u.gso.type != XEN_NETIF_GSO_TYPE_TCPV4 || x.u.gso.features)
                fail_msg("an extra info of type %u", x.type);
            gso = x.u.gso.size;
            grant_of(fe.rx_ref[s])->kind = 0;
        }
        if (!(r.flags & NETRXF_more_data)) {
            fe_rx_packet(data, len, gso);
            len = gso = 0;
        }
    }
    RXS->rsp_event = prod + 1;
}

static void fe_look(void)
{
    uint32_t before = fe.rx_rsp_cons;

    if (TXS->rsp_prod != fe.tx_rsp_cons)
        fe_tx_responses();
    if (RXS->rsp_prod != fe.rx_rsp_cons)
        fe_rx_responses();
    if (eager && fe.rx_rsp_cons != before) /* refill at once: late bodies would land on requests */
        guest_posts(fe.rx_rsp_cons - before);
}

static void fe_handle_event(void)
{
    if (!fe.event)
        return;
    fe.event = false;
    fe_look();
}

/* --- the back-end: one instance -------------------------------------------------------------------------------- */

static struct nb_vif vif;
static struct nb_items items;
static struct batch batch;
static struct pkt_pool pool;
static struct pkt pkts[POOL];
static _Alignas(PKT_BUF) uint8_t pool_mem[POOL * PKT_BUF];

static void be_deliver(void *arg, struct pkt *p)
{
    uint32_t seq = (uint32_t)(p->data[0] | p->data[1] << 8);
    unsigned at = 0;

    struct front *from = &fes[seq < MAXPKT ? queue_of_guest[seq] : 0];

    if (seq == 0 || seq >= MAXPKT || pkt_len(p) != guest_len[seq] || guest_bad[seq] ||
        p->gso != (guest_gso[seq] ? PKT_GSO_TCP4 : PKT_WHOLE) || p->gso_size != guest_gso[seq])
        fail_msg("sent something that the guest did not send");
    for (const struct pkt *b = p; b; at += b->len, b = b->next) {
        for (unsigned i = at ? 0 : 4; i < b->len; i++)
            if (b->data[i] != pattern(seq, at + i, false))
                fail_msg("packet %u to the wire is wrong at %u", seq, at + i);
    }
    if (seq <= from->tx_seq)
        fail_msg("packet %u to the wire twice", seq);
    from->tx_seq = seq;
}

static unsigned be_round(void)
{
    struct nb_vif *all[] = { &vif };
    unsigned waiting = batch.nr_sends, work = nb_collect(all, 1, &batch);

    if (batch.nr_copies || (waiting && work))
        batch_flush(&batch);
    nb_vif_finish(&vif, &batch, be_deliver, NULL);
    return work;
}

/* What its handlers do: who notified is looked at. */
static bool be_hears(void)
{
    bool any = false;

    EACH(q)
    {
        any |= fe.told;
        if (fe.told)
            nb_wake(&vif.q[q]);
        fe.told = false;
    }
    return any;
}

/* Runs until it would sleep. */
static void be_run(void)
{
    do {
        while (be_round())
            ;
    } while (nb_vif_arm(&vif));
    batch_flush(&batch); /* the wait takes along what is left */
    if (vif.broken)
        fail_msg("back-end gave up: %s", vif.broken);
}

static void be_fresh(void)
{
    memset(&batch, 0, sizeof(batch));
    memset(&items, 0, sizeof(items));
    for (unsigned i = 0; i < POOL; i++) /* what was in them is gone; where it begins is enough */
        memset(pool_mem + i * PKT_BUF, 0xdd, 512);
    pkt_pool_init(&pool, pkts, pool_mem, POOL);
    vif = (struct nb_vif){ .pool = &pool, .items = &items, .dom = 16, .nr_queues = nr_queues };
    EACH(q)
    vif.q[q] = (struct nb){
        .vif = &vif, .txs = TXS, .rxs = RXS, .keep = KEEP, .tx_port = 1 + 2 * q, .rx_port = 2 + 2 * q
    };
}

/* 0, or -1: the record is unsound and the vif would be plugged again. */
static int be_start(void)
{
    struct keep_vif *const pages[MAXQ] = { (struct keep_vif *)keep_page[0],
                                           (struct keep_vif *)keep_page[1] };
    struct keep_vif_head head[MAXQ];
    const char *why;

    be_fresh();
    for (unsigned q = 0; q < MAXQ; q++)
        head[q] = (struct keep_vif_head){ .domid = 16,
                                          .features = KEEP_F_SG | KEEP_F_CSUM4 | KEEP_F_GSO4,
                                          .tx_ref = q,
                                          .queue = (uint8_t)q,
                                          .nr_queues = (uint8_t)nr_queues };
    switch (keep_queues_state(pages, MAXQ)) {
    case KEEP_EMPTY: /* the store still says InitWait: an ordinary connection */
        keep_queues_close(pages, MAXQ);
        return nb_vif_attach(&vif, head);
    case KEEP_VALID:
        if (pages[0]->head.nr_queues != nr_queues)
            fail_msg("a record of %u queues", pages[0]->head.nr_queues);
        return nb_vif_adopt(&vif, &batch, &why);
    default: return -1;
    }
}

/* gso: of TCP that is to be cut into segments so long. */
static void host_sends(unsigned len, unsigned gso)
{
    struct pkt *p = pkt_alloc(&pool), *last = p;

    host_len[++host_seq] = len;
    queue_of_host[fe.host_seq = host_seq] = cur;
    pkt_gso[host_seq] = gso;
    for (unsigned i = 0; i < len; i++) {
        if (last->len == (last == p ? PKT_BUF - PKT_HEAD : PKT_BUF))
            last = pkt_grow(&pool, p, last);
        last->data[last->len++] = i < 4 ? (uint8_t)(host_seq >> (8 * i)) : pattern(host_seq, i, true);
        p->rest += last != p;
    }
    p->gso = gso ? PKT_GSO_TCP4 : PKT_WHOLE;
    p->gso_size = (uint16_t)gso;
    p->flags = gso ? PKT_CSUM_BLANK | PKT_CSUM_VALID : 0;
    nb_queue_rx(&vif.q[cur], p);
    pkt_put(&pool, p);
}

/* --- the script ------------------------------------------------------------------------------------------- */

enum op { SEND, SENDX, BAD, POST, HOST, RUN, LOOK, END };
struct step {
    enum op op;
    unsigned a, b, c;
};

static const struct step script[] = {
    { POST, 3, 0, 0 },     { RUN, 0, 0, 0 },        { SEND, 60, 1, 0 },    { RUN, 0, 0, 0 },
    { LOOK, 0, 0, 0 },     { SEND, 1514, 3, 0 },    { SENDX, 900, 2, 2 },  { SEND, 80, 1, 0 },
    { HOST, 100, 0, 0 },   { RUN, 0, 0, 0 },        { HOST, 5000, 0, 0 },  { HOST, 64, 0, 0 },
    { RUN, 0, 0, 0 },      { LOOK, 0, 0, 0 },       { POST, 1, 0, 0 },     { RUN, 0, 0, 0 },
    { SENDX, 300, 1, 1 },  { BAD, 400, 3, 0 },      { SEND, 1000, 18, 0 }, { RUN, 0, 0, 0 },
    { POST, 4, 0, 0 },     { HOST, 9000, 0, 0 },    { HOST, 1514, 0, 0 },  { SEND, 70, 2, 0 },
    { RUN, 0, 0, 0 },      { LOOK, 0, 0, 0 },       { BAD, 700, 19, 0 },   { SEND, 333, 4, 0 },
    { SEND, 334, 1, 0 },   { POST, 2, 0, 0 },       { RUN, 0, 0, 0 },      { LOOK, 0, 0, 0 },
    { HOST, 4096, 0, 0 },  { HOST, 4097, 0, 0 },    { POST, 6, 0, 0 },     { RUN, 0, 0, 0 },
    { SEND, 1514, 2, 0 },  { LOOK, 0, 0, 0 },       { RUN, 0, 0, 0 },      { POST, 30, 0, 0 },
    { SENDX, 5000, 3, 1 }, { HOST, 6000, 1448, 0 }, { HOST, 900, 400, 0 }, { SEND, 70, 1, 0 },
    { RUN, 0, 0, 0 },      { LOOK, 0, 0, 0 },       { SENDX, 4200, 5, 1 }, { HOST, 8200, 1400, 0 },
    { RUN, 0, 0, 0 },      { POST, 1, 0, 0 },       { HOST, 60, 0, 0 },    { RUN, 0, 0, 0 },
    { LOOK, 0, 0, 0 },     { POST, 17, 0, 0 },      { SENDX, 700, 1, 1 },  { RUN, 0, 0, 0 },
    { LOOK, 0, 0, 0 },     { END, 0, 0, 0 },
};

static void world_init(bool polls)
{
    memset(fes, 0, nr_queues * sizeof(fes[0]));
    memset(grants, 0, sizeof(grants));
    memset(tx_page, 0, sizeof(tx_page));
    memset(rx_page, 0, sizeof(rx_page));
    memset(keep_page, 0, sizeof(keep_page));
    eager = polls;
    next_ref = 8;
    sends = spurious = cur = 0;
    EACH(q)
    {
        fe.tx_prod = fe.tx_rsp_cons = fe.rx_prod = fe.rx_rsp_cons = START + 7 * q;
        TXS->req_prod = TXS->rsp_prod = RXS->req_prod = RXS->rsp_prod = START + 7 * q;
        TXS->req_event = TXS->rsp_event = RXS->req_event = RXS->rsp_event = START + 7 * q + 1;
    }
    host_seq = guest_seq = 0;
    armed = false;
    points = 0;
}

static void queue_step(const struct step *s)
{
    switch (s->op) {
    case SEND: guest_sends(s->a, s->b, 0, false); break;
    case SENDX: guest_sends(s->a, s->b, s->c, false); break;
    case BAD: guest_sends(s->a, s->b, 0, true); break;
    case POST: guest_posts(s->a); break;
    case HOST: host_sends(s->a, s->b); break;
    case LOOK: fe_handle_event(); break;
    case RUN:
    case END: break;
    }
}

static bool rx_waits(void)
{
    bool any = false;

    EACH(q)
    any |= vif.q[q].rxq_head != vif.q[q].rxq_tail;
    return any;
}

static void step_run(const struct step *s)
{
    EACH(q)
    queue_step(s);
    /* Asleep unless notified: a notification that req_event should have asked for and did not would hang the script.
     * New work from the uplink wakes it as well. */
    if (s->op == RUN && (be_hears() || rx_waits()))
        be_run();
}

static volatile unsigned pc;
static volatile int deaths;
static long second; /* the second death, this many points after the first; -1: none */
static volatile bool lost;
static void (*at_death)(void);

/* Runs the script with a death after `first` crash points (-1: none). lost: the record was refused. */
static void play(long first)
{
    pc = 0;
    deaths = 0;
    lost = false;
    countdown = first;
    armed = first >= 0;
    if (setjmp(crash_env)) {
        cur = 0;
        /* dead: everything private is gone */
        deaths++;
        if (at_death && deaths == 1)
            at_death();
        be_fresh();
        if (deaths == 1 && second >= 0) {
            countdown = second;
            armed = true;
        }
    }
    if (be_start() < 0) {
        lost = true;
        armed = false;
        return;
    }
    be_hears(); /* binding the port sets it pending: run */
    be_run();
    for (; script[pc].op != END; pc++)
        step_run(&script[pc]);
    armed = false;
}

/* Quiet: what was published was also announced, everything is answered, and traffic flows both ways. */
static void finish(void)
{
    uint32_t tx[MAXQ], rx[MAXQ];

    for (int i = 0; i < 4; i++) {
        EACH(q)
        fe_handle_event();
        be_hears();
        be_run();
    }
    EACH(q)
    {
        fe_handle_event();
        if (TXS->rsp_prod != fe.tx_rsp_cons || RXS->rsp_prod != fe.rx_rsp_cons)
            fail_msg("responses were published and never announced");
        if (fe.tx_rsp_cons != fe.tx_prod)
            fail_msg("%u Tx slots were never answered", fe.tx_prod - fe.tx_rsp_cons);
        tx[q] = fe.tx_seq, rx[q] = fe.rx_seq;
        guest_posts(3);
        guest_sends(200, 2, 0, false);
        host_sends(4300, 0);
        guest_posts(3);
        host_sends(4500, 1400);
        guest_sends(900, 3, 1, false);
    }
    be_hears();
    be_run();
    EACH(q)
    {
        fe_handle_event();
        if (fe.tx_seq != fe.guest_seq || fe.rx_seq != fe.host_seq || fe.tx_seq == tx[q] ||
            fe.rx_seq == rx[q])
            fail_msg("traffic does not flow at the end");
    }
}

static long count_points(bool polls)
{
    second = -1;
    world_init(polls);
    play(-1);
    assert_int_equal(deaths, 0);
    long n = points;
    finish();
    return n;
}

TEST(test_no_crash)
{
    for (nr_queues = 1; nr_queues <= MAXQ; nr_queues++) {
        assert_true(count_points(false) > 200);
        assert_int_equal(spurious, 0);
        EACH(q)
        {
            assert_int_equal(fe.tx_seq, fe.guest_seq);
            assert_int_equal(fe.rx_seq, fe.host_seq);
        }
        assert_true(count_points(true) > 200);
    }
}

TEST(test_every_store)
{
    for (unsigned i = 0; i < 2 * MAXQ; i++) {
        bool polls = i & 1;
        nr_queues = 1 + i / 2;
        long n = count_points(polls);
        for (long k = 0; k < n; k++) {
            world_init(polls);
            play(k);
            assert_int_equal(deaths, 1);
            assert_false(lost);
            finish();
        }
        print_message("%ld single deaths, %u queues, %s front-end\n", n, nr_queues,
                      polls ? "polling" : "sleeping");
    }
}

TEST(test_every_pair)
{
    long runs = 0;

    for (unsigned i = 0; i < 2 * MAXQ; i++) {
        bool polls = i & 1;
        nr_queues = 1 + i / 2;
        long n = count_points(polls);
        for (long k = 0; k < n; k += nr_queues == 1 ? 1 : 41) { /* of two queues some */
            for (long j = 0; j < 40 * nr_queues; j++, runs++) {
                world_init(polls);
                second = j;
                play(k);
                assert_false(lost);
                finish();
            }
        }
    }
    second = -1;
    print_message("%ld pairs of deaths\n", runs);
}

/* --- damaged records ----------------------------------------------------------------------------------------- */

static unsigned damage_at, damage_queue;
static uint8_t damage_by;
static uint8_t tx_before[MAXQ][4096], rx_before[MAXQ][4096];

static void damage(void)
{
    keep_page[damage_queue][damage_at] ^= damage_by;
    memcpy(tx_before, tx_page, sizeof(tx_page));
    memcpy(rx_before, rx_page, sizeof(rx_page));
}

/* One damaged byte anywhere in the record: either it made no difference, or nothing was touched and the vif is plugged again. */
static void damage_one(long when, unsigned at, uint8_t by, unsigned *refused)
{
    world_init(false);
    damage_at = at;
    damage_by = by;
    play(when);
    if (lost) {
        (*refused)++;
        assert_memory_equal(tx_before, tx_page, sizeof(tx_page));
        assert_memory_equal(rx_before, rx_page, sizeof(rx_page));
    } else {
        finish();
    }
}

/* Of two queues that of either: all or none is served. */
static void damage_all(unsigned step)
{
    long n = count_points(false), runs = 0;
    unsigned refused = 0;

    at_death = damage;
    for (long when = 40; when < n; when += n / 9) {
        for (unsigned at = 0; at < sizeof(struct keep_vif); at += step, runs++)
            damage_one(when, at, (uint8_t)(1 + (at * 37 + (unsigned)when) % 255), &refused);
    }
    /* The indices, at every moment. */
    for (long when = 0; when < n; when += 2 * step) {
        for (unsigned i = 0; i < 6; i++) {
            unsigned at = (unsigned)(i < 3 ? offsetof(struct keep_vif, tx)
                                           : offsetof(struct keep_vif, rx)) +
                          i % 3 * 8;
            for (unsigned by = 1; by < 256; by += 11 + (unsigned)when % 7, runs++)
                damage_one(when, at + (by & 4 ? 4 : 0), (uint8_t)by, &refused);
        }
    }
    at_death = NULL;
    assert_true(refused > 0 && refused < runs);
    print_message("%ld damaged records, %u refused\n", runs, refused);
}

TEST(test_damaged_record)
{
    nr_queues = 1;
    damage_queue = 0;
    damage_all(1);
    nr_queues = 2;
    for (; damage_queue < 2; damage_queue++)
        damage_all(11);
}

/* Every value of every byte that a request in flight depends on. */
TEST(test_damage_detected)
{
    for (uint32_t index = 250; index < 260; index++) {
        uint16_t id = (uint16_t)(index * 4099);
        uint32_t tx = keep_tx(index, id, index & 1), gref = index * 0x01020305;
        uint64_t rx = keep_rx(index, id, gref), ix = keep_idx(index * 0x10307),
                 group = keep_mcast((uint8_t[]){ 1, 0, 0x5e, (uint8_t)index, 0x96, 0x69 });
        assert_int_equal(keep_tx_kind(index, tx), index & 1);
        assert_int_equal(keep_tx_kind(index + 256, tx), -1);
        assert_false(keep_rx_ok(index + 256, rx));
        for (unsigned byte = 0; byte < 8; byte++) {
            for (uint64_t v = 1; v < 256; v++) {
                uint64_t x = v << (8 * byte);
                if (byte < 4)
                    assert_int_equal(keep_tx_kind(index, tx ^ (uint32_t)x), -1);
                assert_false(keep_rx_ok(index, rx ^ x));
                assert_false(keep_idx_ok(ix ^ x));
                assert_false(keep_mcast_ok(group ^ x));
                assert_false(keep_mcast_ok(x));
            }
        }
    }
}

TEST(test_tampered_rsp_prod)
{
    const char *why = NULL;

    for (uint32_t by = 1; by < 1200; by++) {
        nr_queues = 1 + by % 2;
        world_init(false);
        play(-1);
        cur = by / 2 % nr_queues;
        (by & 4 ? &TXS->rsp_prod : &RXS->rsp_prod)[0] += by / 2 + 1;
        be_fresh();
        assert_int_equal(nb_vif_adopt(&vif, &batch, &why), -22);
        assert_non_null(why);
    }
}
