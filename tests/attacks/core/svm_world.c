/* SPDX-License-Identifier: MIT */
// LINK: hv/virt/svm.c hv/virt/svm_context.c hv/virt/svm_exit.c hv/virt/svm_insn.c hv/virt/msr.c
/* svm_world.h. */
#include "svm_world.h"

bool virt_emulated;
uint32_t virt_features;
struct domain dom;
struct vcpu vcpus[3];
unsigned wrmsrs[4];
void (*guest)(struct vcpu *v) = NULL;
struct vcpu *entered;
bool cpuid_ibpb;
uint32_t cpuid_7_ecx;

struct cpuid_regs cpuid(uint32_t leaf, uint32_t sub)
{
    struct cpuid_regs r = { 0, 0, 0, 0 };
    switch (leaf) {
    case 0: r.eax = cpuid_7_ecx ? 7 : 0; break;
    case 7: r.ecx = cpuid_7_ecx; break;
    case 0x80000000: r.eax = 0x8000000a; break;
    case 0x80000001: r.ecx = 1u << 2; break; /* SVM; no RDTSCP in edx */
    case 0x80000008:
        r.eax = 48;
        r.ebx = cpuid_ibpb ? 1u << 12 : 0;
        break; /* no XSaveErPtr */
    case 0x8000000a:
        r.ebx = 16;
        r.edx = 1;
        break;
    case 1: r.ecx = 1u << 26; break;
    case 0xd:
        if (!sub) {
            r.eax = 7;
            r.ecx = 832;
        }
        break;
    }
    return r;
}
void wrmsr(uint32_t msr, uint64_t v)
{
    wrmsrs[msr == 0xc0000103 ? 0 : msr == 0xc0011029 ? 1 : msr == 0x49 ? 2 : 3]++;
}
bool entered_shadow;
void svm_enter(struct regs *r, uint64_t g, uint64_t h, bool shadow)
{
    entered_shadow = shadow;
    if (guest)
        guest(entered);
}
void apic_send_ipi(uint32_t c, uint8_t v) {}
int upcall = -1, apic_vector = -1;
int vcpu_pending_vector(const struct vcpu *v) { return upcall >= 0 ? upcall : apic_vector; }
bool vcpu_only_upcall(const struct vcpu *v) { return upcall >= 0 && apic_vector < 0; }
bool vcpu_vector_injected(struct vcpu *v, int vec) { return vec == upcall; }
void virt_cpuid(struct vcpu *v) {}
uint32_t virt_port_in(struct vcpu *v, uint16_t p, unsigned s) { return ~0u; }
void virt_port_out(struct vcpu *v, uint16_t p, unsigned s, uint32_t x) {}
struct gtrace trace;
int guest_trace(uint64_t lin, struct gtrace *t)
{
    *t = trace;
    return trace.nr ? 0 : -EFAULT;
}
uint8_t insn[32];
unsigned insn_copies;
uint64_t no_page;
int copy_from_guest(void *d, gaddr_t s, size_t n)
{
    insn_copies++;
    if ((s.v & 4095) + n > 4096)
        abort();
    if (no_page && s.v >> 12 == no_page >> 12)
        return -EFAULT;
    memcpy(d, insn + (s.v & 15), n);
    return 0;
}
unsigned rewrites;
bool code_is_ram = true;
int guest_rewrite_code(uint64_t lin, uint8_t *b)
{
    rewrites++;
    *b = insn[lin & 15];
    return code_is_ram ? 0 : -EFAULT;
}
int gphys_write(struct domain *d, uint64_t g, const void *s, size_t n) { return 0; }
mfn_t p2m_lookup(struct domain *d, gfn_t g, enum p2m_type *t)
{
    *t = P2M_NONE;
    return INVALID_MFN;
}
void vcpu_block(struct vcpu *v) {}
bool crashed;
char crash_text[96];
bool filler_touch(struct domain *d, uint64_t gpa, bool write) { return false; }
void domain_crash(struct domain *d, struct vcpu *v, enum bh_crash_cause c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(crash_text, sizeof crash_text, fmt, ap);
    va_end(ap);
    crashed = true;
}
uint64_t lapic_base(const struct vcpu *v) { return 0; }
int lapic_set_base(struct vcpu *v, uint64_t x) { return 0; }
int lapic_read(struct vcpu *v, uint32_t m, uint64_t *x)
{
    *x = 0;
    return 0;
}
int lapic_write(struct vcpu *v, uint32_t m, uint64_t x) { return 0; }

void (*on_fault)(void *addr);
static void step_over(int sig, siginfo_t *si, void *ctx)
{
    ucontext_t *uc = ctx;
    const uint8_t *ip = (const uint8_t *)uc->uc_mcontext.gregs[REG_RIP];
    if (ip[0] == 0x0f && ip[1] == 0x01 && (ip[2] == 0xd1 || ip[2] == 0xda || ip[2] == 0xdb)) {
        uc->uc_mcontext.gregs[REG_RIP] += 3;
        return;
    }
    if (sig == SIGSEGV && on_fault) {
        on_fault(si->si_addr);
        return;
    }
    printf("the demonstration itself went wrong: signal %d at %p\n", sig, (void *)ip);
    fflush(stdout);
    _exit(2);
}
void world(void)
{
    struct sigaction sa = { .sa_sigaction = step_over, .sa_flags = SA_SIGINFO | SA_NODEFER };
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGILL, &sa, NULL);
    EXPECT(svm_ops.cpu_init(this_cpu()) == 0);
    dom.nr_vcpus = 3;
    for (unsigned i = 0; i < 3; i++) {
        vcpus[i].domain = &dom;
        vcpus[i].cpu = this_cpu();
        dom.vcpu[i] = &vcpus[i];
        EXPECT(svm_ops.vcpu_init(&vcpus[i]) == 0);
        svm_ops.set_pvh_entry(&vcpus[i], 0x1000, 0);
    }
}
unsigned run(struct vcpu *v)
{
    entered = v;
    svm_of(v)->vmcb->exit_code = EXIT_INTR;
    return svm_ops.run(v);
}
