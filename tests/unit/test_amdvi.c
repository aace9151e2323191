/* SPDX-License-Identifier: MIT */
// LINK: hv/pci/iommu/amdvi_pt.c hv/pci/iommu/ivrs.c hv/pci/iommu/iommu.c
/* AMD-Vi's tables: what a device can reach is exactly the owner's RAM; the IVRS parser survives any bytes. */
#include "unit.h"
#include "platform/acpi_info.h"
#include "platform/cmdline.h"
#include "mem/frame.h"
#include "pci/iommu/amdvi.h"
#include "pci/pci_int.h"
#include "domain/domain.h"
#include "shim.h"

/* --- the rest of the core ------------------------------------------------------------------------------------- */
struct acpi_info acpi_info;
struct cmdline cmdline;
const struct iommu_ops *iommu_ops;
struct pci_dev *pci_devices;
static struct pci_dev nic = { .sbdf = BH_SBDF(0, 0, 3, 0) };
static uint32_t refs[1u << 16];  /* by mfn */
static uint64_t p2m[8192];       /* gfn -> mfn, 0 none */
static uint64_t odd_gfn = ~0ull; /* what is there is of this type */
static enum p2m_type odd_type;
static unsigned flushes;
static bool put_before_flush, no_memory;

void frame_get_held(mfn_t m) { refs[m.v]++; }
void frame_put(mfn_t m)
{
    assert_true(refs[m.v]);
    refs[m.v]--;
    if (!flushes)
        put_before_flush = true;
}
void frame_put_block(mfn_t m, unsigned order)
{
    for (uint64_t i = 0; i < 1ull << order; i++)
        frame_put(MFN(m.v + i));
}
mfn_t p2m_lookup(struct domain *d, gfn_t g, enum p2m_type *t)
{
    bool ok = g.v < ARRAY_SIZE(p2m) && p2m[g.v];
    *t = !ok ? P2M_NONE : g.v == odd_gfn ? odd_type : P2M_RAM;
    return ok ? MFN(p2m[g.v]) : INVALID_MFN;
}
struct pci_dev *pci_find(uint32_t sbdf) { return sbdf == nic.sbdf ? &nic : NULL; }
bool pci_is_platform_core(const struct pci_dev *p) { return false; }
bool amdvi_init(const void *t) { return true; }
/* core_alloc fails on demand */
void *core_alloc(unsigned order)
{
    static unsigned next = 4096; /* machine frames from 16 MiB on */
    if (no_memory)
        return NULL;
    void *p = shim_ram() + ((size_t)next << 12);
    next += 1u << order;
    memset(p, 0, PAGE_SIZE << order);
    shim_core_pages += 1u << order;
    return p;
}
void core_free(void *p, unsigned order) { shim_core_pages -= 1u << order; }

/* Counted against the domain's allowance, which is only raised by a promise. */
static uint64_t charged, promises;
static bool no_promise;
void *core_alloc_for(struct domain *d)
{
    void *p = core_alloc(0);
    charged += p != NULL;
    return p;
}
void core_free_for(struct domain *d, void *p)
{
    core_free(p, 0);
    charged--;
}
int frame_promise(struct domain *d, uint64_t ram, uint64_t allowance)
{
    assert_int_equal(ram, 0);
    if (no_promise)
        return -ENOMEM;
    d->allowance += allowance;
    promises++;
    return 0;
}

static int t_init(struct iommu_domain *dom)
{
    return (dom->root = amdvi_pt_new_for(dom->domain)) ? 0 : -ENOMEM;
}
static void t_free(struct iommu_domain *dom) { core_free_for(dom->domain, dom->root); }
static void t_flush(struct iommu_domain *dom) { flushes++; }
static void t_poll(void) {}
const struct iommu_ops amdvi_ops = {
    .map = amdvi_pt_map,
    .unmap = amdvi_pt_unmap,
    .clear = amdvi_pt_clear,
    .flush = t_flush,
    .init_domain = t_init,
    .free_domain = t_free,
    .poll_faults = t_poll,
};

/* A second opinion: the walk of the specification, 2.2.3, with permissions of all levels. */
static uint64_t walk(const struct dte *e, uint64_t addr)
{
    uint64_t pte = e->q[0], perm = IOPTE_IR | IOPTE_IW;
    unsigned level = pte >> 9 & 7;

    if (!(pte & DTE_V) || !(pte & DTE_TV) || !level)
        return addr; /* open! */
    if (addr >> (12 + 9 * level))
        return ~0ull;
    while (level) {
        perm &= pte;
        if (!(pte & 1) || !perm)
            return ~0ull;
        pte = ((uint64_t *)maddr_to_virt(
            MADDR(pte & IOPTE_ADDR)))[(addr >> (12 + 9 * (level - 1))) & 511];
        unsigned next = pte >> 9 & 7;
        if (!(pte & 1) || !(pte & perm))
            return ~0ull;
        if (!next)
            return (pte & IOPTE_ADDR) | (addr & ((1ull << (12 + 9 * (level - 1))) - 1));
        assert_true(next < level);
        level = next;
    }
    return ~0ull;
}

static struct domain *dom_with(uint64_t gfn, uint64_t nr, uint64_t mfn)
{
    static struct domain d;
    memset(&d, 0, sizeof(d));
    memset(p2m, 0, sizeof(p2m));
    memset(refs, 0, sizeof(refs));
    flushes = 0;
    put_before_flush = no_memory = false;
    d.id = 3;
    d.nr_extents = 1;
    d.extent[0].gfn = gfn;
    d.extent[0].nr = nr;
    for (uint64_t i = 0; i < nr; i++)
        p2m[gfn + i] = mfn + i;
    iommu_ops = &amdvi_ops;
    d.iommu = iommu_domain_create(&d);
    assert_non_null(d.iommu);
    return &d;
}

static unsigned steps; /* of the last fill() or empty() */
static int fill(struct domain *d)
{
    int rc;

    for (steps = 1; (rc = iommu_fill(d->iommu)) == HC_AGAIN; steps++)
        ;
    return rc;
}
static void empty(struct domain *d)
{
    for (steps = 1; iommu_clear(d->iommu) == HC_AGAIN; steps++)
        ;
}
static void end(struct domain *d) /* as assign.c does it */
{
    d->iommu->reserve = 0;
    empty(d);
    iommu_domain_free(d->iommu);
}

static uint64_t total_refs(void)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(refs); i++)
        n += refs[i];
    return n;
}

/* --- tests ------------------------------------------------------------------------------------------------------ */

TEST(blocked_entries)
{
    uint64_t *empty = amdvi_pt_new();
    struct dte e;

    dte_blocked(&e, virt_to_maddr(empty));
    assert_int_equal(e.q[0] & 3, 3); /* valid, translation valid: zero would be open */
    assert_true(e.q[0] >> 9 & 7);    /* mode >= 1: blocked is reported */
    assert_int_equal(e.q[0] & (DTE_IR | DTE_IW), 0);
    assert_int_equal(e.q[2] & 1, 1);       /* interrupt map valid */
    assert_int_equal(e.q[2] >> 60 & 3, 0); /* target abort */
    assert_int_equal(walk(&e, 0x1000), ~0ull);
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(empty[i], 0x200);
    dte_remap_only(&e, MADDR(0x5000));
    assert_int_equal(e.q[2] >> 60 & 3, 2);
    assert_int_equal(e.q[2] & 0x000fffffffffffc0ull, 0x5000);
    assert_int_equal(walk(&e, 0x1000), ~0ull);
    core_free(empty, 0);
}

TEST(attached_entry)
{
    struct domain *d = dom_with(0, 16, 0x100);
    struct dte e;

    dte_attached(&e, d->iommu, MADDR(0x40000));
    assert_int_equal(e.q[1], 4); /* domid + 1 */
    assert_int_equal(e.q[2] & 0x3fffffffffc0ull, 0x40000);
    assert_int_equal(e.q[2] >> 1 & 15, 11); /* 2048 entries: no index lies outside */
    assert_int_equal(e.q[2] >> 60 & 3, 2);
    assert_int_equal(e.q[0] & 0x80300000000000fcull, 0); /* reserved bits that QEMU insists on */
    assert_int_equal(walk(&e, 0), ~0ull);                /* attached, but nothing mapped yet */
    end(d);
}

TEST(fill_maps_exactly_the_ram)
{
    uint64_t before = shim_core_pages;
    struct domain *d = dom_with(0x10, 3000, 0x1010);
    struct dte e;

    p2m[0x20] = 0; /* a hole */
    p2m[0x800] = 0x5000;
    odd_gfn = 0x300;
    odd_type = P2M_RAM_IMMUTABLE;
    assert_int_equal(fill(d), 0);
    dte_attached(&e, d->iommu, MADDR(0));
    for (uint64_t g = 0; g < 8192; g++)
        assert_int_equal(walk(&e, g << 12 | 0xabc),
                         p2m[g] && g != odd_gfn ? p2m[g] << 12 | 0xabc : ~0ull);
    assert_int_equal(walk(&e, 1ull << 39), ~0ull);
    assert_int_equal(walk(&e, 1ull << 48), ~0ull);
    assert_int_equal(total_refs(), 2998);
    flushes = 1;
    empty(d);
    assert_int_equal(total_refs(), 0);
    for (uint64_t g = 0; g < 8192; g++)
        assert_int_equal(walk(&e, g << 12), ~0ull);
    assert_int_equal(fill(d), 0); /* restart: filled again */
    assert_int_equal(total_refs(), 2998);
    odd_gfn = ~0ull;
    end(d);
    assert_int_equal(shim_core_pages, before);
}

/* Nothing of anybody's: neither in a page of its own nor in the middle of a big one nor where one is put later. */
TEST(fillers_stay_out)
{
    static const enum p2m_type type[] = { P2M_FILLER, P2M_FILLER_RO };
    static const uint64_t at[] = { 3, 512 + 77 };

    for (unsigned i = 0; i < 4; i++) {
        struct domain *d = dom_with(0, 1024, 0x1000);
        struct dte e;
        odd_type = type[i & 1];
        odd_gfn = at[i >> 1];
        assert_int_equal(fill(d), 0);
        dte_attached(&e, d->iommu, MADDR(0));
        pci_p2m_changed(d, GFN(odd_gfn), MFN(p2m[odd_gfn]), true);
        for (uint64_t g = 0; g < 1024; g++)
            assert_int_equal(walk(&e, g << 12), g != odd_gfn ? p2m[g] << 12 : ~0ull);
        assert_int_equal(refs[p2m[odd_gfn]], 0);
        odd_gfn = ~0ull;
        flushes = 1;
        end(d);
        assert_int_equal(total_refs(), 0);
    }
}

TEST(balloon_flushes_before_it_puts)
{
    struct domain *d = dom_with(0, 1024, 0x1000); /* two 2 MiB leaves */
    struct dte e;

    assert_int_equal(fill(d), 0);
    dte_attached(&e, d->iommu, MADDR(0));
    pci_p2m_changed(d, GFN(700), MFN(0), false);
    assert_int_equal(flushes, 1);
    assert_false(put_before_flush);
    assert_int_equal(refs[0x1000 + 700], 0);
    assert_int_equal(walk(&e, 700 << 12), ~0ull);
    assert_int_equal(walk(&e, 701 << 12), (0x1000 + 701) << 12);
    assert_int_equal(total_refs(), 1023);
    pci_p2m_changed(d, GFN(700), MFN(0), false); /* nothing there any more */
    assert_int_equal(flushes, 1);
    /* Put there by one vCPU, taken away by another one before the devices' table heard of it: the frame is let go already. */
    p2m[700] = 0;
    pci_p2m_changed(d, GFN(700), MFN(0x7000), true);
    p2m[700] = 0x7001;
    pci_p2m_changed(d, GFN(700), MFN(0x7000), true);
    assert_int_equal(walk(&e, 700 << 12), ~0ull);
    assert_int_equal(refs[0x7000], 0);
    p2m[700] = 0x7000;
    pci_p2m_changed(d, GFN(700), MFN(0x7000), true);
    assert_int_equal(walk(&e, 700 << 12), 0x7000 << 12);
    assert_int_equal(refs[0x7000], 1);
    /* No memory, but what is held back, to split the other big leaf. */
    no_memory = true;
    pci_p2m_changed(d, GFN(5), MFN(0), false);
    assert_int_equal(walk(&e, 5 << 12), ~0ull);
    assert_int_equal(walk(&e, 6 << 12), 0x1006 << 12);
    assert_int_equal(total_refs(), 1023);
    no_memory = false;
    flushes = 1;
    end(d);
    assert_int_equal(total_refs(), 0);
}

TEST(without_a_table_the_leaf_goes)
{
    struct domain *d = dom_with(0, 1024, 0x1000);
    struct dte e;

    assert_int_equal(fill(d), 0);
    dte_attached(&e, d->iommu, MADDR(0));
    no_memory = true;
    assert_int_equal(amdvi_pt_map(d->iommu, GFN(1ull << 30), MFN(1), 0),
                     -ENOMEM); /* takes what is held back */
    assert_null(d->iommu->spare);
    /* No memory to split the big leaf: all of it goes, nothing is left reachable or leaked. */
    no_memory = true;
    pci_p2m_changed(d, GFN(5), MFN(0), false);
    for (uint64_t g = 0; g < 512; g++)
        assert_int_equal(walk(&e, g << 12), ~0ull);
    assert_int_equal(total_refs(), 512);
    no_memory = false;
    end(d);
    assert_int_equal(total_refs(), 0);
}

/* Filling and emptying go in steps; the p2m may change in between, where it is filled already and where not yet. */
TEST(in_steps)
{
    struct domain *d = dom_with(0, 8192, 0x1001); /* single pages */
    struct dte e;

    dte_attached(&e, d->iommu, MADDR(0));
    while (!total_refs())
        assert_int_equal(iommu_fill(d->iommu), HC_AGAIN);
    assert_in_range(total_refs(), 1, IOMMU_STEP);
    for (unsigned i = 0; i < 2;
         i++) { /* one taken away, one brought: in front of the cursor and behind it */
        uint64_t gone = i ? 7000 : 70, come = i ? 7001 : 71;
        p2m[gone] = 0;
        pci_p2m_changed(d, GFN(gone), MFN(0x1001 + gone), false);
        p2m[come] = 0;
        pci_p2m_changed(d, GFN(come), MFN(0x1001 + come), false);
        p2m[come] = 0x6000 + i;
        pci_p2m_changed(d, GFN(come), MFN(0x6000 + i), true);
    }
    assert_int_equal(fill(d), 0);
    for (uint64_t g = 0; g < 8192; g++)
        assert_int_equal(walk(&e, g << 12), p2m[g] ? p2m[g] << 12 : ~0ull);
    assert_int_equal(total_refs(), 8190);
    flushes = 1;
    assert_int_equal(iommu_clear(d->iommu), HC_AGAIN);
    assert_in_range(total_refs(), 8190 - IOMMU_STEP - 512, 8189);
    pci_p2m_changed(d, GFN(3), MFN(p2m[3]), true); /* what is being emptied takes nothing any more */
    empty(d);
    assert_int_equal(total_refs(), 0);
    end(d);
}

/* A restart whose memory came back in single pages needs no frame: what that takes was held back. */
TEST(refill_needs_no_memory)
{
    uint64_t before = shim_core_pages;
    struct domain *d = dom_with(0, 8192, 0x1000);
    struct dte e;

    promises = 0;
    dte_attached(&e, d->iommu, MADDR(0));
    assert_int_equal(fill(d), 0);
    uint64_t held = shim_core_pages;
    assert_int_equal(charged, 19); /* the root and 16 + 1 + 1 tables, all the domain's own */
    assert_int_equal(d->allowance, charged);
    flushes = 1;
    for (unsigned life = 0; life < 3; life++) {
        empty(d);
        assert_int_equal(total_refs(), 0);
        for (uint64_t g = 0; g < 8192; g++)
            p2m[g] = life == 1 ? 0x1000 + g : 0x1000 + 8191 - g;
        no_memory = true;
        assert_int_equal(fill(d), 0);
        no_memory = false;
        for (uint64_t g = 0; g < 8192; g++)
            assert_int_equal(walk(&e, g << 12), p2m[g] << 12);
        assert_int_equal(shim_core_pages, held);
    }
    end(d);
    assert_int_equal(total_refs(), 0);
    assert_int_equal(shim_core_pages, before);
    assert_int_equal(charged, 0);
    /* The next table lives by the same promise; without one there is none. */
    d->iommu = iommu_domain_create(d);
    assert_int_equal(fill(d), 0);
    assert_int_equal(promises, 1);
    end(d);
    d->iommu_promised = 0;
    no_promise = true;
    d->iommu = iommu_domain_create(d);
    assert_int_equal(fill(d), -ENOMEM);
    assert_int_equal(total_refs(), 0);
    no_promise = false;
    end(d);
    assert_int_equal(shim_core_pages, before);
}

TEST(map_refuses)
{
    struct domain *d = dom_with(0, 1024, 0x1000);
    bool whole;
    mfn_t m;

    assert_int_equal(fill(d), 0);
    assert_int_equal(amdvi_pt_map(d->iommu, GFN(3), MFN(9), 0), -EEXIST);
    assert_int_equal(amdvi_pt_map(d->iommu, GFN(512), MFN(512), ORDER_2M), -EEXIST);
    assert_int_equal(amdvi_pt_map(d->iommu, GFN(4097), MFN(512), ORDER_2M), -EINVAL);
    assert_int_equal(amdvi_pt_map(d->iommu, GFN(1ull << 36), MFN(1), 0), -EINVAL);
    assert_false(amdvi_pt_unmap(d->iommu, GFN(1ull << 36), &m, &whole));
    no_memory = true;
    assert_int_equal(amdvi_pt_map(d->iommu, GFN(1ull << 30), MFN(1), 0), -ENOMEM);
    no_memory = false;
    assert_int_equal(total_refs(), 1024);
    assert_int_equal(amdvi_pt_lookup(d->iommu, GFN(513)).v, 0x1000 + 513);
    assert_int_equal(amdvi_pt_lookup(d->iommu, GFN(5000)).v, ~0ull);
    flushes = 1;
    end(d);
}

TEST(fill_without_memory)
{
    struct domain *d = dom_with(0, 100, 0x1000);

    no_memory = true;
    flushes = 1;
    assert_int_equal(iommu_fill(d->iommu), -ENOMEM);
    assert_int_equal(total_refs(), 0);
    no_memory = false;
    end(d);
}

TEST(irt_entry)
{
    uint32_t e = irte_make(0x41, 5);
    assert_int_equal(e & 1, 1);
    assert_int_equal(e >> 2 & 7, 0); /* fixed */
    assert_int_equal(e >> 7 & 1, 0); /* host */
    assert_int_equal(e >> 8 & 0xff, 5);
    assert_int_equal(e >> 16 & 0xff, 0x41);
    assert_int_equal(e >> 24, 0);
}

TEST(faults_are_counted_and_rationed)
{
    unsigned lines = 0;

    shim_log_clear();
    nic.dma_faults = 0;
    for (unsigned i = 0; i < 100; i++)
        iommu_fault((uint16_t)nic.sbdf, true, 0xdead000, "DMA");
    assert_int_equal(nic.dma_faults, 100);
    assert_non_null(strstr(shim_log, "blocked DMA of 00:03.0 to 0xdead000"));
    for (const char *p = shim_log; (p = strstr(p, "blocked DMA")); p++)
        lines++;
    assert_in_range(lines, 1, 10);
    shim_now_ns += 20 * NS_PER_S;
    uint64_t before = nic.dma_faults;
    nic.nr_cut = 1; /* interrupts too often and is held back: its faults are counted, not printed */
    shim_log_clear();
    shim_now_ns += 20 * NS_PER_S;
    iommu_irq_fault((uint16_t)nic.sbdf, 0xfee00000);
    assert_int_equal(nic.dma_faults, before + 1);
    assert_string_equal(shim_log, "");
    nic.nr_cut = 0;
    iommu_irq_fault((uint16_t)nic.sbdf, 0xfee00000);
    assert_int_equal(nic.dma_faults, before + 2);
    assert_non_null(strstr(shim_log, "interrupt"));
    iommu_fault(0xffff, false, 0, "DMA"); /* a device that nobody knows */
    assert_non_null(strstr(shim_log, "more reports"));
    assert_non_null(strstr(shim_log, "ff:1f.7 (address not reported)"));
}

/* Nor has a guest that moves its pages about more lines than those. */
TEST(unreachable_pages_are_rationed)
{
    struct domain *d = dom_with(0, 100, 0x1000);
    unsigned lines = 0;

    assert_int_equal(fill(d), 0);
    no_memory = true;
    assert_int_equal(amdvi_pt_map(d->iommu, GFN(1ull << 30), MFN(1), 0),
                     -ENOMEM); /* nothing is held back now */
    no_memory = true;
    p2m[1000] = 0x7000;
    shim_now_ns += 20 * NS_PER_S;
    shim_log_clear();
    for (unsigned i = 0; i < 100; i++)
        pci_p2m_changed(d, GFN(1000), MFN(0x7000), true);
    for (const char *p = shim_log; (p = strstr(p, "stays unreachable")); p++)
        lines++;
    assert_in_range(lines, 1, 10);
    no_memory = false;
    p2m[1000] = 0;
    flushes = 1;
    end(d);
}

/* What a trial means to be blocked, reported in the device's name or in the unit's, is nobody's fault; another device's is. */
TEST(expected_faults_are_none)
{
    nic.dma_faults = 0;
    iommu_expect(8, 0x77);
    iommu_fault((uint16_t)nic.sbdf, true, 0xdead000, "DMA");
    assert_int_equal(nic.dma_faults, 1);
    shim_log_clear();
    shim_now_ns += 20 * NS_PER_S;
    iommu_expect(8, (uint16_t)nic.sbdf);
    iommu_fault((uint16_t)nic.sbdf, true, 0xdead000, "DMA");
    iommu_fault(8, true, 0xdead000, "DMA");
    assert_int_equal(nic.dma_faults, 1);
    assert_null(strstr(shim_log, "blocked"));
    iommu_expect(0, 0);
    iommu_fault((uint16_t)nic.sbdf, true, 0xdead000, "DMA");
    assert_int_equal(nic.dma_faults, 2);
}

/* --- IVRS -------------------------------------------------------------------------------------------------------- */
static uint8_t by_device[65536];

static size_t put(uint8_t *t, size_t at, const void *p, size_t n)
{
    memcpy(t + at, p, n);
    return at + n;
}
/* One block of `type` with the entries given. */
static size_t put_ivhd(uint8_t *t, size_t at, uint8_t type, uint64_t base, const void *entries,
                       size_t n)
{
    uint8_t h[40] = { type, 0x0f };
    uint16_t len = (uint16_t)((type == 0x10 ? 24 : 40) + n), devid = 8, cap = 0x40;
    memcpy(h + 2, &len, 2);
    memcpy(h + 4, &devid, 2);
    memcpy(h + 6, &cap, 2);
    memcpy(h + 8, &base, 8);
    at = put(t, at, h, len - n);
    return put(t, at, entries, n);
}
static void finish(uint8_t *t, size_t len)
{
    uint32_t l = (uint32_t)len;
    memcpy(t, "IVRS", 4);
    memcpy(t + 4, &l, 4);
}
static int parse(const uint8_t *t, struct ivrs *o)
{
    memset(o, 0, sizeof(*o));
    o->by_device = by_device;
    return ivrs_parse(t, o);
}
static unsigned unit_of(uint32_t sbdf) { return IVRS_UNIT(by_device[sbdf]); }

static const uint8_t all_and_ioapic[] = { 0x01, 0, 0, 0, 0x48, 0, 0, 0, 0, 0xa0, 0, 1 };

TEST(ivrs_as_qemu_makes_it)
{
    uint8_t t[256] = { 0 };
    struct ivrs o;

    finish(t, put_ivhd(t, 48, 0x10, 0xfed80000, all_and_ioapic, sizeof(all_and_ioapic)));
    assert_int_equal(parse(t, &o), 0);
    assert_int_equal(o.nr_units, 1);
    assert_int_equal(o.unit[0].base, 0xfed80000);
    assert_int_equal(o.unit[0].devid, 8);
    assert_true(o.has_ioapic);
    assert_int_equal(o.ioapic[0], 0xa0);
    assert_int_equal(unit_of(BH_SBDF(0, 0, 3, 0)), 1);
    assert_false(by_device[BH_SBDF(0, 0, 3, 0)] & IVRS_REFUSED);
    assert_true(by_device[0xa0] & IVRS_REFUSED);
}

TEST(ivrs_ranges_aliases_and_unity)
{
    const uint8_t e[] = { 0x02, 0x18, 0, 0, 0x03, 0x20, 0, 0, 0x04, 0x2f, 0, 0, 0x42, 0x00, 3, 0,
                          0,    0x18, 1, 0, 0x00, 0,    0, 0, 0x46, 0x40, 0, 0, 0,    0,    0, 0 };
    uint8_t ivmd[32] = { 0x21, 8, 32, 0, 0x21, 0 };
    uint8_t t[256] = { 0 };
    struct ivrs o;
    size_t n = put_ivhd(t, 48, 0x11, 0xfed80000, e, sizeof(e));

    finish(t, put(t, n, ivmd, sizeof(ivmd)));
    assert_int_equal(parse(t, &o), 0);
    assert_int_equal(unit_of(0x18), 1);
    assert_int_equal(unit_of(0x19), 0);
    assert_int_equal(unit_of(0x20), 1);
    assert_int_equal(unit_of(0x2f), 1);
    assert_int_equal(unit_of(0x30), 0);
    assert_int_equal(unit_of(0x40), 1);
    assert_int_equal(by_device[0x300], 1 | IVRS_REFUSED);
    assert_int_equal(by_device[0x118], 1 | IVRS_REFUSED);
    assert_int_equal(by_device[0x21], 1 | IVRS_REFUSED); /* has memory of its own */
    assert_false(o.has_ioapic);
}

TEST(ivrs_newest_type_only)
{
    const uint8_t one[] = { 0x02, 0x18, 0, 0 }, two[] = { 0x02, 0x20, 0, 0 };
    uint8_t t[256] = { 0 };
    struct ivrs o;
    size_t n = put_ivhd(t, 48, 0x10, 0xfed80000, one, sizeof(one));

    finish(t, put_ivhd(t, n, 0x40, 0xfed80000, two, sizeof(two)));
    assert_int_equal(parse(t, &o), 0);
    assert_int_equal(o.nr_units, 1);
    assert_int_equal(unit_of(0x18), 0);
    assert_int_equal(unit_of(0x20), 1);
}

TEST(ivrs_refuses_garbage)
{
    const uint8_t open[] = { 0x03, 0x20, 0, 0 }, backwards[] = { 0x03, 0x20, 0, 0, 0x04, 0x10, 0, 0 };
    uint8_t t[256] = { 0 };
    struct ivrs o;

    finish(t, 48);
    assert_int_equal(parse(t, &o), -EINVAL); /* no unit */
    finish(t, put_ivhd(t, 48, 0x10, 0xfed80000, open, sizeof(open)));
    assert_int_equal(parse(t, &o), -EINVAL);
    finish(t, put_ivhd(t, 48, 0x10, 0xfed80000, backwards, sizeof(backwards)));
    assert_int_equal(parse(t, &o), -EINVAL);
    finish(t, put_ivhd(t, 48, 0x10, 0, all_and_ioapic, sizeof(all_and_ioapic)));
    assert_int_equal(parse(t, &o), -EINVAL);
    finish(t, put_ivhd(t, 48, 0x10, 0xfed80000, all_and_ioapic, sizeof(all_and_ioapic)));
    t[0] = 'X';
    assert_int_equal(parse(t, &o), -EINVAL);
}

/* Every truncation and many mutations, in a buffer of just that length: the sanitizer sees any byte too far. */
TEST(ivrs_any_bytes)
{
    uint8_t t[256] = { 0 };
    struct ivrs o;
    size_t n = put_ivhd(t, 48, 0x11, 0xfed80000, all_and_ioapic, sizeof(all_and_ioapic));
    const uint8_t acpi_hid[] = { 0xf0, 0x20, 0, 0, 'A', 'M', 'D', 'I', '0', '0', '2', '0',
                                 0,    0,    0, 0, 0,   0,   0,   0,   1,   2,   'x', 'y' };

    n = put_ivhd(t, n, 0x11, 0xfed90000, acpi_hid, sizeof(acpi_hid));
    finish(t, n);
    assert_int_equal(parse(t, &o), 0);
    assert_int_equal(o.nr_units, 2);
    srand(1);
    for (unsigned i = 0; i < 2000; i++) {
        size_t len = i < n ? MAX(i, (size_t)8) : n;
        uint8_t *copy = malloc(len);
        memcpy(copy, t, len);
        uint32_t l = (uint32_t)len;
        memcpy(copy + 4, &l, 4);
        for (unsigned k = 0; i >= n && k < 3; k++)
            copy[48 + (unsigned)rand() % (len - 48)] = (uint8_t)rand();
        (void)!parse(copy, &o);
        assert_in_range(o.nr_units, 0, IVRS_UNITS);
        free(copy);
    }
}
