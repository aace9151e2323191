/* SPDX-License-Identifier: MIT */
/* Malformed requests, one at a time: the right error for it, and the next good request works. See blkhostile.h. */
#include <string.h>
#include "blkhostile.h"

enum kind {
    RW,
    IND,
    DIS
}; /* what is spoilt: a page read or written; four pages, indirect; a discard of eight sectors */
enum value {
    PLAIN,
    END,
    SEGS,
    RO,
    ENDED,
    OTHER
}; /* val; added to the volume's sectors, to what is offered; grants */

#define READ  BLKIF_OP_READ
#define WRITE BLKIF_OP_WRITE
#define BOTH  0xfe
#define ERR   BLKIF_RSP_ERROR
#define UNSUP BLKIF_RSP_EOPNOTSUPP
#define OK    BLKIF_RSP_OKAY
#define PAGE  256u /* `at` from here on: in the page of indirect segments */

/* Offsets of the 64-bit layout. */
#define NR     1
#define IND_NR 2
#define SECTOR 16
#define GREF   24
#define FIRST  28
#define IGREF  28
#define LENGTH 24

static const struct spoil {
    const char *what;
    uint8_t kind, op;
    int8_t expect;
    uint16_t at;
    uint8_t len, how;
    uint64_t val;
} spoils[] = {
    { "no segments", RW, BOTH, ERR, NR, 1, PLAIN, 0 },
    { "12 segments", RW, BOTH, ERR, NR, 1, PLAIN, 12 },
    { "255 segments", RW, BOTH, ERR, NR, 1, PLAIN, 255 },
    { "a barrier of 12 segments", RW, BLKIF_OP_WRITE_BARRIER, ERR, NR, 1, PLAIN, 12 },
    { "first > last", RW, BOTH, ERR, FIRST, 2, PLAIN, 0x0405 },
    { "last beyond the page", RW, BOTH, ERR, FIRST, 2, PLAIN, 0x0800 },
    { "first and last far beyond", RW, BOTH, ERR, FIRST, 2, PLAIN, 0xffff },
    { "first 0, last 255", RW, BOTH, ERR, FIRST, 2, PLAIN, 0xff00 },
    { "the second segment is bad", RW, BOTH, ERR, NR, 1, PLAIN,
      2 }, /* its grant 0, the console's, is not ours to give */
    { "one sector too far", RW, BOTH, ERR, SECTOR, 8, END, -7ull },
    { "at the end", RW, BOTH, ERR, SECTOR, 8, END, 0 },
    { "behind the end", RW, BOTH, ERR, SECTOR, 8, END, 1ull << 32 },
    { "sector 2^64 - 1", RW, BOTH, ERR, SECTOR, 8, PLAIN, ~0ull },
    { "sector 2^64 - 8", RW, BOTH, ERR, SECTOR, 8, PLAIN, -8ull },
    { "sector 2^63", RW, BOTH, ERR, SECTOR, 8, PLAIN, 1ull << 63 },
    { "sector 2^55, bytes overflow", RW, BOTH, ERR, SECTOR, 8, PLAIN, 1ull << 55 },
    { "a barrier behind the end", RW, BLKIF_OP_WRITE_BARRIER, ERR, SECTOR, 8, END, 0 },
    { "a flush with data behind the end", RW, BLKIF_OP_FLUSH_DISKCACHE, ERR, SECTOR, 8, END, 0 },
    { "operation 4", RW, 4, UNSUP, 0, 0, PLAIN, 0 },
    { "operation 7", RW, 7, UNSUP, 0, 0, PLAIN, 0 },
    { "operation 128", RW, 128, UNSUP, 0, 0, PLAIN, 0 },
    { "operation 255", RW, 255, UNSUP, 0, 0, PLAIN, 0 },
    { "grant of the console", RW, BOTH, ERR, GREF, 4, PLAIN, 0 },
    { "grant of the store's ring", RW, BOTH, ERR, GREF, 4, PLAIN, 1 },
    { "grant to another domain", RW, BOTH, ERR, GREF, 4, OTHER, 0 },
    { "grant that ended", RW, BOTH, ERR, GREF, 4, ENDED, 0 },
    { "grant that never was", RW, BOTH, ERR, GREF, 4, PLAIN, 500 },
    { "grant beyond the table", RW, BOTH, ERR, GREF, 4, PLAIN, 100000 },
    { "grant 2^32 - 1", RW, BOTH, ERR, GREF, 4, PLAIN, 0xffffffff },
    { "grant for reading, to be read into", RW, READ, ERR, GREF, 4, RO, 0 },
    { "grant for reading, to be written from", RW, WRITE, OK, GREF, 4, RO, 0 },
    { "indirect, no segments", IND, BOTH, ERR, IND_NR, 2, PLAIN, 0 },
    { "indirect, one too many", IND, BOTH, ERR, IND_NR, 2, SEGS, 1 },
    { "indirect, 512 segments", IND, BOTH, ERR, IND_NR, 2, PLAIN, 512 },
    { "indirect, 65535 segments", IND, BOTH, ERR, IND_NR, 2, PLAIN, 65535 },
    { "indirect barrier", IND, BLKIF_OP_WRITE_BARRIER, ERR, 0, 0, PLAIN, 0 },
    { "indirect flush", IND, BLKIF_OP_FLUSH_DISKCACHE, ERR, 0, 0, PLAIN, 0 },
    { "indirect discard", IND, BLKIF_OP_DISCARD, ERR, 0, 0, PLAIN, 0 },
    { "indirect in indirect", IND, BLKIF_OP_INDIRECT, ERR, 0, 0, PLAIN, 0 },
    { "indirect 255", IND, 255, ERR, 0, 0, PLAIN, 0 },
    { "page of segments: the console", IND, BOTH, ERR, IGREF, 4, PLAIN, 0 },
    { "page of segments: never granted", IND, BOTH, ERR, IGREF, 4, PLAIN, 500 },
    { "page of segments: 2^32 - 1", IND, BOTH, ERR, IGREF, 4, PLAIN, 0xffffffff },
    { "page of segments: ended", IND, BOTH, ERR, IGREF, 4, ENDED, 0 },
    { "page of segments: for reading", IND, WRITE, ERR, IGREF, 4, RO,
      0 }, /* zeros: the grants are the console's */
    { "second page of segments is not used", IND, BOTH, OK, IGREF + 4, 4, PLAIN, 0xffffffff },
    { "indirect behind the end", IND, BOTH, ERR, SECTOR, 8, END, -31ull },
    { "indirect sector 2^64 - 8", IND, BOTH, ERR, SECTOR, 8, PLAIN, -8ull },
    { "indirect first > last", IND, BOTH, ERR, PAGE + 4, 2, PLAIN, 0x0102 },
    { "indirect last beyond the page", IND, BOTH, ERR, PAGE + 28, 2, PLAIN, 0x0800 },
    { "indirect segment never granted", IND, BOTH, ERR, PAGE + 16, 4, PLAIN, 500 },
    { "discard of nothing", DIS, 0, ERR, LENGTH, 8, PLAIN, 0 },
    { "discard of 2^64 - 1", DIS, 0, ERR, LENGTH, 8, PLAIN, ~0ull },
    { "discard of 2^63", DIS, 0, ERR, LENGTH, 8, PLAIN, 1ull << 63 },
    { "discard of 2^55", DIS, 0, ERR, LENGTH, 8, PLAIN, 1ull << 55 },
    { "discard of one too many", DIS, 0, ERR, LENGTH, 8, END, 1 },
    { "discard behind the end", DIS, 0, ERR, SECTOR, 8, END, 0 },
    { "discard at 2^64 - 8", DIS, 0, ERR, SECTOR, 8, PLAIN, -8ull },
};

static uint32_t ended_ref, other_ref;

/* Anew each time: the next rings take the places of what ended. */
static void grants_odd(struct fe *f)
{
    static uint8_t *page;

    if (!page) {
        page = page_alloc(1);
        other_ref = (uint32_t)grant_give((domid_t)(f->be + 1), page, 0);
    }
    ended_ref = (uint32_t)grant_give(f->be, page, 0);
    grant_end(ended_ref);
}

static union rq make(enum kind kind, uint8_t op)
{
    struct blkif_request_segment *s = (void *)mem[2];
    union rq r = rw(op, 0, 3);

    if (kind == DIS) {
        r = (union rq){ .di = { .operation = BLKIF_OP_DISCARD, .nr_sectors = 8 } };
    } else if (kind == IND) {
        r = (union rq){ .in = { .operation = BLKIF_OP_INDIRECT,
                                .indirect_op = op,
                                .nr_segments = 4,
                                .indirect_grefs = { ref[2] } } };
        for (unsigned i = 0; i < 4; i++)
            s[i] = (struct blkif_request_segment){ .gref = ref[4 + i], .last_sect = 7 };
    }
    return r;
}

static int spoilt(struct fe *f, unsigned q, const struct spoil *s, uint8_t op)
{
    union rq r = make(s->kind, op);
    uint64_t val = s->val;

    switch (s->how) {
    case END: val += f->sectors; break;
    case SEGS: val += f->max_segs; break;
    case RO: val = ref[NR_MEM - 1]; break;
    case ENDED: val = ended_ref; break;
    case OTHER: val = other_ref; break;
    }
    memcpy(s->at < PAGE ? r.byte + s->at : mem[2] + s->at - PAGE, &val, s->len);
    return call(f, q, &r);
}

static const char *one(struct fe *f, unsigned q, const struct spoil *s, uint8_t op)
{
    int expect = s->kind == DIS && !f->discard ? UNSUP : s->expect;

    if (!f->rw && expect == OK && op != READ)
        expect = ERR;
    int rc = spoilt(f, q, s, op);
    if (rc != expect)
        return why("%s (%s): answered %d, expected %d", s->what,
                   op == READ ? "read" : "write or other", rc, expect);
    const char *bad = good(f, q);
    return bad ? why("after '%s': %s", s->what, bad) : NULL;
}

const char *malformed(struct fe *f)
{
    const char *bad = NULL;

    grants_odd(f);
    for (unsigned i = 0; i < sizeof(spoils) / sizeof(spoils[0]) && !bad; i++) {
        const struct spoil *s = &spoils[i];
        unsigned q = i % f->queues;
        bad = one(f, q, s, s->op == BOTH ? READ : s->op);
        if (!bad && s->op == BOTH)
            bad = one(f, q, s, WRITE);
    }
    return bad ? bad : all_good(f);
}

/* Well-formed, but for the volume that may only be read. */
const char *malformed_read_only(struct fe *f)
{
    static const struct {
        uint8_t kind, op;
        int expect;
    } tries[] = {
        { RW, WRITE, ERR },
        { RW, BLKIF_OP_WRITE_BARRIER, ERR },
        { RW, BLKIF_OP_FLUSH_DISKCACHE, ERR },
        { IND, WRITE, ERR },
        { DIS, 0, UNSUP },
    };
    union rq rd = rw(READ, 0, 1);

    if (f->rw)
        return why("the volume is not read-only");
    if (call(f, 0, &rd))
        return why("sector 0 cannot be read");
    memcpy(mem[12], mem[1], PAGE_SIZE);
    for (unsigned i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        union rq r = make(tries[i].kind, tries[i].op);
        memset(mem[3], 0xee, PAGE_SIZE);
        memset(mem[4], 0xee, PAGE_SIZE);
        int rc = call(f, 0, &r);
        if (rc != tries[i].expect)
            return why("try %u: answered %d, expected %d", i, rc, tries[i].expect);
        if (call(f, 0, &rd) || memcmp(mem[12], mem[1], PAGE_SIZE))
            return why("try %u: sector 0 is not what it was", i);
    }
    union rq flush = { .rw = { .operation = BLKIF_OP_FLUSH_DISKCACHE } };
    int rc = call(f, 0, &flush);
    return rc ? why("an empty flush was answered %d", rc) : NULL;
}

/* Both answers come; what the id means is the front-end's business. */
const char *same_id(struct fe *f)
{
    struct ring *r = &f->q[0];
    struct blkif_response rsp;

    for (unsigned i = 0; i < 4; i++) {
        union rq a = rw(i % 2 ? BLKIF_OP_READ : BLKIF_OP_WRITE, 8 * (i + 1), 3 + i);
        a.rw.id = 0x77;
        put(f, 0, &a);
    }
    push(f, 0);
    const char *bad = all_answered(f, 0);
    for (unsigned i = 0; i < 4 && !bad; i++) {
        memcpy(&rsp, slot_of(f, r, r->req_prod - 1 - i), sizeof(rsp));
        if (rsp.id != 0x77 || rsp.status != (f->rw || rsp.operation == READ ? OK : ERR))
            bad = why("response %u: id %lx, operation %u, status %d", i, rsp.id, rsp.operation,
                      rsp.status);
    }
    return bad ? bad : all_good(f);
}
