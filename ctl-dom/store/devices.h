/* SPDX-License-Identifier: MIT */
/*
 * Devices that another domain serves: vifs and disks of driver domains, what pciback shows. Both sides' directories are written here,
 * in the layout of Xen's; a back-end owns its side, the front-end its own, each may read the other's.
 */
#pragma once
#include "domain/dom.h"

struct txn;

#define DEV_PATH 96
void dev_paths(const struct dom *d, const struct dom_dev *v, char be[DEV_PATH], char fe[DEV_PATH]);
/* "vif 0" or "disk xvda": how messages name it. */
const char *dev_text(const struct dom *d, const struct dom_dev *v);
#define DEV_WORD 160
/* What its back-end says in that node of its directory, "net0: ..."; false: nothing. */
bool dev_word(const struct dom *d, const struct dom_dev *v, const char *key, char text[DEV_WORD]);
int devs_resolve(struct dom *d, struct errbuf *e); /* finds who serves them; fills d->dev */
int disk_resolve(struct dom *d, unsigned i, struct dom_dev *v, struct errbuf *e);
int vif_resolve(struct dom *d, unsigned i, struct dom_dev *v, struct errbuf *e);
/* Whether all whom a guest of this configuration needs are there: 0, -ENOENT for one that is not, or what is wrong with its words. */
int devs_served(const struct domcfg *cfg, struct errbuf *e);
/* The first domain with a disk that b serves. */
struct dom *devs_disk_user(const struct dom *b);
/* d's disk of that name, in any form that a configuration may have it; NULL: it has none. */
struct dom_dev *disk_of(struct dom *d, const char *vdev);

void dev_nodes(struct txn *t, const struct dom *d, const struct dom_dev *v); /* both sides' */
void dev_back_nodes(struct txn *t, const struct dom *d, const struct dom_dev *v);
void dev_front_nodes(struct txn *t, const struct dom *d, const struct dom_dev *v);
/* Both sides are connected: what they wrote of that is lost, they have it themselves. */
void dev_goes_on(struct txn *t, const struct dom *d, const struct dom_dev *v);
/* What is to be known of the i-th device, in what pciback shows of them. */
void pci_node(struct txn *t, const struct dom *d, const char *be, unsigned i);
void pci_nodes(struct txn *t, struct dom *d, void *arg);
int store_pci_anew(struct dom *d, struct errbuf *e); /* in the place of what is there */
/* Their entries in the slot tables and, between the two steps of that, the nodes. */
int devs_attach(struct dom *d, void (*nodes)(struct txn *t, struct dom *d, void *arg),
                struct errbuf *e);
/* Also takes the back-ends' nodes away. If the store does not answer, they are told by their tables alone. */
void devs_close(const struct dom *d);
/* The same devices again, from the beginning: for the next kernel of a guest that stands still. */
int devs_renew(struct dom *d, struct errbuf *e);

#define BACKEND_SILENT ~0ul                                           /* the store did not say */
uint64_t backend_state(const struct dom *d, const struct dom_dev *v); /* 0: none */
int wait_backend(const struct dom *d, const struct dom_dev *v, struct errbuf *e); /* of one device */
/* How long of ns to wait for v's back-end: less if it did not answer the last time. */
uint64_t dev_patience(const struct dom_dev *v, uint64_t ns);
int wait_backends(const struct dom *d, struct errbuf *e);

/* Another chance for a device that its back-end put aside. */
int dev_retry(const struct dom *d, struct dom_dev *v, struct errbuf *e);
/* b runs, and is not the instance that its front-ends know: they are plugged again. */
void devs_driver_up(struct dom *b);
/* The same of one whose front-ends know it: it was there before this instance of ours. */
void devs_driver_found(struct dom *b);
void devs_driver_gone(struct dom *b);
bool devs_work(void); /* what driver domains asked for; false: nothing, and it did not wait */
