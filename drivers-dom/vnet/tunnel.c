/* SPDX-License-Identifier: MIT */
/*
 * The tunnel between the switch and lwIP: see tunnel.h.
 *
 * Each round takes what the front-end has, by way of lwIP into a short queue, and goes on with that. What leaves is copied once, into the
 * front-end's page; a frame counts as out when the back-end gave that back, so that a guest waits in its ring while the outside takes nothing.
 *
 * Before the front-end is connected and has its address, what goes to the wire is dropped; after a while without, there is no link. When the interface was plugged
 * anew, this life ends: the next one opens what there is then.
 */
#include "tunnel.h"
#include <errno.h>
#include <lwip/igmp.h>
#include <lwip/timeouts.h>
#include <lwip/udp.h>
#include <lwip_vif.h>
#include <loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <store_keys.h>
#include <string.h>

#define SLOTS    (NETFRONT_SLOTS - 8)             /* the rest is for ARP and its kind */
#define QUEUE    64u                              /* power of two */
#define MTU_MOST (PKT_BUF - PKT_HEAD - WIRE_HEAD) /* a frame of it is in one buffer */
#define AGAIN_NS (100 * NS_PER_MS)
#define SAY_NS   NS_PER_S
#define LINK_NS  (3 * NS_PER_S) /* it takes so long at most, unless something is wrong */

static struct tunnel {
    struct nic nic; /* first */
    struct vxlan v;
    struct lwip_vif vif;
    bool begun, up, watching, six; /* six: outside is IPv6 */
    bool look;                     /* at our interfaces */
    uint64_t since;
    struct udp_pcb *in, *out;
    struct pkt *come[QUEUE];
    unsigned first, nr;
    struct {
        struct pkt *p;
        uint32_t until; /* it is out when the back-end has answered up to there */
    } leaving[SLOTS];
    unsigned leaving_first, leaving_nr;
    uint64_t said, say_ns;
} t;

/* What the front-end has, both ways: frames to be taken, pages that were given back. */
static void reclaim(struct nic *n)
{
    netfront_poll(&t.vif.front);
    while (t.leaving_nr &&
           (int32_t)(t.vif.front.tx.rsp_cons - t.leaving[t.leaving_first].until) >= 0) {
        struct pkt *p = t.leaving[t.leaving_first].p;
        t.leaving_first = (t.leaving_first + 1) % SLOTS;
        t.leaving_nr--;
        nic_sent(n, p);
    }
}

static unsigned over(void) { return t.six ? VXLAN_OVER6 : VXLAN_OVER; }

static struct vxlan_end end_of(const ip_addr_t *a)
{
    struct vxlan_end e;

    if (IP_IS_V4(a))
        return vxlan_end4(ip_2_ip4(a)->addr);
    memcpy(e.a, ip_2_ip6(a)->addr, sizeof(e.a));
    return e;
}

static void address_of(struct vxlan_end e, ip_addr_t *a)
{
    memset(a, 0, sizeof(*a));
    if (vxlan_is4(e)) {
        ip_addr_set_ip4_u32_val(*a, (uint32_t)(e.a[1] >> 32));
        return;
    }
    IP_SET_TYPE(a, IPADDR_TYPE_V6);
    memcpy(ip_2_ip6(a)->addr, e.a, sizeof(e.a));
}

/* As people write it. */
static const char *text_of(struct vxlan_end e)
{
    static char text[IPADDR_STRLEN_MAX];
    ip_addr_t a;

    address_of(e, &a);
    if (!ipaddr_ntoa_r(&a, text, sizeof(text)))
        text[0] = '\0';
    for (char *c = text; *c; c++)
        if (*c >= 'A' && *c <= 'F')
            *c |= 32;
    return text;
}

/* --- in --------------------------------------------------------------------------------------------------- */

static void take(const struct pbuf *d)
{
    unsigned len = d->tot_len - VXLAN_HLEN;
    struct pkt *p = NULL;

    if (len > nic_frame_max(&t.nic)) {
        t.nic.rx_length++;
        return;
    }
    if (t.nr < QUEUE && t.nic.pool->nr_free >= PKT_BUFS)
        p = pkt_alloc(t.nic.pool);
    if (!p) {
        t.nic.rx_dropped++;
        return;
    }
    p->len = pbuf_copy_partial(d, p->data, (uint16_t)len, VXLAN_HLEN);
    t.come[(t.first + t.nr++) % QUEUE] = p;
}

static void on_datagram(void *arg, struct udp_pcb *pcb, struct pbuf *d, const ip_addr_t *from,
                        uint16_t port)
{
    uint8_t head[VXLAN_HLEN + ETH_HLEN];

    (void)arg, (void)pcb, (void)port;
    (void)pbuf_copy_partial(d, head, sizeof(head), 0);
    if (vxlan_take(&t.v, end_of(from), head, d->tot_len, now_ns()))
        take(d);
    pbuf_free(d);
}

static unsigned receive(struct nic *n, unsigned budget, nic_deliver *deliver, void *arg)
{
    unsigned done = 0;

    reclaim(n);
    for (; t.nr && done < budget; done++) {
        struct pkt *p = t.come[t.first];
        t.first = (t.first + 1) % QUEUE;
        t.nr--;
        n->rx_packets++;
        deliver(arg, p);
        pkt_put(n->pool, p);
    }
    return done;
}

/* --- out -------------------------------------------------------------------------------------------------- */

/* The frame stays where it is: each buffer is referred to behind a header of its own. */
static struct pbuf *datagram(const struct pkt *p)
{
    struct pbuf *d = pbuf_alloc(PBUF_TRANSPORT, VXLAN_HLEN, PBUF_RAM);

    if (d)
        vxlan_head(&t.v, d->payload);
    for (const struct pkt *b = p; d && b; b = b->next) {
        struct pbuf *r = pbuf_alloc_reference(b->data, b->len, PBUF_REF);
        if (!r) {
            pbuf_free(d);
            return NULL;
        }
        pbuf_cat(d, r);
    }
    return d;
}

static bool emit(const struct pkt *p, struct vxlan_end to)
{
    ip_addr_t addr;
    struct pbuf *d = datagram(p);

    if (!d)
        return false;
    address_of(to, &addr);
    bool sent = !udp_sendto(t.out, d, &addr, t.v.port);
    pbuf_free(d);
    return sent;
}

static void send(struct nic *n, struct pkt *p)
{
    struct vxlan_end to[VXLAN_TOLD + 1];
    /* With tags it may be longer than what a datagram has room for, and that must not be cut (RFC 7348 4.3). */
    bool fits = t.up && pkt_len(p) <= n->mtu + ETH_HLEN;
    unsigned nr = fits ? vxlan_ways(&t.v, p->data, now_ns(), to) : 0;

    n->tx_dropped += !nr;
    if (nr)
        t.out->local_port = vxlan_source_port(p->data, p->len);
    for (unsigned i = 0; i < nr; i++)
        n->tx_dropped += !emit(p, to[i]);
    unsigned at = (t.leaving_first + t.leaving_nr++) % SLOTS;
    t.leaving[at].p = p;
    t.leaving[at].until = t.vif.front.tx.req_prod_pvt;
}

/* --- coming up -------------------------------------------------------------------------------------------- */

/* Our own: of IPv6 the one behind the link's. */
static void own_address(struct netif *n)
{
    t.v.here = end_of(t.six ? netif_ip_addr6(n, 1) : netif_ip_addr4(n));
    if (t.six)
        netif_ip6_addr_set_state(n, 1, IP6_ADDR_PREFERRED);
}

static void ports_open(void)
{
    struct netif *n = &t.vif.netif;
    uint8_t type = t.six ? IPADDR_TYPE_V6 : IPADDR_TYPE_V4;
    ip_addr_t group;

    if (t.in)
        bh_panic("a second connection, which begins with the rings of the first");
    t.in = udp_new_ip_type(type);
    t.out = udp_new_ip_type(type); /* never bound: each frame has the port of its flow */
    if (!t.in || !t.out || udp_bind(t.in, t.six ? IP6_ADDR_ANY : IP4_ADDR_ANY, t.v.port))
        bh_panic("no port for the tunnel");
    udp_setflags(t.out, UDP_FLAGS_NOCHKSUM); /* which IPv6 must have */
    udp_recv(t.in, on_datagram, NULL);
    own_address(n);
    n->mtu = n->mtu6 = (uint16_t)(t.nic.mtu + over());
    address_of(t.v.group, &group);
    if (t.v.group.a[1] && igmp_joingroup_netif(n, ip_2_ip4(&group)))
        bh_panic("the group of the tunnel cannot be joined");
    memcpy(t.nic.mac, t.vif.front.mac, 6);
    t.nic.no_link = false;
    t.up = true;
    printf("%s: %s, %lu us\n", self.name, tunnel_text(), (now_ns() - t.since) / 1000);
}

/* The first of our interfaces: it may have been plugged anew. */
static bool outside(unsigned *devid)
{
    unsigned n = 0;
    unsigned long least = ~0ul;
    char **list = xs_ls(0, "device/vif", &n);

    for (unsigned i = 0; list && i < n; i++) {
        unsigned long id = strtoul(list[i], NULL, 10);
        least = id < least ? id : least;
    }
    free(list);
    *devid = (unsigned)least;
    return least <= UINT16_MAX;
}

static void on_plugged(const char *path, void *arg)
{
    (void)path, (void)arg;
    t.look = true;
}

/* Another one than we have is the one that there is. */
static void plugged_anew(void)
{
    unsigned devid;

    if (!t.watching)
        t.watching = !xs_watch("device/vif", on_plugged, NULL);
    if (t.look && t.begun && outside(&devid) && devid != t.vif.front.devid)
        bh_panic("vif %u in the place of vif %u", devid, t.vif.front.devid);
    t.look = false;
}

static void come_up(void)
{
    unsigned devid;

    if (!t.begun)
        t.begun = outside(&devid) && !lwip_vif_begin(&t.vif, devid);
    t.vif.front.polled = t.vif.no_routers = true;
    int rc = t.begun ? lwip_vif_up(&t.vif) : -EAGAIN;
    if (!rc)
        ports_open();
    else if (rc != -EAGAIN)
        bh_panic("the tunnel's own address is none: %d", rc);
}

/* Whom it talks to, for those who look on: "IP IN OUT" of each, blanks between all. */
static uint64_t say(void)
{
    char text[VXLAN_PEERS * 80];
    size_t at = 0;
    uint64_t sum = t.v.strangers + t.v.foreign + t.v.bad, now = now_ns();

    for (const struct vxlan_peer *p = t.v.peer; p < t.v.peer + VXLAN_PEERS; p++)
        sum += p->in + p->out;
    if (sum == t.said)
        return 0;
    if (now < t.say_ns)
        return t.say_ns;
    at = (size_t)snprintf(text, sizeof(text), "%lu %lu %lu", t.v.strangers, t.v.foreign, t.v.bad);
    for (const struct vxlan_peer *p = t.v.peer; p < t.v.peer + VXLAN_PEERS; p++) {
        if ((p->ip.a[0] | p->ip.a[1]) && at < sizeof(text))
            at += (size_t)snprintf(text + at, sizeof(text) - at, " %s %lu %lu", text_of(p->ip),
                                   p->in, p->out);
    }
    t.say_ns = now + SAY_NS;
    if (!xs_write(0, BH_KEY_VNET, text))
        t.said = sum;
    return t.say_ns;
}

static uint64_t store(struct nic *n)
{
    plugged_anew();
    if (t.up && !t.vif.front.connected) {
        t.up = false;
        t.since = now_ns();
    }
    if (!t.up)
        come_up();
    n->no_link = !t.up && now_ns() - t.since > LINK_NS;
    if (!t.begun) /* a silent store, or none of our interfaces yet */
        return now_ns() + AGAIN_NS;
    sys_check_timeouts();
    uint32_t ms = sys_timeouts_sleeptime();
    uint64_t until = ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE ? 0 : now_ns() + ms * NS_PER_MS;
    return t.up ? earlier(until, say()) : until;
}

/* --- the kind of NIC -------------------------------------------------------------------------------------- */

static const char *start(struct nic *n, const struct bh_pci_info *dev, event_fn irq, void *arg)
{
    (void)dev, (void)irq, (void)arg;
    n->can = NIC_SCATTER;
    n->mtu = WIRE_MTU - over();
    n->mtu_max = MTU_MOST;
    n->tx_size = SLOTS;
    t.since = now_ns();
    return NULL;
}

static void notify(struct nic *n) { (void)n; }
static bool arm(struct nic *n) { return (void)n, t.nr || netfront_arm(&t.vif.front); }
static bool sane(struct nic *n) { return (void)n, true; }

struct nic *tunnel_start(struct pkt_pool *pool, const struct vxlan *v)
{
    static const struct nic_ops ops = { .name = "VXLAN",
                                        .start = start,
                                        .receive = receive,
                                        .send = send,
                                        .reclaim = reclaim,
                                        .notify = notify,
                                        .arm = arm,
                                        .sane = sane,
                                        .store = store };
    static const struct bh_pci_info none;
    char own[48];

    t.v = *v;
    t.six = cmdline_get("ip6", own, sizeof(own));
    (void)nic_start(&t.nic, &ops, &none, pool, wakes_only, NULL);
    return &t.nic;
}

const char *tunnel_text(void)
{
    static char text[80];

    snprintf(text, sizeof(text), "vnet %u, %s port %u", t.v.vni, text_of(t.v.here), t.v.port);
    return text;
}
