// SPDX-License-Identifier: MIT
// LINK: ctl-dom/shell/names.c ctl-dom/shell/named.c ctl-dom/domain/bridge.c ctl-dom/domain/dom.c ctl-dom/domain/records.c ctl-dom/domain/error.c ctl-dom/config/config.c ctl-dom/config/config_bridge.c ctl-dom/config/config_vnet.c ctl-dom/config/config_cpus.c ctl-dom/config/config_cmdline.c ctl-dom/config/config_pci.c ctl-dom/config/findings.c ctl-dom/config/known.c ctl-dom/config/settings.c ctl-dom/config/settings_text.c ctl-dom/config/settings_value.c domains/devname.c ctl-dom/config/config_vif.c ctl-dom/config/config_disk.c
// FLAGS: -Ictl-dom -Idomains/include -luuid
// domid, domname, rename, uptime: what is typed and what is shown.
#include <errno.h>
#include "unit.h"
#include "domain/dom.h"
#include "run_command.h"
#include "screen.h"
#include "store/store.h"
#include "supervise/waiting.h"

struct bh_self self;
static uint64_t now = 100000 * NS_PER_S;

uint64_t now_ns(void) { return now; }

/* The core's list: control, net0, a guest that it knows by its first name. */
static const struct bh_dominfo core[] = {
    { .domid = 0, .name = "control", .unpause_ns = 0 },
    { .domid = 4, .name = "net0", .unpause_ns = 0 },
    { .domid = 16, .name = "debian", .unpause_ns = 0 },
};
static uint64_t since[3];
long hypercall(unsigned nr, uint64_t a, uint64_t len, uint64_t s, uint64_t d)
{
    if (nr == BH_HYPERCALL_CONTROL && a == BH_CTL_INFO)
        for (unsigned i = 0; i < 3; i++)
            if (core[i].domid >= ((struct bh_dominfo *)len)->domid) {
                *(struct bh_dominfo *)len = core[i];
                ((struct bh_dominfo *)len)->unpause_ns = since[i];
                return 0;
            }
    return nr == BH_HYPERCALL_CONTROL && a == BH_CTL_INFO ? -ENOENT : -ENOSYS;
}

static int store_says;
static char in_store[64];
int store_rename(struct dom *d, const char *name, struct errbuf *e)
{
    if (store_says)
        return fail(e, store_says, "%s: store: no", d->cfg.name);
    snprintf(in_store, sizeof(in_store), "%u %s", d->id, name);
    snprintf(d->cfg.name, sizeof(d->cfg.name), "%s", name);
    return 0;
}
struct waiting *waiting_find(const char *name)
{
    static struct waiting w;
    return strcmp(name, "later") ? NULL : &w;
}

static struct dom guest, net0;
int setup(void **state)
{
    guest = (struct dom){ .id = 16, .cfg = { .name = "debian", .role = BH_ROLE_GUEST } };
    net0 = (struct dom){ .id = 4,
                         .next = &guest,
                         .cfg = { .name = "net0",
                                  .role = BH_ROLE_DRIVER,
                                  .image = "net",
                                  .nr_bridges = 1,
                                  .bridge = { { .name = "inside" } } } };
    doms = &net0;
    store_says = 0;
    screen[0] = in_store[0] = '\0';
    return 0;
}
/* What is shown; and the screen is empty again. */
static const char *shown(void)
{
    static char s[sizeof(screen)];

    memcpy(s, screen, sizeof(s));
    screen[0] = '\0';
    return s;
}

TEST(numbers_and_names)
{
    assert_true(RUN(name_commands, "domid", "debian"));
    assert_string_equal(shown(), "16\n");
    assert_true(RUN(name_commands, "domid", "control"));
    assert_string_equal(shown(), "0\n");
    assert_true(RUN(name_commands, "domid", "nobody"));
    assert_string_equal(shown(), "nobody: no such domain\n");
    assert_true(RUN(name_commands, "domname", "16"));
    assert_string_equal(shown(), "debian\n");
    assert_true(RUN(name_commands, "domname", "0"));
    assert_string_equal(shown(), "control\n");
    assert_true(RUN(name_commands, "domname", "17"));
    assert_string_equal(shown(), "17: no such domain\n");
    assert_true(RUN(name_commands, "domname", "debian"));
    assert_string_equal(shown(), "debian: is no number of a domain\n");
    assert_false(RUN(name_commands, "domid"));
    assert_false(RUN(name_commands, "domname", "1", "2"));
}

TEST(another_name)
{
    static const struct {
        const char *from, *to, *says;
    } refused[] = {
        { "nobody", "web", "nobody: no such domain\n" },
        { "net0", "web", "net0: is a service domain, others know it by this name: it stays\n" },
        { "debian", "net0", "net0: exists already\n" },
        { "debian", "inside", "inside: is the name of a bridge of net0\n" },
        { "debian", "4", "4: exists already\n" },
        { "debian", "16", "16: exists already\n" },
        { "debian", "later", "later: exists already, it waits\n" },
        { "debian", "control", "control: exists already\n" },
        { "debian", "77", "name: '77' is a number, as domains have besides their names" },
        { "debian", "a b", "name: 'a b' has a character that is not allowed" },
        { "debian", "a\"b", "" },
        { "debian", "a-name-that-is-much-longer-than-any-domain-can-have-here-by-far-it-is",
          "longer than" },
        { "debian", "Domain-0", "means the control domain elsewhere" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
        assert_true(RUN(name_commands, "rename", refused[i].from, refused[i].to));
        const char *s = shown();
        if (!*s || !strstr(s, refused[i].says))
            fail_msg("rename to '%s' says '%s'", refused[i].to, s);
        assert_string_equal(guest.cfg.name, "debian");
        assert_string_equal(in_store, "");
    }
    char name[1000];
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_true(RUN(name_commands, "rename", "debian", name));
    assert_non_null(strstr(shown(), "name: longer than 31 characters"));
    assert_false(RUN(name_commands, "rename", "debian", ""));
    assert_true(RUN(name_commands, "rename", "debian", "debian"));
    assert_string_equal(shown(), "");
    store_says = -EIO; /* as it was */
    assert_true(RUN(name_commands, "rename", "debian", "web"));
    assert_string_equal(shown(), "debian: store: no\n");
    assert_string_equal(guest.cfg.name, "debian");
    store_says = 0;
    assert_true(RUN(name_commands, "rename", "16", "web"));
    assert_string_equal(shown(), "");
    assert_string_equal(guest.cfg.name, "web");
    assert_string_equal(in_store, "16 web");
    assert_true(RUN(name_commands, "domid", "web"));
    assert_string_equal(shown(), "16\n");
}

TEST(how_long)
{
    static const char head[] = "Name                                        ID Uptime\n";
    char want[512];

    since[1] = now - 3661 * NS_PER_S; /* net0; the control domain as long as the machine */
    since[2] = now - 90061 * NS_PER_S;
    since[0] = now - 59 * NS_PER_S;
    snprintf(want, sizeof(want),
             "%scontrol                                      0  0:00:59\n"
             "net0                                         4  1:01:01\n"
             "debian                                      16 1 day,  1:01:01\n",
             head);
    assert_true(RUN(name_commands, "uptime"));
    assert_string_equal(shown(), want);
    assert_true(RUN(name_commands, "uptime", "-s", "16", "control"));
    assert_string_equal(shown(), " up  0:00:59, control (0)\n up 1 day,  1:01:01, debian (16)\n");
    assert_true(RUN(name_commands, "uptime", "net0", "nobody"));
    assert_string_equal(shown(), "nobody: no such domain\n");
    since[2] = 0; /* not started yet */
    assert_true(RUN(name_commands, "uptime", "-s", "debian"));
    assert_string_equal(shown(), " up  0:00:00, debian (16)\n");
}
