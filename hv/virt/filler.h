/* SPDX-License-Identifier: MIT */
/*
 * Fillers: what a guest sees at places of its memory that nobody backs, so that looking there does not end it. Pages, no decoder:
 *   in the device hole (IO-APIC, HPET, local APIC) a page of the core for this guest alone, all ones at first; what it writes stays there
 *   and is nobody's business. The local APIC's page begins as its registers do (lapic_page);
 *   where the guest has given RAM back, one read-only page of ones for all.
 * A fetch, a write to the second kind, and anything anywhere else end the guest. To all other code a filler is nothing: it is not
 * RAM, never granted, copied from by a hypercall or put into an IOMMU's table, and p2m_set puts what comes in its place.
 */
#pragma once
#include "base/types.h"

struct domain;

/* A guest's access to gpa, where nothing is. True: a page is there now, or something else was put there meanwhile; try again. */
bool filler_touch(struct domain *d, uint64_t gpa, bool write) __must_check;
