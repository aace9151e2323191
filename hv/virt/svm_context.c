/* SPDX-License-Identifier: MIT */
/*
 * A vCPU started with registers of the guest's choice: VCPUOP_initialise (<xen/hvm/hvm_vcpu.h>). What VMRUN would refuse (APM2 15.5.1) is
 * refused here, while the caller can still be told; what else is odd about the state harms that guest alone.
 */
#include "domain/struct.h"
#include "virt/svm.h"
#include "common/regs.h"
#include "virt/virt.h"

#define AR_UNUSED   0xf000u
#define AR_P        (1u << 7)
#define AR_S        (1u << 4)
#define AR_CODE     (1u << 3)
#define AR_L        (1u << 9)
#define ATTR_CODE64 0xa9b
#define ATTR_DATA   0xc93

struct control {
    uint64_t cr0, cr3, cr4, efer;
};

/* CR4 bits that a guest's CPU has only with a feature: APM2 3.1.3. Those of features that it never has (cpuid.c) are not here: with CET, VMRUN
 * wants CR0.WP. */
static const struct cr4_bit {
    uint8_t bit, leaf, ebx, feature; /* ebx: the feature is in that register, else in ecx */
} cr4_bits[] = {
    { 11, 7, 0, 2 },  /* UMIP */
    { 16, 7, 1, 0 },  /* FSGSBASE */
    { 17, 1, 0, 17 }, /* PCIDE */
    { 18, 1, 0, 26 }, /* OSXSAVE */
    { 20, 7, 1, 7 },  /* SMEP */
    { 21, 7, 1, 20 }, /* SMAP */
    { 22, 7, 0, 3 },  /* PKE */
};

static uint64_t cr4_allowed(void)
{
    uint64_t there = 0x7ff; /* VME to OSXMMEXCPT: every CPU with SVM */
    uint32_t last = cpuid(0, 0).eax;
    for (unsigned i = 0; i < ARRAY_SIZE(cr4_bits); i++) {
        const struct cr4_bit *c = &cr4_bits[i];
        struct cpuid_regs r = last >= c->leaf ? cpuid(c->leaf, 0) : (struct cpuid_regs){ 0 };
        there |= (uint64_t)((c->ebx ? r.ebx : r.ecx) >> c->feature & 1) << c->bit;
    }
    return there;
}

static bool control_ok(const struct control *c)
{
    bool paged = c->cr0 & CR0_PG, lme = c->efer & EFER_LME;
    uint32_t address_bits = cpuid(0x80000008, 0).eax & 0xff;
    if (c->cr0 >> 32 || ((c->cr0 & CR0_NW) && !(c->cr0 & CR0_CD)) || (paged && !(c->cr0 & CR0_PE)))
        return false;
    if ((c->cr4 & ~cr4_allowed()) || (c->efer & ~svm_efer_allowed()) || c->cr3 >> address_bits)
        return false;
    return !(c->efer & EFER_LMA) == !(lme && paged) && (!lme || !paged || (c->cr4 & CR4_PAE));
}

static struct control control32(const struct vcpu_hvm_x86_32 *r)
{
    return (struct control){ r->cr0, r->cr3, r->cr4, r->efer };
}
static struct control control64(const struct vcpu_hvm_x86_64 *r)
{
    return (struct control){ r->cr0, r->cr3, r->cr4, r->efer };
}

/* Code and stack are there, the others may be null; the task is a busy one. */
static bool segments_ok(const struct vcpu_hvm_x86_32 *r)
{
    uint16_t all = r->cs_ar | r->ds_ar | r->ss_ar | r->es_ar | r->tr_ar, tr = r->tr_ar & 0x9f;
    return !(all & (AR_UNUSED | AR_L)) &&
           (r->cs_ar & (AR_P | AR_S | AR_CODE)) == (AR_P | AR_S | AR_CODE) &&
           (r->ss_ar & (AR_P | AR_S | AR_CODE)) == (AR_P | AR_S) && (tr == 0x8b || tr == 0x83);
}

bool svm_context_ok(const struct vcpu_hvm_context *c)
{
    const struct vcpu_hvm_x86_32 *r = &c->cpu_regs.x86_32;
    struct control x = control64(&c->cpu_regs.x86_64);
    if (c->pad)
        return false;
    if (c->mode == VCPU_HVM_MODE_64B)
        return control_ok(&x) && (x.efer & EFER_LMA);
    x = control32(r);
    return c->mode == VCPU_HVM_MODE_32B && !(r->pad1 | r->pad2[0] | r->pad2[1] | r->pad2[2]) &&
           segments_ok(r) && control_ok(&x);
}

static void set_control(struct vmcb *b, struct control c)
{
    b->cr0 = c.cr0 | CR0_ET;
    b->cr3 = c.cr3;
    b->cr4 = c.cr4;
    b->efer = c.efer | EFER_SVME;
}

static void set32(struct vcpu *v, struct vmcb *b, const struct vcpu_hvm_x86_32 *r)
{
    v->regs = (struct regs){ .rax = r->eax,
                             .rcx = r->ecx,
                             .rdx = r->edx,
                             .rbx = r->ebx,
                             .rsp = r->esp,
                             .rbp = r->ebp,
                             .rsi = r->esi,
                             .rdi = r->edi,
                             .rip = r->eip,
                             .rflags = (r->eflags & RFLAGS_KEPT) | 2 };
    b->cs = (struct vmcb_seg){ 0, r->cs_ar, r->cs_limit, r->cs_base };
    b->ds = (struct vmcb_seg){ 0, r->ds_ar, r->ds_limit, r->ds_base };
    b->ss = (struct vmcb_seg){ 0, r->ss_ar, r->ss_limit, r->ss_base };
    b->es = (struct vmcb_seg){ 0, r->es_ar, r->es_limit, r->es_base };
    b->tr = (struct vmcb_seg){ 0, r->tr_ar, r->tr_limit, r->tr_base };
    b->cpl = r->ss_ar >> 5 & 3;
    set_control(b, control32(r));
}

static void set64(struct vcpu *v, struct vmcb *b, const struct vcpu_hvm_x86_64 *r)
{
    v->regs = (struct regs){ .rax = r->rax,
                             .rcx = r->rcx,
                             .rdx = r->rdx,
                             .rbx = r->rbx,
                             .rsp = r->rsp,
                             .rbp = r->rbp,
                             .rsi = r->rsi,
                             .rdi = r->rdi,
                             .rip = r->rip,
                             .rflags = (r->rflags & RFLAGS_KEPT) | 2 };
    b->cs = (struct vmcb_seg){ 0, ATTR_CODE64, 0xffffffff, 0 };
    b->ds = b->ss = b->es = (struct vmcb_seg){ 0, ATTR_DATA, 0xffffffff, 0 };
    set_control(b, control64(r));
}

void svm_set_context(struct vcpu *v, const struct vcpu_hvm_context *c)
{
    struct vmcb *b = svm_of(v)->vmcb;
    svm_state_reset(v); /* TR too, for 64-bit code */
    if (c->mode == VCPU_HVM_MODE_64B)
        set64(v, b, &c->cpu_regs.x86_64);
    else
        set32(v, b, &c->cpu_regs.x86_32);
}
