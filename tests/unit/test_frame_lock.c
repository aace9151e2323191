// SPDX-License-Identifier: MIT
// LINK: hv/mem/kmalloc.c
// The heap's lock: how often it is taken, and who does not wait for it. Waiters stand in line, and where one is kept from running all behind it wait.
#include "unit.h"
#include "shim.h"
#include "mem/frame.c"

#define FRAMES (SHIM_RAM_BYTES / 4096)
#define FIRST  256u

static struct domain d = { .id = 3, .max_pages = FRAMES };

int setup(void **state)
{
    frame_init(calloc(FRAMES, sizeof *table), FRAMES);
    frame_mark_core(MFN(0), FRAMES);
    frame_add_range(MFN(FIRST), FRAMES - FIRST);
    return 0;
}
int teardown(void **state)
{
    free(table);
    return 0;
}

TEST(scrubbing_waits_for_nobody)
{
    uint64_t dirty = heap_frames[DIRTY];
    spin_lock(&heap_lock); /* another CPU */
    assert_true(frame_scrub_some());
    spin_unlock(&heap_lock);
    assert_int_equal(heap_frames[DIRTY], dirty);
    assert_true(frame_scrub_some());
    assert_int_equal(heap_frames[DIRTY], dirty - 1);
}

TEST(a_block_takes_the_lock_once)
{
    mfn_t m = frame_alloc(&d, 9);
    uint16_t before = heap_lock.serving;
    frame_put_block(m, 9);
    assert_int_equal((uint16_t)(heap_lock.serving - before), 1);
    m = frame_alloc(&d, 9);
    frame_get_held(MFN(m.v + 100)); /* one in the middle stays */
    before = heap_lock.serving;
    frame_put_block(m, 9);
    assert_int_equal((uint16_t)(heap_lock.serving - before), 2);
    assert_int_equal(d.tot_pages, 1);
    frame_put(MFN(m.v + 100));
}
