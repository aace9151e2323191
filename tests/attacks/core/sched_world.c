/* SPDX-License-Identifier: MIT */
// LINK: hv/sched/cap.c hv/sched/wait.c hv/time/timer.c
/* sched_world.h. */
#include "sched_world.h"
#include "../../../hv/sched/sched.c"
#include "../../../hv/abi/enter.c"

struct cmdline cmdline;
const struct iommu_ops *iommu_ops;
static struct domain dom[NV];
struct vcpu vc[NV];
struct shared_info shared[NV];
void (*script[NV])(struct vcpu *v);
uint64_t ran_ns[NV], first_run[NV], stop_at;
uint64_t apic_at = ~0ull;
uint64_t ipi_at = ~0ull;
void (*ipi)(void);

void apic_timer_set_ns(uint64_t ns) { apic_at = ns ? shim_now_ns + ns : ~0ull; }
void apic_send_ipi(uint32_t cpu, uint8_t vector) {}
bool frame_scrub_some(void) { return false; }
int vcpu_pending_vector(const struct vcpu *v) { return v->info->evtchn_upcall_pending ? 0xf3 : -1; }
bool vcpu_has_work(const struct vcpu *v) { return v->info->evtchn_upcall_pending; }
void hypercall(struct vcpu *v, unsigned len) {}
uint64_t domain_cpu_ns(struct domain *d) { return d->vcpu[0]->cpu_ns; }
void trap_drop(struct vcpu *v) {}
bool trap_waits(struct vcpu *v) { return false; }
void domain_recheck(struct domain *d) { vcpu_recheck(d->vcpu[0]); }
void domain_shutdown(struct domain *d, uint32_t reason) {}
void domain_crash(struct domain *d, struct vcpu *v, enum bh_crash_cause c, const char *fmt, ...) {}
void deadline_inject_entry(struct vcpu *v) {}

bool spend(uint64_t ns)
{
    uint64_t end = shim_now_ns + ns, next = apic_at < ipi_at ? apic_at : ipi_at;
    if (next > end) {
        shim_now_ns = end;
        return false;
    }
    shim_now_ns = next > shim_now_ns ? next : shim_now_ns;
    if (shim_now_ns >= ipi_at) {
        ipi_at = ~0ull;
        ipi();
    }
    if (shim_now_ns >= apic_at) { /* as irq_dispatch does it */
        apic_at = ~0ull;
        this_cpu()->timer_armed_ns = 0;
        timer_run();
        timer_program();
    }
    return true;
}
unsigned run(struct vcpu *v)
{
    uint64_t start = shim_now_ns;
    if (!first_run[v->domain->id])
        first_run[v->domain->id] = start;
    v->kicked = 0;
    script[v->domain->id](v);
    ran_ns[v->domain->id] += shim_now_ns - start;
    if (shim_now_ns >= stop_at)
        this_cpu()->need_resched = 1;
    return 0;
}
static void switch_from(struct vcpu *v) {}
static const struct virt_ops ops = { .run = run, .switch_from = switch_from };
const struct virt_ops *virt = &ops;

void hog(struct vcpu *v) { spend(20000 * MS); } /* a loop: only an interrupt ends it */

void world(void)
{
    shim_now_ns = 1000 * MS;
    nr_cpus = 1;
    sched_listen(vcpu_enter, NULL);
    sched_init_cpu(this_cpu());
    for (unsigned i = 0; i < NV; i++) {
        dom[i].id = (domid_t)i;
        dom[i].state = BH_DOM_RUNNING;
        dom[i].nr_vcpus = 1;
        dom[i].shared = &shared[i];
        dom[i].vcpu[0] = &vc[i];
        dom[i].callback_vector = 0xf3;
        vc[i].domain = &dom[i];
        vc[i].cpu = this_cpu();
        vc[i].info = &shared[i].vcpu_info[0];
        list_init(&vc[i].rq_node);
        share_weight(&vc[i], WEIGHT_DEFAULT);
        vc[i].affinity = ~0u;
        timer_setup(&vc[i].poll_timer, NULL);
        timer_setup(&vc[i].singleshot, NULL);
        script[i] = hog;
    }
}
void until(uint64_t when)
{
    stop_at = when;
    while (shim_now_ns < when) {
        uint64_t before = shim_now_ns;
        sched_turn(this_cpu());
        if (shim_now_ns == before)
            spend(when - before);
    }
}
void event(struct vcpu *v)
{
    v->info->evtchn_upcall_pending = 1;
    vcpu_kick(v);
}
