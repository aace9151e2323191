/* SPDX-License-Identifier: MIT */
/* Weight, cap and affinity of a domain: from its configuration (life.c), and for commands (shell/scheduling.c). They are kept by the core alone. */
#include "domain/scheduling.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "config/config.h"
#include "domain/error.h"

#define WEIGHT_DEFAULT 256u

void cpus_text(uint64_t set, uint64_t all, char s[CPUS_TEXT])
{
    size_t len = 0;

    set &= all;
    s[0] = '\0';
    if (set == all)
        snprintf(s, CPUS_TEXT, "all");
    for (unsigned i = 0, from; set != all && i < CFG_CPUS; i++) {
        if (!(set >> i & 1))
            continue;
        for (from = i; set >> (i + 1) & 1; i++)
            ;
        len += (size_t)snprintf(s + len, CPUS_TEXT - len, i > from ? "%s%u-%u" : "%s%u",
                                len ? "," : "", from, i);
    }
}

/* Of those that it is told by, which it refused. */
static int refused(const char *name, int rc, const struct bh_sched *a, struct errbuf *e)
{
    struct bh_sched now = { .domid = a->domid };
    struct bh_dominfo di = { .domid = a->domid };
    char cpus[CPUS_TEXT] = "", wanted[CPUS_TEXT];

    if (rc == -ENODEV && !bh_ctl_sched(&now)) {
        cpus_text(now.cpus, ~0ull, cpus);
        cpus_text(a->affinity, ~0ull, wanted);
        return fail(e, rc, "%s: no domain runs on CPU %s, but on %s", name, wanted, cpus);
    }
    if (rc == -EOPNOTSUPP)
        return fail(e, rc,
                    "%s: cap: a service domain has to answer in time, it has none; a weight it may have",
                    name);
    if (rc == -ENOENT)
        return fail(e, rc, "%s: has no vCPU %u", name, a->vcpu);
    if (rc == -EINVAL && (a->set & BH_SCHED_WEIGHT) && (!a->weight || a->weight > BH_WEIGHT_MAX))
        return fail(e, rc, "%s: weight: 1 to %u, not %u", name, BH_WEIGHT_MAX, a->weight);
    if (rc == -EINVAL && (a->set & BH_SCHED_CAP) && !bh_ctl_info(&di))
        return fail(e, rc, "%s: cap: 0 (none) to %u, not %u: it has %u vCPU%s", name,
                    100 * di.nr_vcpus, a->cap, di.nr_vcpus, di.nr_vcpus == 1 ? "" : "s");
    return fail(e, rc, "%s: scheduling: %s", name, errno_text(rc));
}

int scheduling(const char *name, struct bh_sched *a, struct errbuf *e)
{
    int rc = (int)bh_ctl_sched(a);

    return rc ? refused(name, rc, a, e) : 0;
}

int scheduling_begin(const struct dom *d, struct errbuf *e)
{
    const struct domcfg *c = &d->cfg;
    struct bh_sched a = { .domid = d->id, .weight = c->cpu_weight, .cap = c->cap };
    uint32_t cpus;
    char why[160];
    int rc = 0;

    a.set = (c->cpu_weight && c->cpu_weight != WEIGHT_DEFAULT ? BH_SCHED_WEIGHT : 0) |
            (c->cap ? BH_SCHED_CAP : 0);
    if (a.set)
        rc = scheduling(c->name, &a, e);
    unsigned most = c->maxvcpus > c->vcpus ? c->maxvcpus : c->vcpus;
    for (unsigned i = 0; !rc && c->cpus[0] && i < most; i++) {
        if (config_cpus(c->cpus, i, &cpus, why, sizeof(why)))
            return fail(e, -EINVAL, "%s: cpus: %s", c->name, why);
        a = (struct bh_sched){
            .domid = d->id, .vcpu = (uint16_t)i, .set = BH_SCHED_AFFINITY, .affinity = cpus
        };
        rc = scheduling(c->name, &a, e);
    }
    return rc;
}
