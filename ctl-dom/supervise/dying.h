/* SPDX-License-Identifier: MIT */
/* Domains that were destroyed, followed until nobody has a page of them and nothing names them. */
#pragma once

#include "domain/dom.h"

/* d was destroyed: who served it is to let go of its pages; then, if the store has let go of it, the core may use its domid again. */
void dying_follow(const struct dom *d);
/* One that a former instance of ours destroyed. Whether the store names it nobody knows: its domid stays used. */
void dying_found(domid_t id);
