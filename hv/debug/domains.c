/* SPDX-License-Identifier: MIT */
/* Debug keys: domains, their vCPUs, the CPUs that run them. */
#include "debug/debug.h"
#include "domain/struct.h"
#include "domain/table.h"
#include "time/time.h"
#include "virt/virt.h"

#define HELD_NS (100 * NS_PER_MS)

bool debug_domain(struct debug_at *at, char *text, struct domain **d)
{
    if (domain_try_next((domid_t)at->domid, d)) {
        at->held_until = 0;
        if (*d && (*d)->id != at->domid) { /* the one that was being told of is gone */
            at->domid = (*d)->id;
            at->n = 0;
        }
        return *d != NULL;
    }
    *d = NULL;
    if (!at->held_until)
        at->held_until = now_ns() + HELD_NS;
    if (now_ns() < at->held_until)
        return true;
    if (at->held)
        return false;
    at->held = true;
    snprintf(text, DEBUG_LINE, "the list of domains is held, by whom is not known");
    return true;
}

void debug_next_domain(struct debug_at *at, const struct domain *d)
{
    at->domid = d->id + 1u;
    at->n = 0;
}

static const char *state_of(const struct domain *d)
{
    static const char *const names[] = { "building", "running", "shut down", "crashed", "dying" };

    return d->pause_count ? "paused" : d->state < ARRAY_SIZE(names) ? names[d->state] : "?";
}

static const char *vcpu_state(const struct vcpu *v)
{
    return v->trap.state == TRAP_WAITING ? "waits for pciback"
           : v->running                  ? "runs"
           : v->state == VCPU_RUNNABLE   ? "waits"
           : v->state == VCPU_BLOCKED    ? "sleeps"
                                         : "off";
}

static void vcpu_counts(const struct vcpu *v, char *text)
{
    static const char *const names[BH_NR_EXITS] = { "intr", "window", "cpuid", "hlt",  "io",
                                                    "msr",  "call",   "npf",   "other" };
    int n = snprintf(text, DEBUG_LINE, "  v%u CPU %u %s:", v->id, v->cpu ? v->cpu->id : 0,
                     vcpu_state(v));

    for (unsigned i = 0; i < BH_NR_EXITS && n < (int)DEBUG_LINE; i++)
        n += snprintf(text + n, DEBUG_LINE - (unsigned)n, " %s %lu", names[i], v->counts.exits[i]);
}

/* at->n: 0 the domain, then its vCPUs. */
static bool domains(struct debug_at *at, char *text)
{
    struct domain *d;
    bool more = debug_domain(at, text, &d);

    if (!d)
        return more;
    if (!at->n)
        snprintf(text, DEBUG_LINE,
                 "d%u %s: %s, %lu of %lu pages, %lu of %lu of the core's, restarts %lu, events %s",
                 d->id, d->name, state_of(d), d->tot_pages, d->max_pages, d->allowance_used,
                 d->allowance, d->instance,
                 d->deadline_ms ? "with a deadline" : "without a deadline");
    else
        vcpu_counts(d->vcpu[at->n - 1], text);
    if (at->n++ == d->nr_vcpus)
        debug_next_domain(at, d);
    domain_put(d);
    return true;
}

static bool registers(struct debug_at *at, char *text)
{
    struct domain *d;
    bool more = debug_domain(at, text, &d);
    uint64_t code, info1, info2;

    if (!d)
        return more;
    const struct vcpu *v = d->vcpu[at->n];
    virt->exit_info(v, &code, &info1, &info2);
    snprintf(text, DEBUG_LINE,
             "d%uv%u CPU %u %s: rip %lx rsp %lx rax %lx flags %lx, last exit %lx of %lx %lx", d->id,
             v->id, v->cpu ? v->cpu->id : 0, vcpu_state(v), v->regs.rip, v->regs.rsp, v->regs.rax,
             v->regs.rflags, code, info1, info2);
    if (++at->n == d->nr_vcpus)
        debug_next_domain(at, d);
    domain_put(d);
    return true;
}

/* The CPUs, then who runs or waits to. */
static bool queues(struct debug_at *at, char *text)
{
    struct domain *d;

    if (at->vcpu < nr_cpus) {
        const struct cpu *c = cpus[at->vcpu++];
        uint64_t armed = READ_ONCE(c->timer_armed_ns), now = now_ns(), longest = 0;
        for (unsigned i = 0; i < NR_LONGEST; i++)
            longest = MAX(longest, c->longest[i].ns);
        snprintf(text, DEBUG_LINE,
                 "CPU %u: %s, %u wait, next timer in %ld us, interrupts off for %lu us at most",
                 c->id, c->idle ? "idle" : "busy", c->rq_len,
                 armed ? (int64_t)(armed - now) / 1000 : -1l, longest / 1000);
        return true;
    }
    bool more = debug_domain(at, text, &d);
    if (!d)
        return more;
    const struct vcpu *v = d->vcpu[at->n];
    if (v->running || v->state == VCPU_RUNNABLE)
        snprintf(text, DEBUG_LINE, "d%uv%u CPU %u %s, weight %u%s%s", d->id, v->id,
                 v->cpu ? v->cpu->id : 0, vcpu_state(v), v->weight, v->held ? ", at its cap" : "",
                 v->pause_count > v->held ? ", paused" : "");
    if (++at->n == d->nr_vcpus)
        debug_next_domain(at, d);
    domain_put(d);
    return true;
}

const struct debug_key debug_domains[] = {
    { 'q', domains, "domains, and their vCPUs' exits by reason" },
    { 'd', registers, "vCPUs' registers and last exits" },
    { 'r', queues, "CPUs and run queues" },
    DEBUG_KEYS_END,
};
