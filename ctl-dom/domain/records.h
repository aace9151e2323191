/* SPDX-License-Identifier: MIT */
/*
 * What the next control domain must know of this one's domains, in its keep pages: the core leaves them as they are when it restarts us
 * (docs/restart-protocol.md). A record is there from record_keep() on, which is one store, until record_free(), which is one; what is in it at
 * any instruction between must be of use to the next instance.
 *
 * Without keep pages (a core that gives none, native tests) records are ordinary memory.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <bh.h>

#define RECORD_SIZE 16384u
#define TABLE_SIZE  32768u
#define TABLES_SIZE (TABLE_SIZE * (BH_FIRST_GUEST - BH_FIRST_DRIVER))

enum record_kind { RECORD_FREE, RECORD_DOM, RECORD_WAITING, RECORD_UPDATE };

/* Zeroed; nobody else's, and not there for the next instance yet. NULL: all are taken. */
void *record_new(void);
unsigned record_left(void); /* so many more there can be; UINT_MAX: as there is memory */
void record_keep(void *body, enum record_kind kind);
void record_free(void *body); /* also one that was not kept; NULL: nothing */
/* Whoever works on it may die of it: three instances in a row at one and the same, and the next one finds no such record. NULL: on none. */
void record_working(const void *body);
/* One was dropped so. */
bool record_dropped(void);
/* The next one of that kind that a former instance kept; NULL: begins, and: there is no more. */
void *record_next(const void *body, enum record_kind kind);
#define RECORD_BOOK_SIZE 81920u
/* Of a domid: somebody may still name a domain of it whose end has begun. One store. */
void record_ended(domid_t id, bool is);
/* The first one from there on of which that was said, also by a former instance; DOMID_FIRST_RESERVED: there is none. */
unsigned record_next_ended(unsigned from);
/* So many bytes beside the records, as a former instance left them, or zeroes: crash reports. */
void *record_book(void);
/* So many bytes for the domain in a driver domain's slot, as its last owner left them: of what its slot table holds (slots.h). NULL: out of memory. */
void *record_table(domid_t slot);
/* Whether a former instance of ours kept records here, or had come so far as to ask this. */
bool record_found(void);
/* What the former instance knew besides, 0 at first: whether its boot was over ... */
extern unsigned long *record_boot_over;
/* ... whether the machine was about to end: no guest is started then, whatever its configuration says (guests.c) ... */
extern unsigned long *record_machine_ends;
/* ... and the names of the slots (dom.c). */
extern char (*record_slot_name)[BH_NAME_LEN];
