// SPDX-License-Identifier: MIT
// LINK: ctl-dom/shell/scheduling.c ctl-dom/shell/named.c ctl-dom/domain/scheduling.c ctl-dom/domain/error.c ctl-dom/config/config_cpus.c
// FLAGS: -Ictl-dom -Idomains/include -luuid
// sched-credit2, vcpu-list, vcpu-pin, and cpus=, cpu_weight=, cap= of a configuration: what is typed, asked of the core, and shown.
#include <errno.h>
#include "unit.h"
#include "domain/scheduling.h"
#include "run_command.h"
#include "screen.h"

struct dom *doms;

/* The core: control, net0, a guest with two vCPUs; CPUs 1 to 3 run domains. */
static struct bh_sched of[3][2];
static unsigned sets;
static const struct bh_dominfo info[] = { { .domid = 0, .nr_vcpus = 1 },
                                          { .domid = 4, .nr_vcpus = 1 },
                                          { .domid = 16, .nr_vcpus = 2 } };
static long sched(struct bh_sched *a)
{
    unsigned d = 0;
    while (d < 3 && info[d].domid != a->domid)
        d++;
    if (d == 3)
        return -ESRCH;
    if (a->vcpu >= info[d].nr_vcpus)
        return -ENOENT;
    if (((a->set & BH_SCHED_WEIGHT) && (!a->weight || a->weight > BH_WEIGHT_MAX)) ||
        ((a->set & BH_SCHED_CAP) && a->cap > 100 * info[d].nr_vcpus))
        return -EINVAL;
    if ((a->set & BH_SCHED_CAP) && a->cap && d < 2)
        return -EOPNOTSUPP;
    if ((a->set & BH_SCHED_AFFINITY) && !(a->affinity & 0xe))
        return -ENODEV;
    struct bh_sched *s = &of[d][a->vcpu];
    sets += a->set != 0;
    for (unsigned i = 0; i < 2; i++) {
        if (a->set & BH_SCHED_WEIGHT)
            of[d][i].weight = a->weight;
        if (a->set & BH_SCHED_CAP)
            of[d][i].cap = a->cap;
    }
    if (a->set & BH_SCHED_AFFINITY)
        s->affinity = a->affinity;
    uint16_t domid = a->domid, vcpu = a->vcpu;
    *a = *s;
    a->domid = domid;
    a->vcpu = vcpu;
    a->cpus = 0xe;
    return 0;
}
static const char *cmdline = "";
long hypercall(unsigned nr, uint64_t op, uint64_t arg, uint64_t c, uint64_t d)
{
    if (op == BH_CTL_SYSINFO)
        return strcpy(((struct bh_sysinfo *)arg)->cmdline, cmdline), 0;
    if (op == BH_CTL_SCHED)
        return sched((struct bh_sched *)arg);
    assert_int_equal(op, BH_CTL_INFO);
    struct bh_dominfo *di = (struct bh_dominfo *)arg;
    for (unsigned i = 0; i < 3; i++)
        if (info[i].domid >= di->domid) {
            *di = info[i];
            return 0;
        }
    return -ENOENT;
}

static struct dom guest, net0;
struct dom *dom_by_id(domid_t id) { return id == 16 ? &guest : id == 4 ? &net0 : NULL; }
struct dom *dom_find(const char *name, struct errbuf *e)
{
    if (!strcmp(name, "debian") || !strcmp(name, "16"))
        return &guest;
    if (!strcmp(name, "net0"))
        return &net0;
    snprintf(e->s, sizeof(e->s), "%s: no such domain", name);
    return NULL;
}

int setup(void **state)
{
    for (unsigned d = 0; d < 3; d++)
        for (unsigned i = 0; i < 2; i++)
            of[d][i] = (struct bh_sched){ .weight = 256, .affinity = ~0u, .state = BH_VCPU_ONLINE };
    guest = (struct dom){ .id = 16, .cfg = { .name = "debian", .vcpus = 2, .cpu_weight = 256 } };
    net0 = (struct dom){ .id = 4, .cfg = { .name = "net0", .vcpus = 1, .role = BH_ROLE_DRIVER } };
    sets = 0;
    screen[0] = 0;
    return 0;
}
#define TYPED(...) (screen[0] = 0, RUN(sched_commands, __VA_ARGS__))
#define SAYS(...)                        \
    do {                                 \
        assert_true(TYPED(__VA_ARGS__)); \
    } while (0)

/* Of the scheduler as a whole there is one figure, which the core's command line sets. */
TEST(of_the_whole)
{
    SAYS("sched-credit2", "-s");
    assert_string_equal(screen, "Cpupool Pool-0: ratelimit=200us\n");
    cmdline = "com1=115200 sched_ratelimit_us=1000 watchdog";
    SAYS("sched-credit2", "--schedparam");
    assert_string_equal(screen, "Cpupool Pool-0: ratelimit=1000us\n");
    cmdline = "";
    SAYS("sched-credit2", "-s", "-r", "500");
    assert_string_equal(screen,
                        "sched-credit2: -r: is a word of the core's command line: sched_ratelimit_us=\n");
    SAYS("sched-credit2", "-s", "-p", "Pool-0");
    assert_non_null(strstr(screen, "sched-credit2: -p: there are no pools of CPUs here"));
    assert_int_equal(sets, 0);
}

TEST(weights_as_a_list)
{
    of[2][0].weight = 512;
    of[2][0].cap = 50;
    SAYS("sched-credit2");
    assert_string_equal(screen, "Name                                ID Weight  Cap\n"
                                "control                              0    256    0\n"
                                "net0                                 4    256    0\n"
                                "debian                              16    512   50\n");
    SAYS("sched-credit2", "-d", "debian");
    assert_string_equal(screen, "Name                                ID Weight  Cap\n"
                                "debian                              16    512   50\n");
    SAYS("sched-credit2", "-d", "0");
    assert_non_null(strstr(screen, "control"));
    assert_int_equal(sets, 0);
}
TEST(a_weight_is_set)
{
    SAYS("sched-credit2", "-d", "debian", "-w", "512", "-c", "150");
    assert_string_equal(screen, "");
    assert_int_equal(of[2][1].weight, 512);
    assert_int_equal(of[2][1].cap, 150);
    assert_int_equal(guest.cfg.cpu_weight, 512); /* also for its next start */
    assert_int_equal(guest.cfg.cap, 150);
    SAYS("sched-credit2", "-c", "0", "-d", "16");
    assert_int_equal(of[2][0].cap, 0);
    assert_int_equal(guest.cfg.cap, 0);
    assert_int_equal(of[2][0].weight, 512);
    SAYS("sched-credit2", "-d", "control", "-w", "1000");
    assert_int_equal(of[0][0].weight, 1000);
}
TEST(a_weight_is_refused)
{
    SAYS("sched-credit2", "-d", "debian", "-w", "0");
    assert_string_equal(screen, "debian: weight: 1 to 65535, not 0\n");
    SAYS("sched-credit2", "-d", "debian", "-w", "65536");
    assert_string_equal(screen, "debian: weight: 1 to 65535, not 65536\n");
    SAYS("sched-credit2", "-d", "debian", "-c", "201");
    assert_string_equal(screen, "debian: cap: 0 (none) to 200, not 201: it has 2 vCPUs\n");
    SAYS("sched-credit2", "-d", "net0", "-c", "20");
    assert_string_equal(
        screen,
        "net0: cap: a service domain has to answer in time, it has none; a weight it may have\n");
    SAYS("sched-credit2", "-d", "nobody", "-w", "1");
    assert_string_equal(screen, "nobody: no such domain\n");
    SAYS("sched-credit2", "-w", "512");
    assert_string_equal(screen, "sched-credit2: -d says whose\n");
    SAYS("sched-credit2", "-d", "debian", "-w", "-1");
    assert_string_equal(screen, "sched-credit2: '-1' is no number\n");
    SAYS("sched-credit2", "-d", "debian", "-w", "5k");
    SAYS("sched-credit2", "-d", "debian", "-w", "99999999999");
    assert_false(TYPED("sched-credit2", "debian"));
    assert_false(TYPED("sched-credit2", "-d"));
    assert_false(TYPED("sched-credit2", "-d", "debian", "-x", "1"));
    assert_int_equal(sets, 0);
    assert_int_equal(guest.cfg.cpu_weight, 256);
}

TEST(vcpus_as_a_list)
{
    of[0][0].state |= BH_VCPU_RUNNING;
    of[0][0].cpu_ns = 12345678900;
    of[1][0].state |= BH_VCPU_BLOCKED;
    of[1][0].cpu = 3;
    of[1][0].affinity = 8;
    of[2][0].affinity = 6;
    of[2][1].state = 0;
    of[2][1].affinity = 0xb;
    SAYS("vcpu-list");
    assert_string_equal(
        screen,
        "Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)\n"
        "control                              0     0     0   r--      12.3  all / all\n"
        "net0                                 4     0     3   -b-       0.0  3 / all\n"
        "debian                              16     0     0   ---       0.0  1-2 / all\n"
        "debian                              16     1     -   --p       0.0  1,3 / all\n");
    SAYS("vcpu-list", "debian", "0");
    assert_null(strstr(screen, "net0"));
    assert_non_null(strstr(screen, "control"));
    assert_non_null(strstr(screen, "debian"));
    SAYS("vcpu-list", "nobody");
    assert_string_equal(screen, "nobody: no such domain\n");
}
TEST(a_vcpu_is_pinned)
{
    SAYS("vcpu-pin", "debian", "1", "1-3,^2");
    assert_string_equal(screen, "");
    assert_int_equal(of[2][1].affinity, 0xa);
    assert_int_equal(of[2][0].affinity, ~0u);
    SAYS("vcpu-pin", "debian", "all", "2");
    assert_int_equal(of[2][0].affinity, 4);
    assert_int_equal(of[2][1].affinity, 4);
    SAYS("vcpu-pin", "debian", "all", "all", "all");
    assert_int_equal(of[2][1].affinity, ~0u);
    assert_non_null(strstr(screen, "debian: 'all' is noted"));
    SAYS("vcpu-pin", "0", "0", "1");
    assert_int_equal(of[0][0].affinity, 2);
    sets = 0;
    SAYS("vcpu-pin", "debian", "0", "-", "1");
    assert_int_equal(sets, 0);
}
TEST(a_pin_is_refused)
{
    SAYS("vcpu-pin", "debian", "0", "0,4");
    assert_string_equal(screen, "debian: no domain runs on CPU 0,4, but on 1-3\n");
    SAYS("vcpu-pin", "debian", "2", "1");
    assert_string_equal(screen, "debian: has no vCPU 2\n");
    SAYS("vcpu-pin", "debian", "0", "x");
    assert_non_null(strstr(screen, "debian: "));
    SAYS("vcpu-pin", "nobody", "0", "1");
    assert_false(TYPED("vcpu-pin", "debian", "x", "1"));
    assert_false(TYPED("vcpu-pin", "debian", "0", "1;2"));
    assert_false(TYPED("vcpu-pin", "debian", "0", ""));
    assert_false(TYPED("vcpu-pin", "debian", "0"));
    assert_int_equal(sets, 0);
}

static struct errbuf why;
TEST(of_a_configuration)
{
    assert_int_equal(scheduling_begin(&guest, &why), 0);
    assert_int_equal(sets, 0); /* the usual */
    guest.cfg.cpu_weight = 1024;
    guest.cfg.cap = 30;
    strcpy(guest.cfg.cpus, "2;1-3,^2");
    assert_int_equal(scheduling_begin(&guest, &why), 0);
    assert_int_equal(of[2][0].weight, 1024);
    assert_int_equal(of[2][0].cap, 30);
    assert_int_equal(of[2][0].affinity, 4);
    assert_int_equal(of[2][1].affinity, 0xa);
}
TEST(of_a_configuration_that_cannot_be)
{
    strcpy(guest.cfg.cpus, "0");
    assert_int_equal(scheduling_begin(&guest, &why), -ENODEV);
    assert_string_equal(why.s, "debian: no domain runs on CPU 0, but on 1-3");
    guest.cfg.cap = 201;
    assert_int_equal(scheduling_begin(&guest, &why), -EINVAL);
    net0.cfg.cap = 20;
    assert_int_equal(scheduling_begin(&net0, &why), -EOPNOTSUPP);
}
