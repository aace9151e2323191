/* SPDX-License-Identifier: MIT */
/* Clients whom the store put aside, since it died at work on them (docs/restart-protocol.md 11). */
#pragma once
#include "domain/dom.h"

/* Calls fn for each, if the store has ever died. -errno: it does not say who. */
int aside_each(void (*fn)(struct dom *d, void *arg), void *arg);
/* Of the job: after each death of the store, those who were not among them before are told. False: there was none. */
bool aside_work(void);
