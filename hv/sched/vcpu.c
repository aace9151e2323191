/* SPDX-License-Identifier: MIT */
/* vCPUs: their counters, their CPU time, and whether one has work. Their scheduling is in sched.c, their life in domain/vcpu_life.c. */
#include "sched/vcpu.h"
#include "common/regs.h"
#include "sched/pending.h"

#define NR_COUNTS (sizeof(struct bh_counts) / sizeof(uint64_t)) /* it consists of such words */
static struct bh_counts ended;                                  /* a: by word */

void counts_add(struct bh_counts *sum, const struct bh_counts *c)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)c;

    for (unsigned i = 0; i < NR_COUNTS; i++)
        to[i] += READ_ONCE(from[i]);
}

void counts_ended(struct bh_counts *sum) { counts_add(sum, &ended); }

void counts_keep(const struct vcpu *v)
{
    const uint64_t *from = (const uint64_t *)&v->counts;

    for (unsigned i = 0; i < NR_COUNTS; i++)
        (void)__atomic_fetch_add((uint64_t *)&ended + i, from[i], __ATOMIC_RELAXED);
}

uint64_t vcpu_cpu_ns(const struct vcpu *v)
{
    uint64_t ns = v->cpu_ns;
    const struct cpu *c = v->cpu;
    if (v->running && c->current == v) {
        uint64_t start = READ_ONCE(c->slice_start_ns), now = now_ns();
        ns += now > start ? now - start : 0;
    }
    return ns;
}

bool vcpu_online(const struct vcpu *v)
{
    return READ_ONCE(v->state) != VCPU_OFFLINE &&
           !(READ_ONCE(v->halted) && !(v->regs.rflags & RFLAGS_IF));
}

bool vcpu_has_work(const struct vcpu *v)
{
    if (v->nmi_pending || v->sipi_vector || v->wait_sipi)
        return true;
    if (v->waiting)
        return v->info && v->info->evtchn_upcall_pending;
    return (v->regs.rflags & RFLAGS_IF) && vcpu_pending_vector(v) >= 0;
}
