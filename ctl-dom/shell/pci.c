/* SPDX-License-Identifier: MIT */
/* Commands: PCI devices. */
#include "shell/command.h"
#include <string.h>
#include "console/console.h"
#include "domain/bridge.h"
#include "domain/pci.h"
#include "store/connection.h"
#include "store/pci_guest.h"
#include "supervise/plug.h"

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
    unsigned i = 0;

    (void)argc;
    for (; d && pci_owned(d->id, i, &info); i++) {
        if (!i)
            out("Vdev Device\n");
        int seen = d->cfg.role == BH_ROLE_GUEST && store_up ? store_pci_place(d, info.sbdf) : -1;
        unsigned place = seen < 0 ? i << 3 : (unsigned)seen;
        out("%02x.%x %s  %04x:%04x  %s, DMA %s, %lu faults\n", place >> 3, place & 7,
            sbdf_text(info.sbdf).s, info.vendor, info.device,
            info.flags & BH_PCI_MSIX  ? "MSI-X"
            : info.flags & BH_PCI_MSI ? "MSI"
                                      : "no MSI-X",
            info.flags & BH_PCI_DMA ? "on" : "off", info.dma_faults);
    }
    if (d && !i)
        out("%s: has no devices (pci-assignable-list shows those that there are for domains)\n",
            d->cfg.name);
    return true;
}

/* --- changes ---------------------------------------------------------------------------------------------------- */
#define FUNCTIONS 8u

/* The devices that a word means: one, or with a star for the function all that there are of a slot. 0: none, which was said. */
static unsigned meant(const char *command, const char *word, uint32_t sbdf[FUNCTIONS],
                      struct cfg_pci *said)
{
    struct bh_pci_info info;
    char why[160];
    unsigned n = 0;

    int rc = config_pci(said, word, why, sizeof(why));
    if (*why)
        out("%s: %s\n", command, why);
    if (rc)
        return 0;
    sbdf[0] = said->sbdf;
    if (!said->all)
        return 1;
    for (unsigned i = 0; i < FUNCTIONS; i++)
        if (pci_find(said->sbdf + i, &info))
            sbdf[n++] = said->sbdf + i;
    if (!n)
        out("%s: there is no device %s\n", command, word);
    return n;
}

/* xl's options, which ask for what is done anyway. */
static char **words(char **argv, const char *option) { return argv + (!strcmp(argv[1], option)); }

static bool change(int argc, char **argv, const char *option,
                   int (*fn)(struct dom *d, const uint32_t *sbdf, unsigned n, struct errbuf *e))
{
    char **w = option ? words(argv, option) : argv;
    uint32_t sbdf[FUNCTIONS];
    struct cfg_pci said, was;
    struct errbuf e;

    if (argv + argc - w < 3 || argv + argc - w > 4)
        return false;
    struct dom *d = command_dom(w[1]);
    unsigned n = d ? meant(argv[0], w[2], sbdf, &said) : 0;
    if (n && argv + argc - w == 4)
        out("%s: the virtual slot '%s' is passed over: devices lie where the core puts them\n",
            argv[0], w[3]);
    if (n && fn == pci_plug)
        was = config_pci_say(&d->cfg, &said);
    if (n && fn(d, sbdf, n, &e)) {
        if (fn == pci_plug)
            (void)config_pci_say(&d->cfg, &was);
        out("%s\n", e.s);
    }
    return true;
}

static bool cmd_pci_attach(int argc, char **argv) { return change(argc, argv, NULL, pci_plug); }

/* A net driver domain goes on without. */
static int detach(struct dom *d, const uint32_t *sbdf, unsigned n, struct errbuf *e)
{
    int rc = pci_unplug(d, sbdf, n, e);

    for (unsigned i = 0; !rc && i < bridges_of(d); i++) {
        bool wire = d->cfg.nr_bridges ? d->cfg.bridge[i].wire : d->cfg.nr_pci;
        if (!wire)
            out("%s: bridge %s has no NIC: its guests reach each other, and nobody else\n",
                d->cfg.name, bridge_name(d, i));
    }
    return rc;
}

static bool cmd_pci_detach(int argc, char **argv) { return change(argc, argv, "-f", detach); }

static bool hide(int argc, char **argv, const char *option, bool on)
{
    char **w = words(argv, option);
    uint32_t sbdf[FUNCTIONS];
    struct bh_pci_info info;
    struct cfg_pci said;
    struct errbuf e;

    if (argv + argc - w != 2)
        return false;
    unsigned n = meant(argv[0], w[1], sbdf, &said);
    for (unsigned i = 0; i < n; i++)
        if (pci_hide(sbdf[i], on, &e))
            out("%s\n", e.s);
        else if (on && pci_find(sbdf[i], &info) && !(info.flags & BH_PCI_IOMMU))
            out("%s: is hidden, but no domain can have it: no IOMMU holds it (a virtio device needs iommu_platform=on)\n",
                sbdf_text(sbdf[i]).s);
    return true;
}

static bool cmd_pci_add(int argc, char **argv) { return hide(argc, argv, "-q", true); }
static bool cmd_pci_remove(int argc, char **argv) { return hide(argc, argv, "-r", false); }

static const struct command rows[] = {
    { "pci-assignable-list", "", "hidden devices and who has them", 0, 0, cmd_pci_assignable_list },
    { "pci-assignable-add", "DEVICE", "takes a device from the platform: domains can have it", 1, 2,
      cmd_pci_add },
    { "pci-assignable-remove", "DEVICE", "gives it back to the platform", 1, 2, cmd_pci_remove },
    { "pci-list", "NAME", "devices of a domain", 1, 1, cmd_pci_list },
    { "pci-attach", "NAME DEVICE",
      "give a device, or say why not; a driver domain restarts with it in place", 2, 3,
      cmd_pci_attach },
    { "pci-detach", "NAME DEVICE", "take it away; a driver domain restarts without it in place", 2,
      3, cmd_pci_detach },
};
const struct commands pci_commands = COMMANDS(rows);
