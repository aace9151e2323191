/* SPDX-License-Identifier: MIT */
// LINK: pciback/pciif.c pciback/trap.c tests/unit/stores.c
// FLAGS: -O2 -Idomains/include
/*
 * pciback's end of pciif (pciback/pciif.h) and its turns of trapped accesses (pciback/trap.h), on a configuration space that only remembers: the
 * back-end dies at each store to keep pages and the shared page and at each call, and its front-end sees the same answers; pages that change while they are
 * read; and those who ask for ever have no more than a turn.
 */
#include <bh.h>
#include <errno.h>
#include <sys/mman.h>
#include <xen/io/pciif.h>
#include "../../pciback/device.h"
#include "../../pciback/pciif.h"
#include "../../pciback/trap.h"
#include "stores.h"
#include "unit.h"

#define A  16
#define B  17
#define NR 4u

static struct pciif_kept *keep;
static struct xen_pci_sharedinfo *page[2]; /* of A and B; behind keep */
static uint64_t now;
static unsigned mapped[2], bound[2], told[2];
static int no_map, no_port;
static event_fn handler[2];
static void *handler_arg[2];

/* --- deaths ---------------------------------------------------------------------------------------------------------- */
static jmp_buf death;
static volatile bool armed;
static volatile long points, dies_at;

static void point(void)
{
    if (armed && points++ == dies_at) {
        armed = false;
        stores_watch(keep, 3 * 4096, NULL);
        longjmp(death, 1);
    }
}

/* --- what it stands on ----------------------------------------------------------------------------------------------- */
uint64_t now_ns(void) { return now; }
void bh_panic(const char *fmt, ...) { abort(); }
int grant_map(struct grant_map *m, domid_t dom, const uint32_t *refs, unsigned n, unsigned flags)
{
    point();
    assert_true((dom == A || dom == B) && n == 1);
    if (no_map || *refs != 8u + dom)
        return -EINVAL;
    assert_int_equal(mapped[dom - A]++, 0);
    *m = (struct grant_map){ .va = page[dom - A], .n = 1 };
    return 0;
}
int grant_unmap(struct grant_map *m)
{
    assert_int_equal(mapped[m->va == page[1]]--, 1);
    return 0;
}
int event_bind_interdomain(domid_t remote, uint32_t port, event_fn fn, void *arg)
{
    point();
    if (no_port || port != 100u + remote)
        return -EINVAL;
    assert_int_equal(bound[remote - A]++, 0);
    handler[remote - A] = fn;
    handler_arg[remote - A] = arg;
    return 200 + remote;
}
void event_close(uint32_t port) { assert_int_equal(bound[port - 200 - A]--, 1); }
int event_send(uint32_t port)
{
    point();
    told[port - 200 - A]++;
    return 0;
}
static event_fn virq;
int event_bind_virq(unsigned which, event_fn fn, void *arg)
{
    virq = fn;
    return which == BH_VIRQ_PCI_TRAP ? 7 : -EPERM;
}

/* --- configuration space --------------------------------------------------------------------------------------------- */
static uint32_t space[2][3][64]; /* of the devices in slots 1 and 2; each access is a point */
static int busy;                 /* so many writes are put off */
#define NEVER 99u                /* a write of this always is */
static bool meddle;              /* the front-end writes its page while we are at work */
static unsigned synced, accesses[2];

static void meddling(domid_t dom)
{
    if (meddle)
        for (unsigned i = 0; i < 1024; i++)
            ((uint32_t *)page[dom - A])[i] = (uint32_t)rand();
}

static bool there(domid_t dom, unsigned devfn)
{
    return (dom == A || dom == B) && (devfn == 8 || devfn == 16);
}
bool vconfig_device(domid_t dom, unsigned devfn, uint32_t *sbdf)
{
    meddling(dom);
    return there(dom, devfn);
}
uint32_t vconfig_read(domid_t dom, unsigned devfn, unsigned off, unsigned size)
{
    assert_true(off < 256 && (size == 1 || size == 2 || size == 4) && off % size == 0);
    point();
    meddling(dom);
    accesses[dom - A]++;
    uint32_t v = there(dom, devfn) ? space[dom - A][devfn >> 3][off / 4] >> off % 4 * 8 : ~0u;
    return size == 4 ? v : v & ((1u << size * 8) - 1);
}
int vconfig_write(domid_t dom, unsigned devfn, unsigned off, unsigned size, uint32_t value)
{
    assert_true(there(dom, devfn) && off < 256 && off % size == 0);
    point();
    meddling(dom);
    accesses[dom - A]++;
    if ((busy && busy--) || value == NEVER)
        return -EAGAIN;
    memcpy((uint8_t *)space[dom - A][devfn >> 3] + off, &value, size);
    point();
    return 0;
}
int vconfig_pirq(domid_t dom, unsigned devfn, bool msix, uint32_t entry, uint32_t *pirq)
{
    assert_true(there(dom, devfn));
    point();
    meddling(dom);
    if (entry >= 5 || (devfn == 16 && msix))
        return -EINVAL;
    *pirq = 1000 + entry;
    return 0;
}
void device_sync(domid_t dom) { synced++; }

/* --- the front-end --------------------------------------------------------------------------------------------------- */
static void raise(unsigned f)
{
    if (bound[f])
        handler[f](0, handler_arg[f]);
}

static void ask(unsigned f, const struct xen_pci_op *op)
{
    page[f]->op = *op;
    page[f]->flags |= XEN_PCIF_active;
    raise(f);
}

static void life(void)
{
    memset(mapped, 0, sizeof mapped); /* the core ended what the last one had */
    memset(bound, 0, sizeof bound);
    pciif_init(keep, NR);
}

static bool done(unsigned f) { return !(page[f]->flags & XEN_PCIF_active); }

static void serve_all(void)
{
    for (unsigned i = 0; i < 20 && pciif_turn(); i++)
        ;
}

int setup(void **state)
{
    keep = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    page[0] = (void *)((char *)keep + 4096);
    page[1] = (void *)((char *)keep + 8192);
    memset(space, 0, sizeof space);
    space[0][1][0] = 0x10d38086;
    space[1][1][0] = 0x11e81234;
    no_map = no_port = busy = 0;
    meddle = armed = false;
    memset(told, 0, sizeof told);
    memset(accesses, 0, sizeof accesses);
    now = NS_PER_S;
    life();
    return 0;
}
int teardown(void **state) { return munmap(keep, 3 * 4096); }

static void connect(unsigned f)
{
    assert_int_equal(pciif_connect((domid_t)(A + f), 8u + A + f, 100u + A + f), 0);
}

/* The answer; it came with one event. */
static struct xen_pci_op say(unsigned f, struct xen_pci_op op)
{
    unsigned before = told[f];
    op.err = 77;
    ask(f, &op);
    serve_all();
    assert_true(done(f));
    assert_int_equal(told[f], before + 1);
    return page[f]->op;
}
#define SAY(f, ...) say(f, (struct xen_pci_op){ __VA_ARGS__ })

/* --- tests ----------------------------------------------------------------------------------------------------------- */
TEST(test_requests)
{
    connect(0);
    struct xen_pci_op op = SAY(0, .cmd = XEN_PCI_OP_conf_read, .devfn = 8, .size = 4);
    assert_true(!op.err && op.value == 0x10d38086);
    op = SAY(0, .cmd = XEN_PCI_OP_conf_read, .devfn = 8, .size = 2, .offset = 2);
    assert_true(!op.err && op.value == 0x10d3);
    op = SAY(0, .cmd = XEN_PCI_OP_conf_write, .devfn = 16, .size = 2, .offset = 4, .value = 6);
    assert_true(!op.err && space[0][2][1] == 6);
    op = SAY(0, .cmd = XEN_PCI_OP_enable_msi, .devfn = 16);
    assert_true(!op.err && op.value == 1000);
    op = SAY(0, .cmd = XEN_PCI_OP_disable_msi, .devfn = 16, .value = 9);
    assert_true(!op.err && !op.value);
    op = SAY(0, .cmd = XEN_PCI_OP_enable_msix, .devfn = 8, .value = 2,
             .msix_entries = { { 0, 3 }, { 0, 1 } });
    assert_true(!op.err && !op.value && op.msix_entries[0].vector == 1003 &&
                op.msix_entries[1].vector == 1001 && op.msix_entries[0].entry == 3);
    op = SAY(0, .cmd = XEN_PCI_OP_disable_msix, .devfn = 8);
    assert_int_equal(op.err, 0);
}

TEST(test_refusals)
{
    connect(0);
    for (int off = -5; off < 300; off++)
        for (int size = -1; size < 10; size++) {
            bool good = off >= 0 && off < 256 && (size == 1 || size == 2 || size == 4) &&
                        off % size == 0;
            struct xen_pci_op op = SAY(0, .cmd = XEN_PCI_OP_conf_read, .devfn = 8, .offset = off,
                                       .size = size);
            assert_int_equal(op.err, good ? XEN_PCI_ERR_success : XEN_PCI_ERR_invalid_offset);
        }
    assert_int_equal(SAY(0, .cmd = XEN_PCI_OP_conf_read, .devfn = 24, .size = 4).err,
                     XEN_PCI_ERR_dev_not_found);
    assert_int_equal(SAY(0, .cmd = XEN_PCI_OP_conf_read, .devfn = 264, .size = 4).err,
                     XEN_PCI_ERR_dev_not_found);
    assert_int_equal(SAY(0, .cmd = XEN_PCI_OP_conf_read, .bus = 1, .devfn = 8, .size = 4).err,
                     XEN_PCI_ERR_dev_not_found);
    assert_int_equal(SAY(0, .cmd = XEN_PCI_OP_conf_write, .domain = 1, .devfn = 8, .size = 4).err,
                     XEN_PCI_ERR_dev_not_found);
    for (unsigned cmd = XEN_PCI_OP_aer_detected; cmd < 20; cmd++)
        assert_int_equal(SAY(0, .cmd = cmd, .devfn = 8).err, XEN_PCI_ERR_not_implemented);
    assert_int_equal(SAY(0, .cmd = ~0u, .devfn = 8).err, XEN_PCI_ERR_not_implemented);
    assert_int_equal(SAY(0, .cmd = XEN_PCI_OP_enable_msix, .devfn = 8, .value = 129).err,
                     XEN_PCI_ERR_op_failed);
    assert_int_equal(SAY(0, .cmd = XEN_PCI_OP_enable_msix, .devfn = 8, .value = ~0u).err,
                     XEN_PCI_ERR_op_failed);
    assert_int_equal(SAY(0, .cmd = XEN_PCI_OP_enable_msix, .devfn = 8, .value = 1,
                         .msix_entries = { { 0, 5 } })
                         .err,
                     XEN_PCI_ERR_op_failed);
    assert_int_equal(SAY(0, .cmd = XEN_PCI_OP_enable_msix, .devfn = 16, .value = 1).err,
                     XEN_PCI_ERR_op_failed);
}

TEST(test_connections)
{
    assert_int_equal(pciif_connect(A, 3, 100 + A), -EINVAL); /* no grant of its */
    assert_int_equal(pciif_connect(A, 8 + A, 3), -EINVAL);   /* no port */
    assert_true(!mapped[0] && !bound[0]);
    assert_int_equal(pciif_front(-1), -ENOENT);
    connect(0);
    connect(0); /* the same once more */
    connect(1);
    assert_int_equal(pciif_front(-1), A);
    assert_int_equal(pciif_front(A), B);
    assert_int_equal(pciif_connect(B, 3, 100 + B), -EINVAL); /* another one: the old one is gone */
    assert_true(!mapped[1] && !bound[1]);
    connect(1);
    pciif_disconnect(A);
    pciif_disconnect(A);
    assert_true(!mapped[0] && !bound[0] && mapped[1]);
    life();
    assert_int_equal(pciif_front(-1), B);
    assert_true(mapped[1] && told[1] == 1); /* an answer may not have been told */
    pciif_disconnect(B);
    connect(1);
    for (unsigned i = 0; i < 3 * 8; i++) { /* a damaged record is none */
        ((uint8_t *)keep)[i] ^= 4;
        life();
        assert_int_equal(pciif_front(-1), -ENOENT);
        connect(1);
    }
    no_map = 1;
    life();
    assert_int_equal(pciif_front(-1), -ENOENT);
}

/* What the core cannot do yet is answered later; others are not kept waiting. */
TEST(test_put_off)
{
    connect(0);
    connect(1);
    busy = 3;
    ask(0, &(struct xen_pci_op){ .cmd = XEN_PCI_OP_conf_write, .devfn = 8, .size = 4, .value = 5 });
    for (unsigned i = 0; i < 3; i++) {
        serve_all();
        assert_false(done(0));
        assert_int_equal(SAY(1, .cmd = XEN_PCI_OP_conf_read, .devfn = 8, .size = 4).value,
                         0x11e81234);
        assert_int_equal(pciif_until(0), now + PUT_OFF_NS);
        now += PUT_OFF_NS;
    }
    serve_all();
    assert_true(done(0) && space[0][1][0] == 5 && pciif_until(0) == 0);
}

/* Nor by the events of one whose own request is put off. */
TEST(test_put_off_and_events)
{
    connect(0);
    connect(1);
    ask(0,
        &(struct xen_pci_op){ .cmd = XEN_PCI_OP_conf_write, .devfn = 8, .size = 4, .value = NEVER });
    serve_all();
    busy = 1;
    ask(1, &(struct xen_pci_op){ .cmd = XEN_PCI_OP_conf_write, .devfn = 8, .size = 4, .value = 5 });
    (void)pciif_turn();
    assert_false(done(1));
    for (unsigned i = 0; i < 2; i++) {
        now += PUT_OFF_NS / 2;
        raise(0);
        (void)pciif_turn();
    }
    assert_true(done(1) && !done(0));
}

/* A front-end that asks again and again gets as much as another. */
TEST(test_storm)
{
    connect(0);
    connect(1);
    for (unsigned i = 0; i < 1000; i++) {
        ask(0, &(struct xen_pci_op){ .cmd = XEN_PCI_OP_conf_read, .devfn = 8, .size = 4 });
        raise(0);
        ask(1, &(struct xen_pci_op){ .cmd = XEN_PCI_OP_conf_read, .devfn = 8, .size = 4 });
        assert_true(pciif_turn());
        assert_true(done(0) && done(1));
    }
    assert_int_equal(accesses[0], accesses[1]);
    for (unsigned i = 0; i < 1000; i++) /* events without a request */
        raise(0), assert_false(pciif_turn() && pciif_turn());
}

/* --- deaths ---------------------------------------------------------------------------------------------------------- */
static const struct xen_pci_op script[] = {
    { .cmd = XEN_PCI_OP_conf_read, .devfn = 8, .size = 4 },
    { .cmd = XEN_PCI_OP_conf_write, .devfn = 8, .size = 2, .offset = 4, .value = 0x106 },
    { .cmd = XEN_PCI_OP_enable_msix,
      .devfn = 8,
      .value = 3,
      .msix_entries = { { 9, 4 }, { 9, 0 }, { 9, 2 } } },
    { .cmd = XEN_PCI_OP_enable_msi, .devfn = 16, .value = 55 },
    { .cmd = XEN_PCI_OP_enable_msix, .devfn = 16, .value = 1 },
    { .cmd = XEN_PCI_OP_conf_read, .devfn = 24, .size = 4, .value = 3 },
    { .cmd = XEN_PCI_OP_conf_write, .devfn = 16, .size = 1, .offset = 0x3c, .value = 11 },
    { .cmd = XEN_PCI_OP_disable_msix, .devfn = 8, .value = 1 },
};
#define STEPS ARRAY_SIZE(script)

static volatile unsigned pc;
static volatile bool asked;
static void play(long when, struct xen_pci_op answers[STEPS])
{
    memset(keep, 0, 3 * 4096);
    memset(space, 0, sizeof space);
    space[0][1][0] = 0x10d38086;
    life();
    points = 0;
    dies_at = when;
    pc = 0;
    asked = false;
    armed = true;
    if (setjmp(death))
        life();
    else
        stores_watch(keep, 3 * 4096, point);
    for (;;) {
        connect(0); /* as the store says it each time */
        if (pc == STEPS)
            break;
        if (!asked) {
            bool was = armed;
            armed = false; /* these are not the back-end's stores */
            ask(0, &script[pc]);
            asked = true;
            armed = was;
        }
        serve_all();
        assert_true(done(0));
        answers[pc] = page[0]->op;
        asked = false;
        pc++;
    }
    if (armed)
        stores_watch(keep, 3 * 4096, NULL);
    armed = false;
    assert_true(mapped[0] == 1 && bound[0] == 1);
}

TEST(test_death_at_each_point)
{
    struct xen_pci_op want[STEPS], got[STEPS];
    uint32_t end[64];

    play(-1, want);
    long all = points;
    print_message("%ld points\n", all);
    assert_true(all > 40);
    assert_true(!want[2].err && !want[2].value && want[2].msix_entries[0].vector == 1004);
    memcpy(end, space[0][1], sizeof end);
    for (long i = 0; i < all; i++) {
        play(i, got);
        assert_memory_equal(got, want, sizeof want);
        assert_memory_equal(space[0][1], end, sizeof end);
    }
}

/* --- a page that changes all the time -------------------------------------------------------------------------------- */
TEST(test_hostile_page)
{
    connect(0);
    connect(1);
    for (unsigned s = 1; s <= 20; s++) {
        srand(s);
        for (unsigned i = 0; i < 3000; i++) {
            for (unsigned k = 0; k < sizeof *page[0] / 4; k++)
                ((uint32_t *)page[0])[k] = (uint32_t)rand();
            struct xen_pci_op *op = &page[0]->op;
            if (rand() % 8) {
                op->cmd %= 8;
                op->domain = op->bus = 0;
                op->devfn = rand() % 2 ? 8 : 16;
                op->size = 1 << rand() % 3;
                op->offset = rand() % 256 & ~(op->size - 1);
                op->value = rand() % 2 ? op->value : (uint32_t)rand() % 140;
            }
            page[0]->flags |= XEN_PCIF_active;
            meddle = rand() % 2;
            busy = rand() % 4 == 0;
            now += NS_PER_MS;
            raise(0);
            (void)pciif_turn();
            meddle = false;
            assert_int_equal(SAY(1, .cmd = XEN_PCI_OP_conf_read, .devfn = 8, .size = 4).value,
                             0x11e81234);
        }
    }
    assert_int_equal(space[1][1][0], 0x11e81234);
}

/* --- accesses that the core stopped ---------------------------------------------------------------------------------- */
#define VCPUS 20u
static struct bh_pci_trap waiting[2][VCPUS];
static unsigned turn[2];
static unsigned nr_answers[2], asks;
static uint64_t serials = 1;
static bool again, stale; /* A's next access is there at once; it is gone when the answer comes */

static void stop_vcpu(unsigned f, unsigned n, unsigned devfn, unsigned off, unsigned size,
                      bool write, uint32_t value)
{
    waiting[f][n] = (struct bh_pci_trap){ .domid = (uint16_t)(A + f),
                                          .vcpu = (uint16_t)n,
                                          .devfn = (uint16_t)devfn,
                                          .off = (uint16_t)off,
                                          .size = (uint8_t)size,
                                          .write = write,
                                          .value = value,
                                          .serial = serials++ };
}
static void stop(unsigned f, unsigned devfn, unsigned off, unsigned size, bool write, uint32_t value)
{
    stop_vcpu(f, 0, devfn, off, size, write, value);
}

static long trap_answer(const struct bh_pci_trap *t)
{
    unsigned f = t->domid - (unsigned)A;
    struct bh_pci_trap *w = &waiting[f][t->vcpu];

    if (stale)
        w->serial = 0;
    if (!t->serial || w->serial != t->serial)
        return -ESTALE;
    w->value = t->value;
    w->serial = 0;
    nr_answers[f]++;
    if (again && !f)
        stop(0, 8, 0, 4, false, 0);
    return 0;
}

long hypercall(unsigned nr, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4)
{
    struct bh_pci_trap *t = (void *)a2;

    assert_true(nr == BH_HYPERCALL_CONTROL && a1 == BH_CTL_PCI_TRAP);
    if (t->step == BH_TRAP_ANSWER)
        return trap_answer(t);
    asks++;
    for (unsigned i = 0; i < 2; i++) { /* the one behind the last is next */
        unsigned f = (t->domid == A ? 1 + i : i) % 2;
        for (unsigned k = 0; k < VCPUS; k++) {
            const struct bh_pci_trap *w = &waiting[f][(turn[f] + k) % VCPUS];
            if (!w->serial)
                continue;
            turn[f] = w->vcpu + 1u;
            *t = *w;
            return 0;
        }
    }
    return -ENOENT;
}

TEST(test_traps)
{
    trap_begin();
    stop(0, 8, 0, 4, false, 0);
    while (trap_turn()) /* a former instance left it */
        ;
    assert_int_equal(waiting[0][0].value, 0x10d38086);
    assert_true(trap_answered() && trap_until(0) == 0 && trap_until(5) == 5);
    assert_int_equal(synced, 0);
    stop(0, 24, 0, 4, false, 0); /* nothing is there: is there something by now? */
    assert_false(trap_turn());
    assert_int_not_equal(waiting[0][0].serial, 0);
    virq(7, NULL);
    while (trap_turn())
        ;
    assert_true(waiting[0][0].value == ~0u && synced == 1);
}

/* A write that the core puts off: the other's access is answered, and the turn ends. */
TEST(test_traps_put_off)
{
    busy = 1000;
    stop(0, 8, 4, 2, true, 7);
    stop(1, 8, 0, 4, false, 0);
    asks = 0;
    virq(7, NULL);
    assert_false(trap_turn());
    assert_true(waiting[0][0].serial && !waiting[1][0].serial && asks <= 4);
    assert_int_equal(trap_until(0), now + PUT_OFF_NS);
    assert_false(trap_turn());
    busy = 0;
    now += PUT_OFF_NS;
    while (trap_turn())
        ;
    assert_true(!waiting[0][0].serial && space[0][1][1] == 7 && trap_until(0) == 0);
}

/* So many vCPUs of A have one that is put off, so many of B one that is not: B's are answered at once, and there is rest. */
static void many(unsigned a, unsigned b)
{
    memset(waiting, 0, sizeof waiting);
    for (unsigned i = 0; i < a; i++)
        stop_vcpu(0, i, 8, 4, 4, true, NEVER);
    for (unsigned i = 0; i < b; i++)
        stop_vcpu(1, i, 8, 0, 4, false, 0);
    virq(7, NULL);
    unsigned turns = 0, had = nr_answers[1];
    while (turns < 20 && trap_turn())
        turns++;
    assert_in_range(turns, 0, 10);
    assert_int_equal(nr_answers[1] - had, b);
    assert_int_equal(trap_until(0), now + PUT_OFF_NS);
    now += PUT_OFF_NS; /* what is put off is tried, and that ends as well */
    asks = 0;
    assert_false(trap_turn());
    assert_in_range(asks, 1, 16);
    memset(waiting, 0, sizeof waiting);
    now += PUT_OFF_NS;
    assert_false(trap_turn());
}

TEST(test_traps_many_put_off)
{
    for (unsigned a = 1; a <= VCPUS; a++)
        for (unsigned b = 0; b <= VCPUS; b++)
            many(a, b);
}

TEST(test_traps_for_ever)
{
    again = true;
    stop(0, 8, 0, 4, false, 0);
    virq(7, NULL);
    for (unsigned i = 0; i < 100; i++) {
        unsigned had = nr_answers[0];
        stop(1, 8, 0, 4, false, 0);
        assert_true(trap_turn());
        assert_int_equal(waiting[1][0].serial, 0);
        assert_true(nr_answers[0] - had <= 16);
    }
    again = false;
}

/* It is gone meanwhile: nobody's answer. */
TEST(test_traps_stale)
{
    stale = true;
    stop(0, 8, 0, 4, false, 0);
    virq(7, NULL);
    while (trap_turn())
        ;
    stale = false;
    assert_int_equal(waiting[0][0].domid, A);
}
