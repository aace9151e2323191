/* SPDX-License-Identifier: MIT */
/*
 * The main loop of a driver domain. It works in rounds until a round finds nothing and everybody was asked for an event (armed), then
 * hears and tells the store what there is, arms once more, for that may have left work behind, and sleeps. While a store call waits the
 * rounds go on. No handler runs inside a round.
 *
 * A round that did something, or one that found nothing to do, says that this instance is well: it puts the hang deadline off
 * (`deadline=MS` of the command line; 2000 if absent, 0: off).
 */
#pragma once
#include <blame.h>

struct driver {
    bool (*round)(uint64_t now); /* polls the device, serves the rings, with at most one exit. true: something moved */
    bool (*arm)(void); /* asks all for an event with what comes next. true: there is work that a round can do already */
    bool (*answered)(void); /* somebody's request was answered in this life (bh_served); not asked again then */
    void (*check)(void); /* with each deadline put off: ends this instance if the device says that it is no good; or NULL */
    uint64_t (*store)(void); /* all store calls: blocks. When to come again at the latest, 0: with the next event */
    uint64_t (*look_again)(
        void); /* work is left that waits for something nobody tells of: when to look. 0: there is none */
};

/* The first thing in a life: the hang deadline runs from here on. */
void driver_begin(const struct driver *drv);
/* Then, before anything of a front-end is touched: whose fault the last death was (blame.h), unless `ordered=1` says that somebody asked for it. */
void driver_blame(struct blame *b, unsigned deaths, blame_there *there);
/* Adoption is over: everything that the last life left has been taken over or let go. */
void driver_adopted(void);
/* Works until nothing is left: true. false: time for others. */
bool driver_serve(void);
void driver_run(void) __attribute__((noreturn));

/* What is bound to the events of devices, and of rings where every round looks at all of them: they say no more than "look". */
static inline void wakes_only(uint32_t port, void *arg) { (void)port, (void)arg; }
static inline uint64_t earlier(uint64_t a, uint64_t b)
{
    return !a || (b && b < a) ? b : a;
} /* of two times, 0: never */
