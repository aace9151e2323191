/* SPDX-License-Identifier: MIT */
/* Looked at in short steps: nothing tells the control domain of it. A guest that hears nothing, or cannot, is left after a quiet time. */
#include "shell/follow.h"
#include "console/console.h"
#include "console/patience.h"
#include "shell/command.h"

#define LOOK_NS  (NS_PER_S / 10)
#define QUIET_NS (10 * NS_PER_S)
#define MOST_NS  (600 * NS_PER_S) /* also where it goes on all the time, to and fro maybe */

static struct {
    domid_t id;
    const struct follow *f;
    uint64_t at, most;
    struct patience p;
} now_on;

static bool line(const struct dom *d, enum following how, const char *end)
{
    out("%s: ", d->cfg.name);
    now_on.f->tell(d, now_on.at, how);
    out("%s\n", end);
    return how == FOLLOW_GOES_ON;
}

static bool looks(void)
{
    const struct dom *d = dom_by_id(now_on.id);
    struct bh_dominfo di = { .domid = now_on.id };

    if (!d || bh_ctl_info(&di) || di.domid != now_on.id || di.state != BH_DOM_RUNNING)
        return false; /* of its end others tell */
    if (now_on.f->at(&di) != now_on.at) {
        now_on.at = now_on.f->at(&di);
        now_on.p.until = now_ns() + QUIET_NS < now_on.most ? now_ns() + QUIET_NS : now_on.most;
    }
    if (now_on.f->there(d, now_on.at))
        return line(d, FOLLOW_THERE, "");
    switch (patience(&now_on.p)) {
    case PATIENCE_ENDED: line(d, FOLLOW_GOES_ON, "; it goes on by itself"); return false;
    case PATIENCE_OVER: return line(d, FOLLOW_STANDS, "");
    case PATIENCE_TELLS: line(d, FOLLOW_GOES_ON, "; Ctrl-C: waits no more"); break;
    case PATIENCE_WAITS: break;
    }
    patience_tick(&now_on.p, now_ns() + LOOK_NS);
    return true;
}

void follow(const struct dom *d, const struct follow *f)
{
    struct bh_dominfo di = { .domid = d->id };

    if (bh_ctl_info(&di) || di.domid != d->id)
        return;
    if (di.flags & BH_DI_PAUSED) {
        out("%s: is paused: it will hear that when it goes on\n", d->cfg.name);
        return;
    }
    now_on = (typeof(now_on)){ .id = d->id, .f = f, .at = f->at(&di), .most = now_ns() + MOST_NS };
    patience_begin(&now_on.p, PATIENCE_NS, QUIET_NS);
    command_stays(looks);
}
