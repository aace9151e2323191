/* SPDX-License-Identifier: MIT */
/* Commands: PCI devices. */
#include "shell/command.h"
#include <devname.h>
#include <string.h>
#include "console/console.h"
#include "domain/pci.h"
#include "store/hotplug.h"

static const char *owner_name(const struct bh_pci_info *info)
{
    struct dom *d = dom_by_id(info->domid);

    return info->state != BH_PCI_ASSIGNED ? "nobody" : d ? d->cfg.name : "a domain that is gone";
}

static bool cmd_pci_assignable_list(int argc, char **argv)
{
    struct bh_pci_info info = { 0 };

    (void)argc, (void)argv;
    for (uint32_t i = 0;; i++) {
        memset(&info, 0, sizeof(info));
        info.index = i;
        if (bh_ctl_pci_info(&info))
            return true;
        if (info.state != BH_PCI_PLATFORM)
            out("%s  %04x:%04x class %06x group %u  %s%s\n", sbdf_text(info.sbdf).s, info.vendor,
                info.device, info.class_rev >> 8, info.group, owner_name(&info),
                info.flags & BH_PCI_IOMMU ? "" : "  (no IOMMU)");
    }
    return true;
}

static bool cmd_pci_list(int argc, char **argv)
{
    struct bh_pci_info info;
    struct dom *d = command_dom(argv[1]);

    (void)argc;
    for (unsigned i = 0; d && pci_owned(d->id, i, &info); i++) {
        if (!i)
            out("Vdev Device\n");
        out("%02x.0 %s  %04x:%04x  %s, DMA %s, %lu faults\n", i, sbdf_text(info.sbdf).s,
            info.vendor, info.device, info.flags & BH_PCI_MSIX ? "MSI-X" : "no MSI-X",
            info.flags & BH_PCI_DMA ? "on" : "off", info.dma_faults);
    }
    return true;
}

static bool cmd_pci_attach(int argc, char **argv)
{
    struct errbuf e;
    uint32_t sbdf;
    struct dom *d = command_dom(argv[1]);

    (void)argc;
    if (!d)
        return true;
    if (!pci_parse(argv[2], &sbdf)) {
        out("pci-attach: bad device '%s' (bus:slot.function or domain:bus:slot.function)\n", argv[2]);
    } else if (d->cfg.nr_pci == CFG_MAX_PCI) {
        out("%s: has %d devices, no more are possible\n", d->cfg.name, CFG_MAX_PCI);
    } else if (pci_plug(d, sbdf, &e)) {
        out("%s\n", e.s);
    }
    return true;
}

static const struct command rows[] = {
    { "pci-assignable-list", "", "hidden devices and who has them", 0, 0, cmd_pci_assignable_list },
    { "pci-list", "NAME", "devices of a domain", 1, 1, cmd_pci_list },
    { "pci-attach", "NAME DEVICE", "give a device, or say why not", 2, 2, cmd_pci_attach },
};
const struct commands pci_commands = COMMANDS(rows);
