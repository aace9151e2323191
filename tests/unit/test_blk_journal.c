/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/blk_world.c
// FLAGS: -O2 -Idomains/include -Idrivers-dom/lib -Idrivers-dom/blk -lz
/*
 * Death of blkback at every single store. A scripted front-end reads, writes, flushes, discards; every store to ring or keep memory,
 * every grant copy, device command, completion and notification is a point at which the instance dies: its private memory and what
 * the device had queued are lost, a fresh one adopts rings and journal, the script goes on. At its end every id was answered
 * exactly once, every write is on the disk as it was asked for, and nothing else is. Pairs of deaths follow, then damaged records.
 */
#include "blk_world.h"

enum op {
    READ,
    WRITE,
    FLUSH,
    BARRIER,
    DISCARD,
    IREAD,
    IWRITE,
    FAIL,
    BADSEG,
    BADRANGE,
    BADOP,
    SLOW,
    FAST,
    RUN,
    LOOK,
    END
};
struct step {
    enum op op;
    unsigned q, sector, n, ragged;
};

static const struct step script[] = {
    { WRITE, 0, 0, 8, 0 },     { WRITE, 0, 270, 13, 0 }, { RUN, 0, 0, 0, 0 },
    { LOOK, 0, 0, 0, 0 },      { READ, 0, 0, 8, 0 },     { WRITE, 1, 40, 11, 1 },
    { RUN, 0, 0, 0, 0 },       { SLOW, 0, 60, 0, 0 },    { WRITE, 0, 60, 3, 2 },
    { WRITE, 0, 70, 20, 0 },   { FLUSH, 0, 0, 0, 0 },    { RUN, 0, 0, 0, 0 },
    { LOOK, 0, 0, 0, 0 },      { READ, 0, 70, 20, 3 },   { IWRITE, 1, 100, 90, 1 },
    { READ, 0, 40, 8, 0 },     { RUN, 0, 0, 0, 0 },      { BADRANGE, 0, 380, 9, 0 },
    { FAIL, 0, 298, 4, 0 },    { BADSEG, 1, 10, 4, 0 },  { BADOP, 0, 0, 0, 0 },
    { RUN, 0, 0, 0, 0 },       { LOOK, 0, 0, 0, 0 },     { DISCARD, 0, 272, 11, 0 },
    { WRITE, 1, 0, 1, 0 },     { RUN, 0, 0, 0, 0 },      { FAST, 0, 0, 0, 0 },
    { BARRIER, 0, 200, 9, 0 }, { WRITE, 0, 210, 2, 0 },  { WRITE, 1, 214, 2, 0 },
    { RUN, 0, 0, 0, 0 },       { LOOK, 0, 0, 0, 0 },     { IREAD, 0, 95, 100, 0 },
    { FLUSH, 1, 0, 0, 0 },     { WRITE, 0, 8, 16, 1 },   { READ, 1, 200, 9, 4 },
    { BARRIER, 0, 0, 0, 0 },   { FLUSH, 0, 240, 4, 0 },  { RUN, 0, 0, 0, 0 },
    { LOOK, 0, 0, 0, 0 },      { READ, 0, 240, 4, 0 },   { SLOW, 0, 250, 0, 0 },
    { WRITE, 0, 250, 1, 0 },   { READ, 0, 0, 1, 0 },     { READ, 0, 1, 1, 0 },
    { READ, 0, 2, 1, 0 },      { RUN, 0, 0, 0, 0 },      { LOOK, 0, 0, 0, 0 },
    { READ, 0, 3, 1, 0 },      { READ, 0, 4, 1, 0 },     { READ, 0, 5, 1, 0 },
    { RUN, 0, 0, 0, 0 },       { LOOK, 0, 0, 0, 0 },     { READ, 0, 6, 1, 0 },
    { READ, 0, 7, 1, 0 },      { READ, 0, 40, 11, 0 },   { WRITE, 0, 251, 1, 0 },
    { RUN, 0, 0, 0, 0 },       { LOOK, 0, 0, 0, 0 },     { FAST, 0, 0, 0, 0 },
    { FLUSH, 0, 0, 0, 0 },     { RUN, 0, 0, 0, 0 },      { LOOK, 0, 0, 0, 0 },
    { READ, 0, 250, 2, 0 },    { RUN, 0, 0, 0, 0 },      { LOOK, 0, 0, 0, 0 },
    { END, 0, 0, 0, 0 },
};

static void bad_request(const struct step *s, unsigned q)
{
    struct shadow *sh = fe_request(q, s->op == BADOP ? BLKIF_OP_READ : BLKIF_OP_WRITE, s->sector,
                                   s->n, 0, false,
                                   s->op == BADOP ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR);
    uint8_t *r = (uint8_t *)fe_slot(q, w.fe[q].req_prod - 1);

    if (s->op == BADOP)
        r[0] = sh->op = 77;
    if (s->op == BADSEG)
        r[(w.proto == PROTO_X86_32 ? 20 : 24) + 5] = 8;
}

static void step_run(const struct step *s)
{
    static const uint8_t ops[] = { [READ] = BLKIF_OP_READ,
                                   [WRITE] = BLKIF_OP_WRITE,
                                   [FLUSH] = BLKIF_OP_FLUSH_DISKCACHE,
                                   [BARRIER] = BLKIF_OP_WRITE_BARRIER,
                                   [DISCARD] = BLKIF_OP_DISCARD,
                                   [IREAD] = BLKIF_OP_READ,
                                   [IWRITE] = BLKIF_OP_WRITE,
                                   [FAIL] = BLKIF_OP_WRITE };
    unsigned q = s->q % w.queues;

    switch (s->op) {
    case READ:
    case WRITE:
    case FLUSH:
    case BARRIER:
    case DISCARD: fe_request(q, ops[s->op], s->sector, s->n, s->ragged, false, 0); break;
    case IREAD:
    case IWRITE: fe_request(q, ops[s->op], s->sector, s->n, s->ragged, true, 0); break;
    case FAIL: fe_request(q, ops[s->op], s->sector, s->n, s->ragged, false, BLKIF_RSP_ERROR); break;
    case BADSEG:
    case BADRANGE:
    case BADOP: bad_request(s, q); break;
    case SLOW: w.slow = (int)s->sector; break;
    case FAST:
        w.slow = -1;
        w.be_event = true;
        break;
    case RUN:
        /* Asleep unless notified: a notification that req_event should have asked for and did not would hang the script. */
        if (w.be_event) {
            w.be_event = false;
            be_run();
        }
        break;
    case LOOK:
        for (unsigned k = 0; k < w.queues; k++) {
            if (w.fe[k].event) {
                w.fe[k].event = false;
                fe_look(k);
            }
        }
        break;
    case END: break;
    }
}

static volatile unsigned pc;
static volatile int deaths;

static void finish_script(void)
{
    for (; script[pc].op != END; pc++)
        step_run(&script[pc]);
    for (unsigned i = 0; i < 4; i++) {
        step_run(&(struct step){ RUN, 0, 0, 0, 0 });
        step_run(&(struct step){ LOOK, 0, 0, 0, 0 });
    }
    for (unsigned q = 0; q < w.queues; q++) {
        for (unsigned i = 0; i < RSIZE; i++) {
            if (w.fe[q].shadow[i].pending)
                fail_msg("request %u of queue %u (operation %u) was never answered", i, q,
                         w.fe[q].shadow[i].op);
        }
    }
    be_check_idle();
    for (unsigned s = 0; s < SECTORS; s++) {
        uint8_t buf[512];
        fill(buf, w.acked[s], s);
        if (memcmp(buf, w.disk[FIRST + s], 512))
            fail_msg("sector %u is wrong at the end", s);
    }
}

/* The whole script; dies at point `first`, and again `second` points later (negative: not). */
static void play(long first, long second)
{
    pc = 0;
    deaths = 0;
    countdown = first;
    armed = first >= 0;
    if (setjmp(crash_env)) {
        deaths++;
        if (deaths == 1 && second >= 0) {
            countdown = second;
            armed = true;
        }
    }
    if (!be_start())
        fail_msg("not adopted: %s", be_why);
    finish_script();
    armed = false;
}

static const struct shape {
    unsigned queues, rpages;
    enum keep_proto proto;
    bool eager;
    unsigned lifo, late;
} shapes[] = {
    { 1, 1, PROTO_NATIVE, false, 0, 0 }, { 1, 1, PROTO_NATIVE, true, 1, 1 },
    { 1, 1, PROTO_X86_32, true, 0, 0 },  { 1, 2, PROTO_NATIVE, true, 1, 0 },
    { 2, 1, PROTO_NATIVE, false, 1, 1 }, { 2, 2, PROTO_X86_32, true, 1, 1 },
};

static void shape_init(const struct shape *s)
{
    world_init(s->queues, s->rpages, s->proto, s->eager);
    w.lifo = s->lifo;
    w.exec_late = s->late;
}

TEST(test_no_crash)
{
    for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
        shape_init(&shapes[i]);
        play(-1, -1);
        assert_true(w.answers >= 30);
        assert_true(w.device_flushes >= 5);
    }
}

TEST(test_every_store)
{
    for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
        shape_init(&shapes[i]);
        play(-1, -1);
        long n = points;
        for (long at = 0; at < n; at++) {
            shape_init(&shapes[i]);
            play(at, -1);
            if (deaths != 1)
                fail_msg("no death at point %ld", at);
        }
    }
}

/* Death in the midst of an adoption, too: each of the stores after the first death, for a sample of first deaths. */
TEST(test_pairs)
{
    for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
        shape_init(&shapes[i]);
        play(-1, -1);
        long n = points;
        for (long at = (long)i; at < n; at += 37) {
            for (long after = 0; after < 45; after++) {
                shape_init(&shapes[i]);
                play(at, after);
            }
        }
    }
}

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
