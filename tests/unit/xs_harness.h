/* SPDX-License-Identifier: MIT */
/*
 * A store and clients of it in one process. A client speaks through a ring page, as a guest does: bytes into the request ring
 * in pieces, bytes out of the response ring, replies told from events.
 */
#pragma once
#include "unit.h"
#include "../../xenstore-lite/journal.h"
#include "../../xenstore-lite/mem.h"
#include "../../xenstore-lite/xs.h"

struct msg {
    struct msg *next;
    struct xsd_sockmsg hdr;
    char data[XENSTORE_PAYLOAD_MAX + 1];
};

struct client {
    uint16_t domid;
    struct conn *c;
    struct xenstore_domain_interface *ring;
    unsigned char in[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
    uint32_t in_len, next_id, piece; /* piece: most bytes to write at once */
    struct msg *events, **events_tail;
    struct msg reply;
    bool got_reply;
};

extern struct xs store;
extern struct xenstore_domain_interface *pages[512];
extern unsigned char *keep; /* the keep pages */
extern size_t keep_size;    /* 0: for the memory that the next world has */
extern int attach_fails, attached, detached, reattached;
extern bool served_already; /* what reattach finds */

extern char told[256]; /* the last line that the administrator was told, and how many */
extern int nr_told;

extern void (*on_notify)(struct conn *c);

void client_init(struct client *k, uint16_t domid);

/* Lets the store have a turn with it. */
void serve(struct client *k);
void take_in(struct client *k); /* and reads what it answers */

void client_drop_events(struct client *k);

void client_bytes(struct client *k, const void *p, uint32_t n);

/* One request and its reply, which stays in k->reply. */
struct msg *ask(struct client *k, uint32_t type, uint32_t tx, const void *data, uint32_t len);

/* The reply as text: an error's name, or "=" and the data. */
const char *said(struct client *k, uint32_t type, uint32_t tx, const void *data, uint32_t len);

/* S("a\0b"): text and length, its last NUL counted; D("a\0data"): not counted. */
#define S(s)                           (s), (uint32_t)sizeof(s)
#define D(s)                           (s), (uint32_t)sizeof(s) - 1
#define WANT(k, type, tx, ...)         WANT_(k, type, tx, __VA_ARGS__)
#define WANT_(k, type, tx, p, n, want) assert_string_equal(said(k, type, tx, p, n), want)
#define OK(k, type, tx, ...)           WANT_(k, type, tx, __VA_ARGS__, "=OK")

uint32_t tx_start(struct client *k);

/* "path" of the next event ("-" if there is none), its token in *token. */
const char *event(struct client *k, const char **token);

#define EVENT(k, path, tok)                       \
    do {                                          \
        const char *t_ = NULL;                    \
        assert_string_equal(event(k, &t_), path); \
        assert_string_equal(t_, tok);             \
    } while (0)
#define NO_EVENT(k) assert_string_equal(event(k, NULL), "-")

void reconnect(struct client *k); /* by a mark in its ring; what was on its way is dropped */

extern struct client ctl, g16, g17;

void introduce(struct client *k, uint16_t domid);

/* What the control domain makes for a guest: its home, readable; and in it what is its own. */
void home(unsigned domid);

void world_up_with(size_t memory);

int setup(void **state);

int teardown(void **state);

/* All that a client could find out, as text; to be freed. */
char *state_text(void);
void same_text(const char *what, const char *want, const char *got);
extern bool state_exact; /* generations, numbers and indices, too */

extern long restore_fails; /* as xs_mem.fail_in, while the journal is read */
extern unsigned cut; /* clients of which something that was on its way was lost with the last instance */
extern uint64_t life_ns; /* how long each instance lives */
extern bool by_order;    /* deaths are */
/* The private memory of the instance is gone; another one finds rings and journal. Returns what xs_restore does. */
int next_instance(void);

void another_instance(void);

void store_sound(void); /* or fails, and says what is not */
