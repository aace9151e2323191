/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/domain/bridge.c ctl-dom/shell/metrics.c ctl-dom/shell/lists.c
// FLAGS: -Ictl-dom -Idomains/include
/* What the control domain tells whoever shows it: whom, when, and what if there is more than fits. */
#include <errno.h>
#include "unit.h"
#include "shell/metrics.h"
#include "store/connection.h"
#include "store/devices.h"
#include "supervise/report.h"
#include <store_keys.h>
#include <xen/io/xs_wire.h>

static struct dom guest = { .id = 20,
                            .in_store = true,
                            .cfg = { .name = "guest", .role = BH_ROLE_GUEST },
                            .nr_devs = 1,
                            .dev = { { .kind = DEV_VIF, .back = 4 } } };
static struct dom shows = { .id = 21, .in_store = true, .cfg = { .name = "metrics", .metrics = true } };
static struct dom net = { .next = &guest,
                          .id = 4,
                          .cfg = { .name = "net0", .role = BH_ROLE_DRIVER, .image = "net" } };
struct dom *doms = &net;
bool store_up = true;
static bool serves;
bool supervisor_store_serves(void) { return serves; }
int xs_error;
static uint64_t now = 1000 * NS_PER_S;
static unsigned nr_domains, timers;

uint64_t now_ns(void) { return now; }
void dtimer_set(struct dtimer *t, uint64_t when) { timers++; }
void out(const char *fmt, ...) {}
struct dom *driver_by_name(const char *name, const char *image) { return NULL; }
struct dom *dom_by_name(const char *name) { return NULL; }
int fail(struct errbuf *e, int rc, const char *fmt, ...) { return rc; }
struct dom *dom_by_id(domid_t id)
{
    struct dom *d = doms;
    while (d && d->id != id)
        d = d->next;
    return d;
}
void dev_paths(const struct dom *d, const struct dom_dev *v, char be[DEV_PATH], char fe[DEV_PATH])
{
    strcpy(be, "/be/0");
}
const char *dev_text(const struct dom *d, const struct dom_dev *v) { return ""; }
bool dev_word(const struct dom *d, const struct dom_dev *v, const char *key, char text[DEV_WORD])
{
    return false;
}
static struct report_sums sums = { .restarts = { [BH_CAUSE_DEADLINE] = 2, [REPORT_ASKED] = 1 },
                                   .within = { [3] = 1, 2, 2, 2, 2, 2, 3, 3, 3 },
                                   .outage_ns = 1500 * NS_PER_MS };
const struct report_sums *report_sums(void) { return &sums; }
long hypercall(unsigned nr, uint64_t op, uint64_t arg, uint64_t c, uint64_t d)
{
    struct bh_dominfo *di = (struct bh_dominfo *)arg;

    if (op == BH_CTL_SYSINFO)
        return *(struct bh_sysinfo *)arg = (struct bh_sysinfo){ .boot_ns = 5 * NS_PER_S }, 0;
    if (di->domid >= nr_domains)
        return -ESRCH;
    *di = (struct bh_dominfo){ .domid = di->domid, .cpu_ns = 1234567890, .tot_pages = 1024 };
    return 0;
}
static unsigned reads, reads_until_it_dies;
char *xs_read(uint32_t tx, const char *path)
{
    if (++reads > reads_until_it_dies) {
        xs_error = ETIME;
        return NULL;
    }
    return !strcmp(path, "/be/0/bh-stats")           ? strdup("11 12 0 1 2 3 4 5")
           : !strcmp(path, "/local/domain/4/uplink") ? strdup("21 22")
                                                     : NULL;
}
int xs_read_uint(uint32_t tx, const char *path, uint64_t *v) { return -ENOENT; }
int xs_raw(uint32_t type, uint32_t tx, const void *payload, uint32_t len, char **reply, uint32_t *n)
{
    assert_string_equal(payload, "stats");
    *reply = strdup("requests 77\nconnections 3\nnodes 9\n");
    return 0;
}

/* The store: what was written below the directory of the one that shows it. */
static char text[BH_METRICS_CHUNK * BH_METRICS_CHUNKS + 1], said[16];
static unsigned writes, set, refuse;
int xs_write(uint32_t tx, const char *path, const char *val)
{
    unsigned id, s, i;

    if (refuse)
        return -EIO;
    assert_int_equal(sscanf(path, "/local/domain/%u/metrics/%u/%u", &id, &s, &i), 3);
    assert_int_equal(id, shows.id);
    assert_true(strlen(val) <= BH_METRICS_CHUNK && i < BH_METRICS_CHUNKS);
    strcpy(text + i * BH_METRICS_CHUNK, val);
    set = s;
    writes++;
    return 0;
}
int xs_printf(uint32_t tx, const char *path, const char *fmt, ...)
{
    va_list ap;

    assert_string_equal(path, "/local/domain/21/metrics/now");
    va_start(ap, fmt);
    vsnprintf(said, sizeof(said), fmt, ap);
    va_end(ap);
    return 0;
}

int setup(void **state)
{
    now += 10 * NS_PER_S;
    nr_domains = 3;
    writes = timers = refuse = reads = 0;
    reads_until_it_dies = 1000;
    serves = true;
    said[0] = '\0';
    guest.next = NULL;
    return 0;
}

TEST(nobody_asks)
{
    assert_false(metrics_work());
    shows.ending = true;
    guest.next = &shows;
    assert_false(metrics_work());
    shows.ending = false;
    store_up = false;
    assert_false(metrics_work());
    store_up = true;
    assert_int_equal(writes + timers, 0);
}

TEST(told)
{
    unsigned before, sets, chunks;

    guest.next = &shows;
    assert_true(metrics_work());
    assert_int_equal(sscanf(said, "%u %u", &sets, &chunks), 2);
    assert_int_equal(sets, set);
    assert_int_equal(chunks, writes);
    for (const char *const *want =
             (const char *const[]){
                 "bulkhead_domain_cpu_seconds_total{domain=\"control\",id=\"0\"} 1.234567890\n",
                 "# TYPE bulkhead_vif_frames_received_total counter\n"
                 "bulkhead_vif_frames_received_total{domain=\"guest\",vif=\"0\"} 11\n",
                 "bulkhead_wire_frames_sent_total{domain=\"net0\",bridge=\"net0\"} 22\n",
                 "bulkhead_restarts_total{reason=\"deadline\"} 2\n",
                 "bulkhead_outage_seconds_bucket{le=\"0.010\"} 1\n",
                 "bulkhead_outage_seconds_bucket{le=\"+Inf\"} 3\n",
                 "bulkhead_outage_seconds_sum 1.500000000\n",
                 "bulkhead_store_operations_total 77\n", "bulkhead_page_whole 1\n", NULL };
         *want; want++)
        if (!strstr(text, *want))
            fail_msg("%s is not in %s", *want, text);
    before = set;
    assert_false(metrics_work()); /* not yet */
    assert_int_equal(timers, 1);
    now += 5 * NS_PER_S;
    assert_true(metrics_work());
    assert_int_not_equal(set, before); /* whoever reads the last one may go on */
}

TEST(too_much)
{
    guest.next = &shows;
    nr_domains = 5000;
    assert_true(metrics_work());
    assert_true(writes <= BH_METRICS_CHUNKS);
    size_t len = strlen(text);
    assert_true(strlen(text) > 23);
    assert_string_equal(text + len - 23,
                        "\nbulkhead_page_whole 0\n"); /* it says so, and no line is cut */
    assert_non_null(strstr(text, "bulkhead_store_operations_total 77\n"));
}

/* Each question would be waited for, and commands meanwhile. */
TEST(store_that_is_away)
{
    guest.next = &shows;
    serves = false;
    assert_true(metrics_work());
    assert_int_equal(reads + writes, 0);
    assert_int_equal(timers, 1); /* later again */
    now += 5 * NS_PER_S;
    serves = true;
    reads_until_it_dies = 0;
    assert_true(metrics_work());
    assert_int_equal(reads, 1);
    assert_int_equal(writes, 0); /* of what is missing nobody knows whether it is gone */
    now += 5 * NS_PER_S;
    reads_until_it_dies = 1000;
    assert_true(metrics_work());
    assert_true(writes > 0);
}

TEST(store_that_refuses)
{
    guest.next = &shows;
    refuse = 1;
    assert_true(metrics_work());
    assert_int_equal(said[0], 0);
    assert_false(metrics_work()); /* it waits all the same */
}
