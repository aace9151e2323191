/* SPDX-License-Identifier: MIT */
/*
 * A service domain's next instance from another image of the bundle, and back to the old one if that does not come up. cfg.image stays what the domain was
 * made of, which is its kind: images for it are called so, or so with - and more behind it.
 */
#pragma once
#include "domain/dom.h"

/* The next instance is built of that image; a restart is to follow. */
int upgrade_begin(struct dom *d, const char *image, struct errbuf *e);
void upgrade_up(struct dom *d); /* an instance serves */
void upgrade_failed(
    struct dom *d); /* one ended before it did, or could not be begun: the next one is of the old image */
/* A former instance of ours left d as di says. */
void upgrade_found(struct dom *d, const struct bh_dominfo *di);
const char *upgrade_image(const struct dom *d); /* that it is built of */
