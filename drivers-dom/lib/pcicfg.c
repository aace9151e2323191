/* SPDX-License-Identifier: MIT */
/* The domain's own PCI functions, by what the core says of them: see pcicfg.h. */
#include <pcicfg.h>
#include <xen/physdev.h>

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
