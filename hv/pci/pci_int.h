/* SPDX-License-Identifier: MIT */
/* Shared inside hv/pci and hv/pci/pirq.c: register numbers (PCI 3.0 ch. 6, PCIe 4.0 ch. 7) and the steps of pci_init. */
#pragma once
#include "pci/pci.h"

#define PCI_VENDOR           0x00
#define PCI_COMMAND          0x04
#define PCI_CMD_IO           0x001u
#define PCI_CMD_MEM          0x002u
#define PCI_CMD_MASTER       0x004u
#define PCI_CMD_INTX_OFF     0x400u
#define PCI_STATUS           0x06
#define PCI_STATUS_CAPS      0x10u
#define PCI_STATUS_SIG_ABORT 0x0800u /* write 1 to clear */
#define PCI_CLASS_REV        0x08
#define PCI_HEADER           0x0e
#define PCI_BAR0             0x10
#define PCI_SECONDARY        0x19
#define PCI_ROM              0x30 /* PCI 3.0 6.2.5.2 */
#define PCI_ROM_ON           1u
#define PCI_ROM_BASE         0xfffff800u
#define PCI_CAP_PTR          0x34
#define PCI_BRIDGE_CTL       0x3e
#define PCI_BRIDGE_RESET     0x40u

#define PCI_CAP_PM     0x01
#define PCI_CAP_MSI    0x05
#define PCI_CAP_VENDOR 0x09
#define PCI_CAP_PCIE   0x10
#define PCI_CAP_MSIX   0x11
#define PCI_CAP_AF     0x13
#define PCI_XCAP_ACS   0x0d

#define MSIX_CTL         2 /* offsets in the capability */
#define MSIX_TABLE       4
#define MSIX_PBA         8
#define MSIX_CTL_ENABLE  0x8000u
#define MSIX_CTL_MASKALL 0x4000u
#define MSIX_ENTRY_MASK  1u /* vector control, fourth word of an entry */
#define MSIX_ENTRY_LEN   16u

#define MSI_CTL        2 /* PCI 3.0 6.8.1; then the address, of 32 or 64 bits, data, mask bits */
#define MSI_CTL_ENABLE 0x0001u
#define MSI_CTL_MULTI  0x0070u
#define MSI_CTL_64     0x0080u
#define MSI_CTL_MASK   0x0100u

#define BAR_MEM  1u /* bh_pci_bar.flags */
#define BAR_64   2u
#define BAR_PREF 4u
#define BAR_IO   8u

#define PCI_BUS(sbdf)  (((sbdf) >> 8) & 0xff)
#define PCI_SLOT(sbdf) (((sbdf) >> 3) & 0x1f)
#define PCI_FN(sbdf)   ((sbdf)&7)
#define BDF_FMT        "%02x:%02x.%x"
#define BDF_ARGS(sbdf) PCI_BUS(sbdf), PCI_SLOT(sbdf), PCI_FN(sbdf)

/* Configuration space by hardware: ECAM or ports; a unit test puts its own here. Offsets are aligned to size (1, 2, 4). */
struct pci_hw {
    const char *name;
    uint32_t (*read)(uint32_t sbdf, unsigned off, unsigned size);
    void (*write)(uint32_t sbdf, unsigned off, unsigned size, uint32_t v);
    unsigned space; /* 256 or 4096 */
};
extern const struct pci_hw *pci_hw;
void pci_hw_init(void); /* config.c: ECAM if it agrees with the ports, else the ports */

void pci_scan(void);                                /* enum.c: fills pci_devices */
void pci_make_groups(void);                         /* group.c */
bool pci_is_platform_core(const struct pci_dev *p); /* host bridge, LPC, IOMMU...: never touched, never hidden */

void pci_regs_map(struct pci_dev *p); /* reset.c: those of virtio and NVMe, for the core's own eyes */
bool pci_behind_iommu(const struct pci_dev *p); /* virtio says of itself whether it is; its memory must decode */
int pci_at_rest(struct pci_dev *p) __must_check; /* 0: DMA may be given; else as pci_dma_enable */
void pci_reset_choose(struct pci_dev *p);        /* sets p->reset */
int pci_reset_step(struct pci_dev *p) __must_check; /* 0 done, HC_AGAIN, -EIO, -EOPNOTSUPP */
void pci_rom_off(struct pci_dev *p);                /* it may share the BARs' decoder */
void pci_restore(struct pci_dev *p); /* BARs and command (memory on, bus master and INTx off) */
const char *pci_reset_name(enum pci_reset r);
void pci_set_master(struct pci_dev *p, bool on); /* and reads back, so that posted DMA is behind us */

/* assign.c: of [m, m + len), which lies in a BAR of p, the owner may see all pages */
bool pci_may_be_shown(const struct pci_dev *p, uint64_t m, uint64_t len);

/* assign.c: the device of d with this number; and bus mastering, interrupts and its entry in the IOMMU off, which flushes */
struct pci_dev *pci_find_owned(struct domain *d, uint32_t sbdf);
void pci_fence_device(struct domain *d, struct pci_dev *p);
int pci_start_dma(struct domain *d, struct pci_dev *p)
    __must_check; /* the other way; refusals as pci_dma_enable. pci_lock */

/* trial.c */
int trial_check(const struct pci_dev *p, const struct domain *d) __must_check;
bool trial_permits(const struct pci_dev *p);
void trial_stop(const struct pci_dev *p); /* it is blocked */

void irqs_set_enable(struct pci_dev *p, bool on); /* pirq.c: MSI-X, or MSI; off: all masked */
static inline bool pci_uses_msi(const struct pci_dev *p)
{
    return p->cap_msi && (!p->msix_total || p->by_msi);
}
void pirq_use_msi(struct pci_dev *p, bool by_msi); /* of one that has both; what is bound ends */
void pirq_release(struct pci_dev *p); /* deassign: unbinds, gives vectors and numbers back */
