/* SPDX-License-Identifier: MIT */
// LINK: hv/pci/trial.c
/*
 * The trial of an IOMMU unit, against units that translate, that translate nothing, and that do not hold a blocked device back: what is
 * told to a device is no address of the machine, the core knows itself what arrived, and nothing is left of a trial that is cut short.
 */
#include "unit.h"
#include "platform/boot_info.h"
#include "platform/cmdline.h"
#include "pci/iommu/iommu.h"
#include "pci/pci_int.h"
#include "domain/domain.h"
#include "shim.h"

#define NIC      0x18u
#define OTHER    0x28u
#define GIB      (1ull << 30)
#define RAM_PAGE 100u /* of the domain: gfn = mfn */

struct boot_info boot_info;
struct cmdline cmdline;
struct spinlock pci_lock = SPINLOCK_INIT;
struct pci_dev *pci_devices;
const struct iommu_ops *iommu_ops;
static struct pci_dev nic, other, bridge;
static struct domain dom, second;
static struct iommu_domain table;

/* --- a unit, and a device behind it ------------------------------------------------------------------------------------ */
static bool translates, blocks, attached, master, at_rest, no_memory;
static struct {
    uint64_t g, m;
} maps[8];
static unsigned nr_maps, flushes, polls, fences;
static int refs[65536];
static struct iommu_trial unit;
static uint32_t bridge_regs[16];
static uint16_t expected[2]; /* whose blocked writes are nobody's fault */
void iommu_expect(uint16_t u, uint16_t device)
{
    expected[0] = u;
    expected[1] = device;
}

static int u_map(struct iommu_domain *t, gfn_t g, mfn_t m, unsigned order)
{
    if (no_memory && nr_maps == 1)
        return -ENOMEM;
    refs[m.v]++;
    maps[nr_maps].g = g.v;
    maps[nr_maps++].m = m.v;
    return 0;
}
static bool u_unmap(struct iommu_domain *t, gfn_t g, mfn_t *m, bool *whole)
{
    for (unsigned i = 0; i < nr_maps; i++)
        if (maps[i].g == g.v) {
            *m = MFN(maps[i].m);
            maps[i] = maps[--nr_maps];
            return true;
        }
    return false;
}
static void u_flush(struct iommu_domain *t) { flushes++; }
static int u_attach(struct pci_dev *p, struct iommu_domain *t)
{
    attached = true;
    return 0;
}
static void u_block(struct pci_dev *p, struct iommu_domain *t) { attached = !blocks; }
static struct iommu_trial *u_trial(struct iommu *u) { return &unit; }
static void u_poll(void) { polls++; }
static const struct iommu_ops ops = { .map = u_map,
                                      .unmap = u_unmap,
                                      .flush = u_flush,
                                      .attach = u_attach,
                                      .block = u_block,
                                      .trial = u_trial,
                                      .poll_faults = u_poll };

/* What the machine has at an address that nobody translates. */
static bool machine_has(uint64_t a)
{
    for (unsigned i = 0; i < boot_info.nr_ram; i++)
        if (a >= boot_info.ram[i].start && a < boot_info.ram[i].end)
            return true;
    for (unsigned i = 0; i < boot_info.nr_reserved; i++)
        if (a >= boot_info.reserved[i].start && a < boot_info.reserved[i].end)
            return true;
    for (struct pci_dev *p = pci_devices; p; p = p->next)
        for (unsigned i = 0; i < 6; i++)
            if (p->bar[i].size && a >= p->bar[i].base && a < p->bar[i].base + p->bar[i].size)
                return true;
    return a < 4 * GIB || (a >= 10 * GIB && a < 11 * GIB); /* behind the bridge */
}

static void device_writes(uint64_t a)
{
    assert_true(master);
    if (!translates)
        assert_false(machine_has(a));
    if (!translates || !attached)
        return;
    for (unsigned i = 0; i < nr_maps; i++)
        if (maps[i].g == a >> PAGE_SHIFT)
            *(uint8_t *)mfn_to_virt(MFN(maps[i].m)) = 1;
}

/* --- the rest of the core ------------------------------------------------------------------------------------------- */
uint32_t pci_read(struct pci_dev *p, unsigned off, unsigned size)
{
    return p == &bridge ? bridge_regs[off / 4] : 0;
}
void pci_set_master(struct pci_dev *p, bool on) { master = on; }
int pci_at_rest(struct pci_dev *p) { return at_rest ? 0 : -EBUSY; }
struct pci_dev *pci_find_owned(struct domain *d, uint32_t sbdf)
{
    for (struct pci_dev *p = d->devices; p; p = p->next_owned)
        if (p->sbdf == sbdf)
            return p;
    return NULL;
}
void pci_fence_device(struct domain *d, struct pci_dev *p)
{
    master = attached = false;
    fences++;
    trial_stop(p);
}
mfn_t p2m_lookup(struct domain *d, gfn_t g, enum p2m_type *t)
{
    *t = g.v >= RAM_PAGE && g.v < RAM_PAGE + 8 ? P2M_RAM : P2M_NONE;
    return MFN(g.v);
}
bool frame_get(mfn_t m, uint16_t owner)
{
    refs[m.v]++;
    return true;
}
void frame_put(mfn_t m) { refs[m.v]--; }
void frame_put_block(mfn_t m, unsigned order)
{
    for (uint64_t i = 0; i < 1ull << order; i++)
        frame_put(MFN(m.v + i));
}

int setup(void **state)
{
    memset(&boot_info, 0, sizeof(boot_info));
    memset(&dom, 0, sizeof(dom));
    memset(&nic, 0, sizeof(nic));
    memset(refs, 0, sizeof(refs));
    shim_log_clear();
    shim_now_ns += 1000000000; /* who asked in the last test waits no more */
    translates = blocks = at_rest = true;
    attached = master = no_memory = false;
    nr_maps = flushes = polls = fences = 0;
    cmdline.iommu_trust = false;
    unit = (struct iommu_trial){ .devid = 8 };
    iommu_ops = &ops;
    boot_info.nr_ram = 2;
    boot_info.ram[0] = (struct boot_range){ 0x100000, 0x80000000 };
    boot_info.ram[1] = (struct boot_range){ 4 * GIB, 8 * GIB };
    boot_info.nr_reserved = 1;
    boot_info.reserved[0] = (struct boot_range){ 9 * GIB, 9 * GIB + 4096 };
    nic.sbdf = NIC;
    nic.virtio = true;
    nic.device = 0x1041;
    nic.phase = PCI_READY;
    nic.bar[4] = (struct bh_pci_bar){ .base = 8 * GIB, .size = 0x4000, .flags = BAR_MEM };
    memset(&bridge, 0, sizeof(bridge));
    bridge.header = 1;
    nic.next = &bridge;
    bridge_regs[9] = 0xbff18001; /* prefetchable, 64-bit: from 10 GiB on, to 11 GiB */
    bridge_regs[10] = 2;
    bridge_regs[11] = 2;
    other = nic;
    other.next = NULL;
    other.sbdf = OTHER;
    pci_devices = &nic;
    dom.id = 3;
    dom.role = BH_ROLE_DRIVER;
    dom.devices = &nic;
    dom.iommu = &table;
    dom.p2m.max_gfn = 1ull << 28;
    second = dom;
    second.id = 4;
    second.devices = &other;
    return 0;
}

static int step(struct bh_trial *t, unsigned what)
{
    t->step = what;
    return pci_trial(&dom, t);
}

static struct bh_trial whole(void)
{
    struct bh_trial t = { .sbdf = NIC, .gfn = RAM_PAGE, .nr = 3 };

    assert_int_equal(step(&t, BH_TRIAL_BEGIN), 0);
    assert_true(master);
    assert_int_equal(nr_maps, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_false(machine_has(t.window + i * PAGE_SIZE));
    assert_int_equal(step(&t, BH_TRIAL_LOOK), 0);
    device_writes(t.window + 3 * PAGE_SIZE);
    return t;
}

static void nothing_is_left(void)
{
    assert_false(master);
    assert_int_equal(nr_maps, 0);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(refs[RAM_PAGE + i], 0);
    assert_int_equal(shim_core_pages, 0);
    assert_int_equal(expected[1], 0);
}

/* --- tests -------------------------------------------------------------------------------------------------------------- */

TEST(passes)
{
    struct bh_trial t = whole();

    assert_int_equal(step(&t, BH_TRIAL_LOOK), 1);
    assert_false(trial_permits(&nic));
    assert_int_equal(step(&t, BH_TRIAL_BLOCK), 0);
    assert_true(master); /* it is the unit that is tried */
    assert_true(expected[0] == 8 && expected[1] == NIC);
    device_writes(t.window + 3 * PAGE_SIZE);
    assert_int_equal(step(&t, BH_TRIAL_END), 0);
    assert_non_null(strstr(shim_log, "passed its trial"));
    assert_true(trial_permits(&nic));
    nothing_is_left();
    assert_int_equal(step(&t, BH_TRIAL_BEGIN), 1); /* once a boot, for all behind it */
    assert_int_equal(step(&t, BH_TRIAL_END), -EINVAL);
    nic.virtio = false;
    assert_int_equal(trial_check(&nic, &dom), 0);
}

TEST(unit_that_translates_nothing)
{
    translates = false;
    struct bh_trial t = whole();

    assert_int_equal(step(&t, BH_TRIAL_LOOK), 0);
    assert_int_equal(step(&t, BH_TRIAL_BLOCK), 0);
    assert_int_equal(step(&t, BH_TRIAL_END), -EPERM);
    assert_non_null(strstr(shim_log, "it translates no DMA"));
    nothing_is_left();
    cmdline.iommu_trust = true; /* the risk that can be taken is not to know */
    assert_false(trial_permits(&nic));
    assert_int_equal(trial_check(&nic, &dom), -EPERM);
    assert_int_equal(step(&t, BH_TRIAL_BEGIN), -EPERM);
    t = (struct bh_trial){
        .sbdf = OTHER, .gfn = RAM_PAGE, .nr = 3, .step = BH_TRIAL_BEGIN
    }; /* nor does another one's arrive */
    assert_int_equal(pci_trial(&second, &t), 0);
    device_writes(t.window + 3 * PAGE_SIZE);
    t.step = BH_TRIAL_BLOCK;
    assert_int_equal(pci_trial(&second, &t), 0);
    t.step = BH_TRIAL_END;
    assert_int_equal(pci_trial(&second, &t), -EPERM);
    assert_int_equal(trial_check(&other, &second), -EPERM);
    assert_false(trial_permits(&other));
    assert_false(unit.state == TRIAL_PASSED);
}

/* A device that is dead, or does nothing on purpose: it gets no DMA, nor does what cannot be tried; whose write arrives does. */
TEST(device_that_does_nothing)
{
    struct bh_trial t = { .sbdf = NIC, .gfn = RAM_PAGE, .nr = 3 };
    struct pci_dev gpu = nic;

    assert_int_equal(step(&t, BH_TRIAL_BEGIN), 0);
    assert_int_equal(step(&t, BH_TRIAL_BLOCK), 0);
    assert_int_equal(step(&t, BH_TRIAL_END), -EPERM);
    nothing_is_left();
    gpu.virtio = false;
    cmdline.iommu_trust = true;
    assert_int_equal(trial_check(&gpu, &dom), -EPERM);
    assert_false(trial_permits(&gpu));
    assert_int_equal(trial_check(&other, &second), 0);
    assert_false(trial_permits(&other));
    t = (struct bh_trial){ .sbdf = OTHER, .gfn = RAM_PAGE, .nr = 3, .step = BH_TRIAL_BEGIN };
    assert_int_equal(pci_trial(&second, &t), 0);
    device_writes(t.window + 3 * PAGE_SIZE);
    t.step = BH_TRIAL_BLOCK;
    assert_int_equal(pci_trial(&second, &t), 0);
    t.step = BH_TRIAL_END;
    assert_int_equal(pci_trial(&second, &t), 0);
    assert_true(trial_permits(&other) && trial_permits(&gpu) && !trial_permits(&nic));
    assert_int_equal(trial_check(&gpu, &dom), 0);
    assert_int_equal(trial_check(&nic, &dom), -EPERM);
    t = (struct bh_trial){ .sbdf = NIC, .gfn = RAM_PAGE, .nr = 3 };
    assert_int_equal(step(&t, BH_TRIAL_BEGIN), -EPERM);
}

TEST(unit_that_does_not_block)
{
    blocks = false;
    struct bh_trial t = whole();

    assert_int_equal(step(&t, BH_TRIAL_BLOCK), 0);
    assert_int_equal(step(&t, BH_TRIAL_LOOK), 0); /* what arrived before does not count */
    device_writes(t.window + 3 * PAGE_SIZE);
    assert_int_equal(step(&t, BH_TRIAL_END), -EPERM);
    assert_non_null(strstr(shim_log, "after it was blocked"));
    nothing_is_left();
    t = (struct bh_trial){
        .sbdf = OTHER, .gfn = RAM_PAGE, .nr = 3, .step = BH_TRIAL_BEGIN
    }; /* for good, and for all */
    assert_int_equal(pci_trial(&second, &t), -EPERM);
    assert_int_equal(trial_check(&other, &second), -EPERM);
}

/* Fenced in the middle: killed, or it gave up. The next one tries again. */
TEST(cut_short)
{
    for (unsigned blocked = 0; blocked < 2; blocked++) {
        struct bh_trial t = whole();
        if (blocked)
            assert_int_equal(step(&t, BH_TRIAL_BLOCK), 0);
        pci_fence_device(&dom, &nic);
        nothing_is_left();
        assert_int_equal(step(&t, BH_TRIAL_END), -EINVAL);
        assert_int_equal(unit.state, TRIAL_OPEN);
    }
    no_memory = true;
    struct bh_trial t = { .sbdf = NIC, .gfn = RAM_PAGE, .nr = 3 };
    assert_int_equal(step(&t, BH_TRIAL_BEGIN), -ENOMEM);
    nothing_is_left();
    no_memory = false;
    passes(NULL);
}

TEST(who_may)
{
    struct bh_trial t = { .sbdf = NIC, .gfn = RAM_PAGE, .nr = 3 }, o = t;

    dom.adopted = true;
    assert_int_equal(step(&t, BH_TRIAL_BEGIN), -EACCES);
    dom.adopted = false;
    dom.grant.nr_maptrack = 1;
    assert_int_equal(step(&t, BH_TRIAL_BEGIN), -EACCES);
    dom.grant.nr_maptrack = 0;
    at_rest = false;
    assert_int_equal(step(&t, BH_TRIAL_BEGIN), -EIO);
    at_rest = true;
    t.gfn = RAM_PAGE + 6; /* its last page is no RAM */
    assert_int_equal(step(&t, BH_TRIAL_BEGIN), -EINVAL);
    nothing_is_left();
    t.gfn = RAM_PAGE;
    t.nr = BH_TRIAL_PAGES + 1;
    assert_int_equal(step(&t, BH_TRIAL_BEGIN), -EINVAL);
    t.nr = 0;
    assert_int_equal(step(&t, BH_TRIAL_BEGIN), -EINVAL);
    t.sbdf = OTHER;
    assert_int_equal(step(&t, BH_TRIAL_BEGIN), -ENODEV);
    dom.p2m.max_gfn = 12 * GIB >> PAGE_SHIFT; /* the first free GiB begins at 11 GiB */
    t = whole();
    assert_int_equal(t.window, 11 * GIB);
    o.sbdf = OTHER; /* another one waits, and has no say in this trial */
    o.step = BH_TRIAL_BEGIN;
    assert_int_equal(pci_trial(&second, &o), -EBUSY);
    o.step = BH_TRIAL_END;
    assert_int_equal(pci_trial(&second, &o), -EINVAL);
    assert_int_equal(step(&t, BH_TRIAL_END), -EINVAL); /* nothing was blocked yet */
    o.step = BH_TRIAL_BEGIN;                           /* but not for ever */
    shim_now_ns += 7999999999;
    assert_int_equal(pci_trial(&second, &o), -EBUSY);
    shim_now_ns++;
    second.adopted = true; /* for somebody who may begin, and for nobody else */
    assert_int_equal(pci_trial(&second, &o), -EACCES);
    assert_int_equal(step(&t, BH_TRIAL_LOOK), 1);
    second.adopted = false;
    unsigned before = fences;
    assert_int_equal(pci_trial(&second, &o), 0);
    assert_int_equal(fences, before + 1);
    assert_int_equal(nr_maps, 4);
    assert_int_equal(step(&t, BH_TRIAL_LOOK), -EINVAL);
    assert_int_equal(step(&t, BH_TRIAL_BLOCK), -EINVAL);
    assert_int_equal(unit.state, TRIAL_OPEN);
    pci_fence_device(&second, &other);
    nothing_is_left();
    pci_fence_device(&dom, &nic);
    dom.p2m.max_gfn--;
    assert_int_equal(step(&t, BH_TRIAL_BEGIN), -ERANGE);
}

/* Who ends its trial without a result and begins again, be it a driver that was taken over by its device, keeps no other from his. */
TEST(turns)
{
    struct bh_trial o = { .sbdf = OTHER, .gfn = RAM_PAGE, .nr = 3, .step = BH_TRIAL_BEGIN },
                    t = whole();

    pci_fence_device(&dom, &nic);
    t = whole(); /* nobody waits */
    assert_int_equal(pci_trial(&second, &o), -EBUSY);
    pci_fence_device(&dom, &nic);
    shim_now_ns += 99999999;
    assert_int_equal(step(&t, BH_TRIAL_BEGIN), -EBUSY);
    assert_int_equal(pci_trial(&second, &o), 0);
    assert_int_equal(step(&t, BH_TRIAL_BEGIN), -EBUSY);
    pci_fence_device(&second, &other);
    assert_int_equal(pci_trial(&second, &o), -EBUSY);
    t = whole();
    assert_int_equal(pci_trial(&second, &o), -EBUSY);
    shim_now_ns += 8000000000;
    assert_int_equal(pci_trial(&second, &o), 0); /* given way */
    pci_fence_device(&second, &other);
    t = whole();
    pci_fence_device(&dom, &nic);
    assert_int_equal(pci_trial(&second, &o), 0);
    assert_int_equal(step(&t, BH_TRIAL_BEGIN), -EBUSY);
    pci_fence_device(&second, &other);
    shim_now_ns += 100000000; /* who asked has gone */
    assert_int_equal(pci_trial(&second, &o), 0);
    pci_fence_device(&second, &other);
    nothing_is_left();
}

/* Also with iommu=trust a device that is being tried has no DMA beside that, or the unit would have failed for all. */
TEST(no_dma_while_tried)
{
    cmdline.iommu_trust = true;
    assert_true(trial_permits(&nic));
    struct bh_trial t = whole();
    assert_false(trial_permits(&nic));
    assert_int_equal(step(&t, BH_TRIAL_BLOCK), 0);
    assert_false(trial_permits(&nic));
    assert_int_equal(step(&t, BH_TRIAL_END), 0);
    assert_true(trial_permits(&nic));
}

/* A device that no driver of ours could try waits for another's result; or somebody takes the risk. */
TEST(without_a_trial)
{
    struct domain guest = { .role = BH_ROLE_GUEST };

    assert_int_equal(trial_check(&nic, &dom), 0);
    assert_int_equal(trial_check(&nic, &guest), -EAGAIN);
    nic.device = 0x1044; /* entropy */
    assert_int_equal(trial_check(&nic, &dom), -EAGAIN);
    nic.virtio = false;
    assert_int_equal(trial_check(&nic, &dom), -EAGAIN);
    nic.e1000e = true;
    assert_int_equal(trial_check(&nic, &dom), 0);
    nic.e1000e = false;
    assert_false(trial_permits(&nic));
    cmdline.iommu_trust = true;
    assert_int_equal(trial_check(&nic, &dom), 0);
    assert_true(trial_permits(&nic));
}
