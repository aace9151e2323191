/* SPDX-License-Identifier: MIT */
/*
 * The one domain that the core builds: the control domain, from boot module 0 (a PVH ELF), as any builder would: RAM at 0,
 * start info (<xen/arch-x86/hvm/start_info.h>) below 0x9000, image where its segments say. Module 1, the boot bundle, is
 * mapped read-only at 1 GiB, in place.
 */
#include "boot/boot.h"
#include <layout.h>
#include <xen/xen.h>
#include <xen/arch-x86/hvm/start_info.h>
#include "boot/elf.h"
#include "base/print.h"
#include "base/string.h"
#include "mem/frame.h"
#include "mem/gcopy.h"
#include "domain/domain.h"
#include "sched/sched.h"
#include "virt/virt.h"

#define MODLIST_GPA 0x1100ull
#define MEMMAP_GPA  0x1200ull
#define IMAGE_LOW   0x10000ull /* segments may begin here */

static int refuse(const char *what, const char *why)
{
    log_err("%s: %s", what, why);
    return -EINVAL;
}

static int create(struct domain **d)
{
    struct bh_create c = { .domid = BH_DOMID_CONTROL,
                           .role = BH_ROLE_CONTROL,
                           .nr_vcpus = 1,
                           .max_pages = cmdline.ctl_mem >> PAGE_SHIFT,
                           .name = "control" };
    uint64_t done = 0;
    int rc = domain_create(&c, d);
    if (rc) {
        log_err("control domain: cannot be created (error %d)", -rc);
        return rc;
    }
    do
        rc = domain_populate(*d, 0, c.max_pages, &done);
    while (rc == HC_AGAIN);
    if (rc)
        log_err("control domain: only %lu of %lu MiB (error %d); ctl_mem= sets its size", done >> 8,
                (unsigned long)c.max_pages >> 8, -rc);
    return rc;
}

/* Populated RAM is zero already, so what a segment has beyond its file bytes is too. */
static int load_image(struct domain *d, const struct elf_plan *plan, const uint8_t *image)
{
    for (unsigned i = 0; i < plan->nr; i++) {
        const struct elf_segment *s = &plan->seg[i];
        if (s->file_size && gphys_write(d, s->paddr, image + s->offset, s->file_size))
            return refuse("control domain", "its image cannot be written");
    }
    return 0;
}

static int map_bundle(struct domain *d, const struct boot_range *m)
{
    uint64_t first = m->start >> PAGE_SHIFT,
             nr = ROUND_UP(m->end - m->start, PAGE_SIZE) >> PAGE_SHIFT;
    if (frame_promise(d, 0, nr / 512 + 4))
        return refuse("control domain", "no memory to map the boot bundle");
    for (uint64_t i = 0; i < nr;) {
        uint64_t big = 1ull << ORDER_2M;
        unsigned order = nr - i >= big && !((first + i) & (big - 1)) && !(i & (big - 1)) ? ORDER_2M
                                                                                         : 0;
        int rc = p2m_set(d, GFN((BH_SVC_BUNDLE >> PAGE_SHIFT) + i), MFN(first + i), order,
                         P2M_RAM_RO);
        if (rc)
            return refuse("control domain", "no memory to map the boot bundle");
        i += 1ull << order;
    }
    return 0;
}

static int write_start_info(struct domain *d)
{
    static const uint32_t magic = XEN_HVM_START_MAGIC_VALUE;
    const struct boot_range *bundle = boot_info.nr_modules > 1 ? &boot_info.module[1] : NULL;
    char text[512];
    struct hvm_start_info si = { .magic = magic,
                                 .version = 1,
                                 .nr_modules = bundle ? 1 : 0,
                                 .modlist_paddr = MODLIST_GPA,
                                 .cmdline_paddr = BH_SVC_CMDLINE,
                                 .memmap_paddr = MEMMAP_GPA,
                                 .memmap_entries = 1 };
    struct hvm_memmap_table_entry map = { .size = cmdline.ctl_mem, .type = XEN_HVM_MEMMAP_TYPE_RAM };
    struct hvm_modlist_entry mod = { .paddr = BH_SVC_BUNDLE,
                                     .size = bundle ? bundle->end - bundle->start : 0 };
    snprintf(text, sizeof text, "domid=%u name=control ram=%lu boot=0 %s", BH_DOMID_CONTROL,
             cmdline.ctl_mem, boot_info.module_args[0]);
    if (gphys_write(d, BH_SVC_BOOT, &si, sizeof si) || gphys_write(d, MEMMAP_GPA, &map, sizeof map) ||
        gphys_write(d, MODLIST_GPA, &mod, sizeof mod) ||
        gphys_write(d, BH_SVC_CMDLINE, text, strlen(text) + 1))
        return refuse("control domain", "its start info cannot be written");
    return 0;
}

int control_domain_build(void)
{
    struct domain *d;
    static struct elf_plan plan;
    const struct boot_range *m = &boot_info.module[0];
    if (!boot_info.nr_modules || m->end == m->start)
        return refuse("no control domain", "the loader gave no module");
    const uint8_t *image = maddr_to_virt(MADDR(m->start));
    const char *why = elf_check(image, m->end - m->start, IMAGE_LOW, cmdline.ctl_mem, &plan);
    if (why)
        return refuse("no control domain: module 0", why);
    int rc = create(&d);
    if (!rc)
        rc = load_image(d, &plan, image);
    if (!rc && boot_info.nr_modules > 1)
        rc = map_bundle(d, &boot_info.module[1]);
    else if (!rc)
        log_warn("no boot bundle: the loader gave one module");
    if (!rc)
        rc = write_start_info(d);
    if (rc)
        return rc;
    virt->set_pvh_entry(d->vcpu[0], plan.entry, BH_SVC_BOOT);
    log_info("control domain: %lu MiB, entry %lx, bundle %lu KiB", cmdline.ctl_mem >> 20,
             plan.entry, (boot_info.module[1].end - boot_info.module[1].start) >> 10);
    return domain_start(d);
}
