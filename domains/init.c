/* SPDX-License-Identifier: MIT */
/* From entry.S to main(): who am I, memory, shared_info, console, store. Also hypercalls and the end of the domain. */
#include "internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>

struct bh_self self;
struct shared_info *shared_info;
static bool use_vmcall; /* Intel; AMD and Hygon take VMMCALL (their #UD on the other one is not emulated) */

int main(void);

long hypercall(unsigned nr, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4)
{
    register uint64_t r10 __asm__("r10") = a4;
    uint64_t rax = nr;

    if (use_vmcall)
        __asm__ volatile("vmcall" : "+a"(rax), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10)::"memory", "r8");
    else
        __asm__ volatile("vmmcall" : "+a"(rax), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10)::"memory", "r8");
    return (long)rax;
}

void domain_exit(unsigned reason)
{
    struct sched_shutdown s = { .reason = reason };

    for (;;) {
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (uint64_t)&s, 0, 0);
        /* Not reached; if the core refused, a triple fault would be the only other end. */
        __asm__ volatile("cli; hlt");
    }
}

static void cpuid(uint32_t leaf, uint32_t r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}

/* The pages of the slot are asked for twice and never move: an exit less each. */
long get_param(unsigned which, uint64_t *value)
{
    static uint64_t pfn[2];
    uint64_t *known = which == HVM_PARAM_CONSOLE_PFN ? &pfn[0] : which == HVM_PARAM_STORE_PFN ? &pfn[1] : NULL;
    struct xen_hvm_param p = { .domid = DOMID_SELF, .index = which };
    long rc = 0;

    if (known && *known)
        p.value = *known;
    else
        rc = hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, (uint64_t)&p, 0, 0);
    *value = rc ? 0 : p.value;
    if (known)
        *known = *value;
    return rc;
}

static void map_shared_info(void)
{
    struct xen_add_to_physmap x = {
        .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info, .gpfn = WINDOW_BASE >> PAGE_SHIFT,
    };

    if (hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, (uint64_t)&x, 0, 0))
        domain_exit(SHUTDOWN_crash); /* nothing to print on yet */
    shared_info = (struct shared_info *)WINDOW_BASE;
}

/* key=GFN:N; NULL: there is none. */
static void *pages_word(const char *key, unsigned *n)
{
    char word[64], *end;

    *n = 0;
    if (!cmdline_get(key, word, sizeof(word)))
        return NULL;
    uint64_t gfn = strtoull(word, &end, 0);
    if (*end != ':' || !gfn)
        return NULL;
    *n = (unsigned)strtoul(end + 1, NULL, 0);
    return (void *)(gfn << PAGE_SHIFT);
}

/* What the command line and CPUID say about this domain. */
static void read_self(const struct hvm_start_info *si)
{
    char word[64];
    uint32_t r[4];

    if (si->cmdline_paddr)
        strlcpy(self.cmdline, (const char *)si->cmdline_paddr, sizeof(self.cmdline));
    if (cmdline_get("domid", word, sizeof(word))) {
        self.domid = (domid_t)strtoul(word, NULL, 0);
    } else {
        cpuid(0x40000004, r); /* Xen's leaf 4 (<xen/arch-x86/cpuid.h>): ecx = domid if bit 4 of eax is set */
        if (r[0] & 16)
            self.domid = (domid_t)r[2];
    }
    if (!cmdline_get("name", self.name, sizeof(self.name)))
        snprintf(self.name, sizeof(self.name), "dom%u", self.domid);
    if (cmdline_get("boot", word, sizeof(word)))
        self.instance = strtoull(word, NULL, 0);
    if (cmdline_get("ram", word, sizeof(word)))
        self.ram_bytes = strtoull(word, NULL, 0);
    self.keep = pages_word("keep", &self.nr_keep);
    self.table = pages_word("table", &self.nr_table);
    if (si->nr_modules) {
        const struct hvm_modlist_entry *m = (const void *)si->modlist_paddr;
        self.module = (const void *)m->paddr;
        self.module_len = m->size;
    }
}

void bh_served(void)
{
    static bool said;

    if (said)
        return;
    said = true;
    bh_service(BH_SVC_SERVED, NULL);
}

void start_domain(const struct hvm_start_info *si)
{
    uint32_t r[4];

    cpuid(0, r);
    use_vmcall = r[1] == 0x756e6547; /* "Genu": GenuineIntel */
    exceptions_init();
    struct bh_ptr_mode mode = { .physical = 1 };
    long rc = bh_service(BH_SVC_PTR_MODE, &mode);
    self.guest = rc < 0;
    read_self(si);
    paging_init();
    map_shared_info();
    pages_init(si);
    event_init();
    grant_init();
    console_init();
    if (si->magic != XEN_HVM_START_MAGIC_VALUE)
        bh_panic("start info at %p has magic %x", (const void *)si, si->magic);
    xs_init();
    run_init();
    rc = main();
    printf("%s: main returned %ld\n", self.name, rc);
    domain_exit(rc ? SHUTDOWN_crash : SHUTDOWN_poweroff);
}
