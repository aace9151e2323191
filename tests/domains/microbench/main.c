/* SPDX-License-Identifier: MIT */
/*
 * Round trips into the core and between two domains, for `make bench`. The first copy (no word `peer` in its command line) measures;
 * a second one, created next so that its domid is one higher, answers its events. Prints medians and ends. With the word `idle` it does
 * nothing at all, with `store=` what store.c says.
 */
#include <bh.h>
#include <stdlib.h>
#include <xen/version.h>
#include "microbench.h"

uint32_t sample[ROUNDS];
static volatile unsigned got;

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

void report(const char *what)
{
    qsort(sample, ROUNDS, sizeof(sample[0]), by_value);
    printf("microbench: %s p50 %u.%u us, p99 %u.%u us\n", what, sample[ROUNDS / 2] / 1000,
           sample[ROUNDS / 2] / 100 % 10, sample[ROUNDS * 99 / 100] / 1000,
           sample[ROUNDS * 99 / 100] / 100 % 10);
}

static void one_cpuid(void)
{
    uint32_t a = 0x40000000, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
}
static void one_hypercall(void)
{
    (void)hypercall(__HYPERVISOR_xen_version, XENVER_version, 0, 0, 0);
}

static void time_it(const char *what, void (*fn)(void))
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t start = now_ns();
        fn();
        sample[i] = (uint32_t)(now_ns() - start);
    }
    report(what);
}

static void count(uint32_t port, void *arg)
{
    (void)port;
    (void)arg;
    got++;
}
static void answer(uint32_t port, void *arg)
{
    (void)arg;
    event_send(port);
}

static void ping_pong(void)
{
    int port = event_alloc_unbound((domid_t)(self.domid + 1), count, NULL);
    if (port < 0)
        bh_panic("no port: %d", port);
    printf("microbench: waits for its peer\n");
    while (!got) /* binding raises the first event */
        event_wait(now_ns() + NS_PER_MS);
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned before = got;
        uint64_t start = now_ns();
        event_send((uint32_t)port);
        while (got == before)
            event_wait(0);
        sample[i] = (uint32_t)(now_ns() - start);
    }
    report("event-channel ping-pong, both waiting,");
}

static void __attribute__((noreturn)) peer(void)
{
    for (uint32_t port = 1;; port = port % 16 + 1) {
        int mine = event_bind_interdomain((domid_t)(self.domid - 1), port, answer, NULL);
        if (mine >= 0) {
            event_send((uint32_t)mine);
            break;
        }
        event_wait(now_ns() + NS_PER_MS);
    }
    for (;;)
        event_wait(0);
}

int main(void)
{
    char word[4];
    if (cmdline_get("peer", word, sizeof(word)))
        peer();
    if (cmdline_get("idle", word, sizeof(word)) || store_words()) {
        printf("microbench: done\n");
        for (;;)
            event_wait(0);
    }
    time_it("CPUID exit", one_cpuid);
    time_it("hypercall (xen_version)", one_hypercall);
    ping_pong();
    printf("microbench: done\n");
    for (;;)
        event_wait(0);
}
