// SPDX-License-Identifier: MIT
// LINK: hv/domain/deadline.c hv/sched/cap.c hv/sched/wait.c hv/time/timer.c hv/pci/trap.c
// FLAGS: -pthread
// CPUs that sleep, wake each other and take each other's vCPUs at once; threads are the CPUs, and one that sleeps wakes by an IPI
// alone. Tokens go from vCPU to vCPU: a wake that is lost keeps one for ever. Includes sched.c for its single turn.
#include "unit.h"
#include <threads.h>
#include <time.h>
#include "shim.h"
#include "base/cpu.h"
static void sleep_until_ipi(void);
static void take_ipis(void);
#define cpu_idle sleep_until_ipi
#define irq_on   take_ipis
#include "../../hv/sched/sched.c"
#include "../../hv/abi/enter.c"

#define NC   3 /* CPUs, the first of which may run domains or not */
#define NV   5
#define HOPS 40000u
#define NAPS \
    100 /* sleeps that a round is to have, too: where threads share a CPU, who runs finds work for long, so ... */
#define MANY (500u * HOPS) /* ... it goes on until it had them, or so many hops */
#define HUNG 10            /* seconds without a hop */

struct cmdline cmdline;
const struct iommu_ops *iommu_ops;
static _Thread_local unsigned me;
static struct cpu cpu[NC + 1]; /* the last is where the first tokens come from */
struct cpu *cpus[MAX_CPUS] = { &cpu[0], &cpu[1], &cpu[2] };
uint32_t nr_cpus = NC, first_domain_cpu;
struct cpu *this_cpu(void) { return &cpu[me]; }

static struct domain dom[NV];
static struct vcpu vc[NV];
static struct shared_info shared[NV];
static volatile uint32_t tokens[NV], hops, absorbed, slept;
static volatile bool stop;

/* For pci/trap.c: nobody here has a device. */
struct domain *domain_get(domid_t id) { return NULL; }
struct domain *domain_get_next(domid_t from) { return NULL; }
void domain_put(struct domain *d) {}
void evtchn_global_virq(struct domain *d, uint32_t virq) {}

/* --- CPUs ------------------------------------------------------------------------------------------------------------ */
static struct {
    mtx_t lock;
    cnd_t come;
    bool pending;
} ipi[NC];

void apic_send_ipi(uint32_t c, uint8_t vector)
{
    mtx_lock(&ipi[c].lock);
    ipi[c].pending = true;
    cnd_signal(&ipi[c].come);
    mtx_unlock(&ipi[c].lock);
}
static void take_ipis(void)
{
    mtx_lock(&ipi[me].lock);
    ipi[me].pending = false;
    mtx_unlock(&ipi[me].lock);
}
static bool caps; /* then a CPU has timers, and wakes for them */
static void sleep_until_ipi(void)
{
    struct timespec t;
    __atomic_add_fetch(&slept, 1, __ATOMIC_RELAXED);
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += NS_PER_MS;
    if (t.tv_nsec >= (long)NS_PER_S)
        t.tv_nsec -= NS_PER_S, t.tv_sec++;
    mtx_lock(&ipi[me].lock);
    while (!ipi[me].pending)
        if (!caps)
            cnd_wait(&ipi[me].come, &ipi[me].lock);
        else if (cnd_timedwait(&ipi[me].come, &ipi[me].lock, &t) == thrd_timedout)
            break;
    ipi[me].pending = false;
    mtx_unlock(&ipi[me].lock);
}
uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* --- the rest of the core ---------------------------------------------------------------------------------------------- */
void apic_timer_set_ns(uint64_t ns) {}
bool frame_scrub_some(void) { return false; }
int vcpu_pending_vector(const struct vcpu *v) { return v->info->evtchn_upcall_pending ? 0xf3 : -1; }
bool vcpu_has_work(const struct vcpu *v) { return v->info->evtchn_upcall_pending; }
void hypercall(struct vcpu *v, unsigned len) {}
uint64_t domain_cpu_ns(struct domain *d) { return d->vcpu[0]->cpu_ns; }
void domain_recheck(struct domain *d) { vcpu_recheck(d->vcpu[0]); }
void domain_shutdown(struct domain *d, uint32_t reason) {}
void domain_crash(struct domain *d, struct vcpu *v, enum bh_crash_cause cause, const char *fmt, ...)
{
}

static void give(unsigned to)
{
    __atomic_add_fetch(&tokens[to], 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&vc[to].info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST);
    vcpu_kick(&vc[to]);
}

/* A guest that passes on what it has, works for a moment, and halts. */
static unsigned run(struct vcpu *v)
{
    static _Thread_local uint32_t x = 1;
    __atomic_store_n(&v->kicked, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&v->info->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST);
    for (uint32_t n = __atomic_exchange_n(&tokens[v->id], 0, __ATOMIC_SEQ_CST); n; n--) {
        x = x * 1664525 + 1013904223 + me;
        uint32_t hop = __atomic_add_fetch(&hops, 1, __ATOMIC_RELAXED);
        if ((hop > HOPS && slept > NAPS) || hop > MANY)
            __atomic_add_fetch(&absorbed, 1, __ATOMIC_RELAXED);
        else
            give((v->id + 1 + (x >> 16) % (NV - 1)) % NV);
    }
    for (volatile uint32_t i = 0; i < (x >> 20) % 512; i++)
        ;
    v->halted = true;
    vcpu_block(v);
    return 0;
}
static void switch_from(struct vcpu *v) {}
static const struct virt_ops ops = { .run = run, .switch_from = switch_from };
const struct virt_ops *virt = &ops;

static int loop(void *id)
{
    me = (unsigned)(uintptr_t)id;
    while (!stop)
        sched_turn(this_cpu());
    return 0;
}

/* Another CPU that pins vCPUs, weighs them anew, and may cap them, all the time. */
static bool pins;
static unsigned nr_held;
static void pin_some(void)
{
    static uint32_t x = 1;
    x = x * 1664525 + 1013904223;
    uint32_t some = (x >> 16) & domain_cpus();
    sched_set_affinity(&vc[(x >> 24) % NV], some ? some : ~0u);
    sched_set_weight(&vc[(x >> 20) % NV], 1 + (x >> 16 & 1023));
    if (caps)
        cap_set(&dom[(x >> 12) % NV], (x >> 8) % 3 ? (x >> 4) % 5 : 0);
    struct vcpu *v = &vc[(x >> 24) % NV]; /* who is paused, and stopped, is on no queue: it could be freed */
    vcpu_pause(v);
    while (!vcpu_stopped(v))
        thrd_yield();
    struct cpu *c = rq_lock(v);
    assert_false(queued(v));
    nr_held += v->held;
    spin_unlock(&c->rq_lock);
    vcpu_unpause(v);
}

static void no_wake_is_lost(uint32_t first, unsigned nr_tokens)
{
    thrd_t thread[NC];

    first_domain_cpu = first;
    hops = absorbed = slept = 0;
    stop = false;
    memset(dom, 0, sizeof dom);
    memset(vc, 0, sizeof vc);
    memset(cpu, 0, sizeof cpu);
    memset(sched_cpus, 0, sizeof sched_cpus);
    sched_listen(vcpu_enter, NULL);
    cpu[NC].id = NC;
    list_init(&cpu[NC].timers);
    for (unsigned i = 0; i < NC; i++) {
        mtx_init(&ipi[i].lock, mtx_plain);
        cnd_init(&ipi[i].come);
        cpu[i].id = i;
        sched_init_cpu(&cpu[i]);
        list_init(&cpu[i].timers);
    }
    for (unsigned i = 0; i < NV; i++) {
        dom[i].id = (domid_t)i;
        dom[i].state = BH_DOM_RUNNING;
        dom[i].nr_vcpus = 1;
        dom[i].vcpu[0] = &vc[i];
        vc[i].domain = &dom[i];
        vc[i].id = i;
        vc[i].initialised = true;
        vc[i].cpu = &cpu[first + i % (NC - first)];
        vc[i].state = VCPU_BLOCKED;
        vc[i].info = &shared[i].vcpu_info[0];
        vc[i].info->evtchn_upcall_pending = 0;
        list_init(&vc[i].rq_node);
        share_weight(&vc[i], WEIGHT_DEFAULT);
        vc[i].affinity = ~0u;
        cap_init(&dom[i]);
    }
    for (uintptr_t i = 0; i < NC; i++)
        assert_int_equal(thrd_create(&thread[i], loop, (void *)i), thrd_success);
    me = NC;
    for (unsigned i = 0; i < nr_tokens; i++)
        give(i % NV);
    for (uint32_t still = 0, seen = 0; absorbed < nr_tokens && still < HUNG * 1000; still++) {
        thrd_sleep(&(struct timespec){ 0, pins ? 10000 : 1000000 }, NULL);
        if (pins)
            pin_some();
        timer_run();
        if (seen != hops)
            still = 0;
        seen = hops;
    }
    uint32_t came = absorbed;
    for (unsigned i = 0; i < NV && caps; i++)
        cap_set(&dom[i], 0); /* lets go whoever is held */
    for (unsigned k = 0; k < 100 && caps; k++) {
        timer_run();
        thrd_sleep(&(struct timespec){ 0, 1000000 }, NULL);
    }
    for (unsigned i = 0; i < NV; i++) {
        assert_false(vc[i].held);
        assert_int_equal(vc[i].pause_count, 0);
    }
    assert_true(!caps || nr_held);
    stop = true;
    for (unsigned i = 0; i < NC; i++)
        apic_send_ipi(i, VEC_KICK);
    for (unsigned i = 0; i < NC; i++)
        thrd_join(thread[i], NULL);
    assert_int_equal(came, nr_tokens);
    for (unsigned i = 0; i < NC; i++) { /* all sleep: nobody shares a CPU */
        assert_int_equal(cpu[i].rq_len, 0);
        assert_int_equal(sched_cpus[i].share.weights, 0);
    }
    assert_true(slept > NAPS); /* it was a test of that */
}

TEST(one_token) { no_wake_is_lost(0, 1); }
TEST(two_tokens) { no_wake_is_lost(0, 2); }
TEST(four_tokens) { no_wake_is_lost(0, 4); }
TEST(pinned_meanwhile)
{
    pins = true;
    no_wake_is_lost(0, 2);
    no_wake_is_lost(1, 4);
    pins = false;
}
TEST(without_cpu_0) { no_wake_is_lost(1, 2); }
TEST(capped_meanwhile)
{
    pins = caps = true;
    no_wake_is_lost(0, 2);
    no_wake_is_lost(1, 4);
    pins = caps = false;
}
