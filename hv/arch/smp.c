/* SPDX-License-Identifier: MIT */
/*
 * The machine's CPUs. The boot CPU starts the others one after the other by INIT and SIPI (SDM3 8.4.4): each
 * begins at a copy of trampoline.S below 640 KiB, on small page tables of its own kind (that page executable at its own
 * address, the core's upper half beside it), and ends where smp_boot was told. A CPU that does not come is reported and left out.
 */
#include "arch/smp.h"
#include "arch/trap.h"
#include "arch/irq.h"
#include "common/regs.h"
#include "base/cpu.h"
#include "base/print.h"
#include "base/string.h"
#include "mem/frame.h"
#include "mem/paging.h"
#include "platform/acpi_info.h"
#include "platform/boot_info.h"
#include "platform/cmdline.h"
#include "time/time.h"

static struct cpu boot_cpu;
static int (*bring_up)(struct cpu *c);
static void (*go)(void);
static volatile uint32_t ap_state; /* of the CPU being started */
enum { AP_WAITED_FOR, AP_CAME, AP_READY, AP_FAILED };

extern uint8_t tramp_start[], tramp_end[], tramp_gdtr_base[], tramp_jump32[], tramp_jump64[],
    tramp_cr3[], tramp_stack[], tramp_cpu[], tramp_entry[];
static uint64_t tramp_pml4[512] __aligned(4096),
    tramp_pdpt[512] __aligned(4096), tramp_pd[512] __aligned(4096), tramp_pt[512] __aligned(4096);

static void percpu_load(struct cpu *c) { wrmsr(MSR_GS_BASE, (uint64_t)c); }

static void percpu_setup(struct cpu *c, uint32_t id)
{
    c->self = c;
    c->id = id;
    list_init(&c->rq);
    list_init(&c->timers);
    c->counts = &c->own_counts;
}

void percpu_init_boot(void)
{
    percpu_setup(&boot_cpu, 0);
    percpu_load(&boot_cpu);
    cpus[0] = &boot_cpu;
    nr_cpus = 1;
}

static bool give_stack(struct cpu *c)
{
    void *top = stack_alloc(CPU_STACK_PAGES);
    c->stack_top = (uint64_t)top;
    c->stack_bottom = c->stack_top - CPU_STACK_PAGES * PAGE_SIZE;
    return top;
}

void *boot_cpu_stack(void)
{
    if (!give_stack(&boot_cpu))
        panic("no memory for the boot CPU's stack");
    return (void *)boot_cpu.stack_top;
}

static void ap_entry(struct cpu *c)
{
    paging_load();
    percpu_load(c);
    trap_load(c);
    __atomic_store_n(&ap_state, AP_CAME, __ATOMIC_RELEASE);
    apic_init_ap();
    if (bring_up(c) < 0) {
        __atomic_store_n(&ap_state, AP_FAILED, __ATOMIC_RELEASE);
        cpu_stop();
    }
    __atomic_store_n(&ap_state, AP_READY, __ATOMIC_RELEASE);
    go();
}

/* The highest page of RAM below 640 KiB; 0 if there is none. */
static uint64_t tramp_page(void)
{
    uint64_t best = 0;
    for (unsigned i = 0; i < boot_info.nr_ram; i++) {
        uint64_t end = MIN(boot_info.ram[i].end, 0x9f000ull);
        if (boot_info.ram[i].start + PAGE_SIZE <= end && end - PAGE_SIZE >= PAGE_SIZE)
            best = MAX(best, end - PAGE_SIZE);
    }
    return best;
}

static void poke32(uint8_t *page, const uint8_t *symbol, uint32_t v)
{
    memcpy(page + (symbol - tramp_start), &v, 4);
}
static void poke64(uint8_t *page, const uint8_t *symbol, uint64_t v)
{
    memcpy(page + (symbol - tramp_start), &v, 8);
}
static uint32_t peek32(const uint8_t *symbol)
{
    uint32_t v;
    memcpy(&v, symbol, 4);
    return v;
}

static uint8_t *tramp_prepare(uint64_t at)
{
    uint8_t *page = maddr_to_virt(MADDR(at));
    memcpy(page, tramp_start, (size_t)(tramp_end - tramp_start));
    poke32(page, tramp_gdtr_base, peek32(tramp_gdtr_base) + (uint32_t)at);
    poke32(page, tramp_jump32, peek32(tramp_jump32) + (uint32_t)at);
    poke32(page, tramp_jump64, peek32(tramp_jump64) + (uint32_t)at);
    poke64(page, tramp_cr3, virt_to_maddr(tramp_pml4).v);
    poke64(page, tramp_entry, (uint64_t)ap_entry);

    for (unsigned i = 256; i < 512; i++)
        tramp_pml4[i] = paging_entry(i);
    tramp_pml4[0] = virt_to_maddr(tramp_pdpt).v | PTE_P | PTE_RW;
    tramp_pdpt[0] = virt_to_maddr(tramp_pd).v | PTE_P | PTE_RW;
    tramp_pd[0] = virt_to_maddr(tramp_pt).v | PTE_P | PTE_RW;
    tramp_pt[at >> PAGE_SHIFT] = at | PTE_P; /* read and execute */
    return page;
}

static bool wait_state(uint32_t state, uint32_t us)
{
    for (uint32_t t = 0; t < us; t += 50) {
        if (__atomic_load_n(&ap_state, __ATOMIC_ACQUIRE) >= state)
            return true;
        udelay(50);
    }
    return __atomic_load_n(&ap_state, __ATOMIC_ACQUIRE) >= state;
}

static void start_cpu(uint8_t *page, uint64_t at, uint32_t apic)
{
    uint32_t id = nr_cpus;
    struct cpu *c = kmalloc(sizeof *c);
    if (!c)
        panic("no memory for CPU %u", id);
    percpu_setup(c, id);
    c->apic_id = apic;
    if (!give_stack(c))
        panic("no memory for the stack of CPU %u", id);
    trap_init_cpu(c);
    poke64(page, tramp_stack, c->stack_top);
    poke64(page, tramp_cpu, (uint64_t)c);
    cpus[id] = c;
    __atomic_store_n(&ap_state, AP_WAITED_FOR, __ATOMIC_SEQ_CST);

    apic_send_init(apic);
    udelay(10000);
    apic_send_sipi(apic, (uint8_t)(at >> PAGE_SHIFT));
    if (!wait_state(AP_CAME, 1000)) {
        apic_send_sipi(apic, (uint8_t)(at >> PAGE_SHIFT));
        wait_state(AP_CAME, 1000000);
    }
    if (!wait_state(AP_READY, 1000000) || ap_state == AP_FAILED) {
        /* Its structures stay: it may still come, and must find a stack. */
        cpus[id] = NULL;
        log_err("CPU with APIC id %u does not start", apic);
        if (ap_state == AP_WAITED_FOR || ap_state == AP_CAME)
            apic_send_init(apic); /* back to waiting for a SIPI that never comes */
        return;
    }
    __atomic_store_n(&nr_cpus, id + 1, __ATOMIC_RELEASE);
}

void smp_boot(int (*up)(struct cpu *c), void (*loop)(void))
{
    bring_up = up;
    go = loop;
    unsigned limit = cmdline.maxcpus ? cmdline.maxcpus : MAX_CPUS;
    uint64_t at = tramp_page();
    uint8_t *page = at && acpi_info.nr_cpus > 1 ? tramp_prepare(at) : NULL;
    if (!page && acpi_info.nr_cpus > 1)
        log_err("no memory below 640 KiB to start other CPUs from");
    for (unsigned i = 0; page && i < acpi_info.nr_cpus && nr_cpus < limit; i++)
        if (acpi_info.cpu[i].apic_id != boot_cpu.apic_id)
            start_cpu(page, at, acpi_info.cpu[i].apic_id);
    if (page) {
        memset(page, 0, PAGE_SIZE);
        tramp_pt[at >> PAGE_SHIFT] = 0;
    }
    log_info("%u of %u CPUs", nr_cpus, MAX(acpi_info.nr_cpus, 1u));
}
