/* SPDX-License-Identifier: MIT */
/* The steps of the core's start. What they find out is platform/'s, for everybody to read. */
#pragma once
#include "platform/acpi_info.h"
#include "platform/boot_info.h"
#include "platform/cmdline.h"

/* Reads what the loader left (boot/multiboot.c). Panics if it is no Multiboot loader. */
void boot_info_init(uint32_t magic, uint32_t info);
void acpi_init(void); /* fills acpi_info */

/* boot/cmdline.c: fills *c from text; calls report(bad-part, why) for each malformed piece, and the rest applies. Pure. */
void cmdline_parse(struct cmdline *c, const char *text,
                   void (*report)(const char *part, const char *why));
void cmdline_init(void); /* parses boot_info.cmdline into `cmdline`, sets the console up and says what was wrong */

void boot_memory_limits(void); /* boot/memory.c: mem= and badpage= */

int control_domain_build(void)
    __must_check; /* boot/control.c: loads module 0 as domid 0 with the bundle read-only */
