/* SPDX-License-Identifier: MIT */
/* /local/domain/ID of each domain in the store, in the layout of Xen's. */
#pragma once
#include "store/connection.h"

int store_add_domain(struct dom *d, struct errbuf *e); /* its directory, its devices, both sides */
int store_add_again(struct dom *d,
                    struct errbuf *e); /* the same of one that runs: its devices are connected */
/* What it has of a domain that ends. 0: nothing is left there. */
int store_remove_domain(struct dom *d);
/* The same of one of which nothing but its domid is known any more. */
int store_leave(domid_t id);
int store_domains(void (*seen)(domid_t id)); /* told each domid that has a directory there */
/* Its name in its record and both places of the store; 0: all have the new one. */
int store_rename(struct dom *d, const char *name, struct errbuf *e);
/* It is to have as much memory, and to use as many vCPUs, from now on: in its record and in the store. An error: its record has what it had, the
 * store one or the other. */
int store_resize(struct dom *d, uint32_t memory_mb, uint32_t vcpus, struct errbuf *e);
int store_control(const struct dom *d, const char *what); /* control/shutdown */
