/* SPDX-License-Identifier: MIT */
/* Control operations that tell, and those on the machine: info, report, log, console, sysinfo, power. */
#include "abi/control.h"
#include "arch/machine.h"
#include "base/print.h"
#include "base/string.h"
#include "mem/frame.h"
#include "mem/gcopy.h"
#include "pci/iommu/iommu.h"
#include "pci/pci.h"
#include "platform/boot_info.h"
#include "platform/cmdline.h"
#include "domain/domain.h"
#include "sched/sched.h"
#include "virt/virt.h"

#define LOG_BUDGET    (64u << 10) /* bytes a BH_CTL_LOG hands out at most */
#define HOLDER_BUDGET 256u        /* grant records between two looks at the clock */

static uint16_t vcpus_online(const struct domain *d)
{
    uint16_t n = 0;

    for (uint32_t i = 0; i < d->nr_vcpus; i++)
        n += vcpu_online(d->vcpu[i]);
    return n;
}

static uint32_t info_flags(const struct domain *d)
{
    uint32_t flags = (d->pause_count ? BH_DI_PAUSED : 0) | (d->adopted ? BH_DI_ADOPTED : 0) |
                     (d->served ? BH_DI_SERVED : 0) | (d->rings ? BH_DI_RINGS : 0) |
                     (d->flags & BH_CREATE_RESTARTABLE ? BH_DI_RESTARTABLE : 0);
    bool blocked = true;

    for (uint32_t i = 0; i < d->nr_vcpus; i++) {
        if (d->vcpu[i]->running)
            flags |= BH_DI_RUNNING;
        if (READ_ONCE(d->vcpu[i]->state) == VCPU_RUNNABLE)
            blocked = false;
    }
    return flags | (blocked ? BH_DI_BLOCKED : 0);
}

/* HC_AGAIN: not found yet; what was looked at is remembered by the grant table. */
static int find_holder(struct domain *d, domid_t *holder)
{
    *holder = BH_DOMID_NONE;
    if (!domain_destroyed(d))
        return 0;
    while (!grant_holder(d, holder, HOLDER_BUDGET))
        if (must_yield())
            return HC_AGAIN;
    return 0;
}

long control_info(struct bh_dominfo *a)
{
    domid_t holder;

    domain_reap();
    struct domain *d = domain_get_next(a->domid);
    if (!d)
        return -ENOENT;
    int rc = find_holder(d, &holder);
    if (rc) {
        domain_put(d);
        return rc;
    }
    uint64_t cpu_ns = domain_cpu_ns(d);
    spin_lock(&d->lock);
    *a = (struct bh_dominfo){
        .domid = d->id,
        .role = d->role,
        .state = d->state,
        .flags = info_flags(d),
        .shutdown_reason = d->shutdown_reason,
        .nr_vcpus = d->nr_vcpus,
        .tot_pages = d->tot_pages,
        .max_pages = d->max_pages,
        .cpu_ns = cpu_ns,
        .instance = d->instance,
        .crash_ns = d->crash_ns,
        .restart_ns = d->restart_ns,
        .unpause_ns = d->unpause_ns,
        .dma_ns = d->dma_ns,
        .adopted_ns = d->adopted_ns,
        .console_port = d->console_port,
        .store_port = d->store_port,
        .deadlines_missed = d->deadline_missed,
        .holder = holder,
        .vcpus_online = vcpus_online(d),
        .allowance_used = d->allowance_used,
        .allowance = d->allowance,
    };
    memcpy(a->name, d->name, sizeof a->name);
    for (uint32_t i = 0; i < d->nr_vcpus; i++)
        counts_add(&a->counts, &d->vcpu[i]->counts);
    spin_unlock(&d->lock);
    domain_put(d);
    return 0;
}

long control_report(struct bh_report *a)
{
    struct domain *d = domain_get(a->domid);
    if (!d)
        return -ESRCH;
    spin_lock(&d->lock);
    *a = d->report;
    spin_unlock(&d->lock);
    domain_put(d);
    return a->cause == BH_CAUSE_NONE ? -ENOENT : 0;
}

/* Errors: -ESRCH no such domain, -EFAULT. */
long control_log(struct bh_log *a)
{
    struct domain *d = a->domid ? domain_get((domid_t)MIN(a->domid, DOMID_INVALID)) : NULL;
    uint64_t len = MIN(a->len, (uint64_t)LOG_BUDGET), done = 0, at = a->from;
    char buf[512];
    long rc = 0;

    if (a->domid && !d)
        return -ESRCH;
    while (done < len) {
        uint64_t pos = at;
        size_t max = MIN(sizeof buf, len - done),
               n = d ? domain_words(d, &pos, buf, max) : log_read(&pos, buf, max);
        if (!n ||
            (done && pos != at)) /* the end, or overtaken by new lines: the caller reads on from there */
            break;
        if (!done)
            a->from = pos;
        rc = copy_to_guest(GADDR(a->buf + done), buf, n) ? -EFAULT : 0;
        done += n;
        at = pos + n;
        if (rc || must_yield())
            break;
    }
    if (d)
        domain_put(d);
    a->len = done;
    return rc;
}

long control_console(const struct bh_console *a)
{
    if (a->mode != BH_CONSOLE_CLAIM && a->mode != BH_CONSOLE_RELEASE)
        return -EINVAL;
    struct domain *d = current_domain();
    spin_lock(&d->lock); /* one that another CPU ends in this moment has given it back, or will */
    if (d->state == BH_DOM_RUNNING)
        console_claim(a->mode == BH_CONSOLE_CLAIM);
    spin_unlock(&d->lock);
    return 0;
}

static uint32_t features(void)
{
    uint64_t cr4 = read_cr4();

    return virt_features | (__atomic_load_n(&wallclock_exact, __ATOMIC_ACQUIRE) ? BH_SYS_CLOCK : 0) |
           (iommu_ops ? BH_SYS_IOMMU | BH_SYS_INTREMAP : 0) |
           (cr4 & (1ull << 20) ? BH_SYS_SMEP : 0) | (cr4 & (1ull << 21) ? BH_SYS_SMAP : 0);
}

long control_sysinfo(struct bh_sysinfo *a)
{
    struct frame_stats f;

    frame_get_stats(&f);
    *a = (struct bh_sysinfo){
        .nr_cpus = nr_cpus,
        .tsc_khz = tsc_khz,
        .total_pages = f.total,
        .free_pages = f.free - f.dirty,
        .dirty_pages = f.dirty,
        .core_pages = f.core,
        .promised_pages = f.promised,
        .boot_ns = now_ns(),
        .wallclock = READ_ONCE(wallclock_ns),
        .features = features(),
        .rtc_offset = cmdline.rtc_offset,
    };
    for (uint32_t i = 0; i < nr_cpus; i++)
        counts_add(&a->core, &cpus[i]->own_counts);
    counts_ended(&a->ended);
    for (struct pci_dev *p = pci_devices; p; p = p->next)
        a->nr_pci++;
    memcpy(a->version, BH_VERSION, MIN(sizeof BH_VERSION, sizeof a->version) - 1);
    memcpy(a->cmdline, boot_info.cmdline, strnlen(boot_info.cmdline, sizeof a->cmdline - 1));
    return 0;
}

long control_machine(const struct bh_machine *a)
{
    switch (a->how) {
    case BH_MACHINE_POWEROFF: machine_poweroff();
    case BH_MACHINE_REBOOT: machine_reboot();
    default: return -EINVAL;
    }
}
