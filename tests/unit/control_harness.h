/* SPDX-License-Identifier: MIT */
/*
 * core_harness.h with the control domain's calls, and calls as domains make them. What is no verdict of a test is asserted here: a map, an
 * unmap, a bind succeed. A test that wants to see the console claimed or the log read has functions of its own for that.
 */
#pragma once
#include "core_harness.h"
#include <xen/grant_table.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include "pci/iommu/iommu.h"

#define WIN 0x100000ull /* gfn of a mapper's window */

extern struct domain *ctl, *store, *svc, *guest;

/* A new machine of a control domain that runs, and a store. */
void machine_of_two(uint32_t store_flags, uint64_t store_pages);
/* The control domain's operation; over and over while it says HC_AGAIN. */
long ctl_op(unsigned op, void *arg);
long ctl_whole(unsigned op, void *arg);
long ctl_protect(struct domain *d, uint64_t gfn, uint64_t nr);
long ctl_restart(struct domain *d, uint32_t flags);
/* Rings at these pages, unless it has rings; an entry; and it runs. */
void build(struct domain *d, uint64_t console_gfn, uint64_t store_gfn);
long grant_op(struct domain *by, unsigned cmd, void *arg);
/* The handle. */
uint32_t map(struct domain *by, domid_t dom, uint32_t ref, uint64_t gfn, uint32_t flags);
void unmap(struct domain *by, uint32_t handle, uint64_t gfn);
/* The local port. */
uint32_t bind(struct domain *d, domid_t remote, uint32_t rport);
mfn_t frame_of(struct domain *d, uint64_t gfn);
enum p2m_type type_of(struct domain *d, uint64_t gfn);
