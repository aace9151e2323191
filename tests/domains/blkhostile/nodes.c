/* SPDX-License-Identifier: MIT */
/* What is done to the front-end's nodes in the store. See blkhostile.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "blkhostile.h"

static const char *const nonsense[] = {
    "", "0", "-1", "4294967295", "18446744073709551615", "0x10000000000", "abc", "7 8", "\x01\xff"
};
#define NR_NONSENSE (sizeof(nonsense) / sizeof(nonsense[0]))

static const char *const keys[] = { "ring-ref",
                                    "ring-ref0",
                                    "ring-ref1",
                                    "event-channel",
                                    "multi-queue-num-queues",
                                    "ring-page-order",
                                    "num-ring-pages",
                                    "protocol",
                                    "queue-0/ring-ref",
                                    "queue-0/event-channel",
                                    "queue-3",
                                    "feature-persistent" };
#define NR_KEYS (sizeof(keys) / sizeof(keys[0]))

static char *long_text(void)
{
    static char text[2001];

    memset(text, '4', sizeof(text) - 1);
    return text;
}

/* Read once, when it connected: what is written later means nothing. */
const char *nodes_connected(struct fe *f)
{
    for (unsigned k = 0; k < NR_KEYS; k++) {
        for (unsigned i = 0; i < NR_NONSENSE; i++)
            fe_write_text(f, keys[k], nonsense[i]);
        fe_write_text(f, keys[k], long_text());
        fe_write(f, "state", XenbusStateConnected); /* have a look */
        const char *bad = good(f, k % f->queues);
        if (bad)
            return why("after %s was rewritten: %s", keys[k], bad);
    }
    fe_publish(f);
    return all_good(f);
}

/* One node after the other is nonsense while the back-end is asked to connect. It says no, and the right nodes work at once. */
const char *nodes_connecting(struct fe *f)
{
    const char *bad = NULL;

    for (unsigned k = 0; k < NR_KEYS && !bad; k++) {
        bad = fe_close(f);
        if (!bad)
            bad = fe_ready(f);
        if (!bad)
            bad = fe_rings(f, 1 + k % 2, k % 3, false);
        for (unsigned i = 0; i < NR_NONSENSE && !bad; i++) {
            fe_publish(f);
            fe_write_text(f, keys[k], nonsense[(i + k) % NR_NONSENSE]);
            fe_write(f, "state", i % 2 ? XenbusStateInitialised : XenbusStateConnected);
            nap(5);
            if (be_state(f) == XenbusStateConnected) /* this node is not one that matters here */
                break;
        }
        if (bad)
            break;
        fe_publish(f);
        fe_write(f, "state", XenbusStateInitialised);
        bad = be_wait(f, 1u << XenbusStateConnected);
        if (!bad)
            bad = fe_reconnect(f, 2, 1, false);
        if (bad)
            bad = why("%s: %s", keys[k], strdup(bad));
    }
    return bad;
}

const char *states_nonsense(struct fe *f)
{
    for (unsigned i = 0; i < NR_NONSENSE; i++) {
        fe_write_text(f, "state", nonsense[i]);
        nap(5);
        fe_write_text(f, "state/below", "4");
        fe_rm(f, "state/below");
    }
    fe_write_text(f, "state", long_text());
    nap(5);
    fe_rm(f, "state");
    nap(5);
    return fe_reconnect(f, QUEUES, 2, false);
}

/* Closing, and at once Connected again, with requests in flight: who says Connected serves. */
static const char *closing_and_back(struct fe *f, unsigned turn)
{
    const char *bad;

    fill_rings(f);
    fe_write(f, "state", turn & 1 ? XenbusStateClosing : XenbusStateClosed);
    for (uint64_t until = now_ns() + turn * 200000; now_ns() < until;)
        barrier();
    fe_write(f, "state", XenbusStateConnected);
    nap(30);
    bad = be_wait(f, 1u << XenbusStateConnected);
    for (unsigned q = 0; q < f->queues && !bad; q++) {
        bad = all_answered(f, q);
        if (!bad)
            bad = good(f, q);
    }
    return bad ? why("Closing and back: %s", bad) : NULL;
}

const char *states_jump(struct fe *f)
{
    const char *bad = NULL;

    for (unsigned turn = 0; turn < 6 && !bad; turn++) {
        if (turn & 1)
            fill_rings(f); /* its closing has to wait for them */
        for (unsigned i = 0; i < 25; i++) {
            fe_write(f, "state", rnd() % 10);
            if (turn & 2)
                nap(3);
        }
        bad = fe_reconnect(f, 1 + turn % QUEUES, turn % 3, false);
    }
    for (unsigned turn = 0; turn < 12 && !bad; turn++) {
        bad = closing_and_back(f, turn);
        if (!bad)
            bad = fe_reconnect(f, 2, 2, false);
    }
    return bad;
}

/* Says Connected out of turn when both sides are Closed, then closes and comes back while the back-end looks for the nodes of that: what
 * it said before is taken for an answer. Whoever connects by nodes of then serves fewer queues than there are now. Nothing here waits
 * longer than it must, or the back-end is through. */
static const char *stale_once(struct fe *f, unsigned order)
{
    static const unsigned states[] = { XenbusStateClosing, XenbusStateClosed,
                                       XenbusStateInitialising };
    const char *bad = fe_close(f);

    if (!bad)
        bad = fe_rings(f, QUEUES - 1, order, false);
    if (bad)
        return bad;
    fe_publish(f);
    fe_write(f, "multi-queue-num-queues", QUEUES - 2);
    fe_write(f, "state", XenbusStateConnected);
    for (uint64_t until = now_ns() + rnd() % (4 * NS_PER_MS); now_ns() < until;)
        barrier();
    for (unsigned i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        fe_write(f, "state", states[i]);
    for (uint64_t until = now_ns() + 30 * NS_PER_S;
         be_state(f) != XenbusStateInitWait && now_ns() < until;)
        barrier();
    fe_write(f, "multi-queue-num-queues", QUEUES - 1);
    fe_write(f, "state", XenbusStateInitialised);
    bad = be_wait(f, 1u << XenbusStateConnected);
    return bad ? bad : all_good(f);
}

const char *states_stale(struct fe *f)
{
    const char *bad = NULL;

    for (unsigned turn = 0; turn < 8 && !bad; turn++) {
        bad = stale_once(f, turn % 3);
        if (bad)
            bad = why("turn %u: %s", turn, bad);
    }
    return bad;
}

static void perms(struct fe *f, const char *key, char what)
{
    char path[64], text[16];

    snprintf(path, sizeof(path), "%s%s%s", f->path, *key ? "/" : "", key);
    snprintf(text, sizeof(text), what == 'n' ? "n%u" : "n%u %c%u", self.domid, what, f->be);
    if (xs_set_perms(0, path, text))
        say("blkhostile: permissions of %s: %d\n", path, xs_error);
}

/* The back-end may not read what it looks for: that is no reason to wait for it. */
const char *nodes_hidden(struct fe *f)
{
    static const char *const hidden[] = { "state", "ring-ref", "event-channel", "protocol",
                                          "multi-queue-num-queues" };
    const char *bad = NULL;

    for (unsigned i = 0; i < sizeof(hidden) / sizeof(hidden[0]) && !bad; i++) {
        bad = fe_close(f);
        if (!bad)
            bad = fe_ready(f);
        if (!bad)
            bad = fe_rings(f, 1, 0, false);
        if (bad)
            break;
        fe_publish(f);
        perms(f, hidden[i], 'n');
        fe_write(f, "state", XenbusStateInitialised);
        nap(700);
        perms(f, hidden[i], 'r');
        fe_write(f, "state", XenbusStateInitialised);
        bad = be_wait(f, 1u << XenbusStateConnected);
        if (bad)
            bad = why("%s was hidden: %s", hidden[i], strdup(bad));
    }
    return bad ? bad : fe_reconnect(f, 2, 1, false);
}

/* Connects and leaves without ever waiting for the other side. */
const char *storm_rude(struct fe *f)
{
    static const unsigned states[] = { XenbusStateInitialised, XenbusStateConnected,
                                       XenbusStateClosed,      XenbusStateInitialising,
                                       XenbusStateClosing,     XenbusStateInitialised };

    for (unsigned turn = 0; turn < 40; turn++) {
        fill_rings(f);
        for (unsigned i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
            fe_write(f, "state", states[i]);
            if (turn % 4 == 3)
                nap(2);
        }
    }
    return fe_reconnect(f, QUEUES, 2, false);
}
