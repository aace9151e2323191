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

#define SHARED_STORE(p, v)        \
    do {                          \
        barrier();                \
        WRITE_ONCE(*(p), (v));    \
        barrier();                \
        shared_stored();          \
    } while (0)

/* A ring index beside its complement in one store: any one damaged byte shows. */
static inline uint64_t keep_idx(uint32_t i) { return i | (uint64_t)~i << 32; }
static inline bool keep_idx_ok(uint64_t v) { return (uint32_t)v == (uint32_t)~(v >> 32); }

/* CRC-32 (IEEE 802.3, reflected). */
uint32_t keep_crc(const void *p, size_t n);

/* Every record starts with magic, CRC of all that follows the CRC, version: 32 bits each. n: bytes of the record, a multiple of
 * four. Save fills the three in; the magic is cleared first and stored last, so a record that was being written is none. */
#define KEEP_RECORD_MAX 512u
bool keep_record_valid(const void *rec, uint32_t magic, uint32_t version, size_t n);
void keep_record_save(void *rec, const void *from, uint32_t magic, uint32_t version, size_t n);
