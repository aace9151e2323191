/* SPDX-License-Identifier: MIT */
/*
 * The uplink as the round sees it, and what a kind of NIC gives for it. A driver is one file: it moves frames between its queues and the
 * pool, says what its device can do, and checks all that the device writes: nonsense ends this instance, because restart is the one way
 * back that is tested. Whose frames the transmit queue holds is counted here: a port that sends more than the wire takes finds its own
 * share full, not that of the others.
 */
#pragma once
#include <bh.h>
#include "pkt.h"

#define NIC_PORTS 68u

/* What a device does itself with a frame that it sends; what it does not is done before. */
#define NIC_CSUM    1u /* fills in a blank checksum that pkt_csum_find found */
#define NIC_TSO4    2u /* cuts a large TCP segment into frames */
#define NIC_TSO6    4u
#define NIC_SCATTER 8u  /* takes a frame in several buffers */
#define NIC_TSO_ECN 16u /* cuts one that says CWR, which is the first frame's alone */
/* It is told where the headers of one that it cuts are: also behind a tag of 802.1Q, within 255 bytes, without options behind IPv6's. */
#define NIC_TSO_TOLD 32u
#define NIC_LARGE    (NIC_CSUM | NIC_TSO4 | NIC_TSO6 | NIC_SCATTER)

struct nic;
typedef void nic_deliver(void *arg,
                         struct pkt *p); /* p is the callee's only for the call (pkt_get to keep it) */

struct nic_ops {
    const char *name;
    /* Device reset, then DMA, then queues (docs/restart-protocol.md 3), by what the core says of it. Sets can, mtu, mtu_max, tx_size. NULL, or
     * why the device cannot be used: then it has no DMA. */
    const char *(*start)(struct nic *n, const struct bh_pci_info *dev, event_fn irq, void *arg);
    unsigned (*receive)(struct nic *n, unsigned budget, nic_deliver *deliver, void *arg);
    /* There is room for its nic_slots(p). Its reference and its place are the driver's until nic_sent. */
    void (*send)(struct nic *n, struct pkt *p);
    void (*reclaim)(struct nic *n); /* nic_sent for each frame that is out */
    void (*notify)(struct nic *n);  /* tells the device of what was posted and sent */
    bool (*arm)(struct nic *n); /* asks for an interrupt with the next frame; true: there is one already */
    bool (*sane)(struct nic *n); /* looked at now and then: the device is there, and does not ask for a reset */
    /* What has to do with the store, between rounds: when to come again at the latest, 0: with the next event. Or NULL */
    uint64_t (*store)(struct nic *n);
};

/* Packets of a port that wait for room, in their order: the first is being cut, `at` is its next segment. It may be more than the port's share. */
#define NIC_WAIT 16u
struct nic_wait {
    struct pkt *pkt[NIC_WAIT];
    uint16_t nr, at;
};

struct nic { /* a driver's own begins with it */
    const struct nic_ops *ops;
    struct pkt_pool *pool;
    uint32_t sbdf;
    unsigned shift; /* set before nic_start: 2^shift NICs share the buffers that one has alone */
    uint32_t can;   /* NIC_* */
    uint16_t mtu, mtu_max;    /* bytes behind the Ethernet header and tags; what the device can */
    uint8_t mac[6];           /* its own, to be told; guests have theirs. 0: it does not say */
    bool no_link;             /* nothing is sent; a driver whose device knows says so */
    uint16_t tx_size, tx_out; /* slots of the transmit queue; those in use */
    uint16_t tx_held[NIC_PORTS], tx_share; /* ... by frames of each port; how many one may use */
    struct nic_wait wait[NIC_PORTS];
    unsigned waiting; /* packets in all of them */
    /* rx_length: frames that do not fit; rx_errors: damaged ones, and blank checksums outside of the frame; dropped: for want of room. */
    uint64_t rx_packets, rx_dropped, rx_length, rx_errors, tx_packets, tx_dropped;
    uint64_t tx_done; /* of tx_packets, those that are out */
};

const char *nic_start(struct nic *n, const struct nic_ops *ops, const struct bh_pci_info *dev,
                      struct pkt_pool *pool, event_fn irq, void *arg);
/* Another MTU than the driver chose, if the device can; else what it can. */
static inline void nic_set_mtu(struct nic *n, unsigned long mtu)
{
    n->mtu = mtu < n->mtu_max ? (uint16_t)mtu : n->mtu_max;
}
/* Takes a reference of its own; drops when there is no link, or the queue or p->from's share is full, but one packet may be longer than that. A blank checksum has been found
 * (pkt_csum_find); what is to be cut (pkt_gso_find) is cut here where the device does not do it, as room comes; what the port sends meanwhile waits behind it. What would wait
 * while fewer than PKT_BUFS buffers are free is dropped. */
void nic_send(struct nic *n, struct pkt *p);
/* How many buffers the port may send now; *idle: the queue has nothing of it. */
unsigned nic_room(struct nic *n, unsigned port, bool *idle);
void nic_give_up(struct nic *n); /* drops what waits for room: it holds buffers, and the device moves nothing */
void nic_notify(struct nic *n); /* once a round: gives buffers back, tells the device what it waits for */
/* something is out only in part: nic_notify goes on with it */
static inline bool nic_waits(const struct nic *n) { return n && n->waiting; }

/* For drivers: the frame is out, or never will be. */
void nic_sent(struct nic *n, struct pkt *p);
static inline unsigned nic_slots(const struct pkt *p) { return p->nr; }
static inline unsigned nic_frame_max(const struct nic *n) { return n->mtu + WIRE_HEAD; }
/* Hardware wants whole frames: nic_send has cleared what follows a short one. */
static inline unsigned nic_wire_len(const struct pkt *p)
{
    return p->len < ETH_MIN ? ETH_MIN : p->len;
}

/* n: NULL if there is no uplink, as in nic_send and nic_notify. */
static inline unsigned nic_receive(struct nic *n, unsigned budget, nic_deliver *deliver, void *arg)
{
    return n ? n->ops->receive(n, budget, deliver, arg) : 0;
}
static inline bool nic_arm(struct nic *n) { return n && n->ops->arm(n); }
static inline bool nic_sane(struct nic *n) { return !n || n->ops->sane(n); }
static inline uint64_t nic_store(struct nic *n)
{
    return n && n->ops->store ? n->ops->store(n) : 0;
}
