/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/own_pointers.c hv/pci/pci.c hv/pci/table.c hv/pci/enum.c hv/pci/group.c hv/pci/reset.c hv/pci/assign.c hv/pci/guest.c
// LINK: hv/pci/trial.c hv/pci/pirq.c hv/arch/irq.c hv/mem/npt.c
/* pci_world.h. */
#include "pci_world.h"

struct acpi_info acpi_info;
struct boot_info boot_info;
struct cmdline cmdline;
const struct iommu_ops *iommu_ops;
struct domain *control_domain;
struct fn fns[16];
static unsigned nr_fns;
static struct fn *fn_at(uint32_t sbdf)
{
    for (unsigned i = 0; i < nr_fns; i++)
        if (fns[i].sbdf == sbdf)
            return &fns[i];
    return NULL;
}
static uint32_t hw_read(uint32_t sbdf, unsigned off, unsigned size)
{
    struct fn *f = fn_at(sbdf);
    uint32_t v = ~0u;
    if (f)
        memcpy(&v, f->cfg + off, size);
    return size == 4 ? v : v & ((1u << 8 * size) - 1);
}
static void hw_write(uint32_t sbdf, unsigned off, unsigned size, uint32_t v)
{
    struct fn *f = fn_at(sbdf);
    for (unsigned i = 0; f && i < size; i++, v >>= 8)
        f->cfg[off + i] = (uint8_t)((f->cfg[off + i] & ~f->wmask[off + i]) | (v & f->wmask[off + i]));
}
static const struct pci_hw sim_hw = { "simulation", hw_read, hw_write, 256 };
const struct pci_hw *pci_hw = &sim_hw;
void pci_hw_init(void) {}
uint32_t pci_read(struct pci_dev *p, unsigned off, unsigned size)
{
    return off + size <= 256 ? hw_read(p->sbdf, off, size) : ~0u;
}
void pci_write(struct pci_dev *p, unsigned off, unsigned size, uint32_t v)
{
    if (off + size <= 256)
        hw_write(p->sbdf, off, size, v);
}

struct fn *new_fn(unsigned slot, uint32_t id, uint32_t class, uint8_t header)
{
    struct fn *f = &fns[nr_fns++];
    *f = (struct fn){ .sbdf = BH_SBDF(0, 0, slot, 0) };
    memcpy(f->cfg, &id, 4);
    class <<= 8;
    memcpy(f->cfg + 8, &class, 4);
    f->cfg[4] = 7;
    f->cfg[0xe] = header;
    memcpy(f->wmask + 4, "\xff\x07", 2);
    return f;
}
void put_bar(struct fn *f, unsigned i, uint32_t base, uint32_t size)
{
    uint32_t mask = ~(size - 1);
    memcpy(f->cfg + 0x10 + 4 * i, &base, 4);
    memcpy(f->wmask + 0x10 + 4 * i, &mask, 4);
}
unsigned put_cap(struct fn *f, const void *bytes, unsigned n)
{
    unsigned at = 0x40 + 0x20 * f->caps++;
    memcpy(f->cfg + at, bytes, n);
    f->cfg[6] = 0x10;
    f->cfg[at + 1] = f->cfg[0x34];
    f->cfg[0x34] = (uint8_t)at;
    return at;
}
void put_flr(struct fn *f)
{
    put_cap(f, "\x13\0\6\3\0\0", 6);
} /* advanced features: function level reset */
void put_msix(struct fn *f, unsigned entries, unsigned bar, uint32_t table, uint32_t pba)
{
    uint8_t c[12] = { 0x11, 0, (uint8_t)(entries - 1), (uint8_t)((entries - 1) >> 8) };
    table |= bar, pba |= bar;
    memcpy(c + 4, &table, 4);
    memcpy(c + 8, &pba, 4);
    unsigned at = put_cap(f, c, 12);
    f->wmask[at + 3] = 0xc0;
}

/* --- device memory --- */
char *last_map;
uint64_t last_map_len, last_map_asked;
void *mmio_map(maddr_t m, uint64_t len)
{
    uint64_t off = m.v & (PAGE_SIZE - 1), size = ROUND_UP(off + len, PAGE_SIZE);
    char *p = mmap(NULL, size + 64 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(p, size, PROT_READ | PROT_WRITE);
    last_map = p + off;
    last_map_len = size - off;
    last_map_asked = len;
    return last_map;
}

/* --- IOMMU --- */
unsigned masked, routed;
static int w_attach(struct pci_dev *p, struct iommu_domain *dm) { return 0; }
static void w_block(struct pci_dev *p, struct iommu_domain *dm) {}
static void w_flush(struct iommu_domain *dm) {}
static int w_route(struct pci_dev *p, unsigned i, uint8_t vec, uint32_t apic, uint64_t *a,
                   uint32_t *data)
{
    routed++;
    *a = 0xfee00000;
    *data = i;
    return 0;
}
static void w_mask(struct pci_dev *p, unsigned i) { masked++; }
static void w_mask_all(struct pci_dev *p) { masked++; }
static bool w_owns(uint64_t b, uint64_t s) { return false; }
void iommu_expect(uint16_t unit, uint16_t device) {}
static struct iommu_trial w_tried = { .state = TRIAL_PASSED };
static struct iommu_trial *w_trial(struct iommu *u) { return &w_tried; }
static const struct iommu_ops w_ops = {
    .attach = w_attach,
    .block = w_block,
    .flush = w_flush,
    .clear = w_flush,
    .irq_route = w_route,
    .irq_mask = w_mask,
    .irq_mask_all = w_mask_all,
    .owns = w_owns,
    .trial = w_trial,
};
void iommu_claim(struct pci_dev *p)
{
    if (!pci_is_platform_core(p))
        p->iommu = (struct iommu *)&w_ops;
}
struct iommu_domain *iommu_domain_create(struct domain *d)
{
    struct iommu_domain *x = calloc(1, sizeof *x);
    x->domain = d;
    return x;
}
void iommu_domain_free(struct iommu_domain *dm) { free(dm); }
int iommu_fill(struct iommu_domain *dm) { return 0; }
void iommu_watch(void) {}

/* --- the rest of the core --- */
struct domain dom[4];
static struct vcpu vcpus[4];
unsigned events;
struct cpu *evtchn_pirq(struct domain *d, uint32_t port)
{
    events++;
    return NULL;
}
struct domain *domain_get(domid_t id) { return id < 4 ? &dom[id] : NULL; }
void domain_put(struct domain *d) {}
void apic_send_ipi(uint32_t cpu, uint8_t v) {}
void apic_eoi(void) {}
void print_deferred(void) {}
struct frame *mfn_to_frame(mfn_t m) { return NULL; }
bool frame_get(mfn_t m, uint16_t o) { return false; }
void frame_put(mfn_t m) {}
void frame_put_block(mfn_t m, unsigned order) {}

void world(void)
{
    iommu_ops = &w_ops;
    boot_info.nr_ram = 1;
    boot_info.ram[0] = (struct boot_range){ 0x100000, 0x80000000 };
    for (unsigned i = 0; i < 4; i++) {
        dom[i].id = (domid_t)i;
        dom[i].state = BH_DOM_BUILDING;
        dom[i].max_pages = 16384;
        dom[i].refs = 1;
        dom[i].nr_vcpus = 1;
        dom[i].vcpu[0] = &vcpus[i];
        vcpus[i].domain = &dom[i];
        vcpus[i].cpu = this_cpu();
        EXPECT(p2m_init(&dom[i]) == 0);
    }
    this_cpu()->current = &vcpus[3];
}
void boot(void)
{
    for (unsigned i = 0; i < nr_fns; i++)
        cmdline.hide[cmdline.nr_hide++] = fns[i].sbdf;
    pci_init();
}
int assign(struct domain *d, uint32_t sbdf, uint64_t gpa)
{
    int rc;
    while ((rc = pci_assign(d, sbdf, gpa, false)) == HC_AGAIN)
        shim_now_ns += NS_PER_MS;
    return rc;
}
int deassign(struct domain *d, uint32_t sbdf)
{
    int rc;
    while ((rc = pci_deassign(d, sbdf)) == HC_AGAIN)
        shim_now_ns += NS_PER_MS;
    return rc;
}
