/* SPDX-License-Identifier: MIT */
/*
 * A network front-end: one queue, one event channel, frames of at most one page (no scatter-gather, no segmentation); checksums of TCP and UDP
 * may be left to the back-end, and by it.
 *
 * Responses are held to the rules that Linux's front-end enforces (ids in range and pending, indices that neither leave
 * the ring nor go back, grants given back). Linux switches the device off at the first violation; this one says
 * `netfront: BROKEN ...`, counts it and goes on, so that a test sees them all.
 *
 * A restart of the back-end in place is invisible: nothing here reacts to it. Closing and Closed are answered by Closed. Our own restart is not: the back-end
 * still has the rings of the last life, so this one says Closed first, waits for the same, and begins anew.
 */
#pragma once
#include <bh.h>
#include <xen/io/netif.h>

#define NETFRONT_SLOTS 64 /* requests in flight, each way */

struct netfront;
/* good: its TCP or UDP checksum need not be looked at (NETRXF_data_validated), or is not there yet (NETRXF_csum_blank). */
typedef void (*netfront_rx_fn)(struct netfront *nf, const uint8_t *frame, unsigned len, bool good,
                               void *arg);

struct netfront_slot {
    uint8_t *page;
    uint32_t ref;
    bool pending;
};
struct netfront {
    unsigned devid;
    char path[40], backend[80]; /* own and the other end's directory */
    domid_t backend_id;
    uint8_t mac[6];
    bool connected;
    bool polled;       /* events do nothing but wake */
    bool insane;       /* its rings, when they were polled last */
    bool ending;       /* the back-end still serves our last life, or may */
    bool csum_offload; /* the back-end fills in blank checksums, of IPv4 and IPv6 */
    int port;
    netif_tx_front_ring_t tx;
    netif_rx_front_ring_t rx;
    struct netfront_slot tx_slot[NETFRONT_SLOTS],
        rx_slot[NETFRONT_SLOTS]; /* tx: by id; rx: by request index */
    int tx_next;                 /* the slot that netfront_frame found, or -1 */
    uint32_t tx_seen, rx_seen;   /* highest producer index that the back-end showed */
    netfront_rx_fn fn;
    void *arg;
    bool rx_skip; /* inside a packet of several slots, which was not asked for */
    uint64_t sent, received, tx_errors, rx_errors, tx_full, violations;
};

/* Finds device/vif/<devid> in the store and watches its back-end; connects when that is ready. 0 or -errno. */
int netfront_open(struct netfront *nf, unsigned devid, netfront_rx_fn fn, void *arg);
/* For who looks by himself (`polled`, set once it is open): takes what is there, so that no back-end can keep him at it; and asks for an event with the next frame.
 * true: there is one already. */
void netfront_poll(struct netfront *nf);
bool netfront_arm(struct netfront *nf);
/* Where the next frame goes, a page; the same one until it is sent. NULL: not connected, or the ring is full. */
uint8_t *netfront_frame(struct netfront *nf);
/* Sends what was put there. csum_blank: where csum_offload is, its TCP or UDP checksum is still to be filled in. -ENOTCONN, -EMSGSIZE, or what
 * grant_give said. */
int netfront_send(struct netfront *nf, unsigned len, bool csum_blank);
