/* SPDX-License-Identifier: MIT */
/*
 * What lwIP must not let others guess: port numbers, identifiers, the first sequence number of a connection. It rests on the CPU's
 * random numbers, and without these on the TSC, which a neighbour may come near.
 */
#include <bh.h>
#include <lwip/arch.h>
#include <sha256.h>
#include <string.h>
#include "isn.h"

uint32_t lwip_random(void)
{
    static struct {
        uint8_t before[32];
        uint64_t tsc, now, hw[4];
    } seed;
    uint32_t v;

    seed.tsc = __builtin_ia32_rdtsc();
    seed.now = now_ns();
    for (unsigned i = 0; i < ARRAY_SIZE(seed.hw); i++)
        seed.hw[i] = hw_random();
    sha256(&seed, sizeof(seed), seed.before);
    memcpy(&v, seed.before + 28, sizeof(v)); /* the rest is not shown */
    return v;
}

/* RFC 6528 3: a clock of 4 microseconds, from a place that depends on the two ends and on a secret. */
uint32_t lwip_isn(const ip_addr_t *here, uint16_t port, const ip_addr_t *there, uint16_t peer_port)
{
    static uint32_t secret[8];
    struct {
        uint32_t secret[8];
        ip_addr_t here, there;
        uint16_t port, peer_port;
    } in;
    uint8_t digest[32];
    uint32_t offset;

    for (unsigned i = 0; !secret[7] && i < ARRAY_SIZE(secret); i++)
        secret[i] = lwip_random();
    memset(&in, 0, sizeof(in));
    memcpy(in.secret, secret, sizeof(secret));
    ip_addr_copy(in.here, *here);
    ip_addr_copy(in.there, *there);
    in.port = port;
    in.peer_port = peer_port;
    sha256(&in, sizeof(in), digest);
    memcpy(&offset, digest, sizeof(offset));
    return offset + (uint32_t)(now_ns() / 4000);
}
