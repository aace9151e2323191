/* SPDX-License-Identifier: MIT */
/*
 * net: a net driver domain. Peers and rights:
 *   front-ends    their Tx and Rx rings are mapped, packets move by grant copy; hostile
 *   the NIC       own device behind the IOMMU (dev_dma_enable, one interrupt); its DMA reaches this domain's memory only
 *   the store     own back-end directories; read: the front-ends' ones; may be away
 * It may be killed at any instruction: keep.h and adopt.c. It works in rounds (loop.h, netback.h), one exit each while there is work.
 */
#include <device.h>
#include <loop.h>
#include <stdio.h>
#include <stdlib.h>
#include "e1000e.h"
#include "igb.h"
#include "net.h"
#include "vif.h"
#include "virtio_net.h"

static uint8_t *keep;

/* A kind of NIC, and the memory for one. */
struct kind {
    const struct nic_ops *ops;
    struct nic *nic;
};
static struct vnet vnet;
static struct intel intel;
static const struct kind virtio_kind = { &virtio_net, &vnet.nic },
                         e1000e_kind = { &e1000e_nic, &intel.nic },
                         igb_kind = { &igb_nic, &intel.nic };

static bool is_virtio_net(const struct bh_pci_info *nic) { return virtio_is(nic, VIRTIO_TYPE_NET); }

/* What the configuration says of it, if it says something. */
static void mtu_set(struct nic *n)
{
    char word[8];

    if (!cmdline_get("mtu", word, sizeof(word)))
        return;
    nic_set_mtu(n, strtoul(word, NULL, 10));
    if (n->mtu != strtoul(word, NULL, 10))
        printf("%s: an MTU of %s is more than its NIC has\n", self.name, word);
}

static const char *uplink_start(const struct bh_pci_info *dev, const void *arg)
{
    const struct kind *k = arg;
    const char *why = nic_start(k->nic, k->ops, dev, &net.pool, wakes_only, NULL);

    if (why)
        return why;
    mtu_set(k->nic);
    net.uplink = k->nic;
    return NULL;
}

/* Without a NIC it is an internal switch; with one that cannot be driven, it is none. */
static void uplink_find(void)
{
    static const struct device_driver drivers[] = {
        { is_virtio_net, virtio_net_trial, uplink_start, &virtio_kind },
        { e1000e_is, e1000e_trial, uplink_start, &e1000e_kind },
        { igb_is, igb_trial, uplink_start, &igb_kind },
    };
    struct bh_pci_info nic;
    const char *why = NULL;
    enum device_state is = device_find(drivers, ARRAY_SIZE(drivers),
                                       "none of virtio-net, Intel 82574L and 82576", &nic, &why);

    if (is == DEVICE_UP) {
        switch_port_up(&net.sw, SW_UPLINK, NULL, NULL);
        net.sw.port[SW_UPLINK].mtu = net.uplink->mtu;
    } else if (is == DEVICE_REFUSED)
        device_refused(net.refusal, sizeof(net.refusal), "NIC", &nic, why);
}

static void uplink_check(void)
{
    if (!nic_sane(net.uplink))
        bh_panic("the NIC asks for a reset, or is gone");
}

static const char *uplink_is(void)
{
    if (!net.uplink)
        return net.refusal[0] ? "not there" : "none";
    return net.uplink->ops->name;
}

static struct keep_vif *keep_page(unsigned port)
{
    return (struct keep_vif *)(keep + port * PAGE_SIZE);
}

static bool attached(uint32_t gen, uint64_t *chances)
{
    return be_gen_slot(SLOT_VIF, gen, chances);
}

static uint64_t store(void)
{
    vifs_store_work();
    return vifs_say_stats();
}

int main(void)
{
    static const struct driver driver = { .round = net_round,
                                          .arm = net_arm,
                                          .answered = net_answered,
                                          .check = uplink_check,
                                          .store = store,
                                          .look_again = net_look_again };
    uint64_t start = now_ns();
    unsigned n;

    driver_begin(&driver);
    batch_left_to_wait(&net.batch);
    net_pool_init();
    keep = keep_memory(SW_PORTS, SW_PORTS, &n);
    driver_blame((struct blame *)keep, attached); /* page 0, which is no vif's */
    uplink_find();
    n = vifs_adopt(keep_page);
    batch_flush(&net.batch); /* what the last instance published and did not tell */
    driver_adopted();
    (void)driver_serve(); /* what waited since the last life goes before words about it */
    uint32_t can = net.uplink ? net.uplink->can : 0;
    printf("%s: up, uplink %s%s, MTU %u, %u vifs adopted, %lu us\n", self.name, uplink_is(),
           can & NIC_TSO4   ? " (checksum and segmentation offload)"
           : can & NIC_CSUM ? " (checksum offload)"
                            : "",
           net.uplink ? net.uplink->mtu : 0, n, (now_ns() - start) / 1000);
    driver_run();
}
