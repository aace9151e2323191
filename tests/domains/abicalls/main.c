/* SPDX-License-Identifier: MIT */
/*
 * abicalls: a guest that makes the calls which unikernels and BSDs make at boot and Linux does not, and looks where nobody backs, one
 * line each: `abi: ok NAME` or `abi: NOT NAME: N, wanted M`; then `abi: N ok, N not`, and it ends. With the word apic=1 it begins
 * with the local APIC by memory; with low=1 it looks for what the builder left below 1 MiB; with refused=1 a state that VMRUN refuses is its
 * end. Of three vCPUs it starts two by VCPUOP_initialise. Its wall clock: `abi: clock SECONDS`.
 */
#include <bh.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/hvm_vcpu.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

static unsigned good, bad;
static uint8_t page[4096] __attribute__((aligned(4096)));
static uint8_t area[4096] __attribute__((aligned(4096)));

int main(void);

static void is(const char *name, long rc, long want)
{
    if (rc == want) {
        good++;
        printf("abi: ok %s\n", name);
    } else {
        bad++;
        printf("abi: NOT %s: %ld, wanted %ld\n", name, rc, want);
    }
    event_wait(now_ns() + 5 * NS_PER_MS); /* the console's ring is small */
}

static long memory(unsigned op, void *p)
{
    return hypercall(__HYPERVISOR_memory_op, op, (uint64_t)p, 0, 0);
}
static long evtchn(unsigned op, void *p)
{
    return hypercall(__HYPERVISOR_event_channel_op, op, (uint64_t)p, 0, 0);
}
static long hvm(unsigned op, void *p)
{
    return hypercall(__HYPERVISOR_hvm_op, op, (uint64_t)p, 0, 0);
}
static long vcpu(unsigned op, unsigned id, void *p)
{
    return hypercall(__HYPERVISOR_vcpu_op, op, id, (uint64_t)p, 0);
}

static long param(unsigned op, unsigned index, uint64_t value)
{
    struct xen_hvm_param p = { .domid = DOMID_SELF, .index = index, .value = value };
    return hvm(op, &p);
}

static void cpuid(uint32_t leaf, uint32_t r[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                     : "a"(leaf), "c"(leaf == 0xd));
}
static uint64_t rdmsr(uint32_t msr)
{
    uint32_t lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (uint64_t)hi << 32 | lo;
}
static void wrmsr(uint32_t msr, uint64_t x)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)x), "d"((uint32_t)(x >> 32)) : "memory");
}
static uint64_t rdtsc(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
    return (uint64_t)hi << 32 | lo;
}

/* What the CPU says of itself: CPUID, MSRs that go past the core or not, the local APIC's errors. */
static void cpu(void)
{
    static const uint32_t kept[] = { 0x174,      0x175,      0x176,      0xc0000081, 0xc0000082,
                                     0xc0000083, 0xc0000084, 0xc0000102, 0x277 };
    uint32_t r[4];
    cpuid(0x80000008, r);
    is("CPUID 80000008: 48 linear bits", r[0] >> 8, 48);
    cpuid(0xd, r);
    is("CPUID d/1: the size of the compacted form if there is one", r[1] != 0, r[0] >> 1 & 1);
    uint64_t before = rdtsc(), x = rdmsr(0x10);
    is("RDMSR 10 is the time stamp counter", x >= before && x <= rdtsc(), 1);
    for (unsigned i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        uint64_t old = rdmsr(kept[i]), want = i == 8 ? 0x0007040600070406 : i ? 0x123450 : 0x10;
        wrmsr(kept[i], want);
        uint64_t got = rdmsr(kept[i]);
        wrmsr(kept[i], old);
        char name[32];
        snprintf(name, sizeof(name), "MSR %x is kept", kept[i]);
        is(name, (long)got, (long)want);
    }
    wrmsr(0x83f, 5);
    wrmsr(0x828, 0);
    is("x2APIC ESR: an illegal vector was sent", (long)rdmsr(0x828), 0x20);
    wrmsr(0x828, 0);
    is("x2APIC ESR: and that is told once", (long)rdmsr(0x828), 0);
}

static unsigned protections;
static bool pass_over_mov(struct trap_frame *r)
{
    if (r->vector != 13)
        return false;
    protections++;
    r->rip += 3; /* mov %rax, %crN */
    return true;
}

/* One instruction for all, as kernels have it. */
static __attribute__((noinline)) void set_cr4(uint64_t x)
{
    __asm__ volatile("mov %0, %%cr4" ::"a"(x) : "memory");
}

/* Bits of CR4 and CR3 that the CPU does not have: #GP, on the emulator, too. */
static void control_registers(void)
{
    uint64_t cr4, cr3;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    exception_hook = pass_over_mov;
    set_cr4(cr4 | 1u << 23);
    set_cr4(cr4 | 1u << 13);
    __asm__ volatile("mov %0, %%cr3" ::"a"(cr3 | 1ull << 60) : "memory");
    exception_hook = NULL;
    is("bits of CR4 and CR3 that are not there are #GP", protections, 3);
    uint64_t x;
    __asm__ volatile("mov %%cr4, %0" : "=r"(x));
    is("... and CR4 is what it was", (long)x, (long)cr4);
}

/* CR0.NW without CR0.CD: hardware refuses the MOV. The emulator takes it, and then refuses the next entry, which ends the guest; what it
 * leaves to be run otherwise is the core's own state. */
static void refused(void)
{
    uint64_t cr0;
    uint32_t r[4];
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    printf("abi: a state that is refused\n");
    event_wait(now_ns() + 300 * NS_PER_MS); /* time to be read */
    __asm__ volatile("mov %0, %%cr0" ::"a"((cr0 | 1ull << 29) & ~(1ull << 30)) : "memory");
    cpuid(0, r);
}

static unsigned ticks;
static void on_timer(uint32_t port, void *arg) { (void)port, (void)arg, ticks++; }

static void timer_fires(const char *name, uint64_t at)
{
    unsigned before = ticks;
    long rc = hypercall(__HYPERVISOR_set_timer_op, at, 0, 0, 0);
    for (uint64_t until = now_ns() + 5 * NS_PER_S; ticks == before && now_ns() < until;)
        event_wait(until);
    is(name, rc ? rc : ticks - before, 1);
}

static void timers(void)
{
    event_bind_virq(VIRQ_TIMER, on_timer, NULL);
    timer_fires("set_timer_op in 10 ms: one VIRQ_TIMER", now_ns() + 10 * NS_PER_MS);
    timer_fires("set_timer_op in the past: at once", 1);
    is("set_timer_op 0 (off)", hypercall(__HYPERVISOR_set_timer_op, 0, 0, 0, 0), 0);
    struct vcpu_set_periodic_timer t = { .period_ns = 10 * NS_PER_MS };
    is("VCPUOP_set_periodic_timer, which is not here", vcpu(VCPUOP_set_periodic_timer, 0, &t),
       -EOPNOTSUPP);
    is("VCPUOP_stop_periodic_timer", vcpu(VCPUOP_stop_periodic_timer, 0, NULL), 0);
    struct vcpu_register_time_memory_area a = { .addr.p = (uint64_t)area };
    is("VCPUOP_register_vcpu_time_memory_area", vcpu(VCPUOP_register_vcpu_time_memory_area, 0, &a),
       0);
    struct vcpu_runstate_info r;
    is("VCPUOP_get_runstate_info", vcpu(VCPUOP_get_runstate_info, 0, &r), 0);
    is("VCPUOP_is_up", vcpu(VCPUOP_is_up, 0, NULL), 1);
    is("VCPUOP_is_up of a vCPU that is not there", vcpu(VCPUOP_is_up, 3, NULL), -ENOENT);
}

/* Where other vCPUs begin: what they were given, to be read; then they wait for ever. */
static volatile uint64_t seen64;
static volatile uint32_t seen32;
void begin64(void), begin32(void);
__asm__(".text\n"
        "begin64: mov %rdi, seen64\n1: cli; hlt; jmp 1b\n"
        ".code32\n"
        "begin32: mov %ebx, seen32\n1: cli; hlt; jmp 1b\n"
        ".code64\n");

static void started(const char *name, unsigned id, const struct vcpu_hvm_context *c)
{
    struct vcpu_hvm_context odd = *c;
    odd.pad = 1;
    printf("abi: %s\n", name);
    is("VCPUOP_up without registers", vcpu(VCPUOP_up, id, NULL), -EINVAL);
    is("VCPUOP_initialise, not as it is to be", vcpu(VCPUOP_initialise, id, &odd), -EINVAL);
    is("VCPUOP_initialise", vcpu(VCPUOP_initialise, id, (void *)(uint64_t)c), 0);
    is("VCPUOP_is_up, not yet", vcpu(VCPUOP_is_up, id, NULL), 0);
    is("VCPUOP_up", vcpu(VCPUOP_up, id, NULL), 0);
    for (uint64_t until = now_ns() + 5 * NS_PER_S; !(id == 1 ? seen64 : seen32) && now_ns() < until;)
        event_wait(now_ns() + NS_PER_MS);
    is("VCPUOP_initialise of one that runs", vcpu(VCPUOP_initialise, id, (void *)(uint64_t)c),
       -EEXIST);
    is("VCPUOP_is_up", vcpu(VCPUOP_is_up, id, NULL), 1);
}

/* A second vCPU beside this one in its address space, and a third without paging. */
static void other_vcpus(void)
{
    struct vcpu_hvm_context c = { .mode = VCPU_HVM_MODE_64B };
    struct vcpu_hvm_x86_64 *r = &c.cpu_regs.x86_64;
    __asm__ volatile("mov %%cr0, %0; mov %%cr3, %1; mov %%cr4, %2"
                     : "=r"(r->cr0), "=r"(r->cr3), "=r"(r->cr4));
    r->efer = rdmsr(0xc0000080);
    r->rip = (uint64_t)begin64;
    r->rdi = 0x123456789a;
    started("a vCPU in 64-bit mode", 1, &c);
    is("... it has its registers", (long)seen64, 0x123456789a);
    c = (struct vcpu_hvm_context){ .mode = VCPU_HVM_MODE_32B };
    c.cpu_regs.x86_32 = (struct vcpu_hvm_x86_32){ .ebx = 0x5678,
                                                  .eip = (uint32_t)(uint64_t)begin32,
                                                  .cr0 = 1,
                                                  .cs_limit = ~0u,
                                                  .ds_limit = ~0u,
                                                  .ss_limit = ~0u,
                                                  .es_limit = ~0u,
                                                  .tr_limit = 0x67,
                                                  .cs_ar = 0xc9b,
                                                  .ds_ar = 0xc93,
                                                  .ss_ar = 0xc93,
                                                  .es_ar = 0xc93,
                                                  .tr_ar = 0x8b };
    started("a vCPU in 32-bit mode", 2, &c);
    is("... it has its registers", seen32, 0x5678);
}

static void grants(void)
{
    struct gnttab_query_size q = { .dom = DOMID_SELF };
    is("GNTTABOP_query_size",
       hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_query_size, (uint64_t)&q, 1, 0), 0);
    is("... its status", q.status, GNTST_okay);
    uint64_t list[2] = { 0, 0 };
    struct gnttab_setup_table s = { .dom = DOMID_SELF, .nr_frames = 1 };
    set_xen_guest_handle(s.frame_list, list);
    is("GNTTABOP_setup_table, 1 frame",
       hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_setup_table, (uint64_t)&s, 1, 0), 0);
    is("... its status", s.status, GNTST_okay);
    struct gnttab_get_version v = { .dom = DOMID_SELF };
    is("GNTTABOP_get_version",
       hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_get_version, (uint64_t)&v, 1, 0), 0);
    is("... it is 1", v.version, 1);
    struct gnttab_set_version w = { .version = 1 };
    is("GNTTABOP_set_version 1",
       hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_set_version, (uint64_t)&w, 1, 0), 0);
}

static void events(void)
{
    struct evtchn_alloc_unbound u = { .dom = DOMID_SELF, .remote_dom = 0 };
    is("EVTCHNOP_alloc_unbound", evtchn(EVTCHNOP_alloc_unbound, &u), 0);
    struct evtchn_status st = { .dom = DOMID_SELF, .port = u.port };
    is("EVTCHNOP_status", evtchn(EVTCHNOP_status, &st), 0);
    is("... unbound", st.status, EVTCHNSTAT_unbound);
    struct evtchn_close c = { .port = u.port };
    is("EVTCHNOP_close", evtchn(EVTCHNOP_close, &c), 0);
    struct evtchn_bind_virq b = { .virq = VIRQ_DEBUG };
    is("EVTCHNOP_bind_virq VIRQ_DEBUG", evtchn(EVTCHNOP_bind_virq, &b), 0);
    struct evtchn_unmask m = { .port = b.port };
    is("EVTCHNOP_unmask", evtchn(EVTCHNOP_unmask, &m), 0);
    struct evtchn_bind_vcpu bv = { .port = b.port, .vcpu = 0 };
    is("EVTCHNOP_bind_vcpu of VIRQ_DEBUG, which is per vCPU", evtchn(EVTCHNOP_bind_vcpu, &bv),
       -EINVAL);
}

static void version(void)
{
    xen_feature_info_t f = { .submap_idx = 0 };
    is("XENVER_get_features 0",
       hypercall(__HYPERVISOR_xen_version, XENVER_get_features, (uint64_t)&f, 0, 0), 0);
    f.submap_idx = 1;
    is("XENVER_get_features 1",
       hypercall(__HYPERVISOR_xen_version, XENVER_get_features, (uint64_t)&f, 0, 0), 0);
    is("XENVER_extraversion",
       hypercall(__HYPERVISOR_xen_version, XENVER_extraversion, (uint64_t)page, 0, 0), 0);
    is("XENVER_capabilities",
       hypercall(__HYPERVISOR_xen_version, XENVER_capabilities, (uint64_t)page, 0, 0), 0);
    is("XENVER_changeset",
       hypercall(__HYPERVISOR_xen_version, XENVER_changeset, (uint64_t)page, 0, 0), 0);
    is("XENVER_platform_parameters",
       hypercall(__HYPERVISOR_xen_version, XENVER_platform_parameters, (uint64_t)page, 0, 0), 0);
    is("XENVER_guest_handle",
       hypercall(__HYPERVISOR_xen_version, XENVER_guest_handle, (uint64_t)page, 0, 0), 0);
}

static void rest(void)
{
    static const char text[] = "a line by console_io\n";
    is("console_io write",
       hypercall(__HYPERVISOR_console_io, 0, sizeof(text) - 1, (uint64_t)text, 0), 0);
    is("HVMOP_get_param STORE_PFN", param(HVMOP_get_param, HVM_PARAM_STORE_PFN, 0), 0);
    is("HVMOP_get_param CONSOLE_EVTCHN", param(HVMOP_get_param, HVM_PARAM_CONSOLE_EVTCHN, 0), 0);
    struct xen_memory_map mm = { .nr_entries = 8 };
    set_xen_guest_handle(mm.buffer, (void *)page);
    is("XENMEM_memory_map", memory(XENMEM_memory_map, &mm), 0);
    domid_t me = DOMID_SELF;
    is("XENMEM_current_reservation is more than none", memory(XENMEM_current_reservation, &me) > 0,
       1);
    uint32_t r[4];
    cpuid(0x40000004, r);
    is("CPUID +4: the vCPU's number is there (bit 3 of EAX)", r[0] >> 3 & 1, 1);
    is("CPUID +4: and it is 0 (EBX)", r[1], 0);
    cpuid(0x40000003, r);
    is("CPUID +3: a TSC frequency in kHz (ECX)", r[2] > 1000, 1);
    __asm__ volatile("outb %0, $0xe9" ::"a"((uint8_t)'.'));
    is("a byte to port E9 harms nobody", 0, 0);
    uint16_t magic;
    __asm__ volatile("inw $0x10, %0" : "=a"(magic));
    is("port 10 does not answer as a platform device (49d2)", magic == 0x49d2, 0);
    /* Last: what it changes is how events come in. */
    struct xen_hvm_evtchn_upcall_vector uv = { .vcpu = 0, .vector = 0xf3 };
    is("HVMOP_set_evtchn_upcall_vector, a vector of 0x0f is refused",
       (uv.vector = 0x0f, hvm(HVMOP_set_evtchn_upcall_vector, &uv)), -EINVAL);
    is("HVMOP_set_param CALLBACK_IRQ = 1 beside an up-call vector",
       param(HVMOP_set_param, HVM_PARAM_CALLBACK_IRQ, 1), 0);
}

/* The local APIC by memory, as a kernel without x2APIC uses it: version, spurious vector, an EOI; and other devices that are not here. */
static void xapic(void)
{
    volatile uint32_t *a = (volatile uint32_t *)mmio_map(0xfee00000, 4096);
    volatile uint32_t *io = (volatile uint32_t *)mmio_map(0xfec00000, 4096);

    is("xAPIC: ID 0", a[0x20 / 4], 0);
    is("xAPIC: version", a[0x30 / 4] & 0xff, 0x14);
    a[0xf0 / 4] = a[0xf0 / 4] | 0x12f;
    is("xAPIC: SVR is what was written", a[0xf0 / 4], 0x1ff);
    a[0xb0 / 4] = 0;
    io[0] = 1; /* index register */
    is("IO-APIC: ones", io[4], 0xffffffffl);
}

/* What was given back reads as ones, and is RAM again when it is asked for again. */
static void given_back(void)
{
    volatile uint64_t *p = (volatile uint64_t *)page;
    xen_pfn_t gfn = (uint64_t)page >> 12;
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };

    set_xen_guest_handle(r.extent_start, &gfn);
    is("XENMEM_decrease_reservation", memory(XENMEM_decrease_reservation, &r), 1);
    is("what was given back reads as ones", (long)p[7], -1);
    is("a hypercall does not read it",
       hypercall(__HYPERVISOR_xen_version, XENVER_get_features, (uint64_t)page, 0, 0), -EFAULT);
    is("XENMEM_populate_physmap in its place", memory(XENMEM_populate_physmap, &r), 1);
    is("it is zero", (long)p[7], 0);
    p[7] = 5;
    is("and writable", (long)p[7], 5);
}

/* A unikernel maps nothing below its own text: of the start info and what it points to nothing may be there. */
static void low_memory(void)
{
    unsigned seen = 0;

    for (uint64_t at = 0x1000; at < 0x100000; at += 8)
        seen += *(volatile uint32_t *)at == XEN_HVM_START_MAGIC_VALUE ||
                !strncmp((const char *)at, self.cmdline, 8);
    is("nothing of the start info below 1 MiB", seen, 0);
}

int main(void)
{
    char text[8];

    if (cmdline_get("apic", text, sizeof(text)))
        xapic();
    if (cmdline_get("low", text, sizeof(text)))
        low_memory();
    printf("abi: clock %lu\n", wallclock_ns() / NS_PER_S);
    cpu();
    control_registers();
    version();
    events();
    grants();
    timers();
    if (!vcpu(VCPUOP_is_up, 2, NULL))
        other_vcpus();
    given_back();
    rest();
    printf("abi: %u ok, %u not\n", good, bad);
    for (uint64_t until = now_ns() + 300 * NS_PER_MS; now_ns() < until;) /* time to be read */
        event_wait(until);
    if (cmdline_get("refused", text, sizeof(text)))
        refused();
    struct sched_shutdown off = { .reason = SHUTDOWN_poweroff };
    hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (uint64_t)&off, 0, 0);
    return 0;
}
