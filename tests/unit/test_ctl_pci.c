// SPDX-License-Identifier: MIT
// LINK: ctl-dom/shell/pci.c ctl-dom/shell/named.c ctl-dom/domain/pci.c ctl-dom/domain/bridge.c ctl-dom/domain/dom.c ctl-dom/domain/records.c ctl-dom/domain/error.c ctl-dom/supervise/plug.c ctl-dom/supervise/owned.c ctl-dom/config/config_pci.c
// FLAGS: -Ictl-dom -Idomains/include -luuid
// pci-assignable-add and -remove, pci-attach, pci-detach: what is typed, what is shown, and what the core is asked. How they end when the control domain dies:
// test_ctl_deaths.c.
#include <errno.h>
#include <stdarg.h>
#include "unit.h"
#include "domain/dom.h"
#include "run_command.h"
#include "screen.h"
#include "store/connection.h"
#include "store/devices.h"
#include "store/pci_guest.h"
#include "supervise/owned.h"
#include "supervise/supervisor.h"

struct bh_self self;
bool store_up = true;

void say(const char *fmt, ...)
{
    size_t n = strlen(screen);
    va_list ap;

    va_start(ap, fmt);
    n += (size_t)vsnprintf(screen + n, sizeof(screen) - n, fmt, ap);
    va_end(ap);
    snprintf(screen + n, sizeof(screen) - n, "\n");
}

/* --- the core ------------------------------------------------------------------------------------------------------ */
#define NIC(slot, fn) BH_SBDF(0, 3, slot, fn)
static struct bh_pci_info devices[7];
static long hide_says, assign_says;
static uint32_t stubborn; /* neither comes nor goes */
static bool fenced;       /* net0 is under construction */
static unsigned restarts, pauses;
static struct dom net0, blk0, linux_driver, web;

static unsigned assign_flags; /* of the last */
static long change(const struct bh_assign *a, bool on)
{
    assign_flags = on ? a->flags : assign_flags;
    if (!fenced)
        return -EINVAL;
    if (a->sbdf == stubborn)
        return -EXDEV;
    for (unsigned i = 0; i < ARRAY_SIZE(devices); i++)
        if (devices[i].sbdf == a->sbdf && !(on && assign_says)) {
            devices[i].state = on ? BH_PCI_ASSIGNED : BH_PCI_ASSIGNABLE;
            devices[i].domid = a->domid;
        }
    return on ? assign_says : 0;
}
static long hide(const struct bh_pci_hide *h)
{
    for (unsigned i = 0; !hide_says && i < ARRAY_SIZE(devices); i++)
        if (devices[i].sbdf == h->sbdf && devices[i].state == BH_PCI_ASSIGNED)
            return -EBUSY;
        else if (devices[i].sbdf == h->sbdf)
            devices[i].state = h->hide ? BH_PCI_ASSIGNABLE : BH_PCI_PLATFORM;
    return hide_says;
}
long hypercall(unsigned nr, uint64_t op, uint64_t arg, uint64_t c, uint64_t d)
{
    struct bh_pci_info *i = (void *)arg;

    assert_int_equal(nr, BH_HYPERCALL_CONTROL);
    if (op == BH_CTL_PCI_HIDE)
        return hide((void *)arg);
    if (op == BH_CTL_PAUSE || op == BH_CTL_UNPAUSE) {
        assert_int_equal(((struct bh_domid *)arg)->domid, web.id);
        assert_true(fenced == (op == BH_CTL_UNPAUSE) && web.pci_new);
        fenced = op == BH_CTL_PAUSE;
        pauses++;
        return 0;
    }
    if (op == BH_CTL_ASSIGN || op == BH_CTL_DEASSIGN)
        return change((void *)arg, op == BH_CTL_ASSIGN);
    assert_int_equal(op, BH_CTL_PCI_INFO);
    if (i->index >= ARRAY_SIZE(devices))
        return -ENOENT;
    unsigned n = i->index;
    *i = devices[n];
    i->index = n;
    return 0;
}

/* --- the rest of the toolstack --------------------------------------------------------------------------------------- */
bool supervisor_restarts(const struct dom *d) { return d == &net0 || d == &blk0; }
int supervisor_restart(struct dom *d, struct errbuf *e)
{
    fenced = true;
    restarts++;
    pci_change(d);
    fenced = false;
    return 0;
}
static unsigned described; /* devices of the domain that was described last */
int store_set_pci(struct dom *d, struct errbuf *e)
{
    described = d->cfg.nr_pci;
    return 0;
}
int store_pci_anew(struct dom *d, struct errbuf *e) { return 0; }
static unsigned going; /* which its front-end was told of */
int store_pci_goes(struct dom *d, const uint32_t *sbdf, unsigned n, struct errbuf *e)
{
    assert_ptr_equal(d, &web);
    going += n;
    return 0;
}
int store_pci_place(const struct dom *d, uint32_t sbdf)
{
    return sbdf == NIC(2, 1) ? 7 << 3 | 1 : -ENOENT;
}
static bool bus = true;
bool store_pci_bus(const struct dom *d) { return bus; }
int xs_read_uint(uint32_t tx, const char *path, uint64_t *v) { return -ENOENT; }

int setup(void **state)
{
    const struct bh_pci_info is[] = {
        { .sbdf = NIC(0, 0), .class_rev = 0x06000000, .flags = BH_PCI_KEPT },
        { .sbdf = NIC(1, 0), .class_rev = 0x07000000, .flags = BH_PCI_KEPT },
        { .sbdf = NIC(2, 0), .state = BH_PCI_ASSIGNABLE, .flags = BH_PCI_IOMMU },
        { .sbdf = NIC(2, 1), .state = BH_PCI_ASSIGNABLE, .flags = BH_PCI_IOMMU },
        { .sbdf = NIC(3, 0), .state = BH_PCI_ASSIGNED, .domid = 3, .flags = BH_PCI_IOMMU },
        { .sbdf = NIC(4, 0), .flags = BH_PCI_IOMMU },
        { .sbdf = NIC(5, 0) },
    };
    memcpy(devices, is, sizeof(devices));
    web = (struct dom){ .id = 16, .cfg = { .name = "web" } };
    linux_driver = (struct dom){ .id = 6,
                                 .next = &web,
                                 .cfg = { .name = "lin", .role = BH_ROLE_DRIVER } };
    net0 = (struct dom){ .id = 4,
                         .next = &linux_driver,
                         .cfg = { .name = "net0",
                                  .role = BH_ROLE_DRIVER,
                                  .image = "net",
                                  .nr_bridges = 2,
                                  .bridge = { { .name = "out", .wire = true, .sbdf = NIC(2, 0) },
                                              { .name = "in" } } } };
    blk0 = (struct dom){ .id = 3,
                         .next = &net0,
                         .cfg = { .name = "blk0",
                                  .role = BH_ROLE_DRIVER,
                                  .image = "blk",
                                  .nr_pci = 1,
                                  .pci = { NIC(3, 0) } } };
    doms = &blk0;
    hide_says = assign_says = stubborn = 0;
    fenced = false;
    restarts = described = pauses = going = 0;
    screen[0] = '\0';
    return 0;
}
static void says(const char *what)
{
    if (*what ? !strstr(screen, what) : *screen)
        fail_msg("it says '%s', not '%s'", screen, what);
    screen[0] = '\0';
}
#define SAYS(what, ...)                              \
    do {                                             \
        assert_true(RUN(pci_commands, __VA_ARGS__)); \
        says(what);                                  \
    } while (0)

TEST(to_the_assignable_ones_and_back)
{
    SAYS("", "pci-assignable-add", "3:4.0");
    assert_int_equal(devices[5].state, BH_PCI_ASSIGNABLE);
    SAYS("", "pci-assignable-remove", "-r", "0000:03:04.0");
    assert_int_equal(devices[5].state, BH_PCI_PLATFORM);
    SAYS("", "pci-assignable-add", "-q", "03:04.*");
    SAYS("0000:03:05.0: is hidden, but no domain can have it: no IOMMU", "pci-assignable-add",
         "3:5.0");
    SAYS("0000:03:03.0: is assigned to blk0: pci-detach blk0 0000:03:03.0 first",
         "pci-assignable-remove", "3:3.0");
    SAYS("there is no device 3:1f.*", "pci-assignable-add", "3:1f.*");
    SAYS("bad device '3'", "pci-assignable-add", "3");
    hide_says = -EACCES;
    SAYS("0000:03:00.0: is a bridge or part of the platform: the machine needs it",
         "pci-assignable-add", "3:0.0");
    SAYS("0000:03:01.0: is the serial line that the console is on: the machine",
         "pci-assignable-add", "3:1.0");
    static const struct {
        long rc;
        const char *what;
    } refusal[] = { { -ENOENT, "there is no such device" },
                    { -EEXIST, "is assignable already" },
                    { -EXDEV, "IOMMU group is assigned: pci-detach that first" },
                    { -ENOSPC, "no interrupts are left" },
                    { -EIO, "did not come back from its reset" } };
    for (unsigned i = 0; i < ARRAY_SIZE(refusal); i++) {
        hide_says = refusal[i].rc;
        SAYS(refusal[i].what, "pci-assignable-add", "3:4.0");
    }
    hide_says = -EEXIST;
    SAYS("is the platform's already", "pci-assignable-remove", "3:4.0");
    assert_false(RUN(pci_commands, "pci-assignable-add"));
    assert_false(RUN(pci_commands, "pci-assignable-add", "-r", "3:4.0"));
}

TEST(comes_and_goes)
{
    SAYS("net0: 0000:03:02.1 is on no bridge", "pci-attach", "net0", "3:2.*");
    assert_int_equal(restarts, 1); /* for both */
    assert_true(net0.cfg.nr_pci == 2 && described == 2 && !net0.pci_new);
    SAYS("net0: has 0000:03:02.0 already", "pci-attach", "net0", "3:2.0");
    SAYS("net0: bridge out has no NIC", "pci-detach", "-f", "net0", "03:02.0");
    assert_true(net0.cfg.nr_pci == 1 && net0.cfg.pci[0] == NIC(2, 1) && described == 1);
    assert_false(net0.cfg.bridge[0].wire);
    SAYS("the virtual slot '5' is passed over", "pci-attach", "net0", "3:2.0", "5");
    assert_true(net0.cfg.bridge[0].wire);
    assert_int_equal(restarts, 3);
}

TEST(comes_and_goes_not)
{
    SAYS("blk0: has no 0000:03:04.0: the platform has it", "pci-detach", "blk0", "3:4.0");
    SAYS("blk0: has no 0000:03:02.0: nobody has it", "pci-detach", "blk0", "3:2.0");
    SAYS("net0: has no 0000:03:03.0: blk0 has it", "pci-detach", "net0", "3:3.0");
    SAYS("net0: 0000:03:1f.0: there is no such device", "pci-detach", "net0", "3:1f.0");
    web.nr_devs = 1;
    web.dev[0] = (struct dom_dev){ .kind = DEV_VBD, .back = 3 };
    strcpy(web.cfg.disk[0].vdev, "xvda");
    SAYS("blk0: web has its disk xvda there: block-detach web xvda", "pci-detach", "blk0", "3:3.0");
    SAYS("pci-assignable-add 0000:03:04.0 hides it now", "pci-attach", "net0", "3:4.0");
    SAYS("0000:03:00.0 is a bridge or part of the platform: no domain", "pci-attach", "net0",
         "3:0.0");
    SAYS("is assigned to blk0 already: pci-detach blk0 0000:03:03.0 first", "pci-attach", "net0",
         "3:3.0");
    SAYS("lin runs: pause it first", "pci-attach", "lin", "3:2.0");
    SAYS("web: has no devices (pci-assignable-list", "pci-list", "web");
    assert_int_equal(restarts, 0);
    /* What the core says only when it comes to it: net0 goes on without. */
    assign_says = -ENOSPC;
    SAYS("net0: 0000:03:02.0 was not given", "pci-attach", "net0", "3:2.0");
    assert_true(restarts == 1 && !net0.cfg.nr_pci);
}

/* A guest stands still for it, and is told before something goes. */
TEST(of_a_guest)
{
    SAYS("", "pci-attach", "web", "3:2.*");
    assert_true(web.cfg.nr_pci == 2 && described == 2 && pauses == 4 && !web.pci_new && !going);
    SAYS("web: has 0000:03:02.0 already", "pci-attach", "web", "3:2.0");
    SAYS("07.1 0000:03:02.1  0000:0000  no MSI-X", "pci-list", "web"); /* where it sees it */
    SAYS("", "pci-detach", "web", "3:2.1");
    assert_true(web.cfg.nr_pci == 1 && described == 1 && pauses == 6 && going == 1);
    fenced = true; /* by hand: it stays so */
    SAYS("", "pci-detach", "web", "3:2.0");
    assert_true(!web.cfg.nr_pci && pauses == 6);
    SAYS("", "pci-attach", "web", "3:2.0");
    assert_true(web.cfg.nr_pci == 1 && pauses == 6 && !assign_flags);
    SAYS("", "pci-detach", "web", "3:2.0");
    SAYS("", "pci-attach", "web", "3:2.0@5,permissive=1");
    assert_int_equal(assign_flags, BH_ASSIGN_PERMISSIVE);
    assert_int_equal(config_pci_said(&web.cfg, NIC(2, 0))->vslot, 5);
    SAYS("web: has 0000:03:02.0 already", "pci-attach", "web", "3:2.0");
    assert_true(config_pci_said(&web.cfg, NIC(2, 0))->permissive);
    SAYS("", "pci-detach", "web", "3:2.0");
    SAYS("", "pci-attach", "web", "3:2.0"); /* which asks for less */
    assert_int_equal(assign_flags, 0);
    fenced = false;
    assign_says = -ENOSPC;
    SAYS("web: 0000:03:02.1: ", "pci-attach", "web", "3:2.1");
    assert_true(web.cfg.nr_pci == 1 && pauses == 8 && !fenced);
    assert_int_equal(restarts, 0);
}

/* A kernel that found no bus when it started does not find a device there. */
TEST(of_a_kernel_without_a_bus)
{
    strcpy(web.cfg.kernel, "linux");
    bus = false;
    SAYS("pci-assignable-add 0000:03:04.0 hides it now", "pci-attach", "web", "3:4.0");
    SAYS("web: was started without a device", "pci-attach", "web", "3:2.0");
    assert_true(!web.cfg.nr_pci && !pauses);
    bus = true;
    SAYS("", "pci-attach", "web", "3:2.0");
    assert_int_equal(web.cfg.nr_pci, 1);
}

/* The store says what there is, also where that is not all that was asked for. */
TEST(one_of_two)
{
    stubborn = NIC(2, 1);
    SAYS("net0: 0000:03:02.1 was not given", "pci-attach", "net0", "3:2.*");
    assert_true(net0.cfg.nr_pci == 1 && net0.cfg.pci[0] == NIC(2, 0) && described == 1);
    SAYS("has no NIC", "pci-detach", "net0", "3:2.0");
    described = 9; /* not again where nothing changed: a front-end may be at work on it */
    fenced = false;
    SAYS("lin runs: pause it first", "pci-attach", "lin", "3:2.0");
    assert_int_equal(described, 9);
    fenced = true; /* lin is paused */
    SAYS("lin: 0000:03:02.1 shares its IOMMU group", "pci-attach", "lin", "3:2.*");
    assert_true(linux_driver.cfg.nr_pci == 1 && described == 1);
    stubborn = 0;
    SAYS("", "pci-attach", "lin", "3:2.1");
    assert_int_equal(described, 2);
    stubborn = NIC(2, 1);
    SAYS("lin: 0000:03:02.1: ", "pci-detach", "lin", "3:2.*");
    assert_true(linux_driver.cfg.nr_pci == 1 && linux_driver.cfg.pci[0] == NIC(2, 1));
    assert_int_equal(described, 1);
    fenced = false;
    described = 9;
    SAYS("pause or destroy it first", "pci-detach", "lin", "3:2.1");
    assert_int_equal(described, 9);
}
