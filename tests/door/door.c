/* SPDX-License-Identifier: MIT */
/* When an attack comes, and what those of both drivers share. See door.h. */
#include "door.h"
#include "../../domains/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HONEST_NS \
    600000000ull /* longer than what ends a row of deaths (ctl-dom/supervise/supervisor.c) */
#define LINGER_NS 200000000ull

extern uint8_t _text_start[], _text_end[], _rodata_end[], _end[];

uint32_t door_random(void)
{
    static uint64_t s;

    if (!s)
        s = (self.instance + 1) * 0x9e3779b97f4a7c15ull;
    s = s * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(s >> 32);
}

static uint8_t *page_within(uint8_t *from, uint8_t *to)
{
    uint64_t first = (uint64_t)from & ~(PAGE_SIZE - 1),
             n = ((uint64_t)to - first + PAGE_SIZE - 1) / PAGE_SIZE;

    return (uint8_t *)(first + door_random() % (n ? n : 1) * PAGE_SIZE);
}

void *door_target(uint64_t round)
{
    uint8_t here;

    switch (round % 6) {
    case 0: return page_within(_text_start, _text_end);
    case 1: return page_within(_text_end, _rodata_end);
    case 2: return page_within(_rodata_end, _end);
    case 3: return page_within(self.keep, self.keep + self.nr_keep * PAGE_SIZE);
    case 4:
        return page_within((uint8_t *)self.table, (uint8_t *)self.table + self.nr_table * PAGE_SIZE);
    default: return page_within(&here, &here);
    }
}

void door_nodes(const char *type, domid_t dom, uint32_t devid, domid_t other, uint64_t round)
{
    static const char *const keys[] = { "mac",           "frontend",     "frontend-id",
                                        "bridge",        "handle",       "online",
                                        "params",        "mode",         "type",
                                        "dev",           "bh-limit-ops", "bh-limit-bytes",
                                        "discard-enable" };
    static const char *const own[] = { "feature-sg",
                                       "feature-rx-copy",
                                       "feature-split-event-channels",
                                       "multi-queue-max-queues",
                                       "bh-extent",
                                       "sectors",
                                       "sector-size",
                                       "info",
                                       "max-ring-page-order",
                                       "feature-flush-cache" };
    static const char *const states[] = { "2", "1", "9", "x", "0" };
    char dir[64], path[96], text[48];
    unsigned taken = 0;

    snprintf(dir, sizeof(dir), "backend/%s/%u/%u", type, dom, devid);
    for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, keys[i]);
        snprintf(text, sizeof(text), "/local/domain/%u/device/%s/%u", other, type, devid);
        taken += !xs_write(0, path, text);
        taken += !xs_rm(0, path);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(own); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, own[i]);
        snprintf(text, sizeof(text), "%u %u", door_random(), door_random());
        if (round & 1)
            xs_rm(0, path);
        else
            xs_write(0, path, text);
    }
    snprintf(path, sizeof(path), "%s/state", dir);
    xs_write(0, path, states[round % ARRAY_SIZE(states)]);
    snprintf(text, sizeof(text), "n%u b%u", self.domid, other);
    int rc = xs_set_perms(0, path, text), rc2 = xs_set_perms(0, dir, text);
    printf("door: %s: %u of the toolstack's nodes changed, permissions %d, %d\n", dir, taken, rc,
           rc2);
}

void door_linger(void)
{
    uint64_t end = now_ns() + LINGER_NS;

    while (now_ns() < end)
        __builtin_ia32_pause();
}

/* To the core's log, before: afterwards nothing of this domain may be whole. */
static void announce(const char *name, uint64_t round)
{
    char line[64];

    snprintf(line, sizeof(line), "door: attack %s, round %lu\n", name, round);
    console_emergency(line, strlen(line));
}

static void attack(void)
{
    uint64_t n = self.instance / 2;
    unsigned kinds = 0;

    while (door_attacks[kinds].name)
        kinds++;
    announce(door_attacks[n % kinds].name, n / kinds);
    door_attacks[n % kinds].run(n / kinds);
    bh_panic("door: dies");
}

unsigned __real_event_wait(uint64_t until_ns);
unsigned __wrap_event_wait(uint64_t until_ns);

/* The main loop comes here between two rounds of work; the driver's own waits while it begins are before the first second. */
unsigned __wrap_event_wait(uint64_t until_ns)
{
    static uint64_t due;
    static bool inside;

    if (!(self.instance & 1) || inside)
        return __real_event_wait(until_ns);
    if (!due)
        due = now_ns() + HONEST_NS;
    if (now_ns() < due)
        return __real_event_wait(until_ns && until_ns < due ? until_ns : due);
    inside = true;
    attack();
    return 0;
}
