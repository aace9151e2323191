/* SPDX-License-Identifier: MIT */
/*
 * The supervisor. The core's VIRQ_DOM_EXC says that some domain changed; its state is a level, so
 * every domain is looked at. A crashed service domain is brought back before a word is said about
 * it: fence, image, unpause (docs/restart-protocol.md 2 and 7). What that needs was allocated when the domain was
 * made, and the store is not waited for: crashes are seen to also while some call waits for it, and
 * the introduction comes after. Ends of guests may wait for the main loop: guests.c.
 */
#pragma once
#include "domain/dom.h"

void supervisor_init(void);
void supervisor_look(void);           /* at all domains, once: whatever happened before */
void supervisor_watch(struct dom *d); /* it was unpaused: tell when it is up */
bool supervisor_all_up(void);
bool supervisor_store_serves(void); /* as far as is known: it may be about to be found dead */
bool supervisor_restarts(const struct dom *d); /* in place */
int supervisor_restart(struct dom *d, struct errbuf *e);
/* As struct bh_crash says: a death that counts for nothing. */
int supervisor_crash(struct dom *d, uint32_t how, uint16_t after_ms);
bool supervisor_guest_ended(void); /* one has, since this was asked last */
