/* SPDX-License-Identifier: MIT */
/*
 * Fuzzer of the net driver domain's rounds: three front-ends of up to four queues, a virtio NIC, and a domain between them that dies. A front-end sends frames
 * (TCP to be cut or not, ARP, neighbour discovery, with bytes flipped) in chains of slots that may lie about sizes, offsets, grants and extra
 * infos, and posts receive buffers, some of which are not there; some scribble over their rings or set indices to anything, also while the
 * domain is at work. The NIC's frames come in chains of buffers; it may lie, which ends an instance. Now and then the domain dies at some
 * store, copy or send, also while it comes back, and another instance adopts the rings.
 *
 * What must hold: no sanitizer report. A front-end that kept its own ring in order finds each request answered, once, in its place, and no
 * slot touched that is its own. What is forwarded is what its sender sent, once and in order; no port gets a frame of a VLAN that it is not
 * in, nor one whose sender may not say who it says it is; each vif gets what was forwarded to it, whole or as the segments of it, in order,
 * tagged as it sees it, with a checksum that is right if it is there. All buffers are in the pool at the end.
 *
 * Every decision is a number: draw.h.
 */
#include "fuzz_net.h"
#include "draw.h"
#include "../unit/copies.h"
#include "../unit/tcp_frame.h"
#include "../unit/vnet_world.h"
#include "net.h"
#include "vif.h"
#include "vlan.h"

#define VIFS  3u                         /* on ports 1.. */
#define RINGS ((VIFS + 1) * KEEP_QUEUES) /* queue q of vif i is ring i * KEEP_QUEUES + q */
#define MASK  (KEEP_RING - 1)
enum { TX, RX };

/* --- what survives ------------------------------------------------------------------------------------------------ */

/* A frame on its way to somebody. */
struct want {
    uint8_t *frame;
    unsigned len, csum_at;         /* 0: its checksum is there */
    unsigned gso_size, head, at;   /* 0: not to be cut; its headers; how much has come */
    unsigned csum_start, csum_end; /* of one that was blank, else 0 */
    bool lossy, udp;               /* it may never come */
};
struct wants {
    struct want w[512];
    unsigned first, nr;
};

struct front {
    bool up, honest; /* honest: its rings are as it left them */
    uint32_t features;
    unsigned nr_queues;
};

struct ring {
    bool event; /* it notified, and no handler has heard of it */
    bool lied;  /* in the last packet, of which the next may be part */
    uint32_t tx_prod, tx_cons, rx_prod, rx_cons;
    uint16_t rx_id[KEEP_RING];
    bool rx_bad[KEEP_RING];
    union netif_tx_sring_entry tx_seen[KEEP_RING]; /* as it last knew them */
    struct wants sent, wanted;
};

static _Alignas(4096) uint8_t tx_page[RINGS][4096], rx_page[RINGS][4096], keep_page[RINGS][4096];
#define TXS(r)  ((netif_tx_sring_t *)tx_page[r])
#define RXS(r)  ((netif_rx_sring_t *)rx_page[r])
#define KEEP(r) ((struct keep_vif *)keep_page[r])
static uint8_t page[RINGS][2][KEEP_RING][PAGE_SIZE];
static struct front front[VIFS + 1];
static struct ring ring[RINGS];
#define EACH_RING(r, i) \
    for (unsigned r = (i)*KEEP_QUEUES; r < (i)*KEEP_QUEUES + front[i].nr_queues; r++)
static struct wants wire;
static uint64_t clock_ns;
static bool with_nic;
static struct slot_vif conf[VIFS + 1];
static bool fixed[VIFS + 1];
static unsigned buffers;
static uint32_t sequence; /* of frames: no two are the same */

static const uint8_t mac[][6] = { { 0x52, 0x54, 0, 1, 2, 3 }, { 0, 0x16, 0x3e, 0, 0, 1 },
                                  { 0, 0x16, 0x3e, 0, 0, 2 }, { 0, 0x16, 0x3e, 0, 0, 3 },
                                  { 0, 0, 0x5e, 0, 1, 9 },    { 0x52, 0x54, 0, 1, 2, 4 },
                                  { 0x33, 0x33, 0, 0, 0, 1 }, { 255, 255, 255, 255, 255, 255 } };

/* --- the instance ------------------------------------------------------------------------------------------------- */

struct net net;
struct vif vifs[SW_VIFS];
static struct vnet nic;
static struct pkt pkts[PKT_NR];
static _Alignas(4096) uint8_t pool_mem[PKT_NR * PKT_BUF];
static struct queue {
    struct vring_desc desc[VQ_SIZE];
    struct vring_avail avail;
    struct vring_used used;
} queue[2];

uint64_t now_ns(void) { return clock_ns; }

const char *vring_start(struct virtio_dev *v, struct vring *r, uint16_t i, uint16_t max,
                        uint16_t vector)
{
    struct queue *q = &queue[i];

    (void)v, (void)vector;
    memset(q, 0, sizeof(*q));
    *r = (struct vring){ .desc = q->desc, .avail = &q->avail, .used = &q->used, .size = max };
    r->used_event = &q->avail.ring[max];
    return NULL;
}

static bool keeps_pace(const struct keep_ring *r)
{
    return (uint32_t)r->req_cons - (uint32_t)r->rsp_pub <= KEEP_RING;
}

static bool own(unsigned i) { return front[i].up && front[i].honest; }

static long meddles_in; /* so many stores until a front-end does something, while the domain is at work; < 0: none does */
static void meddle(void);

void shared_stored(void)
{
    for (unsigned i = 1; i <= VIFS; i++)
        EACH_RING(r, i)
        {
            const struct ring *f = &ring[r];
            CHECK(!front[i].up || (keeps_pace(&KEEP(r)->tx) && keeps_pace(&KEEP(r)->rx)));
            CHECK(!own(i) || (TXS(r)->rsp_prod - f->tx_cons <= TXS(r)->req_prod - f->tx_cons &&
                              RXS(r)->rsp_prod - f->rx_cons <= RXS(r)->req_prod - f->rx_cons));
        }
    if (meddles_in >= 0 && !meddles_in--)
        meddle();
    crash_point();
}

/* A grant says whose it is, the ring and the slot; its second byte is even, see the last slots that a front-end sends. */
static uint32_t ref_of(unsigned r, unsigned kind, unsigned slot)
{
    return r << 16 | kind << 12 | (slot & MASK);
}

static uint8_t *granted(uint32_t ref, domid_t dom, unsigned kind)
{
    unsigned r = ref >> 16, i = r / KEEP_QUEUES;

    if (i < 1 || i > VIFS || i != dom || ref != ref_of(r, kind, ref))
        return NULL;
    return page[r][kind][ref & MASK];
}

int batch_copy_from(struct batch *b, domid_t dom, uint32_t ref, unsigned off, void *dst, unsigned len)
{
    size_t at = (size_t)((uint8_t *)dst - pool_mem);
    CHECK(at / PKT_BUF < buffers && at % PKT_BUF + len <= PKT_BUF);
    int c = copy_put(b, ref, off, dst, len, GNTCOPY_source_gref);
    b->copy[c].source.domid = dom;
    return c;
}

int batch_copy_to(struct batch *b, domid_t dom, uint32_t ref, unsigned off, const void *src,
                  unsigned len)
{
    size_t at = (size_t)((const uint8_t *)src - pool_mem);
    CHECK(at / PKT_BUF < buffers && at % PKT_BUF + len <= PKT_BUF);
    int c = copy_put(b, ref, off, (void *)(uintptr_t)src, len, GNTCOPY_dest_gref);
    b->copy[c].dest.domid = dom;
    return c;
}

int batch_flush(struct batch *b)
{
    for (unsigned i = 0; i < b->nr_copies; i++) {
        struct gnttab_copy *c = &b->copy[i];
        bool from = c->flags & GNTCOPY_source_gref;
        uint8_t *g = from ? granted(c->source.u.ref, c->source.domid, TX)
                          : granted(c->dest.u.ref, c->dest.domid, RX);
        c->status = g ? GNTST_okay : GNTST_bad_gntref;
        if (g && from)
            memcpy(copied[i], g + c->source.offset, c->len);
        else if (g)
            memcpy(g + c->dest.offset, copied[i], c->len);
        crash_point();
    }
    b->nr_copies = 0;
    for (; b->nr_sends; b->nr_sends--)
        crash_point();
    return 0;
}

/* --- what must come ----------------------------------------------------------------------------------------------- */

static unsigned flat(uint8_t *to, const struct pkt *p)
{
    unsigned at = 0, nr = 0;

    for (const struct pkt *b = p; b; b = b->next, nr++) {
        CHECK(at + b->len <= FRAME_MAX + PKT_BUF && b->data >= b->buf &&
              b->data + b->len <= b->buf + PKT_BUF);
        memcpy(to + at, b->data, b->len);
        at += b->len;
    }
    CHECK(at == pkt_len(p) && nr == p->nr && nr <= PKT_BUFS);
    return at;
}

static struct want *want_at(struct wants *s, unsigned i)
{
    return &s->w[(s->first + i) % ARRAY_SIZE(s->w)];
}

/* The first n are over. */
static void wants_drop(struct wants *s, unsigned n)
{
    for (; n; n--, s->nr--) {
        free(want_at(s, 0)->frame);
        s->first = (s->first + 1) % ARRAY_SIZE(s->w);
    }
}

static void want_remove(struct wants *s, unsigned i)
{
    struct want w = *want_at(s, i);

    for (; i; i--)
        *want_at(s, i) = *want_at(s, i - 1);
    *want_at(s, 0) = w;
    wants_drop(s, 1);
}

static void wants_lossy(struct wants *s)
{
    for (unsigned i = 0; i < s->nr; i++)
        want_at(s, i)->lossy = true;
}

static struct want *want_add(struct wants *s, const uint8_t *frame, unsigned len)
{
    if (s->nr == ARRAY_SIZE(s->w))
        wants_drop(s, 1);
    struct want *w = want_at(s, s->nr++);
    *w = (struct want){ .frame = malloc(len ? len : 1), .len = len };
    memcpy(w->frame, frame, len);
    return w;
}

/* Equal but for the two bytes of the checksum. */
static bool same(const uint8_t *a, const uint8_t *b, unsigned n, unsigned csum_at)
{
    if (!csum_at || csum_at >= n)
        return !memcmp(a, b, n);
    unsigned behind = csum_at + 2 < n ? csum_at + 2 : n;
    return !memcmp(a, b, csum_at) && !memcmp(a + behind, b + behind, n - behind);
}

/* How much of it is the frame, if that is so long: short ones are padded for the wire. */
static bool is_long(const uint8_t *f, unsigned len, unsigned want, bool padded)
{
    for (; padded && len > want && len <= ETH_MIN && !f[len - 1]; len--)
        ;
    return len == want;
}

static bool is_whole(const struct want *w, const uint8_t *f, unsigned len, bool padded)
{
    return !w->at && is_long(f, len, w->len, padded) && same(w->frame, f, w->len, w->csum_at);
}

/* The length of the segment that it is, 0: of none that may come now. */
static unsigned is_segment(struct want *w, const uint8_t *f, unsigned len, bool padded)
{
    /* Whose it is says the end of the destination's address, in front of TCP. */
    if (!w->gso_size || len <= w->head || memcmp(f, w->frame, 12) ||
        memcmp(f + w->csum_start - 4, w->frame + w->csum_start - 4, 4))
        return 0;
    for (unsigned at = w->at; w->head + at < w->len; at += w->gso_size) {
        unsigned rest = w->len - w->head - at, n = rest < w->gso_size ? rest : w->gso_size;
        if (is_long(f, len, w->head + n, padded) && !memcmp(f + w->head, w->frame + w->head + at, n)) {
            w->at = at + n;
            return w->head + n;
        }
        if (!w->lossy)
            return 0;
    }
    return 0;
}

/* If a frame that may be lost was lost, this is the next one like it, and that never comes. */
static void may_be_next(struct wants *s, unsigned i, const uint8_t *f, unsigned len, bool padded)
{
    while (want_at(s, i)->lossy && ++i < s->nr)
        want_at(s, i)->lossy |= is_whole(want_at(s, i), f, len, padded);
}

/* The checksum is right that was filled in on the way. */
static bool sums_up(const struct want *w, const uint8_t *f, unsigned end)
{
    unsigned type, net_start = frame_payload(f, end, &type), n = end - w->csum_start;
    const uint8_t *ip = f + net_start;
    uint32_t pseudo = n + (w->udp ? 17 : 6);

    pseudo = type == 0x800 ? plain_sum(ip + 12, 8, pseudo) : plain_sum(ip + 8, 32, pseudo);
    return plain_sum(f + w->csum_start, n, pseudo) == 0xffff;
}

/* It has come, and what was before it never will, but on the wire, where frames go while large ones wait for room. gso_size: it is said to be
 * cut further, else 0; padded: short ones are; filled: its checksum is not said to be blank. */
static void came(struct wants *s, const uint8_t *f, unsigned len, unsigned gso_size, bool padded,
                 bool filled)
{
    for (unsigned i = 0; i < s->nr; i++) {
        struct want *w = want_at(s, i);
        bool whole = w->gso_size == gso_size && is_whole(w, f, len, padded);
        unsigned n = whole ? w->csum_end : gso_size ? 0 : is_segment(w, f, len, padded);
        if (whole || n) {
            CHECK(!filled || !w->csum_start || sums_up(w, f, n));
            bool all = whole || w->head + w->at == w->len;
            may_be_next(s, i, f, len, padded);
            if (!padded)
                wants_drop(s, i + all);
            else if (all)
                want_remove(s, i);
            return;
        }
        CHECK(w->lossy);
    }
    CHECK(!"a frame that nobody sent there");
}

/* --- forwarding, watched ------------------------------------------------------------------------------------------- */

static uint8_t now_frame[FRAME_MAX + PKT_BUF], other_frame[FRAME_MAX + PKT_BUF];
static unsigned now_len;
static struct sw_way now_way;
static unsigned now_from;
static bool now_blank;

static bool mac_is(const uint8_t *a, const uint8_t *b) { return !memcmp(a, b, 6); }

static bool in_vlan(unsigned i, unsigned vid)
{
    const struct slot_vif *c = &conf[i];
    bool in = !c->vlan && !c->trunk[0];

    for (unsigned k = 0; k < SLOT_TRUNKS && c->trunk[k]; k++)
        in |= vid && c->trunk[k] == vid;
    return in || (vid && c->vlan == vid);
}

static bool is_own_mac(unsigned i, const uint8_t *m)
{
    return mac_is(m, mac[i]) || (conf[i].other[0][5] && mac_is(m, conf[i].other[0]));
}

/* Whether the port may say that. Addresses of IP are in the configuration whole. */
static bool may_say(unsigned i, const uint8_t *f, unsigned len)
{
    unsigned at = 12, type;

    if (!i || !fixed[i]) {
        for (unsigned k = 1; k <= VIFS; k++)
            if (fixed[k] && front[k].up && conf[k].bridge == conf[i].bridge && mac_is(f + 6, mac[k]))
                return false;
        return !(f[6] & 1);
    }
    if (!is_own_mac(i, f + 6))
        return false;
    for (; (type = (unsigned)f[at] << 8 | f[at + 1]) == 0x8100 || type == 0x88a8 || type == 0x9100;
         at += 4)
        if (at + 6 > len)
            return true;
    f += at + 2;
    len -= at + 2;
    if (type == 0x806)
        return len >= 28 && is_own_mac(i, f + 8);
    if (!conf[i].nr_ips)
        return true;
    if (type == 0x800)
        return len >= 20 && (!memcmp(f + 12, conf[i].ip[0].addr + 12, 4) ||
                             (!memcmp(f + 12, "\0\0\0", 4) && f[9] == 17));
    if (type == 0x86dd)
        return len >= 40 && (!memcmp(f + 8, conf[i].ip[1].addr, 16) || f[8] == 0xfe || !f[8]);
    return true;
}

static void check_way(const uint8_t *f, unsigned from, const struct sw_way *w)
{
    bool tag = now_len >= 18 && f[12] == 0x81 && !f[13];
    unsigned vid = tag ? (unsigned)(f[14] & 15) << 8 | f[15] : 0;

    if (!w->to)
        return;
    if (!vid)
        vid = conf[from].vlan;
    CHECK(may_say(from, f, now_len));
    CHECK(w->vid == vid && w->tagged == tag && in_vlan(from, vid) && !(w->to & port_bit(from)));
    CHECK(tag || vid || !conf[from].trunk[0]);
    CHECK(!(w->to & ~net.sw.up) && !(w->other & ~w->to));
    for (unsigned i = 0; i <= VIFS; i++) {
        bool gets = w->to & port_bit(i);
        CHECK(!gets || (in_vlan(i, vid) && conf[i].bridge == conf[from].bridge));
        /* What is for one that has an address goes nowhere else; nor does he get what is for others. */
        if (i && fixed[i] && front[i].up && conf[i].bridge == conf[from].bridge) {
            CHECK(!mac_is(f, mac[i]) || w->to == port_bit(i));
            CHECK(!gets || f[0] & 1 || conf[i].other[0][5] || mac_is(f, mac[i]));
        }
    }
}

static unsigned csum_of(const struct pkt *p)
{
    return p->flags & (PKT_CSUM_BLANK | PKT_CSUM_VALID) ? p->csum_start + p->csum_offset : 0;
}

static bool was_sent(struct wants *s, unsigned csum_at)
{
    for (unsigned i = 0; i < s->nr; i++) {
        const struct want *w = want_at(s, i);
        if (w->len == now_len && same(w->frame, now_frame, now_len, csum_at)) {
            wants_drop(s, i + !w->lossy);
            return true;
        }
    }
    return false;
}

/* It is what somebody sent, who has not been seen to send it before; of what is to be cut the checksum is begun. Of what was malformed only
 * that it was sent is known: it may be several packets. */
static void check_sent(unsigned from, const struct pkt *p)
{
    EACH_RING(r, from)
    if (was_sent(&ring[r].sent, 0) || was_sent(&ring[r].sent, csum_of(p)))
        return;
    EACH_RING(r, from)
    {
        struct wants *s = &ring[r].sent;
        unsigned any = 0;
        while (any < s->nr && !want_at(s, any)->lossy)
            any++;
        if (any < s->nr) {
            wants_drop(s, any);
            return;
        }
    }
    CHECK(!"a frame that nobody sent");
}

static struct sw_way route_watched(const struct pkt *p, struct sw *sw, unsigned from,
                                   const uint8_t *frame, unsigned len, uint64_t now)
{
    struct sw_way w = switch_route(sw, from, frame, len, now);

    now_len = flat(now_frame, p);
    now_from = from;
    now_blank = p->flags & PKT_CSUM_BLANK;
    now_way = w;
    if (from && own(from))
        check_sent(from, p);
    check_way(now_frame, from, &w);
    return w;
}

/* What a port sees of the frame that is being forwarded; its length. */
static unsigned seen_by(unsigned i, uint8_t *f)
{
    const struct slot_vif *c = &conf[i];
    unsigned vid = now_way.vid, len = now_len;
    bool all = !c->vlan && !c->trunk[0], tag = now_way.tagged,
         wants_tag = all ? tag || vid : vid && c->vlan != vid;

    memcpy(f, now_frame, len);
    if (tag && !wants_tag) {
        memmove(f + 12, f + 16, len - 16);
        return len - 4;
    }
    if (!tag && wants_tag) {
        memmove(f + 16, f + 12, len - 12);
        memcpy(f + 12, (uint8_t[]){ 0x81, 0, (uint8_t)(vid >> 8), (uint8_t)vid }, 4);
        return len + 4;
    }
    if (tag && vid) {
        f[14] = (uint8_t)((f[14] & 0xf0) | vid >> 8);
        f[15] = (uint8_t)vid;
    }
    return len;
}

static void check_offered(unsigned i, const struct pkt *p)
{
    static uint8_t is[FRAME_MAX + PKT_BUF];
    unsigned len = flat(is, p), should = seen_by(i, other_frame);

    CHECK(now_way.to & port_bit(i) && p->from == now_from);
    CHECK(len == should && same(is, other_frame, len, csum_of(p)));
}

static struct want *want_pkt(struct wants *s, const struct pkt *p)
{
    static uint8_t f[FRAME_MAX + PKT_BUF];
    struct want *w = want_add(s, f, flat(f, p));

    w->csum_at = csum_of(p);
    if (now_blank) {
        w->csum_start = p->csum_start;
        w->csum_end = p->csum_end;
        w->udp = p->csum_offset == 6;
    }
    if (p->gso) {
        w->gso_size = p->gso_size;
        w->head = p->hdr_len;
    }
    return w;
}

/* As vif.c has it. */
void vif_offer(struct vif *v, struct pkt *p)
{
    unsigned i = (unsigned)(v - vifs), q = nb_vif_queue(&v->nb, p);

    check_offered(i, p);
    CHECK(q < front[i].nr_queues);
    if ((p->flags & PKT_CSUM_BLANK) && !p->gso && !nb_takes_blank(&v->nb, p))
        pkt_csum_fill(p);
    CHECK(q == nb_vif_queue(&v->nb, p)); /* that it was filled in changes nothing */
    if (nb_queue_rx(&v->nb.q[q], p) && own(i))
        want_pkt(&ring[i * KEEP_QUEUES + q].wanted, p)->lossy = !(front[i].features & KEEP_F_SG);
}

static void send_watched(struct nic *n, struct pkt *p)
{
    if (n) {
        check_offered(SW_UPLINK, p);
        want_pkt(&wire, p)->lossy = true;
    }
    nic_send(n, p);
}

#define switch_route(sw, from, frame, len, now) route_watched(p, sw, from, frame, len, now)
#define nic_send                                send_watched
#include "../../drivers-dom/net/round.c"
#undef switch_route
#undef nic_send

/* --- frames ------------------------------------------------------------------------------------------------------- */

static uint8_t frame[FRAME_MAX + PKT_BUF];
struct made {
    unsigned len, gso, gso_size, csum_start;
    bool blank, cut_off;
};

static struct made make_frame(unsigned from)
{
    unsigned what = rnd(16), d = rnd(16);
    struct shape s = { .v6 = what & 1,
                       .tags = rnd(4) ? 0 : 1 + rnd(2),
                       .gso_size = rnd(4) ? 1448 : GSO_MIN + rnd(9000),
                       .flags = rnd(256),
                       .id = rnd(65536) };
    struct made m = { 0 };

    if (!rnd(8)) {
        s.ip_options = (s.v6 ? 8 : 4) * rnd(5);
        s.tcp_options = 4 * rnd(11);
    }
    bool large = what < 6;
    s.payload = large ? 1 + rnd(rnd(3) ? 9000 : 65000) : rnd(rnd(4) ? 100 : 1500);
    if (s.payload + head_of(&s) > 65535)
        s.payload = 65535 - head_of(&s);
    m.len = make(frame, &s, 0, s.payload, s.flags, s.id);
    m.gso = large && rnd(8) ? s.v6 ? PKT_GSO_TCP6 : PKT_GSO_TCP4 : 0;
    m.gso_size = s.gso_size;
    m.blank = m.gso ? rnd(32) != 1 : rnd(2);
    m.csum_start = tcp_at(&s);
    memcpy(frame, mac[d % 8], 6);
    memcpy(frame + 6, rnd(10) != 1 ? mac[from ? from : rnd(2) * 5] : mac[rnd(8)], 6);
    for (unsigned i = 0; i < s.tags; i++)
        put16(frame + 14 + 4 * i, (uint16_t[]){ 10, 20, 30, 0, 0xa00a }[rnd(5)]);
    uint8_t *ip = frame + net_at(&s);
    if (s.v6)
        memcpy(ip + 8, conf[2].ip[1].addr, 16);
    else
        memcpy(ip + 12, conf[2].ip[0].addr + 12, 4);
    if (what == 14) { /* ARP, or a neighbour's word */
        put16(ip - 2, 0x806);
        memcpy(ip + 8, mac[rnd(4) != 1 ? from : rnd(6)], 6);
    } else if (what == 15 && s.v6) {
        ip[6] = 58;
        ip[40] = (uint8_t)(133 + rnd(5));
    }
    sequence++; /* in the destination's address, and in what is carried */
    memcpy(ip + (s.v6 ? 36 : 16), &sequence, 4);
    if (m.len >= head_of(&s) + 4)
        memcpy(frame + head_of(&s), &sequence, 4);
    if (!rnd(6))
        for (unsigned n = 1 + rnd(3); n; n--)
            frame[rnd(m.len < 100 ? m.len : 100)] = (uint8_t)rnd(256);
    m.cut_off = !rnd(40);
    if (m.cut_off)
        m.len = rnd(m.len + 1);
    return m;
}

/* --- front-ends ---------------------------------------------------------------------------------------------------- */

static void post_slot(unsigned ri, const void *what, size_t n)
{
    struct ring *f = &ring[ri];
    unsigned s = f->tx_prod++ & MASK;

    memset(&f->tx_seen[s], 0, sizeof(f->tx_seen[s]));
    memcpy(&f->tx_seen[s], what, n);
    TXS(ri)->ring[s] = f->tx_seen[s];
}

/* What is there from old to prod is told, if the back-end asked for that. */
static void notify(unsigned ri, uint32_t req_event, uint32_t old, uint32_t prod)
{
    ring[ri].event |= prod - req_event < prod - old;
}

static void tx_push(unsigned ri, uint32_t prod)
{
    uint32_t old = TXS(ri)->req_prod;

    TXS(ri)->req_prod = prod;
    notify(ri, TXS(ri)->req_event, old, prod);
}

static unsigned tx_space(unsigned ri) { return KEEP_RING - (ring[ri].tx_prod - ring[ri].tx_cons); }

/* Where a slot's bytes lie. */
static void fill_slot(unsigned ri, struct netif_tx_request *r, const uint8_t *from, unsigned n)
{
    unsigned slot = ring[ri].tx_prod & MASK;

    r->offset = (uint16_t)(n < PAGE_SIZE ? rnd((uint32_t)PAGE_SIZE - n) : 0);
    r->gref = ref_of(ri, TX, slot);
    r->id = (uint16_t)(rnd(2) ? slot : rnd(65536));
    memcpy(page[ri][TX][slot] + r->offset, from, n);
}

static void lie(unsigned ri, struct netif_tx_request *r)
{
    switch (rnd(6)) {
    case 0: r->size = (uint16_t)rnd(65536); break;
    case 1: r->offset = (uint16_t)rnd(65536); break;
    case 2: r->gref = rnd(2) ? ref_of(rnd(RINGS), rnd(2), rnd(256)) : rnd(1u << 30); break;
    case 3: r->flags ^= (uint16_t)(NETTXF_csum_blank | NETTXF_data_validated); break;
    case 4: r->flags ^= (uint16_t)NETTXF_more_data; break;
    case 5: r->flags ^= (uint16_t)NETTXF_extra_info; break;
    }
}

static void send_frame(unsigned ri)
{
    struct ring *f = &ring[ri];
    struct made m = make_frame(ri / KEEP_QUEUES);
    unsigned nr_extras = m.gso ? 1 : 0, most = !rnd(20) ? 30 : NB_MAX_SLOTS, part[40], n = 0, at = 0;
    bool lies = !rnd(8);

    if (lies && !rnd(3))
        nr_extras = rnd(4);
    while (at < m.len && n < most) {
        unsigned left_over = m.len - at, k = rnd(3) ? 4096 : 1 + rnd(4096);
        if (left_over > (most - n - 1) * 4096u && k < left_over - (most - n - 1) * 4096u)
            k = 4096;
        part[n] = k < left_over ? k : left_over;
        at += part[n++];
    }
    if (!n || at < m.len || tx_space(ri) < n + nr_extras)
        return;
    struct want *w = want_add(&f->sent, frame, m.len);
    w->lossy = lies || f->lied || m.cut_off;
    f->lied = lies;
    unsigned off = 0;
    for (unsigned k = 0; k < n; k++) {
        struct netif_tx_request r = { .size = (uint16_t)(k ? part[k] : m.len) };
        fill_slot(ri, &r, frame + off, part[k]);
        off += part[k];
        r.flags = k + 1 < n ? NETTXF_more_data : 0;
        if (!k && m.blank)
            r.flags |= NETTXF_csum_blank | NETTXF_data_validated;
        if (!k && nr_extras)
            r.flags |= NETTXF_extra_info;
        if (lies && !rnd(3))
            lie(ri, &r);
        post_slot(ri, &r, sizeof(r));
        for (unsigned e = 0; !k && e < nr_extras; e++) {
            struct netif_extra_info x = { .type = XEN_NETIF_EXTRA_TYPE_GSO };
            x.u.gso.size = (uint16_t)m.gso_size;
            x.u.gso.type = m.gso == PKT_GSO_TCP6 ? XEN_NETIF_GSO_TYPE_TCPV6
                                                 : XEN_NETIF_GSO_TYPE_TCPV4;
            x.flags = e + 1 < nr_extras ? XEN_NETIF_EXTRA_FLAG_MORE : 0;
            if (lies && !rnd(2))
                ((uint8_t *)&x)[rnd(sizeof(x))] = (uint8_t)rnd(256);
            post_slot(ri, &x, sizeof(x));
        }
    }
    if (lies) /* what is behind or before it may now be part of it */
        wants_lossy(&f->sent);
    uint32_t held_back = rnd(8) ? 0 : rnd(n);
    if ((int32_t)(f->tx_prod - held_back - TXS(ri)->req_prod) > 0)
        tx_push(ri, f->tx_prod - held_back);
}

static void post_buffers(unsigned ri, unsigned n)
{
    struct ring *f = &ring[ri];

    for (; n && f->rx_prod - f->rx_cons < KEEP_RING; n--) {
        unsigned s = f->rx_prod++ & MASK;
        f->rx_bad[s] = !rnd(64);
        f->rx_id[s] = (uint16_t)(rnd(2) ? s : rnd(65536));
        RXS(ri)->ring[s].req = (struct netif_rx_request){ f->rx_id[s], 0,
                                                          f->rx_bad[s] ? rnd(1u << 16)
                                                                       : ref_of(ri, RX, s) };
    }
    uint32_t old = RXS(ri)->req_prod;
    RXS(ri)->req_prod = f->rx_prod;
    notify(ri, RXS(ri)->req_event, old, f->rx_prod);
}

static void look_tx(unsigned ri)
{
    struct ring *f = &ring[ri];
    uint32_t end = TXS(ri)->rsp_prod, consumed = (uint32_t)KEEP(ri)->tx.req_cons;

    CHECK(end - f->tx_cons <= TXS(ri)->req_prod - f->tx_cons);
    for (; f->tx_cons != end; f->tx_cons++) {
        unsigned s = f->tx_cons & MASK;
        struct netif_tx_response r = TXS(ri)->ring[s].rsp;
        uint16_t id = f->tx_seen[s].req.id;
        CHECK(r.status == NETIF_RSP_NULL
                  ? r.id == 0
                  : r.id == id && (r.status == NETIF_RSP_OKAY || r.status == NETIF_RSP_ERROR ||
                                   r.status == NETIF_RSP_DROPPED));
        f->tx_seen[s].rsp = r;
    }
    for (uint32_t k = f->tx_prod - KEEP_RING; k != f->tx_prod;
         k++) /* what is answered, or waits, is as it was */
        if ((int32_t)(k - end) < 0)
            CHECK(!memcmp(&TXS(ri)->ring[k & MASK].rsp, &f->tx_seen[k & MASK].rsp, 4));
        else if ((int32_t)(k - consumed) >= 0)
            CHECK(!memcmp(&TXS(ri)->ring[k & MASK], &f->tx_seen[k & MASK], sizeof(f->tx_seen[0])));
}

static void look_rx(unsigned ri)
{
    static uint8_t got[20 * PAGE_SIZE];
    struct ring *f = &ring[ri];
    uint32_t end = RXS(ri)->rsp_prod;

    CHECK(end - f->rx_cons <= RXS(ri)->req_prod - f->rx_cons);
    while (f->rx_cons != end) {
        unsigned len = 0, gso = 0, flags = 0, slots = 0;
        bool broken = false, more = true;
        for (; more; slots++) {
            CHECK(f->rx_cons != end && slots < NB_MAX_SLOTS);
            unsigned s = f->rx_cons++ & MASK;
            struct netif_rx_response r = RXS(ri)->ring[s].rsp;
            CHECK(r.id == f->rx_id[s] && !r.offset && r.status && r.status <= 4096);
            CHECK(r.status < 0 || !f->rx_bad[s]);
            broken |= r.status < 0;
            if (r.status > 0)
                memcpy(got + len, page[ri][RX][s], (unsigned)r.status);
            len += r.status > 0 ? (unsigned)r.status : 0;
            more = r.flags & NETRXF_more_data;
            if (r.flags & NETRXF_extra_info) {
                CHECK(!slots && f->rx_cons != end);
                struct netif_extra_info x;
                memcpy(&x, &RXS(ri)->ring[f->rx_cons++ & MASK], sizeof(x));
                CHECK(x.type == XEN_NETIF_EXTRA_TYPE_GSO && !x.flags && !x.u.gso.features);
                CHECK(front[ri / KEEP_QUEUES].features &
                      (x.u.gso.type == XEN_NETIF_GSO_TYPE_TCPV6 ? KEEP_F_GSO6 : KEEP_F_GSO4));
                gso = x.u.gso.size;
            }
            flags |= r.flags;
        }
        CHECK(slots == 1 || front[ri / KEEP_QUEUES].features & KEEP_F_SG);
        CHECK(!(flags & NETRXF_csum_blank) ||
              front[ri / KEEP_QUEUES].features & (KEEP_F_CSUM4 | KEEP_F_CSUM6));
        CHECK(f->wanted.nr);
        if (broken) /* whichever it was */
            wants_lossy(&f->wanted);
        else
            came(&f->wanted, got, len, gso, false, !(flags & NETRXF_csum_blank));
    }
}

static void look(unsigned i)
{
    if (!own(i))
        return;
    EACH_RING(r, i)
    {
        look_tx(r);
        look_rx(r);
    }
}

static unsigned some_ring(unsigned i) { return i * KEEP_QUEUES + rnd(front[i].nr_queues); }

static void scribble(unsigned i)
{
    unsigned at = some_ring(i);

    front[i].honest = false;
    switch (rnd(4)) {
    case 0: TXS(at)->req_prod += rnd(4) ? rnd(300) : rnd(1u << 30) * 4; break;
    case 1: RXS(at)->req_prod += rnd(4) ? rnd(300) : rnd(1u << 30) * 4; break;
    case 2: (rnd(2) ? &TXS(at)->rsp_prod : &RXS(at)->rsp_prod)[0] += rnd(600); break;
    case 3:
        for (unsigned k = 0; k < 64; k++)
            (rnd(2) ? tx_page : rx_page)[at][rnd(PAGE_SIZE)] = (uint8_t)rnd(256);
    }
}

static void meddle(void)
{
    unsigned i = 1 + rnd(VIFS);

    if (!front[i].up)
        return;
    if (!front[i].honest)
        scribble(i);
    else if (rnd(2))
        send_frame(some_ring(i));
    else
        post_buffers(some_ring(i), 1 + rnd(40));
    look(i);
    meddles_in = rnd(4) ? -1 : (long)rnd(20);
}

/* --- lives -------------------------------------------------------------------------------------------------------- */

static void nb_for(unsigned i)
{
    struct nb_vif *v = &vifs[i].nb;

    *v = (struct nb_vif){ .pool = &net.pool,
                          .items = &net.items,
                          .dom = (domid_t)i,
                          .gen = i,
                          .nr_queues = front[i].nr_queues };
    for (unsigned q = 0; q < KEEP_QUEUES; q++) {
        unsigned r = i * KEEP_QUEUES + q;
        v->q[q] = (struct nb){ .vif = v, .txs = TXS(r), .rxs = RXS(r), .keep = KEEP(r) };
        v->q[q].tx_port = v->q[q].rx_port = r;
        vifs[i].keep[q] = KEEP(r);
    }
}

static void port_is_up(unsigned i)
{
    vifs[i].connected = front[i].up = true;
    switch_port_up(&net.sw, i, fixed[i] ? mac[i] : NULL, &conf[i]);
}

static void connect(unsigned i)
{
    struct keep_vif_head h[KEEP_QUEUES];

    for (unsigned q = 0; q < KEEP_QUEUES; q++)
        h[q] = (struct keep_vif_head){ .domid = (uint16_t)i,
                                       .features = front[i].features,
                                       .queue = (uint8_t)q,
                                       .nr_queues = (uint8_t)front[i].nr_queues };
    nb_for(i);
    CHECK(nb_vif_attach(&vifs[i].nb, h) == 0);
    if (!rnd(4))
        rate_set(&vifs[i].nb.rate, 1000000, 50000);
    port_is_up(i);
}

static void disconnect(unsigned i)
{
    front[i].up = false;
    vifs[i].connected = false;
    switch_port_down(&net.sw, i);
    keep_queues_close(vifs[i].keep, KEEP_QUEUES);
    nb_vif_detach(&vifs[i].nb);
}

static void adopt(unsigned i)
{
    struct front *f = &front[i];
    const char *why = NULL;

    EACH_RING(r, i)
    wants_lossy(&ring[r].wanted);
    nb_for(i);
    enum keep_state state = keep_queues_state(vifs[i].keep, KEEP_QUEUES);
    if (state != KEEP_VALID) {
        CHECK(state == KEEP_EMPTY && !f->up);
        keep_queues_close(vifs[i].keep, KEEP_QUEUES);
        return;
    }
    CHECK(KEEP(i * KEEP_QUEUES)->head.nr_queues == f->nr_queues);
    if (!nb_vif_adopt(&vifs[i].nb, &net.batch, &why)) {
        port_is_up(i);
        return;
    }
    CHECK(!f->honest && why);
    f->up = false;
    keep_queues_close(vifs[i].keep, KEEP_QUEUES);
}

static void start(void)
{
    static const struct bh_pci_info dev;

    memset(&net, 0, sizeof(net));
    memset(vifs, 0, sizeof(vifs[0]) * (VIFS + 1));
    memset(&nic, 0, sizeof(nic));
    pkt_pool_init(&net.pool, pkts, pool_mem, buffers);
    armed = may_die = true;
    if (with_nic) {
        CHECK(!nic_start(&nic.nic, &virtio_net, &dev, &net.pool, NULL, NULL));
        net.uplink[0] = &nic.nic;
        switch_port_up(&net.sw, SW_UPLINK, NULL, NULL);
    }
    for (unsigned i = 1; i <= VIFS; i++)
        adopt(i);
    batch_flush(&net.batch);
    armed = may_die = false;
}

static void rise(void)
{
    countdown = rnd(8) == 1 ? (long)rnd(200) : -1;
    armed = may_die = false;
    start();
}

/* What it does, or a death and another life instead. */
static void does(void (*what)(unsigned), unsigned arg)
{
    if (setjmp(dead)) {
        rise();
        return;
    }
    if (setjmp(crash_env)) {
        rise();
        return;
    }
    armed = may_die = true;
    what(arg);
    armed = may_die = false;
}

static void pool_check(void)
{
    unsigned n = 0;

    for (const struct pkt *p = net.pool.free; p; p = p->next)
        CHECK(++n <= net.pool.nr_free);
    CHECK(n == net.pool.nr_free);
}

bool event_unheard(void)
{
    bool any = false;

    for (unsigned r = 0; r < RINGS; r++)
        any |= ring[r].event;
    return any;
}

static void events(void)
{
    for (unsigned i = 1; i <= VIFS; i++)
        EACH_RING(r, i)
        {
            if (ring[r].event && front[i].up)
                nb_wake(&vifs[i].nb.q[r % KEEP_QUEUES]);
            ring[r].event = false;
        }
}

static void one_round(unsigned arms)
{
    if (rnd(4))
        events();
    (void)net_round(clock_ns);
    if (arms)
        (void)net_arm();
    (void)net_look_again();
}

static void ring_begins(unsigned r)
{
    uint32_t tx = rnd(2) ? 0 - rnd(400) : rnd(1000), rx = rnd(2) ? 0 - rnd(400) : rnd(1000);
    struct ring *f = &ring[r];

    memset(tx_page[r], 0, PAGE_SIZE);
    memset(rx_page[r], 0, PAGE_SIZE);
    f->tx_prod = f->tx_cons = TXS(r)->req_prod = TXS(r)->rsp_prod = tx;
    f->rx_prod = f->rx_cons = RXS(r)->req_prod = RXS(r)->rsp_prod = rx;
}

static void rings_over(unsigned i)
{
    EACH_RING(r, i)
    {
        wants_drop(&ring[r].sent, ring[r].sent.nr);
        wants_drop(&ring[r].wanted, ring[r].wanted.nr);
        memset(&ring[r], 0, sizeof(ring[r]));
    }
}

static void begin(unsigned i)
{
    struct front *f = &front[i];

    rings_over(i);
    f->nr_queues = rnd(3) ? 1 : 1 + rnd(KEEP_QUEUES);
    f->honest = true;
    f->features = rnd(6) != 1 ? KEEP_F_SG | KEEP_F_CSUM4 | KEEP_F_CSUM6 | KEEP_F_GSO4 | KEEP_F_GSO6
                              : rnd(128) & ~(KEEP_F_MAC | KEEP_F_SPLIT);
    EACH_RING(r, i)
    ring_begins(r);
    does(connect, i);
}

/* --- the NIC ------------------------------------------------------------------------------------------------------ */

/* It has a frame for us, in as many buffers as it takes, or says so. */
static void arrives(void)
{
    static uint8_t bytes[12 + FRAME_MAX + PKT_BUF];
    struct queue *q = &queue[0];
    struct made m = make_frame(0);
    bool lies = !rnd(12);
    unsigned room = rnd(8) ? PKT_BUF - PKT_HEAD + 12 : 100 + rnd(3000), total = 12 + m.len,
             parts = (total + room - 1) / room;
    struct virtio_net_hdr h = { .flags = m.blank ? VNET_HDR_NEEDS_CSUM : (uint8_t)(rnd(2) * 2),
                                .gso_type = m.gso == PKT_GSO_TCP6   ? VNET_GSO_TCP6
                                            : m.gso == PKT_GSO_TCP4 ? VNET_GSO_TCP4
                                                                    : 0,
                                .gso_size = (uint16_t)m.gso_size,
                                .csum_start = (uint16_t)m.csum_start,
                                .csum_offset = 16,
                                .num_buffers = (uint16_t)parts };

    if ((uint16_t)(nic.rx.r.avail_idx - q->used.idx) < parts)
        return;
    if (lies)
        for (unsigned k = rnd(3); k; k--)
            ((uint8_t *)&h)[rnd(rnd(4) ? 10 : 12)] = (uint8_t)rnd(256);
    memcpy(bytes, &h, 12);
    memcpy(bytes + 12, frame, m.len);
    for (unsigned k = 0; k < parts; k++, q->used.idx++) {
        uint16_t id = q->avail.ring[q->used.idx % VQ_SIZE];
        unsigned n = total - k * room < room ? total - k * room : room;
        memcpy((void *)q->desc[id].addr, bytes + k * room, n);
        if (lies && !rnd(8))
            n = rnd(6000);
        if (lies && !rnd(16))
            id = (uint16_t)rnd(300);
        q->used.ring[q->used.idx % VQ_SIZE] = (struct vring_used_elem){ id, n };
    }
}

/* It sends the oldest frame. */
static void goes_out(void)
{
    static uint8_t f[FRAME_MAX + PKT_BUF];
    struct queue *q = &queue[1];
    uint16_t id = q->avail.ring[q->used.idx % VQ_SIZE];
    const struct vring_desc *d = &q->desc[id];
    const struct virtio_net_hdr *h = (const void *)d->addr;
    unsigned len = 0;

    for (unsigned skip = 12;; skip = 0, d = &q->desc[d->next]) {
        CHECK(d->len > skip && len + d->len <= sizeof(f));
        memcpy(f + len, (uint8_t *)d->addr + skip, d->len - skip);
        len += d->len - skip;
        if (!(d->flags & VRING_DESC_NEXT))
            break;
    }
    CHECK(h->gso_type ? h->gso_size >= GSO_MIN && h->hdr_len < len : len <= WIRE_MAX);
    came(&wire, f, len, h->gso_type ? h->gso_size : 0, true, !(h->flags & VNET_HDR_NEEDS_CSUM));
    /* A lie about one that it still has would be found out by nobody, and what it sends then is no longer that frame. */
    uint32_t other = rnd(300);
    bool lies = rnd(2000) == 1 && (other >= VQ_SIZE || !nic.tx.pkt[other]);
    q->used.ring[q->used.idx % VQ_SIZE] = (struct vring_used_elem){ lies ? other : id, 0 };
    q->used.idx++;
}

static void nic_step(unsigned most)
{
    if (!with_nic)
        return;
    for (; most && queue[1].used.idx != nic.tx.r.avail_idx; most--)
        goes_out();
}

/* --- a run -------------------------------------------------------------------------------------------------------- */

static void configure(void)
{
    static const struct slot_vif vlan[] = {
        { .vlan = 10 }, { .vlan = 20 }, { .trunk = { 10, 20 } }, { .vlan = 30, .trunk = { 10, 20 } }
    };

    memset(conf, 0, sizeof(conf));
    memset(fixed, 0, sizeof(fixed));
    for (unsigned i = 1; i <= VIFS; i++) {
        if (rnd(2))
            conf[i] = vlan[rnd(ARRAY_SIZE(vlan))];
        fixed[i] = rnd(4) != 1;
        if (fixed[i] && !rnd(4))
            memcpy(conf[i].other[0], mac[4], 6);
        conf[i].bridge = !rnd(4);
    }
    conf[2].nr_ips = rnd(2) ? 2 : 0;
    conf[2].ip[0] = (struct slot_ip){ { [10] = 0xff, 0xff, 10, 0, 0, 5 }, 128 };
    conf[2].ip[1] = (struct slot_ip){ { 0x20, 1, 0xd, 0xb8, [15] = 7 }, 128 };
    with_nic = rnd(5) != 1;
    offered = rnd(3) ? ~0ull : (uint64_t)rnd(1u << 17) | 1;
    buffers = rnd(2) ? PKT_NR : 330 + rnd(rnd(2) ? 40 : 690); /* the NIC holds 256 of them */
}

static void step(void)
{
    unsigned i = 1 + rnd(VIFS), what = rnd(32);

    if (rnd(12) == 1)
        meddles_in = (long)rnd(200);
    if (rnd(100) == 1)
        countdown = (long)rnd(400);
    if (!front[i].up || rnd(vifs[i].nb.broken ? 4 : 200) == 1) {
        if (front[i].up)
            does(disconnect, i);
        if (!front[i].up)
            begin(i);
        return;
    }
    if (what < 12)
        send_frame(some_ring(i));
    else if (what < 17)
        post_buffers(some_ring(i), 1 + rnd(40));
    else if (what < 20 && with_nic)
        arrives();
    else if (what < 22)
        nic_step(1 + rnd(20));
    else if (what == 22 && (!front[i].honest || !rnd(8)))
        scribble(i);
    else if (what < 26)
        look(i);
    else
        does(one_round, rnd(2));
    clock_ns += rnd(4) ? rnd(10) * 100000 : rnd(100) * NS_PER_MS;
}

/* The end of whatever is half there. */
static void send_ends(unsigned r)
{
    for (unsigned k = 0; k < 6 && tx_space(r); k++) {
        struct netif_tx_request q = { .size = 60 };
        fill_slot(r, &q, frame, 60);
        want_add(&ring[r].sent, frame, 60)->lossy = true;
        post_slot(r, &q, sizeof(q));
        tx_push(r, ring[r].tx_prod);
    }
}

static void last_round(unsigned i, bool ends)
{
    if (!own(i)) {
        if (front[i].up)
            does(disconnect, i);
        return;
    }
    look(i);
    EACH_RING(r, i)
    {
        post_buffers(r, KEEP_RING);
        if (ends)
            send_ends(r);
    }
}

/* Packets that are cut may wait a few rounds each for the one before. */
static bool some_wait(void)
{
    bool any = false;

    for (unsigned i = 1; i <= VIFS; i++) {
        EACH_RING(r, i)
        any |= own(i) && !vifs[i].nb.broken && ring[r].tx_cons != ring[r].tx_prod;
    }
    return any;
}

/* Whoever has kept the rules is served to the end. */
static void finish(void)
{
    countdown = meddles_in = -1;
    for (unsigned i = 1; i <= VIFS; i++) {
        EACH_RING(r, i)
        if (own(i))
            tx_push(r, ring[r].tx_prod);
    }
    for (unsigned n = 0; n < 40 || (n < 4 * KEEP_RING && some_wait()); n++) {
        for (unsigned i = 1; i <= VIFS; i++)
            last_round(i, n == 30);
        nic_step(VQ_SIZE);
        clock_ns += NS_PER_S;
        does(one_round, 1);
    }
    for (unsigned i = 1; i <= VIFS; i++) {
        bool stuck = false;
        if (!own(i))
            continue;
        look(i);
        EACH_RING(r, i)
        {
            stuck |= TXS(r)->req_prod - TXS(r)->rsp_prod == KEEP_RING;
            CHECK(vifs[i].nb.broken || ring[r].tx_cons == ring[r].tx_prod);
        }
        CHECK(!vifs[i].nb.broken || stuck);
        does(disconnect, i);
    }
    for (unsigned n = 0; n < 100; n++) {
        nic_step(VQ_SIZE);
        nic_notify(net.uplink[0]);
    }
    pool_check();
    unsigned out = with_nic ? VQ_SIZE + (nic.rx_frame ? nic.rx_frame->nr : 0) : 0;
    CHECK(net.pool.nr_free + out == buffers);
    CHECK(!nic_waits(net.uplink[0]));
    CHECK(!with_nic || (!nic.nic.tx_out && nic.tx.nr_free == VQ_SIZE));
}

void fuzz_net(unsigned long long with_seed, unsigned long steps)
{
    draw_from(with_seed);
    clock_ns = NS_PER_S;
    countdown = meddles_in = -1;
    sequence = 0;
    memset(keep_page, 0, sizeof(keep_page));
    configure();
    start();
    for (unsigned i = 1; i <= VIFS; i++)
        begin(i);
    for (unsigned long n = 0; n < steps && (!input || input_left); n++) {
        step();
        if (n % 64 == 0)
            pool_check();
    }
    finish();
    for (unsigned i = 1; i <= VIFS; i++) {
        front[i].up = false;
        rings_over(i);
    }
    wants_drop(&wire, wire.nr);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    input = data;
    input_left = n;
    fuzz_net(0, n);
    input = NULL;
    return 0;
}
