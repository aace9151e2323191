/* SPDX-License-Identifier: MIT */
/* The beginning and the end of a domain. */
#pragma once
#include "domain/dom.h"

/* Builds, connects and starts a domain; on failure nothing of it stays. lenient: a driver domain goes on without a device that it
 * cannot have (said on the console). Waits for its back-ends, and serves events meanwhile. */
int dom_create(const struct domcfg *cfg, bool lenient, struct dom **out, struct errbuf *e);
/* The same of one that is paused when it starts: an unpause lets it come to its first instruction. */
int dom_create_paused(const struct domcfg *cfg, struct dom **out, struct errbuf *e);
/* Whether cfg could be created now, as far as that is known without making anything. */
int dom_would(const struct domcfg *cfg, struct errbuf *e);
/* Ends a domain of ours, with its nodes, rings and devices; d is gone afterwards, whatever it returns. */
int dom_destroy(struct dom *d, struct errbuf *e);
