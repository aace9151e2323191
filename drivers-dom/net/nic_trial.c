/* SPDX-License-Identifier: MIT */
/*
 * What a NIC writes in the trial of its IOMMU unit: that it sent a frame. The frame is from and to one address, of an EtherType for local
 * experiments (IEEE 802, 9.2.4): no switch passes it on, no host takes it.
 */
#include <string.h>
#include <trial.h>
#include "net.h"
#include "virtio_net.h"

#define TX_QUEUE  1u /* Virtio 1.1, 5.1.2 */
#define FRAME_LEN 60u

const char *virtio_net_trial(const struct bh_pci_info *dev)
{
    static const uint8_t head[14] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };
    struct virtio_request req = { .queue = TX_QUEUE,
                                  .nr = 1,
                                  .desc[0] = { .len = sizeof(struct virtio_net_hdr) + FRAME_LEN } };
    uint8_t *frame = req.data + sizeof(struct virtio_net_hdr);

    memcpy(frame, head, sizeof(head));
    return virtio_trial(dev, VIRTIO_TYPE_NET, &req);
}
