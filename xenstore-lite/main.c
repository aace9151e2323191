/* SPDX-License-Identifier: MIT */
/*
 * The store domain. Peers and rights:
 *   control domain (the role, told by the command line: ctl_ref=, ctl_port=, ctl_domid= if it is not 0): its ring is the
 *     privileged connection; it introduces and releases the others;
 *   every other domain: its ring page (its grant reference 1, mapped read-write, nothing else of it) and one event channel.
 * It owns no device, may build nobody and needs no privileged operation of the core. What it knows lies in its keep pages
 * (journal.h), so an instance that died has done of each request all or nothing, and the next one goes on.
 */
#include <bh.h>
#include <stdlib.h>
#include <string.h>
#include "conn.h"
#include "journal.h"
#include "mem.h"

static struct xs xs;

static uint64_t option(const char *key, uint64_t otherwise)
{
    char buf[32];
    return cmdline_get(key, buf, sizeof buf) && buf[0] ? strtoul(buf, NULL, 0) : otherwise;
}

/* A client's stores arrive within microseconds. */
#define LOOK_AGAIN_NS NS_PER_MS

static void look_again(struct dtimer *t)
{
    (void)t;
    xs_look_again(&xs);
}

/* Feeds the hang deadline once in a while: every loop would cost an exit. */
static void alive(uint64_t ms)
{
    static uint64_t next;
    uint64_t now = ms ? now_ns() : 0;
    if (ms && now >= next) {
        deadline_feed(ms);
        next = now + ms * NS_PER_MS / 8;
    }
}

/* All memory that is left but a little for the library (rings of 200 clients are mapped outside of it), and no more than the journal has
 * room for. */
static void memory_init(void)
{
    uint64_t avail = page_avail() * PAGE_SIZE, most = avail - avail / 32;
    journal_open(self.keep, self.nr_keep * PAGE_SIZE);
    uint64_t covers = journal_covers();
    if (covers < PRIV_RESERVE + PRIV_RESERVE / 4) { /* less than the control domain alone may have */
        journal_open(NULL, 0);
        covers = 0;
    }
    xs_mem_init(covers && covers < most ? covers : most);
    xs_mem_take();
}

static void go_on(int lost)
{
    if (lost < 0) {
        printf("store: up, %lu KiB, %lu guests have their first %u%s\n",
               (unsigned long)(xs_mem.limit / 1024),
               (unsigned long)((xs_mem.limit / XS_CHUNK - xs_mem.promised) / limits_guest.floor),
               limits_guest.floor * XS_CHUNK / 1024,
               journal_covers() ? "" : "; no keep pages: it does not survive its death");
        return;
    }
    unsigned all = xs.nr_conns - 1, cut, n = conn_adopt(&xs, &cut);
    printf("store: goes on with %u of %u clients\n", n, all);
    if (xs.read == JOURNAL_SNAPSHOT)
        printf(
            "store: two instances ended while they read the journal: what came after its last snapshot is given up\n");
    if (xs.read == JOURNAL_NOTHING)
        printf(
            "store: four instances ended while they read the journal: it is given up, the control domain says who is there\n");
    if (cut)
        printf("store: what was on its way to or from %u clients is lost\n", cut);
    if (lost)
        printf("store: %d entries of the journal make no sense, or find no memory: left out\n", lost);
}

int main(void)
{
    static struct dtimer again = { .fn = look_again };
    uint64_t ref = option("ctl_ref", 0), port = option("ctl_port", 0),
             deadline = option("deadline", 0);
    memory_init();
    watch_seed = (uint32_t)now_ns() * 2654435761u;
    if (!port || store_init(&xs, &conn_ops))
        bh_panic("store: no control connection (ctl_ref=, ctl_port=) or no memory (%lu KiB)",
                 (unsigned long)(xs_mem.limit / 1024));
    bool ordered = option("ordered", 0);
    int lost = xs_restore(&xs, ordered);
    aside_begin(&xs, now_ns(), ordered);
    if (!conn_privileged(&xs, (uint16_t)option("ctl_domid", BH_DOMID_CONTROL), (uint32_t)ref,
                         (uint32_t)port))
        bh_panic("store: the control connection (grant %lu, port %lu) does not come up",
                 (unsigned long)ref, (unsigned long)port);
    go_on(lost);
    xs_snapshot(&xs); /* from here on everything is recorded */
    bh_svc_adopted();
    for (;;) {
        alive(deadline);
        if (xs_turns(&xs)) {
            event_poll();
            continue;
        }
        if (xs.doubt && !again.armed) {
            xs_look_later(&xs);
            dtimer_set(&again, now_ns() + LOOK_AGAIN_NS);
        }
        event_wait(0);
    }
}
