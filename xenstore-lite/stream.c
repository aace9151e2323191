/* SPDX-License-Identifier: MIT */
/*
 * Bytes between a ring page and the requests. The page belongs to the client, who may write anything into it at any time: every
 * index is read once, checked and masked, and every request is copied out before it is looked at. What arrives is taken at
 * once, also half a request: Linux notifies only when it sees that the reader had caught up with it. The
 * consumer index moves after the request's effect, the reply is published after that; and before either the journal has both, so
 * that an instance that dies in between has done all of the request or nothing.
 *
 * Linux looks at our index before its own must be visible (no barrier between the two, in xb_write and in xb_read): its bytes and our
 * index can pass each other, it does not notify, we do not see them, and both wait for ever. So whoever did something is looked at
 * once more, when what a client stored before it read an index has long arrived: xs_look_again.
 */
#include "xs.h"
#include <string.h>
#include "journal.h"
#include "mem.h"

#define mem_barrier() __asm__ volatile("mfence" ::: "memory")
#define comp_barrier() \
    __asm__ volatile("" ::: "memory") /* enough between two loads or two stores on x86 */

static uint32_t load(const uint32_t *p) { return *(const volatile uint32_t *)p; }

static void store(uint32_t *p, uint32_t v)
{
    *(volatile uint32_t *)p = v;
    xs_stored();
}

/* Not served any more, and told so (xs_wire.h: error), until it is introduced again or asks for a new beginning. */
static void gives_up(struct conn *c, enum conn_bad why)
{
    c->bad = why;
    store(&c->ring->error, why == CONN_BAD_INDEX ? XENSTORE_ERROR_RINGIDX : XENSTORE_ERROR_PROTO);
}

/* --- output ----------------------------------------------------------------------------------------------------- */
/* One pass over the queue: fills the ring as far as it goes. True if something was written. What is in the ring leaves the queue only when
 * its index is stored: a next instance finds the one by the other. */
static bool flush_once(struct conn *c)
{
    struct xenstore_domain_interface *r = c->ring;
    uint32_t cons = load(&r->rsp_cons), start = load(&r->rsp_prod), prod = start;
    if (prod - cons > XENSTORE_RING_SIZE) {
        gives_up(c, CONN_BAD_INDEX);
        return false;
    }
    mem_barrier(); /* the client has read what we are about to overwrite */
    for (const struct outmsg *m = c->out; m && prod - cons < XENSTORE_RING_SIZE; m = m->next) {
        const unsigned char *from = m->b + m->off;
        uint32_t left = m->len - m->off, room = XENSTORE_RING_SIZE - (prod - cons);
        for (left = left < room ? left : room; left;) {
            uint32_t at = MASK_XENSTORE_IDX(prod),
                     n = left < XENSTORE_RING_SIZE - at ? left : XENSTORE_RING_SIZE - at;
            memcpy(r->rsp + at, from, n);
            xs_stored();
            from += n;
            prod += n;
            left -= n;
        }
    }
    if (prod == start)
        return false;
    comp_barrier(); /* the bytes are there before the index says so */
    store(&r->rsp_prod, prod);
    mem_barrier(); /* and the client's index is looked at again only after that: see flush */
    c->rsp_prod = start;
    out_sent(c, prod - start, true);
    return true;
}

/* Until the queue is empty or the ring was seen full after the last index was published: in the latter case the client,
 * too, will see a full ring, and notify when it makes room. */
static bool flush(const struct xs *xs, struct conn *c)
{
    bool any = false;
    while (!c->bad && c->out) {
        xs_commit(xs);
        if (!flush_once(c))
            break;
        any = true;
    }
    return any;
}

/* --- input ------------------------------------------------------------------------------------------------------ */
static void ring_copy(const struct xenstore_domain_interface *r, uint32_t cons, void *to, uint32_t n)
{
    uint32_t at = MASK_XENSTORE_IDX(cons),
             first = n < XENSTORE_RING_SIZE - at ? n : XENSTORE_RING_SIZE - at;
    memcpy(to, r->req + at, first);
    memcpy((char *)to + first, r->req, n - first);
}

/* One request in which so many instances died is not tried again. Its answer lets its client go on, and everybody else. */
#define MOST_DEATHS 3u

static void request_done(struct xs *xs, struct conn *c, const void *body)
{
    struct xsd_sockmsg hdr = c->hdr;
    if (hdr.len && !body) {
        conn_limit(xs, c, xs_err_name[XE_ENOMEM]);
        xs_refuse(c, &hdr, XE_ENOMEM);
    } else if (journal_serving(c->domid, c->req_cons) >= MOST_DEATHS) {
        if (xs->ops->say)
            xs->ops->say(c, "asks what three instances of the store died of: refused");
        xs_refuse(c, &hdr, XE_EIO);
    } else {
        xs_handle(xs, c, &hdr, body ? body : "");
    }
    xs_free(c->body);
    c->body = NULL;
    c->hdr_got = c->body_got = 0;
}

/* Whoever was introduced by the request at hand may begin, now that the journal knows him. */
static void begin_fresh(struct xs *xs)
{
    struct conn *c = xs->fresh;
    xs->fresh = NULL;
    if (!c || !c->ring)
        return;
    stream_init_page(c->ring, xs->fresh_zero);
    if (xs->ops->notify)
        xs->ops->notify(c); /* it may be waiting for that */
}

/* What was taken of a request, of which had_hdr and had_body bytes were known before. */
static void journal_taken(const struct conn *c, uint32_t had_hdr, uint32_t had_body)
{
    uint32_t hdr = c->hdr_got - had_hdr, body = c->body_got - had_body;
    if (!c->hdr_got) {
        journal_put(J_DONE, c->domid, c->req_cons, 0, NULL, 0);
        return;
    }
    journal_entry(J_PART, c->domid, c->req_cons, hdr | body << 8, hdr + (c->body ? body : 0));
    journal_bytes((const char *)&c->hdr + had_hdr, hdr);
    journal_bytes(c->body ? c->body + had_body : NULL, c->body ? body : 0);
}

/* Takes from avail bytes at cons what belongs to the current request; returns how much. */
static uint32_t take_body(struct xs *xs, struct conn *c, uint32_t cons, uint32_t avail)
{
    static char whole[XENSTORE_PAYLOAD_MAX];
    uint32_t left = c->hdr.len - c->body_got, n = left < avail ? left : avail;
    if (c->body_got == 0 && n == left) { /* the common case needs no memory */
        ring_copy(c->ring, cons, whole, n);
        request_done(xs, c, whole);
        return n;
    }
    if (n == 0)
        return 0;
    if (c->body_got == 0) {
        /* Without memory the rest of the request is read past, and answered with ENOMEM. */
        c->body = xs_alloc(c->heap, c->hdr.len);
    }
    if (c->body)
        ring_copy(c->ring, cons, c->body + c->body_got, n);
    c->body_got += n;
    if (c->body_got == c->hdr.len)
        request_done(xs, c, c->body);
    return n;
}

/* One step of input: a header, or a body, or as much of either as there is. Returns the cost; 0: nothing there, or bad. */
static uint32_t take(struct xs *xs, struct conn *c)
{
    struct xenstore_domain_interface *r = c->ring;
    uint32_t cons = load(&r->req_cons), avail = load(&r->req_prod) - cons, n = 0;
    uint32_t had_hdr = c->hdr_got, had_body = c->body_got;
    uint64_t work = tree_work;
    const struct node *tree = xs->root;
    if (avail > XENSTORE_RING_SIZE) {
        gives_up(c, CONN_BAD_INDEX);
        return 0;
    }
    comp_barrier(); /* bytes are read after the index that covers them */
    if (c->hdr_got < sizeof c->hdr) {
        n = (uint32_t)sizeof c->hdr - c->hdr_got;
        n = n < avail ? n : avail;
        ring_copy(r, cons, (char *)&c->hdr + c->hdr_got, n);
        c->hdr_got += n;
    }
    if (c->hdr_got == sizeof c->hdr) {
        if (c->hdr.len > XENSTORE_PAYLOAD_MAX) {
            gives_up(c, CONN_BAD_LENGTH);
            return 0;
        }
        n += take_body(xs, c, cons + n, avail - n);
    }
    if (!n)
        return 0;
    c->req_cons = cons + n;
    if (xs->root != tree)
        journal_work(tree_work - work); /* the next instance changes it in the same way */
    journal_taken(c, had_hdr, had_body);
    xs_commit(xs);
    comp_barrier(); /* the bytes have been read before the client may overwrite them */
    store(&r->req_cons, c->req_cons);
    begin_fresh(xs);
    mem_barrier(); /* and its producer index is looked at again only after that */
    return n + (c->hdr_got ? 0 : REQUEST_CHARGE);
}

/* What all turns have cost beyond the bytes of rings. */
static uint64_t cost(void) { return journal_cost() + WORK_CHARGE * tree_work; }

static bool may_take(const struct conn *c) { return !c->spare_used && c->out_bytes <= OUT_HIGH; }

/* A client may ask for a new beginning by a mark (xs_wire.h: connection). The control domain is rebuilt by the core, which tells nobody:
 * its next instance does so. */
static bool reconnect(struct xs *xs, struct conn *c)
{
    if (load(&c->ring->connection) != XENSTORE_RECONNECT)
        return false;
    tree_work += c->nr_watches + c->nr_txs;
    conn_reset(c);
    conn_begins(c, true);
    xs->fresh = c;
    xs->fresh_zero = true;
    journal_conn(c);
    xs_commit(xs);
    begin_fresh(xs);
    return true;
}

/* It was put aside when this instance took over the others. */
static void comes_back(struct conn *c)
{
    if (c->aside != COMES_BACK)
        return;
    c->aside = SERVED;
    (void)stream_adopt(c);
    journal_work(JOURNAL_WORK); /* where its ring is now stands in no record: a snapshot has it */
}

struct served stream_serve(struct xs *xs, struct conn *c, uint32_t budget)
{
    struct served s = { 0 };
    uint64_t before = cost(), taken = 0;
    if (!c->ring || c->aside == ASIDE)
        return s;
    aside_working(c);
    comes_back(c);
    if (reconnect(xs, c)) {
        taken = REQUEST_CHARGE;
        s.notify = true;
    }
    if (!c->bad)
        watch_retry(c);
    while (!c->bad) {
        s.notify |= flush(xs, c);
        if (c->bad || !may_take(c))
            break;
        if (taken + cost() - before >= budget) {
            s.more = true;
            break;
        }
        uint32_t n = take(xs, c);
        if (!n)
            break;
        s.notify = true;
        taken += n;
    }
    if (!c->bad)
        s.notify |= flush(xs, c);
    aside_working(NULL);
    s.used = (uint32_t)(taken + cost() - before);
    return s;
}

/* --- turns -------------------------------------------------------------------------------------------------------- */
static void announce(struct xs *xs, struct conn *c)
{
    c->doubt = IN_DOUBT;
    xs->doubt = true;
    if (xs->ops->notify)
        xs->ops->notify(c);
}

void xs_look_later(struct xs *xs)
{
    xs->doubt = false;
    for (struct conn *c = xs->conns; c; c = c->next)
        if (c->doubt == IN_DOUBT)
            c->doubt = DUE;
}

void xs_look_again(struct xs *xs)
{
    for (struct conn *c = xs->conns; c; c = c->next)
        if (c->doubt == DUE) {
            c->doubt = SURE;
            c->kicked = true;
        }
}

/* A request is not cut in pieces. But what it cost beyond the budget is owed, and turns pass until it is paid for; the control domain
 * owes nothing. */
static bool turn(struct xs *xs, struct conn *c)
{
    enum conn_bad was = c->bad;
    c->credit = c->credit < 0 && !c->privileged ? c->credit + TURN_BUDGET : TURN_BUDGET;
    if (c->credit <= 0)
        return true;
    c->kicked = false;
    struct served s = stream_serve(xs, c, (uint32_t)c->credit);
    c->credit -= (int32_t)s.used;
    c->kicked = s.more;
    if (s.notify || (c->bad && !was))
        announce(xs, c);
    if (c->bad && !c->bad_said && xs->ops->say)
        xs->ops->say(
            c, c->bad == CONN_BAD_INDEX
                   ? "is ignored until its connection begins anew: its ring indices make no sense"
                   : "is ignored until its connection begins anew: a request is longer than may be");
    if (c->bad)
        c->bad_said = true;
    return s.more;
}

/* Round robin: a request may add or free connections, so the next one is always the first of the list, and whoever had a turn goes to
 * its end. The control domain asks one thing after another, hundreds of them for a new guest: it does not wait a round for each. */
bool xs_turns(struct xs *xs)
{
    bool more = false;
    for (unsigned i = 0; i < xs->nr_conns; i++) {
        struct conn *c = conn_rotate(xs);
        if (c->privileged || (!c->kicked && !c->out && !c->nr_missed))
            continue;
        more |= turn(xs, c);
        if (xs->ctl)
            more |= turn(xs, xs->ctl);
    }
    if (xs->ctl)
        more |= turn(xs, xs->ctl);
    /* Events that the later turns made for those that had theirs already. */
    for (struct conn *c = xs->conns; c; c = c->next) {
        if (!c->out || c->bad)
            continue;
        struct served s = stream_serve(xs, c, 0);
        c->credit -= (int32_t)s.used;
        if (s.notify)
            announce(xs, c);
    }
    return more;
}

/* --- beginnings --------------------------------------------------------------------------------------------------- */
/* An instance that dies between the journal's record and the page leaves one that still says that it is not ready. */
static bool never_began(const struct conn *c)
{
    return load(&c->ring->connection) == XENSTORE_RECONNECT && !c->req_cons && !c->rsp_prod &&
           !c->hdr_got && !c->out && !c->watches && !c->txs;
}

static void say_features(struct xenstore_domain_interface *r)
{
    store(&r->server_features, XS_FEATURES);
    store(&r->error, XENSTORE_ERROR_NONE);
}

bool stream_adopt(struct conn *c)
{
    struct xenstore_domain_interface *r = c->ring;
    uint32_t cons = load(&r->req_cons), sent = load(&r->rsp_prod) - c->rsp_prod;
    c->kicked = true;
    say_features(r);
    if (never_began(c)) {
        stream_init_page(r, true);
    } else if (out_sent(c, sent, true) && c->req_cons - cons <= XENSTORE_RING_SIZE) {
        store(&r->req_cons, c->req_cons);
    } else {
        /* The client moved indices that are not his, his domain is a new one that is yet to be introduced, or records are lost:
         * from here on as if nothing had been on its way. */
        out_drop(c);
        xs_free(c->body);
        c->body = NULL;
        c->hdr_got = c->body_got = 0;
        conn_begins(c, false);
        return false;
    }
    return true;
}

bool stream_unknown(struct conn *c)
{
    if (!load(&c->ring->server_features))
        return false;
    gives_up(c, CONN_BAD_INDEX);
    c->bad_said = true;
    return true;
}

void stream_init_page(struct xenstore_domain_interface *r, bool zero)
{
    if (zero) {
        store(&r->req_cons, 0);
        store(&r->req_prod, 0);
        store(&r->rsp_cons, 0);
        store(&r->rsp_prod, 0);
    }
    say_features(r);
    comp_barrier();
    store(&r->connection, XENSTORE_CONNECTED); /* the last: a booting client may be waiting for it */
}
