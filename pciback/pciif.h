/* SPDX-License-Identifier: MIT */
/*
 * The back-end's end of <xen/io/pciif.h>: one page that a front-end shares, one request in it at a time. The page is the front-end's, which may write
 * it at any time: a request is copied once and only the copy is looked at.
 *
 * Who writes what: the front-end the request, then XEN_PCIF_active, then an event; we what the request asks for, then err, then value, then that
 * flag off, then an event. Until the flag is off the request is still there: an instance that dies before leaves it to the next one, which does
 * it again. A number of entries (enable_msix) is overwritten by 0, the answer, last: done again it then asks for nothing.
 *
 * The connection (reference and port) lies in keep pages, so the next instance maps the same page and binds the same port. No store access.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <xen/xen.h>

struct pciif_kept {
    uint64_t head;      /* 0: empty; else the front-end beside its complement */
    uint64_t ref, port; /* beside their complements */
    uint64_t pad;
};
_Static_assert(sizeof(struct pciif_kept) == 32, "keep record layout");
#define PCIIF_MOST 64u /* front-ends */

void pciif_init(struct pciif_kept *kept,
                unsigned nr); /* takes up the connections of a former instance */
/* 0: it is connected, by this reference and port alone; or -errno. */
int pciif_connect(domid_t dom, uint32_t ref, uint32_t port);
void pciif_disconnect(domid_t dom);
int pciif_front(int after); /* the next connected front-end above `after` (-1: the first), or -ENOENT */
/* A request of each front-end that has one. True: there may be more at once. */
bool pciif_turn(void);
uint64_t pciif_until(uint64_t until); /* as trap_until */
bool pciif_answered(void);
