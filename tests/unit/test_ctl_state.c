// SPDX-License-Identifier: MIT
// LINK: ctl-dom/supervise/state.c
// FLAGS: -Ictl-dom
// The states of a domain in the supervisor's eyes: every state, every event.
#include "unit.h"
#include "supervise/state.h"

/* What each event does: to whom, and what they become. All others stay as they are. */
static const struct {
    enum dom_event e;
    unsigned from;
    enum dom_state to;
} rules[] = {
#define OF(s) (1u << (s))
    { EV_RUNS,
      OF(DOM_NEW) | OF(DOM_STARTING) | OF(DOM_LATE) | OF(DOM_UP) | OF(DOM_UNHEARD) | OF(DOM_WAITING),
      DOM_STARTING },
    { EV_READY, OF(DOM_STARTING) | OF(DOM_LATE), DOM_UP },
    { EV_READY_ROW, OF(DOM_STARTING) | OF(DOM_LATE), DOM_UNHEARD },
    { EV_OVERDUE, OF(DOM_STARTING), DOM_LATE },
    { EV_HEARD, OF(DOM_UNHEARD), DOM_UP },
    { EV_DIED, OF(DOM_STARTING) | OF(DOM_LATE) | OF(DOM_UP) | OF(DOM_UNHEARD), DOM_WAITING },
    { EV_ENDED, ~0u, DOM_OVER },
};

TEST(every_state_and_event)
{
    assert_int_equal(sizeof(rules) / sizeof(rules[0]), NR_DOM_EVENTS);
    for (unsigned s = 0; s < NR_DOM_STATES; s++)
        for (unsigned e = 0; e < NR_DOM_EVENTS; e++) {
            assert_int_equal(rules[e].e, e);
            assert_int_equal(state_after(s, e), rules[e].from & OF(s) ? rules[e].to : s);
        }
}

TEST(a_life)
{
    static const struct {
        enum dom_event e;
        enum dom_state s;
    } steps[] = {
        { EV_RUNS, DOM_STARTING },     { EV_OVERDUE, DOM_LATE },  { EV_READY, DOM_UP },
        { EV_DIED, DOM_WAITING },      { EV_READY, DOM_WAITING }, { EV_RUNS, DOM_STARTING },
        { EV_READY_ROW, DOM_UNHEARD }, { EV_HEARD, DOM_UP },      { EV_ENDED, DOM_OVER },
        { EV_RUNS, DOM_OVER },
    };
    enum dom_state s = DOM_NEW;

    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        assert_int_equal(s = state_after(s, steps[i].e), steps[i].s);
}
