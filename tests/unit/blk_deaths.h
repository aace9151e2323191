/* SPDX-License-Identifier: MIT */
/* A scripted front-end, and the death of blkback at each of its points: for test_blk_journal.c, and with a relay's disk for test_relay_journal.c. */
#pragma once
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
