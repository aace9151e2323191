/* SPDX-License-Identifier: MIT */
/*
 * What tests of events, grants and restart stand on: the real frames, p2m, domains and vCPU life; pretended are CPUs, the
 * scheduler, devices and guest pointers (a pointer of the test's own). core_harness.c says what is linked with it.
 */
#pragma once
#include "unit.h"
#include "abi/hypercall.h"
#include "hypercalls.h"
#include "arch/machine.h"
#include "platform/boot_info.h"
#include "platform/cmdline.h"
#include "arch/irq.h"
#include "pci/pirq.h"
#include "mem/frame.h"
#include "mem/gcopy.h"
#include "pci/pci.h"
#include "domain/domain.h"
#include "sched/pending.h"
#include "sched/sched.h"
#include "shim.h"
#include "virt/virt.h"

#define RAM_FRAMES (SHIM_RAM_BYTES / PAGE_SIZE)
#define BAD_PTR    0xdead000ull

/* --- scheduler ------------------------------------------------------------------------------------------- */
extern unsigned kicks, yields_after, rechecks, waits;
extern void (*blocked_meanwhile)(struct vcpu *v); /* what another CPU does when one is just marked blocked */
extern const struct virt_ops fake_virt;

/* --- devices ------------------------------------------------------------------------------------------------- */
extern int pirq_rc;
extern unsigned pirq_binds, pirq_unbinds, pci_fences, pci_refills, pci_releases, pci_soft_resets,
    dma_lost;
extern void (*pirq_meanwhile)(struct domain *d,
                              uint32_t port); /* what another vCPU or the device does during a bind */

/* --- guest pointers: the test's own, BAD_PTR faults --------------------------------------------------------------- */
extern unsigned guest_reads;
void *gpa_ptr(struct domain *d, uint64_t gpa);
#define PTR(x) GADDR((uint64_t)(x))
int machine_setup(void **state);
int teardown(void **state);

/* The vCPU whose hypercalls follow. */
void as(struct domain *d);

struct domain *make(uint16_t id, uint8_t role, uint32_t flags, unsigned vcpus, uint64_t pages);

void start(struct domain *d);

bool pending(struct domain *d, uint32_t port);
