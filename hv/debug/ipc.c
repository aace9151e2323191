/* SPDX-License-Identifier: MIT */
/* Debug keys: event channels and grants. Their records stay for as long as their domain does. */
#include "debug/debug.h"
#include "domain/struct.h"
#include "domain/table.h"
#include "ipc/evtchn.h"
#include "ipc/grant.h"

static bool bit(const volatile unsigned long *w, unsigned n) { return w[n / 64] >> n % 64 & 1; }

static void port_line(const struct domain *d, unsigned port, const struct evtchn *c, char *text)
{
    static const char *const names[] = { "free", "reserved", "unbound", "interdomain",
                                         "pirq", "virq",     "ipi" };
    char to[48] = "";

    if (c->state == ECS_UNBOUND || c->state == ECS_INTERDOMAIN)
        snprintf(to, sizeof to, " d%u port %u", c->remote_domid,
                 c->state == ECS_UNBOUND ? 0 : c->remote_port);
    else if (c->state == ECS_PIRQ || c->state == ECS_VIRQ)
        snprintf(to, sizeof to, " %u", c->state == ECS_PIRQ ? c->pirq : c->virq);
    snprintf(text, DEBUG_LINE, "d%u port %u: %s%s, vCPU %u%s%s%s", d->id, port,
             c->state < ARRAY_SIZE(names) ? names[c->state] : "?", to, c->vcpu,
             bit(d->shared->evtchn_pending, port) ? ", pending" : "",
             bit(d->shared->evtchn_mask, port) ? ", masked" : "", c->slot ? ", of the slot" : "");
}

/* at->n: the port that comes next; one bucket at most in a step. */
static bool ports(struct debug_at *at, char *text)
{
    struct domain *d;
    bool more = debug_domain(at, text, &d);

    if (!d)
        return more;
    const struct evtchn *b = READ_ONCE(d->evtchn.bucket[at->n / EVTCHN_PER_BUCKET]);
    unsigned end = (at->n / EVTCHN_PER_BUCKET + 1) * EVTCHN_PER_BUCKET;
    for (; b && at->n < end && b[at->n % EVTCHN_PER_BUCKET].state == ECS_FREE; at->n++)
        ;
    if (b && at->n < end) {
        port_line(d, at->n, &b[at->n % EVTCHN_PER_BUCKET], text);
        at->n++;
    } else {
        at->n = end;
    }
    if (at->n == EVTCHN_PORTS)
        debug_next_domain(at, d);
    domain_put(d);
    return true;
}

/* at->n: 0 the table, then one more than the record that comes next; one page of records at most in a step. */
static bool grants(struct debug_at *at, char *text)
{
    struct domain *d;
    bool more = debug_domain(at, text, &d);

    if (!d)
        return more;
    if (!at->n++) {
        snprintf(text, DEBUG_LINE,
                 "d%u: %u frames of %u entries, %u handles of its mappings; pinned entries:", d->id,
                 d->grant.nr_frames, GRANT_PER_FRAME, d->grant.nr_maptrack);
        domain_put(d);
        return true;
    }
    unsigned i = at->n - 2, end = (i / ACTIVE_PER_PAGE + 1) * ACTIVE_PER_PAGE;
    const struct grant_active *a = READ_ONCE(d->grant.active[i / ACTIVE_PER_PAGE]), *r;
    for (; a && i < end && !a[i % ACTIVE_PER_PAGE].pins_ro && !a[i % ACTIVE_PER_PAGE].pins_rw; i++)
        ;
    if (a && i < end) {
        r = &a[i % ACTIVE_PER_PAGE];
        snprintf(text, DEBUG_LINE, "d%u entry %u: d%u, frame %lx, %u read, %u written%s", d->id, i,
                 r->domid, r->mfn.v, r->pins_ro, r->pins_rw, r->stale ? ", taken back" : "");
        i++;
    } else {
        i = end;
    }
    at->n = i + 1;
    if (i >= MIN(d->grant.nr_frames, GRANT_MAX_FRAMES) * GRANT_PER_FRAME)
        debug_next_domain(at, d);
    domain_put(d);
    return true;
}

const struct debug_key debug_ipc[] = {
    { 'e', ports, "event channels" },
    { 'g', grants, "grants that are in use" },
    DEBUG_KEYS_END,
};
