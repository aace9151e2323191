/* SPDX-License-Identifier: MIT */
/* A command that asked a guest for something stays until the guest has done it, for as long as it goes on with it; Ctrl-C leaves it to itself. */
#pragma once
#include "domain/dom.h"

enum following { FOLLOW_GOES_ON, FOLLOW_THERE, FOLLOW_STANDS };
struct follow {
    uint64_t (*at)(const struct bh_dominfo *di); /* where it is: what changes while it goes on */
    bool (*there)(const struct dom *d, uint64_t at);
    void (*tell)(const struct dom *d, uint64_t at, enum following how); /* a line without its end */
};
void follow(const struct dom *d, const struct follow *f);
