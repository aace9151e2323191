/* SPDX-License-Identifier: MIT */
/*
 * Domains that were destroyed, followed until nobody has a page of them and nothing names them. If the store does not answer when one ends, what it
 * has of that waits here until it does. Which ones there are stands in the keep pages too: the next instance follows them on.
 */
#pragma once

#include "domain/dom.h"

/* It is about to be destroyed, or was: who served it is to let go of its pages, and the store of its domid; then the core may use that again. */
void dying_follow(domid_t id);
void dying_unnamed(domid_t id); /* the store has nothing of it any more */
void dying_find_all(void);      /* those that a former instance of ours followed */

/* The rest is the job's, since it waits for the store. */
/* What the store has of those that ended; true: nothing more, so a domid and a UUID may come there again. */
bool dying_leave(void);
bool dying_work(void);       /* the same where it is due; false: it is not */
void dying_meet_store(void); /* the same, also of those that the store alone knows of */
