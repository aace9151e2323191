/* SPDX-License-Identifier: MIT */
/* The front-end of pciif (<xen/io/pciif.h>), and the same configuration space by ports. */
#pragma once
#include <bh.h>
#include <xen/io/pciif.h>

void front_begin(void); /* pages and ports are its own; the back-end has described the devices */
unsigned front_backend_state(void);
void front_state(unsigned state);
void front_claim(uint32_t ref, uint32_t port, const char *magic); /* writes that in its directory */
struct xen_pci_sharedinfo *front_page(void);
void front_tell(void);

/* One request; op is the answer. False: none came for a long time. */
bool front_ask(struct xen_pci_op *op);
uint32_t front_read(unsigned devfn, unsigned off, unsigned size); /* ones if it was refused */
void front_write(unsigned devfn, unsigned off, unsigned size, uint32_t value);

/* Slot and function behind this one that may have something: those of a slot whose function 0 says that it has several, else the next slot; 256: none. */
unsigned front_next(unsigned devfn);
unsigned front_find(uint32_t id); /* 0: not there */

uint32_t port_read(unsigned bus, unsigned devfn, unsigned off);

void edu_begin(void); /* if there is one: an interrupt by MSI */
void hostile(void) __attribute__((noreturn));
