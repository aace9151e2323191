/* SPDX-License-Identifier: MIT */
#include "supervise/state.h"

/* Columns: RUNS, READY, READY_ROW, OVERDUE, HEARD, DIED, ENDED. */
static const unsigned char next[NR_DOM_STATES][NR_DOM_EVENTS] = {
    [DOM_NEW] = { DOM_STARTING, DOM_NEW, DOM_NEW, DOM_NEW, DOM_NEW, DOM_NEW, DOM_OVER },
    [DOM_STARTING] = { DOM_STARTING, DOM_UP, DOM_UNHEARD, DOM_LATE, DOM_STARTING, DOM_WAITING,
                       DOM_OVER },
    [DOM_LATE] = { DOM_STARTING, DOM_UP, DOM_UNHEARD, DOM_LATE, DOM_LATE, DOM_WAITING, DOM_OVER },
    [DOM_UP] = { DOM_STARTING, DOM_UP, DOM_UP, DOM_UP, DOM_UP, DOM_WAITING, DOM_OVER },
    [DOM_UNHEARD] = { DOM_STARTING, DOM_UNHEARD, DOM_UNHEARD, DOM_UNHEARD, DOM_UP, DOM_WAITING,
                      DOM_OVER },
    [DOM_WAITING] = { DOM_STARTING, DOM_WAITING, DOM_WAITING, DOM_WAITING, DOM_WAITING, DOM_WAITING,
                      DOM_OVER },
    [DOM_OVER] = { DOM_OVER, DOM_OVER, DOM_OVER, DOM_OVER, DOM_OVER, DOM_OVER, DOM_OVER },
};

enum dom_state state_after(enum dom_state s, enum dom_event e) { return next[s][e]; }
