/* SPDX-License-Identifier: MIT */
/*
 * Where things lie in the guest-physical memory of a service domain, which is identity-mapped. Who builds one and who runs in one agree here:
 * the control domain (ctl-dom/domain), the core for the control domain itself (hv/boot/control.c) and for BARs (hv/pci/assign.c), and
 * libbh (domains/). For C and assembly. The linker script domains/domain.lds has BH_SVC_IMAGE as a number of its own.
 *
 *     BH_SVC_BOOT      hvm_start_info, module list, memory map
 *     BH_SVC_CMDLINE   its command line
 *     BH_SVC_IMAGE     the image, then the heap
 *     ...              from the top of RAM down: xenstore page, console page, keep pages, slot table
 *     BH_SVC_BUNDLE    the control domain's alone: the boot bundle, read-only
 *     BH_SVC_WINDOW    no RAM: shared_info, frames of the grant table, foreign grants
 *     BH_BARS          devices' memory
 */
#pragma once

#define BH_SVC_BOOT         0x1000
#define BH_SVC_CMDLINE      0x2000
#define BH_SVC_IMAGE        0x100000
#define BH_SVC_BUNDLE       0x40000000
#define BH_SVC_WINDOW       0xc0000000
#define BH_SVC_WINDOW_PAGES 8192
#define BH_BARS             0xe0000000
#define BH_BARS_END         0xfec00000 /* a PC's chipset begins */
/* For those that do not fit. A guest is told of both (ctl-dom/domain/acpi.c). */
#define BH_BARS_HIGH     0x4000000000
#define BH_BARS_HIGH_END 0x5000000000

/* Frame numbers of what is at the top of `pages` pages of RAM. */
#define BH_SVC_STORE_GFN(pages)              ((pages)-1)
#define BH_SVC_CONSOLE_GFN(pages)            ((pages)-2)
#define BH_SVC_KEEP_GFN(pages, keep)         ((pages)-2 - (keep))
#define BH_SVC_TABLE_GFN(pages, keep, table) ((pages)-2 - (keep) - (table))
