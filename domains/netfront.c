/* SPDX-License-Identifier: MIT */
/* A front-end for the small domains of the tests: see netfront.h. Protocol: <xen/io/netif.h>, states: <xen/io/xenbus.h>. */
#include "internal.h"
#include <devname.h>
#include <errno.h>
#include <netfront.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/xenbus.h>

static void broken(struct netfront *nf, const char *what, uint32_t a, uint32_t b)
{
    nf->violations++;
    printf("netfront: BROKEN vif %u: %s (%u, %u)\n", nf->devid, what, a, b);
}

/* Takes a grant back; the back-end must have let go of it before it answered. */
static void end_grant(struct netfront *nf, struct netfront_slot *s, const char *which)
{
    int rc = grant_end(s->ref);

    if (rc) {
        broken(nf, which, s->ref, (uint32_t)-rc);
        s->page = page_alloc(1); /* the other end may still write to the old one: it is lost */
    }
    s->pending = false;
}

/* Checks a producer index against the ring and its own past. */
static bool index_ok(struct netfront *nf, const char *which, uint32_t prod, uint32_t cons,
                     uint32_t req_prod, uint32_t *seen)
{
    if (prod - cons > req_prod - cons) {
        broken(nf, which, prod, req_prod);
        return false;
    }
    if (prod - cons < *seen - cons) {
        broken(nf, "producer index went back", prod, *seen);
        return false;
    }
    *seen = prod;
    return true;
}

/* --- transmit --- */

/* What is there now; false: the ring makes no sense. */
static bool tx_pass(struct netfront *nf)
{
    uint32_t prod = READ_ONCE(nf->tx.sring->rsp_prod);

    rmb();
    if (!index_ok(nf, "tx responses exceed requests", prod, nf->tx.rsp_cons, nf->tx.req_prod_pvt,
                  &nf->tx_seen))
        return false;
    for (; nf->tx.rsp_cons != prod; nf->tx.rsp_cons++) {
        netif_tx_response_t rsp = *RING_GET_RESPONSE(&nf->tx, nf->tx.rsp_cons);

        if (rsp.status == NETIF_RSP_NULL)
            continue;
        if (rsp.id >= NETFRONT_SLOTS || !nf->tx_slot[rsp.id].pending) {
            broken(nf, "tx response for no pending request", rsp.id, nf->tx.rsp_cons);
            continue;
        }
        end_grant(nf, &nf->tx_slot[rsp.id], "tx grant in use");
        if (rsp.status != NETIF_RSP_OKAY)
            nf->tx_errors++;
    }
    return true;
}

static void tx_reap(struct netfront *nf)
{
    int more = 1;

    while (more && tx_pass(nf))
        RING_FINAL_CHECK_FOR_RESPONSES(&nf->tx, more);
}

static int free_slot(struct netfront *nf)
{
    for (int i = 0; i < NETFRONT_SLOTS; i++)
        if (!nf->tx_slot[i].pending && nf->tx_slot[i].page)
            return i;
    return -1;
}

uint8_t *netfront_frame(struct netfront *nf)
{
    if (!nf->connected)
        return NULL;
    if (nf->tx_next < 0)
        nf->tx_next = free_slot(nf);
    if (nf->tx_next < 0) {
        tx_reap(nf);
        nf->tx_next = free_slot(nf);
    }
    if (nf->tx_next < 0) {
        nf->tx_full++;
        return NULL;
    }
    return nf->tx_slot[nf->tx_next].page;
}

int netfront_send(struct netfront *nf, unsigned len, bool csum_blank)
{
    if (!nf->connected)
        return -ENOTCONN;
    if (!len || len > PAGE_SIZE)
        return -EMSGSIZE;
    if (nf->tx_next < 0)
        return -EINVAL;
    struct netfront_slot *s = &nf->tx_slot[nf->tx_next];
    int ref = grant_give(nf->backend_id, s->page, GRANT_RO);
    if (ref < 0)
        return ref;
    s->ref = (uint32_t)ref;
    s->pending = true;
    *RING_GET_REQUEST(&nf->tx, nf->tx.req_prod_pvt) = (netif_tx_request_t){
        .gref = s->ref,
        .offset = 0,
        .flags = csum_blank ? NETTXF_csum_blank | NETTXF_data_validated : 0,
        .id = (uint16_t)nf->tx_next,
        .size = (uint16_t)len,
    };
    nf->tx_next = -1;
    nf->tx.req_prod_pvt++;
    int notify;
    RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&nf->tx, notify);
    if (notify)
        event_send((uint32_t)nf->port);
    nf->sent++;
    return 0;
}

/* --- receive --- */

static void rx_post(struct netfront *nf)
{
    bool any = false;

    while (nf->rx.req_prod_pvt - nf->rx.rsp_cons < NETFRONT_SLOTS) {
        uint32_t at = nf->rx.req_prod_pvt;
        struct netfront_slot *s = &nf->rx_slot[at % NETFRONT_SLOTS];
        int ref = s->page ? grant_give(nf->backend_id, s->page, 0) : -1;

        if (ref < 0)
            break;
        s->ref = (uint32_t)ref;
        s->pending = true;
        *RING_GET_REQUEST(&nf->rx, at) = (netif_rx_request_t){
            .id = (uint16_t)(at & (RING_SIZE(&nf->rx) - 1)),
            .gref = s->ref,
        };
        nf->rx.req_prod_pvt++;
        any = true;
    }
    if (!any)
        return;
    int notify;
    RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&nf->rx, notify);
    if (notify)
        event_send((uint32_t)nf->port);
}

static void rx_one(struct netfront *nf, const netif_rx_response_t *rsp, struct netfront_slot *s)
{
    bool skip = nf->rx_skip;

    nf->rx_skip = rsp->flags & NETRXF_more_data;
    if (rsp->flags & NETRXF_extra_info)
        broken(nf, "rx extra info was not negotiated", rsp->flags, rsp->id);
    if (rsp->status < 0 || rsp->offset + (unsigned)rsp->status > PAGE_SIZE) {
        if (rsp->status >= 0)
            broken(nf, "rx frame leaves its page", rsp->offset, (uint32_t)rsp->status);
        nf->rx_errors++;
        return;
    }
    if (skip || nf->rx_skip) {
        broken(nf, "rx packet of several slots was not negotiated", rsp->id, rsp->flags);
        return;
    }
    nf->received++;
    nf->fn(nf, s->page + rsp->offset, (unsigned)rsp->status,
           rsp->flags & (NETRXF_csum_blank | NETRXF_data_validated), nf->arg);
}

/* As tx_pass: at most as many as were posted before. */
static bool rx_pass(struct netfront *nf)
{
    uint32_t prod = READ_ONCE(nf->rx.sring->rsp_prod);

    rmb();
    if (!index_ok(nf, "rx responses exceed requests", prod, nf->rx.rsp_cons, nf->rx.req_prod_pvt,
                  &nf->rx_seen))
        return false;
    while (nf->rx.rsp_cons != prod) {
        uint32_t at = nf->rx.rsp_cons++;
        netif_rx_response_t rsp = *RING_GET_RESPONSE(&nf->rx, at);
        struct netfront_slot *s = &nf->rx_slot[at % NETFRONT_SLOTS];

        if (rsp.id != (at & (RING_SIZE(&nf->rx) - 1)))
            broken(nf, "rx response has another id", rsp.id, at);
        end_grant(nf, s, "rx grant in use");
        if (s->page)
            rx_one(nf, &rsp, s);
    }
    rx_post(nf);
    return true;
}

void netfront_poll(struct netfront *nf)
{
    if (!nf->connected)
        return;
    nf->insane = !tx_pass(nf);
    nf->insane |= !rx_pass(nf);
}

bool netfront_arm(struct netfront *nf)
{
    int more = 0;

    if (nf->connected)
        RING_FINAL_CHECK_FOR_RESPONSES(&nf->rx, more);
    return more && !nf->insane;
}

static void on_event(uint32_t port, void *arg)
{
    struct netfront *nf = arg;
    int more = 1;

    (void)port;
    if (nf->polled || !nf->tx.sring || !nf->rx.sring)
        return;
    tx_reap(nf);
    while (more && rx_pass(nf))
        RING_FINAL_CHECK_FOR_RESPONSES(&nf->rx, more);
}

/* --- connecting --- */

static int make_rings(struct netfront *nf, int *tx_ref, int *rx_ref)
{
    if (!nf->tx.sring) {
        void *tx = page_alloc(1), *rx = page_alloc(1);

        if (!tx || !rx)
            return -ENOMEM;
        SHARED_RING_INIT((netif_tx_sring_t *)tx);
        SHARED_RING_INIT((netif_rx_sring_t *)rx);
        FRONT_RING_INIT(&nf->tx, (netif_tx_sring_t *)tx, PAGE_SIZE);
        FRONT_RING_INIT(&nf->rx, (netif_rx_sring_t *)rx, PAGE_SIZE);
        for (unsigned i = 0; i < NETFRONT_SLOTS; i++) {
            nf->tx_slot[i].page = page_alloc(1);
            nf->rx_slot[i].page = page_alloc(1);
            if (!nf->tx_slot[i].page || !nf->rx_slot[i].page)
                return -ENOMEM;
        }
    }
    *tx_ref = grant_give(nf->backend_id, nf->tx.sring, 0);
    *rx_ref = grant_give(nf->backend_id, nf->rx.sring, 0);
    return *tx_ref < 0 || *rx_ref < 0 ? -ENOSPC : 0;
}

static int write_key(struct netfront *nf, uint32_t tx, const char *key, int value)
{
    char path[80];

    snprintf(path, sizeof(path), "%s/%s", nf->path, key);
    return xs_printf(tx, path, "%d", value);
}

static int publish(struct netfront *nf, int tx_ref, int rx_ref)
{
    const struct {
        const char *key;
        int value;
    } keys[] = {
        { "tx-ring-ref", tx_ref }, { "rx-ring-ref", rx_ref },  { "event-channel", nf->port },
        { "request-rx-copy", 1 },  { "feature-rx-notify", 1 }, { "feature-ipv6-csum-offload", 1 },
    };
    uint32_t tx;
    int rc;

    do {
        rc = xs_tx_start(&tx);
        if (rc)
            return rc;
        for (unsigned i = 0; i < ARRAY_SIZE(keys) && !rc; i++)
            rc = write_key(nf, tx, keys[i].key, keys[i].value);
        int end = xs_tx_end(tx, !rc);
        if (!rc)
            rc = end;
    } while (rc == -EAGAIN);
    return rc;
}

static void connect(struct netfront *nf)
{
    int tx_ref, rx_ref, rc = make_rings(nf, &tx_ref, &rx_ref);
    char path[120];
    uint64_t fills = 0;

    snprintf(path, sizeof(path), "%s/feature-ipv6-csum-offload", nf->backend);
    nf->csum_offload = !xs_read_uint(0, path, &fills) && fills;
    if (!rc) {
        nf->port = event_alloc_unbound(nf->backend_id, on_event, nf);
        rc = nf->port < 0 ? nf->port : publish(nf, tx_ref, rx_ref);
    }
    if (rc) {
        printf("netfront: vif %u cannot connect: %d\n", nf->devid, rc);
        return;
    }
    nf->connected = true;
    rx_post(nf);
    write_key(nf, 0, "state", XenbusStateConnected);
    printf("netfront: vif %u connected to %s\n", nf->devid, nf->backend);
}

static void on_backend_state(const char *path, void *arg)
{
    struct netfront *nf = arg;
    uint64_t state = XenbusStateUnknown;

    if (xs_read_uint(0, path, &state))
        return;
    if (nf->ending) { /* it is to let go of what our last life had, before it offers anything to this one */
        if (state != XenbusStateClosed)
            return;
        nf->ending = false;
        write_key(nf, 0, "state", XenbusStateInitialising);
        return;
    }
    if (state == XenbusStateInitWait && !nf->connected)
        connect(nf);
    if ((state == XenbusStateClosing || state == XenbusStateClosed) && nf->connected) {
        printf("netfront: vif %u closed by its back-end\n", nf->devid);
        nf->connected = false;
        write_key(nf, 0, "state", XenbusStateClosed);
    }
}

int netfront_open(struct netfront *nf, unsigned devid, netfront_rx_fn fn, void *arg)
{
    char path[96];
    uint64_t id;

    memset(nf, 0, sizeof(*nf));
    nf->devid = devid;
    nf->tx_next = -1;
    nf->fn = fn;
    nf->arg = arg;
    snprintf(nf->path, sizeof(nf->path), "device/vif/%u", devid);
    snprintf(path, sizeof(path), "%s/backend", nf->path);
    char *text = xs_read(0, path);
    if (!text)
        return -xs_error;
    strlcpy(nf->backend, text, sizeof(nf->backend));
    free(text);
    snprintf(path, sizeof(path), "%s/backend-id", nf->path);
    int rc = xs_read_uint(0, path, &id);
    if (rc)
        return rc;
    nf->backend_id = (domid_t)id;
    snprintf(path, sizeof(path), "%s/mac", nf->path);
    text = xs_read(0, path);
    bool ok = text && mac_parse(text, nf->mac);
    free(text);
    if (!ok)
        return -EINVAL;
    /* Initialising is how the toolstack makes it; anything else is our last life's. */
    snprintf(path, sizeof(path), "%s/state", nf->path);
    rc = xs_read_uint(0, path, &id);
    if (rc)
        return rc;
    nf->ending = id != XenbusStateInitialising;
    if (nf->ending)
        rc = write_key(nf, 0, "state", XenbusStateClosed);
    if (rc)
        return rc;
    snprintf(path, sizeof(path), "%s/state", nf->backend);
    return xs_watch(path, on_backend_state, nf);
}
