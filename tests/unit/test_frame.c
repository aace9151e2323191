// SPDX-License-Identifier: MIT
// LINK: hv/mem/frame.c hv/mem/kmalloc.c
// Frames: buddy heaps, ownership and limits, references, scrubbing, small objects.
#include "unit.h"
#include "shim.h"
#include "mem/frame.h"
#include "domain/domain.h"

#define FRAMES (SHIM_RAM_BYTES / 4096)
#define FIRST  256u /* the first MiB stays out, as in the core */

static struct frame *table;
static struct domain *dom, *other;

int setup(void **state)
{
    table = calloc(FRAMES, sizeof *table);
    dom = calloc(1, sizeof *dom);
    other = calloc(1, sizeof *other);
    dom->id = 3;
    dom->max_pages = FRAMES;
    other->id = 17;
    other->max_pages = FRAMES;
    memset(shim_ram(), 0xa5, SHIM_RAM_BYTES); /* what firmware and loaders leave */
    frame_init(table, FRAMES);
    frame_mark_core(MFN(0), FRAMES);
    frame_add_range(MFN(FIRST), FRAMES - FIRST);
    return 0;
}
int teardown(void **state)
{
    free(table);
    free(dom);
    free(other);
    return 0;
}
static struct frame_stats stats(void)
{
    struct frame_stats s;
    frame_get_stats(&s);
    return s;
}
static bool zero(const void *p, size_t n)
{
    const char *c = p;
    return !*c && !memcmp(c, c + 1, n - 1);
}

TEST(start_up)
{
    struct frame_stats s = stats();
    assert_int_equal(s.total, FRAMES);
    assert_int_equal(s.free, FRAMES - FIRST);
    assert_int_equal(s.dirty, FRAMES - FIRST);
    assert_int_equal(s.core, FIRST);
    assert_null(mfn_to_frame(MFN(FRAMES)));
    assert_null(mfn_to_frame(INVALID_MFN));
    assert_false(frame_get(MFN(FRAMES), DOMID_CORE));
}

TEST(everything_leaves_zeroed_and_comes_back)
{
    struct frame_stats before = stats();
    void *p[MAX_ORDER + 1];
    for (unsigned o = 0; o <= MAX_ORDER; o++) {
        p[o] = core_alloc(o);
        assert_non_null(p[o]);
        assert_int_equal(virt_to_maddr(p[o]).v & ((PAGE_SIZE << o) - 1), 0);
        assert_true(zero(p[o], PAGE_SIZE << o));
        memset(p[o], 0x5a, PAGE_SIZE << o);
    }
    assert_int_equal(stats().core, before.core + (2u << MAX_ORDER) - 1);
    for (unsigned o = 0; o <= MAX_ORDER; o++)
        core_free(p[o], o);
    assert_int_equal(stats().free, before.free);
    assert_int_equal(stats().core, before.core);
    assert_null(core_alloc(MAX_ORDER + 1));
    /* What was written to is scrubbed before it is seen again. */
    void *q = core_alloc(MAX_ORDER);
    assert_true(zero(q, PAGE_SIZE << MAX_ORDER));
    core_free(q, MAX_ORDER);
}

TEST(scrubbing_makes_everything_clean_and_merges)
{
    unsigned n = 0;
    uint64_t dirty = stats().dirty;
    while (frame_scrub_some()) {
        n++;
        assert_int_equal(stats().dirty, dirty - n); /* one at a time: interrupts are off meanwhile */
    }
    assert_true(n > 0);
    assert_int_equal(stats().dirty, 0);
    assert_int_equal(stats().free, FRAMES - FIRST);
    assert_true(zero(shim_ram() + FIRST * 4096, SHIM_RAM_BYTES - FIRST * 4096));
    /* All large blocks are whole again. */
    unsigned big = 0;
    while (core_alloc(MAX_ORDER))
        big++;
    assert_int_equal(big, FRAMES / 1024 - 1);
}

TEST(owners_limits_and_counts)
{
    dom->max_pages = 513;
    mfn_t big = frame_alloc(dom, ORDER_2M);
    assert_true(big.v != INVALID_MFN.v);
    assert_int_equal(dom->tot_pages, 512);
    assert_int_equal(mfn_to_frame(MFN(big.v + 511))->owner, dom->id);
    mfn_t one = frame_alloc(dom, 0);
    assert_true(one.v != INVALID_MFN.v);
    assert_int_equal(frame_alloc(dom, 0).v, INVALID_MFN.v);
    assert_int_equal(dom->tot_pages, 513);
    frame_put(one);
    assert_int_equal(dom->tot_pages, 512);
    for (unsigned i = 0; i < 512; i++)
        frame_put(MFN(big.v + i));
    assert_int_equal(dom->tot_pages, 0);
}

/* What was promised is there for who was promised it, and for nobody else. */
TEST(promises_are_kept)
{
    void *own[6];
    assert_int_equal(frame_promise(dom, 10, 5), 0);
    uint64_t free = stats().free;
    assert_int_equal(stats().promised, 15);
    assert_int_equal(frame_promise(other, 0, free + 1), -ENOMEM);
    assert_int_equal(frame_promise(other, free + 1, 0), -ENOMEM);
    assert_int_equal(frame_promise(other, ~0ull, ~0ull), -ENOMEM);
    assert_int_equal(other->ram_promised + other->allowance, 0);
    uint64_t taken = 0;
    while (frame_alloc(other, 0).v != INVALID_MFN.v)
        taken++;
    assert_in_range(taken, free - 1, free); /* a frame may have gone to the table that finds owners */
    assert_int_equal(stats().free, 0);
    assert_null(core_alloc(0));
    assert_null(kmalloc(64));
    assert_null(core_alloc_for(other));
    for (unsigned i = 0; i < 5; i++)
        assert_non_null(own[i] = core_alloc_for(dom));
    assert_null(core_alloc_for(dom));
    for (unsigned i = 0; i < 10; i++)
        assert_true(frame_alloc(dom, 0).v != INVALID_MFN.v);
    assert_int_equal(frame_alloc(dom, 0).v, INVALID_MFN.v);
    assert_int_equal(stats().promised, 0);
    /* Given back, they are promised again, whichever call drops the last reference; RAM beyond the promise is not. */
    frame_put(virt_to_mfn(own[0]));
    core_free_for(dom, own[1]);
    core_free(own[2], 0);
    assert_int_equal(dom->allowance_used, 2);
    assert_int_equal(stats().promised, 3);
    assert_int_equal(frame_alloc(other, 0).v, INVALID_MFN.v);
    assert_non_null(own[0] = core_alloc_for(dom));
    /* Whoever ends gets nothing more; what it has comes back to all. */
    frame_promise_end(dom);
    assert_int_equal(stats().promised, 0);
    assert_int_equal(stats().free, 2);
    assert_null(core_alloc_for(dom));
    core_free(own[0], 0);
    core_free(own[3], 0);
    core_free(own[4], 0);
    assert_int_equal(dom->allowance_used, 0);
    assert_int_equal(stats().free, 5);
}

/* A slot's own frames count against its promise; beyond it the slot is like anybody. */
TEST(ram_beyond_the_promise)
{
    mfn_t m[4];
    assert_int_equal(frame_promise(dom, 2, 0), 0);
    for (unsigned i = 0; i < 4; i++)
        m[i] = frame_alloc(dom, 0);
    assert_int_equal(stats().promised, 0);
    frame_put(m[0]);
    frame_put(m[1]);
    assert_int_equal(stats().promised, 0);
    frame_put(m[2]);
    assert_int_equal(stats().promised, 1);
    while (core_alloc(0))
        ;
    assert_int_equal(frame_alloc(dom, 1).v, INVALID_MFN.v); /* half of it would be somebody's */
    assert_true(frame_alloc(dom, 0).v != INVALID_MFN.v);
    assert_int_equal(frame_alloc(dom, 0).v, INVALID_MFN.v);
}

TEST(machine_runs_out)
{
    uint64_t n = 0;
    while (frame_alloc(dom, 0).v != INVALID_MFN.v)
        n++;
    assert_int_equal(dom->tot_pages, n);
    /* One frame went to the table that finds the owner. */
    assert_int_equal(n, FRAMES - FIRST - 1);
    assert_int_equal(stats().free, 0);
    assert_null(core_alloc(0));
    assert_null(kmalloc(64));
}

TEST(references)
{
    mfn_t m = frame_alloc(dom, 0);
    assert_true(frame_get(m, dom->id));
    assert_false(frame_get(m, other->id));
    frame_get_held(m);
    assert_int_equal(mfn_to_frame(m)->refs, 3);
    frame_put(m);
    frame_put(m);
    assert_int_equal(dom->tot_pages, 1);
    frame_put(m);
    assert_int_equal(dom->tot_pages, 0);
    assert_false(frame_get(m, dom->id)); /* never revived */
    assert_int_equal(mfn_to_frame(m)->owner, DOMID_NONE);
    /* A frame that changes owner belongs to the new one alone, and holds nothing of the old. */
    memset(mfn_to_virt(m), 0x77, PAGE_SIZE);
    mfn_t n = frame_alloc(other, 0);
    assert_true(zero(mfn_to_virt(n), PAGE_SIZE));
    assert_int_equal(other->tot_pages, 1);
}

/* Somebody looks for a domain's page, finds the frame alive, and takes a reference just when it has become the core's. */
TEST(core_pages_survive_a_late_look)
{
    uint64_t before = stats().free, core = stats().core;
    void *p = core_alloc(1);
    mfn_t m = virt_to_mfn(p);
    frame_get_held(m);
    core_free(p, 1);
    assert_int_equal(stats().free, before - 1);
    frame_put(m); /* sees the new owner */
    assert_int_equal(stats().free, before);
    assert_int_equal(stats().core, core);
}

/* What somebody still holds stays; what another owns by now goes off that one's count. */
TEST(a_block_is_put_at_once)
{
    mfn_t m = frame_alloc(dom, 3), late = frame_alloc(other, 0);
    uint64_t before = stats().free + 9;
    frame_get_held(MFN(m.v + 2));
    frame_get_held(MFN(m.v + 7));
    mfn_to_frame(MFN(m.v + 4))->owner = other->id;
    dom->tot_pages--;
    other->tot_pages++;
    frame_put_block(m, 3);
    assert_int_equal(dom->tot_pages, 2);
    assert_int_equal(other->tot_pages, 1);
    assert_int_equal(stats().free, before - 3);
    assert_int_equal(mfn_to_frame(MFN(m.v + 2))->owner, dom->id);
    frame_put(MFN(m.v + 2));
    frame_put(MFN(m.v + 7));
    frame_put_block(late, 0);
    assert_int_equal(dom->tot_pages, 0);
    assert_int_equal(other->tot_pages, 0);
    assert_int_equal(stats().free, before);
    while (frame_scrub_some())
        ;
    unsigned big = 0;
    while (core_alloc(MAX_ORDER))
        big++;
    assert_int_equal(big, FRAMES / 1024 - 1); /* all large blocks are whole again */
}

TEST(double_put_is_a_broken_core)
{
    mfn_t m = frame_alloc(dom, 0);
    frame_put(m);
    if (setjmp(shim_panic_jmp) == 0) {
        shim_panic_armed = true;
        frame_put(m);
        fail_msg("the core goes on");
    }
}

TEST(random_traffic_keeps_the_books)
{
    struct {
        mfn_t m;
        unsigned order;
    } held[200] = { 0 };
    uint64_t owned = 0;
    for (unsigned i = 0; i < 20000; i++) {
        unsigned k = (unsigned)rand() % 200;
        if (held[k].m.v) {
            for (unsigned j = 0; j < 1u << held[k].order; j++)
                frame_put(MFN(held[k].m.v + j));
            owned -= 1ull << held[k].order;
            held[k].m.v = 0;
        } else {
            unsigned order = (unsigned)rand() % 6;
            mfn_t m = frame_alloc(dom, order);
            if (m.v == INVALID_MFN.v)
                continue;
            assert_int_equal(m.v & ((1u << order) - 1), 0);
            assert_true(zero(mfn_to_virt(m), PAGE_SIZE << order));
            memset(mfn_to_virt(m), (int)i | 1, PAGE_SIZE << order);
            held[k].m = m;
            held[k].order = order;
            owned += 1ull << order;
        }
        if (i % 7 == 0)
            frame_scrub_some();
        assert_int_equal(dom->tot_pages, owned);
        struct frame_stats s = stats();
        assert_int_equal(s.free + s.core + owned, s.total);
    }
}

TEST(small_objects)
{
    struct frame_stats before = stats();
    static const size_t sizes[] = { 1, 32, 33, 64, 100, 500, 1024, 2048, 2049, 4096 };
    void *p[ARRAY_SIZE(sizes)][40];
    for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++)
        for (unsigned i = 0; i < 40; i++) {
            p[s][i] = kmalloc(sizes[s]);
            assert_non_null(p[s][i]);
            assert_true(zero(p[s][i], sizes[s]));
            memset(p[s][i], (int)(s * 40 + i) | 1, sizes[s]);
        }
    /* Nothing overlaps: every object still holds its own pattern. */
    for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++)
        for (unsigned i = 0; i < 40; i++) {
            assert_int_equal(*(uint8_t *)p[s][i], (uint8_t)((s * 40 + i) | 1));
            if (sizes[s] > 1)
                assert_memory_equal(p[s][i], (char *)p[s][i] + 1, sizes[s] - 1);
        }
    for (unsigned i = 0; i < 40; i++)
        for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++)
            kfree(p[s][i], sizes[s]);
    assert_int_equal(stats().core, before.core);
    assert_null(kmalloc(4097));
    kfree(NULL, 8);
}
