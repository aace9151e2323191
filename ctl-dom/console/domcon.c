/* SPDX-License-Identifier: MIT */
/* The other end writes the ring too: indexes are read once and bounded. */
#include "console/domcon.h"
#include <errno.h>
#include <quote.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/console.h>
#include "console/console.h"
#include "domain/dom.h"

/* A domain that floods its console takes this much of our time, no more. */
#define RATE_BYTES (256u * 1024)
#define RATE_NS    1000000000ull
#define RETRY_NS   20000000ull

static struct dom *attached;
static struct dtimer retry;

static void show(struct dom *d, char c)
{
    /* The wire's newline brings its own carriage return. */
    if (d->con.cr && c != '\n')
        con_write("\r", 1);
    d->con.cr = c == '\r';
    if (!d->con.cr)
        con_write(&c, 1);
}

static void show_run(struct dom *d, const char *s, size_t n)
{
    while (n) {
        size_t run = 0;
        while (run < n && s[run] != '\r')
            run++;
        if (run && !d->con.cr) {
            con_write(s, run);
        } else {
            show(d, *s);
            run = 1;
        }
        s += run;
        n -= run;
    }
}

static void store_output(struct dom *d, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        d->con.log[d->con.written++ % BACKLOG_SIZE] = s[i];
    if (attached == d)
        show_run(d, s, n);
}

static bool within_budget(struct domcon *c, size_t n)
{
    uint64_t now = now_ns();

    if (now - c->budget_at >= RATE_NS) {
        c->budget_at = now;
        c->budget = RATE_BYTES;
    }
    if (c->budget < n)
        return false;
    c->budget -= n;
    return true;
}

void domcon_drain(struct dom *d)
{
    struct xencons_interface *r = d->con.ring;
    char buf[sizeof(r->out)];

    if (!r)
        return;
    uint32_t cons = r->out_cons, n = READ_ONCE(r->out_prod) - cons;
    if (!n)
        return;
    if (n > sizeof(r->out))
        n = sizeof(r->out);
    if (!within_budget(&d->con, n)) {
        if (!retry.armed)
            dtimer_set(&retry, now_ns() + RETRY_NS);
        return;
    }
    rmb();
    for (uint32_t i = 0; i < n; i++)
        buf[i] = r->out[MASK_XENCONS_IDX(cons + i, r->out)];
    mb();
    WRITE_ONCE(r->out_cons, cons + n);
    event_send(d->con.port);
    store_output(d, buf, n);
}

/* The console that is looked at goes on when the wire has taken what came before: the domain waits for the wire, we do not. */
static void drain_some(struct dom *d)
{
    if (d != attached || !con_busy())
        domcon_drain(d);
    else if (!retry.armed)
        dtimer_set(&retry, now_ns() + RETRY_NS);
}

static void drain_all(struct dtimer *t)
{
    (void)t;
    for (struct dom *d = doms; d; d = d->next)
        drain_some(d);
}

static void on_event(uint32_t port, void *arg)
{
    (void)port;
    drain_some(arg);
}

int domcon_connect(struct dom *d, struct errbuf *e)
{
    const uint32_t ref = 0;

    retry.fn = drain_all;
    d->con.log = malloc(BACKLOG_SIZE);
    if (!d->con.log)
        return fail(e, -ENOMEM, "%s: out of memory", d->cfg.name);
    int rc = grant_map(&d->con.map, d->id, &ref, 1, 0);
    if (rc)
        return fail(e, rc, "%s: console: %s", d->cfg.name, errno_text(rc));
    d->con.ring = d->con.map.va;
    rc = event_bind_interdomain(d->id, d->console_port, on_event, d);
    if (rc < 0) {
        grant_unmap(&d->con.map);
        d->con.ring = NULL;
        return fail(e, rc, "%s: console: %s", d->cfg.name, errno_text(rc));
    }
    d->con.port = (uint32_t)rc;
    return 0;
}

void domcon_restart(struct dom *d)
{
    static const char mark[] = "\n--- restarted ---\n";

    if (d->con.log)
        store_output(d, mark, sizeof(mark) - 1);
}

/* --- the last words of those that ended, as long as this domain's instance lives --- */
static struct ended {
    char name[BH_NAME_LEN];
    domid_t id;
    char *log;
    uint64_t written, at; /* at: the number of its end */
} ended[4];

/* The log goes from d to the list: in the place of an older one of that name, or of the oldest. */
static void keep(struct dom *d)
{
    static uint64_t ends;
    struct ended *to = ended;

    if (!d->con.log || !d->con.written)
        return;
    for (struct ended *k = ended; k < ended + ARRAY_SIZE(ended); k++) {
        if (k->log && !strcmp(k->name, d->cfg.name)) {
            to = k;
            break;
        }
        if (k->at < to->at)
            to = k;
    }
    free(to->log);
    *to = (struct ended){ .id = d->id, .log = d->con.log, .written = d->con.written, .at = ++ends };
    snprintf(to->name, sizeof(to->name), "%s", d->cfg.name);
    d->con.log = NULL;
}

/* Whole lines, none of which looks like one of ours. */
static void show_ended(const struct ended *k)
{
    uint64_t from = k->written > BACKLOG_SIZE ? k->written - BACKLOG_SIZE : 0;
    char line[256];
    size_t n = 0;

    if (from)
        while (from < k->written && k->log[from++ % BACKLOG_SIZE] != '\n')
            ;
    while (from < k->written) {
        char c = k->log[from++ % BACKLOG_SIZE];
        bool ends = c == '\n';
        if (!ends && c != '\r')
            line[n++] = c;
        if (!ends && n < sizeof(line) - 1 && from < k->written)
            continue;
        line[n] = '\0';
        out("  %s%s", line, ends || from == k->written ? "\n" : "");
        n = 0;
    }
}

bool domcon_show_ended(const char *name)
{
    char *end;
    unsigned long id = strtoul(name, &end, 10);

    for (const struct ended *k = ended; k < ended + ARRAY_SIZE(ended); k++)
        if (k->log && (!strcmp(k->name, name) || (end != name && !*end && id == k->id))) {
            out("%s: has ended, as domain %u; the last of its console:\n", k->name, k->id);
            show_ended(k);
            return true;
        }
    return false;
}

void domcon_disconnect(struct dom *d)
{
    if (attached == d) {
        domcon_leave();
        say("%s: its console is gone", d->cfg.name);
    }
    if (!d->con.ring)
        return;
    event_close(d->con.port);
    d->con.ring = NULL;
    grant_unmap(&d->con.map);
    keep(d);
}

/* --- attached --------------------------------------------------------------------------------- */
static unsigned char leave;     /* the key that does */
static bool line_begins, tilde; /* Enter was the last key; then ~, which is held back */

void domcon_attach(struct dom *d, unsigned char key)
{
    struct domcon *c = &d->con;

    leave = key;
    line_begins = true;
    tilde = false;

    domcon_drain(d);
    con_set_mode(CON_HELD);
    uint64_t from = c->written > BACKLOG_SIZE ? c->written - BACKLOG_SIZE : 0;
    if (from) /* begin with a whole line */
        while (from < c->written && c->log[from++ % BACKLOG_SIZE] != '\n')
            ;
    c->cr = false;
    attached = d;
    while (from < c->written) {
        size_t at = from % BACKLOG_SIZE, n = BACKLOG_SIZE - at;
        if (n > c->written - from)
            n = c->written - from;
        show_run(d, c->log + at, n);
        from += n;
    }
}

struct dom *domcon_attached(void) { return attached; }

void domcon_leave(void) { attached = NULL; }

/* False: no room now, try again. */
static bool send_key(unsigned char ch)
{
    struct xencons_interface *r = attached->con.ring;

    if (!r)
        return true;
    uint32_t prod = r->in_prod, used = prod - READ_ONCE(r->in_cons);
    if (used >= sizeof(r->in)) {
        /* A domain that does not read loses the keyboard to nobody but itself: the byte is dropped
         * if it never read. */
        return used > sizeof(r->in);
    }
    r->in[MASK_XENCONS_IDX(prod, r->in)] = (char)ch;
    wmb();
    WRITE_ONCE(r->in_prod, prod + 1);
    event_send(attached->con.port);
    return true;
}

/* Enter ~ . as ssh has it: also keyboards and lines that have no Ctrl-] have these. Enter ~ ~ is one ~. */
enum domcon_typed domcon_typed(unsigned char c)
{
    const char key[] = { (char)leave, '\0' };

    if (c == leave || (tilde && c == '.')) {
        con_getc();
        return DOMCON_LEFT;
    }
    if (line_begins && !tilde && c == '~') {
        con_getc();
        tilde = true;
        return DOMCON_TOOK;
    }
    if (!send_key(tilde ? '~' : c)) /* a domain that does not read must not keep the user from leaving */
        return con_skip_past(key) || con_skip_past("\r~.") ? DOMCON_LEFT : DOMCON_FULL;
    if (!tilde || c == '~')
        con_getc();
    line_begins = !tilde && (c == '\r' || c == '\n');
    tilde = false;
    return DOMCON_TOOK;
}

void domcon_last_line(const struct dom *d, char *buf, size_t n)
{
    const struct domcon *c = &d->con;
    uint64_t end = c->written, oldest = end > BACKLOG_SIZE ? end - BACKLOG_SIZE : 0;
    size_t len = 0;

    buf[0] = '\0';
    if (!c->log)
        return;
    while (end > oldest &&
           (c->log[(end - 1) % BACKLOG_SIZE] == '\n' || c->log[(end - 1) % BACKLOG_SIZE] == '\r'))
        end--;
    uint64_t from = end;
    while (from > oldest && c->log[(from - 1) % BACKLOG_SIZE] != '\n')
        from--;
    while (from < end && len + 1 < n)
        buf[len++] = c->log[from++ % BACKLOG_SIZE];
    buf[len] = '\0';
    quote(buf, n, buf);
}
