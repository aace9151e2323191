/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/core_harness.c hv/abi/control.c hv/abi/control_info.c hv/abi/control_sched.c hv/abi/memory_op.c
// LINK: hv/abi/privilege.c hv/abi/service.c
/* The calls of control_harness.h, and above what is linked with them. */
#include "control_harness.h"

const struct iommu_ops *iommu_ops;
struct pci_dev *pci_devices;
int debug_press(const char *keys, size_t n) { return 0; }
__attribute__((weak)) size_t log_read(uint64_t *pos, char *buf, size_t n) { return 0; }

struct domain *ctl, *store, *svc, *guest;
void machine_of_two(uint32_t store_flags, uint64_t store_pages)
{
    machine_setup(NULL);
    ctl = make(0, BH_ROLE_CONTROL, 0, 1, 16);
    start(ctl);
    store = make(1, BH_ROLE_STORE, store_flags, 1, store_pages);
}
long ctl_op(unsigned op, void *arg)
{
    as(ctl);
    return do_control_op(op, PTR(arg));
}
long ctl_whole(unsigned op, void *arg)
{
    long rc;
    while ((rc = ctl_op(op, arg)) == HC_AGAIN)
        ;
    return rc;
}
long ctl_protect(struct domain *d, uint64_t gfn, uint64_t nr)
{
    return ctl_op(BH_CTL_PROTECT, &(struct bh_protect){ .domid = d->id, .gfn = gfn, .nr = nr });
}
long ctl_restart(struct domain *d, uint32_t flags)
{
    return ctl_op(BH_CTL_RESTART, &(struct bh_restart){ .domid = d->id, .flags = flags });
}
void build(struct domain *d, uint64_t console_gfn, uint64_t store_gfn)
{
    struct bh_setup_rings r = { .domid = d->id,
                                .console_domid = ctl->id,
                                .store_domid = store->id,
                                .console_gfn = console_gfn,
                                .store_gfn = store_gfn };
    struct bh_entry e = { .domid = d->id, .eip = 0x100000, .ebx = 0x1000 };
    if (!d->rings)
        assert_int_equal(ctl_op(BH_CTL_SETUP_RINGS, &r), 0);
    assert_int_equal(ctl_op(BH_CTL_SET_ENTRY, &e), 0);
    assert_int_equal(ctl_op(BH_CTL_UNPAUSE, &(struct bh_domid){ .domid = d->id }), 0);
    assert_int_equal(d->state, BH_DOM_RUNNING);
}
long grant_op(struct domain *by, unsigned cmd, void *arg)
{
    as(by);
    return do_grant_table_op(cmd, PTR(arg), 1);
}
uint32_t map(struct domain *by, domid_t dom, uint32_t ref, uint64_t gfn, uint32_t flags)
{
    struct gnttab_map_grant_ref op = {
        .host_addr = gfn << 12, .flags = GNTMAP_host_map | flags, .ref = ref, .dom = dom
    };
    assert_int_equal(grant_op(by, GNTTABOP_map_grant_ref, &op), 0);
    assert_int_equal(op.status, 0);
    return op.handle;
}
void unmap(struct domain *by, uint32_t handle, uint64_t gfn)
{
    struct gnttab_unmap_grant_ref op = { .host_addr = gfn << 12, .handle = handle };
    assert_int_equal(grant_op(by, GNTTABOP_unmap_grant_ref, &op), 0);
    assert_int_equal(op.status, 0);
}
uint32_t bind(struct domain *d, domid_t remote, uint32_t rport)
{
    struct evtchn_bind_interdomain x = { .remote_dom = remote, .remote_port = rport };
    as(d);
    assert_int_equal(do_event_channel_op(EVTCHNOP_bind_interdomain, PTR(&x)), 0);
    return x.local_port;
}
mfn_t frame_of(struct domain *d, uint64_t gfn)
{
    enum p2m_type t;
    return p2m_lookup(d, GFN(gfn), &t);
}
enum p2m_type type_of(struct domain *d, uint64_t gfn)
{
    enum p2m_type t;
    (void)p2m_lookup(d, GFN(gfn), &t);
    return t;
}
