// SPDX-License-Identifier: MIT
// LINK: hv/debug/console.c hv/debug/domains.c hv/debug/ipc.c hv/debug/machine.c
// The core's own console: who gets what is typed, what each key shows, and that nobody who holds a lock keeps it from answering.
#include "unit.h"
#include "debug/debug.h"
#include "domain/struct.h"
#include "domain/table.h"
#include "pci/iommu/iommu.h"
#include "pci/pci_int.h"
#include "platform/cmdline.h"
#include "shim.h"
#include "virt/virt.h"

struct cmdline cmdline = { .conswitch = 1 };

/* --- the line ------------------------------------------------------------------------------------------------------ */
static unsigned (*filter)(char c, char out[4]);
static char control[256], wire[65536]; /* what the control domain got; what went out */
static size_t space = 16384;
static unsigned held; /* so often somebody prints */

void serial_filter(unsigned (*fn)(char c, char out[4])) { filter = fn; }
size_t serial_space(void) { return space; }
bool console_try_write(const char *s, size_t n, bool force)
{
    if (held && !force) {
        held--;
        return false;
    }
    strncat(wire, s, n);
    return true;
}
static struct timer *timer;
void timer_setup(struct timer *t, void (*fn)(struct timer *)) { t->fn = fn; }
void timer_set(struct timer *t, uint64_t when)
{
    timer = t;
    t->expires = when;
}
static jmp_buf rebooted;
void machine_reboot(void) { longjmp(rebooted, 1); }

/* --- what is there --------------------------------------------------------------------------------------------------- */
static struct domain net0, guest;
static struct vcpu v0, v1;
static unsigned list_held, heap_held;
static void (*looked)(void); /* meanwhile */
static bool gone;            /* net0 */
static int refs;

bool domain_try_next(domid_t from, struct domain **d)
{
    if (list_held) {
        list_held--;
        shim_now_ns += NS_PER_MS;
        return false;
    }
    if (looked)
        looked();
    *d = !gone && from <= net0.id ? &net0 : from <= guest.id ? &guest : NULL;
    refs += *d != NULL;
    shim_now_ns += 1000;
    return true;
}
void domain_put(struct domain *d) { refs--; }
bool frame_try_stats(struct frame_stats *s)
{
    *s = (struct frame_stats){ .total = 1000, .free = 400, .core = 50 };
    return !heap_held;
}
struct pci_dev *pci_devices;
const char *pci_reset_name(enum pci_reset r) { return "FLR"; }
static struct iommu_trial trial = { .state = TRIAL_PASSED, .devid = 8 };
static struct iommu_trial *its_trial(struct iommu *u) { return &trial; }
static const struct iommu_ops ops = { .trial = its_trial };
const struct iommu_ops *iommu_ops;
static void exit_info(const struct vcpu *v, uint64_t *code, uint64_t *a, uint64_t *b)
{
    *code = 0x81, *a = 1, *b = 2;
}
static const struct virt_ops vops = { .exit_info = exit_info };
const struct virt_ops *virt = &vops;

int setup(void **state)
{
    static struct shared_info shared;
    static struct evtchn bucket[EVTCHN_PER_BUCKET];
    static struct grant_active records[ACTIVE_PER_PAGE], *pages[ACTIVE_PAGES];
    static struct pci_dev nic, plain;

    memset(&net0, 0, sizeof(net0));
    memset(&guest, 0, sizeof(guest));
    memset(bucket, 0, sizeof(bucket));
    net0.id = 4, guest.id = 16;
    strcpy(net0.name, "net0");
    strcpy(guest.name, "debian");
    net0.state = guest.state = BH_DOM_RUNNING;
    net0.nr_vcpus = guest.nr_vcpus = 1;
    v0 = (struct vcpu){
        .domain = &net0, .cpu = this_cpu(), .running = 1, .counts.exits[BH_EXIT_HLT] = 7
    };
    v1 = (struct vcpu){ .domain = &guest, .state = VCPU_BLOCKED, .regs.rip = 0x1234 };
    net0.vcpu[0] = &v0, guest.vcpu[0] = &v1;
    net0.shared = guest.shared = &shared;
    net0.evtchn.bucket[1] = bucket;
    bucket[3] = (struct evtchn){ .state = ECS_INTERDOMAIN, .remote_domid = 16, .remote_port = 9 };
    shared.evtchn_pending[2] = 8; /* port 131 */
    net0.grant.active = guest.grant.active = pages;
    guest.grant.nr_frames = 2;
    pages[1] = records;
    records[2] = (struct grant_active){ .pins_rw = 3, .domid = 4, .mfn = MFN(0xabc) };
    plain = (struct pci_dev){ .sbdf = BH_SBDF(0, 0, 4, 0), .vendor = 0x8086 };
    nic = (struct pci_dev){ .next = &plain,
                            .sbdf = BH_SBDF(0, 0, 3, 0),
                            .vendor = 0x1af4,
                            .state = BH_PCI_ASSIGNED,
                            .owner = 4,
                            .dma_on = true,
                            .iommu = (struct iommu *)&ops };
    nic.route[1] = (struct pirq_route){ .vector = 0x41, .pirq = 17, .port = 3, .bound = 1 };
    pci_devices = &nic;
    iommu_ops = &ops;
    space = 16384;
    held = list_held = heap_held = 0;
    refs = 0;
    control[0] = wire[0] = '\0';
    shim_log_clear();
    nr_cpus = 1;
    cpus[0] = this_cpu();
    if (!filter)
        debug_init();
    return 0;
}

static void typed(const char *s)
{
    char in[4];

    for (; *s; s++) {
        unsigned n = filter(*s, in);
        assert_true(n <= 4);
        strncat(control, in, n);
    }
    debug_poll();
}
static void runs(void)
{
    for (unsigned i = 0; timer && i < 100000; i++) {
        struct timer *t = timer;
        timer = NULL;
        shim_now_ns = MAX(shim_now_ns, t->expires);
        t->fn(t);
    }
    assert_null(timer);
    assert_int_equal(refs, 0);
}
static void shows(const char *keys, const char *what)
{
    wire[0] = '\0';
    typed(keys);
    runs();
    if (!strstr(wire, what))
        fail_msg("%s shows '%s', not '%s'", keys, wire, what);
}

TEST(a_each_has_its_input)
{
    typed("ls\1\1x\1y\1\1\1h");
    assert_string_equal(control, "ls\1\1x\1y");
    runs();
    assert_non_null(
        strstr(wire,
               "(BH) *** input to the core's debug keys (Ctrl-A three times switches, h for help)\n"));
    assert_non_null(strstr(wire, "(BH)  q  domains, and their vCPUs' exits by reason\n"));
    assert_non_null(strstr(wire, "(BH)  R  reboot the machine\n"));
    typed("\1\1z");
    runs();
    assert_string_equal(control, "ls\1\1x\1y");
    typed("\1\1\1ok");
    runs();
    assert_string_equal(control, "ls\1\1x\1yok");
    assert_non_null(strstr(wire, "*** input to the control domain (Ctrl-A three times switches)"));
    typed("\1\1\1"); /* the other tests' input is the core's */
    runs();
}

TEST(b_keys)
{
    shows("z", "(BH) 'z' is no key, these are:\n(BH)  ");
    shows("h", "(BH)  q  domains");
    assert_null(strstr(wire, "is no key"));
    shows("\r", "(BH)  q  domains");
    assert_null(strstr(wire, "is no key"));
    shows("q", "d4 net0: running");
    shows("q", "  v0 CPU 0 runs: intr 0 window 0 cpuid 0 hlt 7");
    shows("q", "d16 debian: running");
    shows("d", "d16v0 CPU 0 sleeps: rip 1234");
    shows("r", "CPU 0: busy, 0 wait");
    shows("r", "d4v0 CPU 0 runs");
    shows("e", "d4 port 131: interdomain d16 port 9, vCPU 0, pending");
    shows("g", "d16 entry 130: d4, frame abc, 0 read, 3 written");
    shows("i", "00:03.0 MSI-X 1: vector 41 CPU 0, d4 pirq 17 port 3");
    shows("m", "1000 frames: 400 free (0 of them dirty), 50 the core's");
    shows("m", "d16: 0 of 0 frames");
    shows("Q", "0000:00:03.0 1af4:0000 class 000000 group 0: d4's, DMA on, reset by FLR");
    shows("Q", "0000:00:04.0 8086:0000 class 000000 group 0: the platform's");
    shows("V", "00:03.0: by 00:01.0, which passed its trial");
    shows("V", "00:04.0: by none");
    shows("o", "d4: no device");
    shows("?", "reboot the machine");
    iommu_ops = NULL;
    shows("V", "no IOMMU");
}

/* The same from the shell, into the log. */
TEST(c_pressed_by_call)
{
    assert_int_equal(debug_press("qV", 2), 0);
    runs();
    assert_non_null(strstr(shim_log, "d4 net0: running"));
    assert_non_null(strstr(shim_log, "by 00:01.0, which passed"));
    assert_string_equal(wire, "");
    assert_int_equal(debug_press("mmmmmmmmmmmmmmmmmmmm", 20), -EAGAIN);
    runs();
}

/* Whoever holds a lock for ever is told of, or passed over. */
TEST(d_nobody_keeps_it)
{
    list_held = 1u << 30;
    shows("q", "the list of domains is held");
    shows("e", "the list of domains is held");
    list_held = 20; /* he lets go */
    shows("q", "d16 debian: running");
    heap_held = 1;
    shows("m", "the heap is held");
    held = 1u << 30;
    shows("Q", "0000:00:04.0");
    held = 3;
    shows("Q", "0000:00:04.0");
}

/* A slow line: a piece at a time, nothing lost. */
TEST(e_slow_line)
{
    space = 4095;
    typed("Q");
    for (unsigned i = 0; i < 10; i++) {
        struct timer *t = timer;
        timer = NULL;
        shim_now_ns = t->expires;
        t->fn(t);
        assert_non_null(timer);
    }
    assert_string_equal(wire, "");
    space = 4096;
    runs();
    assert_non_null(strstr(wire, "0000:00:03.0"));
}

/* A domain with more vCPUs than the next one goes while it is told of. */
static unsigned looks;
static void goes(void) { gone |= ++looks == 4; }
TEST(f_gone_meanwhile)
{
    static struct vcpu more[3];

    for (unsigned i = 0; i < 3; i++) {
        more[i] = (struct vcpu){ .domain = &net0, .id = i + 1, .cpu = this_cpu(), .running = 1 };
        net0.vcpu[i + 1] = &more[i];
    }
    net0.nr_vcpus = 4;
    v1.state = VCPU_RUNNABLE;
    for (const char *k = "qdr"; *k; k++) {
        looks = 0;
        looked = goes;
        shows((char[]){ *k, '\0' }, "d16");
        gone = false;
    }
    looked = NULL;
}

/* Keys are pressed on another CPU meanwhile, whose timers run. */
static void pressed_elsewhere(void)
{
    looked = NULL;
    shim_cpu = 1;
    assert_int_equal(debug_press("m", 1), 0);
    struct timer *t = timer;
    t->fn(t);
    shim_cpu = 0;
}
TEST(g_one_cpu_at_a_time)
{
    static char alone[sizeof wire];

    shows("q", "d4 net0: running");
    memcpy(alone, wire, sizeof wire);
    wire[0] = '\0';
    typed("q");
    looked = pressed_elsewhere;
    runs();
    assert_string_equal(wire, alone);
    assert_non_null(strstr(shim_log, "1000 frames"));
    assert_null(strstr(shim_log, "net0: running"));
}

TEST(h_reboots)
{
    if (!setjmp(rebooted)) {
        typed("R");
        runs();
        fail_msg("it does not reboot");
    }
}
