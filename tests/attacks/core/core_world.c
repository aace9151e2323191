/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/control_harness.c
/* The calls of core_world.h, and above what is linked with them. */
#include "core_world.h"

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
long one_page(struct domain *d, unsigned op, uint64_t gfn)
{
    xen_pfn_t g = gfn;
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    r.extent_start.p = (void *)&g;
    as(d);
    return do_memory_op(op, PTR(&r));
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
void machine(unsigned pages)
{
    machine_of_two(BH_CREATE_RESTARTABLE, 64);
    guest = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 1, pages);
    build(guest, 2, 3);
}
struct domain *driver(void)
{
    struct domain *d = make(3, BH_ROLE_DRIVER, BH_CREATE_RESTARTABLE, 1, 512);
    start(d);
    return d;
}
