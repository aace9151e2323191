/* SPDX-License-Identifier: MIT */
/*
 * The scheduler: see sched.h.
 *
 * Invariants, under the run-queue lock of v->cpu: a vCPU is queued at most once, and on a CPU of its affinity; a queued vCPU is not
 * running; v->cpu changes under the old CPU's lock, while it is on no queue.
 *
 * Who wakes goes before those that wait, and takes the CPU from who had it for WAKE_PREEMPT_NS, as long as it had less than its
 * share (share.h). Those that wait are served by their virtual time, a slice each; who is owed more than two slices is served
 * first until it had one, whoever wakes: many that each have less than their share do not keep it out together.
 */
#include "sched/sched.h"
#include "arch/irq.h"
#include "mem/frame.h"
#include "platform/cmdline.h"
#include "domain/struct.h"
#include "sched/cap.h"
#include "sched/irqs_off.h"
#include "sched/share.h"
#include "platform/vendor.h"

#define OP_NS    (100 * NS_PER_US) /* how long an operation may keep a CPU from its interrupts */
#define SCRUB_NS (5 * NS_PER_US)   /* a page of memory that no cache has, and more */

static struct sched_cpu {
    struct timer slice;
    volatile uint64_t slice_end; /* when `slice` fires, 0: not armed; others read it to spare an IPI */
    struct list woken;           /* rq lock: those woken below their share, and ... */
    struct list cut; /* ... those of them that another one of them cut short; before cpu.rq. rq_len counts all */
    struct share share; /* rq lock */
    volatile uint32_t takers; /* rq lock to set: CPUs that those queued may run on, at least; others read it */
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

/* Where a vCPU joins: those just woken; those of them that were cut short; by its virtual time; or the front to finish a slice that
 * was cut short, for which it is not charged before. */
enum place { WOKEN, CUT, TURN, FRONT };

static struct list *turn_of(struct cpu *c, const struct vcpu *v)
{
    struct list *at = &c->rq;
    while (at->prev != &c->rq &&
           (int64_t)(list_entry(at->prev, struct vcpu, rq_node)->vtime - v->vtime) > 0)
        at = at->prev;
    return at;
}
static void enqueue(struct cpu *c, struct vcpu *v, enum place where)
{
    struct list *before = where == WOKEN  ? &of(c)->woken
                          : where == CUT  ? &of(c)->cut
                          : where == TURN ? turn_of(c, v)
                                          : c->rq.next;
    v->boosted = where <= CUT;
    list_insert(before, &v->rq_node);
    c->rq_len++;
    of(c)->takers |= v->affinity;
}
static void dequeue(struct cpu *c, struct vcpu *v)
{
    list_del(&v->rq_node);
    if (!--c->rq_len)
        of(c)->takers = 0;
}

static void tell(struct cpu *c)
{
    c->need_resched = 1;
    if (c != this_cpu())
        apic_send_ipi(c->id, VEC_KICK);
}

static struct cpu *idle_cpu(const struct cpu *but, uint32_t among)
{
    for (uint32_t i = first_domain_cpu; i < nr_cpus; i++)
        if (cpus[i] != but && cpus[i]->idle && (among >> i & 1))
            return cpus[i];
    return NULL;
}

/* May c take the first that waits on `from`? If that one is idle, it was told of it, and takes it itself: c might be quicker, but
 * the IPI would have been for nothing, and the vCPU away from its caches and from the CPU that its device interrupts. */
static bool may_take(const struct cpu *c, const struct cpu *from)
{
    uint32_t waiting = READ_ONCE(
        from->rq_len); /* first: one that is counted here is the last of an idle one's, or `idle` is over */
    return waiting > (from != c && from->idle ? 1u : 0u) &&
           (from == c || (of(from)->takers >> c->id & 1));
}

/* A vCPU of that affinity became ready on c's queue, the only one there or not: its own CPU if that is idle and was told of no other, else an idle
 * one that will take it, else c if what runs there has had its time. One IPI at most. Who finds the queue empty tells an idle c, or
 * c finds it when it becomes idle: nobody else need look after that one (may_take). */
static void poke(struct cpu *c, uint32_t affinity, bool only, enum place where)
{
    mb(); /* queued before idle is read: see idle() */
    bool asleep = c->idle;
    struct cpu *other = asleep && only ? c : idle_cpu(c, affinity);
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

/* That may run on this CPU; on its own queue each may. */
static struct vcpu *first_of(struct list *l, uint32_t cpu)
{
    for (struct list *n = l->next; n != l; n = n->next)
        if (list_entry(n, struct vcpu, rq_node)->affinity >> cpu & 1)
            return list_entry(n, struct vcpu, rq_node);
    return NULL;
}

/* Those just woken first, but for who is owed more than two slices (all are owed one at times): it stays that until its slice is over. */
static struct vcpu *first_ready(struct cpu *c, uint32_t cpu)
{
    struct vcpu *woken = first_of(&of(c)->woken, cpu), *cut = first_of(&of(c)->cut, cpu),
                *turn = first_of(&c->rq, cpu);
    struct vcpu *late = cut && (!turn || (int64_t)(cut->vtime - turn->vtime) < 0) ? cut : turn;
    if (late && c->rq_len > 1 && share_owed(&of(c)->share, late) > 2 * late->slice)
        return late;
    if (woken)
        return woken;
    return cut ? cut : turn;
}

/* v is on no queue; lock of c, where it was. Until it joins it is owed what it was there. */
static void set_cpu(struct cpu *c, struct vcpu *v, struct cpu *to)
{
    if (v->shares)
        share_leave(&of(c)->share, v, now_ns());
    v->vtime += of(to)->share.vtime - of(c)->share.vtime;
    v->cpu = to;
}

static struct vcpu *dequeue_first(struct cpu *from, struct cpu *to)
{
    spin_lock(&from->rq_lock);
    struct vcpu *v = first_ready(from, to->id);
    if (v) {
        dequeue(from, v);
        if (from != to) {
            v->counts.moves++;
            set_cpu(from, v, to);
        } else if (!v->boosted && share_owed(&of(to)->share, v) < 0) {
            share_catch_up(&of(to)->share, v, now_ns());
        }
        v->running = 1;
        v->yielded = false;
    } else { /* it was told of who is gone */
        of(from)->takers = 0;
        struct list *all[] = { &of(from)->woken, &of(from)->cut, &from->rq };
        for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
            for (struct list *n = all[i]->next; n != all[i]; n = n->next)
                of(from)->takers |= list_entry(n, struct vcpu, rq_node)->affinity;
    }
    spin_unlock(&from->rq_lock);
    if (v && from != to) {
        spin_lock(&to->rq_lock);
        share_join(&of(to)->share, v, now_ns());
        spin_unlock(&to->rq_lock);
    }
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

/* The CPU of these where fewest wait. */
static struct cpu *cpu_of(uint32_t affinity)
{
    struct cpu *best = NULL;
    for (uint32_t i = first_domain_cpu; i < nr_cpus; i++)
        if ((affinity >> i & 1) &&
            (!best || cpus[i]->rq_len + !cpus[i]->idle < best->rq_len + !best->idle))
            best = cpus[i];
    return best;
}

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
    enum place where = TURN;
    if (run && !v->running && !queued(v)) {
        share_join(&of(c)->share, v, now_ns());
        where = share_owed(&of(c)->share, v) > 0 ? WOKEN : TURN;
        enqueue(c, v, where);
        added = true;
    } else if (!run && queued(v)) {
        dequeue(c, v);
        share_leave(&of(c)->share, v, now_ns());
    }
    bool out = !run && v->running, only = c->rq_len == 1;
    uint32_t affinity = v->affinity;
    spin_unlock(&c->rq_lock);
    if (added)
        poke(c, affinity, only, where);
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
void vcpu_mark_blocked(struct vcpu *v)
{
    struct cpu *c = rq_lock(v);
    if (v->state == VCPU_RUNNABLE)
        v->state = VCPU_BLOCKED;
    spin_unlock(&c->rq_lock);
    mb();
}
void vcpu_block(struct vcpu *v)
{
    vcpu_mark_blocked(v);
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

/* --- parameters ------------------------------------------------------------------------------------------- */

uint32_t domain_cpus(void) { return (uint32_t)((1ull << nr_cpus) - (1ull << first_domain_cpu)); }

/* It is owed nothing then, whatever it was worth before. */
void sched_set_weight(struct vcpu *v, uint32_t weight)
{
    struct cpu *c = rq_lock(v);
    bool waits = queued(v), shares = v->shares;
    if (waits)
        dequeue(c, v);
    if (shares)
        share_leave(&of(c)->share, v, now_ns());
    share_weight(v, weight);
    v->vtime = of(c)->share.vtime;
    if (shares)
        share_join(&of(c)->share, v, now_ns());
    if (waits)
        enqueue(c, v, TURN);
    spin_unlock(&c->rq_lock);
}

void sched_set_affinity(struct vcpu *v, uint32_t affinity)
{
    struct cpu *c = rq_lock(v);
    v->affinity = affinity;
    if (queued(v)) {
        dequeue(c, v);
        share_leave(&of(c)->share, v, now_ns());
    }
    if (!(affinity >> c->id & 1)) {
        if (v->running)
            tell(c); /* it is put elsewhere */
        else
            set_cpu(c, v, cpu_of(affinity));
    }
    spin_unlock(&c->rq_lock);
    vcpu_recheck(v);
}

void sched_pick_again(struct vcpu *v)
{
    struct cpu *c = rq_lock(v);
    if (v->running)
        tell(c);
    spin_unlock(&c->rq_lock);
}

/* It is owed nothing for the time that it was held. */
void sched_let_go(struct vcpu *v)
{
    struct cpu *c = rq_lock(v);
    if (v->held) {
        v->held = false;
        v->pause_count--;
        share_pass(&of(c)->share, now_ns());
        if (share_owed(&of(c)->share, v) > 0)
            v->vtime = of(c)->share.vtime;
    }
    recheck_locked(c, v);
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

/* v's part of what is left under its domain's cap, since the others may begin now too, lasts until its slice timer is over, or it goes into debt;
 * false: nothing is left. */
static bool cap_begin(struct cpu *c, const struct vcpu *v)
{
    int64_t left = cap_charge(v->domain, c->slice_start_ns, 0);
    if (left <= 0)
        return false;
    of(c)->slice_end = c->slice_start_ns + MAX((uint64_t)left / v->domain->nr_vcpus, CAP_LEAST_NS);
    timer_set(&of(c)->slice, of(c)->slice_end);
    return true;
}

/* Until its domain has earned something; false: it does not run. */
static bool hold(struct vcpu *v)
{
    v->held = true;
    v->pause_count++;
    cap_wait(v->domain);
    return false;
}

/* Where v joins when it leaves the CPU; it is charged for what it ran, but for who finishes its slice later. */
static enum place place_after(struct cpu *c, struct vcpu *v, uint64_t now, bool runs)
{
    bool over = !runs || v->yielded || v->slice_used >= SLICE_NS;
    if (!over && !v->boosted)
        return FRONT;
    v->vtime += share_vtime(v, v->slice_used);
    v->slice_used = 0;
    struct share *s = &of(c)->share;
    share_pass(s, now);
    if (share_owed(s, v) > OWED_SLICES * v->slice)
        v->vtime = s->vtime - OWED_SLICES * (uint64_t)v->slice;
    const struct list *last = c->rq.prev;
    if (v->yielded && last != &c->rq) { /* to the end if that costs it no more than a slice */
        uint64_t behind = list_entry(last, struct vcpu, rq_node)->vtime;
        int64_t on = MIN((int64_t)(behind - v->vtime), share_owed(s, v) + v->slice);
        v->vtime += (uint64_t)MAX(on, 0);
    }
    return !over && share_owed(s, v) > 0 ? CUT : TURN;
}

/* v, which is still marked running, to a CPU of its affinity, where it waits. Returns that one, its lock taken instead of c's. */
static struct cpu *put_elsewhere(struct cpu *c, struct vcpu *v)
{
    do {
        struct cpu *to = cpu_of(v->affinity);
        set_cpu(c, v, to);
        spin_unlock(&c->rq_lock);
        spin_lock(&to->rq_lock);
        c = to;
    } while (!(v->affinity >> c->id & 1));
    share_join(&of(c)->share, v, now_ns());
    return c;
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
    bool spent = v->domain->cap.percent && cap_charge(v->domain, now, ran) <= 0;
    struct cpu *at = c;
    spin_lock(&c->rq_lock);
    bool runs = vcpu_runnable(v);
    if (unlikely(spent && runs))
        runs = hold(v);
    enum place where = place_after(c, v, now, runs);
    if (unlikely(!(v->affinity >> c->id & 1))) {
        at = put_elsewhere(c, v);
        runs = vcpu_runnable(v); /* no lock held it meanwhile */
    }
    if (runs)
        enqueue(at, v, where);
    else
        share_leave(&of(at)->share, v, now);
    uint32_t waiting = at->rq_len, takers = at == c ? of(c)->takers : v->affinity;
    __atomic_store_n(&v->running, 0, __ATOMIC_RELEASE);
    spin_unlock(&at->rq_lock);
    if (unlikely(at != c)) {
        if (waiting)
            poke(at, takers, waiting == 1, TURN);
        return;
    }
    struct cpu *other = waiting > 1 ? idle_cpu(c, takers) : NULL;
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
    if (!v->domain->cap.percent || cap_begin(c, v))
        enter(c, v);
    put(c, v);
}

void sched_loop(void)
{
    struct cpu *c = this_cpu();
    for (;;)
        sched_turn(c);
}
