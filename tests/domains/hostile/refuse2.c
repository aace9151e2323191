/* SPDX-License-Identifier: MIT */
/* Memory operations, bad pointers, parameters, vCPUs, devices, numbers that do not exist. */
#include "hostile.h"
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

static const uint64_t silly_gfn[] = {
    ~0ul,      ~0ul >> 12,    1ul << 40,           1ul << 36,
    1ul << 52, NON_CANONICAL, NON_CANONICAL >> 12, 0xfffffffffffff000ul,
};

static long mem(unsigned op, void *arg) { return hc(__HYPERVISOR_memory_op, op, arg, 0); }

static void memory_of_others(void)
{
    static const unsigned ops[] = { XENMEM_increase_reservation, XENMEM_decrease_reservation,
                                    XENMEM_populate_physmap };
    struct tally t = { .name = "memory_of_others" };

    for (unsigned d = 0; d < NR_FOREIGN; d++) {
        uint64_t gfn = 0x200;
        for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
            struct xen_memory_reservation r = { .nr_extents = 1, .domid = foreign(d) };
            set_xen_guest_handle(r.extent_start, &gfn);
            long rc = mem(ops[i], &r);
            tally(&t, rc <= 0, "op %u dom %u: %ld", ops[i], foreign(d), rc);
        }
        struct xen_add_to_physmap a = { .domid = foreign(d),
                                        .space = XENMAPSPACE_shared_info,
                                        .gpfn = HOLE >> 12 };
        long rc = mem(XENMEM_add_to_physmap, &a);
        tally(&t, rc < 0, "add_to_physmap dom %u: %ld", foreign(d), rc);
        struct xen_remove_from_physmap x = { .domid = foreign(d), .gpfn = 0x200 };
        rc = mem(XENMEM_remove_from_physmap, &x);
        tally(&t, rc < 0, "remove dom %u: %ld", foreign(d), rc);
        struct xen_add_to_physmap f = { .domid = DOMID_SELF,
                                        .size = foreign(d),
                                        .space = XENMAPSPACE_gmfn_foreign,
                                        .idx = 0x100,
                                        .gpfn = HOLE >> 12 };
        rc = mem(XENMEM_add_to_physmap, &f);
        tally(&t, rc < 0, "foreign frame of %u: %ld", foreign(d), rc);
        domid_t who = foreign(d);
        rc = mem(XENMEM_maximum_gpfn, &who);
        tally(&t, rc < 0, "maximum_gpfn of %u: %ld", foreign(d), rc);
    }
    tally_done(&t);
}

static void silly_places(void)
{
    struct tally t = { .name = "physmap_silly_places" };

    for (unsigned i = 0; i < ARRAY_SIZE(silly_gfn); i++) {
        struct xen_add_to_physmap a = { .domid = DOMID_SELF,
                                        .space = XENMAPSPACE_grant_table,
                                        .gpfn = silly_gfn[i] };
        long rc = mem(XENMEM_add_to_physmap, &a);
        tally(&t, rc < 0, "add at %lx: %ld", silly_gfn[i], rc);
        struct xen_remove_from_physmap x = { .domid = DOMID_SELF, .gpfn = silly_gfn[i] };
        rc = mem(XENMEM_remove_from_physmap, &x);
        tally(&t, rc < 0, "remove %lx: %ld", silly_gfn[i], rc);
        uint64_t gfn = silly_gfn[i];
        struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
        set_xen_guest_handle(r.extent_start, &gfn);
        rc = mem(XENMEM_populate_physmap, &r);
        tally(&t, rc <= 0, "populate %lx: %ld", silly_gfn[i], rc);
        rc = mem(XENMEM_decrease_reservation, &r);
        tally(&t, rc <= 0, "decrease %lx: %ld", silly_gfn[i], rc);
    }
    for (unsigned space = XENMAPSPACE_grant_table; space < 12; space++) {
        static const uint64_t idx[] = { 1000, 1ul << 20, 1ul << 32, ~0ul, NON_CANONICAL };
        for (unsigned i = 0; i < ARRAY_SIZE(idx); i++) {
            struct xen_add_to_physmap a = {
                .domid = DOMID_SELF, .space = space, .idx = idx[i], .gpfn = HOLE >> 12, .size = 0xffff
            };
            long rc = mem(XENMEM_add_to_physmap, &a);
            tally(&t, rc < 0, "space %u idx %lx: %ld", space, idx[i], rc);
        }
    }
    tally_done(&t);
}

static void too_much(void)
{
    static const struct {
        uint64_t nr;
        uint32_t order;
    } odd[] = {
        { ~0ul, 0 },          { 1, 63 }, { 1, 64 }, { 1, 0xffffffff }, { 1ul << 32, 0 }, { 1, 30 },
        { NON_CANONICAL, 1 },
    };
    struct tally t = { .name = "memory_too_much" };

    for (unsigned i = 0; i < ARRAY_SIZE(odd); i++) {
        struct xen_memory_reservation r = { .nr_extents = odd[i].nr,
                                            .extent_order = odd[i].order,
                                            .domid = DOMID_SELF };
        for (unsigned k = 0; k < sizeof(scratch) / 8; k++)
            ((uint64_t *)scratch)[k] = ~0ul;
        set_xen_guest_handle(r.extent_start, (xen_pfn_t *)scratch);
        long rc = mem(XENMEM_populate_physmap, &r);
        tally(&t, rc <= 0, "populate %u: %ld", i, rc);
        rc = mem(XENMEM_decrease_reservation, &r);
        tally(&t, rc <= 0, "decrease %u: %ld", i, rc);
    }
    tally_done(&t);
    /* Beyond the limit: the core stops giving, and nobody else runs dry for it. */
    unsigned got = 0;
    for (uint64_t gfn = 0xd8000; gfn < 0xd8000 + 4096; gfn++, got++) {
        struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
        set_xen_guest_handle(r.extent_start, &gfn);
        if (mem(XENMEM_populate_physmap, &r) != 1)
            break;
    }
    check("memory_limit", got < 4096, "%u pages more than given", got);
}

void check_memory(void)
{
    memory_of_others();
    silly_places();
    too_much();
}

void check_pointers(void)
{
    static const uint64_t bad[] = {
        0,
        8,
        HOLE,
        HOLE + 0xffc,
        0xfffffffcul,
        0x100000000ul,
        0x7ffffffff000ul,
        0x7fffffffffffull,
        0x800000000000ul,
        NON_CANONICAL,
        0xffff800000000000ul,
        0xfffffffffffff000ul,
        ~0ul - 3,
        ~0ul,
    };
    static const struct {
        unsigned nr, op;
        uint64_t third;
        bool count;
    } call[] = {
        { __HYPERVISOR_memory_op, XENMEM_add_to_physmap, 0, false },
        { __HYPERVISOR_memory_op, XENMEM_populate_physmap, 0, false },
        { __HYPERVISOR_memory_op, XENMEM_memory_map, 0, false },
        { __HYPERVISOR_event_channel_op, EVTCHNOP_send, 0, false },
        { __HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, 0, false },
        { __HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, 0, false },
        { __HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, 1, true },
        { __HYPERVISOR_grant_table_op, GNTTABOP_copy, 3, true },
        { __HYPERVISOR_grant_table_op, GNTTABOP_query_size, 1, true },
        { __HYPERVISOR_sched_op, SCHEDOP_poll, 0, false },
        { __HYPERVISOR_sched_op, SCHEDOP_shutdown, 0, false },
        { __HYPERVISOR_hvm_op, HVMOP_get_param, 0, false },
        { __HYPERVISOR_hvm_op, HVMOP_set_param, 0, false },
        { __HYPERVISOR_xen_version, XENVER_extraversion, 0, false },
        { __HYPERVISOR_xen_version, XENVER_get_features, 0, false },
        { __HYPERVISOR_physdev_op, PHYSDEVOP_map_pirq, 0, false },
    };
    struct tally t = { .name = "bad_pointers" };

    for (unsigned c = 0; c < ARRAY_SIZE(call); c++)
        for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
            long rc = hypercall(call[c].nr, call[c].op, bad[i], call[c].third, 0);
            tally(&t, rc < 0, "call %u op %u at %lx: %ld", call[c].nr, call[c].op, bad[i], rc);
        }
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        struct sched_poll p = { .nr_ports = 4 };
        set_xen_guest_handle(p.ports, (evtchn_port_t *)bad[i]);
        long rc = hc(__HYPERVISOR_sched_op, SCHEDOP_poll, &p, 0);
        tally(&t, rc < 0, "ports of poll at %lx: %ld", bad[i], rc);
        rc = hypercall(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, bad[i], 0);
        tally(&t, rc < 0, "timer at %lx: %ld", bad[i], rc);
        struct vcpu_register_vcpu_info v = { .mfn = bad[i] >> 12 | 1ul << 40,
                                             .offset = (uint32_t)bad[i] };
        rc = hypercall(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, (uint64_t)&v, 0);
        tally(&t, rc < 0, "vcpu_info at %lx: %ld", bad[i], rc);
    }
    tally_done(&t);
}

static void params(void)
{
    struct tally t = { .name = "params" };

    for (unsigned d = 0; d < NR_FOREIGN; d++)
        for (unsigned i = 0; i < 40; i++) {
            struct xen_hvm_param p = { .domid = foreign(d), .index = i, .value = rnd() };
            tally(&t, hc(__HYPERVISOR_hvm_op, HVMOP_set_param, &p, 0) < 0, "set %u of dom %u", i,
                  foreign(d));
            tally(&t, hc(__HYPERVISOR_hvm_op, HVMOP_get_param, &p, 0) < 0, "get %u of dom %u", i,
                  foreign(d));
        }
    static const uint32_t odd[] = { 64, 65, 1000, 0x7fffffff, 0xffffffff };
    for (unsigned i = 0; i < ARRAY_SIZE(odd); i++) {
        struct xen_hvm_param p = { .domid = DOMID_SELF, .index = odd[i] };
        tally(&t, hc(__HYPERVISOR_hvm_op, HVMOP_set_param, &p, 0) < 0, "set index %u", odd[i]);
        tally(&t, hc(__HYPERVISOR_hvm_op, HVMOP_get_param, &p, 0) < 0, "get index %u", odd[i]);
    }
    static const uint32_t fixed[] = { HVM_PARAM_STORE_PFN, HVM_PARAM_STORE_EVTCHN,
                                      HVM_PARAM_CONSOLE_PFN, HVM_PARAM_CONSOLE_EVTCHN };
    for (unsigned i = 0; i < ARRAY_SIZE(fixed); i++) {
        struct xen_hvm_param p = { .domid = DOMID_SELF, .index = fixed[i], .value = 0x12345 };
        tally(&t, hc(__HYPERVISOR_hvm_op, HVMOP_set_param, &p, 0) < 0, "own slot parameter %u",
              fixed[i]);
    }
    tally_done(&t);
}

static void vcpus(void)
{
    static const uint64_t who[] = { 32, 33, 0x7fffffff, 0xffffffff, ~0ul }; /* 32 bits count */
    struct tally t = { .name = "vcpus_out_of_range" }, s = { .name = "sched_odd" };

    memset(scratch, 0, sizeof(scratch));
    for (unsigned i = 0; i < ARRAY_SIZE(who); i++)
        for (unsigned op = 0; op < 16; op++) {
            long rc = hypercall(__HYPERVISOR_vcpu_op, op, who[i], (uint64_t)scratch, 0);
            tally(&t, rc < 0, "op %u vcpu %lx: %ld", op, who[i], rc);
        }
    tally_done(&t);
    for (unsigned d = 0; d < NR_FOREIGN; d++) {
        struct sched_remote_shutdown r = { .domain_id = foreign(d), .reason = SHUTDOWN_crash };
        long rc = hc(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, &r, 0);
        tally(&s, rc < 0, "remote shutdown of %u: %ld", foreign(d), rc);
    }
    struct sched_poll p = { .nr_ports = 0xffffffff };
    set_xen_guest_handle(p.ports, (evtchn_port_t *)scratch);
    tally(&s, hc(__HYPERVISOR_sched_op, SCHEDOP_poll, &p, 0) < 0, "poll of 2^32-1 ports");
    p.nr_ports = 1;
    *(uint32_t *)scratch = 4096;
    tally(&s, hc(__HYPERVISOR_sched_op, SCHEDOP_poll, &p, 0) < 0, "poll of port 4096");
    *(uint32_t *)scratch = ~0u;
    tally(&s, hc(__HYPERVISOR_sched_op, SCHEDOP_poll, &p, 0) < 0, "poll of port ~0");
    tally_done(&s);
}

static void devices(void)
{
    struct tally t = { .name = "devices" };

    for (unsigned op = 0; op < 34; op++)
        for (unsigned i = 0; i < 6; i++) {
            for (unsigned k = 0; k < 64; k++)
                ((uint32_t *)scratch)[k] = i == 0 ? 0 : i == 1 ? ~0u : (uint32_t)rnd();
            if (i == 2) /* one's own MSI of the device that a test machine has */
                *(struct physdev_map_pirq *)scratch = (struct physdev_map_pirq){
                    .domid = DOMID_SELF,
                    .type = MAP_PIRQ_TYPE_MSI,
                    .index = -1,
                    .pirq = -1,
                    .devfn = 3 << 3,
                };
            long rc = hc(__HYPERVISOR_physdev_op, op, scratch, 0);
            tally(&t, rc < 0, "op %u try %u: %ld", op, i, rc);
        }
    tally_done(&t);
}

static void unknown_numbers(void)
{
    static const unsigned known[] = {
        __HYPERVISOR_memory_op,  __HYPERVISOR_set_timer_op,   __HYPERVISOR_xen_version,
        __HYPERVISOR_console_io, __HYPERVISOR_grant_table_op, __HYPERVISOR_vm_assist,
        __HYPERVISOR_vcpu_op,    __HYPERVISOR_sched_op,       __HYPERVISOR_event_channel_op,
        __HYPERVISOR_physdev_op, __HYPERVISOR_hvm_op,         BH_HYPERCALL_CONTROL,
        BH_HYPERCALL_SERVICE,
    };
    struct tally t = { .name = "unknown_hypercalls" }, o = { .name = "unknown_operations" };

    for (unsigned i = 0; i < 300; i++) {
        unsigned nr = i < 256 ? i : (unsigned)rnd();
        bool is_known = false;
        for (unsigned k = 0; k < ARRAY_SIZE(known); k++)
            is_known |= known[k] == nr;
        if (is_known)
            continue;
        long rc = hc(nr, 0, scratch, 0);
        tally(&t, rc == -ENOSYS, "number %u: %ld", nr, rc);
    }
    tally_done(&t);
    for (unsigned k = 0; k < ARRAY_SIZE(known); k++) {
        static const uint64_t ops[] = { 200, 0x7fffffff, 0xffffffff, ~0ul };
        if (known[k] == __HYPERVISOR_set_timer_op) /* it has none: any number is a time */
            continue;
        for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
            long rc = hc(known[k], ops[i], scratch, 1);
            tally(&o, rc < 0, "number %u op %lx: %ld", known[k], ops[i], rc);
        }
    }
    tally_done(&o);
    long rc = hypercall(__HYPERVISOR_console_io, CONSOLEIO_read, 4096, (uint64_t)scratch, 0);
    check("console_read", rc < 0, "%ld", rc);
}

void check_rest(void)
{
    params();
    vcpus();
    devices();
    unknown_numbers();
}
