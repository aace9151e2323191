/* SPDX-License-Identifier: MIT */
/*
 * What virtio and NVMe devices and one NIC say of themselves in registers that the core maps for its own eyes, and resetting a device before
 * a new owner sees it. In order of preference: function level reset (PCIe 4.0 6.6.2, or the Advanced Features capability),
 * power state D3hot and back (PCI PM 1.2 5.4.1), secondary bus reset of a device that is alone below its bridge, and the reset
 * that the virtio specification itself defines (1.1, 4.1.4.3.1: device_status = 0 until it reads 0), which is all that virtio
 * functions on a root bus offer. Anything else has no known way to forget its last owner and is refused.
 *
 * Waiting is done in steps: pci_reset_step returns HC_AGAIN until the time is over. Under pci_lock.
 */
#include "pci/pci.h"
#include "mem/paging.h"
#include "pci/pci_int.h"
#include "time/time.h"

#define PCIE_DEVCAP     4
#define PCIE_DEVCTL     8
#define PCIE_DEVCAP_FLR (1u << 28)
#define PCIE_DEVCTL_FLR (1u << 15)
#define AF_CAP          3
#define AF_CTL          4
#define PM_CTL          4
#define PM_NO_SOFT_RST  8u
/* virtio 1.1, 4.1.4.3: the common configuration; 2.1, 6 */
#define VIRTIO_FEATURE_SELECT  0x00
#define VIRTIO_FEATURE         0x04
#define VIRTIO_STATUS          0x14
#define VIRTIO_COMMON_LEN      0x38
#define VIRTIO_ACCESS_PLATFORM (1u << 1) /* bit 33 */
/* NVM Express 1.4, 3.1 */
#define NVME_CC       0x14
#define NVME_CSTS     0x1c
#define NVME_REGS_LEN 0x20
#define NVME_ENABLED  1u /* CC.EN, CSTS.RDY */
/* 82574 datasheet 10.2.5.1, 10.2.6.1: receives, transmits; the same in an 82576 (8.10.1, 8.12.1) */
#define E1000E_RCTL     0x100
#define E1000E_TCTL     0x400
#define E1000E_REGS_LEN 0x404
#define E1000E_ENABLED  2u

/* --- what devices say of themselves ----------------------------------------------------------------------- */

void pci_regs_map(struct pci_dev *p)
{
    const struct pci_part *c = &p->part[VIRTIO_COMMON];
    unsigned len = p->nvme ? NVME_REGS_LEN : E1000E_REGS_LEN;

    if (p->virtio && c->len)
        p->soft_regs = mmio_map(MADDR(p->bar[c->bar].base + c->off), VIRTIO_COMMON_LEN);
    else if ((p->nvme || p->e1000e) && (p->bar[0].flags & BAR_MEM) && p->bar[0].base &&
             p->bar[0].size >= len)
        p->soft_regs = mmio_map(MADDR(p->bar[0].base), len);
}

static volatile uint32_t *soft_reg(const struct pci_dev *p, unsigned off)
{
    return (volatile uint32_t *)(p->soft_regs + off);
}

/* A virtio device without this feature uses the machine's addresses as they are (virtio 1.1, 6); a legacy one cannot have it. */
bool pci_behind_iommu(const struct pci_dev *p)
{
    if (!p->virtio)
        return true;
    if (!p->soft_regs)
        return false;
    *soft_reg(p, VIRTIO_FEATURE_SELECT) = 1;
    return *soft_reg(p, VIRTIO_FEATURE) & VIRTIO_ACCESS_PLATFORM;
}

int pci_at_rest(struct pci_dev *p)
{
    if (!p->virtio && !p->nvme && !p->e1000e)
        return p->past == PCI_FORGOTTEN ? 0 : -EIO;
    if (!p->soft_regs)
        return -EBUSY;
    if (p->nvme)
        return (*soft_reg(p, NVME_CC) | *soft_reg(p, NVME_CSTS)) & NVME_ENABLED ? -EBUSY : 0;
    if (p->e1000e)
        return (*soft_reg(p, E1000E_RCTL) | *soft_reg(p, E1000E_TCTL)) & E1000E_ENABLED ? -EBUSY : 0;
    if (p->soft_regs[VIRTIO_STATUS])
        return -EBUSY;
    /* Queues can be enabled while the status is 0; a reset ends that too, and it has nothing to wait for. */
    p->soft_regs[VIRTIO_STATUS] = 0;
    return p->soft_regs[VIRTIO_STATUS] ? -EBUSY : 0;
}

/* --- resets ----------------------------------------------------------------------------------------------------- */

static bool alone_below_bridge(const struct pci_dev *p)
{
    if (!p->parent)
        return false;
    for (const struct pci_dev *q = pci_devices; q; q = q->next)
        if (q != p && q->parent == p->parent)
            return false;
    return true;
}

void pci_reset_choose(struct pci_dev *p)
{
    if (p->cap_pcie)
        p->devctl = (uint16_t)pci_read(p, p->cap_pcie + PCIE_DEVCTL, 2);
    p->has_flr = p->cap_pcie && (pci_read(p, p->cap_pcie + PCIE_DEVCAP, 4) & PCIE_DEVCAP_FLR);
    if (p->has_flr)
        p->reset = PCI_RESET_FLR;
    else if (p->cap_af && (pci_read(p, p->cap_af + AF_CAP, 1) & 3) == 3)
        p->reset = PCI_RESET_AF;
    else if (p->cap_pm && !(pci_read(p, p->cap_pm + PM_CTL, 2) & PM_NO_SOFT_RST))
        p->reset = PCI_RESET_PM;
    else if (alone_below_bridge(p))
        p->reset = PCI_RESET_BUS;
    else if (p->virtio && p->soft_regs)
        p->reset = PCI_RESET_VIRTIO;
    if (p->reset == PCI_RESET_AF)
        p->has_flr = true;
}

const char *pci_reset_name(enum pci_reset r)
{
    static const char *const names[] = { "none", "FLR", "FLR (AF)", "power", "bus", "virtio" };
    return names[r];
}

void pci_set_master(struct pci_dev *p, bool on)
{
    uint32_t cmd = pci_read(p, PCI_COMMAND, 2) & ~PCI_CMD_MASTER;
    pci_write(p, PCI_COMMAND, 2, on ? cmd | PCI_CMD_MASTER : cmd);
    /* The answer to a read cannot pass writes that the device made before (PCIe 4.0 2.4.1). */
    (void)pci_read(p, PCI_COMMAND, 2);
}

void pci_rom_off(struct pci_dev *p) { pci_write(p, PCI_ROM, 4, (uint32_t)p->bar[BH_PCI_ROM].base); }

void pci_restore(struct pci_dev *p)
{
    for (unsigned i = 0; i < 6; i++) {
        const struct bh_pci_bar *b = &p->bar[i];
        if (!b->base)
            continue;
        pci_write(p, PCI_BAR0 + 4 * i, 4, (uint32_t)b->base); /* the type bits are read-only */
        if (b->flags & BAR_64)
            pci_write(p, PCI_BAR0 + 4 * i + 4, 4, (uint32_t)(b->base >> 32));
    }
    pci_rom_off(p);
    if (p->cap_pcie)
        pci_write(p, p->cap_pcie + PCIE_DEVCTL, 2, p->devctl);
    pci_write(p, PCI_COMMAND, 2, PCI_CMD_MEM | PCI_CMD_INTX_OFF);
}

/* Starts the reset; returns how many milliseconds to leave the device alone. */
static unsigned reset_begin(struct pci_dev *p)
{
    uint32_t v;

    switch (p->reset) {
    case PCI_RESET_FLR:
        v = pci_read(p, p->cap_pcie + PCIE_DEVCTL, 2);
        pci_write(p, p->cap_pcie + PCIE_DEVCTL, 2, v | PCIE_DEVCTL_FLR);
        return 100;
    case PCI_RESET_AF: pci_write(p, p->cap_af + AF_CTL, 1, 1); return 100;
    case PCI_RESET_PM:
        v = pci_read(p, p->cap_pm + PM_CTL, 2) & ~3u;
        pci_write(p, p->cap_pm + PM_CTL, 2, v | 3);
        return 10;
    case PCI_RESET_BUS:
        v = pci_read(p->parent, PCI_BRIDGE_CTL, 2);
        pci_write(p->parent, PCI_BRIDGE_CTL, 2, v | PCI_BRIDGE_RESET);
        return 2;
    default:
        pci_restore(p); /* its registers must decode */
        p->soft_regs[VIRTIO_STATUS] = 0;
        return 0;
    }
}

/* The second half, for those that have one. */
static unsigned reset_end(struct pci_dev *p)
{
    uint32_t v;

    if (p->reset == PCI_RESET_PM) {
        v = pci_read(p, p->cap_pm + PM_CTL, 2) & ~3u;
        pci_write(p, p->cap_pm + PM_CTL, 2, v);
        return 10;
    }
    if (p->reset == PCI_RESET_BUS) {
        v = pci_read(p->parent, PCI_BRIDGE_CTL, 2);
        pci_write(p->parent, PCI_BRIDGE_CTL, 2, v & ~PCI_BRIDGE_RESET);
        return 200;
    }
    return p->reset == PCI_RESET_VIRTIO ? 1000 : 0; /* here: how long it may take */
}

int pci_reset_step(struct pci_dev *p)
{
    if (p->reset == PCI_RESET_NONE)
        return -EOPNOTSUPP;
    switch (p->reset_stage) {
    case 0:
        pci_set_master(p, false);
        p->reset_until = now_ns() + reset_begin(p) * NS_PER_MS;
        p->reset_stage = 1;
        __attribute__((fallthrough));
    case 1:
        if (now_ns() < p->reset_until)
            return HC_AGAIN;
        p->reset_until = now_ns() + reset_end(p) * NS_PER_MS;
        p->reset_stage = 2;
        __attribute__((fallthrough));
    default:
        if (p->reset == PCI_RESET_VIRTIO) {
            if (p->soft_regs[VIRTIO_STATUS] && now_ns() < p->reset_until)
                return HC_AGAIN;
        } else if (now_ns() < p->reset_until) {
            return HC_AGAIN;
        }
    }
    p->reset_stage = 0;
    pci_restore(p);
    /* QEMU's keeps all its registers over D3hot; a guest's driver has bus mastering switched on before it resets the device itself. */
    if (p->e1000e && p->soft_regs)
        *soft_reg(p, E1000E_RCTL) = *soft_reg(p, E1000E_TCTL) = 0;
    if (pci_read(p, PCI_VENDOR, 2) != p->vendor || pci_read(p, PCI_VENDOR + 2, 2) != p->device)
        return -EIO;
    if (p->reset == PCI_RESET_VIRTIO && p->soft_regs[VIRTIO_STATUS])
        return -EIO;
    p->past = PCI_FORGOTTEN;
    return 0;
}
