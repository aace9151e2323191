// SPDX-License-Identifier: MIT
// LINK: hv/mem/npt.c
// Nested page tables against a flat model: random changes, references, and the order clear - flush - drop.
#include "unit.h"
#include "shim.h"
#include "arch/irq.h"
#include "base/cpu.h"
#include "base/print.h"
#include "mem/frame.h"
#include "mem/npt.h"
#include "domain/domain.h"

#define NR_GFN 4096u
#define FRAMES \
    8192u /* the lower half of the shim's memory: nobody allocates there; the upper half is tables */
#define BIG 512u

static struct frame frames[2 * FRAMES];
static struct domain dom;
static struct vcpu vcpu0;
static uint64_t clear_gen; /* generation when the entry in question was cleared */
static unsigned nr_puts, ipis, other_kicks;

struct frame *mfn_to_frame(mfn_t m) { return m.v < 2 * FRAMES ? &frames[m.v] : NULL; }
mfn_t frame_to_mfn(const struct frame *f) { return MFN((uint64_t)(f - frames)); }
static void (*meanwhile)(void); /* what somebody else does just before the next reference is taken */
bool frame_get(mfn_t m, uint16_t owner)
{
    void (*f)(void) = meanwhile;
    meanwhile = NULL;
    if (f)
        f();
    if (m.v >= FRAMES || !frames[m.v].refs || frames[m.v].owner != owner)
        return false;
    frames[m.v].refs++;
    return true;
}
void frame_put(mfn_t m)
{
    assert_true(m.v < FRAMES && frames[m.v].refs > 0);
    assert_true(dom.p2m.gen > clear_gen); /* shot down before it is dropped */
    frames[m.v].refs--;
    nr_puts++;
}
void frame_put_block(mfn_t m, unsigned order)
{
    for (uint64_t i = 0; i < 1ull << order; i++)
        frame_put(MFN(m.v + i));
}
void apic_send_ipi(uint32_t cpu, uint8_t vector)
{
    assert_int_equal(vector, VEC_KICK);
    if (cpu) {
        other_kicks++;
        return;
    }
    vcpu0.in_guest = 0; /* the target leaves the guest */
    ipis++;
}

static uint64_t charged, allowance = UINT64_MAX;
void *core_alloc_table(struct domain *d)
{
    assert_ptr_equal(d, &dom);
    return charged < allowance ? charged++, core_alloc(0) : NULL;
}
void core_free_for(struct domain *d, void *p)
{
    assert_ptr_equal(d, &dom);
    core_free(p, 0);
    charged--;
}

int setup(void **state)
{
    allowance = UINT64_MAX;
    memset(&dom, 0, sizeof dom);
    memset(&vcpu0, 0, sizeof vcpu0);
    memset(frames, 0, sizeof frames);
    vcpu0.cpu = this_cpu();
    vcpu0.domain = &dom;
    dom.id = 7;
    dom.nr_vcpus = 1;
    dom.vcpu[0] = &vcpu0;
    nr_puts = ipis = 0;
    clear_gen = 0;
    for (unsigned i = 0; i < FRAMES; i++)
        frames[i] = (struct frame){ .refs = 1, .owner = 7 };
    return p2m_init(&dom);
}
int teardown(void **state)
{
    while (dom.p2m.root)
        p2m_free(&dom);
    assert_int_equal(shim_core_pages, 0);
    return 0;
}

struct place {
    uint64_t mfn;
    enum p2m_type t;
};
static struct place model[NR_GFN];

static void check(uint64_t gfn)
{
    enum p2m_type t;
    mfn_t m = p2m_lookup(&dom, GFN(gfn), &t);
    assert_int_equal(t, model[gfn].t);
    if (t != P2M_NONE)
        assert_int_equal(m.v, model[gfn].mfn);
}

static void set_random(void)
{
    uint64_t gfn = random_u64() % NR_GFN, mfn = random_u64() % (FRAMES - BIG);
    unsigned order = random_u64() % 4 ? 0 : ORDER_2M;
    enum p2m_type t = 1 + random_u64() % P2M_RAM_IMMUTABLE;
    bool free = true, split = false;
    if (order) {
        gfn &= ~(uint64_t)(BIG - 1);
        mfn &= ~(uint64_t)(BIG - 1);
    }
    for (uint64_t i = 0; i < 1u << order; i++)
        free &= model[gfn + i].t == P2M_NONE;
    int rc = p2m_set(&dom, GFN(gfn), MFN(mfn), order, t);
    assert_true(free ? rc == 0 || (order && rc == -EEXIST) : rc == -EEXIST);
    split = free && rc; /* an empty table is in the way of a big leaf */
    for (uint64_t i = 0; i < 1u << order && !rc && !split; i++)
        model[gfn + i] = (struct place){ mfn + i, t };
}

TEST(random_against_model)
{
    memset(model, 0, sizeof model);
    for (unsigned n = 0; n < 20000; n++) {
        uint64_t gfn = random_u64() % NR_GFN;
        mfn_t m;
        enum p2m_type t;
        switch (random_u64() % 3) {
        case 0: set_random(); break;
        case 1:
            if (p2m_clear(&dom, GFN(gfn), &m, &t) == 0) {
                assert_int_equal(m.v, model[gfn].mfn);
                assert_int_equal(t, model[gfn].t);
            } else {
                assert_int_equal(model[gfn].t, P2M_NONE);
            }
            model[gfn].t = P2M_NONE;
            break;
        default:
            if (p2m_replace(&dom, GFN(gfn), MFN(gfn), P2M_GRANT_RO, &m) == 0) {
                assert_int_equal(m.v, model[gfn].mfn);
                model[gfn] = (struct place){ gfn, P2M_GRANT_RO };
            } else {
                assert_int_equal(model[gfn].t, P2M_NONE);
            }
        }
        check(gfn);
        check(random_u64() % NR_GFN);
    }
    uint64_t next = NR_GFN;
    for (uint64_t g = NR_GFN; g-- > 0;) {
        check(g);
        if (model[g].t != P2M_NONE)
            next = g;
        assert_int_equal(p2m_next(&dom, g, NR_GFN), next);
        assert_int_equal(p2m_next(&dom, g, g + 1), MIN(next, g + 1));
        assert_int_equal(p2m_next(&dom, g, g), g);
    }
}

TEST(refuses)
{
    assert_int_equal(p2m_set(&dom, GFN(dom.p2m.max_gfn), MFN(1), 0, P2M_RAM), -EINVAL);
    assert_int_equal(p2m_set(&dom, GFN(1), MFN(0), ORDER_2M, P2M_RAM), -EINVAL);
    assert_int_equal(p2m_set(&dom, GFN(512), MFN(3), ORDER_2M, P2M_RAM), -EINVAL);
    assert_int_equal(p2m_set(&dom, GFN(0), MFN(0), 3, P2M_RAM), -EINVAL);
    assert_int_equal(p2m_set(&dom, GFN(0), MFN(0), 0, P2M_NONE), -EINVAL);
    enum p2m_type t;
    mfn_t m;
    assert_int_equal(p2m_clear(&dom, GFN(~0ull), &m, &t), -ENOENT);
    assert_int_equal(p2m_lookup(&dom, GFN(~0ull), &t).v, INVALID_MFN.v);
}

/* Entries as the hardware reads them. */
static uint64_t raw(uint64_t gfn, unsigned level)
{
    uint64_t *t = dom.p2m.root;
    for (unsigned l = 4; l > level; l--)
        t = maddr_to_virt(MADDR(t[gfn >> 9 * (l - 1) & 511] & 0xffffffffff000ull));
    return t[gfn >> 9 * (level - 1) & 511];
}
TEST(bits_of_leaves)
{
    assert_int_equal(p2m_set(&dom, GFN(0), MFN(5), 0, P2M_RAM), 0);
    assert_int_equal(p2m_set(&dom, GFN(1), MFN(6), 0, P2M_RAM_RO), 0);
    assert_int_equal(p2m_set(&dom, GFN(2), MFN(0xfee00), 0, P2M_MMIO), 0);
    assert_int_equal(p2m_set(&dom, GFN(3), MFN(7), 0, P2M_RAM_IMMUTABLE), 0);
    assert_int_equal(p2m_set(&dom, GFN(512), MFN(1024), ORDER_2M, P2M_RAM), 0);
    assert_true(raw(3, 1) == (0x7000 | 0x65 | P2M_RAM_IMMUTABLE << 9)); /* executable, not writable */
    assert_true(raw(0, 1) == (0x5000 | 0x67 | P2M_RAM << 9));
    assert_true(raw(1, 1) == (0x6000 | 0x65 | P2M_RAM_RO << 9 | 1ull << 63));
    assert_true(raw(2, 1) == (0xfee00000 | 0x7f | (uint64_t)P2M_MMIO << 9 | 1ull << 63));
    assert_true(raw(512, 2) == (0x400000 | 0xe7 | P2M_RAM << 9));
}

TEST(get_pins)
{
    enum p2m_type t;
    frames[9].owner = 3;
    assert_int_equal(p2m_set(&dom, GFN(1), MFN(8), 0, P2M_RAM), 0);
    assert_int_equal(p2m_set(&dom, GFN(2), MFN(9), 0, P2M_GRANT_RW), 0);
    assert_int_equal(p2m_set(&dom, GFN(3), MFN(9), 0, P2M_RAM),
                     0); /* owned by another: never pinned as RAM */
    assert_int_equal(p2m_get(&dom, GFN(1), &t).v, 8);
    assert_int_equal(frames[8].refs, 2);
    assert_int_equal(p2m_get(&dom, GFN(2), &t).v, 9);
    assert_int_equal(frames[9].refs, 2);
    assert_int_equal(p2m_get(&dom, GFN(3), &t).v, INVALID_MFN.v);
    assert_int_equal(t, P2M_NONE);
    assert_int_equal(p2m_set(&dom, GFN(4), MFN(10), 0, P2M_RAM_IMMUTABLE), 0);
    assert_int_equal(p2m_set(&dom, GFN(5), MFN(9), 0, P2M_RAM_IMMUTABLE), 0); /* another's */
    assert_int_equal(p2m_get(&dom, GFN(4), &t).v, 10);
    assert_int_equal(t, P2M_RAM_IMMUTABLE);
    assert_int_equal(frames[10].refs, 2);
    assert_int_equal(p2m_get(&dom, GFN(5), &t).v, INVALID_MFN.v);
}

static void becomes_another(void)
{
    enum p2m_type t;
    mfn_t m;
    assert_int_equal(p2m_clear(&dom, GFN(1), &m, &t), 0);
    assert_int_equal(p2m_set(&dom, GFN(1), MFN(9), 0, P2M_RAM), 0);
}
static void is_split_and_becomes_another(void)
{
    enum p2m_type t;
    mfn_t m;
    assert_int_equal(p2m_clear(&dom, GFN(515), &m, &t), 0);
    assert_int_equal(p2m_set(&dom, GFN(515), MFN(9), 0, P2M_RAM), 0);
}
static void becomes_read_only(void)
{
    mfn_t old;
    assert_int_equal(p2m_replace(&dom, GFN(1), MFN(9), P2M_RAM_RO, &old), 0);
}
/* A frame that was alive when its reference was taken, but is not the one that is there by then, is not the answer. */
TEST(get_looks_again)
{
    enum p2m_type t;
    assert_int_equal(p2m_set(&dom, GFN(1), MFN(8), 0, P2M_RAM), 0);
    assert_int_equal(p2m_set(&dom, GFN(512), MFN(1024), ORDER_2M, P2M_RAM), 0);
    meanwhile = becomes_another;
    assert_int_equal(p2m_get(&dom, GFN(1), &t).v, 9);
    assert_int_equal(frames[8].refs, 1);
    assert_int_equal(frames[9].refs, 2);
    meanwhile = becomes_read_only;
    assert_int_equal(p2m_get(&dom, GFN(1), &t).v, 9);
    assert_int_equal(t, P2M_RAM_RO);
    meanwhile = is_split_and_becomes_another;
    assert_int_equal(p2m_get(&dom, GFN(515), &t).v, 9);
    assert_int_equal(frames[1027].refs, 1);
}

/* What a hypercall wants to take away may be something else by the time it does so. */
TEST(clear_only_what_was_meant)
{
    enum p2m_type t = P2M_NONE;
    mfn_t m;
    assert_int_equal(p2m_set(&dom, GFN(1), MFN(8), 0, P2M_GRANT_RW), 0);
    assert_int_equal(p2m_clear_only(&dom, GFN(1), 1u << P2M_RAM | 1u << P2M_SHARED, &m, &t), -EBUSY);
    assert_int_equal(p2m_lookup(&dom, GFN(1), &t).v, 8);
    assert_int_equal(p2m_clear_only(&dom, GFN(2), 1u << P2M_RAM, &m, &t), -ENOENT);
    assert_int_equal(p2m_clear_only(&dom, GFN(1), 1u << P2M_GRANT_RW, &m, &t), 0);
    assert_int_equal(m.v, 8);
    assert_int_equal(t, P2M_GRANT_RW);
}

/* A page here and a page there, each let go again: the tables stay, so there is an end to it. */
TEST(tables_are_charged)
{
    uint64_t n = 0, gfn = 0, before = charged;
    enum p2m_type t;
    mfn_t m;
    allowance = before + 200;
    for (int rc = 0; !rc && n < 1000; n++, gfn += BIG) {
        rc = p2m_set(&dom, GFN(gfn), MFN(8), 0, P2M_RAM);
        assert_true(rc == 0 || rc == -ENOMEM);
        if (!rc)
            assert_int_equal(p2m_clear(&dom, GFN(gfn), &m, &t), 0);
    }
    assert_in_range(n, 190, 200);
    assert_int_equal(charged, before + 200);
    assert_int_equal(shim_core_pages, charged); /* none came from anywhere else */
    assert_int_equal(p2m_set(&dom, GFN(1), MFN(8), 0, P2M_RAM), 0); /* where there is a table already */
    allowance += 4;
    assert_int_equal(p2m_set(&dom, GFN(1ull << 27), MFN(0x200), ORDER_2M, P2M_RAM), 0);
    assert_int_equal(charged, before + 202);
    allowance = charged;
    assert_int_equal(p2m_clear(&dom, GFN((1ull << 27) + 3), &m, &t), -ENOMEM); /* the split, too */
    allowance++;
    assert_int_equal(p2m_clear(&dom, GFN((1ull << 27) + 3), &m, &t), 0);
}

static uint64_t used_tables(void) { return shim_core_pages; }

/* Tables that hold nothing come back, but only when no CPU can be in them any more; what is mapped stays mapped. */
TEST(tables_come_back)
{
    uint64_t cursor = 0, calls = 0, before = used_tables();
    enum p2m_type t;
    mfn_t m;
    struct cpu *other = (shim_cpu = 1, this_cpu());
    shim_cpu = 0;
    nr_cpus = 2;
    for (uint64_t g = 0; g < 40; g++) {
        assert_int_equal(p2m_set(&dom, GFN((g + 1) << 18), MFN(8), 0, P2M_SHARED), 0);
        if (g != 7)
            assert_int_equal(p2m_clear(&dom, GFN((g + 1) << 18), &m, &t), 0);
    }
    uint64_t spread = used_tables();
    assert_int_equal(spread, before + 80 + 1); /* one of level 3 that was not there */
    while (calls++ < 10000 && !p2m_shrink(&dom, &cursor, 64))
        assert_int_equal(used_tables(), spread); /* CPU 1 has not come by */
    assert_int_equal(used_tables(), spread);
    assert_int_equal(other_kicks, 1);
    assert_int_equal(p2m_lookup(&dom, GFN(8ull << 18), &t).v, 8);
    p2m_pass(other);
    uint64_t last = spread;
    for (bool end = false; !end; last = used_tables()) {
        end = p2m_shrink(&dom, &cursor, 64);
        assert_in_range(last - used_tables(), 0, 3); /* in steps */
    }
    assert_int_equal(used_tables(), before + 3);
    assert_int_equal(dom.p2m.nr_tables, used_tables());
    assert_int_equal(p2m_lookup(&dom, GFN(8ull << 18), &t).v, 8);
    assert_int_equal(p2m_set(&dom, GFN(20ull << 18), MFN(8), 0, P2M_SHARED), 0);
    /* Nothing to do: no wait, nobody is kicked. */
    cursor = 0;
    while (!p2m_shrink(&dom, &cursor, 64))
        ;
    assert_int_equal(other_kicks, 1);
    nr_cpus = 1;
}

/* Every entry looked at takes of the budget, empty ones too. */
TEST(empty_tables_count)
{
    uint64_t cursor = 0, calls = 0;
    enum p2m_type t;
    mfn_t m;
    for (uint64_t g = 0; g < 64 * 512; g += 512) {
        assert_int_equal(p2m_set(&dom, GFN(g), MFN(8), 0, P2M_SHARED), 0);
        assert_int_equal(p2m_clear(&dom, GFN(g), &m, &t), 0);
    }
    for (bool end = false; !end; calls++) {
        uint64_t from = cursor;
        end = p2m_teardown(&dom, &cursor, 256, NULL);
        assert_true(from >= 64 * 512 || cursor - MIN(cursor, from) <= 256 || cursor > 64 * 512);
    }
    assert_in_range(calls, 64 * 512 / 256, 64 * 512 / 256 + 8);
    /* And the last reference frees in steps. */
    uint64_t before = used_tables();
    p2m_free(&dom);
    assert_in_range(before - used_tables(), 1, 128);
    assert_true(before < 128 || dom.p2m.root != NULL);
}

static bool keep_some(struct domain *d, gfn_t g, enum p2m_type t)
{
    return g.v == 3 || g.v == 700 || (t == P2M_RAM_IMMUTABLE && g.v != 21);
}
TEST(teardown_keeps_and_flushes)
{
    uint64_t cursor = 0;
    unsigned calls = 0;
    enum p2m_type t;
    for (uint64_t g = 0; g < 20; g++)
        assert_int_equal(p2m_set(&dom, GFN(g), MFN(g), 0, P2M_RAM), 0);
    assert_int_equal(p2m_set(&dom, GFN(512), MFN(512), ORDER_2M, P2M_RAM), 0);
    assert_int_equal(p2m_set(&dom, GFN(1024), MFN(1024), ORDER_2M, P2M_RAM), 0);
    assert_int_equal(p2m_set(&dom, GFN(5000), MFN(77), 0, P2M_SHARED), 0);
    assert_int_equal(p2m_set(&dom, GFN(20), MFN(20), 0, P2M_RAM_IMMUTABLE), 0);
    assert_int_equal(p2m_set(&dom, GFN(21), MFN(21), 0, P2M_RAM_IMMUTABLE), 0);
    vcpu0.in_guest = 1;
    vcpu0.npt_gen = dom.p2m.gen;
    clear_gen = dom.p2m.gen;
    while (!p2m_teardown(&dom, &cursor, 8, keep_some))
        calls++;
    assert_true(calls > 10);
    assert_int_equal(ipis, 1); /* out once, and never back in */
    assert_int_equal(nr_puts, 20 + 511 + 512);
    assert_int_equal(p2m_lookup(&dom, GFN(20), &t).v, 20);
    assert_int_equal(t, P2M_RAM_IMMUTABLE);
    assert_int_equal(frames[20].refs, 1);
    assert_int_equal(frames[21].refs, 0); /* counted like RAM */
    assert_int_equal(frames[77].refs, 1); /* not counted */
    assert_int_equal(p2m_lookup(&dom, GFN(3), &t).v, 3);
    assert_int_equal(p2m_lookup(&dom, GFN(700), &t).v, 700);
    assert_int_equal(p2m_lookup(&dom, GFN(701), &t).v, INVALID_MFN.v);
    assert_int_equal(frames[700].refs, 1);
}

/* A device's registers can be taken away whatever memory there is: big leaves go as they are, and only those that are meant. */
TEST(registers_go_without_memory)
{
    enum p2m_type t;
    mfn_t m;

    assert_int_equal(p2m_set(&dom, GFN(512), MFN(0x80000), ORDER_2M, P2M_MMIO), 0);
    assert_int_equal(p2m_set(&dom, GFN(1024), MFN(1024), ORDER_2M, P2M_RAM), 0);
    assert_int_equal(p2m_set(&dom, GFN(3), MFN(0x90003), 0, P2M_MMIO), 0);
    uint64_t tables = dom.p2m.nr_tables, core = shim_core_pages;
    assert_int_equal(p2m_clear_mmio(&dom, GFN(512), MFN(0x80200)), 0);
    assert_int_equal(p2m_clear_mmio(&dom, GFN(513), MFN(0x80001)), 0);
    assert_int_equal(p2m_clear_mmio(&dom, GFN(1024), MFN(1024)), 0);
    assert_int_equal(p2m_clear_mmio(&dom, GFN(4), MFN(0x90004)), 0);
    assert_int_equal(p2m_clear_mmio(&dom, GFN(~0ull), MFN(0)), 0);
    assert_int_equal(p2m_clear_mmio(&dom, GFN(512), MFN(0x80000)), 512);
    assert_int_equal(p2m_clear_mmio(&dom, GFN(3), MFN(0x90003)), 1);
    assert_int_equal(p2m_lookup(&dom, GFN(700), &t).v, INVALID_MFN.v);
    assert_int_equal(p2m_lookup(&dom, GFN(3), &t).v, INVALID_MFN.v);
    m = p2m_lookup(&dom, GFN(1030), &t);
    assert_int_equal(m.v, 1030);
    assert_int_equal(dom.p2m.nr_tables, tables);
    assert_int_equal(shim_core_pages, core);
}

TEST(flush_waits_only_for_guests)
{
    vcpu0.in_guest = 1;
    vcpu0.npt_gen = dom.p2m.gen + 1; /* entered after the change */
    npt_flush(&dom);
    assert_int_equal(ipis, 0);
    npt_flush(&dom);
    assert_int_equal(ipis, 1);
    npt_flush(&dom); /* not in the guest: nobody to wait for */
    assert_int_equal(ipis, 1);
}
