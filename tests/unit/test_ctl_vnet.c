// SPDX-License-Identifier: MIT
// LINK: ctl-dom/shell/vnet.c ctl-dom/config/config.c ctl-dom/config/config_pci.c ctl-dom/config/config_cpus.c ctl-dom/config/config_cmdline.c ctl-dom/config/findings.c ctl-dom/config/known.c ctl-dom/config/settings.c ctl-dom/config/settings_text.c ctl-dom/config/settings_value.c ctl-dom/config/config_bridge.c ctl-dom/config/config_vnet.c domains/devname.c ctl-dom/config/config_vif.c ctl-dom/config/config_disk.c ctl-dom/domain/error.c
// FLAGS: -Ictl-dom -Idomains/include -luuid
// vnets: what their words make, what is shown of a domain that may write anything, and that a guest's is not taken away.
#include <errno.h>
#include "unit.h"
#include "console/console.h"
#include "domain/load.h"
#include "run_command.h"
#include "screen.h"
#include "shell/lists.h"
#include "supervise/life.h"

struct bh_self self;
static struct dom made[2], guest = { .id = 16, .cfg = { .name = "debian" } };
static unsigned nr_made, destroyed;
static bool used;
static const char *said;
struct dom *doms;

uint64_t now_ns(void) { return 1000000000; }
void command_findings(const struct findings *found, const char *why)
{
    for (unsigned i = 0; i < found->n; i++)
        out("%s\n", found->at[i].text);
}
int dom_create(const struct domcfg *cfg, bool lenient, struct dom **d, struct errbuf *e)
{
    if (nr_made == 2)
        return fail(e, -ENOSPC, "%s: no", cfg->name);
    *d = &made[nr_made];
    **d = (struct dom){ .id = (domid_t)(5 + nr_made++), .cfg = *cfg, .next = doms };
    doms = *d;
    return 0;
}
int dom_destroy(struct dom *d, struct errbuf *e) { return destroyed = d->id, 0; }
bool serves(const struct dom *b, const struct dom *d, enum dev_kind kind)
{
    return used && d == &guest && b->id == 5 && kind == DEV_VIF;
}
void driver_problem(const struct dom *b) {}
bool list_uplink(const struct dom *b, unsigned bridge, uint64_t n[BH_NET_STATS])
{
    n[BH_NET_IN] = 11, n[BH_NET_OUT] = 22;
    return true;
}
char *xs_read(uint32_t tx, const char *path) { return said ? strdup(said) : NULL; }

int setup(void **state)
{
    screen[0] = 0;
    doms = &guest;
    nr_made = destroyed = 0;
    used = false;
    said = NULL;
    return 0;
}
#define VNET(...) (screen[0] = 0, RUN(vnet_commands, __VA_ARGS__))

TEST(create)
{
    assert_true(VNET("vnet-create", "97", "ip=10.0.0.2/24", "peers=10.0.0.3,any", "bridge=net0",
                     "rate=10Mb/s", "mtu=1500", "memory=12"));
    assert_string_equal(screen, "vnet97: created as domain 5 (0.000 ms)\n");
    const struct domcfg *c = &made[0].cfg;
    assert_string_equal(c->name, "vnet97");
    assert_int_equal(c->vnet, 97);
    assert_int_equal(c->memory_mb, 12);
    assert_int_equal(c->keep, 257);
    assert_int_equal(c->mtu, 1500);
    assert_string_equal(c->cmdline, "vnet=97 ip=10.0.0.2/24 peers=10.0.0.3,any");
    assert_int_equal(c->nr_vifs, 1);
    assert_string_equal(c->vif[0].bridge, "net0");
    assert_int_equal(c->vif[0].rate, 1250000);
    assert_int_equal(c->vif[0].slot.nr_ips, 1); /* what it sends, it sends from there */
    assert_memory_equal(c->vif[0].slot.ip[0].addr + 12, "\x0a\0\0\2", 4);
    assert_int_equal(c->vif[0].slot.ip[0].bits, 128);
    assert_true(VNET("vnet-create", "98", "dhcp=1"));
    assert_string_equal(made[1].cfg.cmdline, "vnet=98 dhcp=1");
    assert_int_equal(made[1].cfg.vif[0].slot.nr_ips, 0);
    assert_true(VNET("vnet-create", "99", "dhcp=1"));
    assert_string_equal(screen, "vnet99: no\n");
}

TEST(six)
{
    assert_true(VNET("vnet-create", "97", "ip=fd00::2/64", "peers=fd00::3"));
    const struct domcfg *c = &made[0].cfg;
    assert_string_equal(c->cmdline, "vnet=97 ip6=fd00::2 peers=fd00::3");
    assert_int_equal(c->vif[0].slot.nr_ips, 1);
    assert_memory_equal(c->vif[0].slot.ip[0].addr, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 16);
    assert_int_equal(c->vif[0].slot.ip[0].bits, 128);
    said = "0 0 0 fd00::3 44 55 fd00:1:2:3:4:5:6:7 6 7";
    assert_true(VNET("vnet-list"));
    assert_non_null(strstr(screen, "\n97       fd00::2                  5          11          22 0\n"
                                   "  fd00::3                        44          55\n"
                                   "  fd00:1:2:3:4:5:6:7              6           7\n"));
}

TEST(refused)
{
    static const char *const bad[][3] = {
        { "0", "ip=10.0.0.2", "vnet" },
        { "", "ip=10.0.0.2", "vnet-create: '' is not between" },
        { "9x", "ip=10.0.0.2", "vnet-create: '9x' is not between" },
        { "16777216", "ip=10.0.0.2", "vnet" },
        { "97", "ip=10.0.0", "ip '10.0.0' is no address" },
        { "97", "ip=\"10.0.0.2\"", "no quotes" },
        { "97", "name=x", "'name=x' is none of" },
        { "97", "role=guest", "is none of" },
        { "97", "ip", "'ip' is none of" },
        { "97", "ipx=1", "is none of" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_true(VNET("vnet-create", bad[i][0], bad[i][1]));
        if (!strstr(screen, bad[i][2]))
            fail_msg("%s %s says '%s'", bad[i][0], bad[i][1], screen);
    }
    char many[1000] = "peers=";
    while (strlen(many) < 980)
        strcat(many, "10.0.0.3,");
    strcat(many, "10.0.0.3");
    assert_true(VNET("vnet-create", "97", "ip=10.0.0.2", many));
    assert_non_null(strstr(screen, "longer than there is room for"));
    assert_int_equal(nr_made, 0);
}

TEST(list_and_delete)
{
    assert_true(VNET("vnet-list"));
    assert_string_equal(screen, "there are no vnets\n");
    assert_true(VNET("vnet-create", "97", "ip=10.0.0.2/24", "group=239.1.1.1", "peers=10.0.0.3"));
    used = true;
    said = "1 2 3 10.0.0.3 44 55 10.0.0.4 6 7";
    assert_true(VNET("vnet-list"));
    assert_non_null(
        strstr(screen, "\n97       10.0.0.2/24              5          11          22 1: debian\n"
                       "  group 239.1.1.1\n"
                       "  not taken: 1 of strangers, 2 of other vnets, 3 that are no frames\n"
                       "  10.0.0.3                       44          55\n"
                       "  10.0.0.4                        6           7\n"));
    static const char *const hostile[] = {
        "",
        "0 0 0",
        "\x1b[2J",
        "0 0 0 10.0.0.3",
        "0 0 0 ::: ::: ::: :",
        "0 0 0 1.1.1.1 2 3\x1b[2J 9",
        "99999999999999999999999999999999999999999999999999 1 2 3 4 5",
        "0 0 0 ................................................. 1"
    };
    for (unsigned i = 0; i < ARRAY_SIZE(hostile); i++) {
        said = hostile[i];
        assert_true(VNET("vnet-list"));
        assert_null(strchr(screen, '\x1b'));
        assert_null(strstr(screen, "[2J"));
    }
    assert_true(VNET("vnet-delete", "97"));
    assert_string_equal(screen, "vnet97: is in use: debian\n");
    assert_int_equal(destroyed, 0);
    used = false;
    static const char *const none[] = { "98", "net0", "0", "97x", "" };
    for (unsigned i = 0; i < ARRAY_SIZE(none); i++) {
        assert_true(VNET("vnet-delete", none[i]));
        assert_non_null(strstr(screen, "is no vnet"));
    }
    assert_int_equal(destroyed, 0);
    assert_true(VNET("vnet-delete", "97"));
    assert_string_equal(screen, "");
    assert_int_equal(destroyed, 5);
    destroyed = 0;
    assert_true(VNET("vnet-delete", "vnet97"));
    assert_int_equal(destroyed, 5);
}
