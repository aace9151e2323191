/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls with random arguments. Left out is only what ends or blinds the test itself: shutdown, block, poll and
 * watchdog, taking its vCPU down or its vcpu_info elsewhere, closing its own first ports, giving away its own low frames,
 * writing to the machine's console. The seed on the console repeats a run.
 */
#include "hostile.h"
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

static const unsigned open_calls[] = {
    __HYPERVISOR_memory_op,        __HYPERVISOR_xen_version,    __HYPERVISOR_grant_table_op,
    __HYPERVISOR_vcpu_op,          __HYPERVISOR_sched_op,       __HYPERVISOR_event_channel_op,
    __HYPERVISOR_event_channel_op, __HYPERVISOR_grant_table_op, __HYPERVISOR_physdev_op,
    __HYPERVISOR_hvm_op,           BH_HYPERCALL_CONTROL,        BH_HYPERCALL_SERVICE,
};

/* Numbers that are interesting, and never small enough to be a frame of this program (0x9 to 0x3ff). */
static uint64_t odd(void)
{
    uint64_t r = rnd();

    switch (r % 10) {
    case 0: return 0;
    case 1: return ~0ul;
    case 2: return r >> 60 & 7;
    case 3: return (uint64_t)scratch + (r >> 40) % SCRATCH_USED;
    case 4: return HOLE + (r >> 40);
    case 5: return DOMID_SELF | (r & 0xffffffff0000);
    case 6: return 1ul << (r >> 32) % 64;
    case 7: return (r >> 32) | 0x1000000;
    default: return r | 0x10000000000;
    }
}

static uint64_t pointer(void)
{
    uint64_t r = rnd();

    switch (r % 8) {
    case 0: return odd();
    case 1: return (uint64_t)scratch + SCRATCH_USED - (r >> 32) % 64;
    default: return (uint64_t)scratch + ((r >> 32) % 2048 & ~7ul);
    }
}

static bool ends_the_test(unsigned nr, uint32_t op, uint64_t a2)
{
    switch (nr) {
    case __HYPERVISOR_sched_op: return op != SCHEDOP_yield && op <= SCHEDOP_watchdog;
    case __HYPERVISOR_vcpu_op:
        return a2 == 0 && (op == VCPUOP_down || op == VCPUOP_register_vcpu_info);
    case __HYPERVISOR_event_channel_op: /* close: port is the first word of the argument */
        return op == EVTCHNOP_reset || op == 14 /* its continuation */ || op == EVTCHNOP_close;
    case __HYPERVISOR_memory_op: /* powers of two and 0..7 as frame numbers may be ours */
        return (op & 0x3f) == XENMEM_decrease_reservation ||
               (op & 0x3f) == XENMEM_remove_from_physmap || (op & 0x3f) == XENMEM_exchange ||
               (op & 0x3f) == XENMEM_add_to_physmap || (op & 0x3f) == XENMEM_add_to_physmap_batch;
    default: return false;
    }
}

/* Arguments that are right but for one word or two get further than noise does. */
static long nearly_right(void)
{
    domid_t other = rnd() % 3 ? DOMID_SELF : foreign(rnd() % NR_FOREIGN);
    uint32_t port = 8 + rnd() % 60; /* beyond the slot's ports: made by alloc and bind below */
    union {
        struct evtchn_alloc_unbound alloc;
        struct evtchn_bind_interdomain bind;
        struct evtchn_bind_virq virq;
        struct evtchn_bind_ipi ipi;
        struct evtchn_bind_vcpu vcpu;
        uint32_t port;
    } e = { .alloc = { .dom = DOMID_SELF, .remote_dom = other } };
    unsigned op = rnd() % 10;

    if (op == EVTCHNOP_bind_interdomain)
        e.bind = (struct evtchn_bind_interdomain){ .remote_dom = other, .remote_port = port };
    else if (op == EVTCHNOP_bind_virq)
        e.virq = (struct evtchn_bind_virq){ .virq = rnd() % 26, .vcpu = rnd() % 3 };
    else if (op == EVTCHNOP_bind_ipi)
        e.ipi = (struct evtchn_bind_ipi){ .vcpu = rnd() % 3 };
    else if (op == EVTCHNOP_bind_vcpu)
        e.vcpu = (struct evtchn_bind_vcpu){ .port = port, .vcpu = rnd() % 3 };
    else if (op != EVTCHNOP_alloc_unbound)
        e.port = port;
    return op == EVTCHNOP_status ? -ENOSYS : hc(__HYPERVISOR_event_channel_op, op, &e, 0);
}

/* Own pages granted to oneself, mapped in the hole, copied, unmapped and taken back in any order. */
static long grant_games(void)
{
    static int ref = -1;
    static uint32_t handle;
    uint64_t host = HOLE + (rnd() % 4) * 4096;
    struct gnttab_map_grant_ref m = { .host_addr = host,
                                      .dom = self.domid,
                                      .ref = (uint32_t)ref,
                                      .flags = GNTMAP_host_map | (rnd() & GNTMAP_readonly) };
    struct gnttab_unmap_grant_ref u = { .host_addr = host,
                                        .handle = rnd() % 4 ? handle : (uint32_t)rnd() % 8 };
    struct gnttab_copy c = { .len = (uint16_t)(rnd() % 4200), .flags = GNTCOPY_source_gref };

    if (ref < 0)
        ref = grant_give(self.domid, scratch, rnd() & GRANT_RO);
    switch (rnd() % 4) {
    case 0:
        if (!hc(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, &m, 1) && !m.status)
            handle = m.handle;
        return m.status;
    case 1: hc(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, &u, 1); return u.status;
    case 2:
        c.source.domid = self.domid;
        c.source.u.ref = (uint32_t)ref;
        c.source.offset = (uint16_t)(rnd() % 4200);
        c.dest.domid = DOMID_SELF;
        c.dest.u.gmfn = virt_to_gfn(scratch) + 1;
        hc(__HYPERVISOR_grant_table_op, GNTTABOP_copy, &c, 1);
        return c.status;
    default:
        if (ref >= 0 && !grant_end((uint32_t)ref))
            ref = -1;
        return 0;
    }
}

/* Those excluded for their frame numbers, with frames that cannot be ours. */
static long far_frames(void)
{
    struct xen_add_to_physmap a = {
        .domid = rnd() % 4 ? DOMID_SELF : (domid_t)rnd(),
        .size = (uint16_t)rnd(),
        .space = 1 + rnd() % 7,
        .idx = odd() | 1, /* shared_info and the table's first frame stay where they are */
        .gpfn = (HOLE >> 12) + rnd() % 0x4000,
    };
    struct xen_remove_from_physmap x = { .domid = a.domid, .gpfn = a.gpfn };
    uint64_t gfn[4];
    struct xen_memory_reservation r = { .nr_extents = rnd() % 6,
                                        .extent_order = rnd() % 3,
                                        .domid = a.domid };

    for (unsigned i = 0; i < 4; i++)
        gfn[i] = (HOLE >> 12) + rnd() % 0x4000;
    set_xen_guest_handle(r.extent_start, gfn);
    r.nr_extents = r.nr_extents > 4 ? 4 : r.nr_extents;
    switch (rnd() % 3) {
    case 0: return hc(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &a, 0);
    case 1: return hc(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, &x, 0);
    default: return hc(__HYPERVISOR_memory_op, XENMEM_decrease_reservation, &r, 0);
    }
}

static long one(void)
{
    uint64_t r = rnd();
    unsigned nr = r % 8    ? open_calls[(r >> 8) % ARRAY_SIZE(open_calls)]
                  : r % 16 ? (unsigned)(r >> 8) % 64
                           : (unsigned)(r >> 8);

    switch (r % 32) {
    case 31: return far_frames();
    case 30:
    case 29: return nearly_right();
    case 28: return grant_games();
    default: break;
    }
    for (unsigned i = 0; i < 16; i++)
        ((uint64_t *)scratch)[rnd() % 256] = odd();
    uint64_t a1 = r >> 40 & 1 ? (r >> 41) % 40 : odd(), a2 = pointer(),
             a3 = rnd() % 2 ? rnd() % 5 : odd(), a4 = odd();
    /* An array of operations gets its statuses written back: a long one only where no memory of ours is. */
    if (nr == __HYPERVISOR_grant_table_op && a2 < self.ram_bytes)
        a3 %= 5;
    if (nr == __HYPERVISOR_vcpu_op) {
        uint64_t p = a2;
        a2 = rnd() % 2 ? rnd() % 3 : odd();
        a3 = p;
    }
    if (nr == __HYPERVISOR_console_io || ends_the_test(nr, (uint32_t)a1, (uint32_t)a2))
        return -ENOSYS;
    return hypercall(nr, a1, a2, a3, a4);
}

void fuzz(unsigned n)
{
    unsigned done = 0, good = 0;
    uint64_t start = now_ns();

    for (; done < n; done++)
        good += one() >= 0;
    uint64_t us = (now_ns() - start) / 1000;
    check("random_hypercalls", done == n, "%u", done);
    say("hostile: %u random hypercalls, %u accepted, %lu us\n", done, good, us);
    /* The machine behind it still works: time goes on, a port can be had and used. */
    uint64_t before = now_ns();
    for (unsigned turns = 0; now_ns() < before + 20 * NS_PER_MS && turns < 1000; turns++)
        event_wait(before + 20 * NS_PER_MS); /* the console's reader may wake us earlier */
    check("time_goes_on", now_ns() - before >= 15 * NS_PER_MS, "%lu ns", now_ns() - before);
    struct evtchn_close c = { .port = 0 };
    for (uint32_t p = 8; p < 4096; p++) { /* ports that the random calls made */
        c.port = p;
        hc(__HYPERVISOR_event_channel_op, EVTCHNOP_close, &c, 0);
    }
    struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    long rc = hc(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, &a, 0);
    struct evtchn_bind_interdomain b = { .remote_dom = DOMID_SELF, .remote_port = a.port };
    if (!rc)
        rc = hc(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, &b, 0);
    if (!rc)
        rc = event_send(b.local_port);
    bool pending = shared_info->evtchn_pending[a.port / 64] >> (a.port % 64) & 1;
    check("events_still_work", !rc && pending, "%ld", rc);
}
