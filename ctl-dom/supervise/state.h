/* SPDX-License-Identifier: MIT */
/*
 * The state of a domain as the supervisor sees it, and what changes it. Guests pass through the same states: they are READY as soon as
 * they run, WAITING between two lives, OVER when they are kept as they ended.
 *
 * Pure: no hypercalls.
 */
#pragma once

enum dom_state {
    DOM_NEW,      /* being made */
    DOM_STARTING, /* an instance runs and has not said that it serves */
    DOM_LATE,     /* the same, for longer than it may take */
    DOM_UP,       /* it serves */
    DOM_UNHEARD, /* the same, after a long row of deaths of which nothing was told any more: its first answer will be */
    DOM_WAITING, /* for its next instance */
    DOM_OVER,    /* it ended, and none follows */
    NR_DOM_STATES
};

enum dom_event {
    EV_RUNS,      /* an instance was unpaused */
    EV_READY,     /* it said that it serves ... */
    EV_READY_ROW, /* ... after a long row of deaths */
    EV_OVERDUE,   /* it has not said so in its time */
    EV_HEARD,     /* it answered somebody */
    EV_DIED,      /* and another instance follows; or that one could not be made */
    EV_ENDED,     /* and none follows */
    NR_DOM_EVENTS
};

/* The state that follows; the same one where an event means nothing. */
enum dom_state state_after(enum dom_state s, enum dom_event e);
