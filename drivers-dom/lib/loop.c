/* SPDX-License-Identifier: MIT */
/* The main loop of a driver domain: see loop.h. */
#include <loop.h>
#include <stdlib.h>

#define SERVE_NS (2 * NS_PER_MS) /* then timers and the store get their turn */

static const struct driver *drv;
static uint64_t deadline_ms = 2000, put_off;
static bool served;

static void deadline_put_off(uint64_t now)
{
    if (put_off && now - put_off < deadline_ms * (NS_PER_MS / 8))
        return;
    put_off = now;
    if (deadline_ms)
        deadline_feed(deadline_ms);
    if (drv->check)
        drv->check();
}

void driver_begin(const struct driver *d)
{
    char word[16];

    drv = d;
    if (cmdline_get("deadline", word, sizeof(word)))
        deadline_ms = strtoul(word, NULL, 10);
    deadline_put_off(now_ns());
}

void driver_blame(struct blame *b, unsigned deaths, blame_there *there)
{
    char word[4];

    blame_begin(b, deaths, now_ns(), cmdline_get("ordered", word, sizeof(word)), there);
}

void driver_adopted(void) { bh_svc_adopted(); }

bool driver_serve(void)
{
    uint64_t start = now_ns(), now = start;

    for (;;) {
        bool work = drv->round(now);
        if (!served && (served = drv->answered()))
            bh_served();
        now = now_ns();
        deadline_put_off(now);
        if (now - start > SERVE_NS)
            return false;
        if (!work && !drv->arm())
            return true;
    }
}

/* Called while a store call waits. Events are taken too: one that stays pending would look like sleeping through it (the hang
 * deadline), and the next one could not wake the call again. */
static void idle(void)
{
    xs_idle_events();
    if (!driver_serve())
        xs_idle_soon();
}

void driver_run(void)
{
    for (;;) {
        bool quiet = driver_serve();
        xs_idle = idle;
        uint64_t until = drv->store();
        /* Calls to the store may have left work behind: look once more before sleeping. */
        if (drv->arm() || !quiet)
            event_turn();
        else
            event_wait(earlier(until, drv->look_again()));
    }
}
