/* SPDX-License-Identifier: MIT */
/* tcp_frame.h. */
#include "tcp_frame.h"
#include <string.h>

unsigned net_at(const struct shape *s) { return 14 + 4 * s->tags; }
unsigned tcp_at(const struct shape *s) { return net_at(s) + (s->v6 ? 40 : 20) + s->ip_options; }
unsigned head_of(const struct shape *s) { return tcp_at(s) + 20 + s->tcp_options; }

void put16(uint8_t *b, unsigned v) { b[0] = (uint8_t)(v >> 8), b[1] = (uint8_t)v; }

uint16_t plain_sum(const uint8_t *b, unsigned n, uint32_t sum)
{
    for (unsigned i = 0; i < n; i++)
        sum += i & 1 ? b[i] : (uint32_t)b[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* The frame that a TCP would have made of payload [from, from + n). Returns its length. */
unsigned make(uint8_t *f, const struct shape *s, unsigned from, unsigned n, unsigned flags,
              unsigned id)
{
    static const uint8_t kind[3][2] = { { 0x81, 0 }, { 0x88, 0xa8 }, { 0x91, 0 } };
    unsigned net = net_at(s), tcp = tcp_at(s), head = head_of(s), len = head + n;
    uint32_t seq = 0xfffff000u + from;

    for (unsigned i = 0; i < head; i++)
        f[i] = (uint8_t)(i * 37 + 5);
    for (unsigned i = 0; i < s->tags; i++)
        memcpy(f + 12 + 4 * i, kind[i % 3], 2);
    put16(f + net - 2, s->v6 ? 0x86dd : 0x800);
    if (s->v6) {
        f[net] = 0x60;
        put16(f + net + 4, len - net - 40);
        f[net + 6] = s->ip_options ? 60 : 6;
        if (s->ip_options)
            f[net + 40] = 6, f[net + 41] = (uint8_t)(s->ip_options / 8 - 1);
    } else {
        f[net] = (uint8_t)(0x40 | (tcp - net) / 4);
        put16(f + net + 2, len - net);
        put16(f + net + 4, id);
        put16(f + net + 6, 0x4000);
        f[net + 9] = 6;
        put16(f + net + 10, 0);
        put16(f + net + 10, (uint16_t)~plain_sum(f + net, tcp - net, 0));
    }
    put16(f + tcp + 4, seq >> 16), put16(f + tcp + 6, seq & 0xffff);
    f[tcp + 12] = (uint8_t)((20 + s->tcp_options) / 4 << 4);
    f[tcp + 13] = (uint8_t)flags;
    for (unsigned i = 0; i < n; i++)
        f[head + i] = (uint8_t)((from + i) * 7 + (from + i) / 253);
    /* the checksum of all, as it is on the wire */
    put16(f + tcp + 16, 0);
    uint32_t pseudo = plain_sum(f + net + (s->v6 ? 8 : 12), s->v6 ? 32 : 8, 6 + len - tcp);
    put16(f + tcp + 16, (uint16_t)~plain_sum(f + tcp, len - tcp, pseudo));
    return len;
}
