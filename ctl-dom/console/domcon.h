/* SPDX-License-Identifier: MIT */
/*
 * The consoles of the domains: each one's ring (<xen/io/console.h>, granted by reference 0) is emptied into a backlog and, when
 * somebody looks at it, onto the wire.
 */
#pragma once
#include <bh.h>

#define BACKLOG_SIZE 16384u

struct dom;
struct errbuf;
struct xencons_interface;

struct domcon {
    struct grant_map map;
    struct xencons_interface *ring; /* NULL: not connected */
    uint32_t port;
    char *log;                  /* the last BACKLOG_SIZE bytes of output */
    uint64_t written;           /* bytes ever written there */
    uint64_t budget, budget_at; /* limit of output per time */
    bool cr;                    /* a carriage return waits for its newline */
};

int domcon_connect(struct dom *d, struct errbuf *e);
void domcon_drain(struct dom *d);
void domcon_restart(struct dom *d); /* the ring's page was zeroed */
void domcon_disconnect(struct dom *d);
#define DOMCON_LEAVE 0x1d /* Ctrl-] */
/* Prints the backlog; from now on its output goes to the wire, and what is typed to it, until that key or Enter ~ . */
void domcon_attach(struct dom *d, unsigned char leave);
struct dom *domcon_attached(void); /* NULL: none is looked at */
void domcon_leave(void);
/* The next of what was typed, for the one that is looked at. */
enum domcon_typed { DOMCON_TOOK, DOMCON_FULL, DOMCON_LEFT };
enum domcon_typed domcon_typed(unsigned char c);
/* Prints the last words of one that is no more, by its name or number. False: they are not known. */
bool domcon_show_ended(const char *name);
void domcon_last_line(const struct dom *d, char *buf, size_t n);
