/* SPDX-License-Identifier: MIT */
/*
 * The core's own console: keys that show what the core has in use, when nobody else answers any more. Ctrl-A three times on the serial line (conswitch=) leads
 * to it and back; BH_CTL_DEBUG_KEYS presses keys for `debug-keys` of the shell, whose answer is in the log.
 *
 * Each key writes line by line, a piece at a time from a timer, as fast as the line takes it: no guest waits for it. No lock is waited for,
 * since its holder may be what is looked for: what is read without one is whole in each word, and not of one moment.
 */
#pragma once
#include "base/types.h"
#include "common/format.h"

struct domain;
void debug_init(void); /* after the command line, before input */
/* From whoever took input off the line, no lock held: goes on with the keys that came. */
void debug_poll(void);
/* Presses keys; what they show goes to the log. -EAGAIN: too many wait. */
int debug_press(const char *keys, size_t n) __must_check;

/* --- inside of hv/debug ----------------------------------------------------------------------------------------------- */
#define DEBUG_LINE 200u
/* Where a key's output stands: all zero at its beginning. */
struct debug_at {
    uint32_t line;           /* of the whole */
    uint32_t domid, vcpu, n; /* what a key likes */
    uint64_t held_until;     /* debug_domain */
    bool held;
};
/* A line of the key's output without its newline, "" for none this time; false: that was all. Interrupts off, a few microseconds. */
typedef bool (*debug_fn)(struct debug_at *at, char *text);
struct debug_key {
    char key;
    debug_fn fn;
    const char *help;
};
/* The domain that comes next, from at->domid on, with a reference. *d NULL: what this says is what the key says, text as it is. */
bool debug_domain(struct debug_at *at, char *text, struct domain **d);
void debug_next_domain(struct debug_at *at, const struct domain *d);
#define DEBUG_KEYS_END \
    {                  \
        0, NULL, NULL  \
    }
extern const struct debug_key debug_domains[], debug_ipc[], debug_machine[]; /* a group a file */
