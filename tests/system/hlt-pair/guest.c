/* SPDX-License-Identifier: MIT */
/* Two guests that wake each other. "server,peer=N": answers every event of domain N. "client,peer=N,rounds=R": sends, waits for
 * the answer, R times, and says on its console how far it is. With ",nop" both wait without sleeping: STI, NOP, CLI in a loop.
 * The up-call counts how often it came in right behind an STI: never on a processor, and never by a core that keeps the shadow. */
#include "pvh.h"

/* Sends and waits for the answer. A pause of random length between the two, up to what an answer takes, lets the answer come
 * now before the guest sleeps, now after, and often just when it goes to sleep. */
static void round_trip(int nop)
{
    static uint64_t usual = 100000, seed = 88172645463325252ull;
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    uint64_t start = ticks(), until = start + seed % usual;
    pvh_send(pvh_port);
    while (ticks() < until && !pvh_got)
        ;
    pvh_wait(nop);
    uint64_t took = ticks() - start;
    usual = (usual * 15 + (took < 1000000 ? took : 1000000)) / 16;
}

static void serve(uint16_t peer, int nop)
{
    pvh_port = pvh_alloc(peer);
    pvh_unmask(pvh_port);
    pvh_say("server: port ", pvh_port);
    pvh_line();
    pvh_wait(nop);
    for (uint64_t n = 1;; n++) {
        round_trip(nop);
        if (nop && n % 1000 == 0) {
            pvh_say("server: early ", pvh_early);
            pvh_line();
        }
    }
}

static void ask(uint16_t peer, uint32_t rounds, int nop)
{
    pvh_port = pvh_bind(peer);
    pvh_unmask(pvh_port);
    pvh_wait(nop); /* binding has raised it once */
    for (uint32_t n = 1; n <= rounds; n++) {
        round_trip(nop);
        if (n % 100 == 0) {
            pvh_say("client: round ", n);
            pvh_say(" early ", pvh_early);
            pvh_line();
        }
    }
    pvh_say("client: done ", rounds);
    pvh_say(" early ", pvh_early);
    pvh_line();
}

void guest_main(const uint8_t *start_info)
{
    const char *words = pvh_words(start_info);
    uint16_t peer = (uint16_t)pvh_number(words, "peer=");
    int nop = pvh_find(words, "nop") != 0;
    pvh_setup();
    if (pvh_find(words, "server"))
        serve(peer, nop);
    ask(peer, pvh_number(words, "rounds="), nop);
    for (;;)
        __asm__ volatile("hlt");
}
