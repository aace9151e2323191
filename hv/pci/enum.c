/* SPDX-License-Identifier: MIT */
/*
 * Enumeration: visits the buses as firmware numbered them, from each root bus, and reads what each function says of itself. Nothing that
 * configuration space contains is believed without a bound: buses are visited once, capability lists end after 48 steps,
 * a BAR must be a power of two that is aligned and ends below 2^52. Boot CPU only.
 */
#include "base/print.h"
#include "base/string.h"
#include "mem/frame.h"
#include "pci/pci.h"
#include "pci/pci_int.h"
#include "platform/acpi_info.h"

#define MAX_DEVICES 512
#define MAX_CAPS    48 /* 192 bytes of 4: no list without a loop is longer */

_Static_assert(sizeof(struct pci_dev) <= PAGE_SIZE, "kmalloc serves at most a page");

static struct pci_dev **tail;
static unsigned nr_devices, nr_queued;
static struct {
    uint8_t bus;
    struct pci_dev *parent;
} queue[256];
static uint8_t visited[256 / 8];

bool pci_is_platform_core(const struct pci_dev *p)
{
    uint8_t base = (uint8_t)(p->class_rev >> 24);
    return p->header || base == 0x06 || base == 0x08; /* bridges; IOMMU, HPET, PIC and the like */
}

static void queue_bus(uint8_t bus, struct pci_dev *parent)
{
    if (visited[bus / 8] & (1u << bus % 8))
        return;
    visited[bus / 8] |= (uint8_t)(1u << bus % 8);
    queue[nr_queued].bus = bus;
    queue[nr_queued++].parent = parent;
}

/* One BAR, or pair, of a header with `of` registers. Returns how many of them it took. PCI 3.0 6.2.5.1 */
static unsigned size_bar(struct pci_dev *p, unsigned i, unsigned of)
{
    unsigned off = PCI_BAR0 + 4 * i, n = 1;
    uint32_t lo = pci_read(p, off, 4), hi = 0, slo, shi = ~0u;
    struct bh_pci_bar *b = &p->bar[i];
    uint64_t size, base, mask;

    pci_write(p, off, 4, ~0u);
    slo = pci_read(p, off, 4);
    pci_write(p, off, 4, lo);
    if (!(lo & 1) && (lo & 6) == 4 && i + 1 < of) {
        hi = pci_read(p, off + 4, 4);
        pci_write(p, off + 4, 4, ~0u);
        shi = pci_read(p, off + 4, 4);
        pci_write(p, off + 4, 4, hi);
        n = 2;
    }
    if (!slo && (n == 1 || !shi))
        return n;
    mask = lo & 1 ? 3 : 15;
    base = ((uint64_t)hi << 32 | lo) & ~mask;
    size = ((uint64_t)shi << 32 | slo) & ~mask;
    if (lo & 1)
        size |= 0xffffffffffff0000ull; /* I/O BARs may decode 16 bits only */
    size = ~size + 1;
    if (!size || (size & (size - 1)) || (base & (size - 1)) || base + size < base ||
        (base + size) >> 52) {
        log_warn("PCI: " BDF_FMT ": BAR %u makes no sense, ignored", BDF_ARGS(p->sbdf), i);
        return n;
    }
    b->base = base;
    b->size = size;
    b->flags = BAR_IO;
    if (!(lo & 1))
        b->flags = BAR_MEM | (n == 2 ? BAR_64 : 0) | (lo & 8 ? BAR_PREF : 0);
    return n;
}

static void size_rom(struct pci_dev *p)
{
    uint64_t base = pci_read(p, PCI_ROM, 4) & PCI_ROM_BASE, size;

    pci_write(p, PCI_ROM, 4, PCI_ROM_BASE);
    size = -(pci_read(p, PCI_ROM, 4) & PCI_ROM_BASE);
    pci_write(p, PCI_ROM, 4, (uint32_t)base);
    if (base && !(size & (size - 1)) && !(base & (size - 1)))
        p->bar[BH_PCI_ROM] = (struct bh_pci_bar){ .base = base, .size = size, .flags = BAR_MEM };
}

/* Bridges and parts of the platform are sized too, so that nobody else's BAR is shown over one of theirs. One without a BAR is not
 * touched, and a host bridge never: with its decoding off there is no memory. The largest that its alignment allows is
 * assumed for its BARs. */
static void size_platform(struct pci_dev *p)
{
    static const uint8_t nr_bars[] = { 6, 2 }; /* of a device, of a bridge */
    unsigned n = p->header < ARRAY_SIZE(nr_bars) ? nr_bars[p->header] : 1, used = 0;
    uint32_t cmd = pci_read(p, PCI_COMMAND, 2);
    bool host = p->class_rev >> 16 == 0x0600;

    for (unsigned i = 0; i < n; i++) {
        uint32_t lo = pci_read(p, PCI_BAR0 + 4 * i, 4);
        uint64_t base = lo & ~15u;
        if (!lo)
            continue;
        used++;
        if (!host || (lo & 1))
            continue;
        if ((lo & 6) == 4 && i + 1 < n)
            base |= (uint64_t)pci_read(p, PCI_BAR0 + 4 * i + 4, 4) << 32;
        p->bar[i] = (struct bh_pci_bar){ .base = base, .size = base & -base, .flags = BAR_MEM };
        i += (lo & 6) == 4;
    }
    if (host || !used)
        return;
    pci_write(p, PCI_COMMAND, 2, cmd & ~(PCI_CMD_IO | PCI_CMD_MEM));
    for (unsigned i = 0; i < n;)
        i += size_bar(p, i, n);
    pci_write(p, PCI_COMMAND, 2, cmd);
}

static void size_bars(struct pci_dev *p)
{
    uint32_t cmd = pci_read(p, PCI_COMMAND, 2);

    if (pci_is_platform_core(p)) {
        size_platform(p);
        return;
    }
    /* Decoding off, or the probe values would answer to addresses that are somebody else's. */
    pci_write(p, PCI_COMMAND, 2, cmd & ~(PCI_CMD_IO | PCI_CMD_MEM | PCI_CMD_MASTER));
    for (unsigned i = 0; i < 6;)
        i += size_bar(p, i, 6);
    size_rom(p);
    /* Firmware's drivers are gone: nobody waits for what the device would still write. */
    pci_write(p, PCI_COMMAND, 2, cmd & ~PCI_CMD_MASTER);
}

static bool in_memory_bar(const struct pci_dev *p, uint8_t bar, uint32_t off, uint32_t len)
{
    return bar < 6 && (p->bar[bar].flags & BAR_MEM) && p->bar[bar].base && off < p->bar[bar].size &&
           len <= p->bar[bar].size - off;
}
static void read_msix(struct pci_dev *p, unsigned cap)
{
    uint32_t table = pci_read(p, cap + MSIX_TABLE, 4), pba = pci_read(p, cap + MSIX_PBA, 4);
    uint16_t count = (uint16_t)((pci_read(p, cap + MSIX_CTL, 2) & 0x7ff) + 1);

    if (pci_is_platform_core(p))
        return;
    if (!in_memory_bar(p, table & 7, table & ~7u, count * 16u) ||
        !in_memory_bar(p, pba & 7, pba & ~7u, (count + 63u) / 64 * 8)) {
        log_warn("PCI: " BDF_FMT ": MSI-X table outside its BAR, ignored", BDF_ARGS(p->sbdf));
        return;
    }
    p->cap_msix = (uint16_t)cap;
    p->msix_total = count;
    p->msix_count = (uint16_t)MIN(count, ARRAY_SIZE(p->route));
    p->msix_bar = table & 7;
    p->msix_off = table & ~7u;
    p->pba_bar = pba & 7;
    p->pba_off = pba & ~7u;
    pci_write(p, cap + MSIX_CTL, 2, MSIX_CTL_MASKALL);
}

/* A virtio structure (virtio 1.1, 4.1.4). The first of a kind that lies in a memory BAR counts. */
static void read_virtio(struct pci_dev *p, unsigned cap)
{
    static const uint8_t least[VIRTIO_STRUCTS] = { 0x38, 2, 1, 1 };
    unsigned caplen = pci_read(p, cap + 2, 1), i = pci_read(p, cap + 3, 1) - 1;
    struct pci_part s = { (uint8_t)pci_read(p, cap + 4, 1), pci_read(p, cap + 8, 4),
                          pci_read(p, cap + 12, 4) };

    if (i >= VIRTIO_STRUCTS || p->part[i].len || caplen < (i == VIRTIO_NOTIFY ? 20u : 16u) ||
        cap + caplen > 256)
        return;
    if (s.len < least[i] || (s.off & 3) || !in_memory_bar(p, s.bar, s.off, s.len))
        return;
    p->part[i] = s;
    if (i == VIRTIO_NOTIFY)
        p->notify_mult = pci_read(p, cap + 16, 4);
}

/* What of a capability may be seen through the filter; 0: nothing of it. */
static unsigned visible_len(struct pci_dev *p, unsigned cap, uint8_t id)
{
    unsigned len = 0;

    if (id == PCI_CAP_PM)
        len = 8;
    else if (id == PCI_CAP_MSI)
        len = 4;
    else if (id == PCI_CAP_MSIX && p->cap_msix == cap)
        len = 12;
    else if (id == PCI_CAP_PCIE)
        len = (pci_read(p, cap + 2, 1) & 15) >= 2 ? 0x3c : 0x14;
    else if (id == PCI_CAP_VENDOR)
        len = pci_read(p, cap + 2, 1);
    /* virtio's window from configuration space into the BARs (virtio 1.1, 4.1.4.7) would be a way round them */
    if (id == PCI_CAP_VENDOR && p->vendor == 0x1af4 && pci_read(p, cap + 3, 1) == 5)
        len = 0;
    return cap + len <= 256 ? len : 0;
}

static void one_cap(struct pci_dev *p, unsigned cap, uint8_t id)
{
    unsigned len;

    if (id == PCI_CAP_PM)
        p->cap_pm = (uint16_t)cap;
    else if (id == PCI_CAP_MSI) {
        p->cap_msi = (uint16_t)cap;
        if (!pci_is_platform_core(p)) /* firmware's interrupts end with firmware */
            pci_write(p, cap + 2, 2, pci_read(p, cap + 2, 2) & ~1u);
    } else if (id == PCI_CAP_MSIX)
        read_msix(p, cap);
    else if (id == PCI_CAP_AF)
        p->cap_af = (uint16_t)cap;
    else if (id == PCI_CAP_PCIE) {
        p->cap_pcie = (uint16_t)cap;
        p->pcie = true;
        p->port_type = (uint8_t)(pci_read(p, cap + 2, 1) >> 4);
    } else if (id == PCI_CAP_VENDOR && p->virtio) {
        read_virtio(p, cap);
    }
    len = visible_len(p, cap, id);
    if (len >= 4 && p->nr_vcaps < PCI_MAX_VCAPS)
        p->vcap[p->nr_vcaps++] = (struct pci_vcap){ (uint8_t)cap, (uint8_t)len, id };
}

static void read_caps(struct pci_dev *p)
{
    uint64_t seen = 0;
    unsigned cap;

    if (!(pci_read(p, PCI_STATUS, 2) & PCI_STATUS_CAPS) || p->header > 1)
        return;
    cap = pci_read(p, PCI_CAP_PTR, 1) & ~3u;
    for (unsigned n = 0; cap >= 0x40 && n < MAX_CAPS; n++) {
        uint32_t head = pci_read(p, cap, 4);
        if ((seen >> cap / 4 & 1) || (head & 0xff) == 0xff) {
            log_warn("PCI: " BDF_FMT ": broken capability list", BDF_ARGS(p->sbdf));
            break;
        }
        seen |= 1ull << cap / 4;
        one_cap(p, cap, (uint8_t)head);
        cap = head >> 8 & 0xfc;
    }
}

static void add_function(uint32_t sbdf, struct pci_dev *parent)
{
    struct pci_dev *p;

    if (nr_devices == MAX_DEVICES || !(p = kmalloc(sizeof(*p)))) {
        log_warn("PCI: too many devices, " BDF_FMT " ignored", BDF_ARGS(sbdf));
        return;
    }
    p->sbdf = sbdf;
    p->parent = parent;
    p->vendor = (uint16_t)pci_read(p, PCI_VENDOR, 2);
    p->device = (uint16_t)pci_read(p, PCI_VENDOR + 2, 2);
    p->class_rev = pci_read(p, PCI_CLASS_REV, 4);
    p->header = pci_read(p, PCI_HEADER, 1) & 0x7f;
    p->bridge = p->header != 0;
    p->virtio = p->vendor == 0x1af4 && p->device >= 0x1000 &&
                p->device <= 0x107f; /* virtio 1.1, 4.1.2 */
    p->nvme = p->class_rev >> 8 == 0x010802;
    p->e1000e = p->vendor == 0x8086 && (p->device == 0x10d3 || p->device == 0x10c9); /* 82574L, 82576 */
    p->owner = DOMID_NONE;
    for (unsigned i = 0; i < ARRAY_SIZE(p->route); i++) {
        p->route[i].irte = (uint16_t)i;
        p->route[i].dev = p;
    }
    nr_devices++;
    *tail = p;
    tail = &p->next;
    size_bars(p);
    read_caps(p);
    if (p->header == 1) {
        p->secondary = (uint8_t)pci_read(p, PCI_SECONDARY, 1);
        if (p->secondary)
            queue_bus(p->secondary, p);
    }
}

static void scan_bus(uint8_t bus, struct pci_dev *parent)
{
    for (unsigned slot = 0; slot < 32; slot++) {
        unsigned functions = 1;
        for (unsigned fn = 0; fn < functions; fn++) {
            uint32_t sbdf = BH_SBDF(0, bus, slot, fn), id = pci_hw->read(sbdf, PCI_VENDOR, 4);
            if ((id & 0xffff) == 0xffff || !(id & 0xffff))
                continue;
            if (!fn && (pci_hw->read(sbdf, PCI_HEADER, 1) & 0x80))
                functions = 8;
            add_function(sbdf, parent);
        }
    }
}

/* Root buses are bus 0 and each bus of the MCFG (PCI firmware 3.2, 4.1.2) below which nobody has led yet: a bridge's own buses have
 * higher numbers than the bus that it is on, so upwards each is met before those below it. */
void pci_scan(void)
{
    unsigned done = 0, roots = 0;

    tail = &pci_devices;
    nr_devices = nr_queued = 0;
    memset(visited, 0, sizeof(visited));
    for (unsigned bus = 0; bus <= acpi_info.mcfg_bus_last; bus++) {
        unsigned before = nr_devices;
        if ((bus && bus < acpi_info.mcfg_bus_first) || (visited[bus / 8] & 1u << bus % 8))
            continue;
        queue_bus((uint8_t)bus, NULL);
        for (; done < nr_queued; done++)
            scan_bus(queue[done].bus, queue[done].parent);
        if (nr_devices > before)
            roots++;
        else
            done = --nr_queued; /* nothing there */
    }
    log_info("PCI: %u functions on %u buses (%u root), by %s", nr_devices, nr_queued, roots,
             pci_hw->name);
}
