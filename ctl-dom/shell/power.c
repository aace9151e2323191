/* SPDX-License-Identifier: MIT */
/* Commands: ends of guests, and of the machine. */
#include "shell/command.h"
#include <string.h>
#include "console/console.h"
#include "console/patience.h"
#include "domain/records.h"
#include "job/job.h"
#include "store/store.h"
#include "supervise/guests.h"

#define WAIT_NS (60 * NS_PER_S)
#define DOWN_NS (300 * NS_PER_S) /* for -w */
#define WIRE_NS NS_PER_S         /* for the last lines */

static bool ask_guest(const struct dom *d, const char *what)
{
    struct bh_dominfo di = { .domid = d->id };

    if (!store_up || store_control(d, what)) {
        out("%s: the store does not take the request\n", d->cfg.name);
        return false;
    }
    if (!bh_ctl_info(&di) && di.domid == d->id && (di.flags & BH_DI_PAUSED))
        out("%s: is paused: it will hear that when it goes on\n", d->cfg.name);
    return true;
}

/* The first guest behind that one that runs; NULL: none does. */
static struct dom *running(domid_t after)
{
    struct dom *d = doms;

    while (d && (d->id <= after || d->cfg.role != BH_ROLE_GUEST || d->state != DOM_UP))
        d = d->next;
    return d;
}

/* --- shutdown and reboot with -w: until all that were asked have ended, whatever follows of them (guests.c) --- */
static struct {
    domid_t id[128];
    unsigned nr;
    struct patience p;
} asked;

static bool name_asked(const char *before)
{
    bool some = false;

    for (unsigned i = 0; i < asked.nr; i++) {
        out("%s%s", some ? ", " : before, dom_by_id(asked.id[i])->cfg.name);
        some = true;
    }
    return some;
}

static bool asked_go(void)
{
    unsigned left = 0;

    for (unsigned i = 0; i < asked.nr; i++) {
        const struct dom *d = dom_by_id(asked.id[i]);
        if (d && d->state == DOM_UP)
            asked.id[left++] = asked.id[i];
    }
    asked.nr = left;
    if (!left)
        return false;
    switch (patience(&asked.p)) {
    case PATIENCE_ENDED:
        name_asked("asked, and not down yet: ");
        out("\n");
        return false;
    case PATIENCE_OVER:
        name_asked("");
        out(": not down in %lu s\n", DOWN_NS / NS_PER_S);
        return false;
    case PATIENCE_TELLS:
        name_asked("waits for ");
        out(", %lu s at most; Ctrl-C: waits no more\n", patience_left(&asked.p));
        break;
    case PATIENCE_WAITS: break;
    }
    patience_tick(&asked.p, asked.p.until);
    return true;
}

static void ask_one(struct dom *d, const char *what)
{
    if (ask_guest(d, what) && asked.nr < ARRAY_SIZE(asked.id))
        asked.id[asked.nr++] = d->id;
}

/* [-aFw] [NAME] */
static bool ask_guests(int argc, char **argv, const char *what)
{
    bool all = false, wait = false, forced = false;
    const char *name = NULL;

    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-' && !name) {
            name = argv[i];
            continue;
        }
        if (argv[i][0] != '-' || !argv[i][1] || argv[i][1 + strspn(argv[i] + 1, "aFw")])
            return false;
        all |= strchr(argv[i], 'a') != NULL;
        wait |= strchr(argv[i], 'w') != NULL;
        forced |= strchr(argv[i], 'F') != NULL;
    }
    if (!name == !all)
        return false;
    if (forced) /* xl: if the guest does not listen to the store, by an ACPI event */
        out("-F: a PVH guest has no ACPI button, it is asked by the store alone; destroy ends it at once\n");
    asked.nr = 0;
    struct dom *d = all ? running(0) : command_dom(name);
    if (!d && all)
        out("no guest runs\n");
    if (d && d->cfg.role != BH_ROLE_GUEST) {
        out("%s: is a service domain: restart or destroy it\n", d->cfg.name);
        return true;
    }
    if (d && d->state == DOM_WAITING) { /* nobody would hear it */
        out("%s: has ended, and is started again soon: destroy ends that\n", d->cfg.name);
        return true;
    }
    for (; d; d = all ? running(d->id) : NULL)
        ask_one(d, what);
    if (wait && asked.nr) {
        patience_begin(&asked.p, 0, DOWN_NS);
        command_stays(asked_go);
    }
    return true;
}

static bool cmd_shutdown(int argc, char **argv) { return ask_guests(argc, argv, "poweroff"); }

static bool cmd_reboot(int argc, char **argv) { return ask_guests(argc, argv, "reboot"); }

/* --- the end of the machine: its guests first, asked one a turn; what becomes of them is guests.c's. Service domains stay: guests write by them --- */
static struct {
    struct bh_machine how;
    struct patience p;
    domid_t asked; /* this guest and those before it */
    bool refused;  /* one of those requests was */
} end;

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
    enum patience_now is = patience(&end.p);

    if (is == PATIENCE_ENDED)
        return stays_up();
    if (is == PATIENCE_OVER || !running(0)) {
        if (name_running("machine: "))
            out(": not down in %lu s, destroyed\n", WAIT_NS / NS_PER_S);
        end_machine();
        return stays_up();
    }
    if (is == PATIENCE_TELLS) {
        name_running("machine: waits for ");
        out(", %lu s at most; Ctrl-C: the machine stays up\n", patience_left(&end.p));
        end.asked = end.refused ? 0 : end.asked; /* once more, then */
        end.refused = false;
    } else if (running(end.asked)) {
        ask(running(end.asked));
    }
    patience_tick(&end.p, running(end.asked) ? now_ns() : end.p.until);
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
    end = (typeof(end)){ 0 };
    patience_begin(&end.p, 0, WAIT_NS);
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
    { "shutdown", "[-wF] NAME | -a",
      "asks a guest, or with -a all, to power off; -w: and waits for it", 1, 4, cmd_shutdown },
    { "reboot", "[-wF] NAME | -a",
      "asks a guest, or with -a all, to start anew; -w: and waits for its end (machine reboot: the machine)",
      1, 4, cmd_reboot },
    { "machine", "poweroff | reboot [-f]",
      "once all guests have shut down, or after 60 s; -f: at once", 1, 2, cmd_machine },
};
const struct commands power_commands = COMMANDS(rows);
