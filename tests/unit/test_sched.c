// SPDX-License-Identifier: MIT
// LINK: hv/domain/deadline.c hv/sched/cap.c hv/sched/wait.c hv/time/timer.c hv/pci/trap.c
// The scheduler on pretended CPUs: turn by turn, with guests that are scripts. Includes sched.c for its single turn.
#include "unit.h"
#include "shim.h"
#include <xen/sched.h>
#include "../../hv/sched/sched.c"
#include "../../hv/abi/enter.c"

#define MS NS_PER_MS
#define US NS_PER_US
#define NV 8

struct cmdline cmdline;
const struct iommu_ops *iommu_ops;
static struct domain dom[NV];
static struct vcpu vc[NV];
static struct shared_info shared[NV];
static void (*script[NV])(struct vcpu *v);
static unsigned runs[NV], ipis[4], redone;
static uint64_t ran_ns[NV];
static enum bh_crash_cause crash_cause;
static struct domain *crashed;
static unsigned trace[4096], traced;
static uint64_t stop_at;

/* --- the rest of the core -------------------------------------------------------------------------------------- */
void apic_send_ipi(uint32_t cpu, uint8_t vector) { ipis[cpu]++; }
void apic_timer_set_ns(uint64_t ns) {}
static unsigned dirty, scrubbed;
bool frame_scrub_some(void) { return dirty ? dirty--, ++scrubbed : false; }
int vcpu_pending_vector(const struct vcpu *v)
{
    return v->info->evtchn_upcall_pending && v->domain->callback_vector ? 0xf3 : -1;
}
bool vcpu_has_work(const struct vcpu *v)
{
    if (v->nmi_pending || v->sipi_vector || v->wait_sipi)
        return true;
    return v->waiting ? v->info->evtchn_upcall_pending : vcpu_pending_vector(v) >= 0;
}
void hypercall(struct vcpu *v, unsigned len)
{
    redone++;
    script[v->id](v);
}
uint64_t domain_cpu_ns(struct domain *d) { return d->vcpu[0]->cpu_ns; }
void domain_recheck(struct domain *d) { vcpu_recheck(d->vcpu[0]); }
void domain_shutdown(struct domain *d, uint32_t reason)
{
    d->state = BH_DOM_SHUTDOWN;
    d->shutdown_reason = reason;
}
void domain_crash(struct domain *d, struct vcpu *v, enum bh_crash_cause cause, const char *fmt, ...)
{
    if (d->state != BH_DOM_RUNNING)
        return;
    d->state = BH_DOM_CRASHED;
    crashed = d;
    crash_cause = cause;
    domain_recheck(d);
}

/* One entry: the script says what the guest does and how long that takes. */
static unsigned run(struct vcpu *v)
{
    uint64_t start = shim_now_ns;
    runs[v->id]++;
    if (traced < ARRAY_SIZE(trace) && (!traced || trace[traced - 1] != v->id))
        trace[traced++] = v->id;
    v->kicked = 0;
    script[v->id](v);
    ran_ns[v->id] += shim_now_ns - start;
    if (shim_now_ns >= stop_at)
        this_cpu()->need_resched = 1; /* back to the test */
    timer_run(); /* what the timer interrupt does in the window after an exit */
    return 0;
}
static void set_sipi(struct vcpu *v, uint8_t vector) { v->regs.rip = (uint64_t)vector << 12; }
static void switch_from(struct vcpu *v) {}
static void set_context(struct vcpu *v, const struct vcpu_hvm_context *c)
{
    v->regs.rip = c->cpu_regs.x86_32.eip;
}
static const struct virt_ops ops = {
    .run = run, .set_sipi = set_sipi, .set_context = set_context, .switch_from = switch_from
};
const struct virt_ops *virt = &ops;

static unsigned pciback_told;
/* --- for pci/trap.c: pciback is no part of it ---------------------------------------------------------------- */
struct domain *domain_get(domid_t id) { return id < NV ? &dom[id] : NULL; }
struct domain *domain_get_next(domid_t from) { return domain_get(from); }
void domain_put(struct domain *d) {}
void evtchn_global_virq(struct domain *d, uint32_t virq)
{
    pciback_told += d->id == BH_DOMID_PCIBACK;
}

/* --- scripts ------------------------------------------------------------------------------------------------------ */
static void hog(struct vcpu *v) { shim_now_ns += 50 * US; }
static void halt(struct vcpu *v)
{
    shim_now_ns += 10 * US;
    v->halted = true;
    vcpu_block(v);
}
static void yielder(struct vcpu *v)
{
    shim_now_ns += 10 * US;
    sched_yield();
}
static long wait_rc;
static uint64_t wait_until;
static unsigned waits;
/* Each entry: the last wait was answered, and it waits again. */
static void waiter(struct vcpu *v)
{
    shim_now_ns += US;
    if (v->regs.rip != 3 * waits)
        fail_msg("entered within a wait, at %lu after %u", v->regs.rip, waits);
    waits++;
    v->info->evtchn_upcall_pending = 0;
    if ((long)v->regs.rax == -ETIME)
        v->pause_count = 1; /* enough for this test */
    wait_rc = vcpu_wait(v, wait_until);
    v->redo_len = wait_rc == HC_AGAIN ? 3 : 0;
}

static void event(struct vcpu *v)
{
    v->info->evtchn_upcall_pending = 1;
    vcpu_kick(v);
}

int setup(void **state)
{
    memset(dom, 0, sizeof dom);
    memset(vc, 0, sizeof vc);
    memset(shared, 0, sizeof shared);
    memset(runs, 0, sizeof runs);
    memset(ran_ns, 0, sizeof ran_ns);
    memset(ipis, 0, sizeof ipis);
    memset(sched_cpus, 0, sizeof sched_cpus);
    sched_listen(vcpu_enter, NULL);
    traced = redone = waits = 0;
    crashed = NULL;
    shim_now_ns = 1000 * MS;
    nr_cpus = 1;
    first_domain_cpu = 0;
    for (shim_cpu = 4; shim_cpu-- > 0;) {
        struct cpu *c = this_cpu();
        sched_init_cpu(c);
        list_init(&c->timers);
        c->current = NULL;
        c->idle = c->need_resched = 0;
        c->timer_armed_ns = 0;
    }
    shim_cpu = 0;
    for (unsigned i = 0; i < NV; i++) {
        struct domain *d = &dom[i];
        d->id = (domid_t)i;
        d->state = BH_DOM_RUNNING;
        d->nr_vcpus = 1;
        d->shared = &shared[i];
        d->vcpu[0] = &vc[i];
        vc[i].domain = d;
        vc[i].id = i; /* of the test: which script */
        vc[i].cpu = cpus[0];
        vc[i].info = &shared[i].vcpu_info[0];
        list_init(&vc[i].rq_node);
        share_weight(&vc[i], WEIGHT_DEFAULT);
        vc[i].affinity = ~0u;
        timer_setup(&vc[i].poll_timer, NULL);
        deadline_init(d);
        cap_init(d);
        script[i] = hog;
    }
    return 0;
}
static void poll_fired(struct timer *t)
{
    struct vcpu *v = container_of(t, struct vcpu, poll_timer);
    v->poll_timed_out = true;
    vcpu_kick(v);
}
static void turns(unsigned cpu, unsigned n)
{
    shim_cpu = cpu;
    stop_at = ~0ull;
    while (n--)
        sched_turn(this_cpu());
    shim_cpu = 0;
}
/* Turns until the time; an idle CPU sleeps to its next timer. */
static void until(uint64_t when)
{
    stop_at = when;
    while (shim_now_ns < when) {
        uint64_t before = shim_now_ns;
        sched_turn(this_cpu());
        if (shim_now_ns == before) {
            struct cpu *c = this_cpu();
            uint64_t next = list_empty(&c->timers)
                                ? when
                                : list_entry(c->timers.next, struct timer, node)->expires;
            shim_now_ns = MAX(before + 1, MIN(next, when));
        }
    }
}
static void online(unsigned first, unsigned last)
{
    for (unsigned i = first; i <= last; i++)
        vcpu_set_online(&vc[i]);
}

/* --- tests ---------------------------------------------------------------------------------------------------------- */
TEST(round_robin_in_slices)
{
    online(0, 2);
    until(shim_now_ns + 300 * MS);
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(ran_ns[i], 90 * MS, 110 * MS);
    assert_in_range(traced, 28, 32);      /* a slice each time, no more switches than that */
    for (unsigned i = 6; i < traced; i++) /* after the start, when each had a first short turn */
        assert_int_equal(trace[i], trace[i - 3]);
}

TEST(alone_runs_without_a_timer)
{
    online(0, 0);
    vc[0].pause_count = 0;
    cpus[0]->need_resched = 0;
    struct vcpu *v = pick(cpus[0]);
    assert_ptr_equal(v, &vc[0]);
    cpus[0]->current = v;
    cpus[0]->slice_start_ns = shim_now_ns;
    for (int i = 0; i < 1000; i++) {
        assert_true(sched_keeps(cpus[0], v));
        run_once(cpus[0], v);
    }
    assert_true(list_empty(&cpus[0]->timers));
    put(cpus[0], v);
}

static uint64_t woken_at;
static void wake_1(struct vcpu *v)
{
    shim_now_ns += 50 * US;
    if (!woken_at) {
        woken_at = shim_now_ns;
        event(&vc[1]);
    }
}
static void wake_1_late(struct vcpu *v)
{
    if (shim_now_ns - v->cpu->slice_start_ns > 300 * US)
        wake_1(v);
    else
        hog(v);
}
static uint64_t served_at;
static void serve(struct vcpu *v)
{
    if (woken_at && !served_at)
        served_at = shim_now_ns;
    v->info->evtchn_upcall_pending = 0;
    halt(v);
}
TEST(wake_preempts)
{
    woken_at = served_at = 0;
    dom[1].callback_vector = 0xf3;
    script[1] = serve;
    online(1, 1);
    turns(0, 1); /* sleeps now */
    assert_int_equal(vc[1].state, VCPU_BLOCKED);
    script[0] = wake_1;
    online(0, 0);
    until(shim_now_ns + 5 * MS);
    assert_true(served_at != 0);
    assert_in_range(served_at - woken_at, 100 * US,
                    250 * US); /* the hog had its 200 us, not a whole slice */
    woken_at = served_at = 0;
    script[0] = wake_1_late; /* it has run long: at once */
    until(shim_now_ns + 1 * MS);
    assert_true(served_at - woken_at < 60 * US);
}

/* Those from 1 on wake each other in turn, all the time; `ring` of them. */
static unsigned ring_size;
static void in_ring(struct vcpu *v)
{
    v->info->evtchn_upcall_pending = 0;
    shim_now_ns += 20 * US;
    event(&vc[v->id % ring_size + 1]);
    v->halted = true;
    vcpu_block(v);
}
static void make_ring(unsigned n)
{
    ring_size = n;
    for (unsigned i = 1; i <= n; i++) {
        script[i] = in_ring;
        dom[i].callback_vector = 0xf3;
    }
    vc[1].info->evtchn_upcall_pending = 1;
    online(0, n);
}
TEST(woken_ones_have_their_share_only)
{
    make_ring(2);
    until(shim_now_ns + 1000 * MS);
    assert_in_range(ran_ns[0], 320 * MS, 520 * MS); /* a third at least; one of the two sleeps always */
    assert_in_range(ran_ns[1], 230 * MS, 340 * MS);
}
/* Each of them is below its share, together they would have it all. */
TEST(many_woken_ones_do_not_starve_others)
{
    make_ring(7);
    until(shim_now_ns + 1000 * MS);
    assert_in_range(ran_ns[0], 200 * MS, 500 * MS);
    assert_true(runs[1] > 1000);
}
/* The same, and they rest at times; the moment another runs they are woken again. */
static uint64_t rest_at;
static void ring_rests(struct vcpu *v)
{
    if (shim_now_ns < rest_at) {
        in_ring(v);
        return;
    }
    shim_now_ns += US;
    v->info->evtchn_upcall_pending = 0;
    v->halted = true;
    vcpu_block(v);
}
static void wakes_the_ring(struct vcpu *v)
{
    static unsigned who;
    shim_now_ns += 10 * US;
    if (shim_now_ns >= rest_at) {
        rest_at = shim_now_ns + 5 * MS;
        event(&vc[1 + who++ % ring_size]);
    }
}
TEST(cut_short_again_and_again)
{
    rest_at = 0;
    make_ring(7);
    for (unsigned i = 1; i <= 7; i++)
        script[i] = ring_rests;
    script[0] = wakes_the_ring;
    until(shim_now_ns + 1000 * MS);
    assert_in_range(ran_ns[0], 150 * MS, 500 * MS);
}
/* A service that needs little is served at once, however many loops there are beside it. */
static uint64_t waited_most, event_at;
static void light(struct vcpu *v)
{
    if (event_at && shim_now_ns - event_at > waited_most)
        waited_most = shim_now_ns - event_at;
    event_at = 0;
    v->info->evtchn_upcall_pending = 0;
    shim_now_ns += 20 * US;
    v->halted = true;
    vcpu_block(v);
}
static void hog_beside_light(struct vcpu *v)
{
    static uint64_t last;
    hog(v);
    if (shim_now_ns - last < 500 * US)
        return;
    last = event_at = shim_now_ns;
    event(&vc[4]);
}
TEST(boost_below_the_share_always)
{
    waited_most = event_at = 0;
    for (unsigned i = 0; i < 4; i++)
        script[i] = hog_beside_light;
    script[4] = light;
    dom[4].callback_vector = 0xf3;
    online(0, 4);
    until(shim_now_ns + 100 * MS);
    waited_most = 0;
    until(shim_now_ns + 1000 * MS);
    assert_true(runs[4] > 1000);
    assert_in_range(waited_most, 1, 260 * US);
    for (unsigned i = 0; i < 4; i++)
        assert_in_range(ran_ns[i], 200 * MS, 300 * MS);
}

/* --- weights, caps, affinity ------------------------------------------------------------------------------------------ */
#define TEN_SECONDS          (10000 * MS)
#define near(what, want, of) assert_in_range(what, (want) - (of) / 20, (want) + (of) / 20)

static void weights(const unsigned *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        sched_set_weight(&vc[i], w[i]);
}
/* Each has its part of the CPU to 5 %. */
static void by_weight(const unsigned *w, unsigned n)
{
    uint64_t sum = 0;
    setup(NULL);
    weights(w, n);
    online(0, n - 1);
    until(shim_now_ns + TEN_SECONDS);
    for (unsigned i = 0; i < n; i++)
        sum += w[i];
    for (unsigned i = 0; i < n; i++) {
        uint64_t want = TEN_SECONDS * w[i] / sum;
        near(ran_ns[i], want, want);
    }
}
TEST(busy_ones_have_their_weight)
{
    by_weight((unsigned[]){ 256, 256 }, 2);
    by_weight((unsigned[]){ 256, 512 }, 2);
    by_weight((unsigned[]){ 1, 8 }, 2);
    by_weight((unsigned[]){ 65535, 65535, 32768 }, 3);
    by_weight((unsigned[]){ 100, 200, 300, 400, 1000 }, 5);
}
/* A hundred to one, and who wants all of its part, a little at a time: 2 ms, then it sleeps 2 ms, which is 40 % of what two leave it. */
static struct timer alarm;
static void ring_the_bell(struct timer *t) { event(&vc[2]); }
static uint64_t began;
static void naps(struct vcpu *v)
{
    v->info->evtchn_upcall_pending = 0;
    if (!began)
        began = ran_ns[2];
    shim_now_ns += 50 * US;
    if (ran_ns[2] - began < 2 * MS)
        return;
    began = 0;
    timer_set(&alarm, shim_now_ns + 2 * MS);
    v->halted = true;
    vcpu_block(v);
}
static void two_and_a_napper(unsigned a, unsigned b, unsigned napper)
{
    setup(NULL);
    weights((unsigned[]){ a, b, napper }, 3);
    timer_setup(&alarm, ring_the_bell);
    began = 0;
    script[2] = naps;
    dom[2].callback_vector = 0xf3;
    online(0, 2);
    until(shim_now_ns + TEN_SECONDS);
}
TEST(two_busy_and_one_that_naps)
{
    two_and_a_napper(256, 512, 256);
    near(ran_ns[1], 2 * ran_ns[0], 2 * ran_ns[0]);
    assert_in_range(ran_ns[2], TEN_SECONDS / 10, TEN_SECONDS / 4 + TEN_SECONDS / 80);
    two_and_a_napper(256, 512, 65535); /* half is all that it asks for */
    near(ran_ns[1], 2 * ran_ns[0], 2 * ran_ns[0]);
    near(ran_ns[2], TEN_SECONDS / 2, TEN_SECONDS / 2);
    two_and_a_napper(1000, 1000, 10); /* and who may not, does not, whatever it does */
    near(ran_ns[0], TEN_SECONDS / 2, TEN_SECONDS / 2);
    assert_in_range(ran_ns[2], 10 * MS, TEN_SECONDS / 201 * 2);
}
TEST(those_that_wake_each_other_have_their_weight_only)
{
    weights((unsigned[]){ 1024, 256, 256 }, 3);
    make_ring(2);
    until(shim_now_ns + TEN_SECONDS);
    assert_true(ran_ns[1] + ran_ns[2] < TEN_SECONDS / 3 + TEN_SECONDS / 60);
    assert_true(ran_ns[1] + ran_ns[2] > TEN_SECONDS / 6);
}
/* Who yields all the time has its part, or less. */
TEST(yielding_gains_nothing)
{
    script[1] = yielder;
    online(0, 1);
    until(shim_now_ns + TEN_SECONDS);
    assert_true(ran_ns[1] < TEN_SECONDS / 2);
}
static void finely(struct vcpu *v) { shim_now_ns += 1 * US; }
/* What it left to others by yielding it does not take back in one go: who wakes has the CPU as soon as ever. */
TEST(yielding_saves_nothing_up)
{
    script[1] = yielder;
    script[2] = naps;
    dom[2].callback_vector = 0xf3;
    timer_setup(&alarm, ring_the_bell);
    began = 0;
    online(0, 1);
    until(shim_now_ns + TEN_SECONDS);
    script[1] = hog;
    uint64_t before = ran_ns[1];
    vcpu_set_online(&vc[2]);
    until(shim_now_ns + 1000 * MS);
    assert_true(ran_ns[1] - before < 500 * MS);
    assert_true(ran_ns[2] > 250 * MS);
}
/* Nor does who yields take the others' weights from them. */
TEST(yielding_leaves_the_others_their_weights)
{
    sched_set_weight(&vc[0], 768);
    script[2] = yielder;
    online(0, 2);
    until(shim_now_ns + TEN_SECONDS);
    near(ran_ns[0], 3 * ran_ns[1], 3 * ran_ns[1]);
}
/* Nor does who was alone for long, while others came and were taken by another CPU: nobody measured it meanwhile. */
static void others_pass_by(struct vcpu *v)
{
    shim_now_ns += 10 * NS_PER_S;
    nr_cpus = 2;
    cpus[1]->idle = 1;
    vcpu_set_online(&vc[1]);
    vcpu_pause(&vc[1]);
    vc[1].state = VCPU_OFFLINE;
    vc[1].pause_count = 0;
    nr_cpus = 1;
}
TEST(alone_for_long_saves_nothing_up)
{
    script[0] = others_pass_by;
    online(0, 0);
    until(shim_now_ns + 100 * NS_PER_S);
    script[0] = hog;
    uint64_t before = ran_ns[0];
    vcpu_set_online(&vc[2]);
    until(shim_now_ns + 1000 * MS);
    near(ran_ns[0] - before, 500 * MS, 500 * MS);
}
/* What one that wakes again and again, and hardly runs, leaves to the others, they do not owe to who comes next. */
static void winks(struct vcpu *v)
{
    v->info->evtchn_upcall_pending = 0;
    shim_now_ns += 2 * US;
    timer_set(&alarm, shim_now_ns + 2 * US);
    v->halted = true;
    vcpu_block(v);
}
TEST(winking_saves_nothing_up_for_others)
{
    timer_setup(&alarm, ring_the_bell);
    script[0] = finely;
    script[2] = winks;
    dom[2].callback_vector = 0xf3;
    vcpu_set_online(&vc[0]);
    vcpu_set_online(&vc[2]);
    until(shim_now_ns + TEN_SECONDS);
    vcpu_pause(&vc[2]);
    uint64_t before = ran_ns[0];
    vcpu_set_online(&vc[1]);
    until(shim_now_ns + 1000 * MS);
    near(ran_ns[0] - before, 500 * MS, 500 * MS);
}
TEST(weight_changes_at_once)
{
    online(0, 1);
    until(shim_now_ns + 1000 * MS);
    near(ran_ns[0], 500 * MS, 500 * MS);
    sched_set_weight(&vc[0], 768);
    until(shim_now_ns + 1000 * MS);
    near(ran_ns[0], 1250 * MS, 750 * MS);
    vcpu_pause(&vc[0]);
    sched_set_weight(&vc[0], 256);
    vcpu_unpause(&vc[0]);
    until(shim_now_ns + 1000 * MS);
    near(ran_ns[0], 1750 * MS, 500 * MS);
    vcpu_pause(&vc[0]);
    vcpu_pause(&vc[1]);
    assert_int_equal(sched_cpus[0].share.weights, 0);
}
/* Weights are forgotten by nobody who only sleeps for a moment: one with much of it, that rests a little, hardly sees one with none. */
static void rests_a_little(struct vcpu *v)
{
    static uint64_t last;
    v->info->evtchn_upcall_pending = 0;
    shim_now_ns += 50 * US;
    if (ran_ns[v->id] - last < 9 * MS)
        return;
    last = ran_ns[v->id];
    timer_set(&alarm, shim_now_ns + 1 * MS);
    v->halted = true;
    vcpu_block(v);
}
TEST(a_rest_costs_no_share)
{
    sched_set_weight(&vc[0], 1);
    timer_setup(&alarm, ring_the_bell);
    script[2] = rests_a_little;
    dom[2].callback_vector = 0xf3;
    vcpu_set_online(&vc[0]);
    vcpu_set_online(&vc[2]);
    until(shim_now_ns + TEN_SECONDS);
    assert_true(ran_ns[2] > TEN_SECONDS / 100 * 84);
}

/* Whatever others do by turns: compute, yield at once or after a while, sleep for as long or as little as they like. */
static struct timer bells[NV];
static void bell(struct timer *t) { event(&vc[t - bells]); }
static uint64_t random_to(uint64_t n)
{
    static uint64_t x = 88172645463325252ull;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return x % n;
}
static struct {
    unsigned way;
    uint64_t until, nap, work, done;
} plan[NV];
static void anything(struct vcpu *v)
{
    unsigned i = v->id;
    v->info->evtchn_upcall_pending = 0;
    if (shim_now_ns > plan[i].until) {
        plan[i].way = (unsigned)random_to(4);
        plan[i].until = shim_now_ns + random_to(random_to(20) ? 100 * MS : 3000 * MS);
        plan[i].nap = 1 + random_to(random_to(2) ? 20 * US : 20 * MS);
        plan[i].work = 1 + random_to(random_to(2) ? 20 * US : 20 * MS);
    }
    shim_now_ns += MIN(plan[i].work, 20 * US);
    plan[i].done += 20 * US;
    if (!plan[i].way || plan[i].done < plan[i].work)
        return;
    plan[i].done = 0;
    if (plan[i].way == 1) {
        sched_yield();
        return;
    }
    timer_set(&bells[i], shim_now_ns + plan[i].nap);
    v->halted = true;
    vcpu_block(v);
}
static uint64_t asked_for, longest_wait;
static void serves(struct vcpu *v)
{
    v->info->evtchn_upcall_pending = 0;
    if (asked_for)
        longest_wait = MAX(longest_wait, shim_now_ns - asked_for);
    shim_now_ns += 20 * US;
    asked_for = shim_now_ns + MS;
    timer_set(&bells[0], asked_for);
    v->halted = true;
    vcpu_block(v);
}
/* Returns the part of the first one, in ns a second. */
static uint64_t among_adversaries(void (*first)(struct vcpu *v))
{
    unsigned n = 2 + (unsigned)random_to(6), sum = 0;
    setup(NULL);
    for (unsigned i = 0; i < n; i++) {
        unsigned w = (unsigned[]){ 256, 256, 1024, 64, 16, 4096 }[random_to(6)];
        sum += i ? w : 256;
        sched_set_weight(&vc[i], i ? w : 256);
        timer_setup(&bells[i], bell);
        dom[i].callback_vector = 0xf3;
        plan[i].until = 0;
        script[i] = i ? anything : first;
    }
    online(0, n - 1);
    return 1000 * MS * 256 / sum;
}
TEST(no_adversary_takes_a_share)
{
    for (unsigned i = 0; i < 20; i++) {
        uint64_t part = among_adversaries(hog);
        until(shim_now_ns + 1000 * MS);
        for (unsigned k = 0; k < 10; k++) {
            uint64_t before = ran_ns[0];
            until(shim_now_ns + 1000 * MS);
            assert_true(ran_ns[0] - before + part / 10 + 20 * MS > part);
        }
    }
}
TEST(no_adversary_keeps_a_service_waiting)
{
    for (unsigned i = 0; i < 20; i++) {
        (void)among_adversaries(serves);
        asked_for = longest_wait = 0;
        until(shim_now_ns + TEN_SECONDS);
        assert_in_range(longest_wait, 1, 150 * MS);
    }
}

/* A slice at most: a second of sleep is no second of CPU. */
TEST(sleep_saves_nothing_up)
{
    script[1] = halt;
    dom[1].callback_vector = 0xf3;
    online(0, 1);
    until(shim_now_ns + 1000 * MS);
    script[1] = hog;
    uint64_t before = ran_ns[1];
    event(&vc[1]);
    until(shim_now_ns + 100 * MS);
    assert_in_range(ran_ns[1] - before, 45 * MS, 65 * MS);
}

/* --- caps --- */
static void capped(unsigned percent, unsigned hogs)
{
    setup(NULL);
    cap_set(&dom[0], percent);
    online(0, hogs);
    until(shim_now_ns + TEN_SECONDS);
    near(ran_ns[0], TEN_SECONDS / 100 * percent, TEN_SECONDS / 100 * percent);
}
TEST(a_cap_is_kept)
{
    for (unsigned hogs = 0; hogs < 4; hogs++)
        for (unsigned percent = 1; percent <= 100 / (hogs + 1); percent = percent * 2 + 1)
            capped(percent, hogs);
}
/* Alone it leaves the CPU idle, which halts meanwhile; it is on no queue, and no share is its. */
TEST(who_is_held_is_on_no_queue)
{
    cap_set(&dom[0], 10);
    online(0, 0);
    until(shim_now_ns + 1000 * MS);
    while (!vc[0].held)
        turns(0, 1);
    assert_int_equal(cpus[0]->rq_len, 0);
    assert_int_equal(sched_cpus[0].share.weights, 0);
    assert_false(work_for(cpus[0]));
    vcpu_wake(&vc[0]);
    assert_int_equal(cpus[0]->rq_len, 0);
    vcpu_pause(&vc[0]); /* the two pauses are apart */
    cap_set(&dom[0], 0);
    until(shim_now_ns + 100 * MS);
    assert_false(vc[0].held);
    assert_int_equal(cpus[0]->rq_len, 0);
    uint64_t before = ran_ns[0];
    vcpu_unpause(&vc[0]);
    until(shim_now_ns + 100 * MS);
    assert_int_equal(ran_ns[0] - before, 100 * MS);
}
/* It does not go before others for having been kept out. */
TEST(who_was_held_is_owed_nothing)
{
    cap_set(&dom[0], 10);
    online(0, 2);
    until(shim_now_ns + 500 * MS);
    for (unsigned i = 0; i < 20; i++) {
        while (!vc[0].held)
            turns(0, 1);
        while (vc[0].held)
            turns(0, 1);
        assert_false(vc[0].boosted);
    }
}
/* A cap that is hardly one cuts no slices into shreds. */
TEST(a_cap_cuts_no_shreds)
{
    for (unsigned percent = 1; percent <= 100; percent += percent < 90 ? 10 : 1) {
        setup(NULL);
        cap_set(&dom[0], percent);
        script[0] = finely;
        online(0, 0);
        unsigned slices = 0;
        stop_at = ~0ull;
        for (uint64_t end = shim_now_ns + 1000 * MS; shim_now_ns < end;) {
            slices += cpus[0]->rq_len;
            shim_now_ns += 500;
            sched_turn(cpus[0]);
        }
        assert_true(slices <= 10000); /* 100 us each */
    }
}
TEST(a_cap_begins_at_once)
{
    online(0, 0);
    until(shim_now_ns + 900 * MS);
    stop_at = ~0ull;
    struct vcpu *v = pick(cpus[0]);
    cpus[0]->current = v;
    cpus[0]->slice_start_ns = shim_now_ns;
    for (unsigned i = 0; i < 2000; i++)
        run_once(cpus[0], v);
    assert_true(sched_keeps(cpus[0], v));
    cap_set(&dom[0], 20);
    assert_false(sched_keeps(cpus[0], v));
    put(cpus[0], v);
    until(shim_now_ns + 1000 * MS);
    near(ran_ns[0], 1200 * MS, 200 * MS);
}
/* Neither naps nor yields give more; nor is it boosted for what it was held. */
TEST(naps_do_not_pass_a_cap)
{
    cap_set(&dom[2], 20);
    timer_setup(&alarm, ring_the_bell);
    began = 0;
    script[2] = naps;
    dom[2].callback_vector = 0xf3;
    online(0, 2);
    until(shim_now_ns + TEN_SECONDS);
    near(ran_ns[2], TEN_SECONDS / 5, TEN_SECONDS / 5);
    near(ran_ns[0], ran_ns[1], ran_ns[1]);
}
TEST(yields_do_not_pass_a_cap)
{
    cap_set(&dom[1], 20);
    script[1] = yielder;
    online(1, 1);
    until(shim_now_ns + TEN_SECONDS);
    near(ran_ns[1], TEN_SECONDS / 5, TEN_SECONDS / 5);
}
/* Its vCPUs share it. */
TEST(a_cap_is_the_domains)
{
    dom[0].nr_vcpus = 2;
    dom[0].vcpu[1] = &vc[1];
    vc[1].domain = &dom[0];
    cap_set(&dom[0], 50);
    online(0, 1);
    until(shim_now_ns + TEN_SECONDS);
    near(ran_ns[0] + ran_ns[1], TEN_SECONDS / 2, TEN_SECONDS / 2);
    near(ran_ns[0], TEN_SECONDS / 4, TEN_SECONDS / 4);
}

/* All of its vCPUs may begin at once: together they use up what there is, and are not held for seconds for what each had. */
static void looks_at_its_slice(struct vcpu *v)
{
    const struct sched_cpu *s = of(this_cpu());
    assert_in_range(s->slice_end - shim_now_ns, CAP_LEAST_NS, CAP_KEEP_NS / 4);
    this_cpu()->need_resched = 1;
}
TEST(all_at_once_owe_little)
{
    nr_cpus = 4;
    dom[0].nr_vcpus = 4;
    for (unsigned i = 0; i < 4; i++) {
        dom[0].vcpu[i] = &vc[i];
        vc[i].domain = &dom[0];
        vc[i].cpu = cpus[i];
        script[i] = looks_at_its_slice;
    }
    cap_set(&dom[0], 100);
    shim_now_ns += 1000 * MS;
    online(0, 3);
    for (unsigned i = 0; i < 4; i++)
        turns(i, 1);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(runs[i], 1);
}

/* --- affinity --- */
TEST(domain_cpus_have_a_bit_each)
{
    nr_cpus = 4;
    assert_int_equal(domain_cpus(), 0xf);
    first_domain_cpu = 1;
    assert_int_equal(domain_cpus(), 0xe);
}
TEST(pinned_ones_are_not_taken)
{
    nr_cpus = 3;
    cpus[1]->idle = cpus[2]->idle = 1;
    for (unsigned i = 0; i < 3; i++)
        sched_set_affinity(&vc[i], 1);
    online(0, 2);
    assert_int_equal(ipis[1] + ipis[2], 0);
    assert_false(work_for(cpus[1])); /* it halts */
    assert_null(pick(cpus[1]));
    sched_set_affinity(&vc[2], 4);
    assert_int_equal(ipis[2], 1);
    assert_int_equal(cpus[0]->rq_len, 2);
    assert_int_equal(cpus[2]->rq_len, 1);
    assert_null(pick(cpus[1]));
    shim_cpu = 2;
    cpus[2]->idle = 0;
    assert_ptr_equal(pick(cpus[2]), &vc[2]);
}
/* Who takes passes by those in front that are pinned; and once only looks for what is gone. */
TEST(a_pinned_one_in_front_is_passed)
{
    nr_cpus = 2;
    sched_set_affinity(&vc[0], 1);
    online(0, 2);
    sched_set_affinity(&vc[2], 1);
    assert_true(work_for(cpus[1]));
    assert_ptr_equal(pick(cpus[1]), &vc[1]);
    assert_int_equal(sched_cpus[0].share.weights, 512);
    assert_int_equal(sched_cpus[1].share.weights, 256);
    assert_true(work_for(cpus[1])); /* not known yet */
    assert_null(pick(cpus[1]));
    assert_false(work_for(cpus[1]));
}
TEST(a_pin_moves_who_runs)
{
    nr_cpus = 2;
    cpus[1]->idle = 1;
    online(0, 1);
    struct vcpu *v = pick(cpus[0]);
    cpus[0]->current = v;
    unsigned before = ipis[1];
    sched_set_affinity(v, 2);
    assert_false(sched_keeps(cpus[0], v));
    put(cpus[0], v);
    assert_ptr_equal(v->cpu, cpus[1]);
    assert_true(vcpu_stopped(v));
    assert_int_equal(cpus[1]->rq_len, 1);
    assert_int_equal(ipis[1], before + 1);
    assert_int_equal(sched_cpus[0].share.weights, 256);
    assert_int_equal(sched_cpus[1].share.weights, 256);
    sched_set_affinity(v, 3); /* not pinned any more: where it is, until somebody takes it */
    assert_ptr_equal(v->cpu, cpus[1]);
}
TEST(a_pin_moves_who_sleeps_or_is_held)
{
    nr_cpus = 2;
    dom[0].callback_vector = 0xf3;
    vc[0].state = VCPU_BLOCKED;
    sched_set_affinity(&vc[0], 2);
    assert_ptr_equal(vc[0].cpu, cpus[1]);
    assert_int_equal(cpus[1]->rq_len, 0);
    event(&vc[0]);
    assert_int_equal(cpus[1]->rq_len, 1);
    vcpu_pause(&vc[0]);
    sched_set_affinity(&vc[0], 1);
    assert_int_equal(cpus[0]->rq_len + cpus[1]->rq_len, 0);
    vcpu_unpause(&vc[0]);
    assert_int_equal(cpus[0]->rq_len, 1);
    assert_int_equal(sched_cpus[1].share.weights, 0);
}

/* Nobody else's turn comes for it. */
TEST(who_is_cut_short_finishes_its_slice)
{
    unsigned changes = 0, last = 0;
    for (unsigned i = 0; i < 4; i++)
        script[i] = hog_beside_light;
    script[4] = light;
    dom[4].callback_vector = 0xf3;
    online(0, 4);
    until(shim_now_ns + 1000 * MS);
    for (unsigned i = 0; i < traced; i++)
        if (trace[i] != 4 && trace[i] != last) {
            last = trace[i];
            changes++;
        }
    assert_in_range(traced, 2000, ARRAY_SIZE(trace));
    assert_in_range(changes, 90, 120);
}

TEST(idle_cpu_takes_waiting_work)
{
    nr_cpus = 2;
    cpus[1]->idle = 1;
    online(0, 1);
    assert_int_equal(cpus[0]->rq_len, 2);
    assert_true(ipis[1] >= 1);
    struct vcpu *a = pick(cpus[0]);
    shim_cpu = 1;
    struct vcpu *b = pick(cpus[1]);
    assert_non_null(a);
    assert_non_null(b);
    assert_true(a != b);
    assert_ptr_equal(b->cpu, cpus[1]);
    assert_int_equal(a->counts.moves, 0);
    assert_int_equal(b->counts.moves, 1);
    cpus[1]->current = b;
    put(cpus[1], b);
    assert_int_equal(cpus[1]->rq_len, 1);
    shim_cpu = 0;
    cpus[0]->current = a;
    put(cpus[0], a);
}

/* An IPI is on its way to an idle CPU: another idle one that is awake already leaves it what it was told of. */
TEST(idle_cpu_keeps_what_it_was_told_of)
{
    nr_cpus = 3;
    vc[0].cpu = vc[1].cpu = cpus[2];
    cpus[0]->idle = cpus[1]->idle = cpus[2]->idle = 1;
    online(0, 0);
    assert_int_equal(ipis[2], 1);
    assert_int_equal(ipis[1], 0);
    assert_false(work_for(cpus[1])); /* it may halt */
    assert_null(pick(cpus[1]));
    assert_true(work_for(cpus[2]));
    cpus[2]->idle = 0;
    struct vcpu *v = pick(cpus[2]);
    assert_ptr_equal(v, &vc[0]);
    assert_ptr_equal(v->cpu, cpus[2]);
}
/* What comes behind it is for another. */
TEST(idle_cpu_keeps_one_only)
{
    nr_cpus = 3;
    vc[0].cpu = vc[1].cpu = cpus[2];
    cpus[1]->idle = cpus[2]->idle = 1;
    online(0, 1);
    assert_int_equal(ipis[2], 1);
    assert_int_equal(ipis[1], 1);
    assert_true(work_for(cpus[1]));
    struct vcpu *a = pick(cpus[1]);
    assert_non_null(a);
    assert_false(work_for(cpus[1]));
    assert_null(pick(cpus[1])); /* the last one is its own */
    cpus[2]->idle = 0;
    struct vcpu *b = pick(cpus[2]);
    assert_non_null(b);
    assert_true(a != b);
}
TEST(nobody_else_is_idle)
{
    nr_cpus = 3;
    vc[0].cpu = vc[1].cpu = cpus[2];
    cpus[2]->idle = 1;
    online(0, 1);
    assert_int_equal(ipis[2], 2);
    assert_int_equal(ipis[1], 0);
    cpus[2]->idle = 0;
    assert_non_null(pick(cpus[2]));
    assert_non_null(pick(cpus[1])); /* it is busy now: who becomes idle takes what waits there */
}

TEST(a_cpu_without_domains_takes_no_work)
{
    nr_cpus = 3;
    first_domain_cpu = 1;
    vc[0].cpu = vc[1].cpu = cpus[1];
    cpus[0]->idle = cpus[2]->idle = 1;
    online(0, 1);
    assert_int_equal(cpus[1]->rq_len, 2);
    assert_int_equal(ipis[0], 0);
    assert_true(ipis[2] >= 1);
    assert_null(pick(cpus[0]));
    assert_false(work_for(cpus[0])); /* it halts, although others have work */
    shim_cpu = 2;
    struct vcpu *v = pick(cpus[2]);
    assert_non_null(v);
    cpus[2]->idle = 0;
    cpus[2]->current = v;
    put(cpus[2], v);
    assert_int_equal(ipis[0], 0);
    shim_cpu = 0;
}

TEST(one_ipi_and_only_where_it_helps)
{
    nr_cpus = 2;
    dom[1].callback_vector = 0xf3;
    vc[1].cpu = cpus[1];
    vc[1].state = VCPU_BLOCKED;
    cpus[1]->idle = 0;
    cpus[1]->slice_start_ns = shim_now_ns - 1 * MS; /* preemptible */
    event(&vc[1]);
    assert_int_equal(ipis[1], 1);
    event(&vc[1]); /* ready already */
    assert_int_equal(ipis[1], 1);
}

TEST(no_lost_wake)
{
    struct vcpu *v = &vc[0];
    dom[0].callback_vector = 0xf3;
    online(0, 0);
    struct vcpu *p = pick(cpus[0]);
    assert_ptr_equal(p, v);
    cpus[0]->current = v;
    v->regs.rflags = 0x200;
    v->info->evtchn_upcall_pending = 1; /* came before it blocked */
    vcpu_block(v);
    assert_int_equal(v->state, VCPU_RUNNABLE);
    v->info->evtchn_upcall_pending = 0;
    vcpu_block(v);
    assert_int_equal(v->state, VCPU_BLOCKED);
    event(v); /* came between blocking and leaving the CPU */
    assert_int_equal(v->state, VCPU_RUNNABLE);
    assert_int_equal(cpus[0]->rq_len, 0); /* still running */
    put(cpus[0], v);
    assert_int_equal(cpus[0]->rq_len, 1);
    assert_true(vcpu_stopped(v));
}

TEST(pause_counts)
{
    online(0, 0);
    assert_int_equal(cpus[0]->rq_len, 1);
    vcpu_pause(&vc[0]);
    vcpu_pause(&vc[0]);
    assert_int_equal(cpus[0]->rq_len, 0);
    vcpu_unpause(&vc[0]);
    assert_int_equal(cpus[0]->rq_len, 0);
    vcpu_unpause(&vc[0]);
    assert_int_equal(cpus[0]->rq_len, 1);
    vcpu_unpause(&vc[0]); /* one too many changes nothing */
    assert_int_equal(cpus[0]->rq_len, 1);
    dom[0].state = BH_DOM_CRASHED;
    vcpu_recheck(&vc[0]);
    assert_int_equal(cpus[0]->rq_len, 0);
    dom[0].state = BH_DOM_RUNNING;
    vc[0].state = VCPU_BLOCKED;
    vcpu_pause(&vc[0]);
    vcpu_wake(&vc[0]); /* ready, but paused */
    assert_int_equal(cpus[0]->rq_len, 0);
    vcpu_unpause(&vc[0]);
    assert_int_equal(cpus[0]->rq_len, 1);
}

TEST(waits_for_event_or_time)
{
    vc[0].poll_timer.fn = poll_fired;
    script[0] = waiter;
    wait_until = 0;
    online(0, 0);
    turns(0, 1);
    assert_int_equal(wait_rc, HC_AGAIN);
    assert_int_equal(vc[0].state, VCPU_BLOCKED);
    vcpu_kick(&vc[0]); /* for nothing: it looks, and sleeps again */
    turns(0, 1);
    assert_int_equal(vc[0].state, VCPU_BLOCKED);
    assert_int_equal(vc[0].regs.rip, 0);
    event(&vc[0]);
    assert_int_equal(vc[0].state, VCPU_RUNNABLE);
    wait_until = shim_now_ns + 3 * MS; /* for the wait after this one */
    until(shim_now_ns + 2 * MS);
    assert_int_equal(waits, 2);
    assert_int_equal(vc[0].regs.rip, 3);
    assert_int_equal(vc[0].regs.rax, 0);
    assert_int_equal(wait_rc, HC_AGAIN);
    until(shim_now_ns + 2 * MS);
    assert_int_equal(vc[0].regs.rip, 6);
    assert_int_equal((long)vc[0].regs.rax, -ETIME);
    assert_false(vc[0].waiting);
    assert_int_equal(redone, 0); /* nothing of the call was executed again */
}

/* An idle CPU scrubs, but begins no page that a timer would have to wait for. */
TEST(no_scrubbing_before_a_timer)
{
    struct timer t;
    timer_setup(&t, slice_over);
    dirty = 10, scrubbed = 0;
    turns(0, 2);
    assert_int_equal(scrubbed, 2);
    timer_set(&t, shim_now_ns + 3 * US);
    turns(0, 2);
    assert_int_equal(scrubbed, 2);
    timer_set(&t, shim_now_ns + MS);
    this_cpu()->timer_armed_ns =
        0; /* its interrupt came, too early: the idle CPU programs it again before it begins */
    turns(0, 2);
    assert_int_equal(scrubbed, 4);
    assert_true(this_cpu()->timer_armed_ns == shim_now_ns + MS);
    timer_cancel(&t);
    dirty = 0;
}

/* Also what the core does for itself, while no vCPU is on the CPU. */
TEST(long_work_yields)
{
    struct cpu *c = this_cpu();
    c->current = NULL;
    c->need_resched = 0;
    sched_begin_op();
    assert_false(must_yield());
    shim_now_ns += 101 * NS_PER_US;
    assert_true(must_yield());
    sched_begin_op();
    assert_false(must_yield());
    c->need_resched = 1;
    assert_true(must_yield());
    c->need_resched = 0;
}

TEST(yield_lets_others_run)
{
    script[0] = script[1] = yielder;
    online(0, 1);
    turns(0, 20);
    assert_int_equal(traced, 20);
}

TEST(init_and_sipi)
{
    struct vcpu *v = &vc[0];
    online(0, 0);
    v->wait_sipi = 1; /* INIT */
    turns(0, 1);
    assert_int_equal(v->state, VCPU_OFFLINE);
    assert_int_equal(runs[0], 0);
    v->wait_sipi = 0;
    v->sipi_vector = 0x19a;
    v->halted = true;
    vcpu_set_online(v);
    script[0] = halt;
    turns(0, 1);
    assert_int_equal(runs[0], 1);
    assert_int_equal(v->regs.rip, 0x9a000);
    assert_int_equal(v->apic.svr, 0xff); /* as INIT leaves it */
}

/* VCPUOP_initialise: what was written is taken before the first entry, and only once it is whole. */
/* A guest that reads configuration space: nothing but the answer lets it go on, and nothing that came meanwhile is lost. */
static uint32_t config_read;
static void reads_config(struct vcpu *v)
{
    config_read = (uint32_t)v->regs.rax;
    shim_now_ns += US;
    if (v->nmi_pending ||
        v->info->evtchn_upcall_pending) { /* both are taken by the first entry that is */
        v->nmi_pending = 0;
        v->info->evtchn_upcall_pending = 0;
    }
    trap_out(v, CFG_ADDRESS, 4, 0x80000800);
    v->regs.rax = 0xaaaaaaaa00000000 | trap_in(v, CFG_DATA, 4);
}
static void answer_config(uint32_t value)
{
    struct bh_pci_trap t = { .step = BH_TRAP_NEXT };
    assert_int_equal(trap_serve(&t), 0);
    assert_int_equal(t.devfn, 8);
    t.step = BH_TRAP_ANSWER;
    t.value = value;
    assert_int_equal(trap_serve(&t), 0);
    assert_int_equal(trap_serve(&t), -ESTALE);
}
TEST(waits_for_pciback)
{
    struct bh_pci_trap t = { .step = BH_TRAP_NEXT };

    pciback_told = 0;
    script[0] = reads_config;
    dom[0].callback_vector = 0xf3;
    vc[0].regs.rflags = RFLAGS_IF;
    vcpu_set_online(&vc[0]);
    turns(0, 5);
    assert_int_equal(runs[0], 1);
    assert_int_equal(pciback_told, 1);
    assert_int_equal(vc[0].state, VCPU_BLOCKED);
    event(&vc[0]); /* each wakes it, for a look */
    turns(0, 2);
    vc[0].nmi_pending = 1;
    vcpu_kick(&vc[0]);
    turns(0, 2);
    assert_int_equal(runs[0], 1);
    assert_int_equal(vc[0].state, VCPU_BLOCKED);
    assert_true(list_empty(&vc[0].rq_node));
    assert_true(vc[0].nmi_pending && vc[0].info->evtchn_upcall_pending);
    vcpu_pause(&vc[0]); /* answered while it is paused */
    answer_config(0x12345678);
    turns(0, 2);
    assert_int_equal(runs[0], 1);
    vcpu_unpause(&vc[0]);
    turns(0, 2);
    assert_int_equal(runs[0], 2);
    assert_int_equal(config_read, 0x12345678);
    assert_int_equal(pciback_told, 2); /* it has read again */
    assert_int_equal(vc[0].state, VCPU_BLOCKED);
    assert_false(vc[0].nmi_pending || vc[0].info->evtchn_upcall_pending);

    /* INIT and SIPI do not wait for anybody, and nobody's answer is for the new code. */
    assert_int_equal(trap_serve(&t), 0);
    vc[0].wait_sipi = 1;
    vcpu_kick(&vc[0]);
    turns(0, 2);
    assert_int_equal(vc[0].state, VCPU_OFFLINE);
    vc[0].wait_sipi = 0;
    vc[0].sipi_vector = 0x108;
    script[0] = halt;
    vcpu_set_online(&vc[0]);
    turns(0, 1);
    assert_int_equal(vc[0].regs.rip, 0x8000);
    assert_int_equal(runs[0], 3);
    t.step = BH_TRAP_ANSWER;
    assert_int_equal(trap_serve(&t), -ESTALE);
    t.step = BH_TRAP_NEXT;
    assert_int_equal(trap_serve(&t), -ENOENT);
}

TEST(context_taken)
{
    struct vcpu *v = &vc[0];
    v->context.cpu_regs.x86_32.eip = 0x5000;
    v->context_state = CONTEXT_WRITING;
    online(0, 0);
    script[0] = yielder;
    turns(0, 1);
    assert_int_not_equal(v->regs.rip, 0x5000);
    v->context_state = CONTEXT_READY;
    turns(0, 1);
    assert_int_equal(v->regs.rip, 0x5000);
    assert_int_equal(v->context_state, 0);
    v->initialised = true; /* a SIPI came between the check and the write */
    v->regs.rip = 0x6000;
    v->context_state = CONTEXT_READY;
    turns(0, 1);
    assert_int_equal(v->regs.rip, 0x6000);
    assert_int_equal(v->context_state, 0);
}

/* --- deadline ------------------------------------------------------------------------------------------------------------ */
TEST(deadline_hits_only_the_hung)
{
    uint64_t start;
    deadline_arm(&dom[0], 200);
    online(0, 0);
    for (int i = 0; i < 20; i++) { /* works, kicks */
        until(shim_now_ns + 100 * MS);
        deadline_arm(&dom[0], 200);
    }
    assert_null(crashed);
    start = shim_now_ns;
    while (!crashed && shim_now_ns < start + 1000 * MS)
        until(shim_now_ns + 1 * MS);
    assert_ptr_equal(crashed, &dom[0]);
    assert_int_equal(crash_cause, BH_CAUSE_DEADLINE);
    assert_in_range(shim_now_ns - start, 190 * MS, 260 * MS);
    assert_int_equal(dom[0].deadline_missed, 1);
}

TEST(deadline_spares_idle_paused_and_starved)
{
    deadline_arm(&dom[0], 200);
    vc[0].state = VCPU_RUNNABLE; /* has an event, but never gets on a CPU */
    vc[0].info->evtchn_upcall_pending = 1;
    until(shim_now_ns + 1000 * MS);
    assert_null(crashed);
    vc[0].cpu_ns += 30 * MS; /* it did, before it was to say that it is well, and then hardly again */
    for (int i = 0; i < 100; i++) {
        vc[0].kicked = 0;
        until(shim_now_ns + 10 * MS);
    }
    assert_null(crashed);
    vc[0].pause_count = 1;
    vc[0].state = VCPU_BLOCKED;
    until(shim_now_ns + 1000 * MS);
    assert_null(crashed);
    deadline_arm(&dom[0], 0);
    vc[0].pause_count = 0;
    until(shim_now_ns + 1000 * MS);
    assert_null(crashed);
}

/* One of six that loop on a CPU has less than what counts between two looks. */
TEST(deadline_hits_the_hung_on_a_busy_cpu)
{
    deadline_arm(&dom[0], 200);
    online(0, 5);
    until(shim_now_ns + 3000 * MS);
    assert_ptr_equal(crashed, &dom[0]);
}

/* It loops in the guest on a CPU of its own: nothing else has it come out. */
TEST(deadline_has_the_hung_come_out)
{
    deadline_arm(&dom[0], 200);
    vc[0].state = VCPU_RUNNABLE;
    vc[0].cpu = cpus[1];
    vc[0].in_guest = 1;
    for (int i = 0; i < 20; i++) {
        vc[0].cpu_ns += 25 * MS;
        until(shim_now_ns + 25 * MS);
        if (ipis[1]) /* it comes out, and goes in again */
            vc[0].kicked = 0;
        ipis[1] = 0;
    }
    assert_ptr_equal(crashed, &dom[0]);
}

/* An access to a device that is not answered, firmware, an emulator that gets no time itself: its time goes on, and it executes nothing. */
TEST(deadline_spares_one_whose_cpu_stands_still)
{
    deadline_arm(&dom[0], 200);
    vc[0].state = VCPU_RUNNABLE;
    for (int i = 0; i < 40; i++) {
        vc[0].cpu_ns += 25 * MS;
        until(shim_now_ns + 25 * MS);
    }
    assert_null(crashed);
}

TEST(hang_misses_the_deadline)
{
    online(0, 0);
    deadline_arm(&dom[0], 200);
    vc[0].state = VCPU_BLOCKED;
    deadline_hang(&dom[0]);
    assert_int_equal(cpus[0]->rq_len, 0);
    until(shim_now_ns + 180 * MS);
    assert_null(crashed);
    until(shim_now_ns + 80 * MS); /* nothing waits for it: it was an order */
    assert_ptr_equal(crashed, &dom[0]);
}

TEST(who_sleeps_through_an_event_misses_the_deadline)
{
    online(0, 0);
    deadline_arm(&dom[0], 200);
    vc[0].state = VCPU_BLOCKED;
    until(shim_now_ns + 500 * MS);
    assert_null(crashed);
    vc[0].info->evtchn_upcall_pending = 1;
    until(shim_now_ns + 260 * MS);
    assert_ptr_equal(crashed, &dom[0]);
}

/* It was looking at rings, so its peers send no events: nothing will ever be pending. */
TEST(hang_in_a_poll_loop_misses_the_deadline)
{
    online(0, 0);
    deadline_arm(&dom[0], 200);
    deadline_hang(&dom[0]);
    until(shim_now_ns + 260 * MS);
    assert_ptr_equal(crashed, &dom[0]);
}

/* --- injection -------------------------------------------------------------------------------------------------------------- */
TEST(injects_while_running_and_while_asleep)
{
    for (unsigned i = 0; i < 400; i++) {
        uint32_t after = i < 200 ? 0 : 150;
        setup(NULL);
        script[0] = i & 1 ? halt : hog;
        online(0, 0);
        uint64_t start = shim_now_ns;
        deadline_inject_crash(&dom[0], after);
        while (!crashed && shim_now_ns < start + 300 * MS)
            until(shim_now_ns + 10 * US);
        assert_ptr_equal(crashed, &dom[0]);
        assert_int_equal(crash_cause, BH_CAUSE_INJECTED);
        uint64_t took = shim_now_ns - start, from = after * MS;
        assert_true(took >= from && took - from <= (i & 1 ? 26 * MS : 6 * MS));
    }
}

TEST(cancel_disarms_everything)
{
    script[0] = halt;
    online(0, 0);
    deadline_arm(&dom[0], 100);
    deadline_inject_crash(&dom[0], 0);
    assert_int_equal(watchdog_set(&dom[0], 0, 1), 1);
    deadline_hang(&dom[0]);
    deadline_cancel_all(&dom[0]);
    vc[0].info->evtchn_upcall_pending = 1;
    until(shim_now_ns + 3000 * MS);
    assert_null(crashed);
    assert_int_equal(dom[0].state, BH_DOM_RUNNING);
    assert_int_equal(dom[0].hang, 0);
}

TEST(watchdogs)
{
    struct domain *d = &dom[0];
    assert_int_equal(watchdog_set(d, 3, 1), -EINVAL);
    assert_int_equal(watchdog_set(d, 0, 0), -EINVAL);
    assert_int_equal(watchdog_set(d, 1, 1), -EEXIST);
    assert_int_equal(watchdog_set(d, 0, 2), 1);
    assert_int_equal(watchdog_set(d, 0, 5), 2);
    assert_int_equal(watchdog_set(d, 0, 5), -ENOSPC);
    assert_int_equal(watchdog_set(d, 1, 0), 0); /* off, and free again */
    assert_int_equal(watchdog_set(d, 0, 2), 1);
    until(shim_now_ns + 1500 * MS);
    assert_int_equal(watchdog_set(d, 1, 2), 0); /* patted */
    until(shim_now_ns + 1500 * MS);
    assert_int_equal(d->state, BH_DOM_RUNNING);
    until(shim_now_ns + 1000 * MS);
    assert_int_equal(d->state, BH_DOM_SHUTDOWN);
    assert_int_equal(d->shutdown_reason, SHUTDOWN_watchdog);
}

/* What keeps interrupts off longest is kept for each operation, told once and again when it grows; the guest's time is not counted. */
static uint64_t exit_ns;
static unsigned exit_op;
static void slow_exit(struct vcpu *v)
{
    shim_now_ns += 5 * MS; /* the guest's */
    irqs_off_begin(OFF_EXIT_OF(0x81));
    irqs_off_what(OFF_HYPERCALL_OF(20, exit_op));
    shim_now_ns += exit_ns;
}
static uint64_t longest_of(uint32_t what)
{
    for (unsigned i = 0; i < NR_LONGEST; i++)
        if (this_cpu()->longest[i].ns && this_cpu()->longest[i].what == what)
            return this_cpu()->longest[i].ns;
    return 0;
}
static void exits_of(unsigned op, uint64_t ns)
{
    exit_op = op;
    exit_ns = ns;
    shim_log_clear();
    until(shim_now_ns + 11 * MS);
}
static void copies_once(struct vcpu *v)
{
    counts()->copies++;
    v->info->evtchn_upcall_pending = 0;
    halt(v);
}
/* What a CPU does is counted for the vCPU that it serves then, else for itself. */
TEST(counted_for_whom_it_serves)
{
    uint64_t own = cpus[0]->own_counts.copies;
    script[0] = script[1] = copies_once;
    dom[1].callback_vector = 0xf3;
    online(0, 1);
    turns(0, 2);
    event(&vc[1]);
    turns(0, 1);
    assert_int_equal(runs[0] + runs[1], 3);
    assert_int_equal(vc[0].counts.copies, 1);
    assert_int_equal(vc[1].counts.copies, 2);
    assert_ptr_equal(counts(), &cpus[0]->own_counts); /* between two turns */
    turns(0, 1);                                      /* idle */
    assert_ptr_equal(counts(), &cpus[0]->own_counts);
    assert_int_equal(cpus[0]->own_counts.copies, own);
}

TEST(longest_with_interrupts_off)
{
    struct cpu *c = this_cpu();
    memset(c->longest, 0, sizeof c->longest);
    c->off_since = 0;
    script[0] = slow_exit;
    online(0, 0);
    exits_of(1, 50 * US);
    assert_int_equal(longest_of(OFF_HYPERCALL_OF(20, 1)), 0);
    exits_of(1, 300 * US);
    assert_int_equal(longest_of(OFF_HYPERCALL_OF(20, 1)), 300 * US);
    assert_non_null(strstr(shim_log, "interrupts off for 300 us: hypercall 20, operation 1"));
    exits_of(1, 310 * US);
    assert_int_equal(longest_of(OFF_HYPERCALL_OF(20, 1)), 310 * US);
    assert_string_equal(shim_log, "");
    exits_of(1, 200 * US);
    assert_int_equal(longest_of(OFF_HYPERCALL_OF(20, 1)), 310 * US);
    exits_of(1, 400 * US);
    assert_non_null(strstr(shim_log, "400 us"));
    for (unsigned op = 2; op < 40; op++) /* more than there is room for: the longest stay */
        exits_of(op, op % 2 ? 150 * US : 1000 * US + op);
    assert_int_equal(longest_of(OFF_HYPERCALL_OF(20, 38)), 1000 * US + 38);
    assert_int_equal(longest_of(OFF_HYPERCALL_OF(20, 39)), 0);
    uint64_t kept = 0;
    for (unsigned i = 0; i < NR_LONGEST; i++)
        kept += c->longest[i].ns >= MS;
    assert_int_equal(kept, NR_LONGEST);
}
