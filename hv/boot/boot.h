/* SPDX-License-Identifier: MIT */
/* What the loader left: memory map, modules, command line, ACPI. */
#pragma once
#include "lib/types.h"

struct boot_range { uint64_t start, end; };   /* bytes */
#define BOOT_MAX_RANGES 128
#define CMDLINE_MAX 1023u                     /* characters that are read of the command line */
struct boot_info {
    struct boot_range ram[BOOT_MAX_RANGES];   /* usable, sorted, page-aligned inwards, core image and modules still inside */
    unsigned nr_ram;
    struct boot_range module[2];              /* control ELF, bundle (0,0 if absent); relocated above the image if needed */
    unsigned nr_modules;
    char module_args[2][256];                 /* the words after each module's name */
    uint64_t rsdp;                            /* 0: search 0xE0000..0xFFFFF */
    uint8_t rsdp_copy[36];                    /* what the loader handed over; rsdp_len 0: nothing */
    unsigned rsdp_len;
    char cmdline[CMDLINE_MAX + 2];            /* one more than is read: shows that it was longer */
    struct boot_range image;                  /* the core's own frames */
    struct boot_range reserved[BOOT_MAX_RANGES]; /* what the memory map names and is not usable, page-aligned outwards */
    unsigned nr_reserved;
};
extern struct boot_info boot_info;
/* Reads what the loader left (boot/multiboot.c). Panics if it is no Multiboot loader. */
void boot_info_init(uint32_t magic, uint32_t info);

/* ACPI facts (boot/acpi.c) */
struct acpi_info {
    struct { uint32_t apic_id; } cpu[MAX_CPUS];
    unsigned nr_cpus;
    uint64_t lapic_base;
    struct { uint64_t base; uint32_t gsi_base; uint8_t id; } ioapic[4];
    unsigned nr_ioapics;
    struct { uint32_t gsi; uint8_t flags; } isa_override[16]; /* gsi identity by default */
    uint64_t mcfg_base; uint16_t mcfg_seg; uint8_t mcfg_bus_first, mcfg_bus_last;
    uint64_t hpet_base;
    uint32_t pm_timer_port;
    uint32_t pm1a_cnt, pm1b_cnt; uint8_t slp_typ_s5; bool has_s5;
    uint32_t smi_cmd; uint8_t acpi_enable;    /* to leave the firmware's legacy mode before sleeping */
    uint8_t century;                          /* CMOS index of the century, 0 = none */
    struct { uint64_t addr; uint8_t space; uint8_t value; bool ok; } reset_reg;
    const void *ivrs; const void *dmar;       /* mapped tables, or NULL */
};
extern struct acpi_info acpi_info;
void acpi_init(void);

/* Command line (boot/cmdline.c): parsed once; malformed parts are reported and the rest applies. */
struct cmdline {
    uint16_t com1_port; uint32_t com1_baud;   /* com1=115200,8n1; 0: as firmware set it */
    bool noreboot, nosmap, nosmep;
    unsigned maxcpus;                         /* 0: all */
    int loglvl;                               /* enum loglevel */
    bool iommu_off, iommu_required;           /* iommu=off|no|0, iommu=required */
    bool iommu_trust;                         /* iommu=trust: units that nobody has tried are taken to hold */
    uint32_t hide[64]; unsigned nr_hide;      /* BH_SBDF */
    uint8_t hide_any[64];                     /* bits of its slot and function that match whatever they are */
    uint32_t wake_preempt_us;                 /* sched_ratelimit_us= */
    int32_t rtc_offset;                       /* rtc=: seconds that the CMOS clock is ahead of UTC */
    uint64_t ctl_mem;                         /* RAM of the control domain, bytes, multiple of 2 MiB */
};
extern struct cmdline cmdline;
/* Fills *c from text; calls report(bad-part, why) for each malformed piece. Pure. */
void cmdline_parse(struct cmdline *c, const char *text, void (*report)(const char *part, const char *why));

void cmdline_init(void);        /* parses boot_info.cmdline into `cmdline`; cmdline_report says what was wrong, later */

void machine_reboot(void) __noreturn;
void machine_poweroff(void) __noreturn;
void smp_boot(void);            /* starts the other CPUs, each ends in sched_loop */
int control_domain_build(void) __must_check; /* boot/control.c: loads module 0 as domid 0 with the bundle read-only */
