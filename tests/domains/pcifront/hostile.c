/* SPDX-License-Identifier: MIT */
/*
 * A front-end that is none: claims pages and ports that are not its own, goes to and fro between states, then keeps requests of any kind coming, writes the
 * page while they are looked at, and asks by ports without an end. `pcifront: N answers` each second.
 */
#include "pcifront.h"
#include <stdio.h>
#include <xen/io/xenbus.h>

static uint64_t seed = 1;
static uint32_t rnd(void)
{
    seed = seed * 6364136223846793005ul + 1442695040888963407ul;
    return (uint32_t)(seed >> 32);
}

static void claims(void)
{
    static const uint32_t refs[] = { 0, 1, 5, 100, 0xffffffff };

    for (unsigned i = 0; i < ARRAY_SIZE(refs); i++)
        for (unsigned k = 0; k < 2; k++) {
            front_claim(refs[i], k ? 1 : refs[i], k ? "7" : "x");
            front_state(k ? XenbusStateConnected : XenbusStateInitialised);
            front_state(i % 2 ? XenbusStateClosed : XenbusStateClosing);
            front_state(XenbusStateReconfiguring);
        }
    front_state(XenbusStateInitialising);
}

static void scribble(void)
{
    uint32_t *words = (uint32_t *)front_page();

    for (unsigned i = 1; i < PAGE_SIZE / 4; i++)
        words[i] = rnd() % 2 ? rnd() : rnd() % 8;
    if (rnd() % 4)
        front_page()->op.domain = front_page()->op.bus = 0;
}

void hostile(void)
{
    unsigned answers = 0, asks = 0;

    claims();
    front_begin(); /* now as one ought to, with another page */
    printf("pcifront: hostile\n");
    for (uint64_t next = now_ns() + NS_PER_S;; asks++) {
        bool active = READ_ONCE(front_page()->flags) & XEN_PCIF_active;
        answers += !active;
        scribble();
        __atomic_fetch_or(&front_page()->flags, XEN_PCIF_active, __ATOMIC_SEQ_CST);
        front_tell();
        (void)port_read(rnd() % 2, rnd() & 0xff, rnd() & 0xfc);
        if (now_ns() < next)
            continue;
        next += NS_PER_S;
        printf("pcifront: %u answers to %u requests\n", answers, asks);
    }
}
