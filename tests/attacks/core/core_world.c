/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/core_harness.c hv/abi/control.c hv/abi/control_info.c hv/abi/memory_op.c hv/abi/privilege.c
/* The calls of core_world.h, and above what is linked with them. */
#include "core_world.h"

const struct iommu_ops *iommu_ops;
struct pci_dev *pci_devices;
void console_claim(bool claim) {}
size_t log_read(uint64_t *pos, char *buf, size_t n) { return 0; }

struct domain *ctl, *store, *guest;
unsigned long free_frames(void)
{
    struct frame_stats s;
    frame_get_stats(&s);
    return (unsigned long)s.free;
}
void fill_machine(unsigned long left)
{
    as(ctl);
    while (free_frames() > left)
        EXPECT(core_alloc(0));
}
long ctl_op(unsigned op, void *arg)
{
    as(ctl);
    return do_control_op(op, PTR(arg));
}
long one_page(struct domain *d, unsigned op, uint64_t gfn)
{
    xen_pfn_t g = gfn;
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    r.extent_start.p = (void *)&g;
    as(d);
    return do_memory_op(op, PTR(&r));
}
long grant_op(struct domain *by, unsigned cmd, void *arg)
{
    as(by);
    return do_grant_table_op(cmd, PTR(arg), 1);
}
int16_t map_grant(struct domain *by, domid_t dom, uint32_t ref, uint64_t gfn, uint32_t *handle)
{
    struct gnttab_map_grant_ref op = {
        .host_addr = gfn << 12, .flags = GNTMAP_host_map, .ref = ref, .dom = dom
    };
    EXPECT(grant_op(by, GNTTABOP_map_grant_ref, &op) == 0);
    *handle = op.handle;
    return op.status;
}
enum p2m_type type_of(struct domain *d, uint64_t gfn)
{
    enum p2m_type t;
    (void)p2m_lookup(d, GFN(gfn), &t);
    return t;
}
void machine(unsigned pages)
{
    void *state = NULL;
    machine_setup(&state);
    ctl = make(0, BH_ROLE_CONTROL, 0, 1, 16);
    start(ctl);
    store = make(1, BH_ROLE_STORE, BH_CREATE_RESTARTABLE, 1, 64);
    guest = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 1, pages);
    struct bh_setup_rings r = {
        .domid = guest->id, .console_domid = 0, .store_domid = 1, .console_gfn = 2, .store_gfn = 3
    };
    struct bh_entry e = { .domid = guest->id, .eip = 0x100000, .ebx = 0x1000 };
    struct bh_domid i = { .domid = guest->id };
    EXPECT(ctl_op(BH_CTL_SETUP_RINGS, &r) == 0 && ctl_op(BH_CTL_SET_ENTRY, &e) == 0 &&
           ctl_op(BH_CTL_UNPAUSE, &i) == 0);
}
