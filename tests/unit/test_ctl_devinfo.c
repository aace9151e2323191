/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/domain/bridge.c ctl-dom/shell/lists.c ctl-dom/shell/named.c ctl-dom/shell/guest.c ctl-dom/shell/list.c ctl-dom/shell/list_long.c ctl-dom/shell/json.c domains/devname.c ctl-dom/supervise/aside.c ctl-dom/shell/info.c ctl-dom/shell/block.c ctl-dom/shell/network.c
// FLAGS: -Ictl-dom -Idomains/include -luuid
/* The lists of the shell: what they say of the devices of driver domains. */
#include <errno.h>
#include "unit.h"
#include "bundle/kept.h"
#include "run_command.h"
#include "screen.h"
#include "store/connection.h"
#include "store/devices.h"
#include "store/hotplug.h"
#include "supervise/rejuvenate.h"
#include "supervise/waiting.h"
#include <xen/io/xs_wire.h>

static struct dom store = { .id = BH_DOMID_STORE,
                            .state = DOM_UP,
                            .cfg = { .name = "store", .role = BH_ROLE_STORE } };
static struct dom user = { .id = 20,
                           .next = &store,
                           .cfg = { .name = "guest", .role = BH_ROLE_GUEST },
                           .nr_devs = 1,
                           .dev = { { .kind = DEV_VIF, .back = 4 } } };
static struct dom net = { .next = &user,
                          .id = 4,
                          .cfg = { .name = "net0", .role = BH_ROLE_DRIVER, .image = "net" } };
static struct dom blk = { .next = &net,
                          .id = 3,
                          .cfg = { .name = "blk0", .role = BH_ROLE_DRIVER, .image = "blk" } };
struct dom *doms = &blk;
bool store_up = true;

void say(const char *fmt, ...) {}
void rejuvenate_list(const struct dom *d) {}
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
struct dom *dom_find(const char *name, struct errbuf *e)
{
    struct dom *d = doms;
    while (d && strcmp(d->cfg.name, name))
        d = d->next;
    if (!d && e)
        snprintf(e->s, sizeof(e->s), "%s: there is none", name);
    return d;
}
void dev_paths(const struct dom *d, const struct dom_dev *v, char be[DEV_PATH], char fe[DEV_PATH])
{
    snprintf(be, DEV_PATH, "/be/%u", v->devid);
    snprintf(fe, DEV_PATH, "/fe/%u", v->devid);
}
const char *dev_text(const struct dom *d, const struct dom_dev *v)
{
    return v->kind == DEV_VIF ? "vif 0" : "disk xvda";
}
bool dev_word(const struct dom *d, const struct dom_dev *v, const char *key, char text[DEV_WORD])
{
    snprintf(text, DEV_WORD, "net0: put aside");
    return !strcmp(key, "bh-stalled");
}
int dev_retry(const struct dom *d, struct dom_dev *v, struct errbuf *e)
{
    snprintf(e->s, sizeof(e->s), "retried");
    return -EINVAL;
}
static const char *numbers[][2] = { { "/be/0/bh-stats", "11 12 0 1 2 3 4 5 6 7" },
                                    { "/local/domain/4/uplink", "21 22 0 0 0 9" },
                                    { "/local/domain/4/uplink-1", "31 32" } };
char *xs_read(uint32_t tx, const char *path)
{
    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++)
        if (!strcmp(path, numbers[i][0]))
            return strdup(numbers[i][1]);
    return NULL;
}
int xs_read_uint(uint32_t tx, const char *path, uint64_t *v) { return -ENOENT; }
char **xs_ls(uint32_t tx, const char *path, unsigned *n) { return NULL; }
static char store_asked[32];
static int store_says;
int xs_raw(uint32_t type, uint32_t tx, const void *payload, uint32_t len, char **reply, uint32_t *n)
{
    assert_int_equal(type, XS_CONTROL);
    memcpy(store_asked, payload, len);
    if (!store_says && reply) {
        *reply = memcpy(malloc(9), "20\00099\0004\0", 9);
        *n = 8;
    }
    return store_says;
}
long hypercall(unsigned nr, uint64_t op, uint64_t arg, uint64_t c, uint64_t d)
{
    static const domid_t ids[] = { 0, 3, 4, 20 };
    struct bh_dominfo *di = (struct bh_dominfo *)arg;

    if (op == BH_CTL_SYSINFO) {
        *(struct bh_sysinfo *)arg = (struct bh_sysinfo){ .core = { .ipis = 1000 },
                                                         .ended = { { 0, 3 }, .copies = 100 } };
        return 0;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
        if (ids[i] >= di->domid) {
            *di = (struct bh_dominfo){
                .domid = ids[i],
                .counts = { { 1, 2, [BH_EXIT_OTHER] = 9 }, .hypercalls = 5, .copies = ids[i] }
            };
            snprintf(di->name, sizeof(di->name), "name%u", ids[i]);
            return 0;
        }
    return -ESRCH;
}
uint64_t kept_pages(void) { return 0; }
uint64_t page_avail(void) { return 0; }
const char *errno_text(int rc) { return "an error"; }
void waiting_list(void) { out("late: it waits\n"); }
struct dom_dev *disk_of(struct dom *d, const char *vdev) { return NULL; }
bool config_amount(const char *text, uint64_t *v) { return false; }
int disk_attach(struct dom *d, const char *spec, struct errbuf *e) { return 0; }
int vif_attach(struct dom *d, char *spec, struct errbuf *e) { return 0; }
int vif_detach(struct dom *d, struct dom_dev *v, struct errbuf *e) { return 0; }
int disk_detach(struct dom *d, struct dom_dev *v, bool force, struct errbuf *e) { return 0; }
int disk_limit(struct dom *d, const struct dom_dev *v, const struct cfg_disk *c) { return 0; }

static void typed(const struct commands *group, const char *cmd, const char *arg)
{
    screen[0] = 0;
    assert_true(run_command(group, arg ? 2 : 1, (const char *const[]){ cmd, arg }));
}
#define SAYS(what)     assert_non_null(strstr(screen, what))
#define SAYS_NOT(what) assert_null(strstr(screen, what))

int setup(void **state)
{
    net.problem[0] = net.without[0] = blk.problem[0] = blk.without[0] = 0;
    return 0;
}

TEST(what_is_wrong_with_a_driver)
{
    typed(&list_commands, "list", NULL);
    SAYS("\nguest ");
    SAYS("\nlate: it waits\n");
    SAYS_NOT("0: ");
    snprintf(net.problem, sizeof(net.problem), "NIC refused");
    typed(&list_commands, "list", NULL);
    SAYS("\nnet0: NIC refused\n");
    typed(&list_commands, "list", "net0");
    SAYS("\nnet0: NIC refused\n");
    typed(&list_commands, "list", "guest");
    SAYS_NOT("refused");
    SAYS_NOT("waits");
    typed(&network_commands, "network-list", "guest"); /* who serves it */
    SAYS("/be/0");
    SAYS("\nnet0: NIC refused\n");
    typed(&network_commands, "network-list", "net0");
    SAYS("net0: NIC refused\n");
    typed(&block_commands, "block-list", "guest"); /* that serves it no disk */
    SAYS_NOT("refused");
    SAYS("guest: has no disks (volumes lists what there is)\n");
}

TEST(what_a_driver_is_without)
{
    snprintf(blk.without, sizeof(blk.without), "00:05.0: there is none");
    typed(&list_commands, "list", NULL);
    SAYS("\nblk0: it runs without 00:05.0: there is none\n");
    snprintf(blk.problem, sizeof(blk.problem), "it has no controller");
    typed(&block_commands, "volumes", NULL);
    SAYS("\nblk0: it has no controller (00:05.0: there is none)\n");
}

/* One that stands still is in each list that it belongs to, until it does no more. */
TEST(what_stands_still)
{
    static const char line[] = "\nguest: vif 0 stands still: net0: put aside\n";
    const char *retry[] = { "network-retry", "guest", "0" };

    for (unsigned still = 0; still < 2; still++) {
        user.dev[0].stalled = still;
        typed(&list_commands, "list", NULL);
        assert_int_equal(strstr(screen, line) != NULL, still);
        typed(&list_commands, "list", "guest");
        assert_int_equal(strstr(screen, line) != NULL, still);
        typed(&list_commands, "list", "net0");
        SAYS_NOT("still");
        typed(&network_commands, "network-list", "guest");
        assert_int_equal(strstr(screen, line) != NULL, still);
        typed(&network_commands, "network-list", "net0");
        assert_int_equal(strstr(screen, line) != NULL, still);
        typed(&network_commands, "network-list", "blk0");
        SAYS_NOT("still");
        typed(&block_commands, "block-list", "guest");
        SAYS_NOT("still");
    }
    screen[0] = 0;
    run_command(&network_commands, 3, retry);
    SAYS("retried\n");
    retry[2] = "1";
    screen[0] = 0;
    run_command(&network_commands, 3, retry);
    SAYS("guest: has no vif 1\n");
    user.dev[0].stalled = false;
}

/* Those whom the store put aside: it is asked only after a death of its own. */
TEST(what_the_store_does_not_serve)
{
    static const char guest_line[] = "\nguest: the store does not serve it",
                      net_line[] = "\nnet0: the store does not serve it";

    typed(&list_commands, "list", NULL);
    SAYS_NOT("does not serve");
    store.instance = 1;
    store_up = false;
    typed(&list_commands, "list", NULL);
    SAYS_NOT("does not serve");
    store_up = true;
    typed(&list_commands, "list", NULL);
    SAYS(guest_line);
    SAYS(net_line);
    typed(&list_commands, "list", "net0");
    SAYS_NOT(guest_line);
    SAYS(net_line);
    store_says = -EIO;
    user.aside = ASIDE_TOLD;
    typed(&list_commands, "list", NULL);
    SAYS_NOT("does not serve");
    typed(&list_commands, "xenstore-retry", "guest");
    assert_memory_equal(store_asked, "retry\00020", 9);
    SAYS("guest: the store says: an error\n");
    store_says = -ENOENT;
    typed(&list_commands, "xenstore-retry", "guest");
    SAYS("guest: is not put aside\n");
    assert_int_equal(user.aside, ASIDE_TOLD);
    store_says = 0;
    typed(&list_commands, "xenstore-retry", "guest");
    SAYS_NOT("guest:");
    assert_int_equal(user.aside, 0); /* another time it is told again */
    store.instance = 0;
}

TEST(frames)
{
    static const char *const heads[] = { "Idx",     "In",      "Out",     "Errors",
                                         "Dropped", "Spoofed", "TooLong", "WireLong",
                                         "NoCsum",  "Storm",   "VLAN",    "Bridge" };
    static const char guest[] =
        "\nguest                0             11          12        0        1        2        3        4        5        6        7 net0\n";
    static const char wire[] =
        "\nnet0                 wire          21          22        0        0        0        9        0        0        0        0 net0\n";

    typed(&network_commands, "network-list", "guest");
    for (const char *at = strstr(screen, "\nName"), **h = (const char **)heads;
         h < heads + ARRAY_SIZE(heads); h++)
        assert_non_null(at = strstr(at, *h));
    SAYS(guest);
    SAYS(wire);
    typed(&network_commands, "network-list", "net0"); /* all that it serves */
    SAYS(guest);
    SAYS(wire);
    SAYS_NOT("/be/0");
    typed(&network_commands, "network-list", "blk0");
    assert_string_equal(screen, "");
    numbers[1][1] = ""; /* it has no NIC */
    typed(&network_commands, "network-list", "guest");
    SAYS(guest);
    SAYS_NOT("wire ");
    numbers[1][1] = "21 22 0 0 0 9";
    net.cfg.nr_bridges = 2;
    strcpy(net.cfg.bridge[0].name, "xenbr0");
    strcpy(net.cfg.bridge[1].name, "xenbr1");
    strcpy(user.cfg.vif[0].bridge, "xenbr1");
    typed(&network_commands, "network-list", "guest");
    SAYS(" /be/0                              xenbr1\n");
    SAYS("        5        6        7 xenbr1\n");
    SAYS("\nnet0                 wire          21          22        0        0        0        9        0        0        0        0 xenbr0\n");
    SAYS("\nnet0                 wire          31          32        0        0        0        0        0        0        0        0 xenbr1\n");
    net.cfg.nr_bridges = 0;
    typed(&network_commands, "network-list", "guest");
    SAYS(" /be/0                              -\n"); /* made anew without it */
    user.cfg.vif[0].bridge[0] = '\0';
}

/* `info -v`: a row of each domain, of those that are no more, of the core itself, and what they come to; NAME: its rows alone. */
TEST(counters)
{
    const char *one[] = { "info", "-v", "net0" };

    typed(&info_commands, "info", NULL);
    SAYS("version");
    SAYS_NOT("net0  ");
    typed(&info_commands, "info", "-v");
    SAYS("\nguest                                       20   intr 1 window 2 cpuid 0 hlt 0 io 0 msr 0 call 0 npf 0 other 9\n");
    SAYS("\n(domains that ended)                         -   intr 0 window 3 ");
    SAYS("\n(all)                                        -   intr 4 window 11 cpuid 0 hlt 0 io 0 msr 0 call 0 npf 0 other 36\n");
    SAYS("\nguest                                       20   hypercalls 5 copies 20 guest-walks 0 remembered 0 nested-walks 0 ipis 0 self-ipis 0 moves 0 device-irqs 0 irqs-astray 0\n");
    SAYS("\n(core, for none of them)                     -   hypercalls 0 copies 0 guest-walks 0 remembered 0 nested-walks 0 ipis 1000 ");
    SAYS("\n(all)                                        -   hypercalls 20 copies 127 guest-walks 0 remembered 0 nested-walks 0 ipis 1000 ");
    screen[0] = 0;
    run_command(&info_commands, 3, one);
    SAYS("net0                                         4  ");
    SAYS("\nnet0                                         4   hypercalls 5 copies 4 ");
    SAYS_NOT("guest ");
    SAYS_NOT("(all)");
    SAYS_NOT("version");
    one[2] = "control";
    screen[0] = 0;
    run_command(&info_commands, 3, one);
    SAYS("\ncontrol ");
    SAYS_NOT("net0  ");
    one[2] = "nobody";
    screen[0] = 0;
    run_command(&info_commands, 3, one);
    SAYS_NOT("guest ");
}
