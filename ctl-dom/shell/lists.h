/* SPDX-License-Identifier: MIT */
/* What the lists of devices share: figures out of the store, and what is wrong with a driver domain's device. */
#pragma once
#include <store_keys.h>
#include "domain/dom.h"

/* Prints a line about b's device, if there is anything wrong. */
void driver_problem(const struct dom *b);
/* Those of d's devices of that kind that stand still, and why, or that a detach has not closed yet. */
void list_stalled(const struct dom *d, enum dev_kind kind);
/* Both of the driver domains that serve d, or of d itself, and of the devices between them. */
void list_problems(const struct dom *d, enum dev_kind kind);
/* Whether b serves a device of that kind to d. */
bool serves(const struct dom *b, const struct dom *d, enum dev_kind kind);

/* "rbpscd", a letter or - each, as xl has them. */
void list_state(const struct bh_dominfo *di, char s[7]);
/* The configurations of those as JSON (list_long.c). */
void list_long(bool (*shown)(domid_t id));

/* A number; -1, as xl shows what is not there. */
long list_number(const char *dir, const char *key);
/* In the device's directory, or in that of its first queue. */
long list_queue_number(const char *fe, const char *key, const char *alias);
/* Numbers that a back-end wrote, in an order of its own; what the text has not is 0. false: there is none. */
bool list_numbers(const char *dir, const char *key, uint64_t *n, unsigned nr);
/* What b has counted of that bridge's wire. false: nothing, there is none. */
bool list_uplink(const struct dom *b, unsigned bridge, uint64_t n[BH_NET_STATS]);
const char *list_bridge(const struct dom *d, const struct dom_dev *v); /* of a vif, "-": none */
