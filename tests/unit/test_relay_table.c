/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/blk/vbd_front.c drivers-dom/blk/gpt.c drivers-dom/blk/volume.c drivers-dom/blk/volume_problem.c domains/devname.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/blk -lz
/* A relay's disk whose table has to be read again, because a guest had all of it, and whose back-end does not answer then: late answers reach no
 * page that was given back, and the disk comes back with its next connection. */
#include <stdlib.h>
#include "unit.h"

static int quiet(const char *fmt, ...) { return 0; }
#define printf(...) quiet(__VA_ARGS__)
#include "../../drivers-dom/blk/relay.c"
#undef printf

enum { REFS = 300, SECTORS = 4096 };
struct bh_self self = { .name = "relay", .domid = 4 };
struct blk blk;
int xs_error;
void (*xs_idle)(void);
static uint64_t now, back_state, size;
static const void *granted[REFS];
static uint32_t seen, rsp, reads;
static bool answers, lies, mapped;
static uint64_t takes, asked_at; /* how long each answer does, and since when one is to come */
static unsigned holds;           /* so often it has pages of ours when we want them back */

/* --- what it stands on ------------------------------------------------------------------------------------ */

/* Given back is given back: the sanitizer sees who uses it then. */
void *page_alloc(unsigned n)
{
    void *p = aligned_alloc(PAGE_SIZE, n * PAGE_SIZE);
    return memset(p, 0, n * PAGE_SIZE);
}
void page_free(void *p, unsigned n) { free(p); }
uint64_t now_ns(void) { return now += 1000; }
void bh_panic(const char *fmt, ...)
{
    fail_msg("%s", fmt);
    abort();
}
int grant_give(domid_t to, const void *page, unsigned flags)
{
    for (unsigned ref = 8; ref < REFS; ref++)
        if (!granted[ref])
            return granted[ref] = page, (int)ref;
    return -ENOSPC;
}
int grant_end(uint32_t ref)
{
    if (holds)
        return -EBUSY;
    granted[ref] = NULL;
    return 0;
}
int event_alloc_unbound(domid_t remote, event_fn fn, void *arg) { return 5; }
void event_close(uint32_t port) {}
void batch_send(struct batch *b, uint32_t port) {}
void dtimer_set(struct dtimer *t, uint64_t when) {}
void dtimer_cancel(struct dtimer *t) {}

/* --- the store -------------------------------------------------------------------------------------------- */

static int our_state;
int xs_watch(const char *path, watch_fn fn, void *arg) { return 0; }
int xs_unwatch(const char *path, watch_fn fn, void *arg) { return 0; }
char *xs_read(uint32_t tx, const char *path) { return strdup("/be"); }
char **xs_ls(uint32_t tx, const char *path, unsigned *n)
{
    char **list = malloc(sizeof(char *) + 8);

    *n = 0;
    if (!strcmp(path, "device/vbd"))
        list[(*n)++] = strcpy((char *)(list + 1), "51712");
    return list;
}
int xs_write(uint32_t tx, const char *path, const char *value) { return 0; }
int xs_rm(uint32_t tx, const char *path) { return 0; }
int xs_printf(uint32_t tx, const char *path, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (strstr(path, "/state"))
        our_state = va_arg(ap, int);
    va_end(ap);
    return 0;
}
int xs_tx_start(uint32_t *tx) { return *tx = 1, 0; }
int xs_tx_end(uint32_t tx, bool commit) { return 0; }
bool be_nothing_there(int error) { return true; }
bool be_number(const char *dir, const char *key, uint64_t absent, uint64_t *v)
{
    bool be = !strcmp(dir, "/be");

    *v = absent;
    if (!strcmp(key, "state"))
        *v = be ? back_state : (uint64_t)our_state;
    else if (!strcmp(key, "backend-id"))
        *v = 20;
    else if (!strcmp(key, "sectors"))
        *v = size;
    else if (!strcmp(key, "sector-size"))
        *v = 512;
    return true;
}

/* --- the back-end: a disk of zeroes ----------------------------------------------------------------------- */

static struct rdisk *r0(void) { return disks[0]; }

static void back_end(void)
{
    struct blkif_sring *r = r0() ? r0()->f.ring : NULL;
    struct blkif_request q;

    if (!r || !mapped || !answers)
        return;
    if (seen == r->req_prod)
        return;
    asked_at = asked_at ? asked_at : now;
    if (now < asked_at + takes)
        return;
    asked_at = 0;
    for (; seen != r->req_prod; seen++, reads++) {
        memcpy(&q, &r->ring[seen % VF_SLOTS].req, sizeof(q));
        struct blkif_response a = { .id = q.id, .operation = q.operation };
        for (unsigned i = 0; i < q.nr_segments; i++)
            memset((void *)(uintptr_t)granted[q.seg[i].gref], 0, PAGE_SIZE);
        memcpy(&r->ring[rsp % VF_SLOTS].rsp, &a, sizeof(a));
        r->rsp_prod = ++rsp;
    }
}
unsigned event_wait(uint64_t until)
{
    if (lies)
        r0()->f.ring->rsp_prod += 7;
    else
        back_end();
    if (asked_at && asked_at + takes < until)
        until = asked_at + takes;
    now = until > now ? until : now;
    return 0;
}

static void turn(void)
{
    relay_work();
    for (unsigned i = 0; i < blk.nr_devs; i++)
        blk.dev[i]->ops->poll(blk.dev[i]);
    back_end();
}
/* As xenbus has it: InitWait, then Connected; after a Closed of ours, from the beginning. */
static void follow_us(void)
{
    if (our_state == XenbusStateInitialised && !mapped) {
        back_state = XenbusStateConnected;
        mapped = true;
        seen = rsp = 0;
        asked_at = 0;
    } else if (our_state == XenbusStateClosed) {
        back_state = XenbusStateClosed;
        holds = mapped ? 3 : holds - !!holds;
        mapped = false;
    } else if (our_state == XenbusStateInitialising) {
        holds -= !!holds;
        back_state = XenbusStateInitWait;
    }
    if (r0())
        r0()->dirty = true;
}
static bool serving(void) { return r0() && r0()->step == SERVING && r0()->f.up; }
static bool serves_within(uint64_t ns)
{
    for (uint64_t end = now + ns; now < end && !serving(); now += 10 * NS_PER_MS) {
        turn();
        follow_us();
    }
    return serving();
}

static uint64_t first, nr;
/* A guest had all of the disk, so that its table has to be read again. */
static void had_by_a_guest(void)
{
    struct volume_claim c = { .domid = 30, .mode = VOLUME_WRITE };

    assert_null(volume_find("xvda", &c.first, &c.nr));
    assert_null(volume_claim(&c));
    volume_release(&c);
}

int setup(void **state)
{
    for (unsigned i = 0; i < BLK_MAX_DEVS; i++) {
        if (!disks[i])
            continue;
        dev_remove(disks[i]);
        free(disks[i]->f.ring);
        free(disks[i]->f.data);
        free(disks[i]);
        disks[i] = NULL;
    }
    memset(&blk, 0, sizeof(blk));
    memset(granted, 0, sizeof(granted));
    seen = rsp = reads = 0;
    our_state = XenbusStateInitialising;
    back_state = XenbusStateInitWait;
    size = SECTORS;
    answers = true;
    lies = mapped = false;
    takes = asked_at = 0;
    holds = 0;
    relay_begin();
    assert_true(serves_within(NS_PER_S));
    assert_null(volume_find("xvda", &first, &nr));
    assert_int_equal(nr, SECTORS);
    return 0;
}

/* --- the tests -------------------------------------------------------------------------------------------- */

/* It is lost: nothing of it is offered, who wants it waits, and it is looked at again without an event. */
static void is_lost(const char *why)
{
    assert_non_null(volume_find("xvda", &first, &nr));
    assert_int_equal(blk.nr_devs, 0);
    assert_true(blk.devs_to_come);
    assert_int_equal(r0()->f.nr_ios, 0);
    assert_non_null(relay_problem());
    assert_non_null(strstr(relay_problem(), why));
}
static void comes_back(void)
{
    assert_true(serves_within(600 * NS_PER_S));
    for (unsigned i = 0; i < 10; i++)
        turn();
    assert_null(volume_find("xvda", &first, &nr));
    assert_int_equal(nr, SECTORS);
    assert_int_equal(blk.nr_devs, 1);
}

TEST(silent_then_late)
{
    had_by_a_guest();
    answers = false;
    assert_non_null(volume_find("xvda", &first, &nr));
    assert_true(relay_next() > now);
    answers = true;
    back_end(); /* the answer to the read whose page is gone */
    for (unsigned i = 0; i < 10; i++)
        turn();
    is_lost("does not answer");
    comes_back();
}
TEST(silent_then_another)
{
    had_by_a_guest();
    answers = false;
    assert_int_equal(volumes_tell(), 0);
    is_lost("does not answer");
    answers = true;
    comes_back();
}
/* Each such read stops the store work of all disks: the next one is a long time off, and a short one, whatever the back-end does. */
TEST(silent_for_good)
{
    had_by_a_guest();
    answers = false;
    assert_non_null(volume_find("xvda", &first, &nr));
    uint64_t asked = r0()->f.born, start = now, closes = now, stood = 0;
    while (now < start + 4096 * NS_PER_S) {
        uint64_t before = now;
        turn();
        stood += now - before;
        follow_us();
        if (now > closes + 5 * NS_PER_S) { /* it begins anew */
            closes = now;
            back_state = XenbusStateClosed;
            mapped = false;
        }
        now += 50 * NS_PER_MS;
    }
    assert_in_range(r0()->f.born - asked, 20, 4096 / (8 * BLK_MAX_DEVS));
    assert_true(stood * BLK_MAX_DEVS < (now - start) * 2 / 5); /* if all were so */
    answers = true;
    comes_back();
}
/* Once it did not answer in eight seconds, then in six for its four reads each time: it comes by itself. */
TEST(slow_for_a_while)
{
    had_by_a_guest();
    takes = 20 * NS_PER_S;
    assert_non_null(volume_find("xvda", &first, &nr));
    is_lost("does not answer");
    takes = 3 * NS_PER_S / 2;
    assert_true(serves_within(9ull * 8 * BLK_MAX_DEVS * NS_PER_S));
}
/* Its back-end begins anew at the same place, and takes six seconds, too. */
TEST(anew_in_place)
{
    had_by_a_guest();
    takes = 20 * NS_PER_S;
    assert_non_null(volume_find("xvda", &first, &nr));
    assert_false(serves_within(300 * NS_PER_S));
    takes = 3 * NS_PER_S / 2;
    back_state = XenbusStateClosed;
    mapped = false;
    r0()->dirty = true;
    assert_true(serves_within(9ull * BLK_MAX_DEVS * NS_PER_S));
}
TEST(liar)
{
    had_by_a_guest();
    lies = true;
    uint64_t start = now;
    assert_non_null(volume_find("xvda", &first, &nr));
    assert_true(now - start < NS_PER_S); /* it is left when it is seen */
    lies = false;
    is_lost("answers more than it was asked");
    comes_back();
}
/* Nobody is there: it is not waited for, and what the table was is believed no more. */
TEST(away)
{
    had_by_a_guest();
    back_state = XenbusStateClosed;
    mapped = false;
    r0()->dirty = true;
    turn();
    assert_false(r0()->f.up);
    uint64_t start = now;
    assert_non_null(volume_find("xvda", &first, &nr));
    assert_true(now - start < NS_PER_S);
    is_lost("its back-end is gone");
    comes_back();
}
