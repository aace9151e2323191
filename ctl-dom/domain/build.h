/* SPDX-License-Identifier: MIT */
/*
 * The builder: one domain's frame in the core, its memory and its program. supervise/life.c calls these in their order; everything
 * here is undone by ending the domain.
 */
#pragma once
#include "domain/dom.h"

/* Whether the machine has as much memory as cfg wants: 0, or -ENOMEM. */
int build_room(const struct domcfg *cfg, struct errbuf *e);
/* Whether the bundle has the kernel and the ramdisk that cfg names: 0, or -ENOENT. */
int build_files(const struct domcfg *cfg, struct errbuf *e);
/* The domain in the core, and its entry in the table: without memory, paused. -ENOMEM also where the machine has not as much as it and what the
 * core needs for it. */
int build_begin(const struct domcfg *cfg, struct dom **out, struct errbuf *e);
/* Memory and program. A service domain's command line begins with d->words as they are. */
int build_service(struct dom *d, struct errbuf *e);
int build_fits(const struct dom *d, const struct svc_image *img,
               struct errbuf *e); /* into the memory that a service domain has */
int build_guest(struct dom *d, struct bh_entry *entry, struct errbuf *e);
/* The pages that it is to have by its configuration; and how many it may have from now on, which may be less than it has: 0, or what the core says. */
uint64_t build_pages(const struct dom *d);
long build_limit(const struct dom *d, uint64_t pages);
/* The rings for console and store, and their ports at d's end. */
int build_rings(struct dom *d, struct errbuf *e);

/* Into a domain under construction; 0 or a negative errno. */
int guest_write(domid_t id, uint64_t gpa, const void *src, size_t len);
/* d->boot_block anew, from d's configuration: -ENOMEM. */
int build_boot_block(struct dom *d);
/* Start info and image into a service domain under construction, less what was kept. */
int service_write(struct dom *d);
