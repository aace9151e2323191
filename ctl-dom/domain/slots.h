/* SPDX-License-Identifier: MIT */
/*
 * The slot tables of driver domains: who has what (slot_table.h has the states and the order of the steps). A driver domain can read
 * its table and nobody but us writes it; nor can we read it, so a copy is kept here.
 *
 * Every step may be the last one, and every step may be done again: an entry that is ATTACHING or DETACHING is brought to its end by
 * attaching or detaching anew. No store access.
 */
#pragma once
#include <slot_table.h>
#include "domain/dom.h"

/* The pages at gfn of a driver domain under construction become its slot table. */
int slots_init(struct dom *b, uint64_t gfn);
/* The head that was changed last once more from our copy, which is behind the table if the former instance ended between the two: the step is done
 * again, or undone. */
void slots_again(struct dom *b);
/* The steps of an attach and a detach in their order. */
int slot_attach(const struct dom *d, const struct dom_dev *v, struct errbuf *e);
void slot_attached(const struct dom *d, const struct dom_dev *v);
void slot_detaching(const struct dom *d, const struct dom_dev *v);
void slot_remove(const struct dom *d, const struct dom_dev *v);
/* Whether its back-end has yet to say where the volume lies; and what it said, in sectors. */
bool slot_wants_extent(const struct dom *d, const struct dom_dev *v);
void slot_extent(const struct dom *d, const struct dom_dev *v, uint64_t first, uint64_t nr);
uint32_t slot_gen_of(const struct dom *d, const struct dom_dev *v); /* 0: it has no entry */
void slot_limits(const struct dom *d, const struct dom_dev *v); /* as the configuration has them */
void slot_chance(const struct dom *d, const struct dom_dev *v); /* one more */

/* The entries of a guest of which the core has nothing any more, however far they were: who served it has let go of it, or was fenced. False:
 * one stayed. */
bool slots_drop(domid_t id);
