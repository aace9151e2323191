/* SPDX-License-Identifier: MIT */
/*
 * Keep records: the state of the rings, which the next instance of this domain needs to go on (docs/restart-protocol.md 5). Whose they are, and what of
 * the disk, says the slot table; a record that differs from it is not served; where the controller's registers are says the core. Each
 * page is one journal page, which goes with one ring page of one vbd. A ring of n pages has n journal pages; the first of them
 * has the ring's indices, all of them have a head and 32 entries, as many as a ring page has slots.
 *
 * A dead instance may have stopped at any store and may have written rubbish before it died. So all that is believed carries a
 * check that detects at least any one damaged byte: heads have a CRC-32, ring indices are stored with their complement in one
 * 64-bit store, entries have a 64-bit check over copy and ring index, and an entry's state word (one store) a check of its own
 * that covers the entry's. All pages of a connection carry its generation; the one with KEEP_MASTER is stored last and cleared first:
 * without it the others mean nothing.
 */
#pragma once
#include <blame.h>
#include <keep_record.h>
#include "blkdev.h"

#define KEEP_PAGE_MAGIC   0x4c4e524au
#define KEEP_MASTER_MAGIC 0x5453414du
#define KEEP_VERSION      2u

#define KEEP_ENTRIES    32u /* of a page, and slots of a ring page */
#define KEEP_RING_PAGES 4u  /* ring-page-order up to 2 */
#define KEEP_QUEUES     4u
#define KEEP_MAX_PAGES  64u

enum keep_proto { PROTO_NATIVE, PROTO_X86_32 };

#define KEEP_F_WRITE 1u /* mode w or w! */
#define KEEP_F_FORCE 2u /* w! */
#define KEEP_F_LARGE \
    4u /* sector quantities in units of the sector size (feature-large-sector-size) */
#define KEEP_F_DISCARD 8u /* it was offered */

struct keep_head {
    uint32_t magic;
    uint32_t crc; /* of all that follows */
    uint32_t version;
    uint32_t devid;
    uint64_t gen; /* of the connection */
    uint16_t domid;
    uint8_t queue, nr_queues;
    uint8_t page, nr_pages; /* within its ring */
    uint8_t proto;
    uint8_t flags;              /* KEEP_F_* */
    uint64_t first, nr_sectors; /* what the requests' sectors count from, 512-byte units */
    uint32_t sector_size;
    uint32_t max_segs;             /* of an indirect request, as advertised */
    uint32_t ref[KEEP_RING_PAGES]; /* grants of the ring's pages */
    uint32_t port;                 /* the front-end's */
    uint32_t slot_gen;             /* of the entry of the slot table that it was connected by */
};
_Static_assert(offsetof(struct keep_head, gen) == 16, "keep record layout");
_Static_assert(offsetof(struct keep_head, ref) == 56, "keep record layout");
_Static_assert(sizeof(struct keep_head) == 80, "keep record layout");

/* The copy of a request, in our own layout: the front-end's may be 32 or 64 bits. */
struct keep_entry {
    uint64_t state; /* keep_state() */
    uint64_t check; /* of all that follows */
    uint64_t id;
    uint64_t sector; /* as the front-end says it */
    uint32_t req_idx;
    uint8_t op;  /* BLKIF_OP_* */
    uint8_t sub; /* indirect: the operation; discard: flags */
    uint16_t nr; /* segments */
    union {
        struct {
            uint32_t gref[11];
            uint8_t sect[11][2]; /* first, last */
        } seg;
        uint32_t indirect[8];
        uint64_t discard; /* sectors */
        uint64_t word[9];
    };
};
#define KEEP_ENTRY_WORDS 14u
_Static_assert(sizeof(struct keep_entry) == 8 * KEEP_ENTRY_WORDS, "keep record layout");
_Static_assert(offsetof(struct keep_entry, req_idx) == 32, "keep record layout");
_Static_assert(offsetof(struct keep_entry, word) == 40, "keep record layout");

struct keep_page {
    struct keep_head head;
    struct keep_ring ring; /* in the first page of a ring */
    union {
        struct blame blame; /* in the first page of all: the domain's, whoever has the page */
        uint64_t room[50];
    };
    struct keep_entry entry[KEEP_ENTRIES];
};
_Static_assert(offsetof(struct keep_page, entry) == 512, "keep record layout");
_Static_assert(sizeof(struct keep_page) == PAGE_SIZE, "keep record layout");

/* --- entries ---
 * Each step is a bijection of the sum for a given word and of the word for a given sum: a change within one word always shows. */
static inline uint64_t keep_entry_check(const struct keep_entry *e)
{
    const uint64_t *w = &e->id;
    uint64_t c = 0x9e3779b97f4a7c15ull;

    for (unsigned i = 0; i < KEEP_ENTRY_WORDS - 2; i++)
        c = ((c << 29 | c >> 35) ^ w[i]) * 0xd6e8feb86659fd93ull;
    return c;
}

/* State word: response index, state, status (of the response), check from low to high. The check is a sum without carry over
 * 16-bit words: a damaged byte changes exactly one of them. */
enum { KEEP_FREE = 0x5a, KEEP_TAKEN = 0xa6, KEEP_COMMITTED = 0x3d };

static inline uint64_t keep_state(uint8_t state, int8_t status, uint32_t rsp_idx, uint64_t check)
{
    uint64_t v = rsp_idx | (uint64_t)state << 32 | (uint64_t)(uint8_t)status << 40;
    uint64_t c = state == KEEP_FREE ? 0 : check;
    uint16_t sum = (uint16_t)(v ^ v >> 16 ^ v >> 32 ^ c ^ c >> 16 ^ c >> 32 ^ c >> 48 ^ 0x6c35);
    return v | (uint64_t)sum << 48;
}
static inline uint8_t keep_state_of(uint64_t v) { return (uint8_t)(v >> 32); }
static inline int8_t keep_status_of(uint64_t v) { return (int8_t)(v >> 40); }
static inline uint32_t keep_rsp_of(uint64_t v) { return (uint32_t)v; }
static inline bool keep_state_ok(uint64_t v, uint64_t check)
{
    return v == keep_state(keep_state_of(v), keep_status_of(v), keep_rsp_of(v), check);
}

/* --- records (adopt.c) --- */
struct keep {
    struct keep_page *page; /* the first journal page */
    unsigned n;
    bool used[KEEP_MAX_PAGES];
};

/* One connection of a vbd: what its pages say. */
struct keep_conn {
    struct keep_head head; /* of queue 0, page 0 */
    struct keep_page *master;
    struct keep_queue {
        uint32_t ref[KEEP_RING_PAGES], port;
        uint32_t start; /* keep_open: responses start here */
        struct keep_page *page[KEEP_RING_PAGES];
    } q[KEEP_QUEUES];
};

void keep_init(struct keep *k, void *pages, unsigned n); /* none in use; stores nothing */
unsigned keep_free_pages(const struct keep *k);
/* How many of `left` pages one connection may have, a power of two: many while there are many, and what is left does for so many
 * others with one page each. */
unsigned keep_share(unsigned left, unsigned others);
/* Takes pages for a new connection and makes its record valid. conn->head has all but magic, crc, version, queue and page;
 * q[i] ref, port and start. -ENOSPC if there are not enough pages. */
int keep_open(struct keep *k, struct keep_conn *conn) __attribute__((warn_unused_result));
void keep_close(struct keep *k, struct keep_conn *conn);

enum keep_found { KEEP_END, KEEP_VALID, KEEP_INCOMPLETE, KEEP_DAMAGED };
/* The next connection that a dead instance left, from *at on (0 at first). Its pages are marked used. INCOMPLETE: whose it was is
 * known (head), but a page of it is damaged; DAMAGED: not even that, *at - 1 is the page. Nothing is stored. */
enum keep_found keep_next(struct keep *k, unsigned *at, struct keep_conn *conn);
