/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/own_pointers.c hv/pci/pci.c hv/pci/table.c hv/pci/enum.c hv/pci/group.c hv/pci/config.c hv/pci/reset.c hv/pci/assign.c hv/pci/guest.c hv/pci/trial.c hv/pci/pirq.c
// LINK: hv/abi/physdev_op.c hv/abi/dispatch.c hv/abi/privilege.c
/* Enumeration, hiding, the configuration filter, assignment and its order, against a simulated bus behind CF8/CFC. */
#include "unit.h"
#include <layout.h>
#include <unistd.h>
#include "platform/acpi_info.h"
#include "platform/boot_info.h"
#include "platform/cmdline.h"
#include "arch/irq.h"
#include "pci/pirq.h"
#include "mem/gcopy.h"
#include "pci/iommu/iommu.h"
#include "pci/pci_int.h"
#include "domain/domain.h"
#include "hypercalls.h"
#include "shim.h"

struct acpi_info acpi_info;
struct boot_info boot_info;
struct cmdline cmdline;
const struct iommu_ops *iommu_ops;

/* --- a simulated bus ---------------------------------------------------------------------------------------------- */
struct sim {
    uint32_t sbdf;
    uint8_t cfg[256], wmask[256];
    bool sized_while_decoding, untouchable;
};
static struct sim sims[16];
static unsigned nr_sims;
static uint32_t cf8;
static char trace[4096]; /* what happened, in order: one letter each */

static void note(const char *what) { strncat(trace, what, sizeof(trace) - strlen(trace) - 1); }

static struct sim *sim_at(uint32_t sbdf)
{
    for (unsigned i = 0; i < nr_sims; i++)
        if (sims[i].sbdf == sbdf)
            return &sims[i];
    return NULL;
}
static struct sim *selected(void) { return cf8 >> 31 ? sim_at(cf8 >> 8 & 0xffff) : NULL; }

static void sim_write(unsigned port, const uint8_t *v, unsigned n)
{
    struct sim *s = selected();
    unsigned off = (cf8 & 0xfc) + (port & 3);
    uint8_t before;

    if (!s)
        return;
    assert_false(s->untouchable);
    if (off >= 0x10 && off < 0x28 && n == 4 && !memcmp(v, "\xff\xff\xff\xff", 4) && (s->cfg[4] & 3))
        s->sized_while_decoding = true;
    before = s->cfg[4];
    for (unsigned i = 0; i < n; i++)
        s->cfg[off + i] = (uint8_t)((s->cfg[off + i] & ~s->wmask[off + i]) |
                                    (v[i] & s->wmask[off + i]));
    if ((before ^ s->cfg[4]) & 4)
        note(s->cfg[4] & 4 ? "M" : "m"); /* bus mastering on, off */
}
void outl(uint16_t p, uint32_t v)
{
    if (p == 0xcf8)
        cf8 = v;
    else if ((p & ~3) == 0xcfc)
        sim_write(p, (uint8_t *)&v, 4);
}
void outw(uint16_t p, uint16_t v) { sim_write(p, (uint8_t *)&v, 2); }
void outb(uint16_t p, uint8_t v) { sim_write(p, &v, 1); }
uint32_t inl(uint16_t p)
{
    struct sim *s = selected();
    uint32_t v = ~0u;
    if (s && p == 0xcfc)
        memcpy(&v, s->cfg + (cf8 & 0xfc), 4);
    return v;
}

static void put32(struct sim *s, unsigned off, uint32_t v) { memcpy(s->cfg + off, &v, 4); }
static uint32_t get32(struct sim *s, unsigned off)
{
    uint32_t v;
    memcpy(&v, s->cfg + off, 4);
    return v;
}
static void bar(struct sim *s, unsigned i, uint32_t value, uint32_t size)
{
    uint32_t mask = ~(size - 1);
    put32(s, 0x10 + 4 * i, value);
    memcpy(s->wmask + 0x10 + 4 * i, &mask, 4);
}

static struct sim *dev(unsigned bus, unsigned slot, unsigned fn, uint32_t id, uint32_t class,
                       uint8_t header)
{
    struct sim *s = &sims[nr_sims++];
    memset(s, 0, sizeof(*s));
    s->sbdf = BH_SBDF(0, bus, slot, fn);
    put32(s, 0, id);
    put32(s, 8, class << 8);
    s->cfg[0x0e] = header;
    s->cfg[4] = 7; /* as firmware leaves it: everything on */
    memcpy(s->wmask + 4, "\xff\x07", 2);
    s->wmask[0x3c] = 0xff;
    return s;
}

/* The demo's NIC: BAR1 holds the MSI-X table alone, BAR4 (64 bit) the virtio structures. */
static struct sim *nic(unsigned slot)
{
    struct sim *s = dev(0, slot, 0, 0x10411af4, 0x020000, 0);
    uint8_t *c = s->cfg;

    bar(s, 0, 0x0000c041, 0x20);
    bar(s, 1, 0xfeb0d000 + slot * 0x1000, 0x1000);
    bar(s, 4, 0xc + slot * 0x4000, 0x4000); /* upper half: 8 + slot */
    bar(s, 5, 8 + slot, 0);
    memset(s->wmask + 0x24, 0xff, 4);
    s->wmask[0x10] = 0xe0;
    c[6] = 0x10;
    c[0x34] = 0x40;
    c[0x3d] = 1;
    memcpy(c + 0x40, "\x11\x50\x02\x00\x01\x00\x00\x00\x01\x08\x00\x00",
           12); /* MSI-X: 3 entries, BAR1 */
    s->wmask[0x43] = 0xc0;
    memcpy(c + 0x50, "\x09\x60\x10\x01\x04\0\0\0\0\0\0\0\0\x10\0\0", 16); /* virtio common: BAR4 + 0 */
    memcpy(c + 0x60, "\x09\x74\x14\x05\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20); /* virtio's window */
    memcpy(c + 0xa0, "\x09\xb4\x14\x02\x04\0\0\0\0\x30\0\0\0\x10\0\0\4\0\0\0",
           20); /* notify: BAR4 + 0x3000, times 4 */
    memcpy(c + 0xb4, "\x09\xc4\x10\x03\x04\0\0\0\0\x30\0\0\1\x10\0\0", 16); /* ISR: one byte too long */
    memcpy(c + 0xc4, "\x09\x80\x10\x04\x01\0\0\0\0\0\0\0\x10\0\0\0", 16); /* device: in BAR1 */
    memcpy(c + 0x74, "\x05\xa0\0\0", 4);                                  /* MSI */
    memcpy(c + 0x80, "\x01\x00\xc3\xff\x08\x00\x00\x00", 8);              /* PM, no soft reset */
    return s;
}

/* --- the rest of the core ----------------------------------------------------------------------------------------- */
static struct domain dom, other;
static struct vcpu vcpu = { .domain = &dom };
static struct {
    uint64_t g, m, n;
} leaf[4096];
static struct {
    uint64_t g, m;
} shared_at[8]; /* pages of the core */
static unsigned nr_leaves, nr_shared, p2m_fail_after, core_pages;
static uint8_t soft_regs[0x1000];
static uint32_t msix_mem[2048 * 4];
static unsigned vectors;
static irq_fn irq_handler;
static void *irq_arg;
static uint32_t raised_port;
static unsigned raised, masks, routes;

static uint64_t mapped_len; /* the last */
void *mmio_map(maddr_t m, uint64_t len)
{
    mapped_len = len;
    return m.v >> 32 ? (void *)soft_regs : (void *)msix_mem;
}
int p2m_set(struct domain *d, gfn_t g, mfn_t m, unsigned order, enum p2m_type t)
{
    if (t == P2M_SHARED) {
        assert_true(nr_shared < ARRAY_SIZE(shared_at) && !order);
        shared_at[nr_shared].g = g.v;
        shared_at[nr_shared++].m = m.v;
        return 0;
    }
    assert_int_equal(t, P2M_MMIO);
    if (p2m_fail_after && !--p2m_fail_after)
        return -ENOMEM;
    leaf[nr_leaves].n = 1ull << order;
    leaf[nr_leaves].g = g.v;
    leaf[nr_leaves++].m = m.v;
    return 0;
}
uint64_t p2m_clear_mmio(struct domain *d, gfn_t g, mfn_t m)
{
    for (unsigned i = 0; i < nr_leaves; i++)
        if (leaf[i].g == g.v && leaf[i].m == m.v) {
            uint64_t n = leaf[i].n;
            leaf[i] = leaf[--nr_leaves];
            return n;
        }
    return 0;
}
mfn_t p2m_lookup(struct domain *d, gfn_t g, enum p2m_type *t)
{
    *t = P2M_NONE;
    for (unsigned i = 0; i < nr_shared; i++)
        if (shared_at[i].g == g.v) {
            *t = P2M_SHARED;
            return MFN(shared_at[i].m);
        }
    return INVALID_MFN;
}
int p2m_clear_only(struct domain *d, gfn_t g, unsigned types, mfn_t *m, enum p2m_type *t)
{
    assert_int_equal(types, 1u << P2M_SHARED);
    for (unsigned i = 0; i < nr_shared; i++)
        if (shared_at[i].g == g.v) {
            shared_at[i] = shared_at[--nr_shared];
            return 0;
        }
    return -ENOENT;
}
bool frame_get(mfn_t m, uint16_t owner) { return false; }
void frame_put(mfn_t m) {}
void frame_put_block(mfn_t m, unsigned order) {}
void npt_flush(struct domain *d) { note("n"); }
struct domain *domain_get(domid_t id) { return id == dom.id ? &dom : NULL; }
void domain_put(struct domain *d) {}
void iommu_expect(uint16_t unit, uint16_t device) {}
static struct cpu *vcpu_at;     /* where the owner's vCPU is */
static void (*meanwhile)(void); /* what happens on other CPUs while the event is sent */
struct cpu *evtchn_pirq(struct domain *d, uint32_t port)
{
    void (*now)(void) = meanwhile;
    raised_port = port;
    raised++;
    meanwhile = NULL;
    if (now)
        now();
    return vcpu_at;
}
int irq_vector_alloc(irq_fn fn, void *arg)
{
    irq_handler = fn;
    irq_arg = arg;
    vectors++;
    return 0x40;
}
void irq_vector_free(uint8_t v) { vectors--; }

static int t_attach(struct pci_dev *p, struct iommu_domain *dm)
{
    note("A");
    return 0;
}
static void t_block(struct pci_dev *p, struct iommu_domain *dm) { note("B"); }
static void t_flush(struct iommu_domain *dm) { note("F"); }
static void t_clear(struct iommu_domain *dm) { note("C"); }
static uint32_t routed[64]; /* to this local APIC */
static int route_rc;
static int t_route(struct pci_dev *p, unsigned i, uint8_t vec, uint32_t apic, uint64_t *a,
                   uint32_t *data)
{
    *a = 0xfee00000;
    *data = i;
    routes++;
    if (!route_rc)
        routed[i] = apic;
    return route_rc;
}
static void t_mask(struct pci_dev *p, unsigned i) { masks++; }
static void t_mask_all(struct pci_dev *p) {}
static bool t_owns(uint64_t b, uint64_t s) { return b == 0xfed80000; }
static struct iommu_trial tried;
static struct iommu_trial *t_trial(struct iommu *u) { return &tried; }
static const struct iommu_ops ops = {
    .attach = t_attach,
    .block = t_block,
    .flush = t_flush,
    .clear = t_clear,
    .irq_route = t_route,
    .irq_mask = t_mask,
    .irq_mask_all = t_mask_all,
    .owns = t_owns,
    .trial = t_trial,
};
static bool fill_fails;
void iommu_claim(struct pci_dev *p)
{
    if (!pci_is_platform_core(p) && p->sbdf != BH_SBDF(0, 0, 7, 0))
        p->iommu = (struct iommu *)&ops;
}
struct iommu_domain *iommu_domain_create(struct domain *d)
{
    return calloc(1, sizeof(struct iommu_domain));
}
void iommu_domain_free(struct iommu_domain *dm) { free(dm); }
int iommu_fill(struct iommu_domain *dm)
{
    note("f");
    return fill_fails ? -ENOMEM : 0;
}
void iommu_watch(void) {}

/* --- the machine of most tests ------------------------------------------------------------------------------------- */
#define NIC   BH_SBDF(0, 0, 3, 0)
#define PLAIN BH_SBDF(0, 0, 4, 0) /* not hidden */
#define NORST BH_SBDF(0, 0, 5, 0) /* no reset */
#define MULTI BH_SBDF(0, 0, 6, 0) /* .1 is not hidden */
#define NOMMU BH_SBDF(0, 0, 7, 0) /* not behind the IOMMU */
#define ONRAM BH_SBDF(0, 0, 8, 0) /* its BAR lies over RAM */

static void flr(struct sim *s)
{
    s->cfg[6] = 0x10;
    s->cfg[0x34] = 0x40;
    memcpy(s->cfg + 0x40, "\x10\x00\x02\x00\x00\x00\x00\x10", 8);
    s->wmask[0x49] = 0x7f; /* bit 15 reads zero */
}

int setup(void **state)
{
    struct sim *s;

    nr_shared = core_pages = 0;
    nr_sims = nr_leaves = vectors = raised = masks = routes = 0;
    p2m_fail_after = 0;
    fill_fails = false;
    trace[0] = 0;
    tried.state = TRIAL_PASSED;
    vcpu_at = NULL;
    meanwhile = NULL;
    route_rc = 0;
    shim_cpu = 0;
    cmdline.iommu_trust = false;
    cmdline.com1_port = 0x3f8;
    shim_log_clear();
    memset(&dom, 0, sizeof(dom));
    memset(&other, 0, sizeof(other));
    memset(&boot_info, 0, sizeof(boot_info));
    acpi_info.mcfg_bus_first = acpi_info.mcfg_bus_last = 0;
    memset(soft_regs, 0, sizeof(soft_regs));
    soft_regs[4] = 2; /* VIRTIO_F_ACCESS_PLATFORM */
    memset(msix_mem, 0, sizeof(msix_mem));
    dom.id = 3;
    dom.nr_vcpus = 1;
    dom.vcpu[0] = &vcpu;
    other.id = 4;
    dom.state = other.state = BH_DOM_BUILDING;
    dom.role = other.role = BH_ROLE_DRIVER;
    this_cpu()->current = &vcpu;
    vcpu.domain = &dom;
    iommu_ops = &ops;
    boot_info.nr_ram = 1;
    boot_info.ram[0].start = 0x100000;
    boot_info.ram[0].end = 0x80000000;
    dev(0, 0, 0, 0x29c08086, 0x060000, 0)->untouchable = true;
    dev(0, 0x1f, 0, 0x29188086, 0x060100, 0)->untouchable = true;
    dev(0, 1, 0, 0x00081022, 0x080600, 0)->untouchable = true;
    nic(3);
    nic(4);
    bar(dev(0, 5, 0, 0x11118086, 0x010000, 0), 0, 0xfe000000, 0x1000);
    s = dev(0, 6, 0, 0x22228086, 0x020000, 0x80);
    bar(s, 0, 0xfe001000, 0x1000);
    flr(s);
    bar(dev(0, 6, 1, 0x22238086, 0x020000, 0x80), 0, 0xfe002000, 0x1000);
    s = dev(0, 7, 0, 0x33338086, 0x020000, 0);
    bar(s, 0, 0xfe003000, 0x1000);
    flr(s);
    s = dev(0, 8, 0, 0x44448086, 0x020000, 0);
    bar(s, 0, 0x01000000, 0x1000);
    flr(s);
    const uint32_t hide[] = { NIC, NORST, MULTI, NOMMU, ONRAM };
    memset(cmdline.hide_any, 0, sizeof(cmdline.hide_any));
    memcpy(cmdline.hide, hide, sizeof(hide));
    cmdline.nr_hide = ARRAY_SIZE(hide);
    return 0;
}
int teardown(void **state)
{
    for (struct pci_dev *p = pci_devices, *n; p; p = n) {
        n = p->next;
        free(p);
    }
    pci_devices = NULL;
    return 0;
}

/* --- enumeration ---------------------------------------------------------------------------------------------------- */

TEST(finds_and_sizes)
{
    pci_init();
    struct pci_dev *p = pci_find(NIC);
    assert_non_null(p);
    assert_null(pci_find(BH_SBDF(0, 0, 9, 0)));
    assert_non_null(pci_find(BH_SBDF(0, 0, 6, 1)));
    assert_int_equal(p->bar[0].flags, BAR_IO);
    assert_int_equal(p->bar[0].size, 0x20);
    assert_int_equal(p->bar[1].base, 0xfeb0d000 + 0x3000);
    assert_int_equal(p->bar[1].size, 0x1000);
    assert_int_equal(p->bar[4].flags, BAR_MEM | BAR_64 | BAR_PREF);
    assert_int_equal(p->bar[4].base, 0xb0000c000ull);
    assert_int_equal(p->bar[4].size, 0x4000);
    assert_int_equal(p->bar[5].size, 0);
    assert_int_equal(p->msix_count, 3);
    for (unsigned i = 0; i < nr_sims; i++)
        assert_false(sims[i].sized_while_decoding);
    /* values are back, and bus mastering is gone from endpoints only */
    assert_int_equal(get32(sim_at(NIC), 0x20), 0x0000c00c);
    assert_int_equal(get32(sim_at(PLAIN), 0x14), 0xfeb0d000 + 0x4000);
    assert_int_equal(sim_at(PLAIN)->cfg[4], 3);
    assert_int_equal(sim_at(0)->cfg[4], 7);
}

TEST(absurd_devices_are_bounded)
{
    struct sim *s = dev(0, 10, 0, 0x55558086, 0x020000, 0);
    uint32_t holes = 0x00f0f000;

    put32(s, 0x10, 0);
    memcpy(s->wmask + 0x10, &holes, 4); /* no power of two */
    s->cfg[6] = 0x10;
    s->cfg[0x34] = 0x40;
    memcpy(s->cfg + 0x40, "\x09\x44\x04\x00\x09\x40\x04\x00", 8); /* a loop */
    s = dev(0, 11, 0, 0x55558086, 0x060400, 1); /* bridges: to itself, and to a bus that leads back */
    s->cfg[0x19] = 0;
    s = dev(0, 12, 0, 0x55558086, 0x060400, 1);
    s->cfg[0x19] = 5;
    s = dev(5, 0, 0, 0x55558086, 0x060400, 1);
    s->cfg[0x19] = 5;
    s = dev(0, 13, 0, 0x55558086, 0x020000, 0); /* MSI-X table beyond its BAR */
    bar(s, 0, 0xfe010000, 0x1000);
    s->cfg[6] = 0x10;
    s->cfg[0x34] = 0x40;
    memcpy(s->cfg + 0x40, "\x11\x00\xff\x07\x00\x00\x00\x00\x00\x00\x00\x00", 12);
    pci_init();
    assert_int_equal(pci_find(BH_SBDF(0, 0, 10, 0))->bar[0].size, 0);
    assert_non_null(strstr(shim_log, "BAR 0 makes no sense"));
    assert_non_null(strstr(shim_log, "broken capability list"));
    assert_non_null(strstr(shim_log, "MSI-X table outside"));
    assert_int_equal(pci_find(BH_SBDF(0, 0, 13, 0))->msix_count, 0);
    assert_non_null(pci_find(BH_SBDF(0, 5, 0, 0)));
}

TEST(all_ones_everywhere)
{
    struct sim *s = dev(0, 10, 0, 0x55558086, 0x020000, 0);
    memset(s->cfg + 8, 0xff, 248);
    memset(s->wmask, 0xff, 256);
    s->cfg[0x0e] = 0;
    pci_init();
    assert_non_null(pci_find(BH_SBDF(0, 0, 10, 0)));
}

TEST(hiding)
{
    cmdline.hide[cmdline.nr_hide++] = BH_SBDF(0, 9, 9, 1);
    cmdline.hide[cmdline.nr_hide++] = BH_SBDF(0, 0, 0x1f, 0);
    pci_init();
    assert_non_null(strstr(shim_log, "(0000:09:09.1): no such device"));
    assert_non_null(strstr(shim_log, "(00:1f.0): a bridge"));
    assert_non_null(strstr(shim_log, "00:03.0 1af4:1041 class 020000 hidden"));
    assert_non_null(strstr(shim_log, "reset by virtio"));
    assert_non_null(strstr(strstr(shim_log, "00:07.0 8086:3333") ?: "", "not behind an IOMMU"));
    assert_int_equal(pci_find(NIC)->state, BH_PCI_ASSIGNABLE);
    assert_int_equal(pci_find(PLAIN)->state, BH_PCI_PLATFORM);
    assert_int_equal(pci_find(BH_SBDF(0, 0, 0x1f, 0))->hidden, false);
}

static int hide_all_steps(uint32_t sbdf, bool on)
{
    int rc;

    while ((rc = pci_hide(sbdf, on)) == HC_AGAIN)
        shim_now_ns += NS_PER_MS;
    return rc;
}

/* While the machine runs a device goes to the assignable ones and back: silent, reset, and its configuration space is shown to pciback only there. */
TEST(hiding_at_run_time)
{
    struct bh_pci_cfg c = { .sbdf = PLAIN, .size = 4 };

    pci_init();
    struct pci_dev *p = pci_find(PLAIN);
    assert_int_equal(pci_hide(PLAIN, false), -EEXIST);
    assert_int_equal(pci_config_access(&c), -EACCES);
    sim_at(PLAIN)->cfg[4] = 7; /* somebody switched it on */
    soft_regs[0x14] = 15;      /* and its driver was there */
    assert_int_equal(hide_all_steps(PLAIN, true), 0);
    assert_int_equal(soft_regs[0x14], 0);
    assert_int_equal(sim_at(PLAIN)->cfg[4] & 7, 2);
    assert_true(p->hidden && p->state == BH_PCI_ASSIGNABLE && p->msix_table && p->soft_regs);
    assert_int_equal(p->msix_count, 3);
    assert_non_null(strstr(shim_log, "00:04.0 1af4:1041 class 020000 hidden"));
    assert_int_equal(pci_config_access(&c), 0);
    assert_int_equal(pci_hide(PLAIN, true), -EEXIST);
    assert_int_equal(pci_assign(&dom, PLAIN, 0, false), 0);
    assert_int_equal(pci_hide(PLAIN, false), -EBUSY);
    assert_int_equal(pci_deassign(&dom, PLAIN), 0);
    mapped_len = 0;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(hide_all_steps(PLAIN, false), 0);
        assert_true(!p->hidden && p->state == BH_PCI_PLATFORM);
        assert_int_equal(pci_assign(&dom, PLAIN, 0, false), -EACCES);
        assert_int_equal(pci_config_access(&c), -EACCES);
        assert_int_equal(hide_all_steps(PLAIN, true), 0);
    }
    assert_int_equal(mapped_len, 0); /* nothing anew, however often */
    assert_int_equal(pci_assign(&dom, PLAIN, 0, false), 0);
    assert_int_equal(pci_release_all(&dom), 0);
}

TEST(hiding_at_run_time_refused)
{
    struct bh_pci_info i = { 0 };
    struct sim *s = dev(0, 9, 0, 0x55558086, 0x070002, 0); /* the serial line's card */
    bar(s, 0, 0xc101, 8);
    cmdline.com1_port = 0xc100;
    cmdline.hide[cmdline.nr_hide++] = BH_SBDF(0, 0, 9, 0);
    s = dev(0, 10, 0, 0x55558086, 0x070002, 0); /* another one */
    bar(s, 0, 0xc201, 8);
    pci_init();
    assert_non_null(strstr(shim_log, "(00:09.0): the console, not hidden"));
    assert_int_equal(pci_hide(BH_SBDF(0, 0, 9, 0), true), -EACCES);
    assert_int_equal(pci_hide(BH_SBDF(0, 0, 0x1f, 0), true), -EACCES);
    assert_int_equal(pci_hide(0, true), -EACCES);
    assert_int_equal(pci_hide(BH_SBDF(0, 9, 9, 1), true), -ENOENT);
    assert_int_equal(hide_all_steps(BH_SBDF(0, 0, 10, 0), true), 0);
    while (!pci_info(i.index, NULL, &i) && i.sbdf != BH_SBDF(0, 0, 9, 0))
        i.index++;
    assert_true(i.flags & BH_PCI_KEPT);
    /* One of a group does not go while another is somebody's. */
    assert_int_equal(hide_all_steps(MULTI + 1, true), 0);
    while (pci_assign(&dom, MULTI, 0, false) == HC_AGAIN)
        shim_now_ns += NS_PER_MS;
    assert_int_equal(pci_hide(MULTI + 1, false), -EXDEV);
    assert_int_equal(pci_release_all(&dom), 0);
    assert_int_equal(hide_all_steps(MULTI + 1, false), 0);
    /* One that does not come back stays where it was. */
    put32(sim_at(PLAIN), 0, ~0u);
    assert_int_equal(hide_all_steps(PLAIN, true), -EIO);
    assert_false(pci_find(PLAIN)->hidden);
}

/* It takes of the vectors what the others left, and leaves them when it goes. */
TEST(hiding_at_run_time_vectors)
{
    sim_at(NIC)->cfg[0x42] = 63;
    sim_at(PLAIN)->cfg[0x42] = 63;
    pci_init();
    unsigned before = pci_find(NIC)->msix_count, left = DEVICE_VECTORS;
    for (struct pci_dev *p = pci_devices; p; p = p->next)
        left -= p->hidden ? p->msix_count : 0;
    assert_int_equal(hide_all_steps(PLAIN, true), 0);
    assert_int_equal(pci_find(NIC)->msix_count, before);
    assert_int_equal(pci_find(PLAIN)->msix_count, MIN(left, 64u));
    assert_int_equal(hide_all_steps(PLAIN, false), 0);
    pci_find(NIC)->msix_count = DEVICE_VECTORS;
    assert_int_equal(pci_hide(PLAIN, true), -ENOSPC);
    pci_find(NIC)->msix_count = DEVICE_VECTORS - 1;
    assert_int_equal(hide_all_steps(PLAIN, true), 0);
    assert_int_equal(pci_find(PLAIN)->msix_count, 1);
}

/* A bus that no bridge leads to, with a port and what is behind it; the last bus is not covered. */
TEST(other_root_buses)
{
    struct sim *s = dev(0, 12, 0, 0x55558086, 0x060400, 1);
    s->cfg[0x19] = 5;
    dev(5, 0, 0, 0x66668086, 0x020000, 0);
    s = dev(0x40, 0, 0, 0x55558086, 0x060400, 1);
    s->cfg[0x19] = 0x41;
    dev(0x41, 0, 0, 0x66668086, 0x020000, 0);
    dev(0xff, 3, 0, 0x66668086, 0x020000, 0);
    acpi_info.mcfg_bus_last = 0xfe;
    pci_init();
    assert_null(pci_find(BH_SBDF(0, 5, 0, 0))->parent->parent);
    assert_ptr_equal(pci_find(BH_SBDF(0, 0x41, 0, 0))->parent, pci_find(BH_SBDF(0, 0x40, 0, 0)));
    assert_null(pci_find(BH_SBDF(0, 0x40, 0, 0))->parent);
    assert_int_equal(pci_find(BH_SBDF(0, 0x41, 0, 0))->group,
                     pci_find(BH_SBDF(0, 0x40, 0, 0))->group);
    assert_int_not_equal(pci_find(BH_SBDF(0, 0x41, 0, 0))->group,
                         pci_find(BH_SBDF(0, 5, 0, 0))->group);
    assert_null(pci_find(BH_SBDF(0, 0xff, 3, 0)));
    assert_non_null(strstr(shim_log, "on 4 buses (2 root)"));
}

TEST(groups)
{
    struct sim *s = dev(0, 12, 0, 0x55558086, 0x060400, 1); /* conventional bridge */
    s->cfg[0x19] = 5;
    dev(5, 0, 0, 0x66668086, 0x020000, 0);
    dev(5, 1, 0, 0x66668086, 0x020000, 0);
    pci_init();
    assert_int_equal(pci_find(MULTI)->group, pci_find(MULTI + 1)->group);
    assert_int_not_equal(pci_find(MULTI)->group, pci_find(NIC)->group);
    assert_int_not_equal(pci_find(NIC)->group, pci_find(PLAIN)->group);
    assert_int_equal(pci_find(BH_SBDF(0, 5, 0, 0))->group, pci_find(BH_SBDF(0, 5, 1, 0))->group);
    assert_int_equal(pci_find(BH_SBDF(0, 5, 0, 0))->group, pci_find(BH_SBDF(0, 0, 12, 0))->group);
}

/* --- the filter ------------------------------------------------------------------------------------------------------- */

static int cfg_rd(uint32_t sbdf, unsigned off, unsigned size, uint32_t *v)
{
    struct bh_pci_cfg c = { .sbdf = sbdf, .off = (uint16_t)off, .size = (uint8_t)size };
    int rc = pci_config_access(&c);
    *v = c.value;
    return rc;
}
static int cfg_wr(uint32_t sbdf, unsigned off, unsigned size, uint32_t v)
{
    struct bh_pci_cfg c = {
        .sbdf = sbdf, .off = (uint16_t)off, .size = (uint8_t)size, .write = 1, .value = v
    };
    return pci_config_access(&c);
}

TEST(filter_refuses)
{
    uint32_t v;
    pci_init();
    assert_int_equal(cfg_rd(BH_SBDF(0, 9, 0, 0), 0, 4, &v), -ENOENT);
    assert_int_equal(cfg_rd(PLAIN, 0, 4, &v), -EACCES);
    assert_int_equal(cfg_wr(PLAIN, 4, 2, 7), -EACCES);
    assert_int_equal(cfg_rd(NIC, 1, 2, &v), -EINVAL);
    assert_int_equal(cfg_rd(NIC, 2, 4, &v), -EINVAL);
    assert_int_equal(cfg_rd(NIC, 0, 3, &v), -EINVAL);
    assert_int_equal(cfg_rd(NIC, 0, 0, &v), -EINVAL);
    assert_int_equal(cfg_rd(NIC, 256, 4, &v), -EINVAL);
    assert_int_equal(cfg_rd(NIC, 0xffff, 1, &v), -EINVAL);
}

TEST(filter_shows_a_virtual_view)
{
    unsigned seen = 0, at;
    uint32_t v, cap;

    pci_init();
    assert_int_equal(cfg_rd(NIC, 0, 4, &v), 0);
    assert_int_equal(v, 0x10411af4);
    cfg_rd(NIC, 2, 2, &v);
    assert_int_equal(v, 0x1041);
    cfg_rd(NIC, 0x20, 4, &v);
    assert_int_equal(v, 0xc); /* no address before it is assigned, but its type */
    cfg_rd(NIC, 0x3d, 1, &v);
    assert_int_equal(v, 0); /* no level interrupt */
    cfg_rd(NIC, 0x30, 4, &v);
    assert_int_equal(v, 0);
    cfg_rd(NIC, 0x34, 1, &at);
    for (; at; at = cap >> 8 & 0xff) {
        cfg_rd(NIC, at, 4, &cap);
        assert_true((cap & 0xff) != 5 || !(cap >> 16)); /* of MSI its kind alone */
        assert_int_not_equal(at, 0x60);                 /* virtio's window is not shown */
        seen++;
        assert_in_range(seen, 1, 7);
    }
    assert_int_equal(seen, 7);
    cfg_rd(NIC, 0x62, 2, &v);
    assert_int_equal(v, 0);
    cfg_rd(NIC, 0x80, 4, &v);
    assert_int_equal(v >> 16, 3); /* power: no states, no wake-up */
    cfg_rd(NIC, 0x84, 4, &v);
    assert_int_equal(v, 0);
    assert_int_equal(pci_assign(&dom, NIC, 0, false), 0);
    cfg_rd(NIC, 0x20, 4, &v);
    assert_int_equal(v & ~15u, pci_find(NIC)->bar[4].gpa);
    assert_int_equal(pci_release_all(&dom), 0);
}

TEST(filter_writes_only_what_it_may)
{
    uint8_t before[256];
    struct sim *s = sim_at(NIC);

    pci_init();
    memset(s->wmask, 0xff, 256);
    memcpy(before, s->cfg, 256);
    for (unsigned off = 0; off < 256; off += 4)
        assert_int_equal(cfg_wr(NIC, off, 4, ~0u), 0);
    for (unsigned off = 0; off < 256; off += 2)
        assert_int_equal(cfg_wr(NIC, off, 2, ~0u), 0);
    for (unsigned off = 0; off < 256; off++) {
        bool free_byte = off == 0x0c || off == 0x3c;
        if (off == 4)
            assert_int_equal(s->cfg[off] | 0x40, before[off] | 0x40);
        else if (off == 5)
            assert_int_equal(s->cfg[off] | 1, before[off] | 1);
        else if (!free_byte && off != 6 && off != 7) /* status: write 1 to clear */
            assert_int_equal(s->cfg[off], before[off]);
    }
    assert_int_equal(s->cfg[4] & 4, 0);
    assert_int_equal(cfg_wr(NIC, 0x3c, 1, 0x42), 0);
    assert_int_equal(s->cfg[0x3c], 0x42);
}

/* --- assignment ---------------------------------------------------------------------------------------------------------- */

TEST(refusals_in_order)
{
    pci_init();
    assert_int_equal(pci_assign(&dom, BH_SBDF(0, 9, 0, 0), 0, false), -ENOENT);
    assert_int_equal(pci_assign(&dom, PLAIN, 0, false), -EACCES);
    assert_int_equal(pci_assign(&dom, NOMMU, 0, false), -ENODEV);
    assert_int_equal(pci_assign(&dom, MULTI, 0, false), -EXDEV);
    assert_int_equal(pci_assign(&dom, NORST, 0, false), -EOPNOTSUPP);
    assert_int_equal(pci_assign(&dom, ONRAM, 0, false), -ENOSPC);
    dom.state = BH_DOM_RUNNING;
    assert_int_equal(pci_assign(&dom, NIC, 0, false), -EINVAL);
    dom.state = BH_DOM_BUILDING;
    assert_int_equal(pci_assign(&dom, NIC, 0xe0000800, false), -EINVAL);
    assert_int_equal(pci_assign(&dom, NIC, 0x1000, false), -EINVAL);
    assert_null(dom.devices);
    assert_null(dom.iommu);
    assert_int_equal(nr_leaves, 0);
    assert_int_equal(pci_assign(&dom, NIC, 0, false), 0);
    assert_int_equal(pci_assign(&dom, NIC, 0, false), -EBUSY);
    assert_int_equal(pci_assign(&other, NIC, 0, false), -EBUSY);
    iommu_ops = NULL;
    assert_int_equal(pci_assign(&dom, MULTI, 0, false), -ENODEV);
    iommu_ops = &ops;
    assert_int_equal(pci_deassign(&other, NIC), -ENOENT);
    assert_int_equal(pci_deassign(&dom, NIC), 0);
    assert_null(dom.iommu);
    assert_int_equal(nr_leaves, 0);
    assert_int_equal(pci_assign(&other, NIC, 0, false), 0);
    assert_int_equal(pci_release_all(&other), 0);
}

TEST(failures_leave_nothing)
{
    pci_init();
    fill_fails = true;
    assert_int_equal(pci_assign(&dom, NIC, 0, false), -ENOMEM);
    fill_fails = false;
    for (unsigned n = 1; n <= 4; n++) {
        p2m_fail_after = n;
        assert_int_equal(pci_assign(&dom, NIC, 0, false), -ENOMEM);
        assert_int_equal(nr_leaves, 0);
        assert_null(dom.devices);
        assert_null(dom.iommu);
        assert_int_equal(pci_find(NIC)->bar[4].gpa, 0);
    }
    p2m_fail_after = 0;
    soft_regs[0x14] = 0; /* comes back from its reset */
    assert_int_equal(pci_assign(&dom, NIC, 0, false), 0);
    assert_int_equal(pci_release_all(&dom), 0);
}

TEST(maps_registers_but_no_vectors)
{
    struct pci_dev *p;

    pci_init();
    p = pci_find(NIC);
    assert_int_equal(pci_assign(&dom, NIC, 0, false), 0);
    assert_int_equal(p->bar[1].gpa, 0); /* the MSI-X table is all that is there */
    assert_int_equal(nr_leaves, 4);
    for (unsigned i = 0; i < nr_leaves; i++) {
        assert_in_range(leaf[i].g, 0xe0000, 0xfebff);
        assert_in_range(leaf[i].m, 0xb0000c, 0xb0000f);
    }
    assert_int_equal(sim_at(NIC)->cfg[4] & 7, 2); /* decodes memory, masters nothing */
    assert_int_equal(pci_release_all(&dom), 0);
    assert_int_equal(nr_leaves, 0);
    assert_int_equal(pci_assign(&dom, NIC, 0xf0000000, false), 0);
    assert_int_equal(p->bar[4].gpa, 0xf0004000 & ~0x3fffull);
    assert_int_equal(pci_release_all(&dom), 0);
}

TEST(flr_takes_its_time)
{
    uint64_t start = shim_now_ns;

    sims[nr_sims - 1].cfg[0x13] = 0xfe; /* ONRAM: now a sane BAR */
    sims[nr_sims - 1].wmask[0x13] = 0xff;
    sims[nr_sims - 1].cfg[0x12] = 0x10;
    pci_init();
    assert_int_equal(pci_assign(&dom, ONRAM, 0, false), HC_AGAIN);
    assert_null(dom.devices);
    assert_int_equal(sim_at(ONRAM)->cfg[4] & 4, 0);
    shim_now_ns += 50 * NS_PER_MS;
    assert_int_equal(pci_assign(&dom, ONRAM, 0, false), HC_AGAIN);
    memset(sim_at(ONRAM)->cfg + 0x10, 0, 4); /* a reset forgets its BARs */
    while (pci_assign(&dom, ONRAM, 0, false) == HC_AGAIN)
        shim_now_ns += NS_PER_MS;
    assert_in_range(shim_now_ns - start, 100 * NS_PER_MS, 110 * NS_PER_MS);
    assert_int_equal(get32(sim_at(ONRAM), 0x10), 0xfe100000);
    assert_ptr_equal(dom.devices, pci_find(ONRAM));
    assert_int_equal(pci_release_all(&dom), 0);
}

TEST(dead_device_is_refused)
{
    pci_init();
    put32(sim_at(NIC), 0, ~0u);
    assert_int_equal(pci_assign(&dom, NIC, 0, false), -EIO);
    assert_null(dom.iommu);
}

/* A star: what there is of the slot, no complaint about what there is not. */
TEST(hiding_a_slot)
{
    cmdline.hide[2] = MULTI; /* setup names its function 0 alone */
    cmdline.hide_any[2] = 7;
    cmdline.hide[3] = BH_SBDF(0, 9, 9, 0);
    cmdline.hide_any[3] = 7;
    pci_init();
    assert_true(pci_find(MULTI)->hidden && pci_find(MULTI + 1)->hidden);
    assert_false(pci_find(PLAIN)->hidden);
    assert_null(strstr(shim_log, "00:06.2"));
    assert_non_null(
        strstr(shim_log, "(0000:09:09.0, nor another that the star means): no such device"));
}

TEST(group_goes_together_or_not)
{
    cmdline.hide[cmdline.nr_hide++] = MULTI + 1;
    flr(sim_at(MULTI + 1));
    pci_init();
    while (pci_assign(&dom, MULTI, 0, false) == HC_AGAIN)
        shim_now_ns += NS_PER_MS;
    assert_int_equal(pci_find(MULTI)->owner, 3);
    assert_int_equal(pci_assign(&other, MULTI + 1, 0, false), -EXDEV);
    while (pci_assign(&dom, MULTI + 1, 0, false) == HC_AGAIN)
        shim_now_ns += NS_PER_MS;
    assert_int_equal(pci_find(MULTI + 1)->owner, 3);
    assert_int_not_equal(pci_find(MULTI + 1)->pirq_base, pci_find(MULTI)->pirq_base);
    assert_int_not_equal(pci_find(MULTI + 1)->bar[0].gpa, pci_find(MULTI)->bar[0].gpa);
    assert_int_equal(pci_release_all(&dom), 0);
}

/* A paused vCPU may still be inside of a hypercall that changes the p2m: the devices' table waits until it is out. */
TEST(table_waits_for_vcpus)
{
    pci_init();
    vcpu.running = 1; /* it is still inside a hypercall */
    assert_int_equal(pci_assign(&dom, NIC, 0, false), HC_AGAIN);
    assert_null(dom.iommu);
    vcpu.running = 0;
    assert_int_equal(pci_assign(&dom, NIC, 0, false), 0);
    dom.state = BH_DOM_RUNNING;
    assert_int_equal(pci_deassign(&dom, NIC), -EINVAL);
    dom.pause_count = 1;
    vcpu.running = 1; /* it is still inside a hypercall */
    assert_int_equal(pci_deassign(&dom, NIC), HC_AGAIN);
    assert_non_null(dom.iommu);
    vcpu.running = 0;
    assert_int_equal(pci_deassign(&dom, NIC), 0);
    assert_null(dom.iommu);
    dom.pause_count = 0;
    dom.state = BH_DOM_BUILDING;
}

/* DMA is for devices behind a unit that was seen to hold them. */
TEST(dma_after_the_trial)
{
    pci_init();
    tried.state = TRIAL_OPEN;
    dom.role = BH_ROLE_GUEST;
    assert_int_equal(pci_assign(&dom, NIC, 0, false), -EAGAIN);
    dom.role = BH_ROLE_DRIVER;
    assert_int_equal(pci_assign(&dom, NIC, 0, false), 0);
    assert_int_equal(pci_dma_enable(&dom, NIC, true), -EACCES);
    assert_int_equal(sim_at(NIC)->cfg[4] & 4, 0);
    tried.state = TRIAL_FAILED;
    assert_int_equal(pci_dma_enable(&dom, NIC, true), -EACCES);
    assert_int_equal(pci_deassign(&dom, NIC), 0);
    assert_int_equal(pci_assign(&dom, NIC, 0, false), -EPERM);
    tried.state = TRIAL_OPEN;
    cmdline.iommu_trust = true;
    dom.role = BH_ROLE_GUEST;
    assert_int_equal(pci_assign(&dom, NIC, 0, false), 0);
    assert_int_equal(pci_dma_enable(&dom, NIC, true), 0);
    assert_int_equal(pci_deassign(&dom, NIC), 0);
}

TEST(dma_order)
{
    pci_init();
    assert_int_equal(pci_assign(&dom, NIC, 0, false), 0);
    assert_int_equal(sim_at(NIC)->cfg[4] & 4, 0); /* assigned, and still silent */
    assert_int_equal(pci_dma_enable(&other, NIC, true), -ENODEV);
    assert_int_equal(pci_dma_enable(&dom, PLAIN, true), -ENODEV);
    trace[0] = 0;
    assert_int_equal(pci_dma_enable(&dom, NIC, true), 0);
    assert_string_equal(trace, "AM"); /* the table before bus mastering */
    assert_int_equal(sim_at(NIC)->cfg[0x43] & 0xc0, 0x80);
    trace[0] = 0;
    assert_int_equal(pci_fence(&dom), 0);
    assert_string_equal(trace, "mBC"); /* mastering off, blocked and flushed, then references */
    /* Masked, not disabled: no INTx instead. */
    assert_int_equal(sim_at(NIC)->cfg[0x43] & 0xc0, 0xc0);
    assert_int_equal(nr_leaves, 4); /* BARs stay */
    assert_int_equal(pci_find(NIC)->dma_on, false);
    trace[0] = 0;
    assert_int_equal(pci_refill(&dom), 0);
    assert_string_equal(trace, "f");
    assert_int_equal(sim_at(NIC)->cfg[4] & 4, 0);
    assert_int_equal(pci_release_all(&dom), 0);
}

/* --- what the owner must not get ------------------------------------------------------------------------------------------ */

/* Entries that are not used are masked: the core's mapping has them all. */
TEST(vectors_are_mapped_whole)
{
    sim_at(NIC)->cfg[0x42] = 0xff; /* 256 of them */
    sim_at(NIC)->cfg[0x49] = 0x00; /* the pending bits: another BAR's */
    sim_at(NIC)->cfg[0x48] = 4;
    pci_init();
    assert_int_equal(pci_find(NIC)->msix_total, 256);
    assert_in_range(pci_find(NIC)->msix_count, 1, 64);
    assert_int_equal(mapped_len, 256 * 16);
}

TEST(virtio_says_whether_the_iommu_holds_it)
{
    struct sim *s = dev(0, 10, 0, 0x10001af4, 0x020000, 0); /* legacy: it has no such feature */

    bar(s, 0, 0xfe010000, 0x1000);
    flr(s);
    cmdline.hide[cmdline.nr_hide++] = s->sbdf;
    soft_regs[4] = 0xfd;
    pci_init();
    assert_int_equal(soft_regs[0], 1); /* features 32 to 63 were looked at */
    assert_non_null(strstr(strstr(shim_log, "00:03.0 1af4:1041 class 020000 hidden") ?: "",
                           "VIRTIO_F_ACCESS_PLATFORM"));
    assert_non_null(strstr(strstr(shim_log, "00:0a.0 1af4:1000 class 020000 hidden") ?: "",
                           "VIRTIO_F_ACCESS_PLATFORM"));
    assert_int_equal(pci_assign(&dom, NIC, 0, false), -ENODEV);
    assert_int_equal(pci_assign(&dom, s->sbdf, 0, false), -ENODEV);
}

/* A hidden device with a BAR at `base`, beside its own good one. */
static int assign_over(unsigned slot, uint32_t base)
{
    struct sim *s = dev(0, slot, 0, 0x77778086, 0x010000, 0);
    int rc;

    bar(s, 0, 0xfd000000 + slot * 0x10000, 0x1000);
    bar(s, 1, base, 0x1000);
    flr(s);
    cmdline.hide[0] = s->sbdf;
    cmdline.nr_hide = 1;
    pci_init();
    while ((rc = pci_assign(&dom, s->sbdf, 0, false)) == HC_AGAIN)
        shim_now_ns += NS_PER_MS;
    assert_int_equal(pci_release_all(&dom), 0);
    teardown(NULL);
    nr_sims--;
    return rc;
}

TEST(no_bar_over_the_platform)
{
    struct sim *s = dev(0, 20, 0, 0x00071b36, 0x088000, 0);

    bar(s, 0, 0xfc000000, 0x2000);
    s = dev(0, 21, 0, 0x000c1b36, 0x060400, 1);
    bar(s, 0, 0xfc010000, 0x1000);
    s = dev(0, 22, 0, 0x29c18086, 0x060000, 0); /* host bridge: as large as its alignment allows */
    put32(s, 0x10, 0xfc020000);
    s->untouchable = true;
    boot_info.reserved[0] = (struct boot_range){ 0xfc050000, 0xfc051000 };
    boot_info.nr_reserved = 1;
    assert_int_equal(assign_over(24, 0xfc001000), -ENOSPC);
    assert_int_equal(assign_over(24, 0xfc010000), -ENOSPC);
    assert_int_equal(assign_over(24, 0xfc020000), -ENOSPC);
    assert_int_equal(assign_over(24, 0xfc03f000), -ENOSPC);
    assert_int_equal(assign_over(24, 0xfc050000), -ENOSPC);
    assert_int_equal(assign_over(24, 0xfed40000), -ENOSPC); /* a TPM's, named by nobody */
    assert_int_equal(assign_over(24, 0xfc002000), 0);
    assert_int_equal(assign_over(24, 0xfc011000), 0);
    for (unsigned i = 0; i < nr_sims; i++)
        assert_false(sims[i].sized_while_decoding);
    assert_int_equal(sim_at(BH_SBDF(0, 0, 20, 0))->cfg[4],
                     7); /* the platform goes on as firmware set it up */
    assert_int_equal(sim_at(BH_SBDF(0, 0, 21, 0))->cfg[4], 7);
}

TEST(places_stay_in_their_room)
{
    pci_init();
    assert_int_equal(pci_assign(&dom, NIC, 0xfffffffffffff000ull, false), -EINVAL);
    assert_int_equal(pci_assign(&dom, NIC, 0xfec00000, false), -EINVAL);
    assert_int_equal(pci_find(NIC)->bar[4].gpa, 0);
    assert_null(dom.devices);
}

/* Whatever its capabilities say: structures that the owner is told of lie in the BARs that it has mapped. */
TEST(structures_lie_in_bars)
{
    static struct sim was;
    struct sim *s = sim_at(NIC);
    unsigned good = 0;

    was = *s;
    cmdline.nr_hide = 1;
    for (unsigned i = 0; i < 3000; i++) {
        *s = was;
        for (unsigned n = 1 + (unsigned)rand() % 6; n; n--)
            s->cfg[0x40 + (unsigned)rand() % 0xc0] = (uint8_t)rand();
        pci_init();
        struct bh_pci_info info;
        if (pci_find(NIC)->iommu && !pci_assign(&dom, NIC, 0, false) && !pci_info(0, &dom, &info)) {
            const struct bh_pci_virtio *v = &info.virtio;
            const struct {
                uint64_t at, len;
            } part[] = { { v->common, v->common_len },
                         { v->notify, v->notify_len },
                         { v->isr, v->isr_len },
                         { v->device, v->device_len } };
            for (unsigned k = 0; k < ARRAY_SIZE(part); k++)
                for (uint64_t at = part[k].at; at && at < part[k].at + part[k].len; at += PAGE_SIZE) {
                    bool in = false;
                    for (unsigned l = 0; l < nr_leaves; l++)
                        in |= leaf[l].g == at >> PAGE_SHIFT;
                    assert_true(in);
                }
            good += v->common && v->notify;
        }
        assert_int_equal(pci_release_all(&dom), 0);
        teardown(NULL);
    }
    assert_true(good > 100);
}

/* --- DMA only for a device at rest ---------------------------------------------------------------------------------------- */

TEST(no_dma_while_virtio_runs)
{
    pci_init();
    assert_int_equal(pci_assign(&dom, NIC, 0, false), 0);
    for (unsigned status = 1; status < 256; status++) {
        soft_regs[0x14] = (uint8_t)status;
        assert_int_equal(pci_dma_enable(&dom, NIC, true), -EBUSY);
    }
    assert_int_equal(sim_at(NIC)->cfg[4] & 4, 0);
    assert_int_equal(pci_find(NIC)->dma_on, false);
    soft_regs[0x14] = 0;
    assert_int_equal(pci_dma_enable(&dom, NIC, true), 0);
    soft_regs[0x14] = 15;
    assert_int_equal(pci_dma_enable(&dom, NIC, true), 0); /* it has it */
    assert_int_equal(pci_fence(&dom), 0);
    assert_int_equal(pci_refill(&dom), 0);                     /* not reset by the core ... */
    assert_int_equal(pci_dma_enable(&dom, NIC, true), -EBUSY); /* ... so its driver has to */
    soft_regs[0x14] = 0;
    assert_int_equal(pci_dma_enable(&dom, NIC, true), 0);
    assert_int_equal(pci_release_all(&dom), 0);
}

static struct sim *other_kind(unsigned slot, uint32_t class)
{
    struct sim *s = dev(0, slot, 0, 0x77778086, class, 0);

    bar(s, 0, 0xfd000000 + slot * 0x10000, 0x4000);
    flr(s);
    cmdline.hide[cmdline.nr_hide++] = s->sbdf;
    return s;
}
static int assigned(struct sim *s)
{
    int rc;

    while ((rc = pci_assign(&dom, s->sbdf, 0, false)) == HC_AGAIN)
        shim_now_ns += NS_PER_MS;
    return rc;
}

TEST(no_dma_while_nvme_runs)
{
    struct sim *s = other_kind(12, 0x010802);

    pci_init();
    assert_int_equal(assigned(s), 0);
    msix_mem[5] = 0x460001; /* CC.EN; the registers are the first thing in the BAR */
    assert_int_equal(pci_dma_enable(&dom, s->sbdf, true), -EBUSY);
    msix_mem[5] = 0x460000;
    msix_mem[7] = 1; /* CSTS.RDY */
    assert_int_equal(pci_dma_enable(&dom, s->sbdf, true), -EBUSY);
    assert_int_equal(s->cfg[4] & 4, 0);
    msix_mem[7] = 0;
    assert_int_equal(pci_dma_enable(&dom, s->sbdf, true), 0);
    assert_int_equal(pci_release_all(&dom), 0);
}

/* Its link outlives an instance: only its driver resets it, and not the PHY. */
static void no_dma_while_it_runs(uint32_t id)
{
    struct sim *s = other_kind(12, 0x020000);

    put32(s, 0, id);
    pci_init();
    msix_mem[0x100 / 4] = msix_mem[0x400 / 4] = 2; /* its last owner left it so, and its reset forgets nothing */
    assert_int_equal(assigned(s), 0);
    assert_int_equal(msix_mem[0x100 / 4] | msix_mem[0x400 / 4], 0);
    for (unsigned reg = 0x100; reg <= 0x400; reg += 0x300) { /* RCTL, TCTL */
        msix_mem[reg / 4] = 2;
        assert_int_equal(pci_dma_enable(&dom, s->sbdf, true), -EBUSY);
        assert_int_equal(s->cfg[4] & 4, 0);
        msix_mem[reg / 4] = ~2u;
    }
    assert_int_equal(pci_dma_enable(&dom, s->sbdf, true), 0);
    assert_int_equal(pci_fence(&dom), 0);
    assert_int_equal(pci_refill(&dom), 0); /* not reset by the core */
    msix_mem[0x100 / 4] = ~0u;             /* it is gone */
    assert_int_equal(pci_dma_enable(&dom, s->sbdf, true), -EBUSY);
    msix_mem[0x100 / 4] = 0;
    assert_int_equal(pci_dma_enable(&dom, s->sbdf, true), 0);
    assert_int_equal(pci_release_all(&dom), 0);
    memset(msix_mem, 0, sizeof(msix_mem));
}

TEST(no_dma_while_82574L_runs) { no_dma_while_it_runs(0x10d38086); }
TEST(no_dma_while_82576_runs) { no_dma_while_it_runs(0x10c98086); }

/* Nobody sees whether it runs: the core resets it between two instances. */
TEST(others_are_reset_at_a_restart)
{
    struct sim *s = other_kind(12, 0x030000);
    uint64_t start;

    pci_init();
    assert_int_equal(assigned(s), 0);
    assert_int_equal(pci_dma_enable(&dom, s->sbdf, true), 0);
    assert_int_equal(pci_fence(&dom), 0);
    assert_int_equal(pci_dma_enable(&dom, s->sbdf, true), -EIO);
    start = shim_now_ns;
    memset(s->cfg + 0x10, 0, 4); /* the reset forgets its BAR */
    while (pci_refill(&dom) == HC_AGAIN)
        shim_now_ns += NS_PER_MS;
    assert_in_range(shim_now_ns - start, 100 * NS_PER_MS, 110 * NS_PER_MS);
    assert_int_equal(get32(s, 0x10), 0xfd0c0000);
    assert_int_equal(pci_refill(&dom), 0);
    assert_int_equal(pci_dma_enable(&dom, s->sbdf, true), 0);
    /* One that does not come back holds nobody up, but gets nothing. */
    assert_int_equal(pci_fence(&dom), 0);
    put32(s, 0, ~0u);
    while (pci_refill(&dom) == HC_AGAIN)
        shim_now_ns += NS_PER_MS;
    assert_non_null(strstr(shim_log, "did not come back from its reset: no DMA"));
    assert_int_equal(pci_dma_enable(&dom, s->sbdf, true), -EIO);
    assert_int_equal(pci_release_all(&dom), 0);
}

/* --- in steps ------------------------------------------------------------------------------------------------------------- */

static struct sim *big(void)
{
    struct sim *s = other_kind(12, 0x030000);

    bar(s, 0, 0x90000000, 0x10000000); /* 256 MiB: 128 leaves */
    bar(s, 1, 0xfd0c0000, 0x4000);
    pci_init();
    while (pci_assign(&dom, s->sbdf, 0, false) == HC_AGAIN && !pci_find(s->sbdf)->at_page)
        shim_now_ns += NS_PER_MS;
    assert_in_range(nr_leaves, 1, 64);
    return s;
}

TEST(large_bars_are_mapped_in_steps)
{
    struct sim *s = big();
    unsigned n = 0;

    assert_int_equal(pci_assign(&other, s->sbdf, 0, false), -EBUSY);
    assert_int_equal(pci_dma_enable(&dom, s->sbdf, true), -EBUSY);
    assert_int_equal(assigned(s), 0);
    assert_int_equal(nr_leaves, 128 + 4);
    assert_int_equal(pci_dma_enable(&dom, s->sbdf, true), 0);
    trace[0] = 0;
    while (pci_deassign(&dom, s->sbdf) == HC_AGAIN && ++n) {
        assert_int_equal(s->cfg[4] & 4, 0); /* fenced by the first */
        assert_ptr_equal(dom.devices, pci_find(s->sbdf));
        assert_int_equal(pci_dma_enable(&dom, s->sbdf, true), -EBUSY);
        assert_int_equal(pci_assign(&other, s->sbdf, 0, false), -EBUSY);
    }
    assert_int_equal(nr_leaves, 0);
    assert_null(dom.devices);
    assert_null(dom.iommu);
    assert_int_equal(strncmp(trace, "mB", 2), 0);
    assert_string_equal(trace + strlen(trace) - 2, "nC");
    while ((n = (unsigned)pci_assign(&other, s->sbdf, 0, false)) == (unsigned)HC_AGAIN)
        shim_now_ns += NS_PER_MS;
    assert_int_equal(n, 0);
    assert_int_equal(pci_release_all(&other), 0);
}

/* An error in the middle is told when everything is undone; a destroy in the middle takes it back. */
TEST(half_way_is_undone)
{
    struct sim *s = big();

    p2m_fail_after = 20;
    assert_int_equal(assigned(s), -ENOMEM);
    assert_int_equal(nr_leaves, 0);
    assert_null(dom.devices);
    assert_null(dom.iommu);
    while (!dom.devices || !nr_leaves) {
        assert_int_equal(pci_assign(&dom, s->sbdf, 0, false), HC_AGAIN);
        shim_now_ns += NS_PER_MS;
    }
    while (pci_release_all(&dom) == HC_AGAIN)
        assert_ptr_equal(dom.devices, pci_find(s->sbdf));
    assert_int_equal(nr_leaves, 0);
    assert_null(dom.devices);
    assert_null(dom.iommu);
    assert_int_equal(pci_find(s->sbdf)->state, BH_PCI_ASSIGNABLE);
}

/* --- interrupts ------------------------------------------------------------------------------------------------------------ */

static long map(int devfn, int entry, int pirq, domid_t domid, int *out)
{
    struct physdev_map_pirq m = {
        .domid = domid, .type = MAP_PIRQ_TYPE_MSI, .pirq = pirq, .devfn = devfn, .entry_nr = entry
    };
    long rc = do_physdev_op(PHYSDEVOP_map_pirq, GADDR((uint64_t)&m));
    *out = m.pirq;
    return rc;
}

TEST(pirqs)
{
    struct physdev_irq_status_query q = { 0 };
    int pirq, again;

    pci_init();
    assert_int_equal(pci_assign(&dom, NIC, 0, false), 0);
    assert_int_equal(map(3 << 3, 1, -1, DOMID_SELF, &pirq), 0);
    assert_int_equal(map(3 << 3, 1, -1, 3, &again), 0);
    assert_int_equal(pirq, again); /* a slot's number never changes */
    assert_int_equal(map(3 << 3, 3, -1, DOMID_SELF, &again), -EINVAL);
    assert_int_equal(map(3 << 3, -1, -1, DOMID_SELF, &again), -EINVAL);
    assert_int_equal(map(3 << 3, 0x7fffffff, -1, DOMID_SELF, &again), -EINVAL);
    assert_int_equal(map(3 << 3, 1, -1, 4, &again), -EPERM);
    assert_int_equal(map(4 << 3, 1, -1, DOMID_SELF, &again), -ENODEV);
    assert_int_equal(pirq_bind(&dom, (uint32_t)pirq + 1, 9), -EINVAL); /* not mapped */
    assert_int_equal(pirq_bind(&other, (uint32_t)pirq, 9), -EINVAL);
    msix_mem[7] = 1;
    assert_int_equal(pirq_bind(&dom, (uint32_t)pirq, 9), 0);
    assert_int_equal(pirq_bind(&dom, (uint32_t)pirq, 10), -EEXIST);
    assert_int_equal(msix_mem[4], 0xfee00000);
    assert_int_equal(msix_mem[6], 1);
    assert_int_equal(msix_mem[7], 0);
    irq_handler(irq_arg);
    assert_int_equal(raised_port, 9);
    q.irq = (uint32_t)pirq;
    q.flags = 5;
    assert_int_equal(do_physdev_op(PHYSDEVOP_irq_status_query, GADDR((uint64_t)&q)), 0);
    assert_int_equal(q.flags, 0);
    pirq_fence(&dom);
    assert_int_equal(msix_mem[7], 1);
    raised_port = 0;
    irq_handler(irq_arg); /* one that was on its way */
    assert_int_equal(raised_port, 0);
    assert_int_equal(pirq_bind(&dom, (uint32_t)pirq, 11),
                     0); /* the next instance, without mapping anew */
    assert_int_equal(vectors, 1);
    pirq_unbind(&dom, (uint32_t)pirq);
    assert_int_equal(msix_mem[7], 1);
    assert_int_equal(vectors, 0); /* nothing is bound: nothing is taken */
    pirq_unbind(&dom, 0xffffffff);
    assert_int_equal(do_physdev_op(PHYSDEVOP_apic_write, GADDR((uint64_t)&q)), -ENOSYS);
    assert_int_equal(pci_release_all(&dom), 0);
    assert_int_equal(vectors, 0);
    assert_int_equal(pirq_bind(&dom, (uint32_t)pirq, 9), -EINVAL);
}

/* Entries that nobody is given are masked once: switching DMA on takes no longer by them. */
TEST(entries_that_nobody_uses)
{
    struct sim *s = sim_at(NIC);

    bar(s, 1, 0xfeb00000, 0x10000);
    memcpy(s->cfg + 0x42, "\xff\x07\x01\x00\x00\x00\x01\x80\x00\x00", 10); /* BAR 1: 2048, and 0x8000 */
    pci_init();
    struct pci_dev *p = pci_find(NIC);
    assert_int_equal(p->msix_total, 2048);
    for (unsigned i = p->msix_count; i < 2048; i++)
        assert_int_equal(msix_mem[i * 4 + 3], 1);
    assert_int_equal(pci_assign(&dom, NIC, 0, false), 0);
    memset(&msix_mem[p->msix_count * 4u], 0x5a, (2048u - p->msix_count) * 16);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pci_dma_enable(&dom, NIC, !i), 0);
    for (unsigned i = 0; i < p->msix_count; i++)
        assert_int_equal(msix_mem[i * 4 + 3], 1);
    for (unsigned i = p->msix_count * 4u; i < ARRAY_SIZE(msix_mem); i++)
        assert_int_equal(msix_mem[i], 0x5a5a5a5a);
    assert_int_equal(pci_release_all(&dom), 0);
}

/* n interrupts in this millisecond of one entry of a device that keeps to its mask: they stay pending there. */
static bool pending_in_device;
static void device_sends(struct pci_dev *p, unsigned entry, unsigned n)
{
    while (n--) {
        if (msix_mem[entry * 4 + 3] & 1)
            pending_in_device = true;
        else
            irq_handler(&p->route[entry]);
    }
}
static void next_ms(struct pci_dev *p)
{
    shim_now_ns = p->irq_timer.expires;
    p->irq_timer.fn(&p->irq_timer);
}
static struct pci_dev *storm_world(unsigned entries)
{
    int pirq;

    sim_at(NIC)->cfg[0x42] = (uint8_t)(entries - 1);
    pci_init();
    assert_int_equal(pci_assign(&dom, NIC, 0, false), 0);
    for (unsigned i = 0; i < entries; i++) {
        assert_int_equal(map(3 << 3, (int)i, -1, DOMID_SELF, &pirq), 0);
        assert_int_equal(pirq_bind(&dom, (uint32_t)pirq, 9 + i), 0);
    }
    assert_int_equal(pci_dma_enable(&dom, NIC, true), 0);
    shim_now_ns = 7 * NS_PER_MS + 5;
    pending_in_device = false;
    masks = routes = raised = 0;
    return pci_find(NIC);
}

TEST(storm_is_held_back)
{
    struct pci_dev *p = storm_world(1);

    device_sends(p, 0, 64);
    assert_int_equal(raised, 64);
    assert_int_equal(msix_mem[3], 0);
    device_sends(p, 0, 1000000);
    assert_int_equal(raised, 64);
    assert_int_equal(msix_mem[3], 1);
    assert_int_equal(masks, 0); /* it keeps to its mask: the IOMMU need not */
    assert_true(pending_in_device);
    assert_non_null(strstr(shim_log, "00:03.0 of d3 interrupts too often"));
    assert_int_equal(p->irq_timer.expires, 8 * NS_PER_MS);
    next_ms(p);
    assert_int_equal(msix_mem[3], 0);
    device_sends(p, 0, 1); /* its last one */
    assert_int_equal(raised, 66);
    assert_int_equal(raised_port, 9);
    device_sends(p, 0, 62);
    assert_int_equal(msix_mem[3], 0);
    assert_int_equal(pci_release_all(&dom), 0);
}

TEST(storm_is_cut_off)
{
    struct pci_dev *p = storm_world(1);

    shim_log_clear();
    for (unsigned ms = 1; ms < 5; ms++) {
        for (unsigned i = 0; i < 1000; i++)
            irq_handler(&p->route[0]); /* whatever its mask says */
        assert_int_equal(masks, ms);
        assert_int_equal(p->nr_cut, 1);
        assert_int_equal(raised, 65 * ms - 1);
        next_ms(p);
        assert_int_equal(routes, ms);
        assert_int_equal(p->nr_cut, 0);
        assert_int_equal(msix_mem[3], 0);
        assert_int_equal(raised, 65 * ms); /* for what was lost, if anything was */
        assert_int_equal(raised_port, 9);
    }
    char *line = strstr(shim_log, "interrupts too often");
    assert_non_null(line);
    assert_null(strstr(line + 1, "interrupts too often")); /* one line in a while */
    for (unsigned i = 0; i < 1000; i++)
        irq_handler(&p->route[0]);
    pirq_fence(&dom); /* cut off and fenced: nothing comes back by itself */
    routes = raised = 0;
    next_ms(p);
    assert_int_equal(p->nr_cut, 0);
    assert_int_equal(routes + raised, 0);
    assert_int_equal(msix_mem[3], 1);
    assert_int_equal(pci_release_all(&dom), 0);
}

TEST(storm_of_many_entries)
{
    struct pci_dev *p = storm_world(8);

    for (unsigned i = 0; i < 8; i++)
        device_sends(p, i, 60);
    assert_int_equal(raised, 256); /* none has had more than its own, all of them have */
    assert_int_equal(msix_mem[4 * 4 + 3], 1);
    next_ms(p);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(msix_mem[i * 4 + 3], 0);
    assert_int_equal(pci_release_all(&dom), 0);
}

/* A device that is fenced may be in a reset: its registers are left alone. */
TEST(held_back_and_fenced)
{
    struct pci_dev *p = storm_world(1);

    device_sends(p, 0, 65);
    assert_int_equal(pci_dma_enable(&dom, NIC, false), 0);
    msix_mem[3] = 0xabcd0001;
    raised = 0;
    next_ms(p);
    for (unsigned i = 0; i < 100; i++)
        irq_handler(&p->route[0]);
    next_ms(p);
    assert_int_equal(msix_mem[3], 0xabcd0001);
    assert_int_equal(pci_dma_enable(&dom, NIC, true), 0);
    assert_int_equal(msix_mem[3] & 1, 0);
    assert_int_equal(pci_release_all(&dom), 0);
}

/* --- where an interrupt goes ------------------------------------------------------------------------------------------------ */

#define APIC(cpu) ((cpu)*2 + 1)
static struct pci_dev *cpus_world(unsigned entries)
{
    for (shim_cpu = 4; shim_cpu-- > 0;)
        this_cpu()->apic_id = APIC(shim_cpu), this_cpu()->own_counts = (struct bh_counts){ 0 };
    shim_cpu = 1; /* binds */
    this_cpu()->current = &vcpu;
    struct pci_dev *p = storm_world(entries);
    for (unsigned i = 0; i < entries; i++)
        assert_int_equal(routed[i], APIC(1));
    memset(msix_mem, 0x5a, sizeof msix_mem); /* not to be touched */
    shim_cpu = 3;
    shim_now_ns = NS_PER_S;
    return p;
}
/* n interrupts, few enough in a millisecond, while the vCPU is there. */
static void interrupts(struct pci_dev *p, unsigned entry, unsigned cpu, unsigned n)
{
    vcpu_at = cpus[cpu];
    while (n--) {
        shim_now_ns += NS_PER_MS / 10;
        irq_handler(&p->route[entry]);
    }
}
static void end_world(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(msix_mem); i++)
        assert_int_equal(msix_mem[i], 0x5a5a5a5a);
    assert_int_equal(pci_release_all(&dom), 0);
}

TEST(interrupt_follows_its_vcpu)
{
    struct pci_dev *p = cpus_world(2);

    interrupts(p, 0, 1, 100);
    assert_int_equal(routes, 0);
    interrupts(p, 0, 2, 7); /* it may come back */
    interrupts(p, 0, 1, 1);
    interrupts(p, 0, 2, 7);
    assert_int_equal(routes, 0);
    interrupts(p, 0, 2, 1);
    assert_int_equal(routes, 1);
    assert_int_equal(routed[0], APIC(2));
    assert_int_equal(routed[1], APIC(1));
    interrupts(p, 0, 2, 1000); /* the first of them by the old entry: they count as the others do */
    assert_int_equal(routes, 1);
    assert_int_equal(raised, 1116);                   /* each once */
    const struct bh_counts *c = &cpus[3]->own_counts; /* all came here, where no vCPU was */
    assert_int_equal(c->device_irqs, 1116);
    assert_int_equal(c->irqs_astray, 1116);
    shim_cpu = 2;
    interrupts(p, 0, 2, 1);
    assert_int_equal(this_cpu()->own_counts.device_irqs, 1);
    assert_int_equal(this_cpu()->own_counts.irqs_astray, 0);
    end_world();
}

TEST(vcpu_that_moves_on_and_on)
{
    struct pci_dev *p = cpus_world(1);

    for (unsigned i = 0; i < 10000; i++)
        interrupts(p, 0, 1 + i % 3, 1 + i % 7);
    assert_int_equal(routes, 0);
    shim_now_ns += 50 * NS_PER_MS;
    uint64_t start = shim_now_ns;
    for (unsigned i = 0; i < 10000; i++)
        interrupts(p, 0, 1 + i % 2, 8); /* as long as it takes, each time */
    assert_in_range(routes, 2, (shim_now_ns - start) / (10 * NS_PER_MS) + 1);
    end_world();
}

TEST(devices_entries_share_the_limit)
{
    struct pci_dev *p = cpus_world(8);

    for (unsigned n = 0; n < 8; n++)
        for (unsigned i = 0; i < 8; i++)
            interrupts(p, i, 2, 1);
    assert_int_equal(routes, 1);
    for (unsigned n = 0; n < 200; n++)
        for (unsigned i = 0; i < 8; i++)
            interrupts(p, i, 2, 1);
    assert_int_equal(routes, 8);
    end_world();
}

TEST(nobody_to_follow)
{
    struct pci_dev *p = cpus_world(1);

    vcpu_at = NULL; /* the port is closed meanwhile */
    for (unsigned i = 0; i < 50; i++)
        irq_handler(&p->route[0]);
    route_rc = -EINVAL; /* an APIC that an entry cannot name: it stays where it is, and is not tried all the time */
    interrupts(p, 0, 2, 50);
    assert_int_equal(routes, 1);
    route_rc = 0;
    interrupts(p, 0, 2, 100);
    assert_int_equal(routes, 2);
    assert_int_equal(routed[0], APIC(2));
    end_world();
}

/* Whatever is held back is let in again where it was, not where the timer happens to run. */
TEST(let_in_where_it_was)
{
    struct pci_dev *p = cpus_world(1);

    interrupts(p, 0, 2, 8);
    assert_int_equal(routed[0], APIC(2));
    for (unsigned i = 0; i < 100; i++)
        irq_handler(&p->route[0]);
    assert_int_equal(p->nr_cut, 1);
    next_ms(p);
    assert_int_equal(routed[0], APIC(2));
    assert_int_equal(pci_dma_enable(&dom, NIC, false), 0);
    assert_int_equal(pci_dma_enable(&dom, NIC, true), 0);
    assert_int_equal(routed[0], APIC(2));
    pirq_fence(&dom);
    shim_cpu = 0;
    assert_int_equal(pirq_bind(&dom, p->route[0].pirq, 9), 0); /* the next instance begins where it is */
    assert_int_equal(routed[0], APIC(0));
    assert_int_equal(pci_release_all(&dom), 0);
}

/* While one CPU was sending the event, ... */
static struct pci_dev *raced;
static void storm_elsewhere(void)
{
    struct cpu *at = vcpu_at;
    vcpu_at = NULL; /* not these: the one that sends */
    for (unsigned i = 0; i < 1000; i++)
        irq_handler(&raced->route[0]);
    vcpu_at = at;
}
static void unbound_elsewhere(void) { pirq_fence(&dom); }
TEST(follows_nothing_that_is_cut_or_gone)
{
    raced = cpus_world(1);
    interrupts(raced, 0, 2, 7);
    meanwhile = storm_elsewhere;
    interrupts(raced, 0, 2, 1);
    assert_int_equal(raced->nr_cut, 1);
    assert_int_equal(routes, 0); /* it would be open again */
    next_ms(raced);
    interrupts(raced, 0, 1, 1);
    routes = 0;
    interrupts(raced, 0, 2, 7);
    meanwhile = unbound_elsewhere;
    interrupts(raced, 0, 2, 1);
    assert_int_equal(routes, 0);
    assert_int_equal(vectors, 0);
    assert_int_equal(pci_release_all(&dom), 0);
}

/* What the owner of one device binds, the owner of another never lacks. */
TEST(vectors_are_shared_out)
{
    unsigned nr = 0;

    sim_at(NIC)->cfg[0x42] = 63;
    cmdline.hide[cmdline.nr_hide++] = ONRAM; /* once more: a device takes its share once */
    pci_init();
    for (struct pci_dev *p = pci_devices; p; p = p->next)
        nr += p->hidden;
    assert_true(nr > 3);
    assert_int_equal(pci_find(NIC)->msix_count, MIN(DEVICE_VECTORS / nr, 64u));
}

/* --- devices of guests --------------------------------------------------------------------------------------------- */

#define MSI BH_SBDF(0, 0, 9, 0) /* MSI alone, of 64 bits with a mask; FLR */
static struct sim *msi_device(void)
{
    struct sim *s = dev(0, 9, 0, 0x55558086, 0x040300, 0);

    bar(s, 0, 0xfe004000, 0x1000);
    flr(s);
    s->cfg[0x41] = 0x80;
    memcpy(s->cfg + 0x80, "\x05\x00\x81\x01", 4); /* firmware left it on */
    s->wmask[0x82] = 0x71;
    memset(s->wmask + 0x84, 0xff, 10);
    memset(s->wmask + 0x90, 0xff, 4);
    cmdline.hide[cmdline.nr_hide++] = MSI;
    return s;
}
static void be_guest(void)
{
    dom.role = BH_ROLE_GUEST;
    dom.id = BH_FIRST_GUEST;
}
static int assign_all(uint32_t sbdf)
{
    int rc;
    dom.state = BH_DOM_BUILDING;
    while ((rc = pci_assign(&dom, sbdf, 0, false)) == HC_AGAIN)
        shim_now_ns += NS_PER_MS;
    dom.state = BH_DOM_RUNNING;
    return rc;
}
static int set_of(domid_t domid, uint32_t sbdf, uint16_t what, uint32_t value, uint64_t address)
{
    struct bh_pci_set a = {
        .sbdf = sbdf, .domid = domid, .what = what, .value = value, .address = address
    };
    int rc = pci_set(&a);
    return rc || what != BH_PCI_SET_PIRQ ? rc : (int)a.value;
}
static int set(uint32_t sbdf, uint16_t what, uint32_t value, uint64_t address)
{
    return set_of(dom.id, sbdf, what, value, address);
}
static uint32_t free_number(void)
{
    struct physdev_get_free_pirq f = { .type = MAP_PIRQ_TYPE_MSI };
    assert_int_equal(do_physdev_op(PHYSDEVOP_get_free_pirq, GADDR((uint64_t)&f)), 0);
    return f.pirq;
}
/* As xen_msi_compose_msg of Linux does. */
static uint64_t message(uint32_t n)
{
    return (uint64_t)(n & ~0xffu) << 32 | 0xfee00000 | (n & 0xff) << 12;
}

TEST(a_guest_writes_messages)
{
    struct physdev_irq_status_query q;
    uint32_t n, given;

    be_guest();
    pci_init();
    assert_int_equal(assign_all(NIC), 0);
    struct pci_dev *p = pci_find(NIC);
    assert_int_equal(nr_shared, 1); /* BAR 1 is the table alone */
    assert_int_equal(shared_at[0].g, p->bar[1].gpa >> PAGE_SHIFT);
    uint32_t *table = mfn_to_virt(MFN(shared_at[0].m));
    assert_ptr_equal(table, p->shadow[0]);
    for (unsigned i = 0; i < nr_leaves; i++)
        assert_int_not_equal(leaf[i].m, p->bar[1].base >> PAGE_SHIFT);

    n = free_number();
    assert_int_not_equal(free_number(), n); /* which nobody has written down yet */
    assert_int_equal(pirq_bind(&dom, n, 9), -EINVAL);
    table[8] = (uint32_t)message(n);
    table[9] = (uint32_t)(message(n) >> 32);
    assert_int_equal(pirq_bind(&dom, n, 9), 0);
    assert_int_equal(pirq_bind(&dom, n, 9), -EEXIST);
    assert_int_equal(msix_mem[10], 2); /* the third entry, with the core's own message */
    assert_int_equal(msix_mem[8], 0xfee00000);
    assert_int_equal(msix_mem[9], 0);
    irq_handler(irq_arg);
    assert_int_equal(raised_port, 9);
    q.irq = n;
    assert_int_equal(do_physdev_op(PHYSDEVOP_irq_status_query, GADDR((uint64_t)&q)), 0);
    pirq_unbind(&dom, n);
    assert_int_equal(vectors, 0);
    assert_int_equal(pirq_bind(&dom, n, 10), 0); /* its driver comes again */
    table[8] = 0; /* it is bound, whatever the table says meanwhile */
    for (unsigned i = 0; i < 3 * NR_PIRQ_MESSAGE; i++)
        assert_int_not_equal(free_number(), n);
    table[8] = (uint32_t)message(n);
    pirq_unbind(&dom, n);
    for (unsigned i = 0; i < 3 * NR_PIRQ_MESSAGE; i++)
        assert_int_not_equal(free_number(), n);
    table[8] = 0;
    given = 0;
    for (unsigned i = 0; i < 3 * NR_PIRQ_MESSAGE; i++)
        given += free_number() == n;
    assert_int_equal(given, 3);

    /* Other messages than those of numbers, and numbers that the range does not hold. */
    memset(table, 0xff, PAGE_SIZE);
    assert_int_equal(pirq_bind(&dom, ~0u, 9), -EINVAL);
    assert_int_equal(pirq_bind(&dom, pirq_of_message(~0ull), 9), -EINVAL);
    assert_int_equal(pirq_bind(&dom, p->pirq_base, 9), -EINVAL);
    /* By a front-end of pciif the numbers are the device's own. */
    int fixed = set(NIC, BH_PCI_SET_PIRQ, 1, 0);
    assert_int_equal(fixed, p->pirq_base + 1);
    assert_int_equal(set(NIC, BH_PCI_SET_PIRQ, 3, 0), -EINVAL);
    assert_int_equal(pirq_bind(&dom, (uint32_t)fixed, 11), 0);
    irq_handler(irq_arg);
    assert_int_equal(raised_port, 11);

    dom.state = BH_DOM_DYING;
    assert_int_equal(pci_release_all(&dom), 0);
    assert_int_equal(nr_shared, 0);
    assert_null(p->shadow[0]);
    assert_null(p->shadow[1]);
    assert_int_equal(vectors, 0);
}

/* A number that was freed and stands in another entry now is that one's. */
TEST(a_number_goes_to_another_entry)
{
    be_guest();
    pci_init();
    assert_int_equal(assign_all(NIC), 0);
    uint32_t *table = mfn_to_virt(MFN(shared_at[0].m)), n = free_number();
    for (unsigned i = 0; i < 2; i++) {
        memset(table, 0, 32);
        table[4 * i] = (uint32_t)message(n);
        table[4 * i + 1] = (uint32_t)(message(n) >> 32);
        assert_int_equal(pirq_bind(&dom, n, 9), 0);
        assert_int_equal(vectors, 1);
        pirq_unbind(&dom, n);
        assert_int_equal(vectors, 0);
    }
    assert_int_equal(pci_release_all(&dom), 0);
}

/* A table that does not begin at a page's start, and goes over its end; the pending bits elsewhere. */
TEST(a_table_of_two_pages)
{
    struct sim *s = sim_at(NIC);
    uint32_t n;

    be_guest();
    s->cfg[0x42] = 63;
    memcpy(s->cfg + 0x44, "\x04\x0e\x00\x00\x04\x30\x00\x00", 8); /* BAR 4: 0xe00 to 0x1200; 0x3000 */
    s->cfg[0x34] = 0x40;
    pci_init();
    assert_int_equal(assign_all(NIC), 0);
    struct pci_dev *p = pci_find(NIC);
    assert_int_equal(nr_shared, 3);
    assert_int_equal(shared_at[0].g + 1, shared_at[1].g);
    assert_int_not_equal(shared_at[0].m, shared_at[1].m);
    assert_int_equal(p->msix_count > 33, DEVICE_VECTORS / 5 > 33);
    n = free_number();
    unsigned i = MIN(p->msix_count - 1u, 40u), at = (0xe00 / 16 + i) % 256;
    uint32_t *e = (uint32_t *)p->shadow[(0xe00 / 16 + i) / 256] + 4 * at;
    e[0] = (uint32_t)message(n);
    e[1] = (uint32_t)(message(n) >> 32);
    assert_int_equal(pirq_bind(&dom, n, 9), 0);
    assert_int_equal(((uint32_t *)soft_regs)[4 * i + 2], i); /* where this BAR is */
    nr_shared = 0;                                           /* it took the pages away itself */
    assert_int_equal(pci_release_all(&dom), 0);
    assert_null(p->shadow[1]);
}

TEST(msi)
{
    struct sim *s = msi_device();
    struct bh_pci_info info = { 0 };
    struct bh_pci_cfg c = { .sbdf = MSI, .off = 0x80, .size = 4 };
    int pirq;

    pci_init();
    struct pci_dev *p = pci_find(MSI);
    assert_int_equal(s->cfg[0x82] & 1, 0);
    for (uint32_t i = 0; info.sbdf != MSI; i++)
        assert_int_equal(pci_info(i, NULL, &info), 0);
    assert_int_equal(info.flags & (BH_PCI_MSI | BH_PCI_MSIX), BH_PCI_MSI);
    assert_int_equal(info.irqs, 1);
    assert_int_equal(pci_config_access(&c), 0);
    assert_int_equal(c.value, 0x00800005); /* that it is there and takes 64 bits, nothing else */
    c.off = 0x84;
    assert_int_equal(pci_config_access(&c), 0);
    assert_int_equal(c.value, 0);
    assert_int_equal(assign_all(MSI), 0);
    dom.state = BH_DOM_BUILDING;
    assert_int_equal(map(9 << 3, 1, -1, DOMID_SELF, &pirq), -EINVAL);
    assert_int_equal(map(9 << 3, 0, -1, DOMID_SELF, &pirq), 0);
    assert_int_equal(pirq_bind(&dom, (uint32_t)pirq, 9), 0);
    assert_int_equal(get32(s, 0x84), 0xfee00000);
    assert_int_equal(get32(s, 0x88), 0);
    assert_int_equal(get32(s, 0x8c) & 0xffff, 0);
    assert_int_equal(pci_dma_enable(&dom, MSI, true), 0);
    assert_int_equal(s->cfg[0x82], 0x81);

    /* A flood: nothing masks, so the IOMMU cuts it at once; let in again, its owner gets an event for what was lost. */
    shim_now_ns = 7 * NS_PER_MS + 5;
    masks = routes = raised = 0;
    for (unsigned i = 0; i < 1000; i++)
        irq_handler(&p->route[0]);
    assert_int_equal(raised, 64);
    assert_int_equal(masks, 1);
    assert_int_equal(p->nr_cut, 1);
    next_ms(p);
    assert_int_equal(p->nr_cut, 0);
    assert_int_equal(routes, 1);
    assert_int_equal(raised, 65);
    assert_int_equal(s->cfg[0x82], 0x81);

    assert_int_equal(pci_dma_enable(&dom, MSI, false), 0);
    assert_int_equal(s->cfg[0x82] & 1, 0);
    pirq_unbind(&dom, (uint32_t)pirq);
    assert_int_equal(vectors, 0);
    assert_int_equal(pci_release_all(&dom), 0);
}

TEST(a_guests_msi)
{
    struct sim *s = msi_device();
    uint32_t n;

    be_guest();
    pci_init();
    assert_int_equal(assign_all(MSI), 0);
    assert_int_equal(nr_shared, 0);
    n = free_number();
    assert_int_equal(pirq_bind(&dom, n, 9), -EINVAL);
    assert_int_equal(set(MSI, BH_PCI_SET_MSI, 1, message(n)), 0);
    assert_int_equal(pirq_bind(&dom, n, 9), 0);
    assert_int_equal(set(MSI, BH_PCI_SET_MASTER, 1, 0), 0);
    assert_int_equal(s->cfg[0x82], 0x81);
    assert_int_equal(get32(s, 0x84), 0xfee00000); /* not the guest's */
    irq_handler(irq_arg);
    assert_int_equal(raised_port, 9);
    pirq_unbind(&dom, n);
    assert_int_equal(s->cfg[0x82] & 1, 0);
    assert_int_equal(set(MSI, BH_PCI_SET_MSI, 0, 0), 0);
    assert_int_equal(pirq_bind(&dom, n, 9), -EINVAL);
    assert_int_equal(set(MSI, BH_PCI_SET_MSI, 2, 0), -EINVAL);
    pci_find(MSI)->cap_msi = 0;
    assert_int_equal(set(MSI, BH_PCI_SET_MSI, 1, 0), -EOPNOTSUPP);
    assert_int_equal(pci_release_all(&dom), 0);
}

/* One that has MSI-X, too: one at a time, and which it is counts for everything. */
TEST(a_guests_msi_or_msix)
{
    struct sim *s = sim_at(NIC);
    uint32_t n, m;

    be_guest();
    s->wmask[0x76] = 0x71;
    memset(s->wmask + 0x78, 0xff, 8);
    pci_init();
    struct pci_dev *p = pci_find(NIC);
    assert_int_equal(assign_all(NIC), 0);
    assert_int_equal(set(NIC, BH_PCI_SET_MASTER, 1, 0), 0);
    volatile uint32_t *table = p->shadow[0];
    n = free_number();
    table[4] = (uint32_t)message(n), table[5] = message(n) >> 32;
    assert_int_equal(pirq_bind(&dom, n, 9), 0);
    assert_int_equal(s->cfg[0x43], 0x80);
    m = free_number();
    assert_int_equal(set(NIC, BH_PCI_SET_MSI, 1, message(m)), 0);
    assert_int_equal(vectors, 0);
    assert_int_equal(s->cfg[0x43], 0x40); /* off; else it would go on by that */
    assert_int_equal(s->cfg[0x76] & 1, 0);
    assert_int_equal(pirq_bind(&dom, n, 9), -EINVAL);
    assert_int_not_equal(free_number(), n); /* it stands in the table still */
    assert_int_equal(pirq_bind(&dom, m, 10), 0);
    assert_int_equal(s->cfg[0x76] & 1, 1);
    assert_int_equal(get32(s, 0x78), 0xfee00000);
    assert_int_equal(set(NIC, BH_PCI_SET_PIRQ, 1, 0), -EINVAL);
    irq_handler(irq_arg);
    assert_int_equal(raised_port, 10);
    /* A flood is cut, as of any MSI. */
    shim_now_ns = 7 * NS_PER_MS + 5;
    masks = 0;
    for (unsigned i = 0; i < 1000; i++)
        irq_handler(&p->route[0]);
    assert_int_equal(masks, 1);
    next_ms(p);
    assert_int_equal(s->cfg[0x76] & 1, 1);
    assert_int_equal(set(NIC, BH_PCI_SET_MSI, 1, message(m)), 0); /* once more: nothing ends */
    assert_int_equal(vectors, 1);
    assert_int_equal(set(NIC, BH_PCI_SET_MASTER, 0, 0), 0);
    assert_int_equal(s->cfg[0x76] & 1, 0);
    assert_int_equal(set(NIC, BH_PCI_SET_MASTER, 1, 0), 0);
    assert_int_equal(s->cfg[0x76] & 1, 1);
    assert_int_equal(set(NIC, BH_PCI_SET_MSI, 0, 0), 0);
    assert_int_equal(vectors, 0);
    assert_int_equal(s->cfg[0x76] & 1, 0);
    assert_int_equal(s->cfg[0x43], 0x80);
    assert_int_equal(pirq_bind(&dom, n, 9), 0);
    assert_int_equal(set(NIC, BH_PCI_SET_MSI, 1, 0), 0);
    assert_int_equal(pci_soft_reset(&dom), 0); /* the next kernel, */
    assert_int_equal(pirq_bind(&dom, n, 9), 0);
    assert_int_equal(set(NIC, BH_PCI_SET_MSI, 1, 0), 0);
    assert_int_equal(pci_release_all(&dom), 0); /* and the next owner begin as the first did */
    assert_false(p->by_msi);
    assert_int_equal(vectors, 0);
}

TEST(what_a_guest_asks_for)
{
    be_guest();
    msi_device();
    pci_init();
    assert_int_equal(set(NIC, BH_PCI_SET_MASTER, 1, 0), -ENODEV);
    assert_int_equal(assign_all(NIC), 0);
    assert_int_equal(set_of(other.id, NIC, BH_PCI_SET_MASTER, 1, 0), -ENODEV);
    assert_int_equal(set(NIC, 4, 1, 0), -EINVAL);
    assert_int_equal(set(NIC, BH_PCI_SET_MASTER, 2, 0), -EINVAL);
    dom.role = BH_ROLE_DRIVER; /* pciback has nothing to do with our own drivers */
    assert_int_equal(set(NIC, BH_PCI_SET_MASTER, 1, 0), -ENODEV);
    assert_int_equal(set(NIC, BH_PCI_SET_RESET, 0, 0), -ENODEV);
    dom.role = BH_ROLE_GUEST;
    dom.state = BH_DOM_CRASHED;
    assert_int_equal(set(NIC, BH_PCI_SET_MASTER, 1, 0), -ENODEV);
    dom.state = BH_DOM_RUNNING;

    soft_regs[0x14] = 1; /* it runs already, and nobody knows what */
    assert_int_equal(set(NIC, BH_PCI_SET_MASTER, 1, 0), -EBUSY);
    soft_regs[0x14] = 0;
    trace[0] = 0;
    assert_int_equal(set(NIC, BH_PCI_SET_MASTER, 1, 0), 0);
    assert_string_equal(trace, "AM");
    assert_int_equal(set(NIC, BH_PCI_SET_MASTER, 1, 0), 0);
    assert_string_equal(trace, "AM");
    assert_int_equal(set(NIC, BH_PCI_SET_MASTER, 0, 0), 0);
    assert_string_equal(trace, "AMmB");
    assert_int_equal(set(NIC, BH_PCI_SET_MASTER, 0, 0), 0);
    assert_string_equal(trace, "AMmB");
    soft_regs[0x14] = 15; /* its driver had started it, and goes on */
    assert_int_equal(set(NIC, BH_PCI_SET_MASTER, 1, 0), 0);

    /* A reset takes its time, and pciback is not to wait for it. */
    assert_int_equal(assign_all(MSI), 0);
    assert_int_equal(set(MSI, BH_PCI_SET_MASTER, 1, 0), 0);
    trace[0] = 0;
    assert_int_equal(set(MSI, BH_PCI_SET_RESET, 0, 0), 1);
    assert_string_equal(trace, "mB");
    assert_int_equal(set(MSI, BH_PCI_SET_MASTER, 1, 0), -EBUSY);
    assert_int_equal(set(MSI, BH_PCI_SET_RESET, 0, 0), 1);
    struct bh_pci_cfg c = { .sbdf = MSI, .off = 0x3c, .size = 1, .write = 1, .value = 5 };
    assert_int_equal(pci_config_access(&c), 0); /* nobody touches it meanwhile */
    assert_int_equal(sim_at(MSI)->cfg[0x3c], 0);
    c = (struct bh_pci_cfg){ .sbdf = MSI, .off = 2, .size = 2 };
    assert_int_equal(pci_config_access(&c), 0);
    assert_int_equal(c.value, 0xffff);
    shim_now_ns += 100 * NS_PER_MS;
    c = (struct bh_pci_cfg){ .sbdf = MSI, .size = 4 };
    put32(sim_at(MSI), 0x10, 0); /* as a reset leaves it */
    assert_int_equal(pci_config_access(&c), 0);
    assert_int_equal(get32(sim_at(MSI), 0x10), 0xfe004000);
    assert_int_equal(set(MSI, BH_PCI_SET_MASTER, 1, 0), 0);
    assert_int_equal(pci_release_all(&dom), 0);
}

/* What permissive=1 lets through, and what it does not. */
TEST(permissive)
{
    struct sim *s = msi_device();
    uint8_t before[256];
    uint32_t v;
    int rc;

    be_guest();
    put32(s, 0xe0, 0x12345678); /* its own; behind its capabilities */
    memset(s->wmask + 0xe0, 0xff, 4);
    pci_init();
    assert_int_equal(pci_assign(&dom, NORST, 0, false), -EOPNOTSUPP);
    assert_int_equal(pci_assign(&dom, NORST, 0, true), 0);
    while ((rc = pci_assign(&dom, MSI, 0, true)) == HC_AGAIN)
        shim_now_ns += NS_PER_MS;
    assert_int_equal(rc, 0);
    dom.state = BH_DOM_RUNNING;
    assert_int_equal(set(NORST, BH_PCI_SET_MASTER, 1, 0), 0); /* nobody knows what it does */
    assert_int_equal(set(NORST, BH_PCI_SET_RESET, 0, 0), -EOPNOTSUPP);
    cfg_rd(MSI, 0xe0, 4, &v);
    assert_int_equal(v, 0x12345678);
    assert_int_equal(cfg_wr(MSI, 0xe1, 1, 0xaa), 0);
    assert_int_equal(get32(s, 0xe0), 0x1234aa78);
    memcpy(before, s->cfg, sizeof before);
    for (unsigned off = 0x10; off < 0x98; off += 4) /* BARs, MSI, the FLR bit: never */
        assert_int_equal(off == 0x3c ? 0 : cfg_wr(MSI, off, 4, ~0u), 0);
    assert_memory_equal(before, s->cfg, sizeof before);
    assert_int_equal(pci_release_all(&dom), 0);
    cfg_rd(MSI, 0xe0, 4, &v);
    assert_int_equal(v, 0); /* the next owner is another */
}

/* A ROM of 256 KiB at an address that firmware chose; behind whatever bits firmware left on. */
static struct sim *rom(struct sim *s, uint32_t value)
{
    put32(s, 0x30, value);
    memcpy(s->wmask + 0x30, "\x01\x00\xfc\xff", 4);
    return s;
}

TEST(option_rom)
{
    struct sim *s = rom(msi_device(), 0xfd040001);
    uint32_t v;

    be_guest();
    pci_init();
    const struct bh_pci_bar *b = &pci_find(MSI)->bar[BH_PCI_ROM];
    assert_int_equal(b->size, 0x40000);
    assert_int_equal(get32(s, 0x30), 0xfd040000);
    assert_int_equal(cfg_wr(MSI, 0x30, 4, ~0u), 0); /* nobody's yet */
    assert_int_equal(get32(s, 0x30), 0xfd040000);
    assert_int_equal(assign_all(MSI), 0);
    assert_int_equal(nr_leaves, 1 + 64);
    assert_true(b->gpa >= BH_BARS && !(b->gpa & (b->size - 1)));
    for (unsigned i = 1; i < nr_leaves; i++) {
        assert_int_equal(leaf[i].g - leaf[1].g, i - 1);
        assert_int_equal(leaf[i].m, 0xfd040 + i - 1);
    }
    cfg_rd(MSI, 0x30, 4, &v);
    assert_int_equal(v, b->gpa);
    assert_int_equal(cfg_wr(MSI, 0x30, 4, ~0u), 0); /* on is all that it may be */
    assert_int_equal(get32(s, 0x30), 0xfd040001);
    cfg_rd(MSI, 0x30, 4, &v);
    assert_int_equal(v, b->gpa | 1);
    assert_int_equal(cfg_wr(MSI, 0x31, 1, 0), 0);
    assert_int_equal(get32(s, 0x30), 0xfd040001);
    assert_int_equal(cfg_wr(MSI, 0x30, 1, 0), 0);
    assert_int_equal(get32(s, 0x30), 0xfd040000);
    assert_int_equal(cfg_wr(MSI, 0x30, 1, 1), 0);
    while (set(MSI, BH_PCI_SET_RESET, 0, 0))
        shim_now_ns += NS_PER_MS;
    assert_int_equal(get32(s, 0x30), 0xfd040000); /* the BARs decode again */
    assert_int_equal(pci_release_all(&dom), 0);
    assert_int_equal(nr_leaves, 0);
}

/* Whoever has the device next finds it off, also where nothing resets it: its BARs may not decode with it. */
TEST(option_rom_is_off_for_the_next)
{
    struct sim *s = rom(msi_device(), 0xfd040001);

    be_guest();
    pci_init();
    assert_int_equal(assign_all(MSI), 0);
    pci_find(MSI)->reset = PCI_RESET_NONE;
    assert_int_equal(cfg_wr(MSI, 0x30, 1, 1), 0);
    dom.state = BH_DOM_SHUTDOWN;
    while (pci_soft_reset(&dom))
        shim_now_ns += NS_PER_MS;
    assert_int_equal(get32(s, 0x30), 0xfd040000);
    dom.state = BH_DOM_RUNNING;
    assert_int_equal(cfg_wr(MSI, 0x30, 1, 1), 0);
    dom.state = BH_DOM_DYING;
    assert_int_equal(pci_release_all(&dom), 0);
    assert_int_equal(get32(s, 0x30), 0xfd040000);
}

/* Of a driver domain of ours, and where something else lies or the core looks for trouble: the device is given, its ROM is not. */
TEST(option_rom_that_nobody_sees)
{
    static const uint32_t where[] = { 0xfd040000, 0xfffc0000, 0x00040000,
                                      0x00140000, 0xfe000000, 0xfe140000 };

    rom(msi_device(), where[0]);
    struct sim *s = rom(dev(0, 10, 0, 0x66668086, 0x020000, 0), 0xfe140000);
    pci_init();
    struct pci_dev *p = pci_find(MSI);
    for (unsigned i = 0; i < ARRAY_SIZE(where); i++) {
        p->bar[BH_PCI_ROM].base = where[i];
        assert_int_equal(assign_all(MSI), 0);
        assert_int_equal(p->bar[BH_PCI_ROM].gpa, 0);
        assert_int_equal(nr_leaves, 1);
        assert_int_equal(cfg_wr(MSI, 0x30, 4, ~0u), 0);
        assert_int_equal(get32(sim_at(MSI), 0x30), where[i]);
        dom.state = BH_DOM_DYING;
        assert_int_equal(pci_release_all(&dom), 0);
        be_guest();
    }
    assert_int_equal(get32(s, 0x30), 0xfe140000);
    assert_int_equal(p->given, ARRAY_SIZE(where));
}

/* The next kernel of a guest: no DMA of the old one's, and devices as new. */
TEST(soft_reset_takes_dma)
{
    be_guest();
    msi_device();
    pci_init();
    assert_int_equal(pci_soft_reset(&dom), 0);
    assert_int_equal(assign_all(MSI), 0);
    assert_int_equal(assign_all(NIC), 0);
    assert_int_equal(set(NIC, BH_PCI_SET_MASTER, 1, 0), 0);
    assert_int_equal(set(MSI, BH_PCI_SET_MASTER, 1, 0), 0);
    assert_int_equal(set(MSI, BH_PCI_SET_MSI, 1, message(PIRQ_MESSAGE)), 0);
    soft_regs[0x14] = 15;
    trace[0] = 0;
    dom.state = BH_DOM_SHUTDOWN;
    assert_int_equal(pci_soft_reset(&dom), HC_AGAIN);
    assert_string_equal(trace, "mBmB"); /* all of them, before any is waited for */
    shim_now_ns += 100 * NS_PER_MS;
    assert_int_equal(pci_soft_reset(&dom), 0);
    assert_string_equal(trace, "mBmB");
    assert_int_equal(soft_regs[0x14], 0);
    assert_int_equal(pci_soft_reset(&dom), 0);
    dom.state = BH_DOM_RUNNING;
    soft_regs[0x14] = 15; /* what it does now, a driver of the new kernel has to end first */
    assert_int_equal(set(NIC, BH_PCI_SET_MASTER, 1, 0), -EBUSY);
    assert_int_equal(pirq_bind(&dom, PIRQ_MESSAGE, 9), -EINVAL);
    assert_int_equal(pci_release_all(&dom), 0);
}

/* Another CPU holds pci_lock for as long as a reset takes: who has no device does not wait for it. */
TEST(no_device_no_lock)
{
    struct physdev_get_free_pirq f = { .type = MAP_PIRQ_TYPE_MSI };
    struct physdev_unmap_pirq u = { .domid = DOMID_SELF, .pirq = 16 };
    struct physdev_eoi e = { .irq = 16 };
    struct bh_pci_info i;
    int pirq;

    pci_init();
    spin_lock(&pci_lock);
    alarm(20); /* if it does */
    assert_int_equal(map(3 << 3, 0, -1, DOMID_SELF, &pirq), -ENODEV);
    assert_int_equal(do_physdev_op(PHYSDEVOP_get_free_pirq, GADDR((uint64_t)&f)), -ENOSPC);
    assert_int_equal(do_physdev_op(PHYSDEVOP_unmap_pirq, GADDR((uint64_t)&u)), -EINVAL);
    assert_int_equal(do_physdev_op(PHYSDEVOP_eoi, GADDR((uint64_t)&e)), -EINVAL);
    assert_int_equal(pirq_bind(&dom, 16, 1), -EINVAL);
    pirq_unbind(&dom, 16);
    assert_int_equal(pci_dma_enable(&dom, NIC, true), -ENODEV);
    assert_int_equal(pci_info(0, &dom, &i), -ENOENT);
    alarm(0);
    spin_unlock(&pci_lock);
}

TEST(info)
{
    struct bh_pci_info i;
    unsigned n = 0;

    pci_init();
    assert_int_equal(pci_assign(&dom, NIC, 0, false), 0);
    while (!pci_info(n, NULL, &i))
        n++;
    assert_int_equal(n, nr_sims);
    assert_int_equal(pci_info(~0u, NULL, &i), -ENOENT);
    assert_int_equal(pci_info(0, &dom, &i), 0);
    assert_int_equal(i.sbdf, NIC);
    assert_int_equal(i.domid, 3);
    assert_int_equal(i.flags, BH_PCI_HIDDEN | BH_PCI_IOMMU | BH_PCI_MSIX | BH_PCI_MSI);
    assert_int_equal(i.virtio.common, i.bar[4].gpa);
    assert_int_equal(i.virtio.common_len, 0x1000);
    assert_int_equal(i.virtio.notify, i.bar[4].gpa + 0x3000);
    assert_int_equal(i.virtio.notify_len, 0x1000);
    assert_int_equal(i.virtio.notify_mult, 4);
    assert_int_equal(i.virtio.isr | i.virtio.device,
                     0); /* outside of its BAR; shares a page with the vectors */
    assert_int_equal(pci_info(1, &dom, &i), -ENOENT);
    assert_int_equal(pci_info(0, &other, &i), -ENOENT);
    assert_int_equal(pci_release_all(&dom), 0);
}
