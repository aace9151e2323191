/* SPDX-License-Identifier: MIT */
/*
 * Caps: how much of the machine's CPU time a domain may have, in percent of one CPU. It earns so much of each moment, keeps at most that of
 * CAP_KEEP_NS, and may owe what it ran beyond. A vCPU that leaves its CPU when nothing is left is held: paused, off the queues, until the
 * domain's timer finds that it earned that of CAP_PERIOD_NS.
 */
#pragma once
#include "base/lock.h"
#include "time/time.h"

struct domain;

#define CAP_PERIOD_NS (10 * NS_PER_MS)
#define CAP_LEAST_NS  (100 * NS_PER_US) /* to run, if anything is left: no shreds */
#define CAP_KEEP_NS   (100 * NS_PER_MS) /* who has to queue for its time gets it nevertheless */

struct cap {
    volatile uint32_t percent; /* 0: none; set under op_lock */
    struct spinlock lock;      /* a leaf but for the clock */
    int64_t left_ns;           /* lock */
    uint64_t as_of_ns, set_ns; /* lock */
    struct timer refill;
};

void cap_init(struct domain *d);
void cap_set(struct domain *d, uint32_t percent); /* op_lock; who was held goes on */
int64_t cap_charge(struct domain *d, uint64_t now, uint64_t ran); /* what is left; at most 0: hold it */
void cap_wait(struct domain *d); /* somebody is held: lets it go in time; no lock held */
