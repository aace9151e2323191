/* SPDX-License-Identifier: MIT */
/* The vifs: connecting, adopting and closing. See vif.h for the states. */
#include "vif.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/xenbus.h>
#include "net.h"

struct vif vifs[SW_PORTS];

static unsigned port_of(const struct vif *v) { return (unsigned)(v - vifs); }

/* --- rings ------------------------------------------------------------------------------------------------ */

/* The event says "look": every round looks at every ring. */
static void ring_event(uint32_t port, void *arg)
{
    (void)port, (void)arg;
}

static void rings_unmap(struct vif *v)
{
    if (v->nb.rx_port && v->nb.rx_port != v->nb.tx_port)
        event_close(v->nb.rx_port);
    if (v->nb.tx_port)
        event_close(v->nb.tx_port);
    if (v->map.va)
        grant_unmap(&v->map);
}

/* Maps the rings and binds the ports that a head names; everything a struct nb needs before attach or adopt. */
static const char *rings_map(struct vif *v, const struct keep_vif_head *h)
{
    uint32_t refs[2] = {h->tx_ref, h->rx_ref};
    int tx, rx;

    memset(&v->nb, 0, sizeof(v->nb));
    if (grant_map(&v->map, h->domid, refs, 2, 0))
        return "its rings cannot be mapped";
    v->nb.txs = v->map.va;
    v->nb.rxs = (void *)((uint8_t *)v->map.va + PAGE_SIZE);
    v->nb.keep = v->keep;
    v->nb.pool = &net.pool;
    v->nb.dom = h->domid;
    tx = event_bind_interdomain(h->domid, h->tx_port, ring_event, v);
    v->nb.tx_port = tx > 0 ? (uint32_t)tx : 0;
    rx = h->features & KEEP_F_SPLIT ? event_bind_interdomain(h->domid, h->rx_port, ring_event, v) : tx;
    v->nb.rx_port = rx > 0 ? (uint32_t)rx : 0;
    if (tx > 0 && rx > 0)
        return NULL;
    rings_unmap(v);
    return "its event channels cannot be bound";
}

static void port_up(struct vif *v)
{
    v->connected = true;
    v->told = false;
    switch_port_up(&net.sw, port_of(v), v->has_mac ? v->mac : NULL);
}

static void vif_disconnect(struct vif *v)
{
    if (!v->connected)
        return;
    batch_flush(&net.batch); /* sends to ports that are about to close */
    switch_port_down(&net.sw, port_of(v));
    v->connected = false;
    keep_vif_close(v->keep); /* first: from here on there is nothing to adopt */
    nb_detach(&v->nb);
    rings_unmap(v);
    printf("vif%u.%u: off (%lu packets in, %lu out; %lu errors, %lu dropped, %lu spoofed)\n", v->dom, v->devid,
           v->nb.stats.tx_packets, v->nb.stats.rx_packets, v->nb.stats.tx_errors + v->nb.stats.rx_errors,
           v->nb.stats.tx_dropped + v->nb.stats.rx_dropped, net.sw.port[port_of(v)].spoofed);
}

void vif_offer(struct vif *v, struct pkt *p)
{
    if (!v->connected)
        return;
    if (p->flags & PKT_CSUM_BLANK) {
        bool ipv6 = p->data[12] == 0x86 && p->data[13] == 0xdd;
        if (!(v->nb.features & (ipv6 ? KEEP_F_CSUM6 : KEEP_F_CSUM4)) && !pkt_csum_fill(p))
            return;
    }
    nb_queue_rx(&v->nb, p);
}

/* --- adoption ----------------------------------------------------------------------------------------------- */

static bool vif_adopt(struct vif *v)
{
    const struct keep_vif_head *h = &v->keep->head;
    const char *why;

    v->used = v->dirty = true;
    v->dom = h->domid;
    v->devid = h->devid;
    v->has_mac = h->features & KEEP_F_MAC;
    memcpy(v->mac, h->mac, 6);
    memcpy(v->fe_path, h->fe_path, sizeof(v->fe_path));
    v->fe_path[KEEP_PATH - 1] = '\0';
    why = rings_map(v, h);
    if (!why) {
        if (!nb_adopt(&v->nb, &net.batch, &why)) {
            port_up(v);
            return true;
        }
        rings_unmap(v);
    }
    /* The store will say whether its front-end still believes in a connection; then it is plugged again. */
    printf("vif%u.%u: not adopted: %s\n", v->dom, v->devid, why);
    keep_vif_close(v->keep);
    return false;
}

unsigned vifs_adopt(struct keep_vif *(*keep_of)(unsigned port))
{
    char word[4];
    bool damage = cmdline_get("damage_keep", word, sizeof(word)); /* for the test of what follows from that */
    unsigned n = 0;

    for (unsigned i = 1; i < SW_PORTS; i++) {
        vifs[i].keep = keep_of(i);
        if (damage && vifs[i].keep->head.magic)
            vifs[i].keep->head.crc ^= 1;
        switch (keep_vif_state(vifs[i].keep)) {
        case KEEP_VALID:
            n += vif_adopt(&vifs[i]);
            break;
        case KEEP_DAMAGED:
            printf("keep record %u is damaged\n", i);
            keep_vif_close(vifs[i].keep);
            break;
        case KEEP_EMPTY:
            break;
        }
    }
    return n;
}

/* --- the store ------------------------------------------------------------------------------------------------ */

static bool rescan, watching;
static uint64_t retry_at; /* a store call failed: again then */
static struct dtimer retry_timer;

static void retry_due(struct dtimer *t) { (void)t; }

static void retry_soon(void)
{
    retry_at = now_ns() + 200000000;
    dtimer_set(&retry_timer, retry_at);
}

/* A store that does not answer is no reason to change anything: ask again. */
static void retry_later(struct vif *v)
{
    v->dirty = true;
    retry_soon();
}

static void be_key(const struct vif *v, char *buf, size_t n, const char *key)
{
    snprintf(buf, n, "backend/vif/%u/%u/%s", v->dom, v->devid, key);
}

static char *be_read(const struct vif *v, const char *key)
{
    char path[96];

    be_key(v, path, sizeof(path), key);
    return xs_read(0, path);
}

static bool be_write(const struct vif *v, const char *key, const char *val)
{
    char path[96];

    be_key(v, path, sizeof(path), key);
    return !xs_write(0, path, val);
}

/* A number under dir, `absent` if there is no such node; false: the store gave no answer. */
static bool read_number(const char *dir, const char *key, uint64_t absent, uint64_t *val)
{
    char path[KEEP_PATH + 40];

    snprintf(path, sizeof(path), "%s/%s", dir, key);
    int rc = xs_read_uint(0, path, val);
    if (rc == -ENOENT || rc == -EINVAL) {
        *val = absent;
        return true;
    }
    return rc == 0;
}

static void set_state(struct vif *v, int state)
{
    char val[4];

    if (v->state == state)
        return;
    snprintf(val, sizeof(val), "%d", state);
    if (be_write(v, "state", val))
        v->state = state;
    else
        retry_later(v);
}

static void fe_changed(const char *path, void *arg)
{
    (void)path;
    ((struct vif *)arg)->dirty = true;
}

static void vif_unwatch(struct vif *v)
{
    char path[KEEP_PATH + 8];

    if (!v->watched)
        return;
    snprintf(path, sizeof(path), "%s/state", v->fe_path);
    xs_unwatch(path, fe_changed, v);
    v->watched = false;
}

static void vif_forget(struct vif *v)
{
    struct keep_vif *keep = v->keep;

    vif_disconnect(v);
    vif_unwatch(v);
    memset(v, 0, sizeof(*v));
    v->keep = keep;
}

/* Where the front-end is; once, a watch on its state. false: try again, or it is gone. */
static bool vif_identify(struct vif *v)
{
    char path[KEEP_PATH + 8], *fe = be_read(v, "frontend");

    if (!fe) {
        if (xs_error == ENOENT)
            vif_forget(v);
        else
            retry_later(v);
        return false;
    }
    if (strcmp(fe, v->fe_path)) {
        vif_disconnect(v);
        vif_unwatch(v);
        v->state = 0;
        strlcpy(v->fe_path, fe, sizeof(v->fe_path));
    }
    free(fe);
    if (v->watched)
        return true;
    snprintf(path, sizeof(path), "%s/state", v->fe_path);
    if (xs_watch(path, fe_changed, v)) {
        retry_later(v);
        return false;
    }
    v->watched = true;
    return true;
}

/* InitWait with everything that we offer. What is not offered is not written: gso, control ring, multicast control. */
static void vif_advertise(struct vif *v)
{
    static const char *const offer[][2] = {
        {"feature-sg", "1"},
        {"feature-rx-copy", "1"},
        {"feature-rx-flip", "0"},
        {"feature-split-event-channels", "1"},
        {"feature-ipv6-csum-offload", "1"},
        {"multi-queue-max-queues", "1"},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(offer); i++) {
        if (!be_write(v, offer[i][0], offer[i][1])) {
            retry_later(v);
            return;
        }
    }
    set_state(v, XenbusStateInitWait);
}

/* What the front-end wrote. NULL, or what is wrong with it; *again: the store gave no answer. */
static const char *head_read(const struct vif *v, struct keep_vif_head *h, bool *again)
{
    static const struct { const char *key; uint64_t absent; } keys[] = {
        {"tx-ring-ref", 0}, {"rx-ring-ref", 0}, {"event-channel", 0}, {"event-channel-tx", 0}, {"event-channel-rx", 0},
        {"request-rx-copy", 0}, {"feature-sg", 0}, {"feature-no-csum-offload", 0}, {"feature-ipv6-csum-offload", 0},
        {"multi-queue-num-queues", 1},
    };
    uint64_t val[ARRAY_SIZE(keys)];

    for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
        *again = !read_number(v->fe_path, keys[i].key, keys[i].absent, &val[i]);
        if (*again)
            return "the store does not answer";
        if (val[i] >> 32)
            return keys[i].key;
    }
    memset(h, 0, sizeof(*h));
    h->domid = v->dom;
    h->devid = v->devid;
    h->tx_ref = (uint32_t)val[0];
    h->rx_ref = (uint32_t)val[1];
    bool split = val[3] && val[4];
    h->tx_port = (uint32_t)(split ? val[3] : val[2]);
    h->rx_port = (uint32_t)(split ? val[4] : val[2]);
    h->features = (split ? KEEP_F_SPLIT : 0) | (val[6] ? KEEP_F_SG : 0) | (val[7] ? 0 : KEEP_F_CSUM4) |
                  (val[8] ? KEEP_F_CSUM6 : 0) | (v->has_mac ? KEEP_F_MAC : 0);
    memcpy(h->mac, v->mac, 6);
    memcpy(h->fe_path, v->fe_path, sizeof(h->fe_path));
    if (!h->tx_ref || !h->rx_ref || !h->tx_port)
        return "it names no rings or event channel";
    if (!val[5])
        return "it does not want its packets copied (request-rx-copy)";
    return val[9] == 1 ? NULL : "it wants more than one queue";
}

/* false: the store gave no answer. No address, or a malformed one: nothing to enforce. */
static bool mac_read(struct vif *v)
{
    char *mac = be_read(v, "mac"), *at = mac;

    v->has_mac = false;
    if (!mac)
        return xs_error == ENOENT;
    for (unsigned n = 0; n < 6; n++, at++) {
        char *end;
        v->mac[n] = (uint8_t)strtoul(at, &end, 16);
        if (end == at || *end != (n < 5 ? ':' : '\0'))
            break;
        at = end;
        v->has_mac = n == 5 && !(v->mac[0] & 1);
    }
    free(mac);
    return true;
}

static void vif_connect(struct vif *v)
{
    struct keep_vif_head h;
    bool again = !mac_read(v);
    const char *why = again ? NULL : head_read(v, &h, &again);

    if (again) {
        retry_later(v);
        return;
    }
    if (!why)
        why = rings_map(v, &h);
    if (!why && nb_attach(&v->nb, &h)) {
        why = v->nb.broken;
        rings_unmap(v);
    }
    if (why) {
        printf("vif%u.%u: not connected: %s\n", v->dom, v->devid, why);
        return;
    }
    /* The record is valid, the store still says InitWait: a life that begins here adopts, and writes the state. */
    port_up(v);
    set_state(v, XenbusStateConnected);
    printf("vif%u.%u: connected, %s%s\n", v->dom, v->devid, h.features & KEEP_F_MAC ? "fixed MAC" : "any MAC",
           h.features & KEEP_F_SPLIT ? ", split event channels" : "");
}

/* Both sides say Connected and we have no rings: what the record said was damaged. Only the toolstack can plug it again. */
static void vif_replug(struct vif *v)
{
    if (v->asked)
        return;
    v->asked = be_write(v, "bh-replug", "keep record damaged");
    if (!v->asked)
        retry_later(v);
    printf("vif%u.%u: has to be plugged again: its keep record was damaged\n", v->dom, v->devid);
}

static void vif_follow(struct vif *v, uint64_t fe, bool online)
{
    if (!online) { /* detached: a live front-end follows, a dead one cannot answer */
        vif_disconnect(v);
        if (v->state == XenbusStateConnected)
            set_state(v, XenbusStateClosing);
        set_state(v, XenbusStateClosed);
        return;
    }
    switch (fe) {
    case XenbusStateConnected:
        if (v->connected) {
            set_state(v, XenbusStateConnected);
        } else if (v->state == XenbusStateConnected) {
            vif_replug(v);
        } else {
            if (v->state != XenbusStateInitWait)
                vif_advertise(v);
            if (v->state == XenbusStateInitWait)
                vif_connect(v);
        }
        break;
    case XenbusStateClosing:
        vif_disconnect(v);
        set_state(v, XenbusStateClosing);
        break;
    case XenbusStateClosed:
        vif_disconnect(v);
        set_state(v, XenbusStateClosed);
        break;
    case XenbusStateInitialising:
        vif_disconnect(v);
        if (v->state != XenbusStateInitWait)
            vif_advertise(v);
        break;
    case XenbusStateUnknown: /* no such node: not there yet, or gone */
        vif_disconnect(v);
        if (v->state == XenbusStateInitialising)
            vif_advertise(v);
        else if (v->state != XenbusStateInitWait)
            set_state(v, XenbusStateClosed);
        break;
    default:
        if (v->state == XenbusStateInitialising)
            vif_advertise(v);
        break;
    }
}

static void vif_update(struct vif *v)
{
    char dir[48];
    uint64_t state, fe, online;

    v->dirty = false;
    if (!vif_identify(v))
        return;
    snprintf(dir, sizeof(dir), "backend/vif/%u/%u", v->dom, v->devid);
    if (!v->state) {
        if (!read_number(dir, "state", XenbusStateInitialising, &state)) {
            retry_later(v);
            return;
        }
        v->state = state <= XenbusStateClosed ? (int)state : XenbusStateInitialising;
    }
    if (!read_number(dir, "online", 1, &online) || !read_number(v->fe_path, "state", XenbusStateUnknown, &fe)) {
        retry_later(v);
        return;
    }
    vif_follow(v, fe, online);
}

static void vif_found(unsigned dom, unsigned devid)
{
    struct vif *free_vif = NULL;

    for (unsigned i = SW_PORTS - 1; i > 0; i--) {
        if (vifs[i].used && vifs[i].dom == dom && vifs[i].devid == devid) {
            vifs[i].dirty = true;
            return;
        }
        if (!vifs[i].used)
            free_vif = &vifs[i];
    }
    if (!free_vif) {
        printf("vif%u.%u: more than %u vifs\n", dom, devid, KEEP_VIFS);
        return;
    }
    free_vif->used = free_vif->dirty = true;
    free_vif->dom = (domid_t)dom;
    free_vif->devid = (uint16_t)devid;
}

static bool number(const char *s, unsigned max, unsigned *v)
{
    char *end;
    unsigned long n = strtoul(s, &end, 10);

    *v = (unsigned)n;
    return end != s && (!*end || *end == '/') && n <= max;
}

static void scan(void)
{
    unsigned ndoms, ndevs, dom, devid;
    char path[48];

    rescan = false;
    for (unsigned i = 1; i < SW_PORTS; i++)
        vifs[i].dirty = vifs[i].used;
    char **doms = xs_ls(0, "backend/vif", &ndoms);
    bool all = doms || xs_error == ENOENT;
    for (unsigned i = 0; doms && i < ndoms; i++) {
        if (!number(doms[i], DOMID_FIRST_RESERVED - 1, &dom))
            continue;
        snprintf(path, sizeof(path), "backend/vif/%u", dom);
        char **devs = xs_ls(0, path, &ndevs);
        all = all && (devs || xs_error == ENOENT);
        for (unsigned k = 0; devs && k < ndevs; k++) {
            if (number(devs[k], 0xffff, &devid))
                vif_found(dom, devid);
        }
        free(devs);
    }
    free(doms);
    if (all)
        return;
    rescan = true; /* the event that said so is gone: nobody will say it again */
    retry_soon();
}

/* Something under backend/vif: one vif if the path names it, else all. Our own writes come by here too. */
static void be_changed(const char *path, void *arg)
{
    const char *at = strstr(path, "backend/vif/"), *slash;
    unsigned dom, devid;

    (void)arg;
    slash = at ? strchr(at + 12, '/') : NULL;
    if (!slash || !number(at + 12, DOMID_FIRST_RESERVED - 1, &dom) || !number(slash + 1, 0xffff, &devid)) {
        rescan = true;
        return;
    }
    const char *key = strchr(slash + 1, '/');
    if (key && strcmp(key, "/online") && strcmp(key, "/frontend") && strcmp(key, "/mac"))
        return;
    vif_found(dom, devid);
}

void vifs_store_work(void)
{
    for (unsigned i = 1; i < SW_PORTS; i++) {
        struct vif *v = &vifs[i];
        if (v->connected && v->nb.broken && !v->told) {
            v->told = true;
            printf("vif%u.%u: front-end broke the protocol: %s; not served any more\n", v->dom, v->devid, v->nb.broken);
        }
    }
    if (retry_at && now_ns() < retry_at)
        return;
    retry_at = 0;
    retry_timer.fn = retry_due;
    if (!watching) {
        watching = !xs_watch("backend/vif", be_changed, NULL);
        if (!watching) {
            retry_soon();
            return;
        }
    }
    if (rescan)
        scan();
    for (unsigned i = 1; i < SW_PORTS; i++) {
        if (vifs[i].used && vifs[i].dirty)
            vif_update(&vifs[i]);
    }
}
