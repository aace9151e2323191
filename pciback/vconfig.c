/* SPDX-License-Identifier: MIT */
/* vconfig.h. Registers: PCI 3.0 ch. 6, PCIe 4.0 ch. 7. */
#include "vconfig.h"
#include <errno.h>
#include <string.h>

#define COMMAND      0x04u
#define CMD_MEM      0x002u
#define CMD_MASTER   0x004u
#define CMD_INTX_OFF 0x400u
#define CMD_OURS \
    (1u | CMD_MEM | CMD_MASTER | CMD_INTX_OFF) /* I/O is never on: no I/O BAR is shown */
#define STATUS_CAPS 0x00100000u
#define HEADER      0x0cu
#define MULTI       0x00800000u
#define BAR0        0x10u
#define BARS        6u
#define ROM         0x30u
#define ROM_ON      1u
#define ROM_BASE    0xfffff800u
#define CAP_PTR     0x34u
#define CAPS_FROM   0x40u

#define CAP_PM   0x01u
#define CAP_MSI  0x05u
#define CAP_PCIE 0x10u
#define CAP_MSIX 0x11u
#define MAX_CAPS 16u

#define MSI_ON       0x0001u
#define MSI_64       0x0080u
#define MSIX_ON      0x8000u
#define MSIX_MASKED  0x4000u
#define PM_NO_RESET  0x0008u /* D3hot and back changes nothing: nobody should take it for a reset */
#define PM_STATE     0x0003u
#define DEVCTL_RESET 0x8000u

#define BAR_MEM  1u /* bh_pci_bar.flags */
#define BAR_64   2u
#define BAR_PREF 4u

/* The host bridge, without which Linux does not believe that there is a bus: one that no driver and no quirk knows (QEMU's PCIe host). */
#define BRIDGE_ID    0x00081b36u
#define BRIDGE_CLASS 0x06000000u

struct cap {
    uint8_t off, id;
    bool gone; /* the filter shows it, we do not */
};
/* What is known of a device in this life only: it is as the filter says it. */
struct seen {
    uint64_t of; /* the record's head */
    unsigned nr;
    struct cap cap[MAX_CAPS]; /* in the order of the list */
};
#define MAX_SEEN 256u
static struct seen seen[MAX_SEEN]; /* of each record */
static const struct vconfig_ops *ops;
static struct vconfig_kept *kept;
static unsigned nr_kept;

/* --- records --------------------------------------------------------------------------------------------------------- */

static void store(uint64_t *p, uint64_t v)
{
    __asm__ volatile("" ::: "memory");
    *(volatile uint64_t *)p = v;
    __asm__ volatile("" ::: "memory");
}

static uint64_t checked(uint32_t v) { return v | (uint64_t)~v << 32; }
static uint32_t word(const struct vconfig_kept *k, enum vconfig_word w)
{
    return (uint32_t)k->word[w];
}
static void set_word(struct vconfig_kept *k, enum vconfig_word w, uint32_t v)
{
    if (word(k, w) != v)
        store(&k->word[w], checked(v));
}

static uint8_t check_byte(uint64_t v)
{
    uint8_t sum = 0xa5;

    for (unsigned i = 0; i < 7; i++)
        sum = (uint8_t)((uint8_t)(sum << 1 | sum >> 7) ^ (uint8_t)(v >> i * 8));
    return sum;
}

/* A record of domain 0, device 0, place 0 would not be 0 either: its check byte is not. */
static uint64_t make_head(domid_t dom, uint32_t sbdf, unsigned devfn)
{
    uint64_t v = (uint64_t)dom | (uint64_t)sbdf << 16 | (uint64_t)(devfn & 0xff) << 48;

    return v | (uint64_t)check_byte(v) << 56;
}
static domid_t head_dom(const struct vconfig_kept *k) { return (domid_t)k->head; }
static uint32_t head_sbdf(const struct vconfig_kept *k) { return (uint32_t)(k->head >> 16); }
static unsigned head_devfn(const struct vconfig_kept *k)
{
    return (unsigned)(k->head >> 48) & 0xff;
}

static bool sound(const struct vconfig_kept *k)
{
    bool good = k->head >> 56 == check_byte(k->head);

    for (unsigned i = 0; i < VW_NR; i++)
        good &= (uint32_t)k->word[i] == (uint32_t) ~(k->word[i] >> 32);
    return good;
}

unsigned vconfig_init(const struct vconfig_ops *o, struct vconfig_kept *k, unsigned nr)
{
    unsigned damaged = 0;

    ops = o;
    kept = k;
    nr_kept = nr < MAX_SEEN ? nr : MAX_SEEN;
    memset(seen, 0, sizeof(seen));
    for (unsigned i = 0; i < nr_kept; i++)
        if (kept[i].head && !sound(&kept[i])) {
            store(&kept[i].head, 0);
            damaged++;
        }
    return damaged;
}

static struct vconfig_kept *at_place(domid_t dom, unsigned devfn)
{
    for (unsigned i = 0; i < nr_kept; i++)
        if (kept[i].head && head_dom(&kept[i]) == dom && head_devfn(&kept[i]) == devfn)
            return &kept[i];
    return NULL;
}

static struct vconfig_kept *of_device(domid_t dom, uint32_t sbdf)
{
    for (unsigned i = 0; i < nr_kept; i++)
        if (kept[i].head && head_dom(&kept[i]) == dom && head_sbdf(&kept[i]) == sbdf)
            return &kept[i];
    return NULL;
}

static unsigned in_slot(domid_t dom, unsigned slot)
{
    unsigned n = 0;

    for (unsigned i = 0; i < nr_kept; i++)
        n += kept[i].head && head_dom(&kept[i]) == dom && head_devfn(&kept[i]) >> 3 == slot;
    return n;
}

/* Slot 0 is the bridge's. */
static int place_for(domid_t dom, uint32_t sbdf, int want)
{
    const struct vconfig_kept *first = of_device(dom, sbdf & ~7u);

    if (want >= 8 && want <= 0xff && !at_place(dom, (unsigned)want))
        return want;
    if ((sbdf & 7) && first && !(head_devfn(first) & 7) &&
        !at_place(dom, head_devfn(first) | (sbdf & 7)))
        return (int)(head_devfn(first) | (sbdf & 7));
    for (unsigned slot = 1; slot < 32; slot++)
        if (!in_slot(dom, slot))
            return (int)slot << 3;
    return -ENOSPC;
}

int vconfig_add(domid_t dom, uint32_t sbdf, int want)
{
    struct vconfig_kept *k = of_device(dom, sbdf), *free = NULL;

    if (k)
        return (int)head_devfn(k);
    int devfn = place_for(dom, sbdf, want);
    for (unsigned i = 0; i < nr_kept && !free; i++)
        if (!kept[i].head)
            free = &kept[i];
    if (devfn < 0 || !free)
        return -ENOSPC;
    for (unsigned i = 0; i < VW_NR; i++)
        store(&free->word[i], checked(0));
    store(&free->head, make_head(dom, sbdf, (unsigned)devfn));
    return devfn;
}

void vconfig_remove(domid_t dom, uint32_t sbdf)
{
    struct vconfig_kept *k = of_device(dom, sbdf);

    if (k)
        store(&k->head, 0);
}

int vconfig_nth(domid_t dom, unsigned n, uint32_t *sbdf)
{
    for (unsigned i = 0; i < nr_kept; i++)
        if (kept[i].head && head_dom(&kept[i]) == dom && !n--) {
            *sbdf = head_sbdf(&kept[i]);
            return (int)head_devfn(&kept[i]);
        }
    return -ENOENT;
}

int vconfig_owner(int after)
{
    int found = -ENOENT;

    for (unsigned i = 0; i < nr_kept; i++)
        if (kept[i].head && head_dom(&kept[i]) > after && (found < 0 || head_dom(&kept[i]) < found))
            found = head_dom(&kept[i]);
    return found;
}

/* The last store says that the others were done. */
static void as_new(struct vconfig_kept *k, const struct bh_pci_info *info)
{
    for (unsigned i = 0; i < VW_NR; i++)
        if (i != VW_COMMAND)
            set_word(k, (enum vconfig_word)i, 0);
    set_word(k, VW_COMMAND, info->given << 16);
}

static struct vconfig_kept *device(domid_t dom, unsigned devfn, struct bh_pci_info *info)
{
    struct vconfig_kept *k = at_place(dom, devfn);

    if (k && !ops->owned(dom, head_sbdf(k), info)) {
        store(&k->head, 0);
        return NULL;
    }
    if (k && (word(k, VW_COMMAND) ^ info->given << 16) >>
                 16) /* taken away and given again, and nobody was here to see that */
        as_new(k, info);
    return k;
}

bool vconfig_device(domid_t dom, unsigned devfn, uint32_t *sbdf)
{
    struct bh_pci_info info;
    const struct vconfig_kept *k = device(dom, devfn, &info);

    if (k)
        *sbdf = head_sbdf(k);
    return k;
}

/* --- capabilities ---------------------------------------------------------------------------------------------------- */

static struct seen *seen_of(const struct vconfig_kept *k, const struct bh_pci_info *info)
{
    struct seen *s = &seen[k - kept];

    if (s->of == k->head)
        return s;
    *s = (struct seen){ .of = k->head };
    unsigned at = ops->read(head_sbdf(k), CAP_PTR) & 0xfc;
    while (at >= CAPS_FROM && s->nr < MAX_CAPS) { /* which also ends a circle */
        uint32_t head = ops->read(head_sbdf(k), at);
        bool gone = false;
        if ((head & 0xff) == 0xff) { /* it does not answer now: nothing is known of it */
            *s = (struct seen){ 0 };
            break;
        }
        if ((head & 0xff) == CAP_MSIX)
            gone = !info->irqs || !(info->flags & BH_PCI_MSIX);
        else if ((head & 0xff) == CAP_MSI)
            gone = !info->irqs || !(info->flags & BH_PCI_MSI);
        s->cap[s->nr++] = (struct cap){ (uint8_t)at, (uint8_t)head, gone };
        at = head >> 8 & 0xfc;
    }
    return s;
}

/* The next that is shown, from the i-th on; 0: none. */
static unsigned shown_from(const struct seen *s, unsigned i)
{
    for (; i < s->nr; i++)
        if (!s->cap[i].gone)
            return s->cap[i].off;
    return 0;
}

/* What of it is ours to answer; of one that we do not know, where the list goes on. */
static unsigned cap_len(const struct cap *c)
{
    switch (c->id) {
    case CAP_PM: return 8;
    case CAP_MSI: return 24;
    case CAP_MSIX: return 12;
    case CAP_PCIE: return 0x3c;
    default: return 4;
    }
}

/* The last that begins there or before, if it is as long. NULL: the filter alone says what may be done there; that is nothing, but of a device that is
 * permissive. */
static const struct cap *cap_at(const struct seen *s, unsigned off)
{
    const struct cap *found = NULL;

    for (unsigned i = 0; i < s->nr; i++)
        if (s->cap[i].off <= off && (!found || s->cap[i].off > found->off))
            found = &s->cap[i];
    return found && off - found->off < cap_len(found) ? found : NULL;
}

/* Which word of the message lies there; VW_NR: none. */
static enum vconfig_word msi_word(const struct vconfig_kept *k, const struct cap *c, unsigned rel)
{
    bool wide = ops->read(head_sbdf(k), c->off) >> 16 & MSI_64;

    switch (rel) {
    case 4: return VW_MSI_LOW;
    case 8: return wide ? VW_MSI_HIGH : VW_MSI_DATA;
    case 12: return wide ? VW_MSI_DATA : VW_NR;
    default: return VW_NR;
    }
}

static uint32_t read_msi(const struct vconfig_kept *k, const struct cap *c, unsigned rel)
{
    if (rel) {
        enum vconfig_word w = msi_word(k, c, rel);
        return w == VW_NR ? 0 : word(k, w);
    }
    /* One message, no mask bits: the core programs the real one. */
    return (ops->read(head_sbdf(k), c->off) & (0xffu | MSI_64 << 16)) | word(k, VW_MSI) << 16;
}

static uint32_t read_cap(const struct vconfig_kept *k, const struct bh_pci_info *info, unsigned off)
{
    const struct seen *s = seen_of(k, info);
    const struct cap *c = cap_at(s, off);

    if (c && c->gone)
        return 0;
    uint32_t v = ops->read(head_sbdf(k), off);
    if (!c)
        return v;
    unsigned rel = off - c->off;
    if (c->id == CAP_MSI)
        v = read_msi(k, c, rel);
    else if (c->id == CAP_MSIX && !rel)
        v = (v & 0xff) | ((info->irqs - 1u) & 0x7ff) << 16 |
            (word(k, VW_MSIX) & (MSIX_ON | MSIX_MASKED)) << 16;
    else if (c->id == CAP_PM && rel == 4)
        v = PM_NO_RESET | (word(k, VW_MSIX) & PM_STATE);
    else if (c->id == CAP_PCIE && rel == 8)
        v &= ~DEVCTL_RESET;
    if (!rel)
        v = (v & ~0xff00u) | shown_from(s, (unsigned)(c - s->cap) + 1) << 8;
    return v;
}

/* Whose MSI-X is on has no MSI (PCI 3.0 6.8.2: nobody may have both). What the core does not take is as it was, which is what the owner reads. */
static int use_msi(const struct vconfig_kept *k, bool msi, bool msix)
{
    uint32_t arg = msi && !msix;
    uint64_t message = (uint64_t)word(k, VW_MSI_HIGH) << 32 | word(k, VW_MSI_LOW);

    return ops->set(head_dom(k), head_sbdf(k), VC_MSI, arg ? message : 0, &arg);
}

static int write_msi(struct vconfig_kept *k, const struct cap *c, unsigned rel, uint32_t value,
                     uint32_t lanes)
{
    bool on = word(k, VW_MSI) & MSI_ON, was = on;

    if (!rel && (lanes & MSI_ON << 16)) {
        on = value >> 16 & MSI_ON;
    } else if (rel) {
        enum vconfig_word w = msi_word(k, c, rel);
        uint32_t bits = w == VW_MSI_LOW ? ~3u : w == VW_MSI_DATA ? 0xffffu : ~0u;
        if (w == VW_NR)
            return 0;
        set_word(k, w, ((word(k, w) & ~lanes) | (value & lanes)) & bits);
    }
    if ((!on && !was) || (!rel && on == was))
        return 0;
    int rc = use_msi(k, on, word(k, VW_MSIX) & MSIX_ON);
    if (rc == -EAGAIN)
        return rc;
    if (!rc)
        set_word(k, VW_MSI, on ? MSI_ON : 0);
    return 0;
}

/* The core has reset it: all is as it was when it came. */
static int reset(struct vconfig_kept *k, const struct bh_pci_info *info)
{
    uint32_t none = 0;
    int rc = ops->set(head_dom(k), head_sbdf(k), VC_RESET, 0, &none);

    if (!rc)
        as_new(k, info);
    return rc == -EAGAIN ? rc : 0;
}

/* A write to a register of a capability that is shown. */
static int write_cap(struct vconfig_kept *k, const struct bh_pci_info *info, const struct cap *c,
                     unsigned rel, uint32_t value, uint32_t lanes)
{
    uint32_t take = 0;

    if (c->id == CAP_MSI)
        return write_msi(k, c, rel, value, lanes);
    if (c->id == CAP_PCIE && rel == 8 && (value & lanes & DEVCTL_RESET))
        return info->flags & BH_PCI_FLR ? reset(k, info) : 0;
    if (c->id == CAP_MSIX && !rel) {
        take = lanes >> 16 & (MSIX_ON | MSIX_MASKED);
        value >>= 16;
        bool on = (take & MSIX_ON) && (value & MSIX_ON), msi = word(k, VW_MSI) & MSI_ON;
        if ((take & MSIX_ON) && (info->flags & BH_PCI_MSI) && (on || msi) &&
            use_msi(k, msi, on) == -EAGAIN)
            return -EAGAIN;
    } else if (c->id == CAP_PM && rel == 4) {
        take = lanes & PM_STATE;
    }
    set_word(k, VW_MSIX, (word(k, VW_MSIX) & ~take) | (value & take));
    return 0;
}

/* --- the header ------------------------------------------------------------------------------------------------------ */

static bool bar_shown(const struct bh_pci_bar *b) { return (b->flags & BAR_MEM) && b->gpa; }

/* Register i: a BAR's address and type bits, or its size as a mask if all ones were written; the upper half of the one before it. */
static uint32_t read_bar(const struct vconfig_kept *k, const struct bh_pci_info *info, unsigned i)
{
    bool sizing = word(k, VW_SIZING) >> i & 1;
    const struct bh_pci_bar *b = &info->bar[i];

    if (i && bar_shown(b - 1) && ((b - 1)->flags & BAR_64)) {
        b--;
        return (uint32_t)((sizing ? ~(b->size - 1) : b->gpa) >> 32);
    }
    if (!bar_shown(b))
        return 0;
    return (uint32_t)((sizing ? ~(b->size - 1) : b->gpa) & ~0xfull) | (b->flags & BAR_64 ? 4u : 0) |
           (b->flags & BAR_PREF ? 8u : 0);
}

/* Where it lies is the core's: anything but all ones is taken for the address being written back. */
static void write_bar(struct vconfig_kept *k, const struct bh_pci_info *info, unsigned i,
                      uint32_t value, uint32_t lanes)
{
    bool upper = i && bar_shown(&info->bar[i - 1]) && (info->bar[i - 1].flags & BAR_64);
    uint32_t bits = upper ? ~0u : ~0xfu, bit = 1u << i;
    bool ones = !(~value & lanes & bits);

    if (!(lanes & bits))
        return;
    set_word(k, VW_SIZING, ones ? word(k, VW_SIZING) | bit : word(k, VW_SIZING) & ~bit);
}

/* Whether it is on is the device's to know: where it shares a decoder with the BARs, these are away meanwhile (PCI 3.0 6.2.5.2). */
static uint32_t read_rom(const struct vconfig_kept *k, const struct bh_pci_info *info)
{
    const struct bh_pci_bar *rom = &info->bar[BH_PCI_ROM];
    bool sizing = word(k, VW_SIZING) >> BH_PCI_ROM & 1;

    if (!bar_shown(rom))
        return 0;
    return (uint32_t)(sizing ? ~(rom->size - 1) : rom->gpa) | (ops->read(head_sbdf(k), ROM) & ROM_ON);
}

static void write_rom(struct vconfig_kept *k, const struct bh_pci_info *info, uint32_t value,
                      uint32_t lanes)
{
    const uint32_t bit = 1u << BH_PCI_ROM;
    bool ones = !(~value & lanes & ROM_BASE);

    if (!bar_shown(&info->bar[BH_PCI_ROM]))
        return;
    if (lanes & ROM_ON)
        ops->write(head_sbdf(k), ROM, 1, value & ROM_ON);
    if (lanes & ROM_BASE)
        set_word(k, VW_SIZING, ones ? word(k, VW_SIZING) | bit : word(k, VW_SIZING) & ~bit);
}

/* Bus mastering is not remembered: whether it is on says the core, which ends it with a reset, and with the owner's kernel (kexec). */
static int write_command(struct vconfig_kept *k, const struct bh_pci_info *info, uint32_t value,
                         uint32_t lanes)
{
    uint32_t mine = lanes & (CMD_MEM | CMD_INTX_OFF), on = !!(value & CMD_MASTER);

    if ((lanes & CMD_MASTER) && on != !!(info->flags & BH_PCI_DMA) &&
        ops->set(head_dom(k), head_sbdf(k), VC_MASTER, 0, &on) == -EAGAIN)
        return -EAGAIN;
    set_word(k, VW_COMMAND, (word(k, VW_COMMAND) & ~mine) | (value & mine));
    return 0;
}

static uint32_t read_header(const struct vconfig_kept *k, const struct bh_pci_info *info, unsigned off)
{
    uint32_t sbdf = head_sbdf(k);
    unsigned devfn = head_devfn(k);

    switch (off) {
    case COMMAND: {
        uint32_t v = (ops->read(sbdf, off) & ~CMD_OURS) | (word(k, VW_COMMAND) & 0xffff) |
                     (info->flags & BH_PCI_DMA ? CMD_MASTER : 0);
        return shown_from(seen_of(k, info), 0) ? v | STATUS_CAPS : v & ~STATUS_CAPS;
    }
    case HEADER:
        return (ops->read(sbdf, off) & 0xffffu) |
               (!(devfn & 7) && in_slot(head_dom(k), devfn >> 3) > 1 ? MULTI : 0);
    case ROM: return read_rom(k, info);
    case CAP_PTR: return shown_from(seen_of(k, info), 0);
    case 0x3c: return ops->read(sbdf, off) & 0xff; /* no pin: no level interrupts */
    case 0x00:
    case 0x08:
    case 0x2c: return ops->read(sbdf, off);
    default: return off >= BAR0 && off < BAR0 + 4 * BARS ? read_bar(k, info, (off - BAR0) / 4) : 0;
    }
}

static uint32_t read_bridge(unsigned off)
{
    return off == 0 ? BRIDGE_ID : off == 8 ? BRIDGE_CLASS : 0;
}

/* --- accesses -------------------------------------------------------------------------------------------------------- */

static bool possible(unsigned devfn, unsigned off, unsigned size)
{
    return (size == 1 || size == 2 || size == 4) && off % size == 0 && off < 256 && devfn < 256;
}

static uint32_t lanes_of(unsigned off, unsigned size)
{
    return (size == 4 ? ~0u : (1u << size * 8) - 1) << (off & 3) * 8;
}

uint32_t vconfig_read(domid_t dom, unsigned devfn, unsigned off, unsigned size)
{
    struct bh_pci_info info;
    uint32_t v = ~0u;

    if (possible(devfn, off, size)) {
        const struct vconfig_kept *k = devfn ? device(dom, devfn, &info) : NULL;
        if (!devfn)
            v = read_bridge(off & ~3u);
        else if (k)
            v = off < CAPS_FROM ? read_header(k, &info, off & ~3u) : read_cap(k, &info, off & ~3u);
        v = (v & lanes_of(off, size)) >> (off & 3) * 8;
    } else if (size == 1 || size == 2) {
        v >>= 32 - 8 * size;
    }
    return v;
}

int vconfig_write(domid_t dom, unsigned devfn, unsigned off, unsigned size, uint32_t value)
{
    struct bh_pci_info info;
    unsigned at = off & ~3u;

    if (!possible(devfn, off, size))
        return 0;
    struct vconfig_kept *k = device(dom, devfn, &info);
    uint32_t lanes = lanes_of(off, size), v = value << (off & 3) * 8;
    if (!k)
        return 0;
    const struct cap *c = at >= CAPS_FROM ? cap_at(seen_of(k, &info), at) : NULL;
    if (c)
        return c->gone ? 0 : write_cap(k, &info, c, at - c->off, v, lanes);
    if (at >= BAR0 && at < BAR0 + 4 * BARS) {
        write_bar(k, &info, (at - BAR0) / 4, v, lanes);
        return 0;
    }
    if (at == ROM) {
        write_rom(k, &info, v, lanes);
        return 0;
    }
    int rc = at == COMMAND ? write_command(k, &info, v, lanes) : 0;
    if (!rc && (at < BAR0 || at >= 0x3c)) /* the device's own bits: the filter knows which */
        ops->write(head_sbdf(k), off, size, value);
    return rc;
}

int vconfig_pirq(domid_t dom, unsigned devfn, bool msix, uint32_t entry, uint32_t *pirq)
{
    struct bh_pci_info info;
    const struct vconfig_kept *k = device(dom, devfn, &info);
    uint32_t value = entry;

    if (!k)
        return -ENODEV;
    if (!(info.flags & (msix ? BH_PCI_MSIX : BH_PCI_MSI)) || entry >= (msix ? info.irqs : 1u))
        return -EINVAL;
    int rc = info.flags & BH_PCI_MSI ? use_msi(k, !msix, false) : 0;
    if (!rc)
        rc = ops->set(dom, head_sbdf(k), VC_PIRQ, 0, &value);
    *pirq = value;
    return rc;
}
