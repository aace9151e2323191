// SPDX-License-Identifier: MIT
// LINK: hv/arch/irq.c hv/arch/apic.c
// Whom an interrupt that a CPU sends is counted for, and that one that comes in counts for no vCPU.
#include "unit.h"
#include "platform/acpi_info.h"
#include "arch/irq.h"
#include "base/cpu.h"
#include "base/print_internal.h"
#include "mem/paging.h"
#include "sched/vcpu.h"

#define ICR 0x830u /* of an x2APIC */

struct acpi_info acpi_info;
static struct vcpu v;
static unsigned sent;

struct cpuid_regs cpuid(uint32_t leaf, uint32_t sub)
{
    return (struct cpuid_regs){ .ecx = 1u << 21 | 1u << 24,
                                .edx = 1u << 9 }; /* x2APIC, TSC deadline, APIC */
}
void wrmsr(uint32_t msr, uint64_t x) { sent += msr == ICR; }
void *mmio_map(maddr_t m, size_t n) { return NULL; }
void print_deferred(void) {}

static void sends(void *arg)
{
    apic_send_ipi(1, VEC_KICK);
    apic_send_ipi(0, VEC_KICK);
}

TEST(counted)
{
    struct cpu *c = this_cpu();
    static struct cpu other = { .apic_id = 2 };

    cpus[1] = &other;
    apic_send_ipi(1, VEC_KICK); /* nothing is sent before there is an APIC */
    assert_int_equal(sent + c->own_counts.ipis, 0);
    apic_init_bsp();
    c->counts = &v.counts;
    sends(NULL);
    assert_int_equal(sent, 2);
    assert_int_equal(v.counts.ipis, 1);
    assert_int_equal(v.counts.self_ipis, 1);
    assert_int_equal(c->own_counts.ipis + c->own_counts.self_ipis, 0);

    int vector = irq_vector_alloc(sends, NULL);
    assert_true(vector > 0);
    irq_dispatch((uint8_t)vector); /* while v is served */
    assert_int_equal(sent, 4);
    assert_int_equal(v.counts.ipis, 1);
    assert_int_equal(c->own_counts.ipis, 1);
    assert_int_equal(c->own_counts.self_ipis, 1);
    irq_dispatch(VEC_SPURIOUS);
    assert_ptr_equal(c->counts, &v.counts);
}
