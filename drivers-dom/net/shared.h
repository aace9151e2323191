/* SPDX-License-Identifier: MIT */
/*
 * Every store to memory that outlives this instance (rings, keep pages) goes through SHARED_STORE: one aligned store that
 * the compiler neither splits nor reorders against another one. x86 keeps the order of stores, so the order in the source is
 * the order that a front-end, or the next instance after a crash, sees. The native tests hook each store and crash after it.
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
