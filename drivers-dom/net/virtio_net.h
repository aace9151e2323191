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

struct vq {
    struct vring r;
    struct pkt *pkt[VQ_SIZE];        /* by descriptor */
    uint16_t free[VQ_SIZE], nr_free; /* Tx descriptors */
};

struct vnet {
    struct nic nic;
    struct virtio_dev dev;
    struct vq rx, tx;
    uint16_t rx_rest; /* buffers to come of a frame that was dropped */
};
extern const struct nic_ops virtio_net; /* of a struct vnet */
