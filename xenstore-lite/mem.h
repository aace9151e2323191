/* SPDX-License-Identifier: MIT */
/*
 * The store's heap: malloc with one budget for the whole domain. A request of an unprivileged client is served with
 * `reserve` bytes held back, so that guests together can never take the memory that the control domain's requests need.
 * Every failure is an ordinary NULL and ends as ENOMEM of one request.
 */
#pragma once
#include <stddef.h>

struct xs_mem {
    size_t used;      /* bytes, headers counted */
    size_t limit;     /* the budget */
    size_t reserve;   /* held back at this moment */
    long fail_in;     /* test hook: > 0 counts allocations down, the one that reaches 0 fails; else off */
};
extern struct xs_mem xs_mem;

void *xs_alloc(size_t n); /* zeroed, 8-byte aligned, or NULL */
void xs_free(void *p);
