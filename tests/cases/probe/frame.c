/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/net/pkt.c drivers-dom/net/gso.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/net
/*
 * frame FILE: frames as hexadecimal text, one a line (# comments), with a blank transport checksum. For each: does the back-end
 * find the checksum, what does it fill in, does a sum over the segment come out right afterwards.
 */
#include <stdio.h>
#include <string.h>
#include "pkt.h"
#include "switch.h"

void shared_stored(void) {}

static unsigned sum16(const uint8_t *p, unsigned n, unsigned s)
{
    for (unsigned i = 0; i + 1 < n; i += 2)
        s += (unsigned)(p[i] << 8 | p[i + 1]);
    if (n & 1)
        s += (unsigned)p[n - 1] << 8;
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return s;
}

/* An independent look: tags skipped whatever their number. 0: the checksum is right, 1: wrong, -1: none to check. */
static int verify(const uint8_t *f, unsigned len)
{
    unsigned at = 12, type;

    while (at + 4 <= len && ((type = (unsigned)(f[at] << 8 | f[at + 1])) == 0x8100 ||
                             type == 0x88a8 || type == 0x9100))
        at += 4;
    type = (unsigned)(f[at] << 8 | f[at + 1]);
    at += 2;
    if (type == 0x0800) {
        unsigned ihl = (f[at] & 15u) * 4, tot = (unsigned)(f[at + 2] << 8 | f[at + 3]),
                 seg = tot - ihl;
        uint8_t ps[12];
        memcpy(ps, f + at + 12, 8);
        ps[8] = 0, ps[9] = f[at + 9], ps[10] = (uint8_t)(seg >> 8), ps[11] = (uint8_t)seg;
        return sum16(f + at + ihl, seg, sum16(ps, 12, 0)) != 0xffff;
    }
    if (type == 0x86dd) {
        unsigned seg = (unsigned)(f[at + 4] << 8 | f[at + 5]);
        uint8_t ps[40];
        memcpy(ps, f + at + 8, 32);
        ps[32] = ps[33] = 0, ps[34] = (uint8_t)(seg >> 8), ps[35] = (uint8_t)seg,
        ps[36] = ps[37] = ps[38] = 0, ps[39] = f[at + 6];
        return sum16(f + at + 40, seg, sum16(ps, 40, 0)) != 0xffff;
    }
    return -1;
}

int main(int argc, char **argv)
{
    static char line[16384];
    static uint8_t mem[2 * PKT_BUF];
    FILE *f = argc > 1 ? fopen(argv[1], "r") : NULL;

    while (f && fgets(line, sizeof(line), f)) {
        if (line[0] == '#' || line[0] == '\n') {
            if (line[0] == '#')
                printf("%s", line);
            continue;
        }
        struct pkt_pool pool;
        struct pkt pk[2];
        unsigned n = 0, b;
        pkt_pool_init(&pool, pk, mem, 2);
        struct pkt *p = pkt_alloc(&pool), *q = pkt_alloc(&pool);
        for (char *s = line; sscanf(s, "%2x", &b) == 1; s += 2 + (s[2] == ' '))
            p->data[n] = q->data[n] = (uint8_t)b, n++;
        p->len = q->len = (uint16_t)n;
        bool find = pkt_csum_find(q), fill = pkt_csum_find(p);
        if (fill)
            pkt_csum_fill(p);
        printf("  %u bytes: offload %s", n, find ? "yes" : "no");
        if (find)
            printf(" (start %u, offset %u)", q->csum_start, q->csum_offset);
        int bad = verify(p->data, n);
        printf(", filled in %s, on the wire the sum is %s\n", fill ? "yes" : "no",
               bad < 0 ? "not looked at"
               : bad   ? "WRONG"
                       : "right");
    }
    return 0;
}
