/* SPDX-License-Identifier: MIT */
/* One that is not up when its time comes has just been restarted, or is about to be: its next time is looked at. */
#include "supervise/rejuvenate.h"
#include <errno.h>
#include "console/console.h"
#include "supervise/supervisor.h"

static void on_time(struct dtimer *t) { (void)t; } /* the job has a turn */
static struct dtimer timer = { .fn = on_time };

int rejuvenate_set(struct dom *d, uint32_t seconds, struct errbuf *e)
{
    if (!supervisor_restarts(d))
        return fail(e, -EOPNOTSUPP, "%s: only service domains restart in place", d->cfg.name);
    d->rejuvenate_ns = now_ns() + seconds * NS_PER_S;
    wmb();
    WRITE_ONCE(d->rejuvenate_s, seconds);
    return 0;
}

bool rejuvenate_work(void)
{
    uint64_t now = now_ns(), next = 0;
    struct errbuf e;
    bool some = false;

    for (struct dom *d = doms; d; d = d->next) {
        if (!d->rejuvenate_s || d->ending)
            continue;
        if (now >= d->rejuvenate_ns) {
            /* First: whoever follows us does not do it again at once. */
            WRITE_ONCE(d->rejuvenate_ns, now + d->rejuvenate_s * NS_PER_S);
            if (d->state == DOM_UP && supervisor_restart(d, &e))
                say("%s", e.s);
            some = true;
        }
        if (!next || d->rejuvenate_ns < next)
            next = d->rejuvenate_ns;
    }
    if (next && (!timer.armed || timer.when != next))
        dtimer_set(&timer, next);
    return some;
}

void rejuvenate_list(const struct dom *d)
{
    if (d->rejuvenate_s)
        out("%s: is restarted every %u s\n", d->cfg.name, d->rejuvenate_s);
}
