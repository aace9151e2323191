/* SPDX-License-Identifier: MIT */
/*
 * The control domain. Its peers and rights:
 *   core        every control operation but PCI configuration space: it builds, starts and ends all other domains
 *   store       client of its protocol, with the right to introduce and release domains
 *   all others  their console rings (grant 0 of each); nothing else of a sealed domain
 * Start reading here: the order of boot. Then supervise/life.c (how a domain is made) and supervise/supervisor.c (how one is
 * brought back).
 */
#include <errno.h>
#include "console/console.h"
#include "domain/load.h"
#include "domain/records.h"
#include "job/job.h"
#include "shell/shell.h"
#include "store/connection.h"
#include "store/volume.h"
#include "supervise/adopt.h"
#include "supervise/anew.h"
#include "supervise/autostart.h"
#include "supervise/guests.h"
#include "supervise/report.h"
#include "supervise/supervisor.h"

#define BOOT_WAIT_NS  10000000000ull
#define STORE_WAIT_NS 120000000000ull /* it may be in its back-off */
#define DEADLINE_MS   60000u          /* until the main loop has its first turn (shell.c) */

int main(void);

static void greet(void)
{
    struct bh_sysinfo si = { 0 };

    if (bh_ctl_sysinfo(&si) == 0)
        say("Bulkhead %s: %u CPUs, %lu MiB, %lu MiB free", si.version, si.nr_cpus,
            si.total_pages >> 8, (si.free_pages + si.dirty_pages) >> 8);
    if (!(si.features & BH_SYS_IOMMU))
        say("no IOMMU: devices cannot be assigned");
}

static void start_store(void)
{
    if (!dom_by_id(BH_DOMID_STORE))
        autostart(BH_ROLE_STORE);
    if (!dom_by_id(BH_DOMID_STORE))
        say("no store: domains cannot be created");
    else if (store_connect())
        say("store: does not answer");
}

/* It may be away, too; at the first boot it may be slow, and nothing starts without it. */
static void reach_store(void)
{
    uint64_t end = now_ns() + STORE_WAIT_NS;

    while (dom_by_id(BH_DOMID_STORE) && !store_up && now_ns() < end && store_connect())
        job_wait(now_ns() + 1000000000);
}

/* The volume, if there is one, is opened once for all of them. */
static void start_guests(void)
{
    struct errbuf e;

    volume_on();
    int rc = volume_begin(true, &e);
    if (rc && rc != -ENOENT)
        say("%s; its configurations do not start by themselves", e.s);
    autostart(BH_ROLE_GUEST);
    if (!rc)
        volume_end();
}

static void first_boot(void)
{
    autostart(BH_ROLE_PCIBACK);
    autostart(BH_ROLE_DRIVER);
    start_guests();
    for (uint64_t end = now_ns() + BOOT_WAIT_NS; !supervisor_all_up() && now_ns() < end;)
        job_wait(now_ns() + 10000000);
}

/* Nobody knows what the user has seen of it, and whether he still wants it. */
static void still_up(void)
{
    if (!*record_machine_ends)
        return;
    guests_may_start();
    say("control: the machine was about to end: that is given up, it stays up; guests that are down stay down");
}

/* The first thing that the job does. What a former instance of ours left comes before everything else, and its boot goes on where it ended. */
static void boot(void)
{
    struct errbuf e;
    bool again;

    if (bundle_open(&bundle, self.module, self.module_len, e.s, sizeof(e.s)))
        say("%s", e.s);
    again = adopt_domains();
    if (!again)
        greet();
    supervisor_init();
    if (again)
        supervisor_look(); /* a dead driver domain comes back before the store is asked for anything */
    start_store();
    if (again)
        report_own();
    reach_store();
    (void)anew_work();
    if (again) {
        adopt_rest();
        still_up();
    }
    if (!*record_boot_over)
        first_boot();
    *record_boot_over = 1;
    volume_on();
    bh_svc_adopted();
}

int main(void)
{
    deadline_feed(DEADLINE_MS);
    if (record_found())
        xs_reconnect();
    console_open();
    shell_run(boot);
}
