/* SPDX-License-Identifier: MIT */
/*
 * The configuration space that the owner of devices sees: one bus, a host bridge in slot 0, its devices from slot 1 on. It stands on the core's
 * filter (hv/pci/config.c), which shows what may be seen of a device and lets nearly nothing through; what the owner may switch goes to
 * the core as a request that the core checks itself (struct vconfig_ops, set).
 *
 * Pure: no hypercalls, no store, no memory but what vconfig_init got. That outlives an instance. An instance may die at any store
 * to it or between two calls of the ops: whoever asked asks again, and every access may be done twice.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <xen/xen.h>
#include <bulkhead.h>

#define VCONFIG_OWNED 16u /* devices of one owner */

/* One device: each word is stored by one store, and beside its complement. */
enum vconfig_word {
    VW_COMMAND, /* memory, and INTx off, which mean nothing: the memory is always there, a level interrupt never; upper half: which time it was given */
    VW_SIZING,  /* a bit per BAR, and the ROM: all ones were written last */
    VW_MSI,     /* control: whether it is on */
    VW_MSI_LOW, /* the message */
    VW_MSI_HIGH,
    VW_MSI_DATA,
    VW_MSIX, /* control; bits 0 and 1: the power state that was asked for */
    VW_NR
};
struct vconfig_kept {
    uint64_t head; /* 0: empty; else owner, device, where the owner sees it, a check byte */
    uint64_t word[VW_NR];
};
_Static_assert(sizeof(struct vconfig_kept) == 64, "keep record layout");

enum vconfig_set { VC_MASTER, VC_MSI, VC_PIRQ, VC_RESET };

struct vconfig_ops {
    /* What the core knows of the device; false: it is not assigned to that domain. */
    bool (*owned)(domid_t dom, uint32_t sbdf, struct bh_pci_info *info);
    uint32_t (*read)(uint32_t sbdf, unsigned off); /* a word, through the filter */
    void (*write)(uint32_t sbdf, unsigned off, unsigned size, uint32_t value);
    /* 0 or -errno; -EAGAIN: not now, to be asked again. MASTER and MSI: *value 0 or 1; MSI: address of the message. PIRQ: *value is the
     * entry, then the pirq. */
    int (*set)(domid_t dom, uint32_t sbdf, enum vconfig_set what, uint64_t address, uint32_t *value);
};

/* Takes up what a former instance left. Returns how many records were damaged, and are empty now. */
unsigned vconfig_init(const struct vconfig_ops *ops, struct vconfig_kept *kept, unsigned nr);

/* Shows a device of dom, at `want` (slot and function) if that is free, else at the first free slot; below the function 0 of it that is shown
 * already if it is another function. Where it is, if it is shown. Returns slot and function, or -ENOSPC. */
int vconfig_add(domid_t dom, uint32_t sbdf, int want);
void vconfig_remove(domid_t dom, uint32_t sbdf);
/* The i-th device that dom is shown: its slot and function, or -ENOENT. */
int vconfig_nth(domid_t dom, unsigned i, uint32_t *sbdf);
/* Some domain that is shown a device, the next above `after` (-1: the first), or -ENOENT. */
int vconfig_owner(int after);
/* The device at a place; false: none, or it is not dom's any more, and then it is shown no more. */
bool vconfig_device(domid_t dom, unsigned devfn, uint32_t *sbdf);

/* Any values are taken. What is not aligned or not there reads as ones, and is not written. -EAGAIN: nothing was changed, to be asked again. */
uint32_t vconfig_read(domid_t dom, unsigned devfn, unsigned off, unsigned size);
int vconfig_write(domid_t dom, unsigned devfn, unsigned off, unsigned size, uint32_t value);
/* The number by which the owner binds an interrupt: entry of the MSI-X table, or of MSI. 0 or -errno. */
int vconfig_pirq(domid_t dom, unsigned devfn, bool msix, uint32_t entry, uint32_t *pirq);
