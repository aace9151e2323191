/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's stay on a CPU: entry, exit, hypercall, and again, until the scheduler wants the CPU back. It stands above the door because it
 * calls it; the scheduler, which picks who comes here, knows it as what sched_listen was given. Takes no lock.
 */
#include "abi/enter.h"
#include "abi/hypercall.h"
#include "arch/irq.h"
#include "common/regs.h"
#include "domain/domain.h"
#include "pci/trap.h"
#include "sched/irqs_off.h"
#include "sched/pending.h"
#include "sched/sched.h"
#include "virt/virt.h"

/* A hypercall that said HC_AGAIN. All that a wait for events has left to do is waiting: nothing of that call is executed again. */
static void redo(struct vcpu *v, unsigned len)
{
    if (!v->wait_event) {
        hypercall(v, len);
        return;
    }
    long rc = vcpu_wait(v, v->wait_until);
    if (rc == HC_AGAIN) {
        v->redo_len = (uint8_t)len;
        return;
    }
    v->regs.rax = (uint64_t)rc;
    v->regs.rip += len;
}

/* What the vCPU's own CPU does before an entry. False: no entry this time. */
static bool prepare(struct vcpu *v)
{
    if (v->wait_sipi) {
        vcpu_go_offline(v);
        return false;
    }
    bool fresh = !v->initialised;
    uint32_t sipi = __atomic_exchange_n(&v->sipi_vector, 0, __ATOMIC_ACQ_REL);
    if (sipi) {
        virt->set_sipi(v, (uint8_t)sipi);
        lapic_reset(v); /* INIT did */
        v->redo_len = 0;
        v->halted = v->waiting = false;
        trap_drop(v);
    }
    if (__atomic_load_n(&v->context_state, __ATOMIC_ACQUIRE) == CONTEXT_READY) {
        if (fresh) /* else a SIPI was faster than who wrote it, and it runs */
            virt->set_context(v, &v->context);
        v->context_state = 0; /* another is refused now: it has register state */
    }
    if (v->domain->inject) {
        deadline_inject_entry(v);
        if (!vcpu_runnable(v))
            return false;
    }
    if (unlikely(v->trap.state) && trap_waits(v))
        return false;
    if (v->halted) {
        if (!vcpu_has_work(v)) {
            vcpu_block(v);
            return false;
        }
        v->halted = false;
    }
    return true;
}

/* One entry, or one more try of a call that said HC_AGAIN. */
static void run_once(struct cpu *c, struct vcpu *v)
{
    if (!prepare(v))
        return;
    if (v->redo_len) {
        unsigned len = v->redo_len;
        v->redo_len = 0;
        bool deliver = v->nmi_pending ||
                       ((v->regs.rflags & RFLAGS_IF) && vcpu_pending_vector(v) >= 0);
        if (!deliver) {
            redo(v, len);
            irq_window();
            return;
        }
        if (v->waiting)
            vcpu_wait_over(v); /* the handler may come here, too; then the call begins anew */
    }
    if (!c->timer_armed_ns && !list_empty(&c->timers)) /* who sets one that is earlier programs it */
        timer_program();
    irqs_off_end(); /* virt->run begins anew at the exit */
    unsigned call = virt->run(v);
    if (call)
        hypercall(v, call);
    irq_window();
}

void vcpu_enter(struct cpu *c, struct vcpu *v)
{
    while (sched_keeps(c, v))
        run_once(c, v);
}
