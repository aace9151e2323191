/* SPDX-License-Identifier: MIT */
/* Own PCI devices: see pcicfg.h. */
#include <pcicfg.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/physdev.h>

#define XENBUS_CONNECTED 4

bool pci_cfg_from_text(const char *s, uint8_t cfg[PCI_CFG_BYTES])
{
    char two[3] = {0};
    unsigned n = 0, half = 0;

    for (; *s && n < PCI_CFG_BYTES; s++) {
        if (!isxdigit((unsigned char)*s))
            continue;
        two[half++] = *s;
        if (half == 2) {
            cfg[n++] = (uint8_t)strtoul(two, NULL, 16);
            half = 0;
        }
    }
    return n == PCI_CFG_BYTES;
}

/* pciback's directory: the entry dev-N that is our device, once its state is Connected. NULL: not there yet. */
static char *snapshot_text(uint32_t sbdf)
{
    char base[64], path[96], want[16], *dev, *cfg = NULL;
    uint64_t state = 0, n = 0;

    snprintf(want, sizeof(want), PCI_FMT, PCI_ARGS(sbdf));
    snprintf(base, sizeof(base), "/local/domain/%u/backend/pci/%u/0", BH_DOMID_PCIBACK, self.domid);
    snprintf(path, sizeof(path), "%s/state", base);
    if (xs_read_uint(0, path, &state) || state != XENBUS_CONNECTED)
        return NULL;
    snprintf(path, sizeof(path), "%s/num_devs", base);
    if (xs_read_uint(0, path, &n))
        return NULL;
    for (unsigned i = 0; i < n && i < 32 && !cfg; i++) {
        snprintf(path, sizeof(path), "%s/dev-%u", base, i);
        dev = xs_read(0, path);
        if (dev && !strcmp(dev, want)) {
            snprintf(path, sizeof(path), "%s/cfg-%u", base, i);
            cfg = xs_read(0, path);
        }
        free(dev);
    }
    return cfg;
}

int pci_cfg_snapshot(uint32_t sbdf, uint8_t cfg[PCI_CFG_BYTES])
{
    char *text = snapshot_text(sbdf);

    if (!text)
        return -EAGAIN;
    bool whole = pci_cfg_from_text(text, cfg);
    free(text);
    return whole ? 0 : -EINVAL;
}

const char *pci_irq_bind(uint32_t sbdf, unsigned entry, event_fn fn, void *arg)
{
    struct physdev_map_pirq m = {
        .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_MSI, .index = -1, .pirq = -1,
        .bus = (int)(sbdf >> 16 << 16 | (sbdf >> 8 & 0xff)), .devfn = (int)(sbdf & 0xff), .entry_nr = (uint16_t)entry,
    };

    if (hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_map_pirq, (uint64_t)&m, 0, 0))
        return "its interrupt cannot be mapped";
    return event_bind_pirq((uint32_t)m.pirq, fn, arg) < 0 ? "its interrupt cannot be bound" : NULL;
}
