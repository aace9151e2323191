/* SPDX-License-Identifier: MIT */
/* What the command line asks for. Written while the core starts (boot/console.c), then only read. */
#pragma once
#include "base/types.h"
#include "platform/boot_info.h"

struct cmdline {
    uint16_t com1_port;
    uint32_t com1_baud; /* com1=115200,8n1; 0: as firmware set it */
    bool sync_console;  /* each line is out before the core goes on */
    uint64_t mem;       /* RAM from there on is not used; 0: all is */
    struct boot_range badpage[16];
    unsigned nr_badpage;
    bool noreboot, nosmap, nosmep;
    unsigned maxcpus;               /* 0: all */
    char conswitch;                 /* the character that leads to the debug keys; 0: none does */
    int loglvl;                     /* enum loglevel */
    bool iommu_off, iommu_required; /* iommu=off|no|0, iommu=required */
    bool iommu_trust;               /* iommu=trust: units that nobody has tried are taken to hold */
    uint32_t hide[64];
    unsigned nr_hide;         /* BH_SBDF */
    uint8_t hide_any[64];     /* bits of its slot and function that match whatever they are */
    uint32_t wake_preempt_us; /* sched_ratelimit_us= */
    int32_t rtc_offset;       /* rtc=: seconds that the CMOS clock is ahead of UTC */
    uint64_t ctl_mem;         /* RAM of the control domain, bytes, multiple of 2 MiB */
};
extern struct cmdline cmdline;
