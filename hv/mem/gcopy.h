/* SPDX-License-Identifier: MIT */
/*
 * The only way to guest memory by pointer: copies through a bounded software walk of the vCPU's own page tables
 * (linear pointers: R/W, U/S is supervisor, CR0.WP, CR0.PG = 0, PAE off/on, 4/5 levels, big pages; each entry read once),
 * or guest-physical when the domain asked for it (BH_SVC_PTR_MODE).
 * Returns 0 or -EFAULT; a partial copy may have happened. Current vCPU only, no locks held but a pin per page.
 */
#pragma once
#include "base/types.h"

/* As above: a pointer as the hypercall gave it. */
int copy_from_guest(void *dst, gaddr_t src, size_t n) __must_check;
int copy_to_guest(gaddr_t dst, const void *src, size_t n) __must_check;
/* Reads the byte of code at a linear address and writes it over itself in one locked step: its value stays, and an emulator drops
 * what it translated from there. Only in the domain's own ordinary RAM, else -EFAULT. Holds nothing afterwards. */
int guest_rewrite_code(uint64_t lin, uint8_t *byte) __must_check;

/* Where a translation was read: the entries of the guest's tables, the top one first, and the byte that the address is. */
#define GTRACE_LEVELS 4u
#define GTRACE_MARKS  0x60ull /* accessed, dirty: the hardware's */
struct gtrace {
    const volatile uint64_t *pte[GTRACE_LEVELS];
    uint64_t val[GTRACE_LEVELS];
    uint8_t *byte;
    unsigned nr;
}; /* val: with all marks */
/* Translates an address of the current vCPU in long mode with four levels, for reading. -EFAULT: otherwise, or where nothing readable
 * is. Holds nothing: until the generation of the p2m that was read before is over (p2m.gen) the pages stay, and who does not know
 * whether it is must not follow a pointer (svm_insn.c and gcopy.c do while the vCPU counts as in the guest, which npt_flush waits for:
 * no lock is taken then, nothing flushed, and interrupts are off). The address is linear whatever form the domain's pointers have. */
int guest_trace(uint64_t lin, struct gtrace *t) __must_check;
static inline bool gtrace_holds(const struct gtrace *t)
{
    for (unsigned i = 0; i < t->nr; i++)
        if ((*t->pte[i] | GTRACE_MARKS) != t->val[i])
            return false;
    return true;
}
static inline gaddr_t gaddr_add(gaddr_t g, uint64_t off) { return GADDR(g.v + off); }

/* Guest-physical access to any domain's RAM (console report, build writes). Returns 0 or -EFAULT. */
struct domain;
int gphys_read(struct domain *d, void *dst, uint64_t gpa, size_t n) __must_check;
int gphys_write(struct domain *d, uint64_t gpa, const void *src, size_t n) __must_check;
/* Copies n bytes from the current vCPU's pointer into d's RAM at gpa, page by page. */
int gphys_write_from_guest(struct domain *d, uint64_t gpa, gaddr_t src, size_t n) __must_check;
/* One remembered translation of a vCPU (gcopy.c); at.byte is the page's first, NULL: none. */
#define NR_GMEMOS 8u
struct gmemo {
    uint64_t page, gen, cr3, mode;
    struct gtrace at;
    bool writable;
};
