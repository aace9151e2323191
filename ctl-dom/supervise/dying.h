/* SPDX-License-Identifier: MIT */
/* Domains that were destroyed, followed until nobody has a page of them and nothing names them. */
#pragma once

struct dom;

/* d was destroyed: who served it is to let go of its pages; then, if the store has let go of it, the core may use its domid again. */
void dying_follow(const struct dom *d);
