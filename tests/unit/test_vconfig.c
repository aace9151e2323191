/* SPDX-License-Identifier: MIT */
// LINK: pciback/vconfig.c tests/unit/stores.c
// FLAGS: -O2
/*
 * The configuration space that owners see (pciback/vconfig.h): as Linux probes it, with any access that there could be, and with an instance that dies at
 * each store to the keep pages and before and after each call of the ops.
 */
#include <errno.h>
#include <sys/mman.h>
#include "../../pciback/vconfig.h"
#include "stores.h"
#include "unit.h"

#define NIC   0x18u    /* 00:03.0: MSI-X, MSI, PCIe with FLR, two BARs */
#define EDU   0x20u    /* 00:04.0: MSI with 64-bit address, one BAR */
#define TWO   0x10028u /* 0001:00:05.0 and .1 */
#define G     16
#define OTHER 17

static struct model {
    uint32_t sbdf;
    domid_t owner;
    struct bh_pci_info info;
    uint8_t cfg[256];
    /* what was switched */
    bool master, msi;
    uint64_t message;
    unsigned resets;
} model[4];
static struct vconfig_kept *keep;
static unsigned nr_keep;
static int refuse; /* what set answers */
static unsigned sets;

/* --- deaths: at each store to keep pages, before and after each call ------------------------------------------------- */
static jmp_buf death;
static volatile bool armed;
static volatile long points, dies_at;

static void point(void)
{
    if (armed && points++ == dies_at) {
        armed = false;
        stores_watch(keep, 4096, NULL);
        longjmp(death, 1);
    }
}

static struct model *model_of(uint32_t sbdf)
{
    for (unsigned i = 0; i < 4; i++)
        if (model[i].sbdf == sbdf)
            return &model[i];
    fail_msg("asks for device %x", sbdf);
    return NULL;
}

static bool owned(domid_t dom, uint32_t sbdf, struct bh_pci_info *info)
{
    struct model *m = model_of(sbdf);
    *info = m->info;
    info->flags |= m->master ? BH_PCI_DMA : 0;
    return m->owner == dom;
}

static uint32_t word_at(const struct model *m, unsigned off)
{
    uint32_t v;
    memcpy(&v, m->cfg + off, 4);
    return v;
}

/* No capability that means something lies there. */
static bool permissive;
static bool own(uint32_t sbdf, unsigned off)
{
    static const uint8_t nic[][2] = { { 0xa0, 12 }, { 0xc8, 8 }, { 0xd0, 16 }, { 0xe0, 0x20 } };
    bool is = off >= 0x40;

    for (unsigned i = 0; i < 4 && sbdf == NIC; i++)
        is &= off - nic[i][0] >= nic[i][1];
    return is && (sbdf != EDU || off - 0x40 >= 24) && (sbdf < TWO || off - 0x40 >= 12);
}

static uint32_t of_filter(uint32_t sbdf, unsigned off)
{
    assert_true(off < 256 && off % 4 == 0);
    return word_at(model_of(sbdf), off);
}

static void to_filter(uint32_t sbdf, unsigned off, unsigned size, uint32_t value)
{
    assert_true((size == 1 || size == 2 || size == 4) && off % size == 0);
    assert_true(off < 0x10 || (off == 0x30 && size == 1 && value <= 1) || (off & ~3u) == 0x3c ||
                own(sbdf, off));
    point();
    if (off >= 0x40 && permissive)
        memcpy(model_of(sbdf)->cfg + off, &value, size);
    if (off == 0x3c || off == 0x30)
        model_of(sbdf)->cfg[off] = (uint8_t)value;
    if (off == 4 && size >= 2)
        model_of(sbdf)->cfg[5] = (uint8_t)(value >> 8 & 1); /* SERR */
}

static int set(domid_t dom, uint32_t sbdf, enum vconfig_set what, uint64_t address, uint32_t *value)
{
    struct model *m = model_of(sbdf);
    assert_int_equal(m->owner, dom);
    point();
    sets++;
    if (refuse)
        return refuse;
    switch (what) {
    case VC_MASTER:
        assert_true(*value <= 1);
        m->master = *value;
        break;
    case VC_MSI:
        assert_true(*value <= 1);
        m->msi = *value;
        m->message = address;
        break;
    case VC_RESET:
        m->resets++;
        m->master = m->msi = false;
        m->message = 0;
        break;
    case VC_PIRQ: *value += 100; break;
    default: fail_msg("sets %u", what);
    }
    point();
    return 0;
}

static const struct vconfig_ops ops = { owned, of_filter, to_filter, set };

/* --- devices as the filter shows them -------------------------------------------------------------------------------- */
static void put(struct model *m, unsigned off, uint32_t v) { memcpy(m->cfg + off, &v, 4); }

static void bar(struct model *m, unsigned i, uint64_t gpa, uint64_t size, uint32_t flags)
{
    m->info.bar[i] = (struct bh_pci_bar){ gpa + 0x1000000, size, gpa, flags, 0 };
}

static void devices(void)
{
    memset(model, 0, sizeof model);
    struct model *m = &model[0];
    m->sbdf = NIC;
    put(m, 0, 0x10d38086);
    put(m, 4, 0x00100007); /* the device's own bits 0 to 2 are the core's and not seen */
    put(m, 8, 0x02000000);
    put(m, 0xc, 0x00000010);
    put(m, 0x2c, 0x12345678);
    put(m, 0x30, 0xfeb00001); /* no filter shows these */
    put(m, 0x34, 0xc8);
    put(m, 0x3c, 0x0000010b);
    put(m, 0xc8, 0x0003d001); /* PM */
    put(m, 0xd0, 0x00c0e005); /* MSI: 64 bits; that it is on is the core's */
    put(m, 0xd4, 0xfee01000);
    put(m, 0xe0, 0x0001a010); /* PCIe */
    put(m, 0xe4, 0x10008000);
    put(m, 0xe8, 0x0010a810);
    put(m, 0xa0, 0x80040011); /* MSI-X, 5 entries, last of the list */
    put(m, 0xa4, 3);
    put(m, 0xa8, 0x2003);
    m->info.irqs = 5;
    m->info.flags = BH_PCI_MSIX | BH_PCI_FLR;
    bar(m, 0, 0xf0000000, 0x20000, 1);
    bar(m, 3, 0x4000000000, 0x8000, 1 | 2 | 4);
    m = &model[1];
    m->sbdf = EDU;
    m->info.irqs = 1;
    m->info.flags = BH_PCI_MSI;
    put(m, 0, 0x11e81234);
    put(m, 4, 0x00100000);
    put(m, 8, 0x00ff0010);
    put(m, 0x34, 0x40);
    put(m, 0x40, 0x00800005);
    bar(m, 0, 0xf0100000, 0x100000, 1);
    bar(m, 1, 0xc000, 0x20, 8); /* I/O: not shown */
    bar(m, BH_PCI_ROM, 0xf0200000, 0x40000, 1);
    for (unsigned i = 2; i < 4; i++) {
        model[i].sbdf = TWO + i - 2;
        put(&model[i], 0, 0x00010001u + i);
        put(&model[i], 0x34, 0x40);
        put(&model[i], 4, 0x00100000);
        put(&model[i], 0x40, 0x00034011); /* MSI-X, of which no entry is to be had; and a circle */
    }
    for (unsigned i = 0; i < 4; i++)
        model[i].owner = G;
}

/* The same without its MSI-X: its one interrupt comes by MSI. */
static void msi_only(void)
{
    model[0].info.irqs = 1;
    model[0].info.flags = BH_PCI_MSI | BH_PCI_FLR;
}

int setup(void **state)
{
    devices();
    keep = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    nr_keep = 8;
    refuse = 0;
    sets = 0;
    return (int)vconfig_init(&ops, keep, nr_keep);
}

int teardown(void **state) { return munmap(keep, 4096); }

static uint32_t rd(unsigned devfn, unsigned off) { return vconfig_read(G, devfn, off, 4); }
static void wr(unsigned devfn, unsigned off, unsigned size, uint32_t v)
{
    assert_int_equal(vconfig_write(G, devfn, off, size, v), 0);
}

/* --- tests ----------------------------------------------------------------------------------------------------------- */
TEST(test_bridge_and_nobody)
{
    assert_int_equal(vconfig_read(G, 0, 0x0a, 2), 0x0600);
    assert_int_not_equal(rd(0, 0), ~0u);
    assert_int_equal(rd(0, 0x10), 0);
    wr(0, 4, 2, 7);
    assert_int_equal(vconfig_read(G, 0, 4, 2), 0);
    for (unsigned devfn = 1; devfn < 300; devfn++)
        assert_int_equal(rd(devfn, 0), ~0u);
    assert_int_equal(vconfig_read(G, 8, 0, 2), 0xffff);
    assert_int_equal(vconfig_read(G, 8, 0, 1), 0xff);
}

TEST(test_places)
{
    assert_int_equal(vconfig_add(G, NIC, -1), 1 << 3);
    assert_int_equal(vconfig_add(G, NIC, 5 << 3), 1 << 3); /* where it is it stays */
    assert_int_equal(vconfig_add(G, EDU, 0), 2 << 3);      /* the bridge's */
    assert_int_equal(vconfig_add(G, TWO, 7 << 3), 7 << 3);
    assert_int_equal(vconfig_add(G, TWO + 1, -1), 7 << 3 | 1);
    assert_int_equal(rd(7 << 3, 0xc) >> 16 & 0xff, 0x80);
    assert_int_equal(rd(7 << 3 | 1, 0xc) >> 16 & 0xff, 0);
    vconfig_remove(G, TWO + 1);
    assert_int_equal(rd(7 << 3, 0xc) >> 16 & 0xff, 0);
    assert_int_equal(rd(7 << 3 | 1, 0), ~0u);
    vconfig_remove(G, TWO);
    assert_int_equal(vconfig_add(G, TWO + 1, 1 << 3),
                     3 << 3); /* without function 0, and that is taken */
    assert_int_equal(vconfig_add(G, TWO, 300), 4 << 3);
    uint32_t sbdf;
    assert_int_equal(vconfig_nth(G, 0, &sbdf), 1 << 3);
    assert_int_equal(vconfig_nth(G, 4, &sbdf), -ENOENT);
    assert_int_equal(vconfig_owner(-1), G);
    assert_int_equal(vconfig_owner(G), -ENOENT);
    for (unsigned i = 0; i < 4; i++)
        assert_true(vconfig_add(OTHER, 0x100 + i, -1) >= 8);
    assert_int_equal(vconfig_add(OTHER, 0x200, -1), -ENOSPC); /* 8 records */
    assert_int_equal(vconfig_owner(G), OTHER);
}

/* As __pci_read_base does it. */
static uint64_t size_of(unsigned devfn, unsigned i)
{
    uint32_t lo = rd(devfn, 0x10 + 4 * i), hi = 0;
    wr(devfn, 0x10 + 4 * i, 4, lo | ~0u);
    uint64_t mask = rd(devfn, 0x10 + 4 * i) & ~0xfu;
    wr(devfn, 0x10 + 4 * i, 4, lo);
    if ((lo & 7) == 4) {
        hi = rd(devfn, 0x14 + 4 * i);
        wr(devfn, 0x14 + 4 * i, 4, ~0u);
        mask |= (uint64_t)rd(devfn, 0x14 + 4 * i) << 32;
        wr(devfn, 0x14 + 4 * i, 4, hi);
        assert_int_equal(rd(devfn, 0x14 + 4 * i), hi);
    } else if (mask) {
        mask |= 0xffffffff00000000;
    }
    assert_int_equal(rd(devfn, 0x10 + 4 * i), lo);
    return mask ? ~mask + 1 : 0;
}

TEST(test_bars)
{
    vconfig_add(G, NIC, -1);
    vconfig_add(G, EDU, -1);
    assert_int_equal(rd(8, 0x10), 0xf0000000);
    assert_int_equal(rd(8, 0x1c), 0x0000000c);
    assert_int_equal(rd(8, 0x20), 0x40);
    assert_int_equal(size_of(8, 0), 0x20000);
    assert_int_equal(size_of(8, 1), 0);
    assert_int_equal(size_of(8, 3), 0x8000);
    assert_int_equal(size_of(16, 0), 0x100000);
    assert_int_equal(size_of(16, 1), 0);
    wr(8, 0x10, 4, 0xe0000000); /* it does not move */
    assert_int_equal(rd(8, 0x10), 0xf0000000);
    assert_int_equal(rd(8, 0x30), 0); /* no ROM, and no size of one */
    wr(8, 0x30, 4, 0xfffff800);
    assert_int_equal(rd(8, 0x30), 0);
    assert_int_equal(sets, 0);
}

/* As __pci_read_base and pci_enable_rom do it. */
TEST(test_rom)
{
    vconfig_add(G, EDU, -1);
    uint32_t was = rd(8, 0x30);
    assert_int_equal(was, 0xf0200000);
    wr(8, 0x30, 4, was | 0xfffff800);
    assert_int_equal(rd(8, 0x30), 0xfffc0000);
    wr(8, 0x30, 4, was);
    assert_int_equal(rd(8, 0x30), was);
    wr(8, 0x30, 4, was | 1);
    assert_int_equal(rd(8, 0x30), was | 1);
    assert_int_equal(model[1].cfg[0x30], 1);
    wr(8, 0x30, 4, 0xfffffffe); /* as the specification has it */
    assert_int_equal(rd(8, 0x30), 0xfffc0000);
    assert_int_equal(model[1].cfg[0x30], 0);
    wr(8, 0x30, 4, 0xe0000000); /* it does not move */
    assert_int_equal(rd(8, 0x30), was);
}

TEST(test_header)
{
    vconfig_add(G, NIC, -1);
    assert_int_equal(rd(8, 0), 0x10d38086);
    assert_int_equal(vconfig_read(G, 8, 2, 2), 0x10d3);
    assert_int_equal(vconfig_read(G, 8, 0xb, 1), 2);
    assert_int_equal(rd(8, 4), 0x00100000);
    assert_int_equal(rd(8, 0x2c), 0x12345678);
    assert_int_equal(rd(8, 0x3c), 0x0b);
    wr(8, 0x3c, 1, 0xaa);
    assert_int_equal(rd(8, 0x3c), 0xaa);
    wr(8, 4, 2, 0x507); /* I/O is never on */
    assert_int_equal(vconfig_read(G, 8, 4, 2), 0x506);
    assert_true(model[0].master);
    wr(8, 4, 1, 2);
    assert_int_equal(vconfig_read(G, 8, 4, 2), 0x502);
    assert_false(model[0].master);
    assert_int_equal(sets, 2);
    refuse = -EBUSY;
    wr(8, 4, 2, 6);
    assert_int_equal(vconfig_read(G, 8, 4, 2), 2);
    refuse = -EAGAIN;
    assert_int_equal(vconfig_write(G, 8, 4, 2, 0x406), -EAGAIN);
    assert_int_equal(vconfig_read(G, 8, 4, 2), 2);
}

TEST(test_capabilities)
{
    static const uint8_t list[] = { 0xc8, 0xe0, 0xa0, 0 };
    vconfig_add(G, NIC, -1);
    vconfig_add(G, TWO, -1);
    unsigned at = rd(8, 0x34);
    for (unsigned i = 0; i < sizeof list; at = rd(8, at) >> 8 & 0xff, i++) {
        assert_int_equal(at, list[i]);
        if (!at)
            break;
    }
    assert_int_equal(rd(8, 0x40), 0);
    wr(8, 0x40, 4, ~0u);
    assert_int_equal(rd(16, 0x34), 0); /* its only one is not shown, */
    assert_int_equal(rd(16, 4) >> 20 & 1, 0);
    assert_int_equal(rd(16, 0x40), 0);
    /* Power: D0 and D3hot, without a meaning. */
    assert_int_equal(rd(8, 0xcc), 8);
    wr(8, 0xcc, 2, 0x8103);
    assert_int_equal(rd(8, 0xcc), 0xb);
    wr(8, 0xcc, 2, 0);
    /* MSI-X: the core's entries are on when they are bound. */
    assert_int_equal(rd(8, 0xa0), 0x00040011);
    wr(8, 0xa2, 2, 0xffff);
    assert_int_equal(rd(8, 0xa0), 0xc0040011);
    wr(8, 0xa4, 4, ~0u);
    assert_int_equal(rd(8, 0xa4), 3);
    wr(8, 0xa2, 2, 0);
    /* And no MSI beside it: not in the list, and not where it is. */
    assert_int_equal(rd(8, 0xd0), 0);
    wr(8, 0xd2, 2, 1);
    assert_int_equal(sets, 0);
}

/* What it says while it does not answer is not remembered. */
TEST(test_no_answer)
{
    uint8_t cfg[256];
    vconfig_add(G, NIC, -1);
    memcpy(cfg, model[0].cfg, sizeof cfg);
    memset(model[0].cfg, 0xff, sizeof cfg);
    assert_int_equal(rd(8, 0), ~0u);
    assert_int_equal(rd(8, 0x34), 0);
    memcpy(model[0].cfg, cfg, sizeof cfg);
    assert_int_equal(rd(8, 0x34), 0xc8);
    assert_int_equal(rd(8, 0xa0), 0x00040011);
}

/* What lies beside the capabilities is the filter's to let through. */
TEST(test_own_registers)
{
    vconfig_add(G, EDU, -1);
    assert_int_equal(rd(8, 0x60), 0);
    wr(8, 0x60, 4, 0x12345678);
    assert_int_equal(rd(8, 0x60), 0);
    permissive = true;
    wr(8, 0x60, 4, 0x12345678);
    wr(8, 0x61, 1, 0x99);
    permissive = false;
    assert_int_equal(rd(8, 0x60), 0x12349978);
    assert_int_equal(vconfig_read(G, 8, 0x61, 1), 0x99);
}

TEST(test_pirqs)
{
    uint32_t pirq;
    vconfig_add(G, NIC, -1);
    vconfig_add(G, EDU, -1);
    assert_int_equal(vconfig_pirq(G, 8, true, 4, &pirq), 0);
    assert_int_equal(pirq, 104);
    assert_int_equal(vconfig_pirq(G, 8, true, 5, &pirq), -EINVAL);
    assert_int_equal(vconfig_pirq(G, 8, false, 0, &pirq), -EINVAL);
    assert_int_equal(vconfig_pirq(G, 16, false, 0, &pirq), 0);
    assert_int_equal(vconfig_pirq(G, 16, true, 0, &pirq), -EINVAL);
    assert_int_equal(vconfig_pirq(OTHER, 8, true, 0, &pirq), -ENODEV);
    refuse = -ENODEV;
    assert_int_equal(vconfig_pirq(G, 8, true, 0, &pirq), -ENODEV);
}

static const uint64_t message = 0x0000040000000000ull | 0xfee05000u;
TEST(test_msi)
{
    msi_only();
    vconfig_add(G, NIC, -1);
    assert_int_equal(rd(8, 0xd0), 0x0080e005);
    assert_int_equal(rd(8, 0xd4), 0);
    wr(8, 0xd4, 4, (uint32_t)message | 3);
    wr(8, 0xd8, 4, message >> 32);
    wr(8, 0xdc, 2, 0x4300);
    assert_int_equal(sets, 0);
    wr(8, 0xd2, 2, 0x71); /* no more than one message */
    assert_int_equal(rd(8, 0xd0), 0x0081e005);
    assert_int_equal(rd(8, 0xd4), (uint32_t)message);
    assert_int_equal(rd(8, 0xdc), 0x4300);
    assert_true(model[0].msi);
    assert_int_equal(model[0].message, message);
    wr(8, 0xd4, 4, 0xfee06000); /* while it is on */
    assert_int_equal(model[0].message, (message & ~0xffffffffull) | 0xfee06000);
    wr(8, 0xd2, 2, 0);
    assert_false(model[0].msi);
    refuse = -EINVAL;
    wr(8, 0xd2, 2, 1);
    assert_int_equal(rd(8, 0xd0), 0x0080e005);
    refuse = -EAGAIN;
    assert_int_equal(vconfig_write(G, 8, 0xd2, 2, 1), -EAGAIN);
}

/* Both kinds: one at a time, MSI-X where both are on. */
TEST(test_msi_beside_msix)
{
    uint32_t pirq, list[8], n = 0;

    model[0].info.flags |= BH_PCI_MSI;
    vconfig_add(G, NIC, -1);
    for (unsigned at = rd(8, 0x34); at && n < 8; at = rd(8, at) >> 8 & 0xff)
        list[n++] = at;
    assert_memory_equal(list, ((uint32_t[]){ 0xc8, 0xd0, 0xe0, 0xa0 }), 16);
    assert_int_equal(n, 4);
    wr(8, 0xa2, 2, 0x8000); /* MSI-X as ever, and the core is told whatever it thought */
    assert_int_equal(sets, 1);
    assert_false(model[0].msi);
    wr(8, 0xd4, 4, (uint32_t)message);
    wr(8, 0xd8, 4, message >> 32);
    wr(8, 0xd2, 2, 1);
    assert_int_equal(rd(8, 0xd0) >> 16 & 1, 1);
    assert_false(model[0].msi);
    wr(8, 0xa2, 2, 0);
    assert_true(model[0].msi);
    assert_int_equal(model[0].message, message);
    wr(8, 0xa2, 2, 0x4000); /* another bit of it */
    assert_true(model[0].msi);
    refuse = -EAGAIN;
    assert_int_equal(vconfig_write(G, 8, 0xa2, 2, 0x8000), -EAGAIN);
    assert_int_equal(rd(8, 0xa0) >> 16, 0x4004);
    refuse = 0;
    wr(8, 0xa2, 2, 0x8000);
    assert_false(model[0].msi);
    wr(8, 0xa2, 2, 0);
    wr(8, 0xd2, 2, 0);
    assert_false(model[0].msi);
    /* Who speaks pciif says which by what he asks for. */
    assert_int_equal(vconfig_pirq(G, 8, false, 1, &pirq), -EINVAL);
    assert_int_equal(vconfig_pirq(G, 8, false, 0, &pirq), 0);
    assert_true(model[0].msi);
    assert_int_equal(vconfig_pirq(G, 8, true, 4, &pirq), 0);
    assert_false(model[0].msi);
    refuse = -EAGAIN;
    assert_int_equal(vconfig_pirq(G, 8, false, 0, &pirq), -EAGAIN);
}

TEST(test_reset)
{
    msi_only();
    vconfig_add(G, NIC, -1);
    wr(8, 4, 2, 6);
    wr(8, 0xd2, 2, 1);
    wr(8, 0x10, 4, ~0u);
    wr(8, 0xe8, 2, 0x2810); /* another register there is not ours */
    assert_int_equal(model[0].resets, 0);
    wr(8, 0xe8, 2, 0xa810);
    assert_int_equal(model[0].resets, 1);
    assert_int_equal(rd(8, 4), 0x00100000);
    assert_int_equal(rd(8, 0xd0), 0x0080e005);
    assert_int_equal(rd(8, 0x10), 0xf0000000);
    assert_int_equal(rd(8, 0xe8) & 0x8000, 0);
    refuse = -EIO;
    wr(8, 4, 2, 2);
    wr(8, 0xe8, 2, 0x8000);
    assert_int_equal(vconfig_read(G, 8, 4, 2), 2);
    refuse = -EAGAIN;
    assert_int_equal(vconfig_write(G, 8, 0xe8, 2, 0x8000), -EAGAIN);
    refuse = 0;
    model[0].info.flags &= (uint16_t)~BH_PCI_FLR;
    wr(8, 0xe8, 2, 0x8000);
    assert_int_equal(model[0].resets, 1);
}

/* Each its own; and what was taken away is not there any more. */
TEST(test_whose)
{
    uint32_t sbdf;
    vconfig_add(G, NIC, -1);
    assert_int_equal(vconfig_read(OTHER, 8, 0, 4), ~0u);
    assert_int_equal(vconfig_write(OTHER, 8, 4, 2, 6), 0);
    assert_int_equal(sets, 0);
    assert_true(vconfig_device(G, 8, &sbdf) && sbdf == NIC);
    wr(8, 4, 2, 6);
    model[0].owner = OTHER;
    assert_int_equal(rd(8, 0), ~0u);
    assert_false(vconfig_device(G, 8, &sbdf));
    model[0].owner = G; /* given again: as new */
    model[0].master = false;
    assert_int_equal(rd(8, 0), ~0u);
    vconfig_add(G, NIC, -1);
    assert_int_equal(rd(8, 4), 0x00100000);
}

/* Taken away and given again while nobody was here: what its owner wrote before is gone, and it is where it was. */
TEST(test_given_again)
{
    model[0].info.given = 7;
    model[0].info.flags |= BH_PCI_MSI;
    vconfig_add(G, NIC, 9 << 3);
    wr(9 << 3, 4, 2, 6);
    wr(9 << 3, 0xa2, 2, 0xc000);
    wr(9 << 3, 0xd4, 4, (uint32_t)message);
    wr(9 << 3, 0xe8, 2, 0x8000); /* as a reset does it, */
    assert_int_equal(rd(9 << 3, 4), 0x00100000);
    wr(9 << 3, 4, 2, 2);
    assert_int_equal(vconfig_init(&ops, keep, nr_keep), 0);
    assert_int_equal(rd(9 << 3, 4), 0x00100002);
    wr(9 << 3, 0xa2, 2, 0xc000);
    model[0].info.given++;
    model[0].master = false;
    assert_int_equal(rd(9 << 3, 4), 0x00100000);
    assert_int_equal(rd(9 << 3, 0xa0), 0x00040011);
    assert_int_equal(rd(9 << 3, 0xd4), 0);
    wr(9 << 3, 4, 2, 2);
    assert_int_equal(rd(9 << 3, 4), 0x00100002);
}

/* --- deaths ---------------------------------------------------------------------------------------------------------- */
struct step {
    unsigned devfn, off, size;
    uint32_t v;
};
static const struct step script[] = {
    { 8, 0x10, 4, ~0u },         { 8, 0x10, 4, 0xf0000000 }, { 8, 0x1c, 4, ~0u },
    { 8, 0x20, 4, ~0u },         { 8, 0x20, 4, 0x40 },       { 8, 0x04, 2, 0x106 },
    { 8, 0xd4, 4, 0xfee05000 },  { 8, 0xd8, 4, 0x400 },      { 8, 0xdc, 2, 0x4300 },
    { 8, 0xd2, 2, 1 },           { 8, 0xd4, 4, 0xfee07000 }, { 8, 0xa2, 2, 0xc000 },
    { 8, 0xa2, 2, 0x8000 },      { 8, 0x3c, 1, 9 },          { 8, 0xcc, 2, 3 },
    { 8, 0xe8, 2, 0x8000 },      { 8, 0x04, 2, 0x402 },      { 8, 0x04, 2, 0x406 },
    { 8, 0xd8, 4, 0x500 },       { 8, 0xd2, 2, 1 },          { 8, 0xd2, 2, 0 },
    { 8, 0xd4, 4, 0xfee09000 },  { 8, 0xd2, 2, 1 },          { 16, 0x04, 2, 6 },
    { 16, 0x44, 4, 0xfee01000 }, { 16, 0x42, 2, 1 },         { 16, 0x10, 4, ~0u },
    { 16, 0x30, 4, ~0u },
};
#define STEPS (sizeof script / sizeof script[0])

static volatile unsigned pc;
static void play(long when, uint32_t end[128], struct model m[2])
{
    devices();
    msi_only();
    memset(keep, 0, 4096);
    assert_int_equal(vconfig_init(&ops, keep, nr_keep), 0);
    points = 0;
    dies_at = when;
    pc = 0;
    armed = true;
    if (setjmp(death))
        assert_int_equal(vconfig_init(&ops, keep, nr_keep), 0);
    else
        stores_watch(keep, 4096, point);
    if (pc == 0) {
        assert_int_equal(vconfig_add(G, NIC, -1), 8);
        assert_int_equal(vconfig_add(G, EDU, -1), 16);
    }
    for (; pc < STEPS; pc++)
        wr(script[pc].devfn, script[pc].off, script[pc].size, script[pc].v);
    if (armed)
        stores_watch(keep, 4096, NULL);
    armed = false;
    for (unsigned i = 0; i < 128; i++)
        end[i] = rd(i < 64 ? 8 : 16, i % 64 * 4);
    memcpy(m, model, 2 * sizeof *m);
}

TEST(test_death_at_each_point)
{
    uint32_t want[128], got[128];
    struct model m[2], n[2];

    play(-1, want, m);
    long all = points;
    print_message("%ld points\n", all);
    assert_true(all > 60);
    assert_true(m[0].resets == 1 && m[0].master && m[0].msi && m[1].master && m[1].msi);
    for (long i = 0; i < all; i++) {
        play(i, got, n);
        assert_memory_equal(got, want, sizeof want);
        assert_true(n[0].resets >= 1 && n[0].resets <= 2);
        n[0].resets = 1;
        assert_memory_equal(n, m, sizeof m);
    }
}

/* --- anything -------------------------------------------------------------------------------------------------------- */
static uint64_t seed;
static uint32_t rnd(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(seed >> 33);
}

/* What there may be in a record after whatever was written: what is read is never the hardware's. */
static void still_sane(void)
{
    uint32_t v = rd(8, 0x10);
    assert_true(v == ~0u || v == 0xf0000000 || v == 0xfffe0000);
    v = rd(8, 0x20);
    assert_true(v == ~0u || v == 0x40);
    v = rd(16, 0x30);
    assert_true(v == ~0u || (v & ~1u) == 0xf0200000 || (v & ~1u) == 0xfffc0000);
    v = rd(16, 0x40);
    assert_true(v == ~0u || (v >> 16 & 1) == model[1].msi);
    v = rd(8, 4);
    assert_true(v == ~0u || (v >> 2 & 1) == model[0].master);
}

TEST(test_any_access)
{
    static const int answers[] = { 0, 0, 0, -EBUSY, -EAGAIN, -ENODEV };

    for (unsigned s = 1; s <= 40; s++) {
        seed = s;
        devices();
        memset(keep, 0, 4096);
        vconfig_init(&ops, keep, nr_keep);
        vconfig_add(G, NIC, -1);
        vconfig_add(G, EDU, -1);
        for (unsigned i = 0; i < 20000; i++) {
            bool wild = rnd() % 8 == 0;
            domid_t dom = rnd() % 16 ? G : (domid_t)rnd();
            unsigned devfn = wild ? rnd() : (rnd() % 4) << 3,
                     size = wild ? rnd() % 9 : 1u << rnd() % 3;
            unsigned off = wild ? rnd() : rnd() % 256 & ~(size - 1);
            uint32_t value = rnd() % 4 ? rnd() << 1 : rnd() % 2 ? ~0u : 0;
            refuse = answers[rnd() % 6];
            if (rnd() % 2)
                (void)vconfig_write(dom, devfn, off, size, value);
            else
                (void)vconfig_read(dom, devfn, off, size);
            still_sane();
        }
    }
}

/* Records that somebody wrote over: found, and empty. */
TEST(test_damage)
{
    vconfig_add(G, NIC, -1);
    for (unsigned i = 0; i < sizeof *keep; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct vconfig_kept was = *keep;
            ((uint8_t *)keep)[i] ^= (uint8_t)(1u << bit);
            assert_int_equal(vconfig_init(&ops, keep, nr_keep), 1);
            assert_int_equal(rd(8, 0), ~0u);
            *keep = was;
        }
    }
    assert_int_equal(vconfig_init(&ops, keep, nr_keep), 0);
    assert_int_equal(rd(8, 0), 0x10d38086);
    for (unsigned i = 0; i < 2000; i++) {
        for (unsigned k = 0; k < 512; k++)
            ((uint32_t *)keep)[k] = rnd();
        (void)vconfig_init(&ops, keep, nr_keep);
        (void)rd(8, 0);
    }
}
