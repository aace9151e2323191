/* SPDX-License-Identifier: MIT */
/* The vifs: connecting, adopting and closing, by entries of the slot table and nodes of the store. See vif.h for the states; main.c calls. */
#include "vif.h"
#include <blame.h>
#include <loop.h>
#include <stdio.h>
#include <string.h>
#include <xen/io/xenbus.h>
#include "mcast.h"
#include "net.h"

struct vif vifs[SW_VIFS];

static unsigned port_of(const struct vif *v) { return (unsigned)(v - vifs); }

/* --- rings ------------------------------------------------------------------------------------------------ */

static void rings_unmap(struct vif *v)
{
    for (unsigned i = 0; i < v->nb.nr_queues; i++) {
        const struct nb *q = &v->nb.q[i];
        if (q->rx_port && q->rx_port != q->tx_port)
            event_close(q->rx_port);
        if (q->tx_port)
            event_close(q->tx_port);
    }
    if (v->map.va)
        grant_unmap(&v->map);
}

static void ring_event(uint32_t port, void *arg)
{
    (void)port;
    nb_wake(arg);
}

static bool ports_bind(struct nb *q, const struct keep_vif_head *h)
{
    int tx = event_bind_interdomain(h->domid, h->tx_port, ring_event, q), rx = tx;

    q->tx_port = tx > 0 ? (uint32_t)tx : 0;
    if (tx > 0 && (h->features & KEEP_F_SPLIT))
        rx = event_bind_interdomain(h->domid, h->rx_port, ring_event, q);
    q->rx_port = rx > 0 ? (uint32_t)rx : 0;
    return tx > 0 && rx > 0;
}

/* Maps the rings and binds the ports that the queues' heads name: all, or none; everything a struct nb_vif needs before attach or adopt. */
static const char *rings_map(struct vif *v, const struct keep_vif_head *h)
{
    uint32_t refs[2 * KEEP_QUEUES];

    memset(&v->nb, 0, sizeof(v->nb));
    for (unsigned i = 0; i < h->nr_queues; i++) {
        refs[2 * i] = h[i].tx_ref;
        refs[2 * i + 1] = h[i].rx_ref;
    }
    if (grant_map(&v->map, h->domid, refs, 2 * h->nr_queues, 0))
        return "its rings cannot be mapped";
    v->nb.pool = &net.pool;
    v->nb.items = &net.items;
    v->nb.dom = h->domid;
    v->nb.gen = h->slot_gen;
    v->nb.nr_queues = h->nr_queues;
    bool bound = true;
    for (unsigned i = 0; i < h->nr_queues && bound; i++) {
        struct nb *q = &v->nb.q[i];
        q->vif = &v->nb;
        q->keep = v->keep[i];
        q->txs = (void *)((uint8_t *)v->map.va + 2 * i * PAGE_SIZE);
        q->rxs = (void *)((uint8_t *)v->map.va + (2 * i + 1) * PAGE_SIZE);
        bound = ports_bind(q, &h[i]);
    }
    if (bound)
        return NULL;
    rings_unmap(v);
    return "its event channels cannot be bound";
}

static void record_close(struct vif *v) { keep_queues_close(v->keep, vif_queues); }

static void port_up(struct vif *v)
{
    v->nb.rate = v->rate;
    v->connected = true;
    v->told = false;
    switch_port_up(&net.sw, port_of(v), v->has_mac ? v->mac : NULL, &v->conf);
}

static void vif_disconnect(struct vif *v)
{
    if (v->aside)
        record_close(v);
    v->aside = false;
    if (!v->connected)
        return;
    batch_flush(&net.batch); /* sends to ports that are about to close */
    switch_port_down(&net.sw, port_of(v));
    v->connected = v->held = false;
    blame(v->be.gen);
    record_close(v); /* first: from here on there is nothing to adopt */
    nb_vif_detach(&v->nb);
    rings_unmap(v);
    blame(0);
    uint64_t n[BH_NET_STATS];
    vif_count(v, n);
    counters_over(&v->counters, n, BH_NET_STATS);
    be_say(&v->be, "vif", &v->comings,
           "off (%lu packets in, %lu out; %lu errors, %lu dropped, %lu spoofed, %lu too long, %lu too long for "
           "the wire, %lu with a checksum that cannot be filled in, %lu too many to all, %lu of another VLAN)",
           n[BH_NET_IN], n[BH_NET_OUT], n[BH_NET_ERRORS], n[BH_NET_DROPPED], n[BH_NET_SPOOFED],
           n[BH_NET_LONG], n[BH_NET_WIRE_LONG], n[BH_NET_NO_CSUM], n[BH_NET_STORM], n[BH_NET_VLAN]);
}

void vif_offer(struct vif *v, struct pkt *p)
{
    if (!v->connected || !mcast_passes(&v->nb, p->data))
        return;
    if ((p->flags & PKT_CSUM_BLANK) && !p->gso && !nb_takes_blank(&v->nb, p))
        pkt_csum_fill(p);
    (void)nb_queue_rx(&v->nb.q[nb_vif_queue(&v->nb, p)], p);
}

/* What it may send as, from its entry. NULL, or why it cannot be connected. */
static const char *mac_of(struct vif *v, const struct slot_entry *e)
{
    static const uint8_t none[6];

    v->has_mac = e->flags & SLOT_F_MAC;
    v->conf = e->vif;
    rate_set(&v->rate, e->limit_bytes, e->limit_burst);
    memset(v->mac, 0, 6);
    if (v->conf.bridge >= SW_UPLINKS)
        return "its bridge is none";
    if (!v->has_mac)
        return NULL;
    memcpy(v->mac, e->mac, 6);
    return v->mac[0] & 1 || !memcmp(v->mac, none, 6) ? "its address is none of a single interface"
                                                     : NULL;
}

/* --- adoption ----------------------------------------------------------------------------------------------- */

/* NULL, or why the record in v's place is not to be served. The instance that wrote it may have been anybody's. */
static const char *record_check(struct vif *v)
{
    const struct keep_vif_head *h = &v->keep[0]->head;
    struct slot_entry e;

    if (!be_adopt(&v->be, SLOT_VIF, "vif", h->domid, h->devid, &e))
        return "nobody has attached it";
    const char *why = mac_of(v, &e);
    if (why)
        return why;
    if (h->slot_gen != v->be.gen)
        return "its keep record is of an attachment that is over";
    if (!(h->features & KEEP_F_MAC) != !v->has_mac || memcmp(h->mac, v->mac, 6))
        return "its keep record has another address than it was given";
    return NULL;
}

static bool vif_adopt(struct vif *v)
{
    struct keep_vif_head h[KEEP_QUEUES];
    const char *why;

    blame(v->be.gen);
    for (unsigned i = 0; i < v->keep[0]->head.nr_queues; i++)
        h[i] = v->keep[i]->head;
    why = rings_map(v, h);
    if (!why && nb_vif_adopt(&v->nb, &net.batch, &why))
        rings_unmap(v);
    blame(0);
    if (!why) {
        port_up(v);
        return true;
    }
    /* The store will say whether its front-end still believes in a connection; then it is plugged again. */
    printf("vif%u.%u: not adopted: %s\n", v->be.dom, v->be.devid, why);
    record_close(v);
    return false;
}

static void record_drop(struct vif *v, const char *why)
{
    const struct keep_vif_head *h = &v->keep[0]->head;

    printf("vif%u.%u: a keep record is cleared: %s\n", h->domid, h->devid, why);
    record_close(v);
}

static enum keep_state record_state(const struct vif *v)
{
    return keep_queues_state(v->keep, vif_queues);
}

/* Once record_find has seen it. */
static bool has_record(const struct vif *v) { return v->keep[0]->head.magic; }

/* Which of two says the truth cannot be told: neither does. */
static bool twice(const struct vif *v)
{
    for (const struct vif *o = vifs + 1; o < vifs + SW_VIFS; o++) {
        const struct keep_vif_head *a = &v->keep[0]->head, *b = &o->keep[0]->head;
        if (o != v && has_record(o) && a->domid == b->domid && a->devid == b->devid)
            return true;
    }
    return false;
}

/* Every record that is not to be served is gone, before the first one is. */
static void records_check(void)
{
    bool bad[SW_VIFS];

    for (unsigned i = 1; i < SW_VIFS; i++)
        bad[i] = has_record(&vifs[i]) && twice(&vifs[i]);
    for (unsigned i = 1; i < SW_VIFS; i++) {
        struct vif *v = &vifs[i];
        if (!has_record(v))
            continue;
        const char *why = bad[i] ? "there are two of them" : record_check(v);
        if (why)
            record_drop(v, why);
    }
}

/* What is in the places of v's queues: a whole record, or nothing. */
static void record_find(struct vif *v, unsigned port, uint8_t *keep, bool damage)
{
    for (unsigned q = 0; q < vif_queues; q++)
        v->keep[q] = (struct keep_vif *)(keep + (VIF_KEEP(q) - 1 + port) * PAGE_SIZE);
    if (damage && v->keep[0]->head.magic)
        v->keep[0]->head.crc ^= 1;
    enum keep_state state = record_state(v);
    if (state == KEEP_DAMAGED)
        printf("keep record %u is damaged\n", port);
    if (state != KEEP_VALID)
        record_close(v);
}

unsigned vifs_adopt(uint8_t *keep)
{
    char word[4];
    bool damage = cmdline_get("damage_keep", word,
                              sizeof(word)); /* for the test of what follows from that */
    unsigned n = 0;

    for (unsigned i = 1; i < SW_VIFS; i++)
        record_find(&vifs[i], i, keep, damage);
    records_check();
    for (unsigned i = 1; i < SW_VIFS; i++) {
        if (!has_record(&vifs[i]))
            continue;
        vifs[i].aside = be_aside(SLOT_VIF, &vifs[i].be);
        n += !vifs[i].aside && vif_adopt(&vifs[i]);
    }
    return n;
}

/* --- the store ------------------------------------------------------------------------------------------------ */

/* InitWait with everything that we offer. What is not offered is not written: control ring, changes of multicast control once it is connected. */
static void vif_advertise(struct vif *v)
{
    static const char *const offer[][2] = {
        { "feature-sg", "1" },
        { "feature-rx-copy", "1" },
        { "feature-rx-flip", "0" },
        { "feature-split-event-channels", "1" },
        { "feature-ipv6-csum-offload", "1" },
        { "feature-gso-tcpv4", "1" },
        { "feature-gso-tcpv6", "1" },
        { "feature-multicast-control", "1" },
    };

    struct slot_entry e;
    const char *why = be_slot(SLOT_VIF, v->be.dom, v->be.devid, &e) && e.vif.bridge < SW_UPLINKS
                          ? net.refusal[e.vif.bridge]
                          : "";
    if (*why) { /* it would have a carrier that leads nowhere: a switch among guests alone is made without a NIC */
        if (be_refuse(&v->be, why))
            be_say(&v->be, "vif", &v->comings, "refused: %s", why);
        return;
    }
    be_admit(&v->be);
    for (unsigned i = 0; i < ARRAY_SIZE(offer); i++) {
        if (!be_write(&v->be, offer[i][0], offer[i][1]))
            return;
    }
    if (be_write_number(&v->be, "multi-queue-max-queues", vif_queues))
        be_set_state(&v->be, XenbusStateInitWait);
}

static void vif_connect(struct vif *v)
{
    struct keep_vif_head h[KEEP_QUEUES];
    struct slot_entry e;
    bool again = false;

    if (!be_slot(SLOT_VIF, v->be.dom, v->be.devid, &e) || slot_gen(&e) != v->be.gen ||
        slot_state(&e) == SLOT_DETACHING)
        return; /* whoever changed that says so in our directory */
    const char *why = mac_of(v, &e);
    if (!why)
        why = vif_front(v, h, &again);
    if (be_stale(&v->be))
        return;
    if (again) {
        be_retry(&v->be);
        return;
    }
    blame(v->be.gen);
    if (!why)
        why = rings_map(v, h);
    if (!why && nb_vif_attach(&v->nb, h)) {
        why = v->nb.broken;
        rings_unmap(v);
    }
    blame(0);
    if (why) {
        (void)be_refuse(&v->be, why);
        be_say(&v->be, "vif", &v->comings, "not connected: %s", why);
        return;
    }
    /* The record is valid, the store still says InitWait: a life that begins here adopts, and writes the state. */
    port_up(v);
    v->held = true;
    be_admit(&v->be);
    be_set_state(&v->be, XenbusStateConnected);
    be_say(&v->be, "vif", &v->comings, "connected, %s%s, %u queue%s",
           h->features & KEEP_F_MAC ? "fixed MAC" : "any MAC",
           h->features & KEEP_F_SPLIT ? ", split event channels" : "", h->nr_queues,
           h->nr_queues > 1 ? "s" : "");
}

static bool heads_agree(const struct vif *v, const struct keep_vif_head *h)
{
    for (unsigned i = 0; i < h->nr_queues; i++) {
        const struct keep_vif_head *k = &v->keep[i]->head;
        if (h[i].nr_queues != v->nb.nr_queues || h[i].tx_ref != k->tx_ref ||
            h[i].rx_ref != k->rx_ref || h[i].tx_port != k->tx_port || h[i].rx_port != k->rx_port ||
            (h[i].features ^ k->features) & ~KEEP_F_MCAST) /* of which only its beginning counts */
            return false;
    }
    return true;
}

/* Once in each life: rings, ports and features of an adopted record, held against what its front-end says. A record that is sound in
 * itself and has others would stay for ever. false: that cannot be told yet; or it was let go. */
static bool vif_held(struct vif *v)
{
    struct keep_vif_head h[KEEP_QUEUES];
    bool again;

    if (v->held)
        return true;
    const char *why = vif_front(v, h, &again);
    if (be_stale(&v->be))
        return false;
    if (again) {
        be_retry(&v->be);
        return false;
    }
    if (why == vif_no_rings) { /* nothing to hold it against: the store began empty */
        v->held = true;
        return true;
    }
    v->held = !why && heads_agree(v, h);
    if (!v->held)
        vif_disconnect(v);
    return v->held;
}

/* Both sides say Connected and we have no rings: what the record said was damaged. Only the toolstack can plug it again. */
static void vif_replug(struct vif *v)
{
    if (v->asked)
        return;
    v->asked = be_write(&v->be, BH_KEY_REPLUG, "keep record damaged");
    printf("vif%u.%u: has to be plugged again: its keep record was damaged\n", v->be.dom,
           v->be.devid);
}

/* It stays so, whatever its front-end says. */
static void vif_say_aside(struct vif *v)
{
    v->aside = true;
    if (v->said)
        return;
    v->said = be_write(&v->be, BH_KEY_STALLED, BLAME_WHY);
    printf("vif%u.%u: %s\n", v->be.dom, v->be.devid, BLAME_WHY);
}

/* Another chance: what its record says is taken over now. */
static void vif_come_back(struct vif *v)
{
    v->aside = v->said = false;
    be_remove(&v->be, BH_KEY_STALLED);
    if (record_state(v) == KEEP_VALID)
        (void)vif_adopt(v);
    printf("vif%u.%u: has another chance\n", v->be.dom, v->be.devid);
}

static void vif_follow(struct vif *v, uint64_t fe, bool online)
{
    if (!online) { /* detached: a live front-end follows, a dead one cannot answer */
        vif_disconnect(v);
        if (v->be.state == XenbusStateConnected)
            be_set_state(&v->be, XenbusStateClosing);
        be_set_state(&v->be, XenbusStateClosed);
        return;
    }
    if (be_aside(SLOT_VIF, &v->be)) {
        vif_say_aside(v);
        return;
    }
    if (v->aside)
        vif_come_back(v);
    switch (fe) {
    case XenbusStateConnected:
        if (v->connected && !vif_held(v)) {
            if (!v->connected)
                vif_replug(v);
        } else if (v->connected) {
            be_set_state(&v->be, XenbusStateConnected);
        } else if (v->be.state == XenbusStateConnected) {
            vif_replug(v);
        } else {
            if (v->be.state != XenbusStateInitWait)
                vif_advertise(v);
            if (v->be.state == XenbusStateInitWait)
                vif_connect(v);
        }
        break;
    case XenbusStateClosing:
        vif_disconnect(v);
        be_set_state(&v->be, XenbusStateClosing);
        break;
    case XenbusStateClosed:
        vif_disconnect(v);
        be_set_state(&v->be, XenbusStateClosed);
        break;
    case XenbusStateInitialising:
        vif_disconnect(v);
        if (v->be.state != XenbusStateInitWait)
            vif_advertise(v);
        break;
    case XenbusStateUnknown: /* no such node: not there yet, or gone */
        vif_disconnect(v);
        if (v->be.state == XenbusStateInitialising)
            vif_advertise(v);
        else if (v->be.state != XenbusStateInitWait)
            be_set_state(&v->be, XenbusStateClosed);
        break;
    default:
        if (v->be.state == XenbusStateInitialising)
            vif_advertise(v);
        break;
    }
}

/* --- what the library asks of us (xenbus_backend.h) ---------------------------------------------------------------------- */

_Static_assert(!offsetof(struct vif, be), "a vif begins with its be_dev");
static struct vif *vif_of(struct be_dev *d) { return (struct vif *)d; }

static bool disconnect(struct be_dev *d)
{
    vif_disconnect(vif_of(d));
    return true;
}

static void forget(struct be_dev *d)
{
    struct vif *v = vif_of(d);
    struct keep_vif *keep[KEEP_QUEUES];

    memcpy(keep, v->keep, sizeof(keep));
    memset(v, 0, sizeof(*v));
    memcpy(v->keep, keep, sizeof(keep));
}

static void follow(struct be_dev *d, uint64_t fe, bool online)
{
    vif_follow(vif_of(d), fe, online);
}

void vifs_store_work(void)
{
    static const char *const keys[] = { "online", "frontend", NULL };
    static const struct be_class class = { .type = "vif",
                                           .what = "interfaces",
                                           .kind = SLOT_VIF,
                                           .keys = keys,
                                           .max_devid = 0xffff,
                                           .first = &vifs[1].be,
                                           .size = sizeof(vifs[0]),
                                           .nr = SW_VIFS - 1,
                                           .disconnect = disconnect,
                                           .forget = forget,
                                           .follow = follow };

    EACH_PORT(i, vifs_connected())
    {
        struct vif *v = &vifs[i];
        if (v->nb.broken && !v->told) {
            v->told = true;
            be_say(&v->be, "vif", &v->breaches,
                   "front-end broke the protocol: %s; not served any more", v->nb.broken);
        }
    }
    (void)be_work(&class);
    be_problem(uplinks_problem());
}
