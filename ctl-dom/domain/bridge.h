/* SPDX-License-Identifier: MIT */
/*
 * The bridges of net driver domains, and which of them a vif is on. A domain has those of its `bridges=`, or one that bears its own name; its own name
 * means the first one in any case. A vif is on a bridge by names, which are looked up anew each time: no number outlives the instance that had it.
 */
#pragma once
#include "domain/dom.h"

#define BRIDGES_WORD (sizeof(" bridges=") + SLOT_BRIDGES * (BH_NAME_LEN + 10))

unsigned bridges_of(const struct dom *b); /* how many; 0: it is no net driver domain */
const char *bridge_name(const struct dom *b, unsigned i);
/* The number of the bridge in b that v means; -1: it has none of that name. */
int bridge_find(const struct dom *b, const struct cfg_vif *v);
/* Its name, as v's back-end b has it; "": none, or the one that a Linux has for who names none. b may be NULL. */
const char *vif_bridge(const struct dom *b, const struct cfg_vif *v);
/* Who is to serve it: as its words name him, else the first net driver domain. NULL: nobody, or there are several. */
struct dom *vif_backend(const struct cfg_vif *v);
/* The same with what is wrong: `who`, "NAME: vif 0", begins the line. -ENOENT: one who is not there yet may mend it. */
int vif_served(const struct cfg_vif *v, const char *who, struct dom **b, struct errbuf *e);
bool vifs_meet(const struct cfg_vif *v, const struct cfg_vif *o); /* on one bridge */
/* A bridge's name is no domain's, the other way round likewise. */
int bridges_check(const struct domcfg *cfg, struct errbuf *e);
/* For a net driver domain's command line: " bridges=NAME@SBDF,NAME", the SBDF in hexadecimal digits; "" without `bridges=`. */
void bridges_word(const struct domcfg *cfg, char *text, size_t n);
