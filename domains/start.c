/* SPDX-License-Identifier: MIT */
/* From entry.S to main(): who am I, memory, shared_info, console, store. The highest file of libbh: none of it calls this one. */
#include "internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/memory.h>
#include <xen/sched.h>

int main(void);

static void cpuid(uint32_t leaf, uint32_t r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}

static void map_shared_info(void)
{
    struct xen_add_to_physmap x = {
        .domid = DOMID_SELF,
        .space = XENMAPSPACE_shared_info,
        .gpfn = BH_SVC_WINDOW >> PAGE_SHIFT,
    };

    if (hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, (uint64_t)&x, 0, 0))
        domain_exit(SHUTDOWN_crash); /* nothing to print on yet */
    shared_info = (struct shared_info *)BH_SVC_WINDOW;
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
        cpuid(0x40000004,
              r); /* Xen's leaf 4 (<xen/arch-x86/cpuid.h>): ecx = domid if bit 4 of eax is set */
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

void start_domain(const struct hvm_start_info *si)
{
    uint32_t r[4];

    cpuid(0, r);
    hypercall_init(r[1] == 0x756e6547); /* "Genu": GenuineIntel */
    exceptions_init();
    struct bh_ptr_mode mode = { .physical = 1 };
    long rc = bh_svc_ptr_mode(&mode);
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
