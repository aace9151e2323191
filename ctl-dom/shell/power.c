/* SPDX-License-Identifier: MIT */
/* Commands: ends of guests, and of the machine. */
#include "shell/command.h"
#include <string.h>
#include "console/console.h"
#include "domain/records.h"
#include "job/job.h"
#include "store/store.h"
#include "supervise/guests.h"

#define WAIT_NS (60 * NS_PER_S)
#define TELL_NS (10 * NS_PER_S)
#define WIRE_NS NS_PER_S /* for the last lines */
#define CTRL_C  3

static void ask_guest(const char *name, const char *what)
{
    struct dom *d = command_dom(name);

    if (!d)
        return;
    if (d->cfg.role != BH_ROLE_GUEST)
        out("%s: is a service domain: restart or destroy it\n", d->cfg.name);
    else if (!store_up || store_control(d, what))
        out("%s: the store does not take the request\n", d->cfg.name);
}

static bool cmd_shutdown(int argc, char **argv)
{
    (void)argc;
    ask_guest(argv[1], "poweroff");
    return true;
}

static bool cmd_reboot(int argc, char **argv)
{
    (void)argc;
    ask_guest(argv[1], "reboot");
    return true;
}

/* --- the end of the machine: its guests first, asked one a turn; what becomes of them is guests.c's. Service domains stay: guests write by them --- */
static struct {
    struct bh_machine how;
    uint64_t until, tell; /* tell: when it says again who is waited for */
    domid_t asked;        /* this guest and those before it */
    bool refused;         /* one of those requests was */
} end;

static void on_tick(struct dtimer *t) { (void)t; } /* the job has a turn */
static struct dtimer tick = { .fn = on_tick };

/* The first guest behind that one that runs; NULL: none does. */
static struct dom *running(domid_t after)
{
    struct dom *d = doms;

    while (d && (d->id <= after || d->cfg.role != BH_ROLE_GUEST || d->state != DOM_UP))
        d = d->next;
    return d;
}

static bool name_running(const char *before)
{
    struct dom *d = running(0);
    bool some = d;

    for (; d; d = running(d->id)) {
        out("%s%s", before, d->cfg.name);
        before = ", ";
    }
    return some;
}

static void ask(struct dom *d)
{
    struct bh_domid id = { .domid = d->id };

    end.asked = d->id;
    if (!store_up || store_control(d, "poweroff")) {
        out("%s: the store does not take the request\n", d->cfg.name);
        end.refused = true;
    }
    if (bh_ctl_unpause(&id))
        return;
    out("%s: was paused, it goes on to shut down\n", d->cfg.name);
    while (!bh_ctl_unpause(&id)) /* as often as it was paused */
        ;
}

static void end_machine(void)
{
    out("machine: %s\n", end.how.how == BH_MACHINE_REBOOT ? "reboots" : "powers off");
    for (uint64_t until = now_ns() + WIRE_NS; con_busy() && now_ns() < until;)
        job_wait(now_ns() + WIRE_NS / 100);
    long rc = bh_ctl_machine(&end.how);
    out("machine: %s\n", errno_text((int)rc));
}

static bool stays_up(void)
{
    guests_may_start();
    out("machine: stays up");
    name_running("; asked to shut down already: ");
    out("\n");
    return false;
}

/* False: it is over. */
static bool guests_go(void)
{
    uint64_t now = now_ns();

    if (con_skip_to(CTRL_C)) {
        con_getc();
        return stays_up();
    }
    if (now >= end.until || !running(0)) {
        if (name_running("machine: "))
            out(": not down in %lu s, destroyed\n", WAIT_NS / NS_PER_S);
        end_machine();
        return stays_up();
    }
    if (now >= end.tell) {
        name_running("machine: waits for ");
        out(", %lu s at most; Ctrl-C: the machine stays up\n",
            (end.until - now + NS_PER_S - 1) / NS_PER_S);
        end.tell = now + TELL_NS;
        end.asked = end.refused ? 0 : end.asked; /* once more, then */
        end.refused = false;
    } else if (running(end.asked)) {
        ask(running(end.asked));
    }
    dtimer_set(&tick, running(end.asked) ? now : end.tell < end.until ? end.tell : end.until);
    return true;
}

/* Words of its own: what xl's users type to end a guest never ends the machine. */
static bool cmd_machine(int argc, char **argv)
{
    const char *how = NULL;
    bool force = false;

    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "-f"))
            force = true;
        else if (!how)
            how = argv[i];
        else
            return false;
    end = (typeof(end)){ .tell = now_ns(), .until = now_ns() + WAIT_NS };
    if (how && !strcmp(how, "reboot"))
        end.how.how = BH_MACHINE_REBOOT;
    else if (how && !strcmp(how, "poweroff"))
        end.how.how = BH_MACHINE_POWEROFF;
    else
        return false;
    if (force) {
        end_machine();
    } else {
        *record_machine_ends = 1;
        command_stays(guests_go);
    }
    return true;
}

static const struct command rows[] = {
    { "shutdown", "NAME", "asks a guest to power off", 1, 1, cmd_shutdown },
    { "reboot", "NAME", "asks a guest to start anew", 1, 1, cmd_reboot },
    { "machine", "poweroff | reboot [-f]",
      "once all guests have shut down, or after 60 s; -f: at once", 1, 2, cmd_machine },
};
const struct commands power_commands = COMMANDS(rows);
