// SPDX-License-Identifier: MIT
// LINK: ctl-dom/shell/create.c ctl-dom/config/config.c ctl-dom/config/config_pci.c ctl-dom/config/config_cpus.c ctl-dom/config/config_cmdline.c ctl-dom/config/findings.c ctl-dom/config/known.c ctl-dom/config/settings.c ctl-dom/config/settings_text.c ctl-dom/config/settings_value.c ctl-dom/config/config_bridge.c ctl-dom/config/config_vnet.c domains/devname.c ctl-dom/config/config_vif.c ctl-dom/config/config_disk.c ctl-dom/domain/error.c
// FLAGS: -Ictl-dom -Idomains/include -luuid
// create: its options and words, with the real parser; what becomes of a domain is the machine's (test_ctl_deaths.c).
#include <errno.h>
#include "unit.h"
#include "console/console.h"
#include "domain/load.h"
#include "run_command.h"
#include "screen.h"
#include "supervise/life.h"

struct bh_self self;
static struct dom made;
static char done[128]; /* what was done, in its order */
static bool unpause_fails;

static void did(const char *what) { strncat(done, what, sizeof(done) - strlen(done) - 1); }

uint64_t now_ns(void) { return 1000000000; }
long hypercall(unsigned nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    assert_true(nr == BH_HYPERCALL_CONTROL && a == BH_CTL_UNPAUSE);
    did(" unpause");
    return unpause_fails ? -EINVAL : 0;
}
void command_console(struct dom *d, unsigned char leave)
{
    assert_int_equal(leave, 0x1d);
    did(" console");
}
int config_make(struct domcfg *c, const char *name, int nr_words, char *const *words,
                struct findings *found, struct errbuf *e)
{
    static const char text[] =
        "name = \"debian\"\nmemory = 256\nkernel = \"k\"\nramdisk = \"r\"\nvif = [ '' ]\n";

    memset(found, 0, sizeof(*found));
    if (strcmp(name, "debian") && strcmp(name, "debian.cfg"))
        return fail(e, -ENOENT, "%s: no such configuration in the bundle", name);
    return config_read(c, name, text, sizeof(text) - 1, nr_words, words, found);
}
static int refusal;
static int create(const struct domcfg *cfg, const char *how, struct dom **out, struct errbuf *e)
{
    if (refusal)
        return fail(e, refusal, "%s: no", cfg->name);
    did(how);
    made.id = 17;
    made.cfg = *cfg;
    if (out)
        *out = &made;
    return 0;
}
int dom_create(const struct domcfg *cfg, bool lenient, struct dom **out, struct errbuf *e)
{
    assert_false(lenient);
    return create(cfg, " runs", out, e);
}
int dom_create_paused(const struct domcfg *cfg, struct dom **out, struct errbuf *e)
{
    return create(cfg, " paused", out, e);
}
int dom_would(const struct domcfg *cfg, struct errbuf *e) { return create(cfg, " would", NULL, e); }

int setup(void **state)
{
    screen[0] = done[0] = '\0';
    refusal = 0;
    unpause_fails = false;
    memset(&made, 0, sizeof(made));
    return 0;
}
#define CREATE(...)              \
    (screen[0] = done[0] = '\0', \
     RUN(create_commands, "create" __VA_OPT__(, ) __VA_ARGS__)) /* true: no usage is shown */

/* The console is there before the first instruction. */
TEST(in_which_order)
{
    assert_true(CREATE("debian"));
    assert_string_equal(done, " runs");
    assert_string_equal(screen, "debian: created as domain 17 (0.000 ms)\n");
    assert_true(CREATE("-c", "debian"));
    assert_string_equal(done, " paused console unpause");
    assert_true(CREATE("debian", "-p"));
    assert_string_equal(done, " paused");
    assert_string_equal(screen, "debian: created as domain 17, paused (0.000 ms)\n");
    assert_true(CREATE("-pc", "debian"));
    assert_string_equal(done, " paused console");
    assert_true(CREATE("-q", "debian"));
    assert_string_equal(screen, "");
    unpause_fails = true;
    assert_true(CREATE("-c", "-q", "debian"));
    assert_non_null(strstr(screen, "debian: does not start: "));
}

TEST(nothing_made)
{
    static const char *const options[] = { "-n", "--dryrun" };

    for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
        assert_true(CREATE(options[i], "debian", "memory=64", "name=c4"));
        assert_string_equal(done, " would");
        assert_string_equal(screen,
                            "c4: would be created: 64 MiB, 1 VCPU, kernel k, ramdisk r, 1 vif, 0 disks, "
                            "0 PCI devices; nothing was made\n");
    }
    refusal = -ENOMEM;
    assert_true(CREATE("-cn", "debian"));
    assert_string_equal(screen, "debian: no\n");
    assert_string_equal(done, "");
}

TEST(which_configuration)
{
    static const char *const words[][3] = {
        { "debian.cfg" },
        { "/etc/xen/debian.cfg" },
        { "./debian" },
        { "-f", "debian" },
        { "-f=debian.cfg" },
        { "--defconfig=debian" },
        { "--defconfig", "debian" },
        { "-q", "-f", "debian" },
        { "name=debian", "debian" },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        int n = 1;
        const char *line[4] = { "create" };
        while (n < 4 && words[i][n - 1])
            line[n] = words[i][n - 1], n++;
        setup(NULL);
        assert_true(run_command(&create_commands, n, line));
        assert_string_equal(done, " runs");
        assert_string_equal(made.cfg.name, "debian");
    }
    assert_true(CREATE("nobody"));
    assert_string_equal(screen, "nobody: no such configuration in the bundle\n");
    assert_true(CREATE("/etc/xen/web.cfg"));
    assert_string_equal(screen,
                        "/etc/xen/web.cfg: there are no files here, configurations come from the boot bundle "
                        "(which has no web.cfg)\n");
    assert_false(CREATE("-f"));
    assert_false(CREATE("-p"));
    assert_false(CREATE("name=c1"));
    assert_string_equal(done, "");
}

TEST(words_for_it)
{
    assert_true(CREATE("debian", "name=\"c7\"", "memory=128", "vif=[]"));
    assert_string_equal(made.cfg.name, "c7");
    assert_int_equal(made.cfg.memory_mb, 128);
    assert_int_equal(made.cfg.nr_vifs, 0);
    assert_true(CREATE("debian", "vif=['mac=00:16:3e:11:22:50,bridge=net0','bridge=net0']"));
    assert_int_equal(made.cfg.nr_vifs, 2);
    static const char *const bad[][3] = {
        { "debian", "name=a b", "name: " },
        { "debian", "memory=", "memory" },
        { "debian", "nosuch=1", "nosuch" },
        { "debian", "debian", "create: 'debian' after 'debian': one configuration" },
        { "debian", "=", "create: '=' after 'debian': one configuration" },
        { "debian", "-V", "create: -V: no guest has a screen here" },
        { "-F", "debian", "create: -F: nothing goes into the background here" },
        { "-e", "debian", "create: -e: who watches" },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_true(CREATE(bad[i][0], bad[i][1]));
        if (!strstr(screen, bad[i][2]))
            fail_msg("%s %s says '%s'", bad[i][0], bad[i][1], screen);
        assert_string_equal(done, "");
    }
    assert_false(CREATE("-x", "debian"));
    assert_false(CREATE("-", "debian"));
    assert_string_equal(done, "");
}
