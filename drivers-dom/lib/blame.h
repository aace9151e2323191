/* SPDX-License-Identifier: MIT */
/*
 * Whose requests a driver domain dies at (docs/restart-protocol.md 11). The keep pages say all the time which front-end's ring, grants or
 * frames are being worked on. The second death at the same one's within BLAME_WINDOW_NS puts that device aside: nothing of it is touched any more, and the
 * others are served. What is put aside stays so until it is given another chance, which the slot table counts, or is attached anew.
 *
 * A device is its generation in the slot table, of which no other device of this domain ever has the same.
 *
 * The dead instance may have been anybody's, so all of it is a hint: it can put aside devices that are there, whom that instance could have
 * left unserved as well. Pure.
 */
#pragma once
#include <keep_record.h>

#define BLAME_WINDOW_NS (60 * NS_PER_S)
#define BLAME_ASIDE     (1ull << 63)
#define BLAME_WORDS(n)  (1 + 2 * (n)) /* of a struct blame with n deaths */
#define BLAME_WHY       "put aside: twice within a minute its driver domain died at work on it"

struct blame {      /* in a keep page; all zero: nobody's fault yet */
    uint64_t whose; /* keep_idx() of the generation that is worked on, 0: nobody's */
    struct blame_death {
        uint64_t whose; /* the same; unsound: unused */
        uint64_t when; /* system time of the start after the last death; put aside: BLAME_ASIDE + chances that it had had */
    } death[];         /* as many as the back-end has places for devices */
};

/* Whether a device of this generation is ours, and the chances that it has had. */
typedef bool blame_there(uint32_t gen, uint64_t *chances);

extern struct blame *blame_kept;

/* From here on a death is this device's fault, 0: nobody's. One store: cheap enough for each turn of a ring. */
static inline void blame(uint32_t gen) { SHARED_STORE(&blame_kept->whose, keep_idx(gen)); }

/* Notes whose fault the last life's death was, unless somebody ordered it. From here on b, with room for so many deaths, is what blame() stores to.
 * Before anything of a front-end is touched. */
void blame_begin(struct blame *b, unsigned deaths, uint64_t now, bool ordered, blame_there *there);
/* The device is put aside, and has had no other chance since. */
bool blame_aside(uint32_t gen, uint64_t chances);
