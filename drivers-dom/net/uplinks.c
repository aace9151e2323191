/* SPDX-License-Identifier: MIT */
/*
 * The domain's bridges and the NIC of each. Its command line names them in the order of their numbers, `bridges=xenbr0@18,xenbr1@20,inside`: behind the @
 * stands the NIC, in hexadecimal digits (BH_SBDF); without one the bridge is a switch among guests. No such word: one bridge, with the NIC that there
 * is. A NIC that cannot be driven makes its bridge none: that one's vifs are refused, the others go on.
 */
#include <device.h>
#include <loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "e1000e.h"
#include "igb.h"
#include "net.h"
#include "virtio_net.h"

/* Memory for one of any kind. */
static union place {
    struct nic nic;
    struct vnet vnet;
    struct intel intel;
} places[SW_UPLINKS], *place;

static bool is_virtio_net(const struct bh_pci_info *nic) { return virtio_is(nic, VIRTIO_TYPE_NET); }

static const char *start(const struct bh_pci_info *dev, const void *ops)
{
    return nic_start(&place->nic, ops, dev, &net.pool, wakes_only, NULL);
}

static const struct device_driver drivers[] = {
    { is_virtio_net, virtio_net_trial, start, &virtio_net },
    { e1000e_is, e1000e_trial, start, &e1000e_nic },
    { igb_is, igb_trial, start, &igb_nic },
};

static void refuse(unsigned b, const struct bh_pci_info *dev, const char *why)
{
    device_refused(net.refusal[b], sizeof(net.refusal[b]), "NIC", dev, why);
}

/* What the configuration says of it, if it says something. */
static void mtu_set(struct nic *n)
{
    char word[8];

    if (!cmdline_get("mtu", word, sizeof(word)))
        return;
    nic_set_mtu(n, strtoul(word, NULL, 10));
    if (n->mtu != strtoul(word, NULL, 10))
        printf("%s: an MTU of %s is more than its NIC " PCI_FMT " has\n", self.name, word,
               PCI_ARGS(n->sbdf));
}

static void uplink_up(unsigned b, const struct bh_pci_info *dev, unsigned shift)
{
    place = &places[b];
    place->nic.shift = shift;
    const char *why = device_start(drivers, ARRAY_SIZE(drivers),
                                   "none of virtio-net, Intel 82574L and 82576", dev);
    if (why) {
        refuse(b, dev, why);
        return;
    }
    net.uplink[b] = &place->nic;
    mtu_set(net.uplink[b]);
    switch_port_up(&net.sw, sw_uplink(b), NULL, &(struct slot_vif){ .bridge = (uint8_t)b });
    net.sw.port[sw_uplink(b)].mtu = net.uplink[b]->mtu;
}

static bool find(uint32_t sbdf, struct bh_pci_info *dev)
{
    for (uint32_t i = 0;; i++) {
        *dev = (struct bh_pci_info){ .index = i };
        if (bh_svc_devices(dev))
            return false;
        if (dev->sbdf == sbdf)
            return true;
    }
}

void uplinks_find(void)
{
    char words[SW_UPLINKS * (BH_NAME_LEN + 10)];
    struct bh_pci_info dev = { .index = 0 };
    unsigned wires = 0, b = 0;

    if (!cmdline_get("bridges", words, sizeof(words))) {
        if (!bh_svc_devices(&dev))
            uplink_up(0, &dev, 0);
        words[0] = '\0';
        b = 1;
    }
    for (const char *at = words; (at = strchr(at, '@')); at++)
        wires++;
    for (char *at = words, *next; *at && b < SW_UPLINKS; at = next, b++) {
        next = at + strcspn(at, ",");
        if (*next)
            *next++ = '\0';
        char *nic = strchr(at, '@');
        if (nic)
            *nic++ = '\0';
        snprintf(net.bridge[b], sizeof(net.bridge[b]), "%s", at);
        uint32_t sbdf = nic ? (uint32_t)strtoul(nic, NULL, 16) : 0;
        if (nic && find(sbdf, &dev))
            uplink_up(b, &dev, wires > 2 ? 2 : wires - 1); /* buffers as one of them would have */
        else if (nic)
            refuse(b, &(struct bh_pci_info){ .sbdf = sbdf }, "it was not given");
    }
    for (; b < SW_UPLINKS; b++)
        snprintf(net.refusal[b], sizeof(net.refusal[b]), "there is no such bridge");
}

void uplinks_check(void)
{
    for (unsigned b = 0; b < SW_UPLINKS; b++)
        if (!nic_sane(net.uplink[b]))
            bh_panic("the NIC asks for a reset, or is gone");
}

static const char *uplink_is(unsigned b)
{
    if (!net.uplink[b])
        return net.refusal[b][0] ? "not there" : "none";
    return net.uplink[b]->ops->name;
}

const char *uplinks_text(void)
{
    static const uint8_t no_mac[6];
    static char text[SW_UPLINKS * (BH_NAME_LEN + 96)];
    size_t at = 0;

    for (unsigned b = 0; b < SW_UPLINKS && net_bridge(b); b++) {
        const struct nic *n = net.uplink[b];
        const uint8_t *mac = n ? n->mac : no_mac;
        uint32_t can = n ? n->can : 0;
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s%s%s", b ? ", " : "",
                               net.bridge[b][0] ? net.bridge[b] : "uplink",
                               net.bridge[b][0] ? ": " : " ", uplink_is(b));
        if (memcmp(mac, no_mac, sizeof(no_mac)))
            at += (size_t)snprintf(text + at, sizeof(text) - at, " %02x:%02x:%02x:%02x:%02x:%02x",
                                   mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s, MTU %u",
                               can & NIC_TSO4   ? " (checksum and segmentation offload)"
                               : can & NIC_CSUM ? " (checksum offload)"
                                                : "",
                               n ? n->mtu : 0);
    }
    return text;
}
