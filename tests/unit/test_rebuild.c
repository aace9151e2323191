// SPDX-License-Identifier: MIT
// The control domain that dies: the core builds it again, in steps, and looks after who crashes meanwhile.
// LINK: tests/unit/control_harness.c hv/boot/control.c hv/boot/elf.c common/elf.c
#include "control_harness.h"
#include <layout.h>
#include <xen/arch-x86/hvm/start_info.h>
#include "boot/boot.h"
#include "elf_image.h"

#define MIB        (1ull << 20)
#define PAGES      1024u
#define KEEP       128u /* an eighth */
#define XS         (PAGES - 1)
#define FROM       (PAGES - 2 - KEEP)
#define BIG        0x30000u /* bytes of the image that take several steps */
#define BUNDLE_GFN (BH_SVC_BUNDLE >> PAGE_SHIFT)
#define STEPS      100000u

struct cmdline cmdline = { .ctl_mem = PAGES * PAGE_SIZE };

static bool claimed, read_only; /* the latter: nothing can be written to the domain */
static void (*meanwhile)(void); /* on another CPU, just before the console is given back */
void console_claim(bool claim)
{
    void (*fn)(void) = claim ? NULL : meanwhile;

    if (fn) {
        meanwhile = NULL;
        fn();
    }
    claimed = claim;
}
void sched_begin_op(void) {}
int gphys_write(struct domain *d, uint64_t gpa, const void *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char *p = gpa_ptr(d, gpa + i);
        if (!p || read_only)
            return -EFAULT;
        *p = ((const char *)src)[i];
    }
    return 0;
}

/* The timer of the steps is the last that is set up while the control domain is built. */
static struct timer *last, *steps;
void timer_setup(struct timer *t, void (*fn)(struct timer *))
{
    *t = (struct timer){ .fn = fn };
    list_init(&t->node);
    last = t;
}

static uint8_t *module[2];

int setup(void **state)
{
    machine_setup(state);
    module[0] = core_alloc(6);
    module[1] = core_alloc(10);
    make_elf();
    put16(56, 4);
    phdr(3, 1, sizeof image, 0x200000, BIG, BIG + 8);
    memcpy(module[0], image, sizeof image);
    for (unsigned i = 0; i < BIG; i++)
        module[0][sizeof image + i] = (uint8_t)(i * 7 + (i >> 8));
    memset(module[1], 0xb5, 2 * MIB + 5000);
    uint64_t at[2] = { virt_to_maddr(module[0]).v, virt_to_maddr(module[1]).v };
    boot_info.nr_modules = 2;
    boot_info.module[0] = (struct boot_range){ at[0], at[0] + sizeof image + BIG };
    boot_info.module[1] = (struct boot_range){ at[1], at[1] + 2 * MIB + 5000 };
    snprintf(boot_info.module_args[0], sizeof boot_info.module_args[0], "word=1");
    claimed = read_only = false;
    assert_int_equal(control_domain_build(), 0);
    steps = last;
    ctl = control_domain;
    store = make(BH_DOMID_STORE, BH_ROLE_STORE, BH_CREATE_RESTARTABLE, 1, 64);
    svc = make(3, BH_ROLE_DRIVER, BH_CREATE_RESTARTABLE, 1, 64);
    guest = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 2, 64);
    build(store, 62, 63);
    build(svc, 62, 63);
    build(guest, 2, 3);
    return 0;
}

static void die(void) { domain_crash(ctl, ctl->vcpu[0], BH_CAUSE_TRIPLE_FAULT, "triple fault"); }

/* The timer's time comes, on whatever CPU. */
static void fire(void)
{
    assert_non_null(steps->cpu);
    shim_now_ns = MAX(shim_now_ns, steps->expires);
    steps->cpu = NULL;
    steps->fn(steps);
}

/* How many steps it took until it runs. */
static unsigned rebuild(unsigned yields)
{
    unsigned n = 0;
    while (steps->cpu) {
        yields_after = yields;
        fire();
        assert_true(++n < STEPS);
    }
    yields_after = ~0u;
    assert_int_equal(ctl->state, BH_DOM_RUNNING);
    return n;
}

/* It served a second: what died before it does not count any more. */
static void serve(void)
{
    as(ctl);
    assert_int_equal(do_service_op(BH_SVC_ADOPTED, GADDR(0)), 0);
    shim_now_ns += NS_PER_S;
}

/* --- what an instance finds ------------------------------------------------------------------------------------- */
static void check_image(void)
{
    const uint8_t *seg = gpa_ptr(ctl, 0x100000);
    assert_memory_equal(seg, image + 0x400, 0x400);
    for (unsigned i = 0x400; i < 0x800; i++)
        assert_int_equal(seg[i], 0);
    for (unsigned i = 0; i < BIG; i += 13)
        assert_int_equal(*(uint8_t *)gpa_ptr(ctl, 0x200000 + i), module[0][sizeof image + i]);
}

static void check_start_info(unsigned instance)
{
    char words[200];
    const struct hvm_start_info *si = gpa_ptr(ctl, BH_SVC_BOOT);
    const struct hvm_modlist_entry *m = gpa_ptr(ctl, si->modlist_paddr);
    assert_int_equal(si->magic, XEN_HVM_START_MAGIC_VALUE);
    assert_int_equal(m->paddr, BH_SVC_BUNDLE);
    assert_int_equal(m->size, 2 * MIB + 5000);
    snprintf(words, sizeof words,
             "domid=0 name=control ram=%llu boot=0 keep=%u:%u instance=%u word=1",
             PAGES * PAGE_SIZE, FROM, KEEP, instance);
    assert_string_equal(gpa_ptr(ctl, si->cmdline_paddr), words);
    assert_int_equal(ctl->vcpu[0]->regs.rip, 0x100010);
    assert_int_equal(ctl->vcpu[0]->regs.rbx, BH_SVC_BOOT);
    assert_int_equal(ctl->vcpu[0]->state, VCPU_RUNNABLE);
}

/* In place, and nobody's to write, to replace or to give away. */
static void check_bundle(void)
{
    for (uint64_t g = 0; g < 514; g++) {
        assert_int_equal(type_of(ctl, BUNDLE_GFN + g), P2M_RAM_RO);
        assert_int_equal(frame_of(ctl, BUNDLE_GFN + g).v, virt_to_mfn(module[1]).v + g);
    }
    assert_int_equal(type_of(ctl, BUNDLE_GFN + 514), P2M_NONE);
    struct xen_remove_from_physmap x = { .domid = DOMID_SELF, .gpfn = BUNDLE_GFN };
    as(ctl);
    assert_int_not_equal(do_memory_op(XENMEM_remove_from_physmap, PTR(&x)), 0);
    for (unsigned i = 0; i < 2 * MIB + 5000; i += 999)
        assert_int_equal(module[1][i], 0xb5);
}

static void check_slot(enum evtchn_state port)
{
    struct bh_dominfo i = { .domid = 0 };
    assert_int_equal(ctl_op(BH_CTL_INFO, &i), 0);
    assert_int_equal(i.flags & (BH_DI_RESTARTABLE | BH_DI_RINGS), BH_DI_RESTARTABLE | BH_DI_RINGS);
    assert_int_equal(i.store_port, ctl->store_port);
    assert_int_equal(ctl->hvm_param[HVM_PARAM_STORE_PFN], XS);
    assert_int_equal(ctl->hvm_param[HVM_PARAM_STORE_EVTCHN], ctl->store_port);
    assert_int_equal(ctl->hvm_param[HVM_PARAM_CONSOLE_EVTCHN], 0); /* it has the physical one */
    assert_int_equal(evtchn_chan(ctl, ctl->store_port)->state, port);
    assert_int_equal(evtchn_chan(ctl, ctl->store_port)->remote_domid, BH_DOMID_STORE);
    assert_int_equal(grant_entry(ctl, 1)->domid, BH_DOMID_STORE);
    assert_int_equal(grant_entry(ctl, 1)->frame, XS);
}

TEST(test_first_instance)
{
    check_image();
    check_start_info(0);
    check_bundle();
    check_slot(ECS_UNBOUND);
    assert_int_equal(ctl->tot_pages, PAGES);
    assert_null(steps->cpu);
}

/* What stays over a restart is not the image's. */
TEST(test_image_in_keep_pages)
{
    phdr(3, 1, sizeof image, (FROM - 1) * PAGE_SIZE, PAGE_SIZE, 2 * PAGE_SIZE);
    memcpy(module[0], image, sizeof image);
    assert_int_equal(control_domain_build(), -EINVAL);
    assert_non_null(strstr(shim_log, "does not fit"));
}

/* --- the next one ----------------------------------------------------------------------------------------------- */
struct life {
    uint32_t handle; /* of its store page */
    uint64_t old;    /* frame */
};
static void live(struct life *l)
{
    struct evtchn_bind_virq v = { .virq = VIRQ_DOM_EXC };
    uint32_t own;
    (void)bind(ctl, guest->id, guest->console_port);
    as(ctl);
    assert_int_equal(do_event_channel_op(EVTCHNOP_bind_virq, PTR(&v)), 0);
    assert_int_equal(evtchn_alloc_unbound(ctl, guest->id, &own), 0);
    (void)bind(guest, 0, own);
    (void)map(ctl, guest->id, 0, WIN, 0);
    l->handle = map(store, 0, 1, WIN, 0);
    (void)bind(store, 0, ctl->store_port);
    struct bh_console con = { .mode = BH_CONSOLE_CLAIM };
    assert_int_equal(ctl_op(BH_CTL_CONSOLE, &con), 0);
    for (unsigned g = 0; g < PAGES; g++)
        memset(gpa_ptr(ctl, (uint64_t)g << 12), g >= FROM && g < FROM + KEEP ? 0x55 : 0xaa,
               PAGE_SIZE);
    l->old = frame_of(ctl, 0).v;
    while (frame_scrub_some())
        ;
}

static void check_next(const struct life *l)
{
    check_image();
    check_bundle();
    check_slot(ECS_INTERDOMAIN); /* the store was bound to it, and is */
    for (unsigned g = FROM; g < FROM + KEEP; g++)
        for (unsigned i = 0; i < PAGE_SIZE; i += 512)
            assert_int_equal(((uint8_t *)gpa_ptr(ctl, (uint64_t)g << 12))[i], 0x55);
    for (unsigned g = 0x300; g < PAGES; g++)
        if (g < FROM || g >= FROM + KEEP)
            for (unsigned i = 0; i < PAGE_SIZE; i += 512)
                assert_int_equal(((uint8_t *)gpa_ptr(ctl, (uint64_t)g << 12))[i], 0);
    assert_int_not_equal(frame_of(ctl, 0).v, l->old);
    assert_int_equal(ctl->tot_pages, PAGES);
    /* the guest's port waits for domid 0, its console's grant is idle; both are taken again */
    assert_int_equal(evtchn_chan(guest, guest->console_port)->state, ECS_UNBOUND);
    assert_int_equal(evtchn_chan(guest, guest->console_port)->remote_domid, 0);
    assert_int_equal(grant_entry(guest, 0)->flags, GTF_permit_access);
    assert_int_equal(mfn_to_frame(frame_of(guest, guest->console_gfn))->refs, 1);
    assert_int_equal(type_of(ctl, WIN), P2M_NONE);
    unmap(ctl, map(ctl, guest->id, 0, WIN, 0), WIN);
    (void)bind(ctl, guest->id, guest->console_port);
    /* what the dead one had bound or claimed is nobody's */
    assert_int_equal(ctl->evtchn.global_virq_port[VIRQ_DOM_EXC], 0);
    assert_false(claimed);
    /* the store has the page mapped as before */
    assert_int_equal(frame_of(store, WIN).v, frame_of(ctl, XS).v);
}

static void next_instance(unsigned yields)
{
    struct life l;
    live(&l);
    die();
    assert_int_equal(ctl->state, BH_DOM_CRASHED);
    assert_false(claimed);
    unsigned n = rebuild(yields);
    check_start_info((unsigned)ctl->instance);
    check_next(&l);
    assert_true(yields ? n == 1 : n > 20);
    struct bh_report r = { .domid = 0 };
    assert_int_equal(ctl_op(BH_CTL_REPORT, &r), 0);
    assert_int_equal(r.cause, BH_CAUSE_TRIPLE_FAULT);
    assert_int_equal(r.instance, 0);
    assert_string_equal(r.why, "triple fault");
    struct bh_dominfo i = { .domid = 0 };
    assert_int_equal(ctl_op(BH_CTL_INFO, &i), 0);
    assert_int_equal(i.instance, 1);
    assert_true(i.restart_ns >= i.crash_ns && i.unpause_ns >= i.restart_ns);
    assert_int_equal(i.adopted_ns, 0);
    unmap(store, l.handle, WIN);
    serve();
}
TEST(test_next_instance) { next_instance(~0u); }
TEST(test_next_instance_in_steps) { next_instance(0); }

static void claim(void)
{
    struct bh_console con = { .mode = BH_CONSOLE_CLAIM };
    assert_int_equal(ctl_op(BH_CTL_CONSOLE, &con), 0);
}
/* A driver domain dies, too, which has the control domain built again if it is seen dead by then. */
static void next_one_claims(void)
{
    domain_crash(svc, svc->vcpu[0], BH_CAUSE_NPF, "fault");
    if (steps->cpu) {
        rebuild(~0u);
        claim();
    }
}
/* The console is given back before the domain can be seen dead, not from under its next instance. */
TEST(test_console_given_back_first)
{
    serve();
    claim();
    meanwhile = next_one_claims;
    die();
    assert_null(meanwhile);
    assert_int_equal(ctl->instance, 0);
    assert_false(claimed);
    claim(); /* by the dead one, which another CPU ended while it called */
    assert_false(claimed);
    rebuild(~0u);
    claim();
    assert_true(claimed);
    serve();
}

/* Also when it is not out of the core yet, or another CPU is at it. */
TEST(test_waits)
{
    uint64_t old = frame_of(ctl, 0).v;
    serve();
    ctl->vcpu[0]->running = 1;
    die();
    for (unsigned i = 0; i < 3; i++)
        fire();
    assert_int_equal(ctl->instance, 0);
    assert_int_equal(frame_of(ctl, 0).v, old);
    ctl->vcpu[0]->running = 0;
    spin_lock(&ctl->op_lock);
    for (unsigned i = 0; i < 3; i++)
        fire();
    assert_int_equal(ctl->instance, 0);
    spin_unlock(&ctl->op_lock);
    rebuild(~0u);
    assert_int_equal(ctl->instance, 1);
    serve();
}

/* Whatever it says of its end: it has BH_CTL_MACHINE for the machine's. */
TEST(test_every_shutdown)
{
    for (uint32_t reason = SHUTDOWN_poweroff; reason <= SHUTDOWN_soft_reset; reason++) {
        serve();
        domain_shutdown(ctl, reason);
        assert_int_equal(ctl->state, BH_DOM_CRASHED);
        rebuild(~0u);
        assert_int_equal(ctl->report.cause, BH_CAUSE_SHUTDOWN_CRASH);
    }
    serve();
}

/* By its own order; it cannot be restarted as others are, nor destroyed. */
TEST(test_by_order)
{
    struct bh_crash c = { .how = BH_CRASH_INJECT };
    serve();
    assert_int_equal(ctl_op(BH_CTL_CRASH, &c), 0);
    assert_int_equal(ctl->inject, 1);
    c.how = BH_CRASH_HANG;
    assert_int_equal(ctl_op(BH_CTL_CRASH, &c), 0);
    assert_int_equal(ctl->hang, 1);
    assert_int_equal(ctl_restart(ctl, 0), -EINVAL);
    assert_int_equal(ctl_op(BH_CTL_DESTROY, &(struct bh_domid){ .domid = 0 }), -EINVAL);
    c.how = 0;
    assert_int_equal(ctl_op(BH_CTL_CRASH, &c), 0);
    rebuild(~0u);
    assert_int_equal(ctl->hang | ctl->inject, 0);
    serve();
}

/* A restart and a destroy that the dead one left unfinished stop nothing, and the next one ends them. */
TEST(test_half_operations)
{
    domid_t id = guest->id;
    serve();
    domain_crash(svc, svc->vcpu[0], BH_CAUSE_NPF, "fault");
    for (unsigned i = 0; i < 4; i++) {
        yields_after = 0;
        assert_int_equal(ctl_restart(svc, 0), HC_AGAIN);
        yields_after = 0;
        assert_int_equal(ctl_op(BH_CTL_DESTROY, &(struct bh_domid){ .domid = id }), HC_AGAIN);
    }
    uint32_t at = svc->op_stage;
    die();
    rebuild(0);
    assert_int_equal(svc->op_stage, at);
    assert_int_equal(ctl_whole(BH_CTL_RESTART, &(struct bh_restart){ .domid = svc->id }), 0);
    build(svc, 62, 63);
    assert_int_equal(ctl_whole(BH_CTL_DESTROY, &(struct bh_domid){ .domid = id }), 0);
    serve();
}

/* --- instances that die young ------------------------------------------------------------------------------------- */
/* Seconds from its death until the next one begins. */
static uint64_t outage(void)
{
    uint64_t before = shim_now_ns;
    shim_log_clear();
    die();
    rebuild(~0u);
    assert_non_null(strstr(shim_log, "built again"));
    return (shim_now_ns - before) / NS_PER_S;
}

TEST(test_back_off)
{
    static const uint64_t seconds[] = { 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60 };
    serve();
    for (unsigned i = 0; i < ARRAY_SIZE(seconds); i++) {
        assert_int_equal(outage(), seconds[i]);
        if (i % 2) { /* to serve a moment is not enough */
            as(ctl);
            assert_int_equal(do_service_op(BH_SVC_ADOPTED, GADDR(0)), 0);
            shim_now_ns += NS_PER_S - 1;
        } else { /* nor is to live long */
            shim_now_ns += 1000 * NS_PER_S;
        }
    }
    assert_non_null(strstr(shim_log, "in 60 s (death 11 in a row)"));
    serve();
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(outage(), seconds[i]);
    serve();
}

/* By command, as often as anybody likes. */
TEST(test_ordered_deaths)
{
    struct bh_crash c = { .domid = 0 };

    serve();
    for (unsigned i = 0; i < 10; i++) {
        uint64_t before = shim_now_ns;
        assert_int_equal(ctl_op(BH_CTL_CRASH, &c), 0);
        rebuild(~0u);
        assert_true(shim_now_ns - before < NS_PER_S);
    }
    assert_int_equal(outage(), 0); /* the next one is the first of its row */
    assert_false(ctl->ordered);
    serve();
}

/* What cannot be built is no reason to stop either. */
TEST(test_failed_build)
{
    serve();
    read_only = true;
    die();
    uint64_t before = shim_now_ns;
    while (shim_now_ns < before + 20 * NS_PER_S)
        fire();
    assert_int_equal(ctl->state, BH_DOM_BUILDING);
    assert_true(ctl->instance > 4 && ctl->instance < 10);
    read_only = false;
    rebuild(~0u);
    check_image();
    serve();
}

/* --- who crashes meanwhile ------------------------------------------------------------------------------------------ */
/* A device, of which this floor sees only that there is one. */
static void give_device(struct domain *d) { d->devices = (struct pci_dev *)module[0]; }

static void crash_driver(void) { domain_crash(svc, svc->vcpu[0], BH_CAUSE_NPF, "fault"); }

/* Dead for a while: deaths in a row, the last one not built again yet. */
static void stay_dead(void)
{
    serve();
    for (unsigned i = 0; i < 5; i++)
        (void)outage();
    die();
    fire();
    assert_int_equal(ctl->state, BH_DOM_CRASHED);
}

TEST(test_driver_fenced)
{
    give_device(svc);
    crash_driver();
    assert_null(steps->cpu); /* the control domain sees to it */
    assert_int_equal(ctl_restart(svc, 0), 0);
    build(svc, 62, 63);
    assert_int_equal(pci_fences, 1);

    stay_dead();
    unsigned fences = pci_fences;
    for (unsigned i = 0; i < 5; i++)
        fire();
    assert_int_equal(pci_fences, fences); /* it runs */
    svc->vcpu[0]->running = 1;
    uint64_t before = shim_now_ns;
    crash_driver();
    fire();
    assert_int_equal(pci_fences, fences); /* it may be enabling DMA in this moment */
    svc->vcpu[0]->running = 0;
    fire();
    assert_int_equal(pci_fences, fences + 1);
    assert_true(shim_now_ns - before <= 2 * NS_PER_MS);
    domain_crash(guest, guest->vcpu[0], BH_CAUSE_NPF, "fault");
    for (unsigned i = 0; i < 5; i++)
        fire();
    assert_int_equal(pci_fences, fences + 1);     /* once, whoever else dies */
    assert_int_equal(svc->state, BH_DOM_CRASHED); /* which is how the next instance finds it */
    rebuild(~0u);
    assert_int_equal(ctl_restart(svc, 0), 0);
    build(svc, 62, 63);
    serve();
}

/* One that died before the control domain did, or whose restart had begun but for the fence. */
TEST(test_driver_died_first)
{
    for (unsigned begun = 0; begun < 2; begun++) {
        unsigned fences = pci_fences;
        give_device(svc);
        serve();
        crash_driver();
        svc->vcpu[0]->running = begun;
        if (begun)
            assert_int_equal(ctl_restart(svc, 0), HC_AGAIN);
        svc->vcpu[0]->running = 0;
        die();
        assert_int_equal(pci_fences, fences);
        fire();
        assert_int_equal(pci_fences, fences + 2); /* and the control domain's own restart */
        rebuild(~0u);
        assert_int_equal(ctl_restart(svc, 0), 0);
        build(svc, 62, 63);
    }
    serve();
}

/* Nor does one that ended by its own wish. */
TEST(test_driver_shut_down)
{
    give_device(svc);
    serve();
    stay_dead();
    unsigned fences = pci_fences;
    this_cpu()->current = svc->vcpu[0];
    domain_shutdown(svc, SHUTDOWN_poweroff);
    this_cpu()->current = NULL;
    fire();
    fire();
    assert_int_equal(pci_fences, fences + 1);
    rebuild(~0u);
    assert_int_equal(ctl_restart(svc, 0), 0);
    build(svc, 62, 63);
    serve();
}

/* A restart that is past its fence gets none again: its devices' tables may be filled. And another CPU may be at the domain. */
TEST(test_driver_left_alone)
{
    give_device(svc);
    serve();
    crash_driver();
    while (svc->op_stage < 5) {
        yields_after = 0;
        assert_int_equal(ctl_restart(svc, 0), HC_AGAIN);
    }
    unsigned fences = pci_fences;
    (void)outage();
    assert_int_equal(pci_fences, fences + 1); /* the control domain's own restart */
    give_device(store);
    domain_crash(store, store->vcpu[0], BH_CAUSE_NPF, "fault");
    spin_lock(&store->op_lock);
    stay_dead();
    fences = pci_fences;
    fire();
    assert_int_equal(pci_fences, fences);
    spin_unlock(&store->op_lock);
    fire();
    assert_int_equal(pci_fences, fences + 1);
    rebuild(~0u);
    assert_int_equal(ctl_whole(BH_CTL_RESTART, &(struct bh_restart){ .domid = svc->id }), 0);
    build(svc, 62, 63);
    serve();
}
