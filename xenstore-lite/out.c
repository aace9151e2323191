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
