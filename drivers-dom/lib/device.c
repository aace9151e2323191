/* SPDX-License-Identifier: MIT */
/* A driver domain's own device: see device.h. */
#include <device.h>
#include <stdio.h>
#include <xen/physdev.h>

const char *device_start(const struct device_driver *drivers, unsigned n, const char *foreign,
                         const struct bh_pci_info *dev)
{
    for (unsigned i = 0; i < n; i++) {
        if (!drivers[i].match(dev))
            continue;
        const char *why = drivers[i].trial(dev);
        return why ? why : drivers[i].start(dev, drivers[i].arg);
    }
    return foreign;
}

enum device_state device_find(const struct device_driver *drivers, unsigned n, const char *foreign,
                              struct bh_pci_info *dev, const char **why)
{
    *dev = (struct bh_pci_info){ .index = 0 };
    if (bh_svc_devices(dev))
        return DEVICE_NONE;
    *why = device_start(drivers, n, foreign, dev);
    return *why ? DEVICE_REFUSED : DEVICE_UP;
}

void device_refused(char *text, size_t size, const char *what, const struct bh_pci_info *dev,
                    const char *why)
{
    snprintf(text, size, "%s " PCI_FMT " refused: %s", what, PCI_ARGS(dev->sbdf), why);
    printf("%s: %s\n", self.name, text);
}

const char *pci_irq_bind(uint32_t sbdf, unsigned entry, event_fn fn, void *arg)
{
    struct physdev_map_pirq m = {
        .domid = DOMID_SELF,
        .type = MAP_PIRQ_TYPE_MSI,
        .index = -1,
        .pirq = -1,
        .bus = (int)(sbdf >> 16 << 16 | (sbdf >> 8 & 0xff)),
        .devfn = (int)(sbdf & 0xff),
        .entry_nr = (uint16_t)entry,
    };

    if (hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_map_pirq, (uint64_t)&m, 0, 0))
        return "its interrupt cannot be mapped";
    return event_bind_pirq((uint32_t)m.pirq, fn, arg) < 0 ? "its interrupt cannot be bound" : NULL;
}

void *keep_memory(unsigned least, unsigned instead, unsigned *n)
{
    *n = self.nr_keep;
    if (self.keep && *n >= least)
        return self.keep;
    printf("%s: %u keep pages, %u are needed: a restart will find nothing\n", self.name, *n, least);
    *n = instead;
    void *mem = page_alloc(instead);
    if (!mem)
        bh_panic("no memory for keep records");
    return mem;
}
