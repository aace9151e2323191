/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/blk_driver.c drivers-dom/blk/vbd_front.c domains/devname.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/blk
/*
 * A relay's disk over a small store, with a back-end that behaves as Linux's and keeps what was written in its own memory: the back-end's domain
 * dies and comes back under another number, closes, is slow to let go; the relay dies between any two of its store calls and begins anew with
 * what it owes; both at once. In the end everything was done, and nothing else.
 */
#include "unit.h"

static int quiet(const char *fmt, ...) { return 0; }
#define printf(...) quiet(__VA_ARGS__)
#include "../../drivers-dom/blk/relay.c"
#undef printf
#include "blk_driver.h"
#include <sanitizer/lsan_interface.h>

enum { SECTORS = 4096, BYTES = SECTORS * 512, REFS = 400 };
#define FE "device/vbd/51712"

struct blk blk;
static uint8_t stable[BYTES], cached[BYTES];

/* --- the store -------------------------------------------------------------------------------------------- */

static struct node {
    char path[80], value[64];
} nodes[40];
static struct seen {
    char path[80];
    watch_fn fn;
    void *arg;
    bool due;
} watches[8];
int xs_error;
static unsigned calls, dies_at;
static jmp_buf relay_dies;
static bool in_relay, store_away;

static struct node *node(const char *path)
{
    for (struct node *n = nodes; n < nodes + 40; n++)
        if (!strcmp(n->path, path))
            return n;
    return NULL;
}
static void changed(const char *path)
{
    for (struct seen *w = watches; w < watches + 8; w++)
        w->due |= w->fn && !strncmp(path, w->path, strlen(w->path));
}
static void put(const char *path, const char *value)
{
    struct node *n = node(path);

    if (!n)
        assert_non_null(n = node(""));
    snprintf(n->path, sizeof(n->path), "%s", path);
    snprintf(n->value, sizeof(n->value), "%s", value);
    changed(path);
}
static void put_number(const char *dir, const char *key, uint64_t v)
{
    char path[80], text[24];

    snprintf(path, sizeof(path), "%s/%s", dir, key);
    snprintf(text, sizeof(text), "%lu", v);
    put(path, text);
}
static uint64_t get(const char *dir, const char *key)
{
    char path[80];

    snprintf(path, sizeof(path), "%s/%s", dir, key);
    struct node *n = node(path);
    return n ? strtoul(n->value, NULL, 10) : 0;
}
static void take_away(const char *dir)
{
    for (struct node *n = nodes; n < nodes + 40; n++)
        if (n->path[0] && !strncmp(n->path, dir, strlen(dir)))
            n->path[0] = '\0';
    changed(dir);
}

static void others(void);
/* A call of the relay's: others have their turn, and it may be its last. false: the store does not answer. */
static bool call(void)
{
    assert_true(in_relay);
    others();
    if (dies_at && !--dies_at)
        longjmp(relay_dies, 1);
    calls++;
    return !store_away;
}

int xs_watch(const char *path, watch_fn fn, void *arg)
{
    if (!call())
        return -EIO;
    for (struct seen *w = watches; w < watches + 8; w++) {
        if (w->fn)
            continue;
        *w = (struct seen){ .fn = fn, .arg = arg, .due = true };
        snprintf(w->path, sizeof(w->path), "%s", path);
        return 0;
    }
    fail_msg("too many watches");
    return -ENOMEM;
}
int xs_unwatch(const char *path, watch_fn fn, void *arg)
{
    for (struct seen *w = watches; w < watches + 8; w++)
        if (w->fn == fn && w->arg == arg && !strcmp(w->path, path))
            w->fn = NULL;
    return call() ? 0 : -EIO;
}
/* Who dies frees nothing. */
static void *of_the_store(void *p)
{
    __lsan_ignore_object(p);
    return p;
}
char *xs_read(uint32_t tx, const char *path)
{
    struct node *n = call() ? node(path) : NULL;

    xs_error = store_away ? EIO : n ? 0 : ENOENT;
    return n ? of_the_store(strdup(n->value)) : NULL;
}
char **xs_ls(uint32_t tx, const char *path, unsigned *n)
{
    bool there = call() && node(FE "/backend");
    char **list = there ? of_the_store(calloc(1, sizeof(*list) + 8)) : NULL;

    xs_error = store_away ? EIO : ENOENT;
    if (there)
        list[0] = strcpy((char *)(list + 1), "51712");
    *n = there;
    return list;
}
static bool in_tx;
static struct node tx_of[8];
static unsigned nr_tx;
int xs_write(uint32_t tx, const char *path, const char *v)
{
    if (!call())
        return -EIO;
    if (!tx) {
        put(path, v);
        return 0;
    }
    snprintf(tx_of[nr_tx].path, sizeof(tx_of[0].path), "%s", path);
    snprintf(tx_of[nr_tx++].value, sizeof(tx_of[0].value), "%s", v);
    return 0;
}
int xs_printf(uint32_t tx, const char *path, const char *fmt, ...)
{
    char text[64];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return xs_write(tx, path, text);
}
int xs_tx_start(uint32_t *tx)
{
    nr_tx = 0;
    in_tx = true;
    *tx = 1;
    return call() ? 0 : -EIO;
}
int xs_tx_end(uint32_t tx, bool commit)
{
    assert_true(in_tx);
    in_tx = false;
    if (!call())
        return -EIO;
    if (commit && !(rand() % 8))
        return -EAGAIN;
    for (unsigned i = 0; commit && i < nr_tx; i++)
        put(tx_of[i].path, tx_of[i].value);
    return 0;
}
bool be_nothing_there(int error) { return error == ENOENT; }
bool be_number(const char *dir, const char *key, uint64_t absent, uint64_t *v)
{
    char path[80];

    snprintf(path, sizeof(path), "%s/%s", dir, key);
    if (!call())
        return false;
    struct node *n = node(path);
    *v = n ? strtoul(n->value, NULL, 10) : absent;
    return true;
}

/* --- what else it stands on ------------------------------------------------------------------------------- */

static struct {
    void *page;
    domid_t to;
    unsigned used; /* mapped by this many */
} grants[REFS];
static bool port_open;
static domid_t port_to;

uint64_t now_ns(void) { return now += 1000; }
void dtimer_set(struct dtimer *t, uint64_t when) { t->armed = true; }
int grant_give(domid_t to, const void *page, unsigned flags)
{
    unsigned ref = 8;

    for (unsigned i = 0; i < REFS; i++)
        assert_true(grants[i].page != page); /* somebody else has it still */
    while (grants[ref].page)
        ref++;
    grants[ref].page = (void *)(uintptr_t)page;
    grants[ref].to = to;
    return (int)ref;
}
int grant_end(uint32_t ref)
{
    assert_non_null(grants[ref].page);
    if (grants[ref].used)
        return -EBUSY;
    grants[ref].page = NULL;
    return 0;
}
int event_alloc_unbound(domid_t remote, event_fn fn, void *arg)
{
    assert_false(port_open);
    port_open = true;
    port_to = remote;
    return 5;
}
void event_close(uint32_t port) { port_open = false; }
void batch_send(struct batch *b, uint32_t port) {}

static unsigned scans, users;
static bool scanned;
const char *volumes_scan(struct blkdev *dev)
{
    assert_int_equal(users, 0);
    scans++;
    scanned = true;
    return NULL;
}
void volumes_forget(struct blkdev *dev) { scanned = false; }
bool volumes_used(const struct blkdev *dev) { return users; }

/* --- the back-end ----------------------------------------------------------------------------------------- */

static struct {
    bool alive, late; /* late: it lets go some time after it has closed */
    domid_t dom;
    char dir[64];
    int state;
    uint32_t ring_ref, seen, rsp;
    struct blkif_request held[32];
    unsigned nr;
    uint64_t size, info, kept;
    uint64_t fetched; /* requests */
} b;

static void says(int state)
{
    b.state = state;
    put_number(b.dir, "state", (uint64_t)state);
}
/* The toolstack has made both directories. */
static void be_born(void)
{
    domid_t dom = (domid_t)(b.dom + 1);
    uint64_t size = b.size, info = b.info, kept = b.kept;
    char path[64];

    take_away(b.dir[0] ? b.dir : "/none");
    take_away(FE "/");
    memset(&b, 0, sizeof(b));
    b.alive = true;
    b.dom = dom;
    b.size = size;
    b.info = info;
    b.kept = kept;
    snprintf(b.dir, sizeof(b.dir), "/local/domain/%u/backend/vbd/5/51712", dom);
    says(1);
    snprintf(path, sizeof(path), FE "/backend");
    put_number(FE, "state", 1);
    put_number(FE, "backend-id", dom);
    put(path, b.dir);
}
static domid_t zombie; /* it ended, and has not let go of everything yet */
static void release(domid_t dom)
{
    for (unsigned i = 0; i < REFS; i++)
        if (grants[i].to == dom)
            grants[i].used = 0;
    if (zombie == dom)
        zombie = 0;
}
static void be_release(void)
{
    release(b.dom);
    b.late = false;
}
static void be_unmap(void)
{
    b.ring_ref = b.nr = 0;
    if (rand() % 4)
        be_release();
    else
        b.late = true;
}
static void be_dies(void)
{
    for (unsigned s = 0; s < SECTORS; s++) { /* what was flushed is there, and some of the rest */
        if (rand() & 1)
            memcpy(cached + s * 512, stable + s * 512, 512);
        else
            memcpy(stable + s * 512, cached + s * 512, 512);
    }
    b.alive = b.late = false;
    b.nr = 0;
    release(zombie);
    zombie = b.dom;
    if (rand() & 1) {
        take_away(b.dir);
        if (rand() & 1)
            take_away(FE "/");
    }
}
static void be_connect(void)
{
    uint32_t ref = (uint32_t)get(FE, "ring-ref");

    if (!ref || ref >= REFS || !grants[ref].page || grants[ref].to != b.dom || !port_open ||
        port_to != b.dom) {
        says(5); /* xenbus_dev_fatal */
        return;
    }
    assert_false(b.late);
    put_number(b.dir, "sectors", b.size);
    put_number(b.dir, "sector-size", 512);
    put_number(b.dir, "info", b.info);
    put_number(b.dir, "feature-flush-cache", 1);
    put_number(b.dir, "feature-discard", 1);
    put_number(b.dir, "bh-kept", b.kept);
    for (unsigned i = 0; i < REFS; i++)
        grants[i].used += grants[i].page && grants[i].to == b.dom;
    b.ring_ref = ref;
    b.seen = b.rsp = ((struct blkif_sring *)grants[ref].page)->rsp_prod;
    says(4);
}
static void be_follow(void)
{
    uint64_t fe = get(FE, "state");

    if (b.late && rand() & 1)
        be_release();
    if (b.state == 1)
        says(2);
    else if (fe == 1 && b.state == 6 && !b.late)
        says(2);
    else if ((fe == 3 || fe == 4) && b.state == 2)
        be_connect();
    else if (fe == 5 && b.state != 5)
        says(5);
    else if (fe == 6 && b.state != 6) {
        be_unmap();
        says(6);
    }
}
static void be_answer(void)
{
    struct blkif_sring *r = grants[b.ring_ref].page;
    unsigned k = (unsigned)rand() % b.nr;
    struct blkif_request q = b.held[k];
    struct blkif_response a = { .id = q.id, .operation = q.operation };

    b.held[k] = b.held[--b.nr];
    if (q.operation == BLKIF_OP_FLUSH_DISKCACHE)
        memcpy(stable, cached, BYTES);
    for (unsigned i = 0, at = 0; q.operation <= BLKIF_OP_WRITE && i < q.nr_segments; i++) {
        size_t n = (q.seg[i].last_sect + 1u) * 512;
        uint8_t *page = grants[q.seg[i].gref].page, *disk = cached + q.sector_number * 512 + at;
        assert_true(page && grants[q.seg[i].gref].to == b.dom);
        memcpy(q.operation == BLKIF_OP_READ ? page : disk,
               q.operation == BLKIF_OP_READ ? disk : page, n);
        at += (unsigned)n;
    }
    memcpy(&r->ring[b.rsp % 32].rsp, &a, sizeof(a));
    r->rsp_prod = ++b.rsp;
}
static void be_serve(void)
{
    if (!b.ring_ref || !grants[b.ring_ref].page)
        return;
    const struct blkif_sring *r = grants[b.ring_ref].page;
    for (; b.seen != r->req_prod; b.seen++, b.fetched++) {
        assert_true(b.nr < 32);
        memcpy(&b.held[b.nr++], &r->ring[b.seen % 32].req, sizeof(b.held[0]));
    }
    for (unsigned n = (unsigned)rand() % 4; n && b.nr; n--)
        be_answer();
}
static void others(void)
{
    if (zombie && !(rand() % 10))
        release(zombie);
    if (b.alive && !(rand() % 3))
        be_follow();
    if (b.alive && rand() & 1)
        be_serve();
}

/* --- the relay -------------------------------------------------------------------------------------------- */

static void relay_starts(void)
{
    for (unsigned i = 0; i < BLK_MAX_DEVS; i++) {
        free(disks[i]);
        disks[i] = NULL;
    }
    memset(watches, 0, sizeof(watches));
    memset(&blk, 0, sizeof(blk));
    /* The core has taken back what it granted: who has it mapped sees a page of nobody's. */
    memset(grants, 0, sizeof(grants));
    b.ring_ref = b.nr = 0;
    pool_used = 64;
    watching = in_relay = in_tx = port_open = false;
    look_at = 0;
    relay_begin();
}
static bool relay_turn(void)
{
    if (setjmp(relay_dies)) {
        relay_starts();
        return false;
    }
    in_relay = true;
    for (struct seen *w = watches; w < watches + 8; w++)
        if (w->fn && w->due) {
            w->due = false;
            w->fn(w->path, w->arg);
        }
    relay_work();
    uint64_t next = relay_next();
    for (unsigned i = 0; i < blk.nr_devs; i++)
        blk.dev[i]->ops->poll(blk.dev[i]);
    in_relay = false;
    if (next > now && !(rand() % 4))
        now = next;
    return true;
}
void work(unsigned n) {}

int setup(void **state)
{
    const char *seed = getenv("SEED");

    srand(seed ? (unsigned)atoi(seed) : 1);
    driver_fresh();
    memset(nodes, 0, sizeof(nodes));
    memset(&b, 0, sizeof(b));
    memset(stable, 0, BYTES);
    memset(cached, 0, BYTES);
    buffers(4, 16);
    b.dom = 19;
    b.size = SECTORS;
    scans = users = dies_at = 0;
    store_away = false;
    relay_starts();
    be_born();
    return 0;
}
static bool serving(void) { return blk.nr_devs && disks[0]->step == SERVING && disks[0]->f.up; }
static void until_serving(void)
{
    for (unsigned i = 0; i < 3000 && !serving(); i++) {
        relay_turn();
        others();
    }
    assert_true(serving());
    d = blk.dev[0];
}

/* --- it connects, and connects again ---------------------------------------------------------------------- */

TEST(connects)
{
    until_serving();
    assert_int_equal(scans, 1);
    assert_int_equal(get(FE, "state"), 4);
    assert_string_equal(d->name, "xvda");
    assert_int_equal(d->nr_sectors, SECTORS);
    assert_true(disks[0]->f.through && !d->flush && d->discard && !d->read_only);
    assert_false(blk.devs_to_come);
    assert_true(blk.devs_new);
    assert_null(relay_problem());
}
TEST(kept)
{
    b.kept = 1;
    until_serving();
    assert_true(!disks[0]->f.through && d->flush);
}
TEST(waits)
{
    b.alive = false;
    take_away(b.dir);
    for (unsigned i = 0; i < 50; i++)
        relay_turn();
    assert_true(blk.devs_to_come);
    assert_string_equal(relay_problem(), "xvda: it waits for its back-end");
    assert_int_equal(get(FE, "state"), 1);
}
TEST(no_disks)
{
    take_away(FE);
    for (unsigned i = 0; i < 5; i++)
        relay_turn();
    assert_false(blk.devs_to_come);
    assert_null(relay_problem());
}

static void stays_idle(const char *why)
{
    for (unsigned i = 0; i < 400; i++) {
        relay_turn();
        others();
        assert_false(disks[0]->f.up);
    }
    assert_non_null(relay_problem());
    if (!strstr(relay_problem(), why))
        fail_msg("'%s' instead of '%s'", relay_problem(), why);
    assert_int_equal(b.fetched, 0);
}
static void comes_back(uint64_t size, uint64_t info)
{
    be_dies();
    b.size = size;
    b.info = info;
    be_born();
    for (unsigned i = 0; i < 50 && disks[0]->f.up; i++)
        relay_turn();
}
/* What guests know as it was is asked nothing until it is so again. */
TEST(another_size)
{
    until_serving();
    users = 1;
    comes_back(SECTORS + 8, 0);
    stays_idle("it came back with 4104 sectors and not 4096: nothing is asked of it");
    assert_int_equal(d->nr_sectors, SECTORS);
    comes_back(SECTORS - 8, 0);
    stays_idle("it came back with 4088 sectors");
    comes_back(SECTORS, 4);
    stays_idle("it came back read-only");
    comes_back(SECTORS, 0);
    until_serving();
    assert_int_equal(scans, 1);
}
TEST(another_size_of_nobodys)
{
    until_serving();
    comes_back(SECTORS + 8, 4);
    until_serving();
    assert_int_equal(d->nr_sectors, SECTORS + 8);
    assert_true(d->read_only);
    assert_int_equal(scans, 2);
    assert_int_equal(blk.nr_devs, 1);
}
TEST(nonsense)
{
    static const uint64_t sizes[] = { 0, 1ull << 48, ~0ull };
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        setup(NULL);
        b.size = sizes[i];
        stays_idle(sizes[i] ? "its size makes no sense" : "it is empty");
        assert_int_equal(blk.nr_devs, 0);
    }
}
TEST(a_liar_is_left)
{
    until_serving();
    users = 1;
    for (unsigned i = 0; i < 5; i++) {
        ((struct blkif_sring *)grants[b.ring_ref].page)->rsp_prod += 7;
        relay_turn();
        assert_false(disks[0]->f.up);
        relay_turn();
        assert_string_equal(disks[0]->why, "it answers more than it was asked");
        until_serving();
    }
}
TEST(silent)
{
    buffers(1, 1);
    until_serving();
    b.alive = false;
    assert_int_equal(submit(0, BLK_READ, 0, 8, 4096), 0);
    for (unsigned i = 0; i < 400 && !relay_problem(); i++)
        relay_turn();
    assert_string_equal(relay_problem(), "xvda: its back-end does not answer");
    b.alive = true;
    for (unsigned i = 0; i < 100; i++)
        relay_turn(), others();
    assert_null(relay_problem());
    assert_false(out[0]);
}

/* --- under load ------------------------------------------------------------------------------------------- */

static uint8_t model[BYTES];
static bool again[4]; /* the driver has to be given it */

static void ask_random(unsigned i)
{
    uint32_t part = SECTORS / 4, n = 1 + (unsigned)rand() % 128,
             at = i * part + (unsigned)rand() % (part - n + 1);
    bool write = rand() & 1;

    assert_int_equal(io[i].status, 0);
    if (io[i].op == BLK_READ && io[i].nr_segs)
        assert_memory_equal(data[i], model + io[i].sector * 512, io[i].nr_sectors * 512);
    for (unsigned k = 0; write && k < n * 512; k += 64)
        data[i][k] = (uint8_t)rand();
    if (write)
        memcpy(model + at * 512, data[i], n * 512);
    assert_int_equal(submit(i, write ? BLK_WRITE : BLK_READ, at, n, 4096), 0);
}
static void load(bool ask)
{
    for (unsigned i = 0; i < 4; i++) {
        if (!blk.nr_devs)
            return;
        d = blk.dev[0];
        if (again[i])
            again[i] = d->ops->submit(d, &io[i]);
        else if (!out[i] && ask && serving())
            ask_random(i);
    }
}
/* The journal of the dead instance had what is owed. */
static void relay_came_back(void) { memcpy(again, out, sizeof(again)); }

TEST(everything_dies)
{
    unsigned relay_deaths = 0, back_deaths = 0, served = 0, last = 0;

    memset(model, 0, BYTES);
    memset(again, 0, sizeof(again));
    for (unsigned i = 0; i < 40000; i++) {
        users = blk.nr_devs && scanned;
        if (!(rand() % 100) && b.alive) {
            be_dies();
            back_deaths++;
        } else if (!b.alive && !(rand() % 20)) {
            be_born();
        }
        if (!(rand() % 150) && !dies_at)
            dies_at = 1 + (unsigned)rand() % 60;
        if (!(rand() % 300))
            says(5); /* it closes for reasons of its own, as when it is detached and attached again */
        store_away = !(rand() % 200);
        if (!relay_turn()) {
            relay_came_back();
            relay_deaths++;
        }
        others();
        load(true);
        served += completed != last;
        last = completed;
    }
    dies_at = 0;
    store_away = false;
    users = blk.nr_devs && scanned;
    if (!b.alive)
        be_born();
    bool left = true;
    for (unsigned i = 0; i < 20000 && left; i++) {
        relay_turn();
        others();
        load(false);
        left = out[0] | out[1] | out[2] | out[3];
    }
    assert_false(left);
    assert_memory_equal(stable, model, BYTES);
    assert_true(relay_deaths > 50 && back_deaths > 100 && served > 1000);
}
