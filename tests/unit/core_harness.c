/* SPDX-License-Identifier: MIT */
// LINK: hv/ipc/evtchn.c hv/abi/evtchn_op.c hv/ipc/grant.c hv/ipc/grant_map.c hv/abi/grant_op.c
// LINK: hv/domain/restart.c hv/mem/npt.c hv/mem/frame.c hv/mem/kmalloc.c hv/domain/domain.c
// LINK: hv/domain/table.c hv/domain/domid.c hv/sched/vcpu.c hv/domain/vcpu_life.c hv/abi/dispatch.c
// LINK: hv/sched/cap.c hv/pci/trap.c
/* The pretended half of core_harness.h, and above what is linked with it. */
#include "core_harness.h"

struct boot_info boot_info;
__attribute__((weak)) struct cmdline cmdline;
uint32_t virt_features, tsc_khz = 1000000, pvclock_mul = 1;
int8_t pvclock_shift;
uint64_t tsc_boot, wallclock_ns = 1700000000000000000;
bool wallclock_exact;
__attribute__((weak)) void console_claim(bool claim) {}
unsigned kicks, yields_after = ~0u, rechecks, waits;
void vcpu_kick(struct vcpu *v)
{
    kicks++;
    v->kicked = 1;
}
void vcpu_wake(struct vcpu *v) { v->state = VCPU_RUNNABLE; }
void (*blocked_meanwhile)(struct vcpu *v);
void vcpu_mark_blocked(struct vcpu *v)
{
    v->state = VCPU_BLOCKED;
    if (blocked_meanwhile)
        blocked_meanwhile(v);
}
void vcpu_recheck(struct vcpu *v)
{
    rechecks++;
    mb();
}
void vcpu_pause(struct vcpu *v) { v->pause_count++; }
void vcpu_unpause(struct vcpu *v)
{
    assert_true(v->pause_count > 0);
    v->pause_count--;
}
void sched_set_weight(struct vcpu *v, uint32_t weight) { share_weight(v, weight); }
void sched_set_affinity(struct vcpu *v, uint32_t affinity) { v->affinity = affinity; }
uint32_t domain_cpus(void) { return 6; }
void sched_let_go(struct vcpu *v) {}
void sched_pick_again(struct vcpu *v) { v->kicked = 1; }
void vcpu_set_online(struct vcpu *v) { v->state = VCPU_RUNNABLE; }
bool must_yield(void)
{
    return yields_after != ~0u && yields_after-- == 0 ? (yields_after = 0, true) : false;
}
long vcpu_wait(struct vcpu *v, uint64_t until)
{
    waits++;
    return HC_AGAIN;
}
void deadline_inject_crash(struct domain *d, uint32_t after_ms) { d->inject = 1; }
void deadline_hang(struct domain *d) { d->hang = 1; }
void deadline_cancel_all(struct domain *d)
{
    d->inject = d->hang = 0;
    d->deadline_ms = 0;
}
void deadline_init(struct domain *d) {}
void deadline_arm(struct domain *d, uint64_t ms) { d->deadline_ms = ms; }
void apic_send_ipi(uint32_t cpu, uint8_t vector) {}

/* --- vendor half ------------------------------------------------------------------------------------------- */
static int fake_vcpu_init(struct vcpu *v) { return 0; }
static void fake_vcpu_free(struct vcpu *v) {}
static void fake_entry(struct vcpu *v, uint64_t eip, uint64_t ebx)
{
    v->initialised = true;
    v->regs.rip = eip;
    v->regs.rbx = ebx;
}
static bool fake_context_ok(const struct vcpu_hvm_context *c)
{
    return c->mode <= VCPU_HVM_MODE_64B;
}
static uint64_t fake_cr(const struct vcpu *v, unsigned n) { return 0; }
static void fake_exit(const struct vcpu *v, uint64_t *c, uint64_t *a, uint64_t *b)
{
    *c = *a = *b = 0;
}
const struct virt_ops fake_virt = {
    .name = "test",
    .vcpu_init = fake_vcpu_init,
    .vcpu_free = fake_vcpu_free,
    .set_pvh_entry = fake_entry,
    .context_ok = fake_context_ok,
    .get_cr = fake_cr,
    .exit_info = fake_exit,
};
const struct virt_ops *virt = &fake_virt;
__attribute__((weak)) int vcpu_pending_vector(const struct vcpu *v) { return -1; }
void machine_reboot(void) { abort(); }
void machine_poweroff(void) { abort(); }
int pirq_rc;
unsigned pirq_binds, pirq_unbinds, pci_fences, pci_refills, pci_releases, pci_soft_resets, dma_lost;
void (*pirq_meanwhile)(struct domain *d, uint32_t port);
int pirq_bind(struct domain *d, uint32_t p, uint32_t port)
{
    pirq_binds++;
    if (pirq_meanwhile)
        pirq_meanwhile(d, port);
    return pirq_rc;
}
void pirq_unbind(struct domain *d, uint32_t p) { pirq_unbinds++; }
void pirq_fence(struct domain *d) {}
int pci_fence(struct domain *d)
{
    pci_fences++;
    return 0;
}
int pci_refill(struct domain *d)
{
    pci_refills++;
    return 0;
}
__attribute__((weak)) void pci_p2m_changed(struct domain *d, gfn_t g, mfn_t m, bool present)
{
    dma_lost += !present;
}
int pci_soft_reset(struct domain *d)
{
    pci_soft_resets++;
    return 0;
}
int pci_set(struct bh_pci_set *a) { return -ENODEV; }
int pci_release_all(struct domain *d)
{
    pci_releases++;
    return 0;
}
int pci_assign(struct domain *d, uint32_t s, uint64_t g, bool permissive) { return -ENODEV; }
int pci_deassign(struct domain *d, uint32_t s) { return -ENOENT; }
int pci_dma_enable(struct domain *d, uint32_t s, bool on) { return 0; }
int pci_trial(struct domain *d, struct bh_trial *t) { return -ENODEV; }
int pci_info(uint32_t i, struct domain *o, struct bh_pci_info *out) { return -ENOENT; }
int pci_config_access(struct bh_pci_cfg *c) { return 0; }
int pci_hide(uint32_t sbdf, bool on) { return 0; }
unsigned guest_reads;
int copy_from_guest(void *dst, gaddr_t src, size_t n)
{
    guest_reads++;
    if (src.v < 0x100000 || (src.v >= BAD_PTR && src.v < BAD_PTR + 0x100000))
        return -EFAULT;
    memcpy(dst, (void *)src.v, n);
    return 0;
}
int copy_to_guest(gaddr_t dst, const void *src, size_t n)
{
    if (dst.v < 0x100000 || (dst.v >= BAD_PTR && dst.v < BAD_PTR + 0x100000))
        return -EFAULT;
    memcpy((void *)dst.v, src, n);
    return 0;
}
void *gpa_ptr(struct domain *d, uint64_t gpa)
{
    enum p2m_type t;
    mfn_t m = p2m_lookup(d, GFN(gpa >> PAGE_SHIFT), &t);
    return t == P2M_NONE || t == P2M_MMIO ? NULL : (char *)mfn_to_virt(m) + (gpa & (PAGE_SIZE - 1));
}
int gphys_read(struct domain *d, void *dst, uint64_t gpa, size_t n)
{
    void *p = gpa_ptr(d, gpa);
    if (!p)
        return -EFAULT;
    memcpy(dst, p, n);
    return 0;
}
int gphys_write_from_guest(struct domain *d, uint64_t gpa, gaddr_t src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        enum p2m_type t;
        char *p = gpa_ptr(d, gpa + i);
        (void)p2m_lookup(d, GFN((gpa + i) >> PAGE_SHIFT), &t);
        if (t != P2M_RAM)
            return -EFAULT;
        *p = ((char *)src.v)[i];
    }
    return 0;
}

/* --- machine and domains --------------------------------------------------------------------------------------------- */
static struct frame *frame_table;
int machine_setup(void **state)
{
    frame_table = calloc(RAM_FRAMES, sizeof *frame_table);
    memset(shim_ram(), 0, SHIM_RAM_BYTES);
    this_cpu();
    frame_init(frame_table, RAM_FRAMES);
    frame_add_range(MFN(1), RAM_FRAMES - 1);
    zero_mfn = virt_to_mfn(core_alloc(0));
    ones_mfn = virt_to_mfn(core_alloc(0));
    memset(mfn_to_virt(ones_mfn), 0xff, PAGE_SIZE);
    dma_lost = 0;
    kicks = rechecks = pci_fences = pci_refills = pci_releases = pirq_binds = pirq_unbinds = 0;
    yields_after = ~0u;
    pirq_rc = 0;
    evtchn_listen(pirq_unbind);
    control_domain = NULL;
    domain_listen(NULL);
    return 0;
}
int teardown(void **state)
{
    for (struct domain *d; (d = domain_get_next(0)) != NULL;) {
        assert_int_equal(domain_destroy(d), 0);
        domain_put(d);
        uint16_t id = d->id;
        domain_reap();
        d = domain_get(id);
        assert_null(d); /* nothing holds it */
    }
    free(frame_table);
    this_cpu()->current = NULL;
    return 0;
}
void as(struct domain *d) { this_cpu()->current = d->vcpu[0]; }

struct domain *make(uint16_t id, uint8_t role, uint32_t flags, unsigned vcpus, uint64_t pages)
{
    struct bh_create c = { .domid = id,
                           .role = role,
                           .flags = flags,
                           .nr_vcpus = (uint8_t)vcpus,
                           .max_pages = pages + 16,
                           .name = "test" };
    struct domain *d;
    uint64_t done = 0;
    if (flags & BH_CREATE_RESTARTABLE) {
        c.keep_gfn = pages - 6;
        c.nr_keep = 4;
    }
    assert_int_equal(domain_create(&c, &d), 0);
    if (pages)
        assert_int_equal(domain_populate(d, 0, pages, &done), 0);
    return d;
}

void start(struct domain *d)
{
    d->vcpu[0]->initialised = true;
    assert_int_equal(domain_start(d), 0);
}

bool pending(struct domain *d, uint32_t port)
{
    return d->shared->evtchn_pending[port / 64] >> (port % 64) & 1;
}
