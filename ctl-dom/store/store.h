/* SPDX-License-Identifier: MIT */
/* /local/domain/ID of each domain in the store, in the layout of Xen's. */
#pragma once
#include "store/connection.h"

int store_add_domain(struct dom *d, struct errbuf *e); /* its directory, its devices, both sides */
int store_add_again(struct dom *d,
                    struct errbuf *e);   /* the same of one that runs: its devices are connected */
void store_remove_domain(struct dom *d); /* sets d->unnamed, if the store says so */
int store_control(const struct dom *d, const char *what); /* control/shutdown */
