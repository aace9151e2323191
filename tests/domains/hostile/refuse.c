/* SPDX-License-Identifier: MIT */
/* Calls that need a privilege, others' grants, others' ports. */
#include "hostile.h"
#include <xen/hvm/params.h>

static void fill_random(void)
{
    for (unsigned i = 0; i < 512; i++)
        ((uint64_t *)scratch)[i] = rnd();
}

/* NULL, zeros, random, bad pointers: each must be refused for want of privilege, before the argument is looked at. */
static void refused(struct tally *t, unsigned nr, uint64_t op)
{
    static const uint64_t ptr[] = { 0, 0, 0, HOLE, NON_CANONICAL, ~0ul, 0xffff800000000000ul, 1 };

    for (unsigned i = 0; i < ARRAY_SIZE(ptr); i++) {
        uint64_t p = ptr[i];
        if (i == 1) {
            memset(scratch, 0, 4096);
            p = (uint64_t)scratch;
        } else if (i == 2) {
            fill_random();
            p = (uint64_t)scratch;
        }
        long rc = hypercall(nr, op, p, 0, 0);
        tally(t, rc == -EPERM, "op %lu, try %u: %ld", op, i, rc);
    }
}

void check_control(void)
{
#define CONTROL_OP(nr, NAME, name, ...) #name,
    static const char *const name[] = {
#include <ops.def>
    };
    struct tally service = { .name = "service_ops" }, beyond = { .name = "control_beyond_table" };

    for (unsigned op = 0; op < BH_NR_CTL_OPS; op++) {
        char n[32];
        snprintf(n, sizeof(n), "control_%s", name[op]);
        struct tally t = { .name = n };
        refused(&t, BH_HYPERCALL_CONTROL, op);
        tally_done(&t);
    }
    for (unsigned op = 0; op < BH_NR_SVC_OPS; op++)
        refused(&service, BH_HYPERCALL_SERVICE, op);
    tally_done(&service);
    static const uint64_t odd[] = { BH_NR_CTL_OPS, BH_NR_CTL_OPS + 1, 255, 0x100000000ul,
                                    ~0ul,          NON_CANONICAL };
    for (unsigned i = 0; i < ARRAY_SIZE(odd); i++) {
        long a = hc(BH_HYPERCALL_CONTROL, odd[i], scratch, 0),
             b = hc(BH_HYPERCALL_SERVICE, odd[i], scratch, 0);
        tally(&beyond, (a == -ENOSYS || a == -EPERM) && (b == -ENOSYS || b == -EPERM),
              "op %lx: %ld %ld", odd[i], a, b);
    }
    tally_done(&beyond);
}

static void map_foreign(void)
{
    struct tally t = { .name = "grant_map_foreign" };

    for (unsigned d = 0; d < NR_FOREIGN; d++)
        for (unsigned r = 0; r < 24; r++) {
            uint32_t ref = r < 16 ? r : (uint32_t)rnd();
            struct gnttab_map_grant_ref m = {
                .host_addr = HOLE,
                .flags = GNTMAP_host_map | (r & 1 ? GNTMAP_readonly : 0),
                .ref = ref,
                .dom = foreign(d),
                .status = 77,
            };
            long rc = hc(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, &m, 1);
            tally(&t, rc < 0 || (m.status < 0), "dom %u ref %u: %ld status %d", foreign(d), ref, rc,
                  m.status);
        }
    tally_done(&t);
}

static void copy_foreign(void)
{
    struct tally t = { .name = "grant_copy_foreign" };

    for (unsigned d = 0; d < NR_FOREIGN; d++)
        for (unsigned r = 0; r < 32; r++) {
            bool by_frame = r & 1, out = r & 2;
            struct gnttab_copy c = { .len = 64, .status = 77 };
            struct gnttab_copy *p = &c;

            p->source.domid = out ? DOMID_SELF : foreign(d);
            p->dest.domid = out ? foreign(d) : DOMID_SELF;
            p->source.u.gmfn = p->dest.u.gmfn = virt_to_gfn(scratch);
            if (!by_frame) {
                p->flags = out ? GNTCOPY_dest_gref : GNTCOPY_source_gref;
                if (out)
                    p->dest.u.ref = r / 2;
                else
                    p->source.u.ref = r / 2;
            }
            long rc = hc(__HYPERVISOR_grant_table_op, GNTTABOP_copy, p, 1);
            tally(&t, rc < 0 || c.status < 0, "dom %u try %u: %ld status %d", foreign(d), r, rc,
                  c.status);
        }
    tally_done(&t);
}

static void copy_bounds(void)
{
    static const struct {
        uint16_t so, dof, len;
    } odd[] = {
        { 4095, 0, 2 },   { 0, 4095, 2 },        { 0, 0, 4097 }, { 0, 0, 0xffff },
        { 0xffff, 0, 1 }, { 0, 0xffff, 0xffff }, { 4096, 0, 1 },
    };
    struct tally t = { .name = "grant_copy_bounds" };

    for (unsigned i = 0; i < ARRAY_SIZE(odd); i++) {
        struct gnttab_copy c = { .len = odd[i].len, .status = 77 };
        c.source.domid = c.dest.domid = DOMID_SELF;
        c.source.u.gmfn = virt_to_gfn(scratch);
        c.dest.u.gmfn = virt_to_gfn(scratch) + 2;
        c.source.offset = odd[i].so;
        c.dest.offset = odd[i].dof;
        long rc = hc(__HYPERVISOR_grant_table_op, GNTTABOP_copy, &c, 1);
        tally(&t, rc < 0 || c.status < 0, "try %u: %ld status %d", i, rc, c.status);
    }
    tally_done(&t);
}

static void unmap_unknown(void)
{
    struct tally t = { .name = "grant_unmap_unknown" };

    for (unsigned i = 0; i < 64; i++) {
        struct gnttab_unmap_grant_ref u = {
            .host_addr = i & 1 ? HOLE : rnd(),
            .handle = i < 32 ? i : (uint32_t)rnd(),
            .status = 77,
        };
        long rc = hc(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, &u, 1);
        tally(&t, rc < 0 || u.status < 0, "handle %u: %ld status %d", u.handle, rc, u.status);
    }
    tally_done(&t);
}

static void table_of_others(void)
{
    struct tally t = { .name = "grant_table_of_others" };

    for (unsigned d = 0; d < NR_FOREIGN; d++) {
        struct gnttab_query_size q = { .dom = foreign(d), .status = 77 };
        struct gnttab_setup_table s = { .dom = foreign(d), .nr_frames = 1, .status = 77 };
        long rc = hc(__HYPERVISOR_grant_table_op, GNTTABOP_query_size, &q, 1);
        tally(&t, rc < 0 || q.status < 0, "query dom %u: %ld %d", foreign(d), rc, q.status);
        set_xen_guest_handle(s.frame_list, (xen_pfn_t *)scratch);
        rc = hc(__HYPERVISOR_grant_table_op, GNTTABOP_setup_table, &s, 1);
        tally(&t, rc < 0 || s.status < 0, "setup dom %u: %ld %d", foreign(d), rc, s.status);
    }
    tally_done(&t);
}

void check_grants(void)
{
    map_foreign();
    copy_foreign();
    copy_bounds();
    unmap_unknown();
    table_of_others();
    struct tally t = { .name = "grant_counts" };
    memset(scratch, 0, sizeof(scratch));
    static const uint64_t counts[] = { 0x7fffffff, 0x80000000, 0xffffffff, ~0ul };
    for (unsigned op = 0; op <= GNTTABOP_cache_flush; op++)
        for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
            long rc = hc(__HYPERVISOR_grant_table_op, op, (const void *)HOLE, counts[i]);
            tally(&t, rc < 0, "op %u count %lx: %ld", op, counts[i], rc);
        }
    tally_done(&t);
}

static long ev(unsigned op, void *arg) { return hc(__HYPERVISOR_event_channel_op, op, arg, 0); }

static void bind_foreign(void)
{
    struct tally t = { .name = "event_bind_foreign" };

    for (unsigned d = 0; d < NR_FOREIGN; d++) {
        for (unsigned p = 0; p < 40; p++) {
            struct evtchn_bind_interdomain b = { .remote_dom = foreign(d),
                                                 .remote_port = p < 32 ? p : (uint32_t)rnd() };
            long rc = ev(EVTCHNOP_bind_interdomain, &b);
            tally(&t, rc < 0, "dom %u port %u: %ld", foreign(d), b.remote_port, rc);
        }
        struct evtchn_alloc_unbound a = { .dom = foreign(d), .remote_dom = self.domid };
        long rc = ev(EVTCHNOP_alloc_unbound, &a);
        tally(&t, rc < 0, "alloc in dom %u: %ld", foreign(d), rc);
        struct evtchn_status s = { .dom = foreign(d), .port = 1 };
        rc = ev(EVTCHNOP_status, &s);
        tally(&t, rc < 0, "status of dom %u: %ld", foreign(d), rc);
        struct evtchn_reset r = { .dom = foreign(d) };
        rc = ev(EVTCHNOP_reset, &r);
        tally(&t, rc < 0, "reset of dom %u: %ld", foreign(d), rc);
    }
    tally_done(&t);
}

static void odd_ports(void)
{
    static const uint32_t ports[] = { 0,     4000,       4095,       4096,      4097,
                                      65536, 0x7fffffff, 0x80000000, 0xffffffff };
    struct tally t = { .name = "event_odd_ports" };

    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++) {
        struct evtchn_send s = { ports[i] };
        struct evtchn_close c = { ports[i] };
        struct evtchn_bind_vcpu b = { .port = ports[i], .vcpu = 0 };
        tally(&t, ev(EVTCHNOP_send, &s) < 0, "send %x", ports[i]);
        tally(&t, ev(EVTCHNOP_close, &c) < 0, "close %x", ports[i]);
        tally(&t, ev(EVTCHNOP_bind_vcpu, &b) < 0, "bind_vcpu %x", ports[i]);
    }
    tally_done(&t);
}

static void odd_sources(void)
{
    struct tally t = { .name = "event_global_virqs" }, p = { .name = "event_odd_sources" };
    static const uint32_t global[] = {
        VIRQ_CONSOLE,    VIRQ_DOM_EXC,   VIRQ_CON_RING, VIRQ_TBUF, VIRQ_DEBUGGER,
        VIRQ_PCPU_STATE, VIRQ_MEM_EVENT, VIRQ_ENOMEM,   24,        25,
        0x7fffffff,      0xffffffff
    };

    for (unsigned i = 0; i < ARRAY_SIZE(global); i++) {
        struct evtchn_bind_virq b = { .virq = global[i] };
        tally(&t, ev(EVTCHNOP_bind_virq, &b) < 0, "virq %u", global[i]);
    }
    tally_done(&t);
    for (unsigned i = 0; i < 40; i++) {
        struct evtchn_bind_pirq b = { .pirq = i < 32 ? i : (uint32_t)rnd() };
        tally(&p, ev(EVTCHNOP_bind_pirq, &b) < 0, "pirq %u", b.pirq);
    }
    static const uint32_t vcpus[] = { 32, 33, 128, 0x7fffffff, 0xffffffff };
    for (unsigned i = 0; i < ARRAY_SIZE(vcpus); i++) {
        struct evtchn_bind_ipi b = { .vcpu = vcpus[i] };
        struct evtchn_bind_virq v = { .virq = VIRQ_TIMER, .vcpu = vcpus[i] };
        tally(&p, ev(EVTCHNOP_bind_ipi, &b) < 0, "ipi to vcpu %u", vcpus[i]);
        tally(&p, ev(EVTCHNOP_bind_virq, &v) < 0, "timer of vcpu %u", vcpus[i]);
    }
    tally_done(&p);
}

/* All ports there are, then all given back: twice, so that a leak shows. */
static void exhaust(void)
{
    unsigned count[2] = { 0, 0 };
    uint32_t first = 0;

    for (unsigned round = 0; round < 2; round++) {
        struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = 0 };
        while (count[round] < 5000 && !ev(EVTCHNOP_alloc_unbound, &a)) {
            if (!count[round]++)
                first = a.port;
        }
        for (uint32_t p = first; p < first + 4096; p++) {
            struct evtchn_close c = { p };
            ev(EVTCHNOP_close, &c);
        }
    }
    check("event_exhaust", count[0] && count[0] < 4096 && count[0] == count[1], "%u then %u ports",
          count[0], count[1]);
}

void check_events(void)
{
    bind_foreign();
    odd_ports();
    odd_sources();
    exhaust();
}
