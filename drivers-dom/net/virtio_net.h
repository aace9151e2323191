/* SPDX-License-Identifier: MIT */
/*
 * virtio-net as the uplink: one receive and one transmit queue of 256, buffers from the pool, no completion interrupts for
 * transmission. DMA is identity-mapped own memory behind the IOMMU and never remapped.
 *
 * The device is trusted with frames only: indices and lengths that it writes are checked, and nonsense ends this instance, because
 * restart is the one way back that is tested.
 */
#pragma once
#include <bh.h>
#include <virtio.h>
#include "keep.h"
#include "pkt.h"

/* 5.1.3 feature bits */
#define VIRTIO_NET_F_CSUM       (1ull << 0)
#define VIRTIO_NET_F_GUEST_CSUM (1ull << 1)
#define VIRTIO_NET_F_MAC        (1ull << 5)
#define VIRTIO_NET_F_MRG_RXBUF  (1ull << 15)

/* 5.1.6: in front of every frame, both ways */
#define VNET_HDR_NEEDS_CSUM 1u
#define VNET_HDR_DATA_VALID 2u
struct virtio_net_hdr {
    uint8_t flags, gso_type;
    uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
_Static_assert(sizeof(struct virtio_net_hdr) == 12, "5.1.6");

#define VNET_PORTS 16

struct vq {
    struct vring r;
    struct pkt *pkt[VQ_SIZE];        /* by descriptor */
    uint16_t free[VQ_SIZE], nr_free; /* Tx descriptors */
};

struct vnet {
    struct virtio_dev dev;
    struct pkt_pool *pool;
    struct vq rx, tx;
    uint32_t sbdf;
    /* Tx descriptors of each port, and how many one port may have: a port that sends more than the wire takes finds its own share
     * full, not that of the others. */
    uint16_t tx_held[VNET_PORTS], tx_share;
    bool up;
    uint16_t rx_rest; /* buffers to come of a frame that was dropped */
    /* rx_length: frames that do not fit; rx_errors: blank checksums outside of the frame; dropped: for want of room. */
    uint64_t rx_packets, rx_dropped, rx_length, rx_errors, tx_packets, tx_dropped;
};

/* Device reset, then DMA, then queues (docs/restart-protocol.md 3), by what the core says of it. NULL, or why the device cannot be used: then it
 * has no DMA. */
const char *vnet_start(struct vnet *n, const struct bh_pci_info *dev, struct pkt_pool *pool,
                       event_fn irq, void *arg);
/* Frames that came in, at most `budget`; each is the callee's only for the call (pkt_get to keep it). Returns how many. */
unsigned vnet_receive(struct vnet *n, unsigned budget, void (*deliver)(void *arg, struct pkt *p),
                      void *arg);
/* A blank checksum has been found (pkt_csum_find). */
void vnet_send(struct vnet *n,
               struct pkt *p); /* takes a reference of its own; drops when the queue or p->from's share is full */
void vnet_notify(struct vnet *n); /* once a round: gives buffers back, tells the device what it waits for */
bool vnet_arm(struct vnet *n); /* asks for an interrupt with the next frame; true: there is one already */
bool vnet_sane(const struct vnet *n); /* the device does not ask for a reset */
static inline unsigned vnet_in_flight(const struct vnet *n)
{
    return n->up ? VQ_SIZE - n->tx.nr_free : 0;
}
