/* SPDX-License-Identifier: MIT */
/*
 * Configuration space: how the hardware is reached (ECAM of the MCFG, else ports CF8/CFC), and the filter through which
 * pciback sees a hidden device.
 *
 * The filter is default-deny: a field that no row below names reads zero and ignores writes. BARs show the owner's
 * addresses; the capability list is linked anew from those that may be seen; message interrupts, power and reset are
 * the core's alone.
 */
#include "base/cpu.h"
#include "base/print.h"
#include "mem/paging.h"
#include "pci/pci.h"
#include "pci/pci_int.h"
#include "platform/acpi_info.h"

static struct spinlock port_lock = SPINLOCK_INIT;
static volatile uint8_t *ecam; /* that of bus 0, whose address the MCFG gives; its buses alone are mapped */
const struct pci_hw *pci_hw;

/* --- hardware ------------------------------------------------------------------------------------------------- */

static void port_select(uint32_t sbdf, unsigned off)
{
    outl(0xcf8, 0x80000000u | (sbdf & 0xffff) << 8 | (off & 0xfc));
}
static uint32_t port_read(uint32_t sbdf, unsigned off, unsigned size)
{
    uint32_t v;
    if (off >= 256 || sbdf > 0xffff)
        return ~0u;
    spin_lock(&port_lock);
    port_select(sbdf, off);
    v = inl(0xcfc) >> (off & 3) * 8;
    spin_unlock(&port_lock);
    return size == 4 ? v : v & ((1u << size * 8) - 1);
}
static void port_write(uint32_t sbdf, unsigned off, unsigned size, uint32_t v)
{
    if (off >= 256 || sbdf > 0xffff)
        return;
    spin_lock(&port_lock);
    port_select(sbdf, off);
    if (size == 4)
        outl(0xcfc, v);
    else if (size == 2)
        outw((uint16_t)(0xcfc + (off & 2)), (uint16_t)v);
    else
        outb((uint16_t)(0xcfc + (off & 3)), (uint8_t)v);
    spin_unlock(&port_lock);
}

static volatile uint8_t *ecam_at(uint32_t sbdf, unsigned off)
{
    unsigned bus = PCI_BUS(sbdf);
    if (sbdf >> 16 != acpi_info.mcfg_seg || bus < acpi_info.mcfg_bus_first ||
        bus > acpi_info.mcfg_bus_last)
        return NULL;
    return ecam + ((uint64_t)(sbdf & 0xffff) << 12) + off;
}
static uint32_t ecam_read(uint32_t sbdf, unsigned off, unsigned size)
{
    volatile uint8_t *a = ecam_at(sbdf, off);
    if (!a)
        return ~0u;
    if (size == 4)
        return *(volatile uint32_t *)a;
    return size == 2 ? *(volatile uint16_t *)a : *a;
}
static void ecam_write(uint32_t sbdf, unsigned off, unsigned size, uint32_t v)
{
    volatile uint8_t *a = ecam_at(sbdf, off);
    if (!a)
        return;
    if (size == 4)
        *(volatile uint32_t *)a = v;
    else if (size == 2)
        *(volatile uint16_t *)a = (uint16_t)v;
    else
        *a = (uint8_t)v;
}

static const struct pci_hw hw_ports = { "ports", port_read, port_write, 256 };
static const struct pci_hw hw_ecam = { "ECAM", ecam_read, ecam_write, 4096 };

void pci_hw_init(void)
{
    uint32_t root = BH_SBDF(acpi_info.mcfg_seg, acpi_info.mcfg_bus_first, 0, 0);

    pci_hw = &hw_ports;
    if (!acpi_info.mcfg_base)
        return;
    unsigned first = acpi_info.mcfg_bus_first, nr = acpi_info.mcfg_bus_last - first + 1u;
    volatile uint8_t *map = mmio_map(MADDR(acpi_info.mcfg_base + ((uint64_t)first << 20)),
                                     (uint64_t)nr << 20);
    if (!map)
        return;
    ecam = map - ((uint64_t)first << 20);
    /* A table that points elsewhere would make every device vanish, or worse: both ways must agree. */
    if (acpi_info.mcfg_seg || ecam_read(root, PCI_VENDOR, 4) != port_read(root, PCI_VENDOR, 4)) {
        log_warn("PCI: the MCFG table does not describe bus 0; using ports");
        return;
    }
    pci_hw = &hw_ecam;
}

uint32_t pci_read(struct pci_dev *p, unsigned off, unsigned size)
{
    return off + size <= pci_hw->space ? pci_hw->read(p->sbdf, off, size) : ~0u;
}
void pci_write(struct pci_dev *p, unsigned off, unsigned size, uint32_t v)
{
    if (off + size <= pci_hw->space)
        pci_hw->write(p->sbdf, off, size, v);
}

/* --- the filter ------------------------------------------------------------------------------------------------ */

/* Header words that are the device's own: bits that may be read, bits that may be written, bits that a write of 1 clears. */
static const struct cfg_field {
    uint8_t off;
    uint32_t read, write, w1c;
    const char *what;
} cfg_fields[] = {
    { 0x00, 0xffffffff, 0, 0, "vendor, device" },
    { 0x04, 0xffff0547, 0x00000140, 0xf9000000, "command (parity, SERR), status (errors)" },
    { 0x08, 0xffffffff, 0, 0, "class, revision" },
    { 0x0c, 0x007fffff, 0x000000ff, 0, "cache line; one function" },
    { 0x2c, 0xffffffff, 0, 0, "subsystem" },
    { 0x3c, 0x000000ff, 0x000000ff, 0, "interrupt line; no pin: no level interrupts" },
};

/* A BAR as the owner sees it: its guest-physical address and the type bits; zero where nothing is mapped. */
static uint32_t virtual_bar(const struct pci_dev *p, unsigned i)
{
    const struct bh_pci_bar *b = &p->bar[i];

    if (i && (p->bar[i - 1].flags & BAR_64))
        return (uint32_t)(p->bar[i - 1].gpa >> 32);
    if (!(b->flags & BAR_MEM) || !b->base)
        return 0;
    return (uint32_t)b->gpa | (b->flags & BAR_64 ? 4u : 0) | (b->flags & BAR_PREF ? 8u : 0);
}

static uint32_t virtual_cap(struct pci_dev *p, unsigned n, unsigned off)
{
    const struct pci_vcap *c = &p->vcap[n];
    unsigned rel = off - c->off;
    uint32_t v = pci_read(p, off, 4);

    if (c->len < rel + 4)
        v &= (1u << (c->len - rel) * 8) - 1;
    if (c->id == PCI_CAP_MSI) /* that it is there, and how wide its address is */
        v &= 0xffff | MSI_CTL_64 << 16;
    if (c->id == PCI_CAP_PM) /* always in D0, no other state, no wake-up */
        v = rel == 0 ? (v & 0xff) | 0x00030000u : 0;
    if (rel == 0) {
        v &= ~0xff00u;
        if (n + 1u < p->nr_vcaps)
            v |= (uint32_t)p->vcap[n + 1].off << 8;
    }
    return v;
}

/* A device's own registers: in no capability that means something to the core. */
static bool is_own(const struct pci_dev *p, unsigned off)
{
    const struct {
        unsigned at, len;
    } known[] = { { p->cap_msix, 12 },
                  { p->cap_msi, 24 },
                  { p->cap_pm, 8 },
                  { p->cap_pcie, 0x3c },
                  { p->cap_af, 8 } };

    for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
        if (known[i].at && off - known[i].at < known[i].len)
            return false;
    return p->permissive && off >= 0x40 && !p->virtio; /* whose window leads into its BARs */
}

static uint32_t virtual_read(struct pci_dev *p, unsigned off)
{
    if (off >= PCI_BAR0 && off < PCI_BAR0 + 24)
        return virtual_bar(p, (unsigned)clamp_nospec((off - PCI_BAR0) / 4, ARRAY_SIZE(p->bar)));
    if (off == PCI_ROM && p->bar[BH_PCI_ROM].gpa)
        return (uint32_t)p->bar[BH_PCI_ROM].gpa | (pci_read(p, off, 4) & PCI_ROM_ON);
    if (off == PCI_CAP_PTR)
        return p->nr_vcaps ? p->vcap[0].off : 0;
    for (unsigned i = 0; i < ARRAY_SIZE(cfg_fields); i++)
        if (cfg_fields[i].off == off)
            return pci_read(p, off, 4) & cfg_fields[i].read;
    for (unsigned i = 0; i < p->nr_vcaps; i++)
        if (off >= p->vcap[i].off && off < p->vcap[i].off + p->vcap[i].len)
            return virtual_cap(p, i, off);
    return is_own(p, off) ? pci_read(p, off, 4) : 0;
}

static void virtual_write(struct pci_dev *p, unsigned off, uint32_t value, uint32_t lanes)
{
    if (off == PCI_ROM && p->bar[BH_PCI_ROM].gpa && (lanes & PCI_ROM_ON))
        pci_write(p, off, 4, (uint32_t)p->bar[BH_PCI_ROM].base | (value & PCI_ROM_ON));
    if (is_own(p, off))
        pci_write(p, off, 4, (pci_read(p, off, 4) & ~lanes) | (value & lanes));
    for (unsigned i = 0; i < ARRAY_SIZE(cfg_fields); i++) {
        const struct cfg_field *f = &cfg_fields[i];
        if (f->off != off || !((f->write | f->w1c) & lanes))
            continue;
        uint32_t old = pci_read(p, off, 4) & ~f->w1c;
        pci_write(p, off, 4, (old & ~(f->write & lanes)) | (value & lanes & (f->write | f->w1c)));
    }
}

int pci_config_access(struct bh_pci_cfg *c)
{
    struct pci_dev *p = pci_find(c->sbdf);
    unsigned shift = (c->off & 3) * 8;
    uint32_t lanes;
    int rc = 0;

    if (!p)
        return -ENOENT;
    if ((c->size != 1 && c->size != 2 && c->size != 4) || c->off % c->size || c->off >= 256 ||
        c->write > 1)
        return -EINVAL;
    lanes = (c->size == 4 ? ~0u : (1u << c->size * 8) - 1) << shift;
    spin_lock(&pci_lock);
    if (p->hidden && p->state == BH_PCI_ASSIGNED && p->reset_stage)
        rc = pci_reset_step(p); /* the end of BH_PCI_SET_RESET is found here */
    if (!p->hidden || rc == -EIO) {
        rc = -EACCES;
    } else if (rc) { /* not yet: it is left alone, and does not answer */
        if (!c->write)
            c->value = lanes >> shift;
        rc = 0;
    } else if (c->write) {
        virtual_write(p, c->off & ~3u, c->value << shift, lanes);
    } else {
        c->value = (virtual_read(p, c->off & ~3u) & lanes) >> shift;
    }
    spin_unlock(&pci_lock);
    return rc;
}
