/* SPDX-License-Identifier: MIT */
/* What single operations cost, as a plain PVH guest sees it by RDTSC: in instructions where the machine's clock counts those (cost.py).
 * "peer,of=N": grants two pages to domain N and answers its events. "of=N": measures, with domain N for a peer, and prints a line for each row.
 * Then each key that is typed, from 'a' on, has an operation done many times, to be counted from outside (cost_counts.py). */
#include "pvh.h"
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/params.h>
#include <xen/io/xs_wire.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

#define WARM         50
#define ROUNDS       2000
#define GIVEN_BACK   0x2000000ull /* to the core: bytes of its memory from there on */
#define GIVEN_BYTES  0x10000000ull
#define SCRUB_ROUNDS 31            /* ms: 65,536 pages take some 40 */
#define FREE_GPA     0x40000000ull /* where the guest has no memory */
enum { REF_READ = 8, REF_WRITE };  /* of the peer */

static uint8_t page[2][4096] __attribute__((aligned(4096)));
static struct grant_entry_v1 grants[512] __attribute__((aligned(4096)));
static uint32_t sample[ROUNDS];

/* --- one row ------------------------------------------------------------------------------------------------------ */

static uint32_t median(unsigned n)
{
    for (unsigned i = 1; i < n; i++) { /* nearly sorted from the beginning: most are equal */
        uint32_t x = sample[i];
        unsigned at = i;
        for (; at && sample[at - 1] > x; at--)
            sample[at] = sample[at - 1];
        sample[at] = x;
    }
    return sample[n / 2];
}

static void report(const char *row, unsigned n)
{
    pvh_say(row, median(n));
    pvh_line();
}

static void row(const char *name, unsigned n, void (*fn)(void))
{
    for (unsigned i = 0; i < WARM + n; i++) {
        uint64_t start = ticks();
        fn();
        if (i >= WARM)
            sample[i - WARM] = (uint32_t)(ticks() - start);
    }
    report(name, n);
}

/* --- without a peer ------------------------------------------------------------------------------------------------ */

static void nothing(void) {}
static void call(void) { hypercall(__HYPERVISOR_xen_version, XENVER_version, 0, 0); }
static void cpuid_of(uint32_t leaf)
{
    uint32_t b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(leaf), "=b"(b), "+c"(c), "=d"(d));
}
static void cpuid_0(void) { cpuid_of(0); }
static void cpuid_xen(void) { cpuid_of(0x40000000); }
static void apic_base(void) { __asm__ volatile("rdmsr" ::"c"(0x1b) : "rax", "rdx"); }
static void in_2f8(void) { __asm__ volatile("in %%dx, %%al" ::"d"((uint16_t)0x2f8) : "rax"); }
static void in_80(void) { __asm__ volatile("in $0x80, %%al" ::: "rax"); }

static uint32_t own_port, own_far, ipi_port, store_port;
static void send_masked(void) { pvh_send(own_far); }
static void send_self(void)
{
    pvh_send(own_far);
    while (!pvh_got)
        ;
    pvh_got = 0;
}
static void send_ipi(void)
{
    pvh_send(ipi_port);
    while (!pvh_got)
        ;
    pvh_got = 0;
}

static void to_itself(void)
{
    struct evtchn_bind_interdomain b = { .remote_dom = DOMID_SELF };
    struct evtchn_bind_ipi ipi = { .vcpu = 0 };

    own_port = b.remote_port = pvh_alloc(DOMID_SELF);
    hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, &b, 0);
    own_far = b.local_port;
    hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, &ipi, 0);
    ipi_port = ipi.port;
    for (unsigned i = 0; i < WARM + ROUNDS; i++) {
        pvh_shared.evtchn_pending[own_port / 64] = 0;
        uint64_t start = ticks();
        send_masked();
        if (i >= WARM)
            sample[i - WARM] = (uint32_t)(ticks() - start);
    }
    report("event-masked ", ROUNDS);
    pvh_shared.evtchn_pending[own_port / 64] = 0;
    pvh_port = own_port;
    pvh_unmask(own_port);
    row("event-upcall ", ROUNDS, send_self);
    pvh_port = ipi_port;
    pvh_unmask(ipi_port);
    row("ipi-upcall ", ROUNDS, send_ipi);
}

/* --- the timer -------------------------------------------------------------------------------------------------------- */

static uint64_t now(void)
{
    const volatile struct vcpu_time_info *t = &pvh_shared.vcpu_info[0].time;
    uint64_t delta = ticks() - t->tsc_timestamp;
    delta = t->tsc_shift < 0 ? delta >> -t->tsc_shift : delta << t->tsc_shift;
    return t->system_time + (uint64_t)((unsigned __int128)delta * t->tsc_to_system_mul >> 32);
}

static void lateness(const char *row, unsigned warm, unsigned n)
{
    for (unsigned i = 0; i < warm + n; i++) {
        struct vcpu_set_singleshot_timer at = { .timeout_abs_ns = now() + 1000000 };
        hypercall(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, &at);
        pvh_wait(0);
        if (i >= warm)
            sample[i - warm] = (uint32_t)(now() - at.timeout_abs_ns);
    }
    report(row, n);
}

/* Own memory given back, which the idle CPU has to scrub: for longer than the rounds that follow take. */
static void give_back(void)
{
    static xen_pfn_t gfn[512];
    struct xen_memory_reservation r = { .nr_extents = 512, .domid = DOMID_SELF };

    r.extent_start.p = gfn;
    for (xen_pfn_t at = GIVEN_BACK >> 12; at < (GIVEN_BACK + GIVEN_BYTES) >> 12; at += 512) {
        for (unsigned i = 0; i < 512; i++)
            gfn[i] = at + i;
        if (hypercall(__HYPERVISOR_memory_op, XENMEM_decrease_reservation, &r, 0) != 512)
            pvh_say("error: memory stays ", at);
    }
}

static void timer(void)
{
    struct evtchn_bind_virq b = { .virq = VIRQ_TIMER };

    hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, &b, 0);
    pvh_port = b.port;
    pvh_unmask(b.port);
    lateness("timer-lateness ", WARM, ROUNDS / 4);
    give_back();
    lateness("timer-scrubbing ", 0, SCRUB_ROUNDS);
}

/* --- the store ----------------------------------------------------------------------------------------------------------- */

static volatile struct xenstore_domain_interface *store;

static void request(uint32_t type, uint32_t tx, const char *body, uint32_t len)
{
    const struct xsd_sockmsg m = { .type = type, .req_id = 1, .tx_id = tx, .len = len };

    for (uint32_t i = 0; i < sizeof m + len; i++)
        store->req[(store->req_prod + i) % XENSTORE_RING_SIZE] = i < sizeof m ? ((const char *)&m)[i]
                                                                              : body[i - sizeof m];
    __asm__ volatile("" ::: "memory");
    store->req_prod += (uint32_t)sizeof m + len;
    pvh_send(pvh_port);
}

/* The answer's number, if it is one that is wanted. */
static uint32_t answer(uint32_t type)
{
    struct xsd_sockmsg m = { .type = 0 };
    uint32_t n = 0;

    for (;;) {
        uint32_t have = store->rsp_prod - store->rsp_cons;
        for (uint32_t i = 0; have >= sizeof m && i < sizeof m; i++)
            ((char *)&m)[i] = store->rsp[(store->rsp_cons + i) % XENSTORE_RING_SIZE];
        if (have >= sizeof m && have >= sizeof m + m.len)
            break;
        pvh_wait(0);
    }
    for (uint32_t i = 0; type == XS_TRANSACTION_START && i + 1 < m.len; i++)
        n = n * 10 +
            (uint32_t)(store->rsp[(store->rsp_cons + sizeof m + i) % XENSTORE_RING_SIZE] - '0');
    store->rsp_cons += (uint32_t)sizeof m + m.len;
    if (m.type != type)
        pvh_say("error: the store says ", m.type);
    return n;
}

/* Each from its request's first byte to the answer's last. */
static void store_read(void)
{
    request(XS_READ, 0, "domid", 6);
    answer(XS_READ);
}

static void write_in(uint32_t tx)
{
    request(XS_WRITE, tx, "data/a\0value", 12);
    answer(XS_WRITE);
}

static void store_write(void) { write_in(0); }

static void store_transaction(void)
{
    request(XS_TRANSACTION_START, 0, "", 1);
    uint32_t tx = answer(XS_TRANSACTION_START);
    write_in(tx);
    request(XS_TRANSACTION_END, tx, "T", 2);
    answer(XS_TRANSACTION_END);
}

static void with_store(void)
{
    store = (struct xenstore_domain_interface *)(pvh_param(HVM_PARAM_STORE_PFN) << 12);
    pvh_port = store_port = (uint32_t)pvh_param(HVM_PARAM_STORE_EVTCHN);
    pvh_unmask(pvh_port);
    row("store-read ", ROUNDS / 4, store_read);
}

static void with_store_more(void)
{
    pvh_port = store_port;
    row("store-write ", ROUNDS / 4, store_write);
    row("store-transaction ", ROUNDS / 4, store_transaction);
}

/* --- with a peer ------------------------------------------------------------------------------------------------------- */

static uint16_t peer;
static uint32_t peer_port;
static struct gnttab_map_grant_ref map;
static void map_one(void)
{
    hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, &map, (void *)1);
}
static void unmap_one(void)
{
    struct gnttab_unmap_grant_ref u = { .host_addr = map.host_addr, .handle = map.handle };
    hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, &u, (void *)1);
}

static void map_and_unmap(void)
{
    static uint32_t unmaps[ROUNDS / 2];

    map = (struct gnttab_map_grant_ref){
        .host_addr = FREE_GPA, .flags = GNTMAP_host_map, .ref = REF_WRITE, .dom = peer
    };
    for (unsigned i = 0; i < WARM + ROUNDS / 2; i++) {
        uint64_t start = ticks();
        map_one();
        uint64_t mapped = ticks();
        unmap_one();
        if (i >= WARM) {
            sample[i - WARM] = (uint32_t)(mapped - start);
            unmaps[i - WARM] = (uint32_t)(ticks() - mapped);
        }
    }
    if (map.status)
        pvh_say("error: map ", (uint64_t)-map.status);
    report("grant-map ", ROUNDS / 2);
    for (unsigned i = 0; i < ROUNDS / 2; i++)
        sample[i] = unmaps[i];
    report("grant-unmap ", ROUNDS / 2);
}

static uint16_t copy_len;
static int16_t copy_status;
static void copy_one(void)
{
    struct gnttab_copy c = { .source = { .u.ref = REF_READ, .domid = peer },
                             .len = copy_len,
                             .flags = GNTCOPY_source_gref,
                             .dest = { .u.gmfn = (uint64_t)page[0] >> 12, .domid = DOMID_SELF } };
    hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_copy, &c, (void *)1);
    copy_status |= c.status;
}

static void copies(void)
{
    copy_len = 4096;
    row("grant-copy-4096 ", ROUNDS / 2, copy_one);
    copy_len = 64;
    row("grant-copy-64 ", ROUNDS / 2, copy_one);
    if (copy_status)
        pvh_say("error: copy ", (uint64_t)-copy_status);
}

static void ping(void)
{
    pvh_send(pvh_port);
    pvh_wait(0);
}

static void with_peer(void)
{
    pvh_port = peer_port = pvh_bind(peer);
    pvh_unmask(peer_port);
    pvh_wait(0); /* binding has raised it once */
    ping();      /* it has granted its pages now */
    row("ping-pong ", ROUNDS, ping);
    map_and_unmap();
    copies();
}

/* --- to be counted ------------------------------------------------------------------------------------------------- */

static void map_and_unmap_one(void)
{
    map_one();
    unmap_one();
}
static void copy_4096(void)
{
    copy_len = 4096;
    copy_one();
}

static void counted(char key)
{
    static const struct {
        const char *name;
        void (*fn)(void);
        const uint32_t *port;
    } ops[] = {
        { " nothing ", nothing, &own_port },
        { " hypercall ", call, &own_port },
        { " cpuid ", cpuid_0, &own_port },
        { " event-upcall ", send_self, &own_port },
        { " ping-pong ", ping, &peer_port },
        { " grant-map-unmap ", map_and_unmap_one, &own_port },
        { " grant-copy-4096 ", copy_4096, &own_port },
        { " store-read ", store_read, &store_port },
        { " store-write ", store_write, &store_port },
        { " store-transaction ", store_transaction, &store_port },
    };
    unsigned which = (unsigned)(key - 'a'), n = which < sizeof(ops) / sizeof(ops[0]) ? ROUNDS : 0;

    if (n)
        pvh_port = *ops[which].port;
    for (unsigned i = 0; i < n; i++)
        ops[which].fn();
    pvh_say("counted ", which);
    pvh_say(n ? ops[which].name : " no-more ", n);
    pvh_line();
}

static void answers(void)
{
    struct xen_add_to_physmap at = { .domid = DOMID_SELF,
                                     .space = XENMAPSPACE_grant_table,
                                     .gpfn = (uint64_t)grants >> 12 };
    struct gnttab_setup_table setup = { .dom = DOMID_SELF };

    hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_setup_table, &setup, 0);
    hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &at, 0);
    for (unsigned i = 0; i < 2; i++) {
        volatile struct grant_entry_v1 *g = &grants[REF_READ + i];
        g->frame = (uint32_t)((uint64_t)page[i] >> 12);
        g->domid = peer;
        __asm__ volatile("" ::: "memory");
        g->flags = GTF_permit_access;
    }
    pvh_port = pvh_alloc(peer);
    pvh_unmask(pvh_port);
    for (;;) {
        pvh_wait(0);
        pvh_send(pvh_port);
    }
}

void guest_main(const uint8_t *start_info)
{
    const char *words = pvh_words(start_info);

    peer = (uint16_t)pvh_number(words, "of=");
    pvh_setup();
    if (pvh_find(words, "peer"))
        answers();
    row("nothing ", ROUNDS, nothing);
    row("hypercall ", ROUNDS, call);
    row("cpuid ", ROUNDS, cpuid_0);
    row("cpuid-xen ", ROUNDS, cpuid_xen);
    row("rdmsr ", ROUNDS, apic_base);
    row("in-2f8 ", ROUNDS, in_2f8);
    row("in-80 ", ROUNDS, in_80);
    row("yield ", ROUNDS, pvh_yield);
    to_itself();
    timer();
    with_store();
    with_peer();
    with_store_more();
    pvh_say("cost: done ", 0);
    pvh_line();
    for (;;)
        counted(pvh_key());
}
