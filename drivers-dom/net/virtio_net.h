/* SPDX-License-Identifier: MIT */
/*
 * virtio-net as the uplink: one receive and one transmit queue of 256, buffers from the pool, no completion interrupts for
 * transmission. DMA is identity-mapped own memory behind the IOMMU and never remapped.
 */
#pragma once
#include <bh.h>
#include <virtio.h>
#include "nic.h"

/* 5.1.3 feature bits */
#define VIRTIO_NET_F_CSUM       (1ull << 0)
#define VIRTIO_NET_F_GUEST_CSUM (1ull << 1)
#define VIRTIO_NET_F_MTU        (1ull << 3)
#define VIRTIO_NET_F_MAC        (1ull << 5)
#define VIRTIO_NET_F_GUEST_TSO4 (1ull << 7)
#define VIRTIO_NET_F_GUEST_TSO6 (1ull << 8)
#define VIRTIO_NET_F_GUEST_ECN  (1ull << 9)
#define VIRTIO_NET_F_HOST_TSO4  (1ull << 11)
#define VIRTIO_NET_F_HOST_TSO6  (1ull << 12)
#define VIRTIO_NET_F_HOST_ECN   (1ull << 13)
#define VIRTIO_NET_F_MRG_RXBUF  (1ull << 15)
#define VIRTIO_NET_F_STATUS     (1ull << 16)

/* 5.1.4: what the device says of itself */
#define VNET_STATUS  6u /* 16 bits; after its address */
#define VNET_LINK_UP 1u
#define VNET_MTU     10u /* 16 bits */
#define VNET_MTU_MIN 68u /* RFC 791: what any has */

/* 5.1.6: in front of every frame, both ways */
#define VNET_HDR_NEEDS_CSUM 1u
#define VNET_HDR_DATA_VALID 2u
#define VNET_GSO_TCP4       1u
#define VNET_GSO_TCP6       4u
#define VNET_GSO_ECN        0x80u /* CWR is set */
struct virtio_net_hdr {
    uint8_t flags, gso_type;
    uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
_Static_assert(sizeof(struct virtio_net_hdr) == 12, "5.1.6");

struct vq {
    struct vring r;
    struct pkt *pkt[VQ_SIZE]; /* by descriptor, the first of a chain */
    uint16_t next[VQ_SIZE]; /* Tx: the chains; what is in the descriptors is the device's to damage */
    uint16_t free[VQ_SIZE], nr_free; /* Tx descriptors */
};

struct vnet {
    struct nic nic;
    struct virtio_dev dev;
    struct vq rx, tx;
    struct pkt *rx_frame,
        *rx_last; /* a frame that is not there as a whole, or NULL: what comes of it is dropped */
    uint16_t rx_rest; /* its buffers to come */
    bool link_news;   /* it may have come or gone */
};
extern const struct nic_ops virtio_net; /* of a struct vnet */
