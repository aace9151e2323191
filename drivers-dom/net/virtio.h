/* SPDX-License-Identifier: MIT */
/*
 * Virtio 1.x over PCI: registers and rings as the specification lays them out ("Virtual I/O Device (VIRTIO) Version 1.1":
 * 2.6 split virtqueues, 4.1 PCI transport, 5.1 network device), and the transport's interface (virtio_pci.c).
 */
#pragma once
#include <bh.h>
#include "keep.h"

#define VIRTIO_VENDOR       0x1af4
#define VIRTIO_DEV_NET      0x1041 /* modern */
#define VIRTIO_DEV_NET_OLD  0x1000 /* transitional; used if it has the modern structures as well */

/* 2.1 device status */
#define VIRTIO_ACKNOWLEDGE 1u
#define VIRTIO_DRIVER      2u
#define VIRTIO_DRIVER_OK   4u
#define VIRTIO_FEATURES_OK 8u
#define VIRTIO_NEEDS_RESET 64u
#define VIRTIO_FAILED      128u

/* 6 and 5.1.3 feature bits */
#define VIRTIO_NET_F_CSUM        (1ull << 0)
#define VIRTIO_NET_F_GUEST_CSUM  (1ull << 1)
#define VIRTIO_NET_F_MAC         (1ull << 5)
#define VIRTIO_F_EVENT_IDX       (1ull << 29)
#define VIRTIO_F_VERSION_1       (1ull << 32)
#define VIRTIO_F_ACCESS_PLATFORM (1ull << 33)

/* 4.1.4 vendor capabilities */
#define VIRTIO_CAP_COMMON 1
#define VIRTIO_CAP_NOTIFY 2
#define VIRTIO_CAP_DEVICE 4
#define VIRTIO_NO_VECTOR  0xffff

/* 4.1.4.3 */
struct virtio_common {
    uint32_t device_feature_select, device_feature, driver_feature_select, driver_feature;
    uint16_t msix_config, num_queues;
    uint8_t  device_status, config_generation;
    uint16_t queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
    uint32_t queue_desc_lo, queue_desc_hi, queue_driver_lo, queue_driver_hi, queue_device_lo, queue_device_hi;
};
_Static_assert(offsetof(struct virtio_common, device_status) == 20, "4.1.4.3");
_Static_assert(offsetof(struct virtio_common, queue_select) == 22, "4.1.4.3");
_Static_assert(offsetof(struct virtio_common, queue_desc_lo) == 32, "4.1.4.3");
_Static_assert(sizeof(struct virtio_common) == 56, "4.1.4.3");

/* 2.6.5 - 2.6.8 */
#define VRING_DESC_WRITE 2u
#define VRING_NO_INTERRUPT 1u
#define VRING_NO_NOTIFY 1u
#define VQ_SIZE 256u
struct vring_desc { uint64_t addr; uint32_t len; uint16_t flags, next; };
struct vring_avail { uint16_t flags, idx, ring[VQ_SIZE], used_event; };
struct vring_used_elem { uint32_t id, len; };
struct vring_used { uint16_t flags, idx; struct vring_used_elem ring[VQ_SIZE]; uint16_t avail_event; };
_Static_assert(sizeof(struct vring_desc) == 16, "2.6.5");
_Static_assert(sizeof(struct vring_avail) == 6 + 2 * VQ_SIZE, "2.6.6");
_Static_assert(offsetof(struct vring_used, ring) == 4, "2.6.8");
_Static_assert(offsetof(struct vring_used, avail_event) == 4 + 8 * VQ_SIZE, "2.6.8");

/* 5.1.6: in front of every frame, both ways */
#define VNET_HDR_NEEDS_CSUM 1u
#define VNET_HDR_DATA_VALID 2u
struct virtio_net_hdr { uint8_t flags, gso_type; uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers; };
_Static_assert(sizeof(struct virtio_net_hdr) == 12, "5.1.6");

/* --- transport (virtio_pci.c) ------------------------------------------------------------------------------- */
struct virtio_dev {
    volatile struct virtio_common *common;
    volatile uint8_t *notify;
    uint32_t notify_len, notify_mult;
    uint64_t features; /* negotiated */
};

/* Finds the structures in 256 bytes of configuration space; every offset is held against the BAR that it names. NULL, or why
 * the device is refused. */
const char *virtio_pci_parse(const uint8_t *cfg, const struct bh_pci_info *dev, struct keep_nic *out);
/* The record names memory of this device's BARs (after a restart: it is still the device that we had). */
bool virtio_pci_matches(const struct keep_nic *k, const struct bh_pci_info *dev);
bool virtio_pci_map(struct virtio_dev *v, const struct keep_nic *k);
/* status = 0 until it reads 0 (4.1.4.3.1), which also ends every DMA of the last driver; bounded. */
bool virtio_reset(struct virtio_dev *v);
/* Acknowledges and negotiates. NULL, or why not. */
const char *virtio_negotiate(struct virtio_dev *v, uint64_t wanted);
