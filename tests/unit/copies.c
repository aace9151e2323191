/* SPDX-License-Identifier: MIT */
/* copies.h. */
#include "copies.h"

void *copied[BH_BATCH_COPIES];

int copy_put(struct batch *b, uint32_t ref, unsigned off, void *p, unsigned len, uint16_t flags)
{
    if (b->nr_copies == BH_BATCH_COPIES)
        fail_msg("batch overfilled");
    if (!len || off + len > PAGE_SIZE)
        fail_msg("copy of %u bytes at %u", len, off);
    struct gnttab_copy *c = &b->copy[b->nr_copies];
    memset(c, 0, sizeof(*c));
    if (flags == GNTCOPY_source_gref)
        c->source.u.ref = ref, c->source.offset = (uint16_t)off;
    else
        c->dest.u.ref = ref, c->dest.offset = (uint16_t)off;
    c->len = (uint16_t)len;
    c->flags = flags;
    copied[b->nr_copies] = p;
    return (int)b->nr_copies++;
}

__attribute__((weak)) void batch_send(struct batch *b, uint32_t port)
{
    for (unsigned i = 0; i < b->nr_sends; i++) {
        if (b->send[i] == port)
            return;
    }
    b->send[b->nr_sends++] = port;
}

jmp_buf crash_env;
long countdown, points;
bool armed;

void crash_point(void)
{
    points++;
    if (armed && countdown-- == 0) {
        armed = false;
        longjmp(crash_env, 1);
    }
}
