// SPDX-License-Identifier: MIT
// LINK: ctl-dom/shell/memory.c ctl-dom/shell/vcpus.c ctl-dom/shell/follow.c ctl-dom/console/patience.c ctl-dom/shell/named.c
// FLAGS: -Ictl-dom -Idomains/include -luuid
// mem-set, mem-max and vcpu-set: what is refused and why, what the store and the core are told, and how long a guest is waited for that goes on,
// stands still or is not there.
#include <errno.h>
#include <stdarg.h>
#include "unit.h"
#include "console/console.h"
#include "domain/build.h"
#include "run_command.h"
#include "dom_table.h"
#include "screen.h"
#include "store/store.h"

static struct dom guest, net0;
static uint64_t now, limit, pages, free_pages;
static unsigned online, flags, state, resized, looks;
static int core_says, store_says;
static bool (*stays)(void), ctrl_c;
static unsigned (*moves)(void); /* what the guest does between two looks */

const char *errno_text(int rc) { return rc == -EINVAL ? "invalid" : "an error"; }
int fail(struct errbuf *e, int rc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->s, sizeof(e->s), fmt, ap);
    va_end(ap);
    return rc;
}
uint64_t now_ns(void) { return now; }
static uint64_t next_look;
void dtimer_set(struct dtimer *t, uint64_t when) { next_look = when; }
bool con_skip_to(unsigned char c) { return c == 3 && ctrl_c; }
void con_getc(void) { ctrl_c = false; }
void command_stays(bool (*on)(void)) { stays = on; }
uint64_t build_pages(const struct dom *d) { return d->cfg.memory_mb * 256ul + 16; }
long build_limit(const struct dom *d, uint64_t n) { return core_says ? core_says : (limit = n, 0); }
int store_resize(struct dom *d, uint32_t memory_mb, uint32_t vcpus, struct errbuf *e)
{
    if (store_says)
        return fail(e, store_says, "%s: store: an error", d->cfg.name);
    d->cfg.maxmem_mb = config_most_mb(&d->cfg);
    d->cfg.memory_mb = memory_mb;
    d->cfg.vcpus = vcpus;
    resized++;
    return 0;
}
long hypercall(unsigned nr, uint64_t a, uint64_t p, uint64_t s, uint64_t d)
{
    if (a == BH_CTL_INFO) {
        struct bh_dominfo *di = (struct bh_dominfo *)p;
        di->state = (uint8_t)state;
        di->flags = flags;
        di->tot_pages = pages;
        di->vcpus_online = (uint16_t)online;
    } else {
        assert_int_equal(a, BH_CTL_SYSINFO);
        ((struct bh_sysinfo *)p)->free_pages = free_pages;
    }
    return 0;
}

int setup(void **unused)
{
    guest = (struct dom){ .id = 16,
                          .state = DOM_UP,
                          .cfg = { .name = "debian",
                                   .role = BH_ROLE_GUEST,
                                   .kernel = "k",
                                   .memory_mb = 256,
                                   .maxmem_mb = 512,
                                   .vcpus = 1,
                                   .maxvcpus = 4 } };
    net0 = (struct dom){ .id = 4, .next = &guest, .cfg = { .name = "net0", .role = BH_ROLE_DRIVER } };
    doms = &net0;
    screen[0] = '\0';
    now = NS_PER_S;
    limit = resized = flags = looks = 0;
    pages = 256 * 256 + 15;
    free_pages = 100000;
    online = 1;
    state = BH_DOM_RUNNING;
    core_says = store_says = 0;
    ctrl_c = false;
    stays = NULL;
    moves = NULL;
    return 0;
}

/* Until the command is over; the seconds that it took. */
static unsigned stayed(void)
{
    uint64_t begin = now;

    while (stays && stays()) {
        assert_true(next_look > now);
        now = next_look;
        looks++;
        if (moves)
            moves();
        assert_true(now - begin < 1000 * NS_PER_S);
    }
    stays = NULL;
    return (unsigned)((now - begin) / NS_PER_S);
}
static const char *shown(void)
{
    static char s[sizeof(screen)];
    memcpy(s, screen, sizeof(s));
    screen[0] = '\0';
    return s;
}
#define SAYS(group, text, ...)                     \
    do {                                           \
        assert_true(RUN(group, __VA_ARGS__));      \
        assert_string_equal(shown(), text);        \
        assert_true(!stays && !resized && !limit); \
    } while (0)

TEST(refusals)
{
    static const char *const sizes[] = { "",
                                         "x",
                                         "-1",
                                         "0",
                                         "0k",
                                         "1.5g",
                                         "12x",
                                         "12mm",
                                         "g",
                                         " 12",
                                         "0x10",
                                         "12 ",
                                         "99999999999999999999",
                                         "18014398509481984k",
                                         "9007199254740992t",
                                         "17592186044416t" };
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        assert_true(RUN(memory_commands, "mem-set", "debian", sizes[i]));
        assert_non_null(strstr(shown(), "' is no size (MiB, or with b, k, m, g or t behind it)\n"));
        assert_true(!resized && !limit);
    }
    SAYS(memory_commands, "nobody: no such domain\n", "mem-set", "nobody", "128");
    SAYS(memory_commands, "nobody: no such domain\n", "mem-max", "nobody", "128");
    SAYS(memory_commands, "net0: is a service domain: it has what its configuration says\n",
         "mem-set", "net0", "1");
    SAYS(memory_commands,
         "debian: 513 MiB are more than the 512 that it was started with (maxmem=)\n", "mem-set",
         "debian", "513");
    SAYS(memory_commands,
         "debian: 1024 MiB are more than the 512 that it was started with (maxmem=)\n", "mem-max",
         "debian", "1G");
    SAYS(memory_commands, "debian: 255 MiB are less than the 256 that it is to have: mem-set first\n",
         "mem-max", "debian", "255");
    SAYS(vcpus_commands, "nobody: no such domain\n", "vcpu-set", "nobody", "1");
    SAYS(vcpus_commands, "net0: is a service domain: it has one vCPU\n", "vcpu-set", "net0", "2");
    static const char *const numbers[] = { "", "0", "5", "-1", "1x", "x", "99999999999999999999" };
    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
        assert_true(RUN(vcpus_commands, "vcpu-set", "debian", numbers[i]));
        assert_non_null(strstr(shown(), "' is no number of vCPUs from 1 to 4 (maxvcpus=)\n"));
        assert_int_equal(resized, 0);
    }
    guest.state = DOM_OVER;
    SAYS(memory_commands, "debian: does not run\n", "mem-set", "debian", "128");
    SAYS(vcpus_commands, "debian: does not run\n", "vcpu-set", "debian", "2");
    assert_false(RUN(memory_commands, "mem-set", "debian"));
    assert_false(RUN(vcpus_commands, "vcpu-set", "debian", "1", "2"));
}

static unsigned goes_to(uint64_t to)
{
    pages = pages > to + 500 ? pages - 500 : pages + 500 < to ? pages + 500 : to;
    return 0;
}
static unsigned gives(void) { return goes_to(128 * 256 + 15); }
static unsigned takes(void) { return goes_to(512 * 256 + 15); }

TEST(down_and_up)
{
    assert_true(RUN(memory_commands, "mem-set", "debian", "128"));
    assert_true(limit == 128 * 256 + 16 && resized == 1 && guest.cfg.memory_mb == 128);
    moves = gives;
    assert_true(stayed() >= 6);
    assert_string_equal(shown(),
                        "debian: has 236 MiB of 128; Ctrl-C: waits no more\ndebian: has 128 MiB\n");
    assert_true(RUN(memory_commands, "mem-set", "debian", "524288K")); /* its maxmem */
    assert_true(limit == 512 * 256 + 16);
    moves = takes; /* for as long as that goes on */
    assert_true(stayed() >= 19);
    assert_non_null(strstr(shown(), "MiB of 512; Ctrl-C: waits no more\ndebian: has 512 MiB\n"));
}

TEST(units)
{
    static const struct {
        const char *text;
        unsigned mib;
    } size[] = { { "1", 1 },         { "256", 256 }, { "128m", 128 },       { "131072k", 128 },
                 { "131073k", 129 }, { "1k", 1 },    { "134217728b", 128 }, { "1b", 1 },
                 { "0512", 512 } };
    for (unsigned i = 0; i < ARRAY_SIZE(size); i++) {
        pages = size[i].mib * 256;
        assert_true(RUN(memory_commands, "mem-set", "debian", size[i].text));
        assert_int_equal(guest.cfg.memory_mb, size[i].mib);
        assert_int_equal(stayed(), 0);
    }
}

/* No balloon driver; a machine without memory; nobody there any more; Ctrl-C. */
TEST(it_stands_still)
{
    RUN(memory_commands, "mem-set", "debian", "128");
    assert_int_equal(stayed(), 10);
    assert_string_equal(
        shown(),
        "debian: has 256 MiB of 128; Ctrl-C: waits no more\n"
        "debian: has 256 MiB of 128, and gives no more back: it has not booted yet, needs that, or has no balloon driver\n");
    free_pages = 10 * 256;
    RUN(memory_commands, "mem-set", "debian", "300");
    assert_int_equal(stayed(), 10);
    assert_non_null(
        strstr(shown(),
               "debian: has 256 MiB of 300: the machine has 10 MiB free, 35 are missing; it takes more "
               "as soon as there is some\n"));
    free_pages = 100000;
    RUN(memory_commands, "mem-set", "debian", "300");
    assert_int_equal(stayed(), 10);
    assert_non_null(strstr(shown(), "of 300, and takes no more: has it a balloon driver?\n"));
    ctrl_c = true;
    RUN(memory_commands, "mem-set", "debian", "128");
    assert_int_equal(stayed(), 0);
    assert_string_equal(shown(), "debian: has 256 MiB of 128; it goes on by itself\n");
    flags = BH_DI_PAUSED;
    RUN(memory_commands, "mem-set", "debian", "300");
    assert_null(stays);
    assert_string_equal(shown(), "debian: is paused: it will hear that when it goes on\n");
    flags = 0;
    RUN(memory_commands, "mem-set", "debian", "128");
    state = BH_DOM_CRASHED;
    assert_int_equal(stayed(), 0);
    state = BH_DOM_RUNNING;
    RUN(memory_commands, "mem-set", "debian", "300");
    doms = NULL;
    assert_int_equal(stayed(), 0);
    assert_string_equal(shown(), "");
}

static unsigned to_and_fro(void) { return pages += looks % 100 < 50 ? 1 : -1u; }

/* It moves, and never arrives: whoever asked has the shell back. */
TEST(it_moves_for_ever)
{
    RUN(memory_commands, "mem-set", "debian", "128");
    moves = to_and_fro;
    assert_int_equal(stayed(), 600);
    assert_non_null(strstr(shown(), " MiB of 128, and gives no more back"));
}

TEST(refused_by_others)
{
    core_says = -EINVAL;
    RUN(memory_commands, "mem-set", "debian", "128");
    assert_string_equal(shown(), "debian: its limit stays: invalid\n");
    RUN(memory_commands, "mem-max", "debian", "300");
    assert_string_equal(shown(), "debian: invalid\n");
    assert_true(!resized && !stays);
    core_says = 0;
    store_says = -EIO;
    RUN(memory_commands, "mem-set", "debian", "128");
    assert_string_equal(shown(), "debian: store: an error\n");
    RUN(vcpus_commands, "vcpu-set", "debian", "2");
    assert_string_equal(shown(), "debian: store: an error\n");
    assert_true(limit == 256 * 256 + 16 && !stays); /* as before */
}

TEST(the_limit_alone)
{
    assert_true(RUN(memory_commands, "mem-max", "debian", "300"));
    assert_true(limit == 300 * 256 + 16 && !resized && !stays);
    assert_string_equal(shown(), "");
}

static unsigned comes_up(void) { return online += online < guest.cfg.vcpus && looks % 10 == 0; }
static unsigned goes_down(void) { return online -= online > guest.cfg.vcpus && looks % 10 == 0; }

TEST(vcpus)
{
    RUN(vcpus_commands, "vcpu-set", "debian", "4");
    assert_true(resized == 1 && guest.cfg.vcpus == 4 && guest.cfg.memory_mb == 256);
    moves = comes_up;
    assert_true(stayed() <= 3);
    assert_string_equal(shown(),
                        "debian: 2 of 4 vCPUs are online, 4 are asked for; Ctrl-C: waits no more\n"
                        "debian: 4 of 4 vCPUs are online\n");
    RUN(vcpus_commands, "vcpu-set", "debian", "1");
    moves = goes_down;
    assert_true(stayed() <= 3);
    assert_string_equal(shown(),
                        "debian: 3 of 4 vCPUs are online, 1 are asked for; Ctrl-C: waits no more\n"
                        "debian: 1 of 4 vCPUs are online\n");
    moves = NULL;
    RUN(vcpus_commands, "vcpu-set", "debian", "3");
    assert_int_equal(stayed(), 10);
    assert_non_null(
        strstr(shown(),
               "debian: 1 of 4 vCPUs are online, 3 are asked for; its kernel knows of the others, and waits "
               "for a word there: echo 1 > /sys/devices/system/cpu/cpuN/online\n"));
    online = 4;
    RUN(vcpus_commands, "vcpu-set", "debian", "3");
    assert_int_equal(stayed(), 10);
    assert_non_null(
        strstr(shown(), "4 of 4 vCPUs are online, 3 are asked for; it takes no more down\n"));
}
