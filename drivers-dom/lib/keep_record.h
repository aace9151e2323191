/* SPDX-License-Identifier: MIT */
/*
 * What back-ends share about memory that outlives them: the rings, and the keep pages with what the next instance needs.
 *
 * Every store to it goes through SHARED_STORE: one aligned store that the compiler neither splits nor reorders against another
 * one. x86 keeps the order of stores, so the order in the source is the order that a front-end, or the next instance after a
 * crash, sees. The native tests hook each store and crash after it.
 */
#pragma once
#include <bh.h>

#ifdef UNIT_TEST
void shared_stored(void);
#else
static inline void shared_stored(void) {}
#endif

#define SHARED_STORE(p, v)     \
    do {                       \
        barrier();             \
        WRITE_ONCE(*(p), (v)); \
        barrier();             \
        shared_stored();       \
    } while (0)

/* A ring index beside its complement in one store: any one damaged byte shows. */
static inline uint64_t keep_idx(uint32_t i) { return i | (uint64_t)~i << 32; }
static inline bool keep_idx_ok(uint64_t v) { return (uint32_t)v == (uint32_t) ~(v >> 32); }

/* --- one ring's indices: the record's beside those of the ring itself, which its front-end can damage ---
 * rsp_next is stored before the ring's rsp_prod, rsp_pub after it; so rsp_prod equals one of them. Slots from req_cons on hold
 * requests, untouched. */
struct keep_ring {
    uint64_t req_cons; /* keep_idx(), as the others; requests before it are consumed: what they need is in the record, or answered */
    uint64_t rsp_next;
    uint64_t rsp_pub;
    uint64_t pad;
};

void keep_ring_open(struct keep_ring *r, uint32_t start); /* of a ring whose responses start there */
void keep_ring_publish(struct keep_ring *r, volatile uint32_t *rsp_prod,
                       uint32_t rsp); /* responses up to rsp, whose bodies are stored */
/* Holds what a dead instance left against the ring's rsp_prod. NULL, or what is wrong with it. Stores nothing. */
const char *keep_ring_check(const struct keep_ring *r, uint32_t rsp_prod, uint32_t size);

/* *n: requests in [cons, the ring's req_prod). false: there are more than a front-end may have outstanding, with pub the ring's rsp_prod. */
static inline bool ring_requests(const uint32_t *req_prod, uint32_t cons, uint32_t pub,
                                 uint32_t size, uint32_t *n)
{
    uint32_t prod = READ_ONCE(*req_prod);

    rmb(); /* slots are read after the index that covers them */
    *n = prod - cons;
    return prod - pub <= size && *n <= size - (cons - pub);
}

/* The front-end waits for an event with a response of [old, pub). After an mb() behind the store of rsp_prod: it sees that, or we see its rsp_event. */
static inline bool ring_event_due(const uint32_t *rsp_event, uint32_t old, uint32_t pub)
{
    return pub - READ_ONCE(*rsp_event) < pub - old;
}

/* The dead instance may have published and not notified: exactly if rsp_event lies at or before rsp_prod. A send without progress counts
 * as spurious in Linux and throttles the port, so no other send at adoption. After an mb(), as above. */
static inline bool ring_event_missed(const uint32_t *rsp_event, uint32_t pub)
{
    return (int32_t)(pub - READ_ONCE(*rsp_event)) >= 0;
}

/* --- records ---
 * Every record starts with magic, CRC-32 (zlib's) of all that follows the CRC, version: 32 bits each. n: bytes of the record, a multiple of
 * four. Save fills the three in; the magic is cleared first and stored last, so a record that was being written is none. */
#define KEEP_RECORD_MAX 512u
bool keep_record_valid(const void *rec, uint32_t magic, uint32_t version, size_t n);
void keep_record_save(void *rec, const void *from, uint32_t magic, uint32_t version, size_t n);
