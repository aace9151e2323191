/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/control_harness.c hv/pci/iommu/iommu.c hv/pci/iommu/amdvi_pt.c
/* A guest with a device that runs and changes its memory: by the real calls, p2m, frames and IOMMU table. At any time its device reaches frames
 * that are the guest's and where the guest has them; none goes back to the machine before the IOMMU has forgotten it. */
#include "control_harness.h"
#include "abi/memory_op.h"
#include "pci/iommu/amdvi.h"
#include "pci/iommu/iommu.h"
#include "pci/pci_int.h"
#include "platform/acpi_info.h"

#define RAM 1024u /* frames; two 2 MiB leaves, if they are there to have */
#define END 4096u /* gfns that it plays with */

struct acpi_info acpi_info;
const struct iommu_ops amdvi_ops;
struct pci_dev *pci_find(uint32_t s) { return NULL; }
bool pci_is_platform_core(const struct pci_dev *p) { return false; }
bool amdvi_init(const void *t) { return true; }

static bool remembered[RAM_FRAMES]; /* what the unit may still use: all that it was told since the last flush */
static int t_init(struct iommu_domain *dom)
{
    dom->root = amdvi_pt_new_for(dom->domain);
    return dom->root ? 0 : -ENOMEM;
}
static void t_free(struct iommu_domain *dom) { core_free_for(dom->domain, dom->root); }
static unsigned flushes;
static void look(void);
static void t_flush(struct iommu_domain *dom)
{
    flushes++;
    look(); /* until here it may use what it remembers: that is the guest's still */
    memset(remembered, 0, sizeof remembered);
}
static const struct iommu_ops ops = { .init_domain = t_init,
                                      .free_domain = t_free,
                                      .map = amdvi_pt_map,
                                      .unmap = amdvi_pt_unmap,
                                      .flush = t_flush,
                                      .clear = amdvi_pt_clear };

/* Every frame that the device can reach is the guest's, and is not free. */
static void look(void)
{
    for (uint64_t m = 0; m < RAM_FRAMES; m++)
        if (remembered[m]) {
            assert_int_equal(mfn_to_frame(MFN(m))->owner, guest->id);
            assert_true(mfn_to_frame(MFN(m))->refs > 0);
        }
}

/* And it is where the guest has it; the unit remembers all of it. */
static unsigned reachable(void)
{
    unsigned n = 0;

    for (uint64_t g = 0; g < END; g++) {
        enum p2m_type t;
        mfn_t m = amdvi_pt_lookup(guest->iommu, GFN(g));
        if (m.v == INVALID_MFN.v)
            continue;
        assert_int_equal(p2m_lookup(guest, GFN(g), &t).v, m.v);
        assert_int_equal(t, P2M_RAM);
        remembered[m.v] = true;
        n++;
    }
    look();
    return n;
}

int setup(void **state)
{
    machine_of_two(BH_CREATE_RESTARTABLE, 64);
    guest = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 2, RAM);
    svc = make(3, BH_ROLE_DRIVER, BH_CREATE_RESTARTABLE, 1, 64);
    iommu_ops = &ops;
    guest->iommu = iommu_domain_create(guest);
    assert_non_null(guest->iommu);
    int rc;
    while ((rc = iommu_fill(guest->iommu)) == HC_AGAIN)
        ;
    assert_int_equal(rc, 0);
    build(svc, 2, 3);
    build(guest, 2, 3);
    memset(remembered, 0, sizeof remembered);
    return 0;
}

static long change(unsigned op, uint64_t gfn)
{
    xen_pfn_t g = gfn;
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    r.extent_start.p = &g;
    as(guest);
    return CALL_OP(memory_op, __HYPERVISOR_memory_op, op, (uint64_t)&r, 0);
}
static long place(unsigned space, uint64_t idx, uint64_t gfn)
{
    struct xen_add_to_physmap a = { .domid = DOMID_SELF, .space = space, .idx = idx, .gpfn = gfn };
    as(guest);
    return do_memory_op(XENMEM_add_to_physmap, PTR(&a));
}

/* The device goes: what the table held is let go. */
static void done(void)
{
    struct iommu_domain *dom = guest->iommu;

    guest->iommu = NULL;
    dom->reserve = 0;
    while (iommu_clear(dom))
        ;
    iommu_domain_free(dom);
}

TEST(given_back_and_taken)
{
    unsigned all = reachable();

    assert_true(all >= RAM - 64);
    assert_int_equal(change(XENMEM_decrease_reservation, 600), 1);
    assert_int_equal(reachable(), all - 1);
    assert_int_equal(flushes, 1);
    assert_int_equal(change(XENMEM_populate_physmap, 600), 1); /* another frame, where it was */
    assert_int_equal(reachable(), all);
    assert_int_equal(change(XENMEM_decrease_reservation, 601), 1);
    assert_int_equal(change(XENMEM_populate_physmap, 3000), 1); /* and where no RAM was */
    assert_int_equal(reachable(), all);
    assert_int_equal(place(XENMAPSPACE_shared_info, 0, 700), 0); /* a page of the core over RAM */
    assert_int_equal(reachable(), all - 1);
    assert_int_equal(place(XENMAPSPACE_grant_table, 0, 701), 0);
    assert_int_equal(reachable(), all - 2);
    /* A frame of another domain's in the place of one of its own: no device reaches it. */
    assert_int_equal(change(XENMEM_decrease_reservation, 702), 1);
    grant_seed(svc, 8, guest->id, 9);
    uint32_t h = map(guest, svc->id, 8, 702, 0);
    assert_true(h != ~0u);
    assert_int_equal(reachable(), all - 3);
    struct gnttab_unmap_grant_ref u = { .host_addr = 702 << PAGE_SHIFT, .handle = h };
    assert_int_equal(grant_op(guest, GNTTABOP_unmap_grant_ref, &u), 0);
    assert_int_equal(u.status, GNTST_okay);
    done();
}

/* Anything in any order; pages that a peer has mapped stay the guest's until that lets go, but its device loses them. */
TEST(any_order)
{
    unsigned seed = 1;

    for (unsigned n = 0; n < 20000; n++) {
        seed = seed * 1103515245 + 12345;
        uint64_t g = 8 + (seed >> 8) % ((n & 1 ? RAM : END) - 8);
        switch (seed >> 24 & 7) {
        case 0:
        case 1:
        case 2: (void)change(XENMEM_decrease_reservation, g); break;
        case 3:
        case 4:
        case 5: (void)change(XENMEM_populate_physmap, g); break;
        case 6: (void)place(XENMAPSPACE_shared_info, 0, g); break;
        default: (void)place(XENMAPSPACE_grant_table, seed >> 20 & 1, g); break;
        }
        if (n % 50 == 0)
            (void)reachable();
    }
    (void)reachable();
    assert_true(flushes > 1000);
    done();
}
