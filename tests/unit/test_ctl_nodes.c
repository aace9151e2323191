/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/xs_harness.c ctl-dom/store/store.c ctl-dom/store/connection.c
// LINK: ctl-dom/store/nodes.c ctl-dom/store/devices.c ctl-dom/store/linux.c ctl-dom/store/linux_life.c tests/unit/no_keyboard.c ctl-dom/config/config_disk.c
// FLAGS: -Ictl-dom -Idomains/include -luuid -lz
/* What the toolstack writes for a driver domain and a guest's disk, in the store itself: who may do what there, before and after. */
#include <errno.h>
#include "unit.h"
#include "console/console.h"
#include "domain/pci.h"
#include "domain/slots.h"
#include "store/connection.h"
#include "store/devices.h"
#include "store/nodes.h"
#include "store/store.h"
#include "xs_harness.h"

#define DISK_OF_RELAY "/local/domain/4/device/vbd/51712"
#define VIF_OF_VNET   "/local/domain/4/device/vif/0"
static struct client blk, guest;
static struct dom driver = {
    .id = 3,
    .store_port = 7,
    .cfg = { .name = "blk0", .role = BH_ROLE_DRIVER, .image = "blk", .memory_mb = 16 }
};
static struct dom second = { .id = 4,
                             .cfg = { .name = "blk1", .role = BH_ROLE_DRIVER, .image = "blk" } };
static struct dom user = { .id = 20,
                           .cfg = { .name = "guest",
                                    .vcpus = 1,
                                    .nr_disks = 1,
                                    .disk = { { .backend = "blk0",
                                                .untrusted = true,
                                                .volume = "data1",
                                                .vdev = "xvda",
                                                .mode = "w",
                                                .devid = 51712 } } } };

/* A Linux that serves disks, and who has one of it. */
static struct dom linux_dom = {
    .id = 21,
    .store_port = 7,
    .cfg = { .name = "stordd", .role = BH_ROLE_GUEST, .vcpus = 1, .driver_domain = true }
};
static struct dom linux_user = { .id = 22,
                                 .cfg = { .name = "user",
                                          .role = BH_ROLE_GUEST,
                                          .vcpus = 1,
                                          .nr_disks = 1,
                                          .disk = { { .backend = "stordd",
                                                      .kind = DISK_FILE,
                                                      .volume = "/vols/a",
                                                      .vdev = "xvda",
                                                      .mode = "r",
                                                      .devid = 51712 } } } };

static bool away; /* the store says nothing */
static unsigned waits;

/* --- the toolstack's calls, spoken over the ring -------------------------------------------------------------------- */
static int call(uint32_t type, uint32_t tx, const char *path, const char *more, size_t len)
{
    char p[512];
    size_t n = strlen(path) + 1;
    memcpy(p, path, n);
    memcpy(p + n, more, len);
    const char *s = said(&ctl, type, tx, p, (uint32_t)(n + len));
    return s[0] == '=' ? 0 : !strcmp(s, "ENOENT") ? -ENOENT : !strcmp(s, "EAGAIN") ? -EAGAIN : -EIO;
}
unsigned xs_breaks(void) { return 0; }
int xs_mkdir(uint32_t tx, const char *path) { return call(XS_MKDIR, tx, path, "", 0); }
int xs_rm(uint32_t tx, const char *path) { return call(XS_RM, tx, path, "", 0); }
static bool no_room; /* for what is written */
int xs_write(uint32_t tx, const char *path, const char *val)
{
    return no_room ? -ENOSPC : call(XS_WRITE, tx, path, val, strlen(val));
}
int xs_set_perms(uint32_t tx, const char *path, const char *perms)
{
    char p[64];
    size_t n = strlen(perms) + 1;
    memcpy(p, perms, n);
    for (char *c = p; *c; c++)
        *c = *c == ' ' ? 0 : *c;
    return call(XS_SET_PERMS, tx, path, p, n);
}
int xs_printf(uint32_t tx, const char *path, const char *fmt, ...)
{
    char val[64];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(val, sizeof(val), fmt, ap);
    va_end(ap);
    return xs_write(tx, path, val);
}
int xs_tx_start(uint32_t *tx) { return *tx = tx_start(&ctl), 0; }
int xs_tx_end(uint32_t tx, bool good)
{
    return call(XS_TRANSACTION_END, tx, good ? "T" : "F", "", 0);
}
char *xs_read(uint32_t tx, const char *path)
{
    if (away) {
        waits++;
        xs_error = ETIME;
        return NULL;
    }
    const char *s = said(&ctl, XS_READ, tx, path, (uint32_t)strlen(path) + 1);
    xs_error = s[0] == '=' ? 0 : strcmp(s, "ENOENT") ? EIO : ENOENT;
    return s[0] == '=' ? strdup(s + 1) : NULL;
}
int xs_error;
char **xs_ls(uint32_t tx, const char *path, unsigned *n)
{
    const struct msg *r = ask(&ctl, XS_DIRECTORY, tx, path, (uint32_t)strlen(path) + 1);
    char **names = calloc(1, 64 * sizeof(*names) + r->hdr.len), *at = (char *)(names + 64);

    assert_int_equal(r->hdr.type, XS_DIRECTORY);
    memcpy(at, r->data, r->hdr.len);
    for (*n = 0; at < (char *)(names + 64) + r->hdr.len; at += strlen(at) + 1)
        names[(*n)++] = at;
    return names;
}
int xs_read_uint(uint32_t tx, const char *path, uint64_t *v)
{
    char *s = xs_read(tx, path);
    *v = s ? strtoull(s, NULL, 10) : 0;
    int rc = s ? 0 : -ENOENT;
    free(s);
    return rc;
}
int xs_raw(uint32_t type, uint32_t tx, const void *p, uint32_t len, char **out, uint32_t *n)
{
    const char *reply = said(&ctl, type, tx, p, len);
    return reply[0] == '=' ? 0 : !strcmp(reply, "ENOENT") ? -ENOENT : -EIO;
}

int xs_slot_port(void) { return -1; }
int xs_post(uint32_t type, const void *p, uint32_t len, xs_done done, void *arg)
{
    done(xs_raw(type, 0, p, len, NULL, NULL), arg);
    return 0;
}

/* --- what else these files call -------------------------------------------------------------------------------------- */
struct dom *doms;
static uint64_t now;
uint64_t now_ns(void) { return now; }
void job_wait(uint64_t until) { now += 1000000000; }
struct dom *driver_by_name(const char *name, const char *image)
{
    return !strcmp(name, "blk0") ? &driver : !strcmp(name, "blk1") ? &second : NULL;
}
struct dom *dom_by_name(const char *name) { return strcmp(name, "stordd") ? NULL : &linux_dom; }
const char *vif_bridge(const struct dom *b, const struct cfg_vif *v) { return "net0"; }
struct dom *dom_by_id(domid_t id) { return id == 3 ? &driver : id == 21 ? &linux_dom : NULL; }
int slot_attach(const struct dom *d, const struct dom_dev *v, struct errbuf *e) { return 0; }
void slot_attached(const struct dom *d, const struct dom_dev *v) {}
uint32_t slot_gen_of(const struct dom *d, const struct dom_dev *v) { return 1; }
bool slot_wants_extent(const struct dom *d, const struct dom_dev *v) { return false; }
void slot_chance(const struct dom *d, const struct dom_dev *v) {}
void slot_extent(const struct dom *d, const struct dom_dev *v, uint64_t first, uint64_t nr) {}
void slot_detaching(const struct dom *d, const struct dom_dev *v) {}
void slot_remove(const struct dom *d, const struct dom_dev *v) {}
int vif_served(const struct cfg_vif *v, const char *who, struct dom **b, struct errbuf *e)
{
    *b = &driver;
    return strcmp(v->bridge, "net0") ? -ENOENT : 0;
}
int bridge_find(const struct dom *b, const struct cfg_vif *v) { return 0; }
const char *bridge_name(const struct dom *b, unsigned i) { return "net0"; }
void say(const char *fmt, ...) {}
const char *errno_text(int rc) { return "an error"; }
int fail(struct errbuf *e, int rc, const char *fmt, ...) { return rc; }
struct sbdf_text sbdf_text(uint32_t sbdf) { return (struct sbdf_text){ "" }; }
int xs_watch(const char *path, watch_fn fn, void *arg) { return 0; }
int xs_unwatch(const char *path, watch_fn fn, void *arg) { return 0; }
void *page_alloc(unsigned n) { return NULL; }
int grant_give(domid_t to, const void *page, unsigned flags) { return -1; }
int event_alloc_unbound(domid_t remote, event_fn fn, void *arg) { return -1; }
int xs_attach(void *ring, uint32_t port) { return -1; }

/* --- the test ------------------------------------------------------------------------------------------------------------ */
#define DEVICE "/local/domain/3/backend/vbd/20/51712"

/* A disk that names no domain is the only one's; whoever it was stays it. */
TEST(test_only_one)
{
    static struct dom d = {
        .id = 21,
        .cfg = { .name = "g", .nr_disks = 1, .disk = { { .volume = "data1", .vdev = "xvda" } } }
    };
    struct dom_dev v;
    struct errbuf e;

    assert_int_equal(disk_resolve(&d, 0, &v, &e), -ENOENT);
    doms = &driver;
    driver.next = &second;
    assert_int_equal(disk_resolve(&d, 0, &v, &e), -EINVAL);
    driver.next = NULL;
    assert_int_equal(disk_resolve(&d, 0, &v, &e), 0);
    assert_int_equal(v.back, 3);
    driver.next = &second;
    assert_int_equal(disk_resolve(&d, 0, &v, &e), 0);
    assert_string_equal(d.cfg.disk[0].backend, "blk0");
    driver.next = NULL;
    doms = NULL;
}

TEST(test_nothing_comes_back)
{
    struct errbuf e;
    store_up = true;
    assert_int_equal(store_add_domain(&driver, &e), 0);
    assert_int_equal(store_introduce(&driver), 0);
    client_init(&blk, 3);
    assert_int_equal(blk.c->limits == &limits_driver, true);
    int before = xs_usage(&store, 3, false)->nodes;
    assert_int_equal(store_add_domain(&user, &e), 0);
    introduce(&guest, 20);
    assert_true(guest.c->limits == &limits_guest);

    assert_string_equal(said(&ctl, XS_READ, 0, S("/local/domain/20/device/vbd/51712/trusted")), "=0");
    /* While it is there the back-end and the front-end have what they need. */
    OK(&blk, XS_WRITE, 0,
       D(DEVICE "/state\0"
                "2"));
    OK(&blk, XS_WRITE, 0,
       D(DEVICE "/sectors\0"
                "2048"));
    assert_int_equal(ask(&blk, XS_DIRECTORY, 0, S("backend/vbd"))->hdr.len, 3);
    assert_int_equal(ask(&blk, XS_DIRECTORY, 0, S("backend/vbd/20"))->hdr.len, 6);
    OK(&guest, XS_WRITE, 0,
       D("device/vbd/51712/state\0"
         "3"));
    WANT(&guest, XS_READ, 0, S(DEVICE "/state"), "=2");
    WANT(&guest, XS_WRITE, 0,
         D(DEVICE "/state\0"
                  "2"),
         "EACCES");
    WANT(&blk, XS_READ, 0, S("/local/domain/20/device/vbd/51712/state"), "=3");
    WANT(&blk, XS_WRITE, 0,
         D(DEVICE "/online\0"
                  "0"),
         "EACCES"); /* the toolstack's */
    OK(&blk, XS_WRITE, 0,
       D(DEVICE "/state\0"
                "6"));
    WANT(&blk, XS_WRITE, 0,
         D("/local/domain/3/backend/vbd/20/51728/state\0"
           "1"),
         "EACCES"); /* one that is none (any more) */

    devs_close(&user);
    WANT(&blk, XS_WRITE, 0,
         D(DEVICE "/state\0"
                  "6"),
         "EACCES"); /* too late */
    WANT(&blk, XS_WRITE, 0,
         D("/local/domain/3/backend/vbd/99/1/state\0"
           "1"),
         "EACCES");
    WANT(&ctl, XS_READ, 0, S(DEVICE), "ENOENT");
    WANT(&ctl, XS_READ, 0, S("/local/domain/3/backend/vbd/20"), "ENOENT");
    assert_int_equal(xs_usage(&store, 3, false)->nodes, before);
    client_drop_events(&blk);
    client_drop_events(&guest);
}

static void both(struct txn *t, struct dom *d, void *arg) { dev_nodes(t, d, arg); }
#define OF_LINUX "/local/domain/21/backend/vbd/22/51712"
/* A Linux that serves others: its own clients' directories are its, and nothing else is; whoever has taken it over can lie there to these alone. */
TEST(test_linux_back_end)
{
    static struct client stordd, its_user;
    static const char *const others[] = {
        OF_LINUX "/params\0/vols/b",
        OF_LINUX "/mode\0w",
        OF_LINUX "/frontend\0/local/domain/20/device/vbd/51712",
        OF_LINUX "/frontend-id\0002",
        OF_LINUX "/online\0000",
        "/local/domain/21/backend/vbd/20/51712/state\0001",
        "/local/domain/21/backend/vif/22/0/state\0001",
        "/local/domain/22/device/vbd/51712/state\0006",
        "/local/domain/22/device/vbd/51712/backend-id\00021",
        "/local/domain/22/device/vbd/51728/state\0001",
        "/local/domain/22/control/shutdown\0poweroff",
        "/local/domain/20/data/x\0x",
        "/local/domain/3/backend/vbd/20/51712/state\0006",
        "/local/domain/21/name\0net0",
    };
    struct errbuf e;

    store_up = true;
    doms = &driver;
    driver.next = &linux_dom;
    assert_int_equal(store_add_domain(&driver, &e), 0);
    assert_int_equal(store_add_domain(&linux_dom, &e), 0);
    introduce(&stordd, 21);
    assert_true(stordd.c->limits == &limits_guest);
    assert_int_equal(store_add_domain(&user, &e), 0);
    assert_int_equal(store_add_domain(&linux_user, &e), 0);
    introduce(&its_user, 22);
    WANT(&stordd, XS_READ, 0, S(OF_LINUX "/params"), "=/vols/a");
    WANT(&stordd, XS_READ, 0, S(OF_LINUX "/type"), "=file");
    WANT(&stordd, XS_READ, 0, S("/local/domain/22/device/vbd/51712/state"), "=1");
    OK(&stordd, XS_WRITE, 0, D(OF_LINUX "/state\0002"));
    OK(&stordd, XS_WRITE, 0, D(OF_LINUX "/physical-device\0007:0"));
    OK(&stordd, XS_WRITE, 0, D("backend/vbd/22/51712/hotplug-status\0connected"));
    WANT(&its_user, XS_READ, 0, S(OF_LINUX "/state"), "=2");
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
        size_t path = strlen(others[i]) + 1, len = path + strlen(others[i] + path);
        assert_string_equal(said(&stordd, XS_WRITE, 0, others[i], (uint32_t)len), "EACCES");
    }
    WANT(&stordd, XS_READ, 0, S("/local/domain/20/device/vbd/51712/backend"), "EACCES");
    WANT(&stordd, XS_READ, 0, S("/local/domain/3/backend/vbd/20/51712/params"), "EACCES");
    WANT(&stordd, XS_RM, 0, S("/local/domain/22/device/vbd/51712"), "EACCES");
    WANT(&stordd, XS_SET_PERMS, 0, S("/local/domain/22/device/vbd/51712\0n21"), "EACCES");
    WANT(&its_user, XS_WRITE, 0, D(OF_LINUX "/state\0006"), "EACCES");

    /* A second one comes while it runs: it hears of that. */
    OK(&stordd, XS_WATCH, 0, S("backend\0be"));
    const char *token, *path;
    while (strcmp(path = event(&stordd, &token), "-"))
        ;
    linux_user.cfg.disk[1] = linux_user.cfg.disk[0];
    linux_user.cfg.disk[1].devid = 51728;
    linux_user.dev[1] = (struct dom_dev){
        .kind = DEV_VBD, .index = 1, .devid = 51728, .back = 21, .foreign = true
    };
    assert_int_equal(commit(&linux_user, both, &linux_user.dev[1], &e), 0);
    bool heard = false;
    while (strcmp(path = event(&stordd, &token), "-"))
        heard |= !strcmp(path, "backend/vbd/22/51728/state");
    assert_true(heard);
    WANT(&stordd, XS_READ, 0, S("/local/domain/22/device/vbd/51728/backend-id"), "=21");
    WANT(&stordd, XS_READ, 0, S("/local/domain/22/device/vbd/51728/state"), "=1");

    devs_close(&linux_user);
    WANT(&stordd, XS_WRITE, 0, D(OF_LINUX "/state\0006"), "EACCES"); /* too late */
    WANT(&ctl, XS_READ, 0, S("/local/domain/21/backend/vbd/22"), "ENOENT");
    assert_int_equal(store_leave(22), 0);
    assert_int_equal(store_leave(21), 0);
    driver.next = doms = NULL;
    client_drop_events(&stordd);
    client_drop_events(&its_user);
}

/* A driver domain with a device itself, beside the one that serves it. */
static void begins(struct dom *d, struct client *c)
{
    struct errbuf e;

    d->next = NULL;
    store_up = true;
    doms = &driver;
    driver.next = d;
    assert_int_equal(store_add_domain(&driver, &e), 0);
    assert_int_equal(store_add_domain(d, &e), 0);
    introduce(c, 4);
}

/* PATH and, behind its 0, what is written there. */
static const char *writes(struct client *c, const char *node)
{
    size_t path = strlen(node) + 1;

    return said(c, XS_WRITE, 0, node, (uint32_t)(path + strlen(node + path)));
}

/* A driver domain with a disk itself: it may have been anybody's before its restart, so who serves that is not its to say. */
TEST(test_relays_disk)
{
    static struct client relay;
    static struct dom d;
    static const char *const others[] = { DISK_OF_RELAY
                                          "/backend\0/local/domain/20/backend/vbd/4/51712",
                                          DISK_OF_RELAY "/backend-id\00020",
                                          DISK_OF_RELAY "/other\0x",
                                          "/local/domain/4/device/vbd/51728/backend-id\00020" };
    static const char *const own[] = { DISK_OF_RELAY "/state\0003", DISK_OF_RELAY "/ring-ref\0008",
                                       DISK_OF_RELAY "/event-channel\0003",
                                       DISK_OF_RELAY "/protocol\0x86_64-abi" };

    d = second;
    d.store_port = 7;
    d.cfg.nr_disks = 1;
    d.cfg.disk[0] = user.cfg.disk[0];
    begins(&d, &relay);
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        assert_string_equal(writes(&relay, others[i]), "EACCES");
    WANT(&relay, XS_RM, 0, S(DISK_OF_RELAY), "EACCES");
    WANT(&relay, XS_RM, 0, S(DISK_OF_RELAY "/backend"), "EACCES");
    WANT(&relay, XS_SET_PERMS, 0, S(DISK_OF_RELAY "\0n4"), "EACCES");
    for (unsigned i = 0; i < ARRAY_SIZE(own); i++)
        assert_string_equal(writes(&relay, own[i]), "=OK");
    WANT(&relay, XS_READ, 0, S(DISK_OF_RELAY "/backend-id"), "=3");
    devs_close(&d);
    assert_int_equal(store_leave(4), 0);
    driver.next = doms = NULL;
    client_drop_events(&relay);
}

/* The same of a vnet's domain and its vif to the outside: a wrong address would be refused by net0 for ever. */
TEST(test_vnets_vif)
{
    static struct client vnet;
    static struct dom d;
    static const char *const others[] = { VIF_OF_VNET "/backend\0/local/domain/20/backend/vif/4/0",
                                          VIF_OF_VNET "/backend-id\00020",
                                          VIF_OF_VNET "/mac\00000:16:3e:00:00:99",
                                          VIF_OF_VNET "/other\0x",
                                          "/local/domain/4/device/vif/1/backend-id\00020" };
    static const char *const own[] = { "state",
                                       "tx-ring-ref",
                                       "rx-ring-ref",
                                       "event-channel",
                                       "request-rx-copy",
                                       "feature-rx-notify",
                                       "feature-ipv6-csum-offload" };

    d = second;
    d.store_port = 7;
    d.cfg.nr_vifs = 1;
    strcpy(d.cfg.vif[0].bridge, "net0");
    begins(&d, &vnet);
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        assert_string_equal(writes(&vnet, others[i]), "EACCES");
    WANT(&vnet, XS_RM, 0, S(VIF_OF_VNET), "EACCES");
    WANT(&vnet, XS_RM, 0, S(VIF_OF_VNET "/backend"), "EACCES");
    WANT(&vnet, XS_SET_PERMS, 0, S(VIF_OF_VNET "\0n4"), "EACCES");
    for (unsigned i = 0; i < ARRAY_SIZE(own); i++) {
        char path[96];
        int n = snprintf(path, sizeof(path), VIF_OF_VNET "/%s", own[i]);
        path[n + 1] = '4';
        assert_string_equal(said(&vnet, XS_WRITE, 0, path, (uint32_t)n + 2), "=OK");
    }
    WANT(&vnet, XS_READ, 0, S(VIF_OF_VNET "/backend-id"), "=3");
    devs_close(&d);
    assert_int_equal(store_leave(4), 0);
    driver.next = doms = NULL;
    client_drop_events(&vnet);
}

/* What the core may hear of a guest's domid: true only if the store answered, also for one that failed on the way into it. */
TEST(test_unnamed)
{
    struct errbuf e;
    store_up = true;
    user.cfg.role = BH_ROLE_GUEST;
    assert_int_equal(store_add_domain(&driver, &e), 0);
    assert_int_equal(store_introduce(&driver), 0);
    client_init(&blk, 3);
    assert_int_equal(store_add_domain(&user, &e), 0);
    OK(&g17, XS_SET_PERMS, 0,
       S("data\0n17\0r20")); /* heard of it from somebody, before it was introduced */
    assert_int_equal(store_remove_domain(&user), 0);
    assert_int_equal(ask(&g17, XS_GET_PERMS, 0, S("data"))->hdr.len, 4);

    OK(&g17, XS_SET_PERMS, 0, S("data\0n17\0r16"));
    struct dom early = {
        .id = 16, .cfg = { .name = "early", .role = BH_ROLE_GUEST }
    }; /* its memory was not to be had */
    assert_int_equal(store_remove_domain(&early), 0);
    assert_int_equal(ask(&g17, XS_GET_PERMS, 0, S("data"))->hdr.len, 4);

    xs_mem.fail_in = 1; /* the store cannot */
    assert_int_not_equal(store_remove_domain(&user), 0);
    xs_mem.fail_in = -1;
    store_up = false; /* there is none */
    assert_int_not_equal(store_remove_domain(&user), 0);
    client_drop_events(&blk);
}

static uint64_t has_directory; /* a bit for each domid */
static void has(domid_t id) { has_directory |= 1ull << id; }

#define VM "/vm/01000000-0000-0000-0000-000000000000"
static void comes_and_is_left(struct errbuf *e)
{
    assert_int_equal(store_add_domain(&user, e), 0);
    introduce(&guest, 20);
    OK(&guest, XS_WRITE, 0, D("data/mine\0x"));
    OK(&g17, XS_SET_PERMS, 0, S("data\0n17\0r20"));
    WANT(&ctl, XS_READ, 0, S("/local/domain/20/vm"), "=" VM);
    has_directory = 0;
    assert_int_equal(store_domains(has), 0);
    assert_true(has_directory & 1 << 20 && has_directory & 1 << 3 && !(has_directory & 1 << 4));
    store_up = false;
    assert_int_not_equal(store_remove_domain(&user), 0);
    WANT(&ctl, XS_READ, 0, S(DEVICE "/frontend-id"), "=20");
    store_up = true;
}

/* Of one that ended while the store did not answer its domid is all that is known later; and whoever has a directory there is found by that. */
TEST(test_left_behind)
{
    struct errbuf e;

    store_up = true;
    doms = &driver;
    user.cfg.role = BH_ROLE_GUEST;
    user.cfg.uuid[0] = 1;
    assert_int_equal(store_add_domain(&driver, &e), 0);
    assert_int_equal(store_introduce(&driver), 0);
    client_init(&blk, 3);
    OK(&ctl, XS_MKDIR, 0, S("/local/domain/x4"));
    OK(&ctl, XS_MKDIR, 0, S("/vm"));
    OK(&ctl, XS_MKDIR, 0, S("/local/domain/3/backend/vbd"));
    int before = xs_usage(&store, 0, false)->nodes;
    for (long n = 1, left = 0; !left; n++) {
        comes_and_is_left(&e);
        xs_mem.fail_in = n; /* the store has no memory, in the midst of it */
        int rc = store_leave(20);
        left = xs_mem.fail_in;
        xs_mem.fail_in = -1;
        if (rc && ask(&ctl, XS_READ, 0, S(VM))->hdr.type == XS_READ)
            WANT(&ctl, XS_READ, 0, S("/local/domain/20/domid"), "=20"); /* by that it is found again */
        for (unsigned i = 0; i < 2; i++) {
            if (rc || i)
                assert_int_equal(store_leave(20), 0);
            WANT(&ctl, XS_READ, 0, S("/local/domain/20"), "ENOENT");
            WANT(&ctl, XS_READ, 0, S("/local/domain/3/backend/vbd/20"), "ENOENT");
            WANT(&ctl, XS_READ, 0, S(VM), "ENOENT");
            WANT(&ctl, XS_IS_DOMAIN_INTRODUCED, 0, S("20"), "=F");
            assert_int_equal(ask(&g17, XS_GET_PERMS, 0, S("data"))->hdr.len, 4);
            assert_int_equal(xs_usage(&store, 0, false)->nodes, before);
        }
        client_drop_events(&guest);
    }
    assert_int_equal(store_leave(7), 0); /* a service domain of which it never heard */
    doms = NULL;
    client_drop_events(&blk);
}

/* How much memory it is to have, and which vCPUs: it hears each change, and changes none itself. A store that began empty is told what holds now. */
TEST(test_sizes)
{
    struct errbuf e;
    static struct dom sized = { .id = 20,
                                .cfg = { .name = "sized",
                                         .role = BH_ROLE_GUEST,
                                         .kernel = "k",
                                         .memory_mb = 64,
                                         .maxmem_mb = 128,
                                         .vcpus = 1,
                                         .maxvcpus = 2 } };

    store_up = true;
    assert_int_equal(store_add_domain(&sized, &e), 0);
    introduce(&guest, 20);
    WANT(&guest, XS_READ, 0, S("memory/static-max"), "=131072"); /* KiB */
    WANT(&guest, XS_READ, 0, S("memory/target"), "=65536");
    WANT(&guest, XS_READ, 0, S("cpu/0/availability"), "=online");
    WANT(&guest, XS_READ, 0, S("cpu/1/availability"), "=offline");
    WANT(&guest, XS_READ, 0, S("cpu/2/availability"), "ENOENT");
    WANT(&guest, XS_WRITE, 0,
         D("memory/target\0"
           "131072"),
         "EACCES");
    WANT(&guest, XS_WRITE, 0,
         D("memory/static-max\0"
           "262144"),
         "EACCES");
    WANT(&guest, XS_WRITE, 0, D("cpu/1/availability\0online"), "EACCES");
    WANT(&guest, XS_RM, 0, S("memory"), "EACCES");

    sized.cfg.maxmem_mb = 0; /* what it has is the most, also when it is to have less */
    sized.cfg.maxvcpus = 0;
    sized.cfg.vcpus = 2;
    assert_int_equal(store_resize(&sized, 32, 1, &e), 0);
    assert_true(sized.cfg.memory_mb == 32 && config_most_mb(&sized.cfg) == 64);
    assert_true(sized.cfg.vcpus == 1 && config_most_vcpus(&sized.cfg) == 2);
    assert_false(sized.resizes);
    WANT(&guest, XS_READ, 0, S("memory/target"), "=32768");
    WANT(&guest, XS_READ, 0, S("cpu/1/availability"), "=offline");
    assert_int_equal(store_resize(&sized, 64, 2, &e), 0);
    WANT(&guest, XS_READ, 0, S("cpu/1/availability"), "=online");

    no_room = true;
    assert_int_equal(store_resize(&sized, 32, 1, &e), -ENOSPC);
    no_room = false;
    assert_true(sized.cfg.memory_mb == 64 && sized.cfg.vcpus == 2 && sized.resizes);
    store_up = false;
    assert_int_equal(store_resize(&sized, 32, 1, &e), -EIO);
    store_up = true;
    assert_int_equal(store_resize(&sized, 48, 1, &e), 0);
    OK(&ctl, XS_RM, 0, S("/local/domain/20/memory"));
    OK(&ctl, XS_RM, 0, S("/local/domain/20/cpu"));
    assert_int_equal(store_add_again(&sized, &e), 0);
    WANT(&guest, XS_READ, 0, S("memory/static-max"), "=65536");
    WANT(&guest, XS_READ, 0, S("memory/target"), "=49152");
    WANT(&guest, XS_READ, 0, S("cpu/1/availability"), "=offline");
    assert_int_equal(store_remove_domain(&sized), 0);
    client_drop_events(&guest);
}

/* A back-end asked for something, and the store does not answer: it is waited for once, and asked again. */
TEST(test_store_that_is_away)
{
    struct dom *all = doms;

    for (unsigned i = 0; i < 4; i++)
        user.dev[i] = (struct dom_dev){ .kind = DEV_VBD, .back = driver.id, .stalled = true };
    user.nr_devs = 4;
    doms = &user;
    devs_driver_found(&driver);
    away = true;
    waits = 0;
    assert_false(devs_work());
    assert_int_equal(waits, 1);
    assert_true(user.dev[0].stalled); /* nobody knows better */
    away = false;
    assert_true(devs_work());
    assert_false(user.dev[0].stalled);
    assert_false(devs_work());
    user.nr_devs = 0;
    doms = all;
}
