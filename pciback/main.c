/* SPDX-License-Identifier: MIT */
/*
 * pciback: discovers and describes assigned devices, and is their configuration space for owners that cannot ask the core. It alone may ask the core
 * for configuration space (BH_CTL_PCI_CFG), which the core filters, and switch what an owner asked for (BH_CTL_PCI_SET), which the core checks;
 * it has no other right.
 *
 * Peers:
 *   core     reads of the configuration space of hidden devices; accesses of guests that it stopped (trap.h)
 *   store    its own subtree, as any domain
 *   owners   our driver domains: none, where their registers are says the core (BH_SVC_DEVICES), and what is described here is for those who
 *            look on; an unmodified Linux: by what the core stops; who speaks pciif: a page and a port (pciif.h)
 *
 * Protocol, in backend/pci/<owner>/0 below our own home:
 *   control writes frontend, frontend-id, num_devs, dev-N (0000:00:03.0), vdevfn-N (where it is to be seen), and state = 1
 *   we write cfg-N (the first 256 bytes of configuration space, in hex; readable by the owner), vdev-N (where it is seen), state-N = 3,
 *   root_num, root-0 and state = 4, or error = a sentence and state = 6. An entry that control removes is forgotten.
 *   Devices that come and go: control writes dev-N and state-N = 1 (comes) or 5 (goes), num_devs, and state = 7; a front-end that is connected lets
 *   go of those that go and writes 7; we state-N = 3 or 6 and state = 8, the front-end 4 when it has looked, then we 4. Where there
 *   is no front-end we write 4 at once.
 *   A front-end writes pci-op-ref, event-channel, magic = 7 and state = 3 in device/pci/0 of its home, or 5 and 6 when it ends: 6 is
 *   our answer, and 4 when it begins anew.
 *
 * What is there counts, not what changed: each look is at all of it, and an owner is described in one transaction, so a death
 * of ours leaves nothing half done, and what control writes meanwhile is not taken for described. What owners wrote into their configuration
 * space, and the connections to front-ends, lie in keep pages.
 */
#include <bh.h>
#include <stdio.h>
#include <stdlib.h>
#include "device.h"
#include "nodes.h"
#include "pciif.h"
#include "trap.h"

#define RETRY_NS     (200 * NS_PER_MS)
#define CONFIG_PAGES 2u /* then one of connections */
#define KEEP_PAGES   3u

static uint64_t deadline_ms, fed;

static void alive(void)
{
    uint64_t now = now_ns();

    if (!deadline_ms || (fed && now - fed < deadline_ms * (NS_PER_MS / 8)))
        return;
    fed = now;
    deadline_feed(deadline_ms);
}

/* A turn of everybody who asks. True: somebody may have more. */
static bool serve(void)
{
    bool more = trap_turn();

    more |= pciif_turn();
    if (trap_answered() || pciif_answered())
        bh_served();
    alive();
    return more;
}

/* While a call to the store waits. */
static void idle(void)
{
    xs_idle_events();
    if (serve())
        xs_idle_soon();
}

/* Without the store. */
static void pause_a_while(void)
{
    for (uint64_t end = now_ns() + RETRY_NS; now_ns() < end;)
        if (serve())
            event_turn();
        else
            event_wait(pciif_until(trap_until(end)));
}

static void keep_begin(void)
{
    static uint8_t BIG_DATA none[KEEP_PAGES * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
    uint8_t *keep = self.keep;

    if (!keep || self.nr_keep < KEEP_PAGES) {
        printf("%u keep pages, %u are needed: a restart will find nothing\n", self.nr_keep,
               KEEP_PAGES);
        keep = none;
    }
    unsigned bad = vconfig_init(&device_ops, (struct vconfig_kept *)keep,
                                CONFIG_PAGES * PAGE_SIZE / sizeof(struct vconfig_kept));
    if (bad)
        printf("%u records of configuration space were damaged\n", bad);
    pciif_init((struct pciif_kept *)(keep + CONFIG_PAGES * PAGE_SIZE), PCIIF_MOST);
}

int main(void)
{
    char word[16];

    if (cmdline_get("deadline", word, sizeof(word)))
        deadline_ms = strtoul(word, NULL, 10);
    alive();
    keep_begin();
    trap_begin();
    xs_idle = idle;
    while (nodes_begin())
        pause_a_while(); /* an instance that never gets its watch is ended by the supervisor */
    printf("ready\n");
    bh_svc_adopted();
    for (;;) {
        bool more = serve();
        if (nodes_changed()) {
            if (!nodes_work())
                pause_a_while();
            event_turn();
        } else if (more) {
            event_turn();
        } else {
            event_wait(pciif_until(trap_until(0)));
        }
    }
}
