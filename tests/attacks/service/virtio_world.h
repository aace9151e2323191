/* SPDX-License-Identifier: MIT */
/* A virtio device of memory, and keep pages, for the start of a driver in these demonstrations. The program has hypercall. */
#pragma once
#include <bh.h>
#include <errno.h>
#include "demo.h"
#include "virtio.h"

#define BAR_GPA 0xe0000000ull
extern uint8_t bar[0x4000],
    keep[16 * 4096]; /* as QEMU's: common at 0, configuration at 0x2000, notify at 0x3000 */

/* What the core tells of it. */
struct bh_pci_info virtio_device(uint32_t sbdf, uint16_t device);
/* Every word of what is kept. */
void keep_full_of(uint64_t word);
