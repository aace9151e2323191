/* SPDX-License-Identifier: MIT */
/* Service domains that are restarted once in a while, by the ordinary way, whether anything is wrong with them or not: what one has lost or was made to lose is
 * given back, and who had broken into it unseen is out. Stands in the domain's record: our own death changes nothing of it. */
#pragma once
#include "domain/dom.h"

#define REJUVENATE_MAX (365u * 24 * 3600)

/* Every so many seconds from now on; 0: no more. */
int rejuvenate_set(struct dom *d, uint32_t seconds, struct errbuf *e);
bool rejuvenate_work(void); /* of the job. True: one was restarted */
/* Prints a line, if it is. */
void rejuvenate_list(const struct dom *d);
