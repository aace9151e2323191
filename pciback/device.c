/* SPDX-License-Identifier: MIT */
/* device.h. The core checks each request itself: whose the device is, and what may be switched. */
#include "device.h"
#include <bh.h>
#include <errno.h>

#define PLACES 64u
#define SYNC_NS \
    (20 * NS_PER_MS) /* a kernel probes one slot after the other, and each look is at all devices */

/* Where in the core's list a device was found last; it is looked at again each time. */
static struct {
    uint32_t sbdf, index;
} found[PLACES];

static bool info_at(uint32_t index, struct bh_pci_info *info)
{
    *info = (struct bh_pci_info){ .index = index };
    return !bh_ctl_pci_info(info);
}

static bool find(uint32_t sbdf, struct bh_pci_info *info)
{
    unsigned place = (sbdf ^ sbdf >> 3 ^ sbdf >> 8) % PLACES;

    if (found[place].sbdf == sbdf && info_at(found[place].index, info) && info->sbdf == sbdf)
        return true;
    for (uint32_t i = 0; info_at(i, info); i++)
        if (info->sbdf == sbdf) {
            found[place].sbdf = sbdf;
            found[place].index = i;
            return true;
        }
    return false;
}

static bool is_of(domid_t dom, const struct bh_pci_info *info)
{
    return info->state == BH_PCI_ASSIGNED && info->domid == dom;
}

static bool owned(domid_t dom, uint32_t sbdf, struct bh_pci_info *info)
{
    return find(sbdf, info) && is_of(dom, info);
}

static uint32_t cfg_read(uint32_t sbdf, unsigned off)
{
    struct bh_pci_cfg c = { .sbdf = sbdf, .off = (uint16_t)off, .size = 4 };

    return bh_ctl_pci_cfg(&c) ? ~0u : c.value;
}

static void cfg_write(uint32_t sbdf, unsigned off, unsigned size, uint32_t value)
{
    struct bh_pci_cfg c = {
        .sbdf = sbdf, .off = (uint16_t)off, .size = (uint8_t)size, .write = 1, .value = value
    };

    (void)bh_ctl_pci_cfg(&c);
}

static int set(domid_t dom, uint32_t sbdf, enum vconfig_set what, uint64_t address, uint32_t *value)
{
    static const uint16_t of_core[] = {
        [VC_MASTER] = BH_PCI_SET_MASTER, [VC_MSI] = BH_PCI_SET_MSI, [VC_PIRQ] = BH_PCI_SET_PIRQ, [VC_RESET] = BH_PCI_SET_RESET
    };
    struct bh_pci_set s = {
        .sbdf = sbdf, .domid = dom, .what = of_core[what], .address = address, .value = *value
    };
    long rc = bh_ctl_pci_set(&s);

    *value = s.value;
    return rc > 0 ? -EAGAIN : (int)rc;
}

const struct vconfig_ops device_ops = { owned, cfg_read, cfg_write, set };

void device_sync(domid_t dom)
{
    static struct {
        domid_t dom;
        uint64_t until;
    } last[PLACES];
    struct bh_pci_info info;
    uint64_t now = now_ns();

    /* Its kernel looks once, so others' asking is nothing to it. */
    if (last[dom % PLACES].dom == dom && now < last[dom % PLACES].until)
        return;
    last[dom % PLACES].dom = dom;
    last[dom % PLACES].until = now + SYNC_NS;
    for (uint32_t i = 0; info_at(i, &info); i++)
        if (is_of(dom, &info))
            (void)vconfig_add(dom, info.sbdf, -1);
}

void device_drop(void)
{
    struct bh_pci_info info;
    uint32_t sbdf;

    for (int dom = vconfig_owner(-1); dom >= 0; dom = vconfig_owner(dom))
        for (unsigned i = 0; vconfig_nth((domid_t)dom, i, &sbdf) >= 0;)
            if (owned((domid_t)dom, sbdf, &info))
                i++;
            else
                vconfig_remove((domid_t)dom, sbdf);
}
