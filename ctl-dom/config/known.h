/* SPDX-License-Identifier: MIT */
/*
 * Keys that others have and we do not (known.def).
 *
 * Pure: no hypercalls.
 */
#pragma once

enum known { KNOWN_NOT, KNOWN_NOTED, KNOWN_REFUSED };

/* why: of KNOWN_REFUSED, what there is instead. */
enum known known_key(const char *name, const char **why);
