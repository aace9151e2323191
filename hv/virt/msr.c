/* SPDX-License-Identifier: MIT */
/*
 * MSRs of a guest: an allow-list, one row a range; what is in no row is #GP. Those that the vendor's world switch carries
 * (SYSENTER, STAR, FS base, EFER, PAT ...) do not come here.
 */
#include "base/cpu.h"
#include "base/print.h"
#include "mem/gcopy.h"
#include "common/regs.h"
#include "mem/npt.h"
#include "domain/struct.h"
#include "virt/lapic.h"
#include "virt/virt.h"

#define HYPERCALL_PAGE_MSR 0x40000000
#define HYPERCALLS         64u
#define ENTRY_BYTES        32u

struct msr_row {
    uint32_t first, last;
    uint64_t value;                                         /* read, when there is no function */
    int (*read)(struct vcpu *v, uint32_t msr, uint64_t *x); /* 0, or -1: #GP */
    int (*write)(struct vcpu *v, uint32_t msr, uint64_t x); /* NULL: #GP */
};

static int ignore(struct vcpu *v, uint32_t msr, uint64_t x)
{
    (void)v, (void)msr, (void)x;
    return 0;
}
static int read_tsc(struct vcpu *v, uint32_t msr, uint64_t *x)
{
    (void)v, (void)msr;
    *x = rdtsc();
    return 0;
}
static int read_base(struct vcpu *v, uint32_t msr, uint64_t *x)
{
    (void)msr;
    *x = lapic_base(v);
    return 0;
}
static int write_base(struct vcpu *v, uint32_t msr, uint64_t x)
{
    (void)msr;
    return lapic_set_base(v, x);
}

/* Fills the page with one entry a call: mov $n, %eax; vmmcall; ret. The same bytes serve 32-bit and 64-bit code. */
static int write_hypercall_page(struct vcpu *v, uint32_t msr, uint64_t x)
{
    (void)msr;
    if (x & (PAGE_SIZE - 1))
        return -1;
    for (uint32_t n = 0; n < HYPERCALLS; n++) {
        uint8_t entry[ENTRY_BYTES] = { 0xb8, (uint8_t)n, 0, 0, 0, 0x0f, 0x01, 0xd9, 0xc3 };
        if (gphys_write(v->domain, x + n * ENTRY_BYTES, entry, sizeof entry))
            return -1;
    }
    return 0;
}

/* "Software techniques for managing speculation on AMD processors", G-2. Read back: an emulator may drop the write. */
void virt_msr_cpu_init(void)
{
    uint64_t x = 0;
    if (!rdmsr_safe(MSR_DE_CFG, &x) && !(x & LFENCE_SERIALISES) &&
        !wrmsr_safe(MSR_DE_CFG, x | LFENCE_SERIALISES))
        (void)rdmsr_safe(MSR_DE_CFG, &x);
    virt_mitigations.lfence &= !!(x & LFENCE_SERIALISES);
}

/* There only where it says the truth. */
static int read_de_cfg(struct vcpu *v, uint32_t msr, uint64_t *x)
{
    (void)v, (void)msr;
    *x = LFENCE_SERIALISES;
    return virt_mitigations.lfence ? 0 : -1;
}
static int write_de_cfg(struct vcpu *v, uint32_t msr, uint64_t x)
{
    (void)v, (void)msr, (void)x;
    return virt_mitigations.lfence ? 0 : -1;
}

static const struct msr_row rows[] = {
    /* time stamp counter: it cannot be set */
    { 0x10, 0x10, 0, read_tsc, ignore },
    /* local APIC: x2APIC only */
    { MSR_APIC_BASE, MSR_APIC_BASE, 0, read_base, write_base },
    { MSR_X2APIC, MSR_X2APIC_LAST, 0, lapic_read, lapic_write },
    /* microcode level: none that a guest may load */
    { 0x8b, 0x8b, 0, NULL, ignore },
    /* MTRRs: capability without any register, default type write-back and enabled, or Linux gives up its PAT */
    { 0xfe, 0xfe, 0, NULL, NULL },
    { 0x2ff, 0x2ff, 0x806, NULL, ignore },
    /* machine check: no banks */
    { 0x179, 0x17a, 0, NULL, ignore },
    /* hypercall page */
    { HYPERCALL_PAGE_MSR, HYPERCALL_PAGE_MSR, 0, NULL, write_hypercall_page },
    /* AMD: SYSCFG, HWCR (the TSC counts at its nominal rate), NB_CFG, top of memory, MMIO_CONF_BASE, interrupt pending message,
     * DE_CFG (LFENCE waits for what is before it). Read by kernels that know the family; nothing can be changed. */
    { 0xc0010010, 0xc0010010, 0, NULL, ignore },
    { 0xc0010015, 0xc0010015, 1u << 24, NULL, ignore },
    { 0xc001001a, 0xc001001a, 0, NULL, NULL },
    { 0xc001001d, 0xc001001d, 0, NULL, NULL },
    { 0xc001001f, 0xc001001f, 0, NULL, ignore },
    { 0xc0010055, 0xc0010055, 0, NULL, ignore },
    { 0xc0010058, 0xc0010058, 0, NULL, NULL },
    { MSR_DE_CFG, MSR_DE_CFG, 0, read_de_cfg, write_de_cfg },
};

static const struct msr_row *find(uint32_t msr)
{
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
        if (msr >= rows[i].first && msr <= rows[i].last)
            return &rows[i];
    return NULL;
}

int virt_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *val)
{
    const struct msr_row *r = find(msr);
    if (!r)
        return -1;
    *val = r->value;
    return r->read ? r->read(v, msr, val) : 0;
}

int virt_wrmsr(struct vcpu *v, uint32_t msr, uint64_t val)
{
    const struct msr_row *r = find(msr);
    return r && r->write ? r->write(v, msr, val) : -1;
}
