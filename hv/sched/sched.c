/* SPDX-License-Identifier: MIT */
/*
 * The scheduler: see sched.h.
 *
 * Invariants, under the run-queue lock of v->cpu: a vCPU is queued at most once; a queued vCPU is not running; v->cpu changes
 * only while it is taken off a queue by a thief, under the old CPU's lock.
 *
 * Who wakes goes before those that wait, and takes the CPU from who had it for WAKE_PREEMPT_NS, as long as it had less than its
 * share (settle). Those that wait are served in turn; who has waited for longer than a slice of everybody here is served first
 * until it had its slice, whoever wakes: that many that each have less than their share do not keep it out together.
 */
#include "sched/sched.h"
#include "arch/irq.h"
#include "mem/frame.h"
#include "platform/cmdline.h"
#include "domain/struct.h"
#include "sched/irqs_off.h"
#include "platform/vendor.h"

#define OP_NS    (100 * NS_PER_US) /* how long an operation may keep a CPU from its interrupts */
#define SCRUB_NS (5 * NS_PER_US)   /* a page of memory that no cache has, and more */

static struct sched_cpu {
    struct timer slice;
    volatile uint64_t slice_end; /* when `slice` fires, 0: not armed; others read it to spare an IPI */
    struct list woken;           /* rq lock: those woken below their share, and ... */
    struct list cut; /* ... those of them that another one of them cut short; before cpu.rq. rq_len counts all */
    uint64_t op_start;
} sched_cpus[MAX_CPUS];

static struct sched_cpu *of(const struct cpu *c) { return &sched_cpus[c->id]; }

static void (*enter)(struct cpu *c, struct vcpu *v); /* see sched_listen */
static void (*idle_look)(uint64_t now);

void sched_listen(void (*on_cpu)(struct cpu *c, struct vcpu *v), void (*when_idle)(uint64_t now))
{
    enter = on_cpu;
    idle_look = when_idle;
}

static uint64_t wake_preempt_ns(void)
{
    return cmdline.wake_preempt_us ? cmdline.wake_preempt_us * NS_PER_US : WAKE_PREEMPT_NS;
}

static void slice_over(struct timer *t)
{
    struct sched_cpu *s = container_of(t, struct sched_cpu, slice);
    s->slice_end = 0;
    this_cpu()->need_resched = 1;
}

void sched_init_cpu(struct cpu *c)
{
    list_init(&c->rq);
    list_init(&of(c)->woken);
    list_init(&of(c)->cut);
    c->rq_len = 0;
    timer_setup(&of(c)->slice, slice_over);
}

/* --- queues -------------------------------------------------------------------------------------------- */

bool vcpu_runnable(const struct vcpu *v)
{
    const struct domain *d = v->domain;
    return READ_ONCE(v->state) == VCPU_RUNNABLE && !READ_ONCE(v->pause_count) &&
           d->state == BH_DOM_RUNNING && !d->hang;
}
static bool queued(const struct vcpu *v) { return !list_empty(&v->rq_node); }

static struct cpu *rq_lock(const struct vcpu *v)
{
    for (;;) {
        struct cpu *c = READ_ONCE(v->cpu);
        spin_lock(&c->rq_lock);
        if (v->cpu == c)
            return c;
        spin_unlock(&c->rq_lock);
    }
}

/*
 * What v may still have before it had more than its share: that grows with time, as v's part of it among those that run or wait
 * on its CPU now, and falls by what v runs. Bounded by a slice both ways, so it is about the last tens of milliseconds. v is
 * not queued; rq lock.
 */
static void settle(const struct cpu *c, struct vcpu *v, uint64_t now, uint64_t ran)
{
    uint64_t others = c->rq_len + (c->current && c->current != v);
    uint64_t part = MIN((now - v->settled_ns) / (others + 1), 2 * SLICE_NS);
    int64_t credit = v->credit_ns + (int64_t)part - (int64_t)MIN(ran, 2 * SLICE_NS);
    v->credit_ns = MAX(MIN(credit, (int64_t)SLICE_NS), -(int64_t)SLICE_NS);
    v->settled_ns = now;
}

/* Where a vCPU joins: those just woken; those of them that were cut short; the end, or the front to finish a slice that was cut
 * short. Who is cut short has waited for its slice since it first did; so the first of cpu.rq has waited longest. */
enum place { WOKEN, CUT, BACK, FRONT };
static void enqueue(struct cpu *c, struct vcpu *v, enum place where, uint64_t now)
{
    struct list *before[] = {
        [WOKEN] = &of(c)->woken, [CUT] = &of(c)->cut, [BACK] = &c->rq, [FRONT] = c->rq.next
    };
    if (where == WOKEN || where == BACK)
        v->ready_since = now;
    v->boosted = where == WOKEN || where == CUT;
    list_insert(before[where], &v->rq_node);
    c->rq_len++;
}
static void dequeue(struct cpu *c, struct vcpu *v)
{
    list_del(&v->rq_node);
    c->rq_len--;
}

static void tell(struct cpu *c)
{
    c->need_resched = 1;
    if (c != this_cpu())
        apic_send_ipi(c->id, VEC_KICK);
}

static struct cpu *idle_cpu(const struct cpu *but)
{
    for (uint32_t i = first_domain_cpu; i < nr_cpus; i++)
        if (cpus[i] != but && cpus[i]->idle)
            return cpus[i];
    return NULL;
}

/* May c take the first that waits on `from`? If that one is idle, it was told of it, and takes it itself: c might be quicker, but
 * the IPI would have been for nothing, and the vCPU away from its caches and from the CPU that its device interrupts. */
static bool may_take(const struct cpu *c, const struct cpu *from)
{
    uint32_t waiting = READ_ONCE(
        from->rq_len); /* first: one that is counted here is the last of an idle one's, or `idle` is over */
    return waiting > (from != c && from->idle ? 1u : 0u);
}

/* A vCPU became ready on c's queue, the only one there or not: its own CPU if that is idle and was told of no other, else an idle
 * one that will take it, else c if what runs there has had its time. One IPI at most. Who finds the queue empty tells an idle c, or
 * c finds it when it becomes idle: nobody else need look after that one (may_take). */
static void poke(struct cpu *c, bool only, enum place where)
{
    mb(); /* queued before idle is read: see idle() */
    bool asleep = c->idle;
    struct cpu *other = asleep && only ? c : idle_cpu(c);
    if (!other && asleep)
        other = c;
    if (other) {
        tell(other);
        return;
    }
    uint64_t due = READ_ONCE(c->slice_start_ns) + (where == WOKEN ? wake_preempt_ns() : SLICE_NS);
    uint64_t armed = of(c)->slice_end;
    if (now_ns() >= due)
        tell(c);
    else if (c != this_cpu() && (!armed || armed > due))
        apic_send_ipi(c->id, VEC_KICK); /* it arms its slice timer before it enters again */
}

static struct vcpu *first_of(struct list *l)
{
    return list_empty(l) ? NULL : list_entry(l->next, struct vcpu, rq_node);
}

/* Those just woken first, but for who has waited too long: it stays that until its slice is over. */
static struct vcpu *first_ready(struct cpu *c)
{
    struct vcpu *woken = first_of(&of(c)->woken), *cut = first_of(&of(c)->cut),
                *turn = first_of(&c->rq);
    struct vcpu *oldest = cut && (!turn || cut->ready_since < turn->ready_since) ? cut : turn;
    if (oldest && c->rq_len > 1 && now_ns() - oldest->ready_since > (c->rq_len + 1) * SLICE_NS)
        return oldest;
    if (woken)
        return woken;
    return cut ? cut : turn;
}

static struct vcpu *dequeue_first(struct cpu *from, struct cpu *to)
{
    spin_lock(&from->rq_lock);
    struct vcpu *v = first_ready(from);
    if (v) {
        dequeue(from, v);
        v->counts.moves += from != to;
        v->cpu = to;
        v->running = 1;
        v->yielded = false;
    }
    spin_unlock(&from->rq_lock);
    return v;
}

static struct vcpu *pick(struct cpu *c)
{
    c->need_resched = 0;
    if (c->id < first_domain_cpu)
        return NULL;
    if (c->rq_len) {
        struct vcpu *v = dequeue_first(c, c);
        if (v)
            return v;
    }
    struct cpu *longest = NULL;
    for (uint32_t i = 0; i < nr_cpus; i++)
        if (cpus[i] != c && may_take(c, cpus[i]) && (!longest || cpus[i]->rq_len > longest->rq_len))
            longest = cpus[i];
    return longest ? dequeue_first(longest, c) : NULL;
}

/* --- state changes ---------------------------------------------------------------------------------------- */

static void leave_guest(struct vcpu *v)
{
    v->kicked = 1;
    mb(); /* against svm_run, which raises in_guest and then reads kicked */
    if (v->in_guest)
        apic_send_ipi(v->cpu->id, VEC_KICK);
}

static void recheck_locked(struct cpu *c, struct vcpu *v)
{
    bool run = vcpu_runnable(v), added = false;
    enum place where = BACK;
    if (run && !v->running && !queued(v)) {
        uint64_t now = now_ns();
        settle(c, v, now, 0);
        where = v->credit_ns > 0 ? WOKEN : BACK;
        v->slice_used = 0;
        enqueue(c, v, where, now);
        added = true;
    } else if (!run && queued(v)) {
        dequeue(c, v);
    }
    bool out = !run && v->running, only = c->rq_len == 1;
    spin_unlock(&c->rq_lock);
    if (added)
        poke(c, only, where);
    if (out)
        leave_guest(v);
}

void vcpu_recheck(struct vcpu *v) { recheck_locked(rq_lock(v), v); }

void vcpu_wake(struct vcpu *v)
{
    struct cpu *c = rq_lock(v);
    if (v->state == VCPU_BLOCKED) {
        v->state = VCPU_RUNNABLE;
        recheck_locked(c, v);
    } else {
        spin_unlock(&c->rq_lock);
    }
}

/* Blocked is set first, then the reason to go on is looked for; who makes news sets it first and then looks at the state
 * (vcpu_kick). With a full barrier on both sides one of the two sees the other. */
static void mark_blocked(struct vcpu *v)
{
    struct cpu *c = rq_lock(v);
    if (v->state == VCPU_RUNNABLE)
        v->state = VCPU_BLOCKED;
    spin_unlock(&c->rq_lock);
    mb();
}
void vcpu_block(struct vcpu *v)
{
    mark_blocked(v);
    if (vcpu_has_work(v))
        vcpu_wake(v);
}

void vcpu_kick(struct vcpu *v)
{
    v->kicked = 1;
    mb();
    if (READ_ONCE(v->state) == VCPU_BLOCKED)
        vcpu_wake(v);
    if (v->in_guest && v != this_cpu()->current)
        apic_send_ipi(v->cpu->id, VEC_KICK);
}

void vcpu_pause(struct vcpu *v)
{
    struct cpu *c = rq_lock(v);
    v->pause_count++;
    recheck_locked(c, v);
}
void vcpu_unpause(struct vcpu *v)
{
    struct cpu *c = rq_lock(v);
    if (v->pause_count)
        v->pause_count--;
    recheck_locked(c, v);
}

void vcpu_set_online(struct vcpu *v)
{
    struct cpu *c = rq_lock(v);
    if (v->state == VCPU_OFFLINE)
        v->state = VCPU_RUNNABLE;
    recheck_locked(c, v);
}

void vcpu_go_offline(struct vcpu *v)
{
    struct cpu *c = rq_lock(v);
    if (v->wait_sipi)
        v->state = VCPU_OFFLINE;
    spin_unlock(&c->rq_lock);
}

void sched_yield(void)
{
    struct cpu *c = this_cpu();
    if (c->current)
        c->current->yielded = true;
    c->need_resched = 1;
}

void sched_begin_op(void) { of(this_cpu())->op_start = now_ns(); }
bool must_yield(void)
{
    struct cpu *c = this_cpu();
    return c->need_resched || now_ns() - of(c)->op_start > OP_NS;
}

/* --- waiting ------------------------------------------------------------------------------------------------ */

static long wait_over(struct vcpu *v, long rc)
{
    if (v->waiting && v->wait_until)
        timer_cancel(&v->poll_timer);
    v->waiting = false;
    v->poll_port = 0;
    vcpu_wake(v); /* it may be marked blocked */
    return rc;
}

long vcpu_wait_for(struct vcpu *v, uint64_t until_ns, bool (*ready)(struct vcpu *v, void *arg),
                   void *arg)
{
    if (!v->waiting) {
        if (ready(v, arg))
            return 0;
        v->waiting = true;
        v->wait_until = until_ns;
        v->poll_timed_out = false;
        if (until_ns)
            timer_set(&v->poll_timer, until_ns);
    }
    mark_blocked(v);
    if (ready(v, arg))
        return wait_over(v, 0);
    if (v->poll_timed_out || (v->wait_until && now_ns() >= v->wait_until))
        return wait_over(v, -ETIME);
    if (v->nmi_pending || v->wait_sipi)
        return wait_over(v, 0); /* a handler may come here again: it must not find us waiting */
    return HC_AGAIN;
}

static bool event_ready(struct vcpu *v, void *arg)
{
    (void)arg;
    return v->info && v->info->evtchn_upcall_pending;
}
long vcpu_wait(struct vcpu *v, uint64_t until_ns)
{
    long rc = vcpu_wait_for(v, until_ns, event_ready, NULL);
    v->wait_event = rc == HC_AGAIN;
    if (v->wait_event)
        v->domain->deadline_ticks = 0; /* who blocks found nothing to do: it is not hung */
    return rc;
}

void vcpu_wait_over(struct vcpu *v) { (void)wait_over(v, 0); }

/* --- running --------------------------------------------------------------------------------------------------- */

/* Slice timer of the vCPU on c, since somebody else waits here. */
static void slice_update(struct cpu *c)
{
    struct sched_cpu *s = of(c);
    uint64_t end = c->slice_start_ns +
                   (!list_empty(&s->woken) ? wake_preempt_ns() : SLICE_NS - c->current->slice_used);
    if (s->slice_end && s->slice_end <= end)
        return;
    s->slice_end = end;
    timer_set(&s->slice, end);
}
bool sched_goes_on(struct cpu *c, const struct vcpu *v)
{
    if (!vcpu_runnable(v))
        return false;
    p2m_pass(c);
    if (READ_ONCE(c->rq_len))
        slice_update(c);
    return true;
}

static void slice_stop(struct cpu *c)
{
    if (!of(c)->slice_end)
        return;
    timer_cancel(&of(c)->slice);
    of(c)->slice_end = 0;
}

/* Where v joins when it leaves the CPU. */
static enum place place_after(const struct vcpu *v)
{
    if (v->yielded || v->slice_used >= SLICE_NS)
        return BACK;
    if (!v->boosted)
        return FRONT;
    return v->credit_ns > 0 ? CUT : BACK;
}

static void put(struct cpu *c, struct vcpu *v)
{
    virt->switch_from(v);
    slice_stop(c);
    uint64_t now = now_ns(), ran = now - c->slice_start_ns;
    v->cpu_ns += ran;
    v->slice_used += ran;
    c->current = NULL;
    c->counts = &c->own_counts;
    spin_lock(&c->rq_lock);
    settle(c, v, now, ran);
    enum place where = place_after(v);
    if (where == BACK)
        v->slice_used = 0;
    if (vcpu_runnable(v))
        enqueue(c, v, where, now);
    bool surplus = c->rq_len > 1;
    __atomic_store_n(&v->running, 0, __ATOMIC_RELEASE);
    spin_unlock(&c->rq_lock);
    struct cpu *other = surplus ? idle_cpu(c) : NULL;
    if (other)
        tell(other);
}

static bool work_for(const struct cpu *c)
{
    if (c->id < first_domain_cpu)
        return false;
    for (uint32_t i = 0; i < nr_cpus; i++)
        if (may_take(c, cpus[i]))
            return true;
    return false;
}

/* A page that is scrubbed now would make it late: interrupts are off meanwhile. */
static bool timer_is_near(const struct cpu *c)
{
    return c->timer_armed_ns && c->timer_armed_ns < now_ns() + SCRUB_NS;
}

static void idle(struct cpu *c)
{
    c->idle = 1;
    mb(); /* idle is visible before the queues are looked at: a waker queues first and then reads idle */
    bool quiet = !work_for(c);
    if (quiet)
        timer_program();
    if (quiet && (timer_is_near(c) || !frame_scrub_some())) {
        if (idle_look)
            idle_look(now_ns());
        if (!work_for(c) && !c->need_resched) {
            irqs_off_end();
            cpu_idle(); /* an IPI sent since comes in at hlt */
            irqs_off_begin(OFF_RUN_LOOP);
        }
    }
    irq_window();
    c->idle = 0;
}

static void sched_turn(struct cpu *c)
{
    p2m_pass(c);
    timer_run();
    struct vcpu *v = pick(c);
    if (!v) {
        idle(c);
        return;
    }
    c->slice_start_ns = now_ns();
    c->current = v;
    c->counts = &v->counts;
    enter(c, v);
    put(c, v);
}

void sched_loop(void)
{
    struct cpu *c = this_cpu();
    for (;;)
        sched_turn(c);
}
