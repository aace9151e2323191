/* SPDX-License-Identifier: MIT */
/* vCPUs: making, resetting, freeing, and what is published to them (sched/vcpu.h). The vCPU is stopped, or not made yet. */
#include "sched/vcpu.h"
#include "base/string.h"
#include "domain/domain.h"
#include "ipc/evtchn.h"
#include "mem/frame.h"
#include "pci/trap.h"
#include "sched/pending.h"
#include "sched/sched.h"
#include "platform/vendor.h"

/* pvclock.h of the ABI's users: time does not depend on which CPU reads it. */
#define PVCLOCK_TSC_STABLE 1

static void singleshot_fired(struct timer *t)
{
    evtchn_virq(container_of(t, struct vcpu, singleshot), VIRQ_TIMER);
}
static void poll_fired(struct timer *t)
{
    struct vcpu *v = container_of(t, struct vcpu, poll_timer);
    v->poll_timed_out = true;
    vcpu_kick(v);
}

/* TSC rate and origin never change, so the record is written once and its version stays even. */
void vcpu_publish_time(struct vcpu_time_info *t)
{
    t->version = 2;
    t->tsc_timestamp = tsc_boot;
    t->system_time = 0;
    t->tsc_to_system_mul = pvclock_mul;
    t->tsc_shift = pvclock_shift;
    t->flags = PVCLOCK_TSC_STABLE;
}

static void to_start(struct vcpu *v)
{
    v->state = VCPU_OFFLINE;
    v->wait_sipi = v->id != 0;
    lapic_reset(v);
    v->info_mfn = INVALID_MFN;
    v->info = v->id < ARRAY_SIZE(v->domain->shared->vcpu_info) ? &v->domain->shared->vcpu_info[v->id]
                                                               : NULL;
    if (v->info)
        vcpu_publish_time(&v->info->time);
}

int vcpu_create(struct domain *d, uint32_t id)
{
    static uint32_t created;
    struct vcpu *v = kmalloc(sizeof *v);
    if (!v)
        return -ENOMEM;
    v->domain = d;
    v->id = id;
    uint32_t n = __atomic_fetch_add(&created, 1, __ATOMIC_RELAXED);
    v->cpu = cpus[first_domain_cpu + n % (nr_cpus - first_domain_cpu)];
    list_init(&v->rq_node);
    share_weight(v, WEIGHT_DEFAULT);
    v->affinity = ~0u;
    timer_setup(&v->singleshot, singleshot_fired);
    timer_setup(&v->poll_timer, poll_fired);
    to_start(v);
    int rc = virt->vcpu_init(v);
    if (rc) {
        kfree(v, sizeof *v);
        return rc;
    }
    d->vcpu[id] = v;
    return 0;
}

void vcpu_free(struct vcpu *v)
{
    timer_cancel(&v->singleshot);
    timer_cancel(&v->poll_timer);
    evtchn_info_drop(v);
    virt->vcpu_free(v);
    counts_keep(v);
    kfree(v, sizeof *v);
}

void vcpu_unregister(struct vcpu *v)
{
    timer_cancel(&v->singleshot);
    timer_cancel(&v->poll_timer);
    evtchn_info_drop(v);
    v->upcall_vector = 0;
}

void vcpu_reset(struct vcpu *v)
{
    vcpu_unregister(v);
    trap_drop(v);
    v->context_state = v->sipi_vector = v->kicked = v->nmi_pending = v->poll_port = 0;
    v->phys_ptr = v->initialised = v->waiting = v->wait_event = v->halted = v->poll_timed_out = false;
    v->redo_len = 0;
    v->hc_op = v->hc_arg = v->hc_done = 0;
    v->npt_gen = 0;
    memset(&v->regs, 0, sizeof v->regs);
    memset(v->memo, 0, sizeof v->memo);
    to_start(v);
}
