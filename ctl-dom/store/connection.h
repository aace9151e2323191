/* SPDX-License-Identifier: MIT */
/* The control domain's own connection to the store, and what it tells the store of other domains' connections. */
#pragma once
#include "domain/dom.h"

extern bool store_up;
/* Grant and port of the control domain's ring go into the words of the store's command line. */
int store_prepare(struct dom *store, struct errbuf *e);
int store_connect(void); /* once the store runs */
/* 1: it answers, and store_whole was not said to it; 0: it was; or the error. */
int store_empty(void);
/* When our connection had broken so often, it had everybody's nodes. Who is brought back is introduced only then: a back-end that finds none lets its front-ends go. */
#define STORE_UNTOLD ~0u
void store_told(unsigned breaks);
bool store_is_told(void);
int store_whole(void);                 /* everybody is introduced, too */
bool store_knows(const struct dom *d); /* it was introduced */
int store_introduce(const struct dom *d);
/* The same, but does not wait: done is told. -EAGAIN: not now (xs_post). */
int store_introduce_soon(const struct dom *d, xs_done done);
int store_release(domid_t id);
