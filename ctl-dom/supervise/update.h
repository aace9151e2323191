/* SPDX-License-Identifier: MIT */
/* What a guest is to be from its next start on (`config-update`): a configuration beside the one that it runs with, in a record of its own. It ends with the guest. */
#pragma once
#include "domain/dom.h"

/* Instead of what there was before, in one store. -ENOSPC: there is no room for it. */
int update_set(const struct dom *d, const struct domcfg *cfg, struct errbuf *e);
/* The configuration of d's next start. */
void update_next(const struct dom *d, struct domcfg *cfg);
void update_forget(const struct dom *d);
void update_find_all(void); /* those that a former instance of ours left */
