/* SPDX-License-Identifier: MIT */
/*
 * Xenstore client over the ring of <xen/io/xs_wire.h>.
 *
 * The store is another domain and may be restarted or hostile: the ring's indices are checked each time they are read,
 * lengths are bounded by XENSTORE_PAYLOAD_MAX, a reply must carry the number of the request that waits, and each wait has
 * an end. Many requests may be under way: one that somebody waits for, and those of xs_post. A connection that broke these rules stays broken until the store has reset the ring (all indices zero), as it
 * does when the domain is introduced again; then the watches are set once more.
 */
#include "internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/hvm/params.h>
#include <xen/io/xs_wire.h>

#define REPLY_TIMEOUT 5000000000ull
#define IDLE_TURN     10000000ull /* with xs_idle set, a wait is cut into turns of at most 10 ms */
/* Events of one watch that wait, and the longest path that one keeps. The nodes below a watch may be a stranger's: what goes
 * beyond is one call with the watch's own path ("look again"), whose room is there already. */
#define MAX_QUEUED 16
#define MAX_EVENT  256

struct part {
    const void *data;
    size_t len;
};
struct watch {
    struct watch *next;
    watch_fn fn;
    void *arg;
    uint32_t id;
    unsigned nr_queued;
    bool again;
    char path[];
};
struct queued {
    struct queued *next;
    struct watch *w;
    char path[];
};

/* A request until its answer is there (done) and was seen. */
struct call {
    struct call *next;
    uint32_t req_id, type, len;
    char *body;
    bool over;
    xs_done done; /* NULL: somebody waits for it, and it lies on his stack */
    void *arg;
    uint32_t posted_type; /* what done was promised */
    unsigned connection;
};

void (*xs_idle)(void);
void (*xs_pause)(uint64_t until_ns);
int xs_error;
static struct xenstore_domain_interface *ring;
static uint32_t ring_port;
static bool broken, busy;
static unsigned connection; /* the how-manieth on this ring */
static unsigned breaks;     /* how often it broke */
static bool half_sent;      /* the beginning of a message is in the ring */
static uint32_t next_req, next_watch;
static struct watch *watches;
static struct queued *queue, **queue_tail = &queue;
static unsigned nr_queued; /* of all watches */

/* The message that is coming in; complete when `got` is its header and length. One more byte for a NUL. */
static struct {
    struct xsd_sockmsg hdr;
    char body[XENSTORE_PAYLOAD_MAX + 1];
} in;
static size_t got;
static struct call *calls;

static int set_error(int err)
{
    xs_error = -err;
    return err;
}

static int break_connection(const char *why)
{
    if (!broken)
        printf("xenstore: %s: connection broken\n", why);
    breaks += !broken;
    broken = true;
    return -EIO;
}

/* --- incoming --- */

static void queue_event(void)
{
    size_t plen = strnlen(in.body, in.hdr.len);

    in.body[in.hdr.len] = '\0';
    if (plen + 1 >= in.hdr.len)
        return;
    uint32_t id = (uint32_t)strtoul(in.body + plen + 1, NULL, 16);
    struct watch *w = watches;
    while (w && w->id != id)
        w = w->next;
    if (!w)
        return;
    for (struct queued *q = queue; q; q = q->next)
        if (q->w == w && !strcmp(q->path, in.body))
            return; /* a watch says "look again", once is enough */
    struct queued *q = w->nr_queued < MAX_QUEUED && plen < MAX_EVENT ? malloc(sizeof(*q) + plen + 1)
                                                                     : NULL;
    if (!q) {
        w->again = true;
        return;
    }
    q->next = NULL;
    q->w = w;
    memcpy(q->path, in.body, plen + 1);
    *queue_tail = q;
    queue_tail = &q->next;
    w->nr_queued++;
    nr_queued++;
}

static void message_in(void)
{
    if (in.hdr.type == XS_WATCH_EVENT) {
        queue_event();
        return;
    }
    struct call *c = calls;
    while (c && (c->over || c->req_id != in.hdr.req_id))
        c = c->next;
    if (!c)
        return; /* late answer to a request that was given up */
    in.body[in.hdr.len] = '\0';
    c->body = malloc(in.hdr.len + 1);
    c->type = in.hdr.type;
    c->len = in.hdr.len;
    if (c->body)
        memcpy(c->body, in.body, in.hdr.len + 1);
    c->over = true;
}

/* Takes up to `want` bytes out of the ring. Returns how many, or -EIO. */
static int ring_get(char *to, size_t want)
{
    uint32_t cons = ring->rsp_cons, avail = READ_ONCE(ring->rsp_prod) - cons;

    if (avail > XENSTORE_RING_SIZE)
        return break_connection("response index out of range");
    if (want > avail)
        want = avail;
    rmb();
    for (size_t i = 0; i < want; i++)
        to[i] = ring->rsp[MASK_XENSTORE_IDX(cons + i)];
    mb();
    WRITE_ONCE(ring->rsp_cons, cons + (uint32_t)want);
    mb();
    /* The store waits for room only if it saw the ring full, that is before our index moved; then its producer, read now,
     * is a ring ahead of our old index. Half a ring, to be generous to one that stops early. */
    if (want && READ_ONCE(ring->rsp_prod) - cons > XENSTORE_RING_SIZE / 2)
        event_send(ring_port);
    return (int)want;
}

/* A restarted domain runs before the store knows: the control domain marked the ring as reconnecting (xs_wire.h), and what is there
 * is a former instance's. Nothing may be read or written before the store has emptied it and taken the mark away. */
static bool connected(void)
{
    bool is = READ_ONCE(ring->connection) == XENSTORE_CONNECTED;

    rmb(); /* the indices after the mark */
    return is;
}

/* Reads all there is; bounded by what the store can have put there meanwhile (64 messages a call, the rest next time). */
static int drain(void)
{
    for (unsigned messages = 0; !broken && connected() && messages < 64;) {
        size_t need = sizeof(in.hdr);

        if (READ_ONCE(ring->error)) /* nothing comes any more, whatever was asked */
            return break_connection("the store has given it up");
        if (got >= sizeof(in.hdr))
            need += in.hdr.len;
        int n = ring_get((char *)&in + got, need - got);
        if (n < 0)
            return n;
        got += (size_t)n;
        if (got < sizeof(in.hdr))
            return 0;
        if (in.hdr.len > XENSTORE_PAYLOAD_MAX)
            return break_connection("message too long");
        if (got == sizeof(in.hdr) + in.hdr.len) {
            message_in();
            got = 0;
            messages++;
        } else if (!n) {
            return 0;
        }
    }
    return broken ? -EIO : 0;
}

static void on_event(uint32_t port, void *arg)
{
    (void)port, (void)arg;
    if (!broken)
        drain();
}

static bool messages_left(void)
{
    return ring && !broken && connected() && READ_ONCE(ring->rsp_prod) != ring->rsp_cons;
}

static int error_number(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(xsd_errors); i++)
        if (!strcmp(name, xsd_errors[i].errstring))
            return -xsd_errors[i].errnum;
    return -EINVAL;
}

/* What the answer says. */
static int verdict(const struct call *c, uint32_t type)
{
    if (!c->body)
        return -ENOMEM;
    if (c->type == XS_ERROR)
        return error_number(c->body);
    return c->type == type ? 0 : break_connection("reply of another type");
}

static void forget_call(const struct call *c)
{
    struct call **at = &calls;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
}

/* The oldest one of xs_post that is over: there are few. */
static struct call *posted_over(void)
{
    struct call *found = NULL;

    for (struct call *c = calls; c; c = c->next)
        if (c->done && (c->over || broken || c->connection != connection))
            found = c;
    return found;
}

static bool finish_posted(void)
{
    struct call *c;
    bool any = false;

    while ((c = posted_over()) != NULL) {
        forget_call(c);
        c->done(c->over ? verdict(c, c->posted_type) : -EIO, c->arg);
        free(c->body);
        free(c);
        any = true;
    }
    return any;
}

/* The watch with the largest number below `id` that is to be called again: handlers may add and drop watches. */
static struct watch *called_again(uint32_t id)
{
    struct watch *found = NULL;

    for (struct watch *w = watches; w; w = w->next)
        if (w->again && w->id < id && (!found || w->id > found->id))
            found = w;
    return found;
}

bool xs_run_watches(void)
{
    if (messages_left() && !busy)
        drain();
    bool any = finish_posted();
    /* Those that come in meanwhile are the next turn's. */
    for (unsigned n = nr_queued; n && queue; n--) {
        struct queued *q = queue;

        queue = q->next;
        if (!queue)
            queue_tail = &queue;
        nr_queued--;
        q->w->nr_queued--;
        q->w->fn(q->path, q->w->arg);
        free(q);
        any = true;
    }
    uint32_t id = UINT32_MAX;
    for (struct watch *w = called_again(id); w; w = called_again(id)) {
        id = w->id;
        w->again = false;
        w->fn(w->path, w->arg);
        any = true;
    }
    return any;
}

/* --- outgoing --- */

static bool idle_takes_events, idle_again; /* of the present turn of xs_idle */

static void pause_for_store(uint64_t until)
{
    if (xs_pause) {
        xs_pause(until);
        return;
    }
    idle_takes_events = idle_again = false;
    if (xs_idle) {
        xs_idle();
        uint64_t turn_end = idle_again ? TIME_PAST : now_ns() + IDLE_TURN;
        if (turn_end < until)
            until = turn_end;
    }
    event_wait_port(ring_port, until, idle_takes_events);
}

unsigned xs_idle_events(void)
{
    idle_takes_events = true;
    return event_poll_but(ring_port);
}

void xs_idle_soon(void) { idle_again = true; }

/* Until so many bytes have room, or the ring is empty where it holds no more. */
static int wait_room(size_t len, uint64_t until)
{
    uint32_t want = len < XENSTORE_RING_SIZE ? (uint32_t)len : XENSTORE_RING_SIZE, used;

    while ((used = ring->req_prod - READ_ONCE(ring->req_cons)) > XENSTORE_RING_SIZE - want) {
        if (used > XENSTORE_RING_SIZE)
            return break_connection("request index out of range");
        event_send(ring_port);
        drain(); /* it may be waiting for us to read */
        if (broken)
            return -EIO;
        if (now_ns() >= until)
            return -ETIME;
        pause_for_store(until);
    }
    return 0;
}

static int ring_put(const void *data, size_t len, uint64_t until)
{
    const char *from = data;

    while (len) {
        int rc = wait_room(1, until);

        if (rc)
            return rc;
        uint32_t prod = ring->req_prod, used = prod - READ_ONCE(ring->req_cons);
        if (used > XENSTORE_RING_SIZE)
            return break_connection("request index out of range");
        size_t n = XENSTORE_RING_SIZE - used;
        if (n > len)
            n = len;
        half_sent = true;
        mb();
        for (size_t i = 0; i < n; i++)
            ring->req[MASK_XENSTORE_IDX(prod + i)] = from[i];
        wmb();
        WRITE_ONCE(ring->req_prod, prod + (uint32_t)n);
        from += n;
        len -= n;
    }
    return 0;
}

static int send_message(const struct xsd_sockmsg *hdr, const struct part *parts, unsigned n,
                        uint64_t until)
{
    int rc = wait_room(sizeof(*hdr) + hdr->len,
                       until); /* who gives up here has left nothing of it in the ring */

    if (rc)
        return rc;
    rc = ring_put(hdr, sizeof(*hdr), until);
    for (unsigned i = 0; !rc && i < n; i++)
        rc = ring_put(parts[i].data, parts[i].len, until);
    /* Half a message in the stream: what follows would be read as its rest. */
    if (rc == -ETIME && half_sent)
        break_connection("the store takes no request");
    half_sent = false;
    if (!rc)
        event_send(ring_port);
    return rc;
}

static int wait_reply(const struct call *c, uint32_t type, uint64_t until)
{
    while (!c->over) {
        if (drain())
            return -EIO;
        if (c->over)
            break;
        if (now_ns() >= until)
            return -ETIME;
        if (!messages_left())
            pause_for_store(until);
    }
    return verdict(c, type);
}

static bool store_has_reset(void)
{
    return !READ_ONCE(ring->req_cons) && !READ_ONCE(ring->req_prod) && !READ_ONCE(ring->rsp_cons) &&
           !READ_ONCE(ring->rsp_prod);
}

static int rpc(uint32_t type, uint32_t tx, const struct part *parts, unsigned n, char **out,
               uint32_t *out_len);

static uint32_t begin_call(struct call *c)
{
    c->req_id = ++next_req;
    c->connection = connection;
    c->next = calls;
    calls = c;
    return c->req_id;
}

static int rewatch(void)
{
    int rc = 0;

    for (struct watch *w = watches; w && !rc; w = w->next) {
        char token[12];
        snprintf(token, sizeof(token), "%x", w->id);
        rc = rpc(XS_WATCH, 0,
                 (struct part[]){ { w->path, strlen(w->path) + 1 }, { token, strlen(token) + 1 } },
                 2, NULL, NULL);
    }
    return rc;
}

static int await_reset(void)
{
    uint64_t until = now_ns() + REPLY_TIMEOUT;

    busy = true;
    while (!connected() && now_ns() < until)
        pause_for_store(until);
    busy = false;
    return connected() ? 0 : -ETIME;
}

static int usable(void)
{
    if (!ring)
        return -ENOTCONN;
    if (busy)
        return -EBUSY; /* from xs_idle, or while another waits in xs_pause */
    if (broken && self.domid == BH_DOMID_CONTROL) /* nobody else would have its ring begun anew */
        xs_reconnect();
    int rc = await_reset();
    if (rc)
        return rc;
    if (broken) {
        if (!store_has_reset())
            return -EIO;
        broken = false;
        got = 0;
        connection++;
        return rewatch();
    }
    return 0;
}

static int rpc(uint32_t type, uint32_t tx, const struct part *parts, unsigned n, char **out,
               uint32_t *out_len)
{
    struct xsd_sockmsg hdr = { .type = type, .tx_id = tx };
    struct call call = { 0 };
    int rc = usable();

    if (rc)
        return set_error(rc);
    for (unsigned i = 0; i < n; i++) {
        if (parts[i].len > XENSTORE_PAYLOAD_MAX - hdr.len)
            return set_error(-E2BIG);
        hdr.len += (uint32_t)parts[i].len;
    }
    hdr.req_id = begin_call(&call);
    busy = true;
    uint64_t until = now_ns() + REPLY_TIMEOUT;
    rc = send_message(&hdr, parts, n, until);
    if (!rc)
        rc = wait_reply(&call, type, until);
    busy = false;
    forget_call(&call);
    if (rc || !out) {
        free(call.body);
    } else {
        *out = call.body;
        if (out_len)
            *out_len = call.len;
    }
    return rc ? set_error(rc) : 0;
}

int xs_post(uint32_t type, const void *payload, uint32_t len, xs_done done, void *arg)
{
    struct xsd_sockmsg hdr = { .type = type, .len = len };
    struct call *c;

    if (!ring || broken)
        return -EIO;
    if (len > XENSTORE_PAYLOAD_MAX)
        return -E2BIG;
    if (half_sent || !connected() ||
        XENSTORE_RING_SIZE - (ring->req_prod - READ_ONCE(ring->req_cons)) < sizeof(hdr) + len)
        return -EAGAIN;
    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->done = done;
    c->arg = arg;
    c->posted_type = type;
    hdr.req_id = begin_call(c);
    (void)send_message(&hdr, &(struct part){ payload, len }, 1,
                       TIME_PAST); /* there is room; or the connection breaks, and done is told */
    return 0;
}

/* --- the connection --- */

int xs_attach(void *page, uint32_t port)
{
    int rc = event_adopt(port, on_event, NULL);

    if (rc)
        return set_error(rc);
    ring = page;
    ring_port = port;
    broken = false;
    got = 0;
    return 0;
}

unsigned xs_breaks(void) { return breaks; }

int xs_slot_port(void)
{
    uint64_t port;

    return get_param(HVM_PARAM_STORE_EVTCHN, &port) || !port ? -ENOTCONN : (int)port;
}

void xs_reconnect(void)
{
    WRITE_ONCE(ring->connection, XENSTORE_RECONNECT);
    wmb();
    event_send(ring_port);
}

int xs_init(void)
{
    uint64_t pfn, port;

    if (get_param(HVM_PARAM_STORE_PFN, &pfn) || !pfn || !~pfn ||
        get_param(HVM_PARAM_STORE_EVTCHN, &port) || !port)
        return set_error(-ENOTCONN);
    return xs_attach((void *)(pfn << PAGE_SHIFT), (uint32_t)port);
}

/* --- operations --- */

static struct part text(const char *s) { return (struct part){ s, strlen(s) + 1 }; }

int xs_raw(uint32_t type, uint32_t tx, const void *payload, uint32_t len, char **out,
           uint32_t *out_len)
{
    return rpc(type, tx, &(struct part){ payload, len }, 1, out, out_len);
}

static int simple(uint32_t type, uint32_t tx, const char *path)
{
    return rpc(type, tx, (struct part[]){ text(path) }, 1, NULL, NULL);
}

char *xs_read(uint32_t tx, const char *path)
{
    char *val;

    return rpc(XS_READ, tx, (struct part[]){ text(path) }, 1, &val, NULL) ? NULL : val;
}

int xs_read_uint(uint32_t tx, const char *path, uint64_t *v)
{
    char *s = xs_read(tx, path), *end;

    if (!s)
        return -xs_error;
    *v = strtoull(s, &end, 0);
    int rc = end == s || *end ? set_error(-EINVAL) : 0;
    free(s);
    return rc;
}

int xs_write(uint32_t tx, const char *path, const char *val)
{
    return rpc(XS_WRITE, tx, (struct part[]){ text(path), { val, strlen(val) } }, 2, NULL, NULL);
}

int xs_printf(uint32_t tx, const char *path, const char *fmt, ...)
{
    char val[512];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(val, sizeof(val), fmt, ap);
    va_end(ap);
    return n < 0 || n >= (int)sizeof(val) ? set_error(-E2BIG) : xs_write(tx, path, val);
}

int xs_mkdir(uint32_t tx, const char *path) { return simple(XS_MKDIR, tx, path); }
int xs_rm(uint32_t tx, const char *path) { return simple(XS_RM, tx, path); }

/* A directory that does not fit one message comes in parts: "generation\0" and names from an offset; the end is an empty
 * part. A generation that changes means that the directory did: from the start. */
static int directory_parts(uint32_t tx, const char *path, char **all, uint32_t *len)
{
    char gen[24] = "", *part;
    uint32_t part_len;

    *all = NULL;
    *len = 0;
    for (unsigned tries = 0; tries < 1024; tries++) {
        char off[12];
        snprintf(off, sizeof(off), "%u", *len);
        int rc = rpc(XS_DIRECTORY_PART, tx, (struct part[]){ text(path), text(off) }, 2, &part,
                     &part_len);
        if (rc)
            return rc;
        uint32_t head = (uint32_t)strlen(part) + 1;
        if (head > part_len || (*len && strcmp(gen, part))) {
            *len = 0;
            free(part);
            continue;
        }
        strlcpy(gen, part, sizeof(gen));
        uint32_t n = part_len - head;
        bool last = n == 0 || (n == 1 && !part[head]) ||
                    (n >= 2 && !part[part_len - 1] && !part[part_len - 2]);
        char *grown = realloc(*all, *len + n + 1);
        if (!grown) {
            free(part);
            return -ENOMEM;
        }
        memcpy(grown + *len, part + head, n);
        *all = grown;
        *len += n;
        free(part);
        if (last)
            return 0;
    }
    return -EIO;
}

/* Names follow the pointers in the same block. */
static char **split_names(const char *all, uint32_t len, unsigned *n)
{
    unsigned count = 0, i = 0;

    for (uint32_t at = 0; at < len; at += (uint32_t)strnlen(all + at, len - at) + 1)
        count += all[at] != '\0';
    char **v = malloc((count + 1) * sizeof(*v) + len + 1);
    if (!v)
        return NULL;
    char *names = (char *)(v + count + 1);
    memcpy(names, all, len);
    names[len] = '\0';
    for (uint32_t at = 0; at < len; at += (uint32_t)strlen(names + at) + 1)
        if (names[at])
            v[i++] = names + at;
    v[i] = NULL;
    *n = i;
    return v;
}

char **xs_ls(uint32_t tx, const char *path, unsigned *n)
{
    char *all = NULL;
    uint32_t len = 0;
    int rc = rpc(XS_DIRECTORY, tx, (struct part[]){ text(path) }, 1, &all, &len);

    *n = 0;
    if (rc == -E2BIG)
        rc = directory_parts(tx, path, &all, &len);
    char **v = NULL;
    if (!rc) {
        v = split_names(all, len, n);
        if (!v)
            rc = -ENOMEM;
    }
    free(all);
    if (rc)
        set_error(rc);
    return v;
}

int xs_set_perms(uint32_t tx, const char *path, const char *perms)
{
    char words[256];
    size_t len = strlcpy(words, perms, sizeof(words));

    if (len >= sizeof(words))
        return set_error(-E2BIG);
    for (size_t i = 0; i < len; i++)
        if (words[i] == ' ')
            words[i] = '\0';
    return rpc(XS_SET_PERMS, tx, (struct part[]){ text(path), { words, len + 1 } }, 2, NULL, NULL);
}

int xs_tx_start(uint32_t *tx)
{
    char *id;
    int rc = rpc(XS_TRANSACTION_START, 0, (struct part[]){ text("") }, 1, &id, NULL);

    if (rc)
        return rc;
    *tx = (uint32_t)strtoul(id, NULL, 10);
    free(id);
    return *tx ? 0 : set_error(-EPROTO);
}

int xs_tx_end(uint32_t tx, bool commit)
{
    return rpc(XS_TRANSACTION_END, tx, (struct part[]){ text(commit ? "T" : "F") }, 1, NULL, NULL);
}

static struct watch **find_watch(const char *path, watch_fn fn, void *arg)
{
    for (struct watch **at = &watches; *at; at = &(*at)->next)
        if ((*at)->fn == fn && (*at)->arg == arg && !strcmp((*at)->path, path))
            return at;
    return NULL;
}

static void forget_watch(struct watch **at)
{
    struct watch *w = *at;

    *at = w->next;
    for (struct queued **q = &queue; *q;) {
        struct queued *gone = *q;
        if (gone->w != w) {
            q = &gone->next;
            continue;
        }
        *q = gone->next;
        free(gone);
        nr_queued--;
    }
    queue_tail = &queue;
    while (*queue_tail)
        queue_tail = &(*queue_tail)->next;
    free(w);
}

int xs_watch(const char *path, watch_fn fn, void *arg)
{
    size_t len = strlen(path) + 1;
    char token[12];

    if (find_watch(path, fn, arg))
        return set_error(-EEXIST);
    struct watch *w = malloc(sizeof(*w) + len);
    if (!w)
        return set_error(-ENOMEM);
    *w = (struct watch){ .next = watches, .fn = fn, .arg = arg, .id = ++next_watch };
    memcpy(w->path, path, len);
    watches = w; /* before the request: the first event may come before the reply */
    snprintf(token, sizeof(token), "%x", w->id);
    int rc = rpc(XS_WATCH, 0, (struct part[]){ text(path), text(token) }, 2, NULL, NULL);
    if (rc)
        forget_watch(find_watch(path, fn, arg));
    return rc;
}

bool xs_watch_waits(const char *path, watch_fn fn, void *arg)
{
    struct watch **at = find_watch(path, fn, arg);

    return at && ((*at)->again || (*at)->nr_queued);
}

int xs_unwatch(const char *path, watch_fn fn, void *arg)
{
    struct watch **at = find_watch(path, fn, arg);
    char token[12];

    if (!at)
        return set_error(-ENOENT);
    snprintf(token, sizeof(token), "%x", (*at)->id);
    int rc = rpc(XS_UNWATCH, 0, (struct part[]){ text(path), text(token) }, 2, NULL, NULL);
    at = find_watch(path, fn, arg);
    if (at)
        forget_watch(at);
    return rc;
}
