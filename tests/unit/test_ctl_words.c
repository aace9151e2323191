// SPDX-License-Identifier: MIT
// LINK: ctl-dom/console/console.c ctl-dom/supervise/report.c ctl-dom/shell/lists.c ctl-dom/shell/named.c ctl-dom/shell/guest.c ctl-dom/shell/block.c ctl-dom/shell/network.c ctl-dom/config/config_disk.c domains/devname.c ctl-dom/console/domcon.c ctl-dom/domain/bridge.c ctl-dom/domain/dom.c ctl-dom/domain/records.c ctl-dom/domain/error.c
// FLAGS: -Ictl-dom -Idomains/include -luuid
// What the control domain puts before the administrator: others' words quoted, crash reports of each apart, output in pieces.
#include <errno.h>
#include "unit.h"
#include <quote.h>
#include <xen/io/console.h>
#include "console/console.h"
#include "console/edit.h"
#include "run_command.h"
#include "store/connection.h"
#include "store/devices.h"
#include "store/hotplug.h"
#include "supervise/report.h"

struct bh_self self;

static char screen[1 << 20];
static size_t shown, room = SIZE_MAX;
static event_fn on_console, on_ring;
static struct dtimer *timer;
static uint64_t now = 1000000000;
static struct bh_report next_report;
static const char *node_text = "";

/* --- the core, the store, the library --- */
static const char *log_text[4];
long hypercall(unsigned nr, uint64_t a, uint64_t len, uint64_t s, uint64_t d)
{
    if (nr == __HYPERVISOR_console_io && a == CONSOLEIO_write) {
        size_t n = len < room ? len : room;
        assert_true(shown + n < sizeof(screen));
        memcpy(screen + shown, (const void *)s, n);
        shown += n;
        screen[shown] = '\0';
        room -= room == SIZE_MAX ? 0 : n;
        return (long)(len - n);
    }
    if (nr == BH_HYPERCALL_CONTROL && a == BH_CTL_REPORT) {
        domid_t id = ((struct bh_report *)len)->domid;
        *(struct bh_report *)len = next_report;
        ((struct bh_report *)len)->domid = id;
        return 0;
    }
    if (nr == BH_HYPERCALL_CONTROL && a == BH_CTL_LOG) {
        struct bh_log *l = (struct bh_log *)len;
        const char *text = l->domid < 4 && log_text[l->domid] ? log_text[l->domid] : "";
        size_t n = strlen(text);
        n = l->from < n ? n - l->from : 0;
        n = n < l->len ? n : l->len;
        memcpy((void *)l->buf, text + l->from, n);
        l->len = n;
        return 0;
    }
    return nr == __HYPERVISOR_console_io ? 0 : -ENOSYS;
}
void edit_hide(struct edit *e) {}
void edit_show(struct edit *e) {}
int event_bind_virq(unsigned virq, event_fn fn, void *arg)
{
    if (virq == VIRQ_CONSOLE)
        on_console = fn;
    else
        on_ring = fn;
    return 1;
}
static event_fn on_output;
int event_bind_interdomain(domid_t dom, uint32_t port, event_fn fn, void *arg)
{
    on_output = fn;
    return 7;
}
int event_send(uint32_t port) { return 0; }
unsigned event_wait(uint64_t until) { return 0; }
void event_close(uint32_t port) {}
static struct xencons_interface rings[2];
int grant_map(struct grant_map *m, domid_t dom, const uint32_t *refs, unsigned n, unsigned flags)
{
    m->va = &rings[dom - 16];
    return 0;
}
int grant_unmap(struct grant_map *m) { return 0; }
uint64_t now_ns(void) { return now; }
void dtimer_set(struct dtimer *t, uint64_t when)
{
    t->armed = true;
    t->when = when;
    timer = t;
}
bool store_up = true;
int xs_printf(uint32_t tx, const char *path, const char *fmt, ...) { return 0; }
int xs_read_uint(uint32_t tx, const char *path, uint64_t *v) { return -ENOENT; }
char *xs_read(uint32_t tx, const char *path) { return strdup(node_text); }
char **xs_ls(uint32_t tx, const char *path, unsigned *n)
{
    char **v = malloc(sizeof(*v));
    v[0] = "0";
    *n = 1;
    return v;
}
struct dom_dev *disk_of(struct dom *d, const char *vdev) { return NULL; }
int disk_attach(struct dom *d, const char *spec, struct errbuf *e) { return 0; }
int vif_attach(struct dom *d, char *spec, struct errbuf *e) { return 0; }
int vif_detach(struct dom *d, struct dom_dev *v, struct errbuf *e) { return 0; }
int disk_detach(struct dom *d, struct dom_dev *v, bool force, struct errbuf *e) { return 0; }
const char *dev_text(const struct dom *d, const struct dom_dev *v) { return ""; }
bool dev_word(const struct dom *d, const struct dom_dev *v, const char *key, char text[DEV_WORD])
{
    return false;
}
int dev_retry(const struct dom *d, struct dom_dev *v, struct errbuf *e) { return 0; }
int disk_limit(struct dom *d, const struct dom_dev *v, const struct cfg_disk *c) { return 0; }
void dev_paths(const struct dom *d, const struct dom_dev *v, char be[DEV_PATH], char fe[DEV_PATH])
{
    strcpy(be, "be");
    strcpy(fe, "fe");
}

int setup(void **state)
{
    room = SIZE_MAX;
    con_set_mode(CON_PLAIN);
    if (on_console)
        on_console(0, NULL);
    shown = 0;
    screen[0] = '\0';
    doms = NULL;
    timer = NULL;
    return 0;
}

static unsigned lines(void)
{
    unsigned n = 0;
    for (const char *p = screen; *p; p++)
        n += *p == '\n';
    return n;
}

static const char evil[] = "a\nbh> list\r\x1b[2J\x7f\x9b"
                           "5m\t~";

TEST(one_function_quotes)
{
    char b[16];
    assert_string_equal(quote(b, sizeof(b), evil), "a?bh> list??[..");
    assert_string_equal(quote(b, sizeof(b), "fifteen letters"), "fifteen letters");
    assert_string_equal(quote(b, sizeof(b), "sixteen letters!"), "sixteen lette..");
    assert_string_equal(quote(b, 1, "x"), "");
    assert_string_equal(quote(b, 2, "xy"), ".");
    assert_string_equal(QUOTED(NULL), "?");
    char big[1000] = "";
    memset(big, 'x', 999);
    assert_int_equal(strlen(QUOTED(big)), 160);
}

TEST(errors_are_one_line)
{
    struct errbuf e;
    assert_int_equal(fail(&e, -EIO, "disk: %s", evil), -EIO);
    assert_string_equal(e.s, "disk: a?bh> list??[2J??5m?~");
}

TEST(lists_show_what_is_enforced)
{
    static struct dom guest = { .id = 0x123,
                                .nr_devs = 1,
                                .dev[0] = { .kind = DEV_VIF, .back = 4 },
                                .cfg = { .name = "g", .vif[0].mac = { 0, 0x16, 0x3e, 1, 0x23 } } };
    static struct dom blk = { .id = 3, .cfg.role = BH_ROLE_DRIVER, .cfg.name = "blk0" };

    doms = &guest;
    node_text = "66:66:66:66:66:66";
    assert_true(RUN(network_commands, "network-list", "g"));
    assert_non_null(strstr(screen, "00:16:3e:01:23:00"));
    assert_null(strstr(screen, "66:66"));
    setup(NULL);
    doms = &blk;
    node_text = "data\x1b]0;x\a 1048576 -\nbh> destroy x\n";
    assert_true(RUN(block_commands, "volumes"));
    assert_int_equal(lines(), 2);
    assert_null(strchr(screen, '\x1b'));
}

/* --- crash reports --- */
static void crash(struct dom *d, const char *why)
{
    memset(&next_report, 0, sizeof(next_report));
    memset(next_report.why, 'y', sizeof(next_report.why)); /* no end: the core's, but not believed */
    if (why)
        strcpy(next_report.why, why);
    d->crash_ns = now += 1000000000;
    report_take(d);
}

TEST(a_kernel_that_panicked)
{
    static struct dom a = { .id = 16, .cfg = { .name = "a", .role = BH_ROLE_GUEST } };

    memset(&next_report, 0, sizeof(next_report));
    next_report.cause = BH_CAUSE_SHUTDOWN_CRASH;
    report_take(&a);
    report_list("a");
    assert_non_null(strstr(screen, "a (16)  panicked\n"));
}

TEST(nobody_pushes_out_reports)
{
    static struct dom net = { .id = 4, .cfg = { .name = "net0", .role = BH_ROLE_DRIVER } };
    static struct dom a = { .id = 16, .cfg = { .name = "a", .role = BH_ROLE_GUEST } },
                      b = { .id = 17, .cfg = { .name = "b", .role = BH_ROLE_GUEST } };

    crash(&net, "first\nbh> ");
    crash(&b, "b's");
    for (unsigned i = 0; i < 300; i++) {
        a.id = (domid_t)(20 + i); /* restarted each time */
        crash(&a, NULL);
    }
    report_list("net0");
    assert_non_null(strstr(screen, "net0 (4)  first?bh> "));
    assert_int_equal(lines(), 1);
    report_list("b");
    assert_non_null(strstr(screen, "b (17)  b's"));
    setup(NULL);
    report_list("a");
    assert_int_equal(lines(), 8);
    assert_null(strstr(screen, "(311)"));
    assert_non_null(strstr(screen, "(319)"));
    setup(NULL);
    report_list(NULL); /* all, in the order of time */
    assert_int_equal(lines(), 10);
    assert_true(strstr(screen, "net0") < strstr(screen, "b (17)") &&
                strstr(screen, "b (17)") < strstr(screen, "a (312)"));
    for (unsigned i = 0; i < 100; i++) { /* many guests push out guests alone */
        snprintf(a.cfg.name, sizeof(a.cfg.name), "g%u", i);
        crash(&a, "x");
    }
    setup(NULL);
    report_list("net0");
    assert_int_equal(lines(), 1);
}

/* --- output --- */
TEST(output_waits_and_we_do_not)
{
    console_open();
    room = 100;
    for (unsigned i = 0; i < 100; i++)
        out("line %03u, twenty letters\n", i);
    assert_int_equal(shown, 100);
    assert_true(con_busy());
    while (con_busy()) {
        room = 200;
        on_console(0, NULL);
    }
    assert_int_equal(lines(), 100);
    assert_non_null(strstr(screen, "line 099,"));
}

/* The console that is looked at: its domain waits for the wire; the others' go on. */
TEST(watched_console_in_pieces)
{
    static struct dom d = { .id = 16, .cfg.name = "d" }, other = { .id = 17, .cfg.name = "o" };
    struct xencons_interface *r = &rings[0], *o = &rings[1];
    struct errbuf e;
    d.next = &other;
    doms = &d;
    assert_int_equal(domcon_connect(&d, &e) | domcon_connect(&other, &e), 0);
    domcon_attach(&d, DOMCON_LEAVE);
    for (unsigned i = 0; i < sizeof(r->out); i++)
        r->out[i] = o->out[i] = i % 10 == 9 ? '\n' : 'w';
    o->out_prod = r->out_prod = 1000;
    room = 10;
    on_output(7, &d);
    assert_int_equal(r->out_cons, 1000);
    r->out_prod = 2000;
    on_output(7, &d);
    assert_int_equal(r->out_cons, 1000); /* its second thousand waits in its own ring */
    assert_non_null(timer);
    timer->armed = false;
    timer->fn(timer);
    assert_int_equal(r->out_cons, 1000);
    assert_int_equal(o->out_cons, 1000); /* nobody looks at it: it does not wait for the wire */
    assert_true(timer->armed);
    room = SIZE_MAX;
    on_console(0, NULL);
    timer->armed = false;
    timer->fn(timer);
    assert_int_equal(r->out_cons, 2000);
    assert_int_equal(shown, 2000);
    domcon_leave();
    free(d.con.log);
    free(other.con.log);
}

TEST(what_was_left_out_is_counted)
{
    con_set_mode(CON_HELD);
    for (unsigned i = 0; i < 1000; i++)
        say("line number %u", i);
    assert_int_equal(shown, 0);
    con_set_mode(CON_PLAIN);
    unsigned n = lines() - 1;
    char want[64];
    snprintf(want, sizeof(want), "line number %u\n(%u more lines came meanwhile", n - 1, 1000 - n);
    assert_non_null(strstr(screen, want));
    shown = 0;
    con_set_mode(CON_HELD);
    con_set_mode(CON_PLAIN);
    assert_int_equal(shown, 0);
}

/* The core's lines reach the operator, whatever they begin with; a domain's own words are shown when asked for, as no line of ours. */
TEST(the_cores_log)
{
    log_text[0] = "(BH) d17: watchdog expired\n(BH) \x1b[2J\n";
    log_text[3] = "(BH) d4 (net0) crashed\nbh> \nhalf";
    on_ring(0, NULL);
    con_core_log();
    assert_string_equal(screen, "(BH) d17: watchdog expired\n(BH) ?[2J\n");
    setup(NULL);
    dmesg(NULL);
    assert_string_equal(screen, "(BH) d17: watchdog expired\n(BH) ?[2J\n");
    setup(NULL);
    static struct dom d = { .id = 3 };
    dmesg(&d);
    assert_string_equal(screen, "  (BH) d4 (net0) crashed\n  bh> \n  half\n");
    setup(NULL);
    dmesg_clear();
    dmesg(NULL);
    assert_string_equal(screen, "");
    log_text[0] = "(BH) d17: watchdog expired\n(BH) \x1b[2J\n(BH) news\n";
    dmesg(NULL);
    assert_string_equal(screen, "(BH) news\n");
    setup(NULL);
    dmesg(&d);
    assert_string_equal(screen, "  (BH) d4 (net0) crashed\n  bh> \n  half\n");
}
