// SPDX-License-Identifier: MIT
// LINK: ctl-dom/shell/shell.c ctl-dom/supervise/rejuvenate.c ctl-dom/shell/commands.c ctl-dom/shell/examples.c ctl-dom/shell/stay.c ctl-dom/shell/named.c ctl-dom/shell/domains.c ctl-dom/shell/crash.c ctl-dom/shell/power.c ctl-dom/job/job.c domains/fiber.c ctl-dom/console/edit.c ctl-dom/console/patience.c ctl-dom/shell/split.c ctl-dom/console/console.c ctl-dom/console/domcon.c ctl-dom/domain/dom.c ctl-dom/domain/records.c ctl-dom/domain/error.c
// FLAGS: -Ictl-dom -Idomains/include -luuid
// The shell as a whole, from the keyboard to the wire: what ends the machine, what a terminal answers after Ctrl-].
#include <errno.h>
#include "unit.h"
#include <xen/io/console.h>
#include "console/console.h"
#include "console/edit.h"
#include "domain/records.h"
#include "job/job.h"
#include "shell/command.h"
#include "shell/complete.h"
#include "shell/shell.h"
#include "store/devices.h"
#include "store/store.h"
#include "supervise/adopt.h"
#include "supervise/aside.h"
#include "supervise/autostart.h"
#include "supervise/dying.h"
#include "supervise/guests.h"
#include "supervise/life.h"
#include "supervise/report.h"
#include "supervise/supervisor.h"
#include "supervise/waiting.h"

static char screen[65536];
static size_t shown;
static uint64_t now = 1000000000;
static struct bh_machine machine_asked = { .how = ~0u };
static char asked_guest[32], asked[256]; /* last, and all */
static unsigned pauses;                  /* of debian */
static uint64_t store_silent, ended_at;  /* silent: until then */
static jmp_buf out_of_here, panicked;
static struct xencons_interface ring;
static event_fn on_console;

/* What the keyboard brings, and when (in milliseconds after the start). */
static struct press {
    unsigned ms;
    const char *text;
} script[16];
static unsigned next_press;
static uint64_t script_start;
static char keys[4096];
static size_t keys_len;

long hypercall(unsigned nr, uint64_t a, uint64_t len, uint64_t s, uint64_t d)
{
    if (nr == __HYPERVISOR_console_io && a == CONSOLEIO_write) {
        assert_true(shown + len < sizeof(screen));
        memcpy(screen + shown, (const void *)s, len);
        screen[shown += len] = '\0';
        return 0;
    }
    if (nr == __HYPERVISOR_console_io) {
        size_t n = keys_len < len ? keys_len : len;
        memcpy((void *)s, keys, n);
        memmove(keys, keys + n, keys_len -= n);
        return (long)n;
    }
    if (nr == BH_HYPERCALL_CONTROL && a == BH_CTL_MACHINE) {
        machine_asked = *(struct bh_machine *)len;
        ended_at = now;
    }
    if (nr == BH_HYPERCALL_CONTROL && a == BH_CTL_INFO && ((struct bh_dominfo *)len)->domid == 16 &&
        pauses)
        return ((struct bh_dominfo *)len)->flags = BH_DI_PAUSED, 0;
    if (nr == BH_HYPERCALL_CONTROL && a == BH_CTL_UNPAUSE && *(domid_t *)len == 16 && pauses)
        return pauses--, 0;
    return -ENOSYS;
}

static uint64_t play_ns; /* how long a play takes in which a timer always comes; 0: there is none */
static struct dtimer *timer; /* the one that was set last */
void dtimer_set(struct dtimer *t, uint64_t when)
{
    timer = t;
    t->when = when;
}

/* Waits: for the next key press, the timer or until the time given; nothing else happens here. */
unsigned event_wait(uint64_t until)
{
    struct dtimer *t = timer;
    if (play_ns && now > script_start + play_ns)
        longjmp(out_of_here, 1);
    uint64_t at = next_press < 16 && script[next_press].text
                      ? script_start + script[next_press].ms * 1000000ull
                      : ~0ull;
    if (t && t->when <= at && (!until || t->when <= until)) {
        now = t->when > now ? t->when : now;
        timer = NULL;
        t->fn(t);
        return 1;
    }
    if (until && until <= at) {
        now = until > now ? until : now;
        return 0;
    }
    if (at == ~0ull)
        longjmp(out_of_here, 1);
    now = at > now ? at : now;
    size_t n = strlen(script[next_press].text);
    memcpy(keys + keys_len, script[next_press++].text, n);
    keys_len += n;
    on_console(0, NULL);
    return 1;
}

int event_bind_virq(unsigned virq, event_fn fn, void *arg)
{
    if (virq == VIRQ_CONSOLE)
        on_console = fn;
    return 1;
}
int event_bind_interdomain(domid_t dom, uint32_t port, event_fn fn, void *arg) { return 7; }
static uint64_t key_at;
int event_send(uint32_t port)
{
    key_at = now;
    return 0;
}
void event_close(uint32_t port) {}
int grant_map(struct grant_map *m, domid_t dom, const uint32_t *refs, unsigned n, unsigned flags)
{
    m->va = &ring;
    return 0;
}
int grant_unmap(struct grant_map *m) { return 0; }
uint64_t now_ns(void) { return now; }

bool store_up = true;
int store_control(const struct dom *d, const char *what)
{
    size_t n = strlen(asked);

    snprintf(asked_guest, sizeof(asked_guest), "%s %s", d->cfg.name, what);
    snprintf(asked + n, sizeof(asked) - n, "%s;", asked_guest);
    return now < store_silent ? -ETIME : 0;
}
bool anew_work(void) { return false; }
bool autostart_work(void) { return false; }
bool adopt_work(void) { return false; }
bool aside_work(void) { return false; }
bool dying_work(void) { return false; }
bool metrics_work(void) { return false; }
bool waiting_forget(const char *name) { return false; }
void report_list(const char *name) {}
static unsigned restarts;
static bool restart_fails;
static char image[64];
int supervisor_restart(struct dom *d, struct errbuf *e)
{
    assert_int_equal(d->id, 4);
    return restarts++, restart_fails ? fail(e, -EIO, "%s: cannot be restarted", d->cfg.name) : 0;
}
int upgrade_begin(struct dom *d, const char *name, struct errbuf *e)
{
    if (d->id != 4)
        return fail(e, -EOPNOTSUPP, "%s: no service", d->cfg.name);
    snprintf(image, sizeof(image), "%s", name);
    return 0;
}
void upgrade_failed(struct dom *d) { image[0] = '\0'; }
bool supervisor_restarts(const struct dom *d) { return d->id == 4; }
static char crashed[32];
int supervisor_crash(struct dom *d, uint32_t how, uint16_t after_ms)
{
    snprintf(crashed, sizeof(crashed), "%s %u %u", d->cfg.name, how, after_ms);
    return 0;
}
struct dom *devs_disk_user(const struct dom *b) { return NULL; }
static char destroyed[64];
int dom_destroy(struct dom *d, struct errbuf *e)
{
    snprintf(destroyed + strlen(destroyed), sizeof(destroyed) - strlen(destroyed), "%s;",
             d->cfg.name);
    return 0;
}
void (*xs_pause)(uint64_t until);
struct bh_self self;
int deadline_feed(uint64_t ms) { return 0; }
void bh_panic(const char *fmt, ...) { longjmp(panicked, 1); }
void __asan_unpoison_memory_region(const volatile void *at, size_t n);
void panic_fiber(const void *stack, size_t size) {}
void page_guard(const void *page)
{
    __asan_unpoison_memory_region(page, 0x11000);
} /* frames of the last play */
/* Takes its time, in which something happens behind the scenes. */
static bool cmd_list(int argc, char **argv)
{
    out("Name\n");
    say("net0: crashed");
    for (uint64_t end = now + 50000000; now < end;)
        job_wait(end);
    out("debian\n");
    return true;
}
static const struct command list[] = { { "list", "", "", 0, 0, cmd_list } };
const struct commands list_commands = COMMANDS(list), name_commands, create_commands,
                      config_commands, info_commands, signal_commands, top_commands,
                      update_commands, pci_commands, sched_commands, memory_commands,
                      vcpus_commands, block_commands, network_commands, vnet_commands;

static unsigned may_start;
void guests_may_start(void)
{
    may_start++;
    *record_machine_ends = 0;
}

static uint64_t work_until; /* guests_work() waits until then */

/* One that stays until x is typed. */
static unsigned asked_whether;
static bool follows(void)
{
    asked_whether++;
    if (!con_skip_to('x'))
        return true;
    con_getc();
    assert_int_equal(work_until, 0); /* the other work was done */
    out("followed\n");
    return false;
}
static bool cmd_follow(int argc, char **argv)
{
    out("follows %s\n", argv[1]);
    work_until = now + 50000000; /* something comes to be done */
    command_stays(follows);
    return true;
}
static const struct command follow[] = { { "follow", "", "", 1, 1, cmd_follow } };
const struct commands store_commands = COMMANDS(follow);

static struct dom guest = { .id = 16, .cfg = { .name = "debian", .role = BH_ROLE_GUEST } };
static struct dom web = { .id = 17, .state = DOM_UP, .cfg = { .name = "web", .role = BH_ROLE_GUEST } };
static struct dom net0 = { .id = 4,
                           .state = DOM_UP,
                           .cfg = { .name = "net0", .role = BH_ROLE_DRIVER } };
static unsigned debian_ends, web_ends; /* after so many ms; 0: never */

static bool ends_at(struct dom *d, unsigned ms)
{
    if (!ms || d->state != DOM_UP || now - script_start < ms * 1000000ull)
        return false;
    say("%s: powered off%s", d->cfg.name, *record_machine_ends ? ", stays down" : "");
    d->state = DOM_OVER;
    return true;
}

bool guests_work(void)
{
    bool some = work_until || ends_at(&guest, debian_ends) || ends_at(&web, web_ends);

    while (now < work_until)
        job_wait(work_until);
    work_until = 0;
    return some;
}

static unsigned looks; /* so many more, each of which waits */
bool linux_work(void) { return false; }
bool devs_work(void)
{
    if (!looks)
        return false;
    looks--;
    job_wait(0);
    return true;
}

/* Tab is the job's: what is offered may wait for the store. */
void complete(struct edit *e)
{
    for (uint64_t end = now + 50000000; now < end;)
        job_wait(end);
    edit_offer(e, "debian");
}

static void boot(void) {}

static void play(const struct press *p, unsigned n)
{
    memset(script, 0, sizeof(script));
    memcpy(script, p, n * sizeof(*p));
    next_press = 0;
    script_start = now += 1000000000;
    shown = 0;
    screen[0] = '\0';
    asked_guest[0] = asked[0] = '\0';
    machine_asked.how = ~0u;
    may_start = 0;
    timer = NULL;
    if (!setjmp(out_of_here))
        shell_run(boot);
}
#define PLAY(...)                               \
    play((const struct press[]){ __VA_ARGS__ }, \
         sizeof((const struct press[]){ __VA_ARGS__ }) / sizeof(struct press))

TEST(ends_of_guests_and_of_the_machine)
{
    static const char *const harmless[] = { "shutdown\r",  "reboot\r",  "xl shutdown\r",
                                            "xl reboot\r", "machine\r", "machine debian\r",
                                            "poweroff\r" };

    for (unsigned i = 0; i < ARRAY_SIZE(harmless); i++) {
        PLAY({ 0, harmless[i] });
        assert_int_equal(machine_asked.how, ~0u);
        assert_string_equal(asked_guest, "");
        assert_true(strstr(screen, "usage: ") || strstr(screen, "unknown command"));
    }
    PLAY({ 0, "xl shutdown debian\r" });
    assert_string_equal(asked_guest, "debian poweroff");
    PLAY({ 0, "reboot debian\r" });
    assert_string_equal(asked_guest, "debian reboot");
    assert_int_equal(machine_asked.how, ~0u);
    PLAY({ 0, "machine reboot\r" });
    assert_int_equal(machine_asked.how, BH_MACHINE_REBOOT);
    PLAY({ 0, "machine poweroff\r" });
    assert_int_equal(machine_asked.how, BH_MACHINE_POWEROFF);
}

/* Runs a play with two guests that run and a driver domain. */
static void with_guests(unsigned debian_ms, unsigned web_ms)
{
    doms = &net0;
    net0.next = &guest;
    guest.next = &web;
    guest.state = web.state = DOM_UP;
    debian_ends = debian_ms;
    web_ends = web_ms;
}
static void without_guests(void)
{
    doms = &guest;
    guest.next = NULL;
    guest.state = DOM_NEW;
    debian_ends = web_ends = 0;
    store_silent = 0;
}
#define ON_SCREEN(text)  assert_non_null(strstr(screen, text))
#define OFF_SCREEN(text) assert_null(strstr(screen, text))

/* All guests are asked, nobody else is; it says who is waited for; and then the machine ends. */
TEST(machine_ends_after_its_guests)
{
    with_guests(3000, 12500);
    PLAY({ 0, "machine poweroff\r" }, { 3000, "" }, { 12500, "" });
    assert_string_equal(asked, "debian poweroff;web poweroff;");
    ON_SCREEN("\nmachine: waits for debian, web, 60 s at most; Ctrl-C: the machine stays up\n"
              "debian: powered off, stays down\n"
              "machine: waits for web, 50 s at most; Ctrl-C: the machine stays up\n"
              "web: powered off, stays down\n"
              "machine: powers off\n");
    assert_int_equal(machine_asked.how, BH_MACHINE_POWEROFF);
    assert_int_equal(ended_at - script_start, 12500000000);
    with_guests(1, 1);
    PLAY({ 0, "@5 machine reboot\r" }, { 10, "" });
    ON_SCREEN("machine: reboots\n");
    assert_int_equal(machine_asked.how, BH_MACHINE_REBOOT);
    without_guests();
}

/* shutdown and reboot: one or all, with and without waiting for them. */
TEST(guests_are_asked)
{
    with_guests(0, 0);
    PLAY({ 0, "shutdown -a\r" });
    assert_string_equal(asked, "debian poweroff;web poweroff;");
    PLAY({ 0, "xl reboot -a\r" });
    assert_string_equal(asked, "debian reboot;web reboot;");
    static const char *const bad[] = { "shutdown -a web\r",     "shutdown -w\r",     "shutdown -\r",
                                       "shutdown web debian\r", "shutdown -x web\r", "reboot -F\r" };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        PLAY({ 0, bad[i] });
        assert_string_equal(asked, "");
        ON_SCREEN("usage: ");
    }
    PLAY({ 0, "reboot -F web\r" });
    assert_string_equal(asked, "web reboot;");
    ON_SCREEN("-F: a PVH guest has no ACPI button");
    PLAY({ 0, "shutdown net0\r" });
    ON_SCREEN("net0: is a service domain: restart or destroy it\n");
    PLAY({ 0, "shutdown -w nobody\r" });
    ON_SCREEN("nobody: no such domain\nbh> ");
    pauses = 1;
    PLAY({ 0, "shutdown debian\r" });
    ON_SCREEN("debian: is paused: it will hear that when it goes on\n");
    pauses = 0;
    guest.state = DOM_WAITING;
    PLAY({ 0, "shutdown -w debian\r" });
    assert_string_equal(asked, "");
    ON_SCREEN("debian: has ended, and is started again soon: destroy ends that\nbh> ");
    guest.state = DOM_UP;
    store_silent = UINT64_MAX; /* who was not asked is not waited for */
    PLAY({ 0, "shutdown -aw\r" });
    store_silent = 0;
    ON_SCREEN("web: the store does not take the request\nbh> ");
    with_guests(3000, 0);
    PLAY({ 0, "shutdown web -w\r" }, { 4000, "\x03" }, { 4100, "list\r" });
    assert_string_equal(asked, "web poweroff;");
    ON_SCREEN("waits for web, 300 s at most; Ctrl-C: waits no more\n");
    ON_SCREEN("asked, and not down yet: web\nbh> ");
    with_guests(3000, 12500);
    PLAY({ 0, "shutdown -aw\r" }, { 3000, "" }, { 12500, "" }, { 12600, "list\r" });
    ON_SCREEN("waits for debian, web, 300 s at most; Ctrl-C: waits no more\n"
              "debian: powered off\n"
              "waits for web, 290 s at most; Ctrl-C: waits no more\n"
              "web: powered off\n"
              "bh> list\n");
    PLAY({ 0, "shutdown -a\r" });
    ON_SCREEN("no guest runs\n");
    with_guests(1, 0);
    PLAY({ 0, "reboot -w -a\r" }, { 1, "" });
    ON_SCREEN("\nweb: not down in 300 s\nbh> ");
    without_guests();
}

TEST(help_of_one)
{
    PLAY({ 0, "help shutdown\r" });
    ON_SCREEN(
        "shutdown [-wF] NAME | -a\n  asks a guest, or with -a all, to power off; -w: and waits for it\n"
        "  for example: shutdown -w debian\n");
    PLAY({ 0, "help dance\r" });
    ON_SCREEN("dance: unknown command (help lists them)\n");
    PLAY({ 0, "exit\r" });
    ON_SCREEN("exit: unknown command (the shell does not end; machine poweroff ends the machine)\n");
}

/* A guest that was paused goes on, or it would lose what it has not written; one that does not end costs a minute. */
TEST(machine_waits_a_minute)
{
    with_guests(0, 100);
    pauses = 3;
    PLAY({ 0, "xl machine poweroff\r" }, { 100, "" });
    ON_SCREEN("debian: was paused, it goes on to shut down\n");
    assert_int_equal(pauses, 0);
    OFF_SCREEN("web: was paused");
    ON_SCREEN("machine: waits for debian, 10 s at most");
    ON_SCREEN("machine: debian: not down in 60 s, destroyed\nmachine: powers off\n");
    assert_int_equal(machine_asked.how, BH_MACHINE_POWEROFF);
    assert_int_equal(ended_at - script_start, 60000000000);
    without_guests();
}

/* What was typed before Ctrl-C is not run after it, neither another `machine poweroff`. */
TEST(machine_stays_up)
{
    with_guests(2000, 0);
    PLAY({ 0, "machine reboot\r" }, { 2000, "" }, { 5000, "machine poweroff\r" }, { 5100, "\x03" },
         { 5200, "shutdown web\r" });
    assert_int_equal(machine_asked.how, ~0u);
    ON_SCREEN("machine: stays up; asked to shut down already: web\nbh> ");
    OFF_SCREEN("machine poweroff");
    assert_int_equal(may_start, 1);
    assert_int_equal(*record_machine_ends, 0);
    assert_string_equal(asked, "debian poweroff;web poweroff;web poweroff;");
    without_guests();
}

TEST(machine_ends_by_force)
{
    static const char *const lines[] = { "machine poweroff -f\r", "machine -f poweroff\r",
                                         "machine reboot -f\r" };

    with_guests(0, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
        PLAY({ 0, lines[i] });
        assert_int_equal(machine_asked.how, i < 2 ? BH_MACHINE_POWEROFF : BH_MACHINE_REBOOT);
        assert_string_equal(asked, "");
        assert_int_equal(ended_at, script_start);
    }
    static const char *const bad[] = { "machine -f\r", "machine -f -f\r", "machine poweroff reboot\r",
                                       "machine -p\r", "machine poweroff -p\r" };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        PLAY({ 0, bad[i] });
        assert_int_equal(machine_asked.how, ~0u);
        assert_string_equal(asked, "");
        ON_SCREEN("usage: machine ");
    }
    without_guests();
}

/* A store that is away for a while: they are asked again. */
TEST(machine_asks_again)
{
    with_guests(0, 0);
    store_silent = now + 6000000000;
    PLAY({ 0, "machine poweroff\r" });
    ON_SCREEN("debian: the store does not take the request\nweb: the store does not");
    assert_string_equal(asked, "debian poweroff;web poweroff;debian poweroff;web poweroff;");
    assert_int_equal(ended_at - script_start, 60000000000);
    without_guests();
}

/* The answers to what a guest asked come with the terminal's delay: none is a key of the shell's. */
TEST(answers_after_leaving)
{
    PLAY({ 0, "console debian\r" },
         { 10, "a key\x1d"
               "destroy" },
         { 60, " debian\r" }, { 190, "destroy debian\r" });
    assert_null(strstr(screen, "destroy"));
    assert_true(!memcmp(ring.in, "a key", 5) && ring.in_prod == 5);
    const char *left = strstr(screen, "\x18");
    assert_non_null(left);
    /* mouse, focus, pasted text, 8-bit controls, the rest */
    static const char *const off[] = { "\x1b[?1000l", "\x1b[?1002l", "\x1b[?1003l", "\x1b[?1004l",
                                       "\x1b[?1006l", "\x1b[?2004l", "\x1b F",      "\x1b[!p" };
    for (unsigned i = 0; i < ARRAY_SIZE(off); i++)
        assert_non_null(strstr(left, off[i]));
    assert_non_null(strstr(left, "bh> "));
    PLAY({ 0, "console debian\r" }, { 10, "\x1d" }, { 100, "lost" }, { 300, "shutdown debian\r" });
    assert_string_equal(asked_guest, "debian poweroff");
    assert_null(strstr(screen, "lost"));
}

/* Two ways out of a console: a key, Ctrl-] or another, and Enter ~ . */
TEST(ways_out_of_a_console)
{
    static const struct {
        const char *command, *keys, *typed; /* typed: what the guest reads; */
        bool out;
    } tries[] = {
        { "console debian\r", "a\x1d", "a", true },
        { "console debian\r", "~.", "", true },
        { "console debian\r", "ls\r~.", "ls\r", true },
        { "console debian\r", "ls\n~.", "ls\n", true },
        { "console debian\r", "a~.\r", "a~.\r", false },
        { "console debian\r", "\r~~.\r", "\r~.\r", false },
        { "console debian\r", "\r~a.\r", "\r~a.\r", false },
        { "console debian\r", "\r~\r~.", "\r~\r", true },
        { "console -e ^X debian\r", "\x1d\x18", "\x1d", true },
        { "console -e ^X debian\r", "\r~.", "\r", true },
        { "console -e q debian\r", "abq", "ab", true },
        { "console -e=^x -t pv -n 0 16\r", "\x18", "", true },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(tries); i++) {
        ring.in_prod = ring.in_cons = 0;
        PLAY({ 0, tries[i].command }, { 10, tries[i].keys }, { 400, "" });
        bool left = !domcon_attached();
        if (left != tries[i].out || ring.in_prod != strlen(tries[i].typed) ||
            memcmp(ring.in, tries[i].typed, ring.in_prod))
            fail_msg("%s %u: %s, read %u '%.*s'", tries[i].command, i, left ? "out" : "in",
                     ring.in_prod, (int)ring.in_prod, ring.in);
        ON_SCREEN("debian: its console; ");
        ON_SCREEN(" leaves it, as does Enter ~ .\n");
        if (!left)
            PLAY({ 0, "\x1d" }, { 300, "" });
    }
    PLAY({ 0, "console -e ^X debian\r" }, { 10, "\x18" }, { 300, "" });
    ON_SCREEN("debian: its console; Ctrl-X leaves it, as");
    static char full[2048] = "";
    memset(full, 'x', 1500); /* more than its ring takes, and it does not read */
    strcpy(full + 1500, "\r~.");
    ring.in_prod = ring.in_cons = 0;
    PLAY({ 0, "console debian\r" }, { 10, full }, { 300, "" });
    assert_null(domcon_attached());
    ring.in_prod = ring.in_cons = 0;
    static const struct {
        const char *line, *says;
    } bad[] = {
        { "console -t serial debian\r", "-t serial: a PVH guest has no serial port" },
        { "console -t vnc debian\r", "-t vnc: there is none, only pv" },
        { "console -n 1 debian\r", "-n 1: there is none, only console 0" },
        { "console -e abc debian\r", "-e abc: a key is one character" },
        { "console -e ^@ debian\r", "-e ^@: a key is one character" }, /* the line's breaks are NULs */
        { "console -e\r", "usage: console" },
        { "console -x debian\r", "usage: console" },
        { "console debian web\r", "usage: console" },
        { "console nobody\r", "nobody: no such domain" },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        PLAY({ 0, bad[i].line });
        assert_null(domcon_attached());
        ON_SCREEN(bad[i].says);
    }
}

/* Who has ended is still read: what it said last, as no line of ours, and no longer its escapes. */
TEST(console_of_one_that_ended)
{
    struct dom gone = { .id = 20, .cfg.name = "gone" };
    struct errbuf e;

    assert_int_equal(domcon_connect(&gone, &e), 0);
    memcpy(ring.out, "Booting\r\n\x1b[2Jbh> no root\npanic", 31);
    ring.out_prod = ring.out_cons + 31;
    uint32_t was = ring.out_cons;
    ring.out_cons = 0;
    ring.out_prod = 31;
    domcon_drain(&gone);
    ring.out_cons = ring.out_prod = was;
    domcon_disconnect(&gone);
    assert_null(gone.con.log);
    PLAY({ 0, "console gone\r" });
    ON_SCREEN(
        "gone: has ended, as domain 20; the last of its console:\n  Booting\n  ?[2Jbh> no root\n  panic\nbh> ");
    assert_null(domcon_attached());
    PLAY({ 0, "console 20\r" });
    ON_SCREEN("  panic\n");
    for (unsigned i = 0; i < 4; i++) { /* four others push it out */
        struct dom d = { .id = (domid_t)(30 + i) };
        snprintf(d.cfg.name, sizeof(d.cfg.name), "g%u", i);
        assert_int_equal(domcon_connect(&d, &e), 0);
        ring.out_cons = 0;
        ring.out_prod = 5;
        domcon_drain(&d);
        domcon_disconnect(&d);
    }
    ring.out_cons = ring.out_prod = 0;
    PLAY({ 0, "console gone\r" });
    ON_SCREEN("gone: no such domain\n");
    PLAY({ 0, "console g0\r" }, { 10, "console g3\r" });
    ON_SCREEN("g0: has ended, as domain 30");
    ON_SCREEN("g3: has ended, as domain 33");
}

TEST(words_that_go_on)
{
    PLAY({ 0, "shutdown de\t" }, { 10, "\r" });
    assert_string_equal(asked_guest, "debian poweroff");
    ON_SCREEN("bh> shutdown debian \n");
    PLAY({ 0, "list\rshutdown d\t\r" });
    assert_string_equal(asked_guest, "debian poweroff");
}

TEST(words_before_a_command)
{
    static const char *const lines[] = { "xl -v shutdown debian\r", "xl -vvv -N shutdown debian\r",
                                         "bh -f shutdown debian\r" };
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
        PLAY({ 0, lines[i] });
        assert_string_equal(asked_guest, "debian poweroff");
    }
    PLAY({ 0, "xl -x list\r" });
    ON_SCREEN("-x: unknown command");
    PLAY({ 0, "xl -v\r" });
    ON_SCREEN("\nbh> ");
}

/* What is typed while a command waits comes after it; what is typed while something else waits has its turn at once, if it is for a guest. */
TEST(keys_while_something_waits)
{
    PLAY({ 0, "list\r" }, { 10, "shutdown deb" }, { 20, "ian\r" });
    const char *end = strstr(screen, "debian\nbh> ");
    assert_non_null(end);
    assert_non_null(strstr(end, "shutdown debian"));
    assert_null(strstr(screen, "shutdown Name"));
    assert_string_equal(asked_guest, "debian poweroff");

    looks = 1; /* a line comes while devices are looked at, and nothing after it */
    PLAY({ 10, "shutdown debian\r" });
    assert_string_equal(asked_guest, "debian poweroff");

    PLAY({ 0, "console debian\r" });
    ring.in_prod = 0;
    work_until = now + 1500000000; /* half a second after the script began */
    PLAY({ 10, "key" });
    assert_int_equal(ring.in_prod, 3);
    assert_int_equal(key_at, script_start + 10000000);
    PLAY({ 0, "\x1d" });
}

/* Who is not the job has nobody that would go on meanwhile. */
TEST(only_the_job_waits)
{
    bool stopped = setjmp(panicked);

    if (!stopped)
        job_wait(0);
    assert_true(stopped);
}

/* A program finds its command's own lines between two marks, and the others after them. */
TEST(marked_commands)
{
    PLAY({ 0, "@17 list\r" });
    assert_non_null(strstr(screen, "\n@17 begin\nName\ndebian\n@17 end\nbh> "));
    assert_non_null(strstr(strstr(screen, "@17 end"), "net0: crashed"));
    PLAY({ 0, "list\r" });
    assert_non_null(strstr(screen, "Name\nnet0: crashed\ndebian\nbh> "));
    PLAY({ 0, "@x shutdown debian\r" });
    assert_string_equal(asked_guest, "debian poweroff");
    PLAY({ 0, "@\r" }, { 1, "@1\r" }, { 2, "@2 nosuch 'x\r" },
         { 3, "@0123456789012345678901234567890123456789 nosuch\r" });
    assert_non_null(strstr(screen, "\n@ begin\n@ end\n"));
    assert_non_null(strstr(screen, "\n@1 begin\n@1 end\n"));
    assert_non_null(strstr(screen, "\n@2 begin\n"));
    assert_non_null(strstr(screen, "\n@2 end\n"));
    assert_non_null(
        strstr(screen, "\n@0123456789012345678901234567890 begin\nnosuch: unknown command"));
    PLAY({ 0, "@9 console debian\r" }, { 10, "a key\x1d" });
    assert_non_null(strstr(screen, "\n@9 begin\n"));
    assert_null(strstr(screen, "@9 end"));
}

/* A command that stays: the job has other work between, and the keyboard is its own until it is over. */
TEST(commands_that_stay)
{
    asked_whether = 0;
    PLAY({ 0, "@3 follow what\r" }, { 600, "shut" }, { 700, "xshutdown debian\r" });
    assert_in_range(asked_whether, 3, 5);
    assert_non_null(strstr(screen, "\n@3 begin\nfollows what\nfollowed\n@3 end\nbh> "));
    assert_string_equal(asked_guest, "debian poweroff");
    PLAY({ 0, "follow it\r" }, { 600, "x" }, { 700, "list\r" });
    assert_non_null(strstr(screen, "follows it\nfollowed\nbh> "));
    assert_non_null(strstr(screen, "Name\n"));
    assert_null(strstr(screen, " end\n"));
}

/* By name, number and UUID, and several at once. */
TEST(ends_of_domains)
{
    with_guests(0, 0);
    web.cfg.uuid[0] = 0xa5;
    web.cfg.uuid[15] = 0x0f;
    destroyed[0] = '\0';
    PLAY({ 0, "destroy debian A5000000-0000-0000-0000-00000000000f nobody 4\r" });
    assert_string_equal(destroyed, "debian;web;net0;");
    ON_SCREEN("nobody: no such domain\n");
    PLAY({ 0, "destroy\r" });
    ON_SCREEN("usage: destroy NAME...\n");
    PLAY({ 0, "shutdown a5000000-0000-0000-0000-00000000000f\r" });
    assert_string_equal(asked, "web poweroff;");
    PLAY({ 0, "shutdown a5000000-0000-0000-0000-00000000000e\r" });
    ON_SCREEN("a5000000-0000-0000-0000-00000000000e: no such domain\n");
    without_guests();
}

/* Each so many seconds, as long as it is up; and what stands in its record goes on whoever reads it. */
TEST(restarts_by_the_clock)
{
    with_guests(0, 0);
    net0.state = DOM_UP;
    restarts = 0;
    play_ns = 35 * NS_PER_S;
    PLAY({ 0, "rejuvenate net0 10\r" });
    assert_in_range(restarts, 3, 4);
    assert_int_equal(net0.rejuvenate_s, 10);
    restarts = 0;
    net0.state = DOM_WAITING; /* it comes back just now */
    PLAY({ 0, "" });
    assert_int_equal(restarts, 0);
    net0.state = DOM_UP; /* as it stands in its record, whoever reads it */
    PLAY({ 0, "" });
    assert_in_range(restarts, 3, 4);
    PLAY({ 0, "rejuvenate net0 0\r" });
    restarts = 0;
    PLAY({ 0, "" });
    assert_int_equal(restarts, 0);
    play_ns = 0;
    static const char *const bad[][2] = { { "rejuvenate web 10\r", "web: only service domains" },
                                          { "rejuvenate control 10\r", "`restart control`" },
                                          { "rejuvenate net0 -1\r", "bad '-1'" },
                                          { "rejuvenate net0 99999999999\r", "bad '99999999999'" },
                                          { "rejuvenate net0 1h\r", "bad '1h'" },
                                          { "rejuvenate nobody 1\r", "nobody: no such domain" },
                                          { "rejuvenate net0\r", "usage: rejuvenate" } };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        PLAY({ 0, bad[i][0] });
        ON_SCREEN(bad[i][1]);
    }
    assert_int_equal(net0.rejuvenate_s, 0);
    without_guests();
}

TEST(another_image)
{
    with_guests(0, 0);
    restarts = 0;
    PLAY({ 0, "upgrade net0 net-2\r" });
    assert_true(restarts == 1 && !strcmp(image, "net-2"));
    restart_fails = true;
    PLAY({ 0, "upgrade net0 net-3\r" });
    ON_SCREEN("net0: cannot be restarted");
    assert_true(restarts == 2 && !image[0]);
    restart_fails = false;
    static const char *const bad[][2] = { { "upgrade web net\r", "web: no service" },
                                          { "upgrade control x\r", "control: the core starts it" },
                                          { "upgrade nobody net\r", "nobody: no such domain" },
                                          { "upgrade net0\r", "usage: upgrade NAME IMAGE" } };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        PLAY({ 0, bad[i][0] });
        ON_SCREEN(bad[i][1]);
    }
    assert_int_equal(restarts, 2);
    without_guests();
}

TEST(deaths_by_order)
{
    PLAY({ 0, "crash debian\r" });
    assert_string_equal(crashed, "debian 0 0");
    PLAY({ 0, "crash --inject debian\r" });
    assert_string_equal(crashed, "debian 1 0");
    PLAY({ 0, "crash debian --inject=250\r" });
    assert_string_equal(crashed, "debian 1 250");
    PLAY({ 0, "crash debian --hang\r" });
    assert_string_equal(crashed, "debian 2 0");
    static const char *const bad[] = { "--inject=",      "--inject=x",  "--inject=1x",
                                       "--inject=65536", "--injection", "--inject --hang" };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        char line[64];
        crashed[0] = '\0';
        snprintf(line, sizeof(line), "crash debian %s\r", bad[i]);
        PLAY({ 0, line });
        assert_string_equal(crashed, "");
        assert_true(strstr(screen, "usage: ") || strstr(screen, "unknown word"));
    }
}

int setup_all(void **state)
{
    struct errbuf e;

    doms = &guest;
    console_open();
    return domcon_connect(&guest, &e);
}

int teardown_all(void **state)
{
    free(guest.con.log);
    return 0;
}
