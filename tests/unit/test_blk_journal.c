/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/blk_world.c
// FLAGS: -O2 -Idomains/include -Idrivers-dom/lib -Idrivers-dom/blk -lz
/*
 * Death of blkback at every single store. A scripted front-end reads, writes, flushes, discards; every store to ring or keep memory,
 * every grant copy, device command, completion and notification is a point at which the instance dies: its private memory and what
 * the device had queued are lost, a fresh one adopts rings and journal, the script goes on. At its end every id was answered
 * exactly once, every write is on the disk as it was asked for, and nothing else is. Pairs of deaths follow, then damaged records.
 */
#include "blk_deaths.h"

static struct world saved, before;

/* The world at the death at point `at`. */
static void die_at(const struct shape *s, long at)
{
    shape_init(s);
    pc = 0;
    countdown = at;
    armed = true;
    if (!setjmp(crash_env)) {
        assert_true(be_start());
        finish_script();
        fail_msg("no death at point %ld", at);
    }
    armed = false;
}

/* Adoption either refuses and has stored nothing, or everything goes on as if nothing had been damaged. */
static bool adopt_or_refuse(unsigned from)
{
    before = w;
    pc = from;
    if (be_start()) {
        finish_script();
        return true;
    }
    assert_non_null(be_why);
    assert_memory_equal(before.keep, w.keep, sizeof(w.keep));
    assert_memory_equal(before.ring, w.ring, sizeof(w.ring));
    return false;
}

TEST(test_damaged_record)
{
    static const uint8_t flips[] = { 0x01, 0x80, 0xff };
    unsigned refused = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(shapes); i += 3) {
        shape_init(&shapes[i]);
        play(-1, -1);
        long n = points;
        for (long at = n / 5; at < n; at += n / 3) {
            die_at(&shapes[i], at);
            unsigned from = pc;
            saved = w;
            for (unsigned byte = 0; byte < w.queues * w.rpages * 4096; byte++) {
                w = saved;
                w.keep[byte] ^= flips[byte % 3];
                refused += !adopt_or_refuse(from);
            }
        }
    }
    assert_true(refused > 3000);
}

TEST(test_tampered_rsp_prod)
{
    shape_init(&shapes[0]);
    play(-1, -1);
    long n = points;
    for (long at = 400; at < n; at += 37) {
        die_at(&shapes[0], at);
        saved = w;
        for (uint32_t by = 2; by < 200;
             by++) { /* by 1 it may be the other one of the two that are right */
            for (int sign = -1; sign <= 1; sign += 2) {
                w = saved;
                uint32_t legal[2] = { (uint32_t)((struct keep_page *)w.keep)->ring.rsp_next,
                                      (uint32_t)((struct keep_page *)w.keep)->ring.rsp_pub };
                RING(0)->rsp_prod += sign < 0 ? -by : by;
                if (RING(0)->rsp_prod == legal[0] || RING(0)->rsp_prod == legal[1])
                    continue;
                before = w;
                assert_false(be_start());
                assert_memory_equal(before.keep, w.keep, sizeof(w.keep));
                assert_memory_equal(before.ring, w.ring, sizeof(w.ring));
            }
        }
    }
}

static unsigned forged;
static void forge(void)
{
    forged++;
    RING(w.queues - 1)->rsp_prod += 1000000;
}

/* What was checked is what is believed: a front-end writes rsp_prod at any time. */
TEST(test_rsp_prod_moves_meanwhile)
{
    forged = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
        shape_init(&shapes[i]);
        play(-1, -1);
        long n = points;
        for (long at = n / 9; at < n; at += 1 + n / 50) {
            die_at(&shapes[i], at);
            w.connected = w.eager = false; /* nobody looks at responses */
            store_hook = forge;
            bool adopted = be_start();
            store_hook = NULL;
            for (unsigned q = 0; adopted && q < w.queues; q++)
                assert_true(disk.ring[q].j.req_cons - disk.ring[q].j.rsp_pub <= disk.ring[q].j.size);
        }
    }
    assert_true(forged > 100);
}

/* A page that is another one's, zeroed, or of an older connection. */
TEST(test_wrong_pages)
{
    shape_init(&shapes[5]);
    play(-1, -1);
    die_at(&shapes[5], points * 2 / 3);
    saved = w;
    for (unsigned a = 0; a < 4; a++) {
        for (unsigned b = 0; b < 4; b++) {
            if (a == b)
                continue;
            w = saved;
            memcpy(w.keep + a * 4096, saved.keep + b * 4096, 4096);
            assert_false(be_start());
        }
        w = saved;
        memset(w.keep + a * 4096, 0, 4096);
        assert_false(be_start());
    }
}

/* Sound words that say something else than they did: what was consumed and what is there do not add up. */
TEST(test_lost_entry)
{
    unsigned seen[2] = { 0 };

    shape_init(&shapes[0]);
    play(-1, -1);
    long n = points;
    for (long at = n / 4; at < n; at += 11) {
        die_at(&shapes[0], at);
        saved = w;
        for (unsigned e = 0; e < KEEP_ENTRIES; e++) {
            w = saved;
            struct keep_page *k = (struct keep_page *)w.keep;
            uint8_t was = keep_state_of(k->entry[e].state);
            bool visible = was == KEEP_COMMITTED &&
                           (int32_t)(keep_rsp_of(k->entry[e].state) - RING(0)->rsp_prod) < 0;
            if (was == KEEP_FREE || visible ||
                (was == KEEP_TAKEN && k->entry[e].req_idx == (uint32_t)k->ring.req_cons))
                continue;
            seen[was == KEEP_COMMITTED]++;
            k->entry[e].state = keep_state(KEEP_FREE, 0, 0, 0);
            assert_false(be_start());
            w = saved;
            k->entry[e].state = keep_state(KEEP_COMMITTED, 0, RING(0)->rsp_prod + 20,
                                           k->entry[e].check);
            assert_false(be_start());
        }
    }
    assert_true(seen[0] > 20 && seen[1] > 2);
}

TEST(test_damage_detected)
{
    struct keep_entry e = { .id = 7, .sector = 99, .req_idx = 0xfffffffe, .op = 1, .nr = 3 };

    e.check = keep_entry_check(&e);
    for (unsigned st = 0; st < 3; st++) {
        uint64_t good = keep_state(((const uint8_t[]){ KEEP_FREE, KEEP_TAKEN, KEEP_COMMITTED })[st],
                                   st == 2 ? -1 : 0, st * 77, e.check);
        assert_true(keep_state_ok(good, e.check));
        for (unsigned byte = 0; byte < 8; byte++) {
            for (uint64_t v = 1; v < 256; v++) {
                assert_false(keep_state_ok(good ^ v << (8 * byte), e.check));
                assert_false(keep_idx_ok(keep_idx(12345) ^ v << (8 * byte)));
            }
        }
    }
    for (unsigned byte = 16; byte < sizeof(e); byte++) {
        for (unsigned v = 1; v < 256; v++) {
            ((uint8_t *)&e)[byte] ^= (uint8_t)v;
            assert_true(keep_entry_check(&e) != e.check);
            ((uint8_t *)&e)[byte] ^= (uint8_t)v;
        }
    }
}
