// SPDX-License-Identifier: MIT
// Attach and detach of a disk, with either side killed between any two of its steps.
// LINK: ctl-dom/shell/block.c ctl-dom/store/hotplug.c ctl-dom/store/linux.c ctl-dom/store/linux_life.c ctl-dom/domain/bridge.c ctl-dom/domain/slots.c ctl-dom/store/devices.c tests/unit/no_keyboard.c ctl-dom/config/config_disk.c ctl-dom/config/config_vif.c ctl-dom/config/config.c ctl-dom/config/config_bridge.c ctl-dom/config/config_vnet.c ctl-dom/config/config_cpus.c ctl-dom/config/config_cmdline.c ctl-dom/config/config_pci.c ctl-dom/config/findings.c ctl-dom/config/known.c ctl-dom/config/settings.c ctl-dom/config/settings_text.c ctl-dom/config/settings_value.c domains/devname.c
// LINK: drivers-dom/lib/counters.c drivers-dom/blk/vbd.c drivers-dom/blk/vbd_store.c drivers-dom/blk/adopt.c drivers-dom/blk/journal.c drivers-dom/blk/rings.c
// LINK: drivers-dom/blk/request.c drivers-dom/lib/blame.c drivers-dom/lib/keep_record.c domains/fiber.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/blk -Ictl-dom -luuid -lz
/*
 * The toolstack's own commands and the real back-end, over a small store and one page table of the slot: each write of either, and each
 * store of the back-end to its keep pages, is a step. The back-end dies at the n-th of its steps and an instance with nothing but the
 * keep pages and the table follows; or the control domain dies at the n-th of its own and the next one attaches or detaches anew. In
 * the end the disk is there and works, or there is nothing left of it.
 */
#include "unit.h"

static int quiet(const char *fmt, ...) { return 0; }
#define printf(...) quiet(__VA_ARGS__)
#include "../../drivers-dom/lib/xenbus_backend.c"
#undef printf
#include "console/console.h"
#include "domain/pci.h"
#include "domain/slots.h"
#include "run_command.h"
#include "shell/lists.h"
#include "store/connection.h"
#include "store/devices.h"
#include "store/hotplug.h"
#include "store/nodes.h"
#include "vbd.h"

#define BLK   3u
#define GUEST 16u
#define ROOT  "/local/domain/3/"
#define FE    "/local/domain/16/device/vbd/51712"
#define BE    ROOT "backend/vbd/16/51712"

#define BAD(...) (print_error(__VA_ARGS__), assert_true(!"that"))

/* --- death ------------------------------------------------------------------------------------------------------------------ */
static jmp_buf back_end_dies, control_dies;
static bool in_back_end, in_control;
static long back_end_left, control_left; /* steps; -1: it lives on */
static unsigned back_end_steps, control_steps;

/* What the control domain does while others stand still, from their n-th step on; -1: they do not. It has a stack of its own then. */
static long stands_at = -1;
static bool in_front_end, apart;
static void (*meanwhile)(void);

static void step(void)
{
    if (apart && (in_back_end || in_front_end) && (stands_at < 0 || stands_at-- == 0))
        meanwhile();
    if (in_back_end) {
        back_end_steps++;
        if (back_end_left >= 0 && back_end_left-- == 0)
            longjmp(back_end_dies, 1);
    } else if (in_control) {
        control_steps++;
        if (control_left >= 0 && control_left-- == 0)
            longjmp(control_dies, 1);
    }
}
void shared_stored(void) { step(); }

/* --- the store --------------------------------------------------------------------------------------------------------------- */
#define NODES 128
static struct {
    char path[128], val[128];
} nodes[NODES];
static struct {
    char path[128];
    watch_fn fn;
    void *arg;
} watches[16]; /* of the back-end's */
static watch_fn control_watches;
static char events[512][128];
static unsigned nr_events;
static bool atomic; /* a transaction: one step */
int xs_error;
static uint64_t clock_ns = 1000000000;

uint64_t now_ns(void) { return clock_ns += 1000; }
void dtimer_set(struct dtimer *t, uint64_t when) {}
void dtimer_cancel(struct dtimer *t) {}

static const char *absolute(const char *path)
{
    static char full[160];

    snprintf(full, sizeof(full), "%s%s", *path == '/' ? "" : ROOT, path);
    return full;
}
static int at(const char *path)
{
    for (int i = 0; i < NODES; i++)
        if (!strcmp(nodes[i].path, path))
            return i;
    return -1;
}
static const char *value(const char *path) { return at(path) < 0 ? "" : nodes[at(path)].val; }
static void changed(const char *path)
{
    assert_true(nr_events < ARRAY_SIZE(events));
    snprintf(events[nr_events++], sizeof(events[0]), "%s", path);
}
static void events_deliver(void)
{
    for (unsigned i = 0; i < nr_events; i++)
        for (unsigned k = 0; k < ARRAY_SIZE(watches); k++)
            if (watches[k].fn && !strncmp(events[i], watches[k].path, strlen(watches[k].path)))
                watches[k].fn(events[i], watches[k].arg);
    nr_events = 0;
}
int xs_write(uint32_t tx, const char *path, const char *val)
{
    if (!atomic)
        step();
    const char *p = absolute(path);
    int i = at(p) < 0 ? at("") : at(p);
    assert_true(i >= 0);
    snprintf(nodes[i].path, sizeof(nodes[i].path), "%s", p);
    snprintf(nodes[i].val, sizeof(nodes[i].val), "%s", val);
    changed(p);
    if (!atomic)
        step();
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
char *xs_read(uint32_t tx, const char *path)
{
    step();
    int i = at(absolute(path));
    xs_error = ENOENT;
    return i < 0 ? NULL : strdup(nodes[i].val);
}
int xs_read_uint(uint32_t tx, const char *path, uint64_t *v)
{
    char *s = xs_read(tx, path);

    if (s)
        *v = strtoull(s, NULL, 10);
    free(s);
    return s ? 0 : -ENOENT;
}
int xs_rm(uint32_t tx, const char *path)
{
    char dir[160];

    snprintf(dir, sizeof(dir), "%s", absolute(path));
    for (unsigned i = 0; i < NODES; i++)
        if (!strncmp(nodes[i].path, dir, strlen(dir)))
            memset(&nodes[i], 0, sizeof(nodes[i]));
    changed(dir);
    return 0;
}
int xs_watch(const char *path, watch_fn fn, void *arg)
{
    unsigned i = 0;

    if (!in_back_end) {
        control_watches = fn;
        return 0;
    }
    while (watches[i].fn)
        assert_true(++i < ARRAY_SIZE(watches));
    snprintf(watches[i].path, sizeof(watches[i].path), "%s", absolute(path));
    watches[i].fn = fn, watches[i].arg = arg;
    changed(watches[i].path);
    return 0;
}
int xs_unwatch(const char *path, watch_fn fn, void *arg)
{
    for (unsigned i = 0; in_back_end && i < ARRAY_SIZE(watches); i++)
        if (watches[i].fn == fn && watches[i].arg == arg)
            watches[i].fn = NULL;
    return 0;
}
bool xs_watch_waits(const char *path, watch_fn fn, void *arg)
{
    return false;
} /* each is called at once */

/* --- the back-end: what it stands on, its life ------------------------------------------------------------------------------ */
struct bh_self self = { .name = "blk0", .domid = BLK };
struct blk blk;
static struct slot_entry table[SLOT_ENTRIES];
static _Alignas(4096) uint8_t keep_pages[8][4096], ring_page[4096], pool[64][4096];
static struct blkdev dev = { .model = "disk",
                             .nr_sectors = 4000,
                             .sector_size = 512,
                             .max_bytes = BLK_MAX_BYTES,
                             .max_segs = BLK_MAX_SEGS };
static unsigned claims, mapped;
static uint64_t partition_first = 100;

const char *dev_problem(void) { return ""; }
const char *volume_find(const char *spec, uint64_t *first, uint64_t *nr)
{
    *first = partition_first, *nr = 100;
    return strcmp(spec, "1") ? "no such volume" : NULL;
}
const char *volume_claim(struct volume_claim *c)
{
    if (claims)
        return "domain 16 writes it already";
    claims++;
    c->claimed = true;
    return NULL;
}
void volume_release(struct volume_claim *c)
{
    claims -= c->claimed;
    c->claimed = false;
}
bool volume_overlap(const struct volume_claim *a, const struct volume_claim *b) { return true; }
int grant_map(struct grant_map *m, domid_t dom, const uint32_t *refs, unsigned n, unsigned flags)
{
    m->va = ring_page;
    m->n = n;
    mapped++;
    return 0;
}
int grant_unmap(struct grant_map *m)
{
    m->va = NULL;
    mapped--;
    return 0;
}
int event_bind_interdomain(domid_t remote, uint32_t port, event_fn fn, void *arg) { return 40; }
void event_close(uint32_t port) {}
int batch_copy_from(struct batch *b, domid_t dom, uint32_t ref, unsigned off, void *dst, unsigned len)
{
    return -EINVAL;
}
int batch_copy_to(struct batch *b, domid_t dom, uint32_t ref, unsigned off, const void *src,
                  unsigned len)
{
    return -EINVAL;
}
void batch_send(struct batch *b, uint32_t port) {}
int batch_flush(struct batch *b)
{
    b->nr_copies = b->nr_sends = 0;
    return 0;
}

static bool ordered = true; /* deaths count for nothing but where it is said */
static bool attached(uint32_t gen, uint64_t *chances)
{
    return be_gen_slot(SLOT_VBD, gen, chances);
}

static bool disk_comes_later;  /* it is a relay's */
static unsigned disk_comes_in; /* turns */
static void back_end_starts(void)
{
    memset(vbds, 0, sizeof(vbds[0]) * BB_MAX_DISKS);
    memset(&blk, 0, sizeof(blk));
    memset(watches, 0, sizeof(watches));
    rescan = scan_failed = watching = false;
    retry_at = nr_events = claims = mapped = 0;
    self.table = table;
    self.nr_table = SLOT_PAGES;
    blk.dev[0] = &dev;
    blk.nr_devs = disk_comes_later ? 0 : 1;
    blk.devs_to_come = disk_comes_later;
    blk.devs_by = clock_ns + NS_PER_S;
    keep_init(&blk.keep, keep_pages, 8);
    bb_init(&blk.bb, &blk.batch);
    bb_pool_add(&blk.bb, pool, 64);
    in_back_end = true;
    blame_begin(&blk.keep.page->blame, BB_MAX_DISKS, clock_ns, ordered, attached);
    (void)vbds_adopt();
    in_back_end = false;
}

static bool paused;
static void back_end_works(void)
{
    bool was = in_control;

    if (paused)
        return;
    in_control = false;
    if (setjmp(back_end_dies)) {
        in_back_end = false;
        back_end_starts();
    }
    in_back_end = true;
    if (disk_comes_in && !--disk_comes_in) {
        blk.nr_devs = 1;
        blk.devs_to_come = false;
        blk.devs_new = true;
    }
    for (unsigned i = 0; i < 4; i++) {
        events_deliver();
        vbds_store_work();
    }
    blk.devs_new = false;
    in_back_end = false;
    in_control = was;
}

/* --- the front-end ------------------------------------------------------------------------------------------------------------ */
static void front_end_works(void)
{
    unsigned be = (unsigned)atoi(value(BE "/state")), fe = (unsigned)atoi(value(FE "/state"));
    bool was = in_control;

    in_control = false;
    in_front_end = true;
    if (be == 2 && fe == 1) {
        memset(ring_page, 0, sizeof(ring_page));
        xs_write(0, FE "/ring-ref", "8");
        xs_write(0, FE "/event-channel", "9");
        xs_write(0, FE "/state", "3");
    } else if (be == 4 && fe == 3) {
        xs_write(0, FE "/state", "4");
    } else if ((be == 5 || be == 6) && fe && fe < 6) {
        xs_write(0, FE "/state", "6");
    }
    in_front_end = false;
    in_control = was;
}

/* --- what the toolstack stands on ---------------------------------------------------------------------------------------------- */
struct dom *doms;
bool store_up = true;
static struct slot_entry copy[SLOT_ENTRIES];
static struct dom driver_dom, guest_dom;
static uint64_t next_one_at; /* the back-end's next instance; 0: it has none */
static char said[256];

long hypercall(unsigned nr, uint64_t op, uint64_t arg, uint64_t c, uint64_t d)
{
    const struct bh_write *w = (const void *)arg;
    const uint64_t *from = (const void *)w->src;

    assert_int_equal(nr, BH_HYPERCALL_CONTROL);
    assert_int_equal(op, BH_CTL_SLOT_WRITE);
    for (uint64_t i = 0; i < w->len / 8; i++) {
        step(); /* the core does the whole call, but what if not */
        ((uint64_t *)table)[(w->gpa - driver_dom.slots_gpa) / 8 + i] = from[i];
    }
    step();
    return 0;
}
struct dom *dom_by_id(domid_t id)
{
    return id == BLK ? &driver_dom : id == GUEST ? &guest_dom : NULL;
}
struct dom *dom_by_name(const char *n) { return &driver_dom; }
struct dom *command_guest(const char *name) { return &guest_dom; }
struct dom *command_dom(const char *name) { return &guest_dom; }
bool command_each(int argc, char **argv, void (*rows)(const struct dom *d)) { return true; }
int identity_check(const struct domcfg *cfg, struct errbuf *e) { return 0; }
void identity_fill(struct dom *d) {}
void driver_problem(const struct dom *b) {}
void list_problems(const struct dom *d, enum dev_kind kind) {}
long list_number(const char *dir, const char *key) { return -1; }
long list_queue_number(const char *fe, const char *key, const char *alias) { return -1; }
bool list_numbers(const char *dir, const char *key, uint64_t *n, unsigned nr) { return false; }
char **xs_ls(uint32_t tx, const char *path, unsigned *n) { return NULL; }
struct dom *driver_by_name(const char *n, const char *image) { return &driver_dom; }
int pci_attach(struct dom *d, uint32_t sbdf, struct errbuf *e) { return -ENODEV; }
bool pci_owned(domid_t id, unsigned n, struct bh_pci_info *found) { return false; }
struct sbdf_text sbdf_text(uint32_t sbdf) { return (struct sbdf_text){ "" }; }
const char *errno_text(int rc) { return ""; }
void say(const char *fmt, ...) {}
void out(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(said, sizeof(said), fmt, ap);
    va_end(ap);
}
int fail(struct errbuf *e, int rc, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(e->s, sizeof(e->s), fmt, ap);
    va_end(ap);
    return rc;
}
static struct fiber control, world_beside;
void __asan_unpoison_memory_region(const volatile void *at, size_t n);
void panic_fiber(const void *stack, size_t size) {}
void bh_panic(const char *fmt, ...) { abort(); }
void job_wait(uint64_t until)
{
    if (apart) {
        fiber_switch(&control, &world_beside);
        return;
    }
    clock_ns += 50000000;
    if (next_one_at && clock_ns >= next_one_at) {
        driver_dom.instance++;
        next_one_at = 0;
    }
    back_end_works();
    front_end_works();
}
void node(struct txn *t, const char *val, const char *perms, const char *fmt, ...)
{
    char p[160];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(p, sizeof(p), fmt, ap);
    va_end(ap);
    if (val)
        xs_write(0, p, val);
}
void node_num(struct txn *t, uint64_t v, const char *fmt, ...)
{
    char p[160], s[24];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(p, sizeof(p), fmt, ap);
    va_end(ap);
    snprintf(s, sizeof(s), "%lu", v);
    node(t, s, NULL, "%s", p);
}
void no_node(struct txn *t, const char *fmt, ...)
{
    char p[160];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(p, sizeof(p), fmt, ap);
    va_end(ap);
    xs_rm(0, p);
}
int commit(struct dom *d, void (*fill)(struct txn *t, struct dom *d, void *arg), void *arg,
           struct errbuf *e)
{
    struct txn t = { 0 };

    step();
    atomic = true;
    fill(&t, d, arg);
    atomic = false;
    step();
    return 0;
}

/* --- trials --------------------------------------------------------------------------------------------------------------------- */
enum cmd { ATTACH, DETACH };

static void command(enum cmd c)
{
    said[0] = '\0';
    if (c == ATTACH)
        RUN(block_commands, "block-attach", "guest", "phy:blk0:1,xvda,w");
    else
        RUN(block_commands, "block-detach", "guest", "xvda");
}

static void guest_forgets_disk(void) { guest_dom.nr_devs = guest_dom.cfg.nr_disks = 0; }
static void guest_has_disk(void)
{
    char why[160];

    guest_dom.nr_devs = guest_dom.cfg.nr_disks = 1;
    assert_int_equal(config_disk(&guest_dom.cfg.disk[0], "phy:blk0:1,xvda,w", why, sizeof(why)), 0);
    guest_dom.dev[0] = (struct dom_dev){ .kind = DEV_VBD, .devid = 51712, .back = BLK };
}

static void world(void)
{
    memset(nodes, 0, sizeof(nodes));
    memset(table, 0, sizeof(table));
    memset(keep_pages, 0, sizeof(keep_pages));
    memset(&guest_dom, 0, sizeof(guest_dom));
    memset(&driver_dom, 0, sizeof(driver_dom));
    memset(copy, 0, sizeof(copy));
    back_end_left = control_left = -1;
    back_end_steps = control_steps = 0;
    in_control = in_back_end = atomic = paused = false;
    partition_first = 100;
    guest_dom.id = GUEST;
    guest_dom.cfg.role = BH_ROLE_GUEST;
    driver_dom = (struct dom){ .id = BLK,
                               .slots = copy,
                               .cfg = { .name = "blk0", .image = "blk", .role = BH_ROLE_DRIVER },
                               .slots_gpa = 0x3f0000 };
    back_end_starts();
    back_end_works();
    back_end_steps = 0;
}
static void settle(void)
{
    for (unsigned i = 0; i < 30; i++)
        job_wait(0);
}

static void is_attached(unsigned n)
{
    if (!vbds[0].connected || strcmp(value(BE "/state"), "4") || strcmp(value(FE "/state"), "4"))
        BAD("step %u: not attached: '%s' (%s, %s; %s)", n, said, value(BE "/state"),
            value(FE "/state"), vbds[0].stalled);
    assert_int_equal(slot_state(&table[0]), SLOT_ATTACHED);
    assert_int_equal(table[0].first, 100);
    assert_int_equal(table[0].nr, 100);
    assert_int_equal(claims, 1);
    assert_int_equal(mapped, 1);
    assert_int_equal(keep_free_pages(&blk.keep), 7);
}
static void is_gone(unsigned n)
{
    for (unsigned i = 0; i < NODES; i++)
        if (strstr(nodes[i].path, "/51712"))
            BAD("step %u: %s is left ('%s')", n, nodes[i].path, said);
    for (unsigned i = 0; i < SLOT_ENTRIES; i++)
        assert_false(slot_live(&table[i]));
    if (claims || mapped || vbds[0].be.used || keep_free_pages(&blk.keep) != 8)
        BAD("step %u: the back-end keeps something", n);
}

TEST(back_end_killed)
{
    unsigned last = 1;

    for (unsigned n = 0; n <= last; n++) { /* at each of its steps, in attaching and in detaching */
        world();
        back_end_left = n;
        command(ATTACH);
        settle();
        is_attached(n);
        command(DETACH);
        settle();
        is_gone(n);
        last = back_end_steps;
        assert_int_equal(back_end_left, n < last ? -1 : back_end_left);
    }
    assert_true(last > 100);
}

/* Runs c until the control domain dies at its n-th step. false: it has fewer. */
static bool dies_in(enum cmd c, unsigned n)
{
    volatile bool died = true;

    control_left = n;
    if (!setjmp(control_dies)) {
        in_control = true;
        command(c);
        died = false;
    }
    in_control = atomic = false;
    control_left = -1;
    memcpy(copy, table, sizeof(copy)); /* the next one has no book but the table */
    settle();
    return died;
}

TEST(control_killed)
{
    static const struct {
        enum cmd killed, then;
    } trials[] = { { ATTACH, ATTACH }, { ATTACH, DETACH }, { DETACH, DETACH }, { DETACH, ATTACH } };

    for (unsigned t = 0; t < ARRAY_SIZE(trials); t++) {
        bool died = true;
        for (unsigned n = 0; died; n++) {
            world();
            if (trials[t].killed == DETACH) {
                command(ATTACH);
                settle();
            }
            died = dies_in(trials[t].killed, n);
            if (trials[t].then == DETACH || (trials[t].killed == DETACH && died)) {
                guest_has_disk();
                command(DETACH);
                settle();
                is_gone(n);
            }
            if (trials[t].then == ATTACH) {
                guest_forgets_disk();
                command(ATTACH);
                settle();
                is_attached(n);
            }
            assert_true(n < 500);
        }
    }
}

/* --- late words ------------------------------------------------------------------------------------------------------------------- */
/* The back-end or the front-end stands still at its n-th step, of what it has to say about the one disk, until the control domain has had
 * patience enough and has made the next one of the same number: what is said then is not about that. From then on it looks at each step. */
static char control_stack[0x20000] __attribute__((aligned(16)));
static bool control_done, guest_stands;
static const char *first_spec;

static void one_after_the_other(void)
{
    if (first_spec) {
        RUN(block_commands, "block-attach", "guest", first_spec);
        assert_true(strlen(said));
    } else {
        RUN(block_commands, "block-detach", "guest", "xvda");
        RUN(block_commands, "block-detach", "guest", "xvda", "--force");
    }
    guest_stands = false;
    command(ATTACH);
    control_done = true;
    for (;;)
        fiber_switch(&control, &world_beside);
}

/* The last entry that was made has that generation, and its nodes are there. */
static bool is_made(uint32_t gen)
{
    return slot_gen(&table[0]) == gen && slot_state(&table[0]) == SLOT_ATTACHED;
}
static void control_goes_on(void)
{
    bool back_end = in_back_end, front_end = in_front_end;

    in_back_end = in_front_end = false;
    if (is_made(2) && !control_done)
        fiber_switch(&world_beside, &control);
    for (unsigned i = 0; !is_made(2) && !control_done; i++) {
        clock_ns += 3000000000;
        fiber_switch(&world_beside, &control);
        assert_true(i < 100);
    }
    in_back_end = back_end;
    in_front_end = front_end;
}

static void late_words(const char *spec)
{
    bool stood = true;

    first_spec = spec;
    meanwhile = control_goes_on;
    for (unsigned n = 0; stood; n++) {
        world();
        if (!spec) {
            command(ATTACH);
            settle();
            is_attached(n);
        }
        __asan_unpoison_memory_region(control_stack, sizeof(control_stack));
        fiber_make(&control, control_stack, sizeof(control_stack), one_after_the_other);
        guest_stands = !spec;
        control_done = false;
        stands_at = n;
        apart = true;
        for (unsigned i = 0; i < 500 && !control_done; i++) {
            clock_ns += 50000000;
            fiber_switch(&world_beside, &control);
            back_end_works();
            if (!guest_stands)
                front_end_works();
        }
        apart = false;
        stood = stands_at < 0;
        stands_at = -1;
        assert_true(control_done);
        settle();
        is_attached(n);
        assert_true(n < 500);
    }
}

TEST(late_words_on_a_disk_that_was_refused) { late_words("phy:blk0:none,xvda,w"); }
TEST(late_words_on_a_disk_that_was_taken_away) { late_words(NULL); }

/* One that does not answer is waited for as long as it may take once; after that hardly, until it says something, or is another instance. */
static uint64_t takes(enum cmd c, const char *says)
{
    uint64_t from = clock_ns;

    command(c);
    if (*says ? !strstr(said, says) : said[0])
        BAD("says '%s', not '%s'", said, says);
    return (clock_ns - from) / 1000000000;
}
TEST(a_silent_back_end_is_waited_for_once)
{
    world();
    devs_driver_found(&driver_dom);
    paused = true;
    assert_in_range(takes(ATTACH, "blk0 does not answer"), 15, 20);
    assert_in_range(takes(ATTACH, "blk0 still does not answer"), 1, 2);
    assert_in_range(takes(ATTACH, "blk0 still does not answer"), 1, 2);
    driver_dom.instance++;
    assert_in_range(takes(ATTACH, "blk0 does not answer"), 15, 20);
    control_watches(BE "/state", NULL); /* that is written by others, too */
    assert_in_range(takes(ATTACH, "blk0 still does not answer"), 1, 2);
    control_watches(BE "/bh-gen", NULL);
    assert_in_range(takes(ATTACH, "blk0 does not answer"), 5, 7); /* what it may take was taken */
    paused = false;
    settle();
    is_gone(0);
    assert_in_range(takes(ATTACH, ""), 0, 1);
    settle();
    is_attached(0);
    paused = true; /* it answered */
    assert_in_range(takes(DETACH, "the guest still has it"), 10, 12);
    paused = false;
    assert_in_range(takes(DETACH, ""), 0, 1);
    settle();
    is_gone(0);
}

TEST(an_outage_is_not_the_next_ones_silence)
{
    world();
    paused = true;
    next_one_at = clock_ns + 14000000000;
    assert_in_range(takes(ATTACH, "blk0 does not answer"), 15, 20);
    assert_int_equal(next_one_at, 0);
    assert_in_range(takes(ATTACH, "blk0 does not answer"), 15, 20);
    assert_in_range(takes(ATTACH, "blk0 still does not answer"), 1, 2);
    paused = false;
}

/* The guest sees that the last one went before the next one of its number comes. */
TEST(a_guest_has_time_to_look)
{
    world();
    command(ATTACH);
    settle();
    command(DETACH);
    uint64_t gone = clock_ns;
    command(ATTACH);
    assert_true(clock_ns - gone > 900000000);
    assert_string_equal(value(FE "/state"), "1");
    settle();
    is_attached(0);
}

/* What a former instance says of itself in its own directory changes nothing for the next one. */
TEST(nodes_of_a_dead_instance)
{
    world();
    command(ATTACH);
    settle();
    xs_write(0, BE "/params", "disk");
    xs_write(0, BE "/mode", "r");
    xs_write(0, BE "/online", "0");
    xs_write(0, BE "/frontend", "/local/domain/17/device/vbd/51712");
    xs_write(0, BE "/bh-extent", "0 4000");
    xs_write(0, BE "/bh-limit-ops", "1");
    xs_write(0, BE "/sectors", "4000");
    xs_write(0, BE "/info", "4");
    xs_write(0, BE "/state", "2");
    back_end_starts();
    settle();
    is_attached(0);
    assert_string_equal(value(BE "/sectors"), "100");
    assert_string_equal(value(BE "/info"), "0");
    assert_false(vbds[0].disk.ro);
    assert_int_equal(vbds[0].disk.first, 100);
    assert_int_equal(vbds[0].disk.ops.per_s, 0);
    assert_string_equal(vbds[0].be.fe_path, FE);
    xs_rm(0, BE "/frontend");
    back_end_starts();
    settle();
    is_attached(0);
}

/* The next user's disk is looked at before that of the last one, whose nodes nobody has changed yet. */
TEST(the_last_user_is_looked_at_later)
{
    const char *be = ROOT "backend/vbd/16/51728", *fe = "/local/domain/16/device/vbd/51728";
    static const char *const said_by[][2] = {
        { "frontend", "" }, { "frontend-id", "16" }, { "online", "1" }, { "state", "1" }
    };
    char path[128];

    world();
    command(ATTACH);
    settle();
    is_attached(0);
    table[1] = table[0];
    table[1].devid = 51728;
    table[1].head = slot_head(SLOT_ATTACHED, SLOT_VBD, slot_gen(&table[0]) + 1);
    table[0].head = slot_head(SLOT_DETACHING, SLOT_VBD, slot_gen(&table[0]));
    snprintf(path, sizeof(path), "%s/state", fe);
    xs_write(0, path, "1");
    for (unsigned i = 0; i < ARRAY_SIZE(said_by); i++) {
        snprintf(path, sizeof(path), "%s/%s", be, said_by[i][0]);
        xs_write(0, path, i ? said_by[i][1] : fe);
    }
    settle();
    snprintf(path, sizeof(path), "%s/" BH_KEY_ERROR, be);
    assert_string_equal(value(path), "");
    xs_write(0, BE "/online", "0");
    settle();
    assert_string_equal(value(BE "/state"), "6");
    snprintf(path, sizeof(path), "%s/state", be);
    assert_string_equal(value(path), "2");
    assert_int_equal(claims, 1);
}

/* The head of the one record, as a dead instance might have left it: sound in itself. */
static void forge(struct keep_page *page, void (*change)(struct keep_head *h))
{
    struct keep_head h = page->head;

    change(&h);
    keep_record_save(&page->head, &h, KEEP_MASTER_MAGIC, KEEP_VERSION, sizeof(h));
}
static void more_disk(struct keep_head *h) { h->nr_sectors = 4000; }
static void other_place(struct keep_head *h) { h->first = 0; }
static void reads_only(struct keep_head *h) { h->flags &= (uint8_t)~KEEP_F_WRITE; }
static void by_force(struct keep_head *h) { h->flags |= KEEP_F_FORCE; }
static void older(struct keep_head *h) { h->slot_gen--; }
static void other_guest(struct keep_head *h) { h->domid = 17; }
static void other_vdev(struct keep_head *h) { h->devid = 51728; }
static void nothing(struct keep_head *h) {}

static void moved(struct keep_head *h) { h->first = 700; }
static void moved_back(struct keep_head *h) { h->first = 100; }

/* Where it lay when it was attached is in the entry; if the disk's table says something else later, nobody goes on. */
TEST(a_volume_that_moved)
{
    world();
    command(ATTACH);
    settle();
    is_attached(0);
    partition_first = 700;
    back_end_starts();
    assert_false(vbds[0].connected);
    assert_non_null(vbds[0].stalled);
    forge((struct keep_page *)keep_pages,
          moved); /* also if whoever wrote the disk's table wrote the record, too */
    back_end_starts();
    assert_false(vbds[0].connected);
    forge((struct keep_page *)keep_pages, moved_back);
    partition_first = 100;
    back_end_starts();
    settle();
    is_attached(0);
}

static void disk_comes(bool all)
{
    disk_comes_in = 1;
    back_end_works();
    blk.devs_to_come = !all;
    settle();
}

/* A relay's disk is there some time after its records: nothing of them is touched, and then they are taken over; an attach is neither refused before. */
TEST(a_disk_that_comes_later)
{
    world();
    disk_comes_later = true;
    back_end_starts();
    disk_comes_in = 8;
    command(ATTACH);
    settle();
    is_attached(0);
    for (unsigned late = 0; late < 2; late++) {
        back_end_starts();
        back_end_works();
        assert_false(vbds[0].connected || mapped);
        assert_int_equal(keep_free_pages(&blk.keep), 7);
        assert_string_equal(value(BE "/state"), "4");
        assert_string_equal(value(BE "/bh-stalled"), "");
        if (late) {
            clock_ns += 2 * NS_PER_S;
            back_end_works();
            assert_string_equal(value(BE "/bh-stalled"), "its disk is not there yet");
        }
        disk_comes(late);
        is_attached(0);
        assert_string_equal(value(BE "/bh-stalled"), "");
    }
    partition_first = 700; /* what comes is held against the entry as at a start */
    back_end_starts();
    disk_comes(true);
    assert_false(vbds[0].connected);
    assert_non_null(vbds[0].stalled);
    partition_first = 100;
    disk_comes_later = false;
    back_end_starts();
    settle();
    is_attached(0);
    /* Detached before it came: the record goes, and nothing is left. */
    disk_comes_later = true;
    back_end_starts();
    command(DETACH);
    settle();
    is_gone(0);
    disk_comes_later = false;
}

TEST(forged_records)
{
    static const struct {
        void (*change)(struct keep_head *h);
        bool served, cleared;
    } lies[] = { { nothing, true, false },      { more_disk, false, false },
                 { other_place, false, false }, { reads_only, false, false },
                 { by_force, false, false },    { older, false, false },
                 { other_guest, false, true },  { other_vdev, false, true } };
    struct keep_page *page = (struct keep_page *)keep_pages;

    for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
        world();
        command(ATTACH);
        settle();
        forge(page, lies[i].change);
        back_end_starts();
        assert_int_equal(vbds[0].connected, lies[i].served);
        assert_int_equal(mapped, lies[i].served);
        assert_int_equal(vbds[0].stalled != NULL, !lies[i].served && !lies[i].cleared);
        assert_int_equal(page->head.magic == 0, lies[i].cleared);
        assert_int_equal(keep_free_pages(&blk.keep), lies[i].cleared ? 8 : 7);
    }
    world(); /* two for one disk: neither, and one of them stays to be closed with it */
    command(ATTACH);
    settle();
    page[1] = page[0];
    page[1].head.gen++;
    forge(&page[1], nothing);
    back_end_starts();
    assert_false(vbds[0].connected);
    assert_string_equal(vbds[0].stalled, "there are two keep records of it");
    assert_int_equal(mapped, 0);
    assert_int_equal(page[1].head.magic, 0);
    command(DETACH); /* its front-end closes, and all is well again */
    settle();
    is_gone(0);
    command(ATTACH);
    settle();
    is_attached(0);
}

/* A guest's limits come from its entry, also while it is connected. */
TEST(limits)
{
    world();
    command(ATTACH);
    settle();
    assert_true(RUN(block_commands, "block-limit", "guest", "xvda", "ops=70"));
    settle();
    assert_int_equal(vbds[0].disk.ops.per_s, 70);
    back_end_starts();
    assert_int_equal(vbds[0].disk.ops.per_s, 70);
    is_attached(0);
}

/* What the configuration says of a vif is what its back-end reads. */
TEST(what_a_vif_may)
{
    char spec[] = "mac=00:16:3e:00:00:07,bridge=blk0.10:20,ip=10.0.0.5/32,rate=1MB/s@20ms", why[160];
    struct dom_dev v = { .kind = DEV_VIF, .back = BLK };
    struct errbuf e;
    const struct slot_entry *at = (const struct slot_entry *)table;

    world();
    assert_int_equal(config_vif(&guest_dom.cfg.vif[0], spec, why, sizeof(why)), 0);
    assert_int_equal(slot_attach(&guest_dom, &v, &e), 0);
    assert_int_equal(slot_kind(at), SLOT_VIF);
    assert_true(at->flags & SLOT_F_MAC && at->mac[5] == 7);
    assert_true(at->vif.vlan == 10 && at->vif.trunk[0] == 20 && at->vif.nr_ips == 1);
    assert_true(at->vif.ip[0].addr[15] == 5 && at->limit_bytes == 1000000 && at->limit_burst == 20000);
    guest_dom.cfg.vif[0].any = true;
    v.devid = 1;
    assert_int_equal(slot_attach(&guest_dom, &v, &e), 0);
    assert_int_equal(at[1].flags, 0);
}

static void dies_at_work(void)
{
    ordered = false;
    blame(vbds[0].be.gen);
    back_end_starts();
    ordered = true;
}

/* The second death at its requests: nothing of it is touched, whatever its front-end does, until it is given another chance or
 * attached anew. */
TEST(put_aside)
{
    static const char *const closes[] = { "5", "6", "1", "3", "4" };

    world();
    command(ATTACH);
    settle();
    dies_at_work();
    settle();
    is_attached(0);
    back_end_starts();
    is_attached(0);
    dies_at_work();
    for (unsigned i = 0; i < 2; i++) {
        assert_false(vbds[0].connected || mapped);
        settle();
        assert_string_equal(value(BE "/bh-stalled"), BLAME_WHY);
        assert_string_equal(value(BE "/state"), "4");
        assert_int_equal(claims, 1);
        assert_int_equal(keep_free_pages(&blk.keep), 7);
        back_end_starts(); /* another's fault, or an ordered death: it stays so */
    }
    for (unsigned i = 0; i < ARRAY_SIZE(closes); i++) {
        xs_write(0, FE "/state", closes[i]);
        back_end_works();
        assert_false(vbds[0].connected || mapped);
        assert_string_equal(value(BE "/state"), "4");
        assert_string_equal(value(BE "/bh-stalled"), BLAME_WHY);
    }
    /* Another chance: its ring is taken over as it is, also by the next instance. */
    for (unsigned i = 0; i < 2; i++) {
        guest_dom.dev[0].stalled = true;
        said[0] = '\0';
        assert_true(RUN(block_commands, "block-retry", "guest", "xvda"));
        assert_string_equal(said, "");
        if (i)
            back_end_starts();
        settle();
        is_attached(0);
        assert_string_equal(value(BE "/bh-stalled"), "");
        dies_at_work(); /* it does not deserve it */
        is_attached(0);
        dies_at_work();
        settle();
        assert_string_equal(value(BE "/bh-stalled"), BLAME_WHY);
    }
    guest_dom.dev[0].stalled = false;
    assert_true(RUN(block_commands, "block-retry", "guest", "xvda"));
    assert_non_null(strstr(said, "does not stand still"));
    command(DETACH);
    settle();
    is_gone(0);
    command(ATTACH);
    settle();
    is_attached(0);
    dies_at_work();
    is_attached(0);
}

/* Also one that has no record: its back-end died while it connected. */
TEST(put_aside_before_it_connects)
{
    world();
    command(ATTACH);
    settle();
    dies_at_work();
    ((struct keep_page *)keep_pages)->head.magic = 0;
    dies_at_work();
    settle();
    assert_false(vbds[0].connected || mapped);
    assert_string_equal(value(BE "/bh-stalled"), BLAME_WHY);
    command(DETACH);
    settle();
    is_gone(0);
}
