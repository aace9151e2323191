/* SPDX-License-Identifier: MIT */
/* What waits to be sent to a client: replies and events, in order. stream.c takes it from here to the ring. */
#include "xs.h"
#include <string.h>
#include "mem.h"

struct outmsg *out_new(struct conn *c, const struct xsd_sockmsg *hdr, uint32_t payload_room)
{
    struct outmsg *m = xs_alloc(c->heap, sizeof *m + sizeof *hdr + payload_room);
    if (!m)
        return NULL;
    m->len = (uint32_t)sizeof *hdr + payload_room;
    memcpy(m->b, hdr, sizeof *hdr);
    return m;
}

void out_push(struct conn *c, struct outmsg *m)
{
    m->next = NULL;
    *c->out_tail = m;
    c->out_tail = &m->next;
    c->out_bytes += m->len + OUT_OVERHEAD;
    journal_out(c, m);
}

static void out_pop(struct conn *c, bool follow)
{
    struct outmsg *m = c->out;
    c->out = m->next;
    if (!c->out)
        c->out_tail = &c->out;
    c->out_bytes -= m->len + OUT_OVERHEAD;
    watch_event_sent(c, m, follow);
    if (m == &c->spare.m)
        c->spare_used = false;
    else
        xs_free(m);
}

bool out_sent(struct conn *c, uint32_t n, bool follow)
{
    c->rsp_prod += n;
    while (n && c->out) {
        struct outmsg *m = c->out;
        uint32_t left = m->len - m->off, part = n < left ? n : left;
        m->off += part;
        n -= part;
        if (m->off == m->len)
            out_pop(c, follow);
    }
    return !n;
}

void out_drop(struct conn *c)
{
    while (c->out)
        out_pop(c, false);
    c->lost_events = 0;
}
