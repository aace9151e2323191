/* SPDX-License-Identifier: MIT */
/*
 * The store's journal: what the next instance of a store that died needs, in its keep pages. snapshot.c and the places that change
 * something write it, restore.c reads it; this is its format, and knows nothing of the store.
 *
 * The first page has the head: words, among them one that says which of two halves counts, and its epoch. A half is records one after the other. A
 * record is one step that happens as a whole or not at all: {length and number, checksum, entries}. Number 0 is the whole state as entries,
 * each later one what a request changed, its reply, the events it caused, and how much of its client's ring was consumed.
 *
 * Order of stores, each of which may be the last of this instance (x86 keeps the order of stores, the compiler that of these):
 *   a record   entries behind the last record; 0 at the place of the record after it; checksum; length and number
 *   a new half its record number 0 in the same way, at the beginning; then the head
 * So a journal ends with a 0. What stands behind that is old, of a record that was on its way, or of an epoch before: the checksum
 * covers number and epoch.
 *
 * Nothing that a client can see (an index of its ring) is stored before the record that says so: stream.c.
 *
 * Whoever took an instance over can have written anything here, checksums included. Reading believes no length.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum jtype {
    J_CONN = 1, /* introduced, or introduced again. a: port, b: enum jkind; struct jconn */
    J_RELEASE,
    J_TARGET, /* a: domid + 1, or 0 */
    J_WATCH, /* a: its number, b: leading characters its owner does not see, from bit 16 on its depth; path, token, each with its NUL */
    J_UNWATCH, /* a: number */
    J_MISSED,  /* a: number of the watch, b: 1 an event of it did not go out, 0 it has been told */
    J_TX,      /* a: id; open from now on */
    J_TXEND,   /* a: id */
    J_NOTE, /* a: id of a transaction, b: enum change_op, from bit 8 on length of the path with its NUL; struct jnote, permissions, path, data */
    J_OUT,  /* a: number of the watch or 0, b: rsp_prod as it was published last; a message */
    J_PART, /* a: req_cons, b: bytes of a header, from bit 8 on bytes of a body; these (without the body's: there was no memory) */
    J_DONE, /* a: req_cons; the request that was on its way is over */
    J_GEN,  /* a, b: the tree's counter, low and high */
    J_CHANGE, /* domid: whom it is for or J_KEEP, a: enum change_op, b: length of the path with its NUL; path, data or permissions */
    J_NODE, /* of the whole tree, parents first. a: length of the name, from bit 16 on number of permissions, b: of children;
             * generation of the list of children (8 bytes), permissions, name, data */
    J_SPECIAL, /* a: which; permissions */
    J_GONE,    /* domid; a: 1 it is gone, 0 it may be named again */
    J_FORGET,  /* domid: struck out of all permissions, and gone */
    J_ALLGONE, /* a bit for each domid */
    J_SET,     /* a: which setting (settings.c), b: its value */
};
#define J_KEEP 0xffffu

enum jkind { J_GUEST, J_DRIVER, J_CTL };

struct jentry {
    uint16_t type, domid;
    uint32_t a, b, len; /* len bytes follow */
};

struct jconn {
    uint64_t gfn; /* of the control domain: the grant */
    uint32_t req_cons, rsp_prod, next_tx, next_watch;
};

struct jnote {
    uint32_t existed, perms; /* perms: how many */
};

struct jrec {
    uint64_t word; /* length | number << 32, or 0: nothing here */
    uint32_t crc, pad;
};
#define J_HEAD 4096u /* bytes before the first half */

/* Each word is stored as a whole. */
struct jhead {
    uint64_t half;    /* journal.c; 0: there is none */
    uint64_t serving; /* the request that is being served, and how many instances died in it */
    uint64_t adopting; /* how many instances in a row began to read, and did not come to their first snapshot */
    uint64_t whose; /* aside.c: domid + 1 of the client whose ring is being worked on; 0: nobody's */
#define J_DEATHS 240u
    struct jdeath {
        uint64_t whose; /* the same; unsound: unused */
        uint64_t when;  /* system time of the start after the death */
    } death[J_DEATHS];
};
_Static_assert(sizeof(struct jhead) <= J_HEAD, "the first page");

/* A number beside its complement in one store: any one damaged byte shows. */
static inline uint64_t word_of(uint32_t v) { return v | (uint64_t)~v << 32; }
static inline bool word_ok(uint64_t w) { return w == word_of((uint32_t)w); }

/* --- writing ------------------------------------------------------------------------------------------------------ */
/* Of the keep pages, or of none (then nothing is recorded). Stores nothing. */
void journal_open(void *pages, size_t bytes);
struct jhead *journal_head(void); /* NULL: no journal */
void journal_store(uint64_t *word, uint64_t v);
/* Most bytes of heaps (mem.h) whose snapshot fits in a half and leaves room for records. 0: no journal. */
size_t journal_covers(void);

/* One more entry of the record at hand; len bytes follow by journal_bytes. */
void journal_entry(enum jtype type, uint16_t domid, uint32_t a, uint32_t b, size_t len);
void journal_bytes(const void *p, size_t n);
static inline void journal_put(enum jtype type, uint16_t domid, uint32_t a, uint32_t b,
                               const void *p, size_t n)
{
    journal_entry(type, domid, a, b, n);
    journal_bytes(p, n);
}

/* Ends the record at hand, if it has an entry. False: it does not fit, or what all of them are to the next instance has become too much work;
 * journal_turn, the whole state, journal_flip. */
bool journal_seal(void);
void journal_turn(void); /* entries go to the other half now */
bool journal_flip(void); /* which counts from here on. False: it is too small; then there is no journal any more */

/* The record at hand is so much work to the next instance, beyond one unit for each entry. */
void journal_work(uint64_t units);
#define JOURNAL_WORK \
    (1u << 20) /* at most about so much after a snapshot: less than the snapshot of a full store itself */
/* What all that was put until now costs, in bytes: those of the entries, and each one's share of the snapshot that is the dearer and the sooner for it. */
uint64_t journal_cost(void);

/* The request of domid that begins at this req_cons is about to be served. Returns how many instances have died in just that. */
unsigned journal_serving(uint16_t domid, uint32_t req_cons);

/* --- reading ------------------------------------------------------------------------------------------------------ */
/* This instance is about to read, and does so until its first journal_flip. Returns how many before it, in a row, did not get that far; one that died by
 * order does not count. */
unsigned journal_adopting(bool ordered);

enum journal_part { JOURNAL_ALL, JOURNAL_SNAPSHOT, JOURNAL_NOTHING };
enum journal_end { JOURNAL_NONE, JOURNAL_SOUND, JOURNAL_DAMAGED };
/* All entries of all sound records, in order, up to the first record that is not; or of a part. `bytes`: within the keep pages, they may not be aligned. */
enum journal_end journal_read(enum journal_part part,
                              void (*apply)(const struct jentry *e, const unsigned char *bytes,
                                            void *arg),
                              void *arg);

#ifdef UNIT_TEST
void xs_stored(void); /* after each store to keep pages and rings; the native tests die in it */
#else
static inline void xs_stored(void) {}
#endif
