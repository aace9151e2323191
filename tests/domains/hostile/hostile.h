/* SPDX-License-Identifier: MIT */
/* A guest that tries what it must not be able to do. Each check prints `ok NAME` or `not ok NAME: ...`. */
#pragma once
#include <bh.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOLE          0xd0000000ul /* in our page tables, but no RAM, nor window, nor BAR is there */
#define NON_CANONICAL 0x8000000000000000ul

/* Page-aligned: where hostile arguments lie. The last page only takes what is written beyond them. */
#define SCRATCH_USED (4 * 4096)
extern uint8_t scratch[SCRATCH_USED + 4096];

void check(const char *name, bool good, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Many tries under one name: the first bad one is told. */
struct tally {
    const char *name;
    unsigned tried, bad;
    char first[96];
};
void tally(struct tally *t, bool good, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void tally_done(struct tally *t);
void say(const char *fmt, ...)
    __attribute__((format(printf, 1, 2))); /* waits for room on the console */

uint64_t rnd(void); /* xorshift64* */
extern uint64_t seed;

static inline long hc(unsigned nr, uint64_t a, const void *p, uint64_t c)
{
    return hypercall(nr, a, (uint64_t)p, c, 0);
}

/* Instructions that may fault: the exception's vector, or -1. */
void traps_init(void);
extern unsigned nmis;

#define NR_FOREIGN 18
domid_t foreign(unsigned i); /* others that exist, may exist, or cannot; never this domain */

void check_control(void);  /* refuse.c: privileged calls */
void check_grants(void);   /* refuse.c */
void check_events(void);   /* refuse.c */
void check_memory(void);   /* refuse2.c */
void check_pointers(void); /* refuse2.c */
void check_rest(void);     /* refuse2.c: parameters, vCPUs, physdev, unknown numbers */
void check_cpu(void);      /* cpu.c: CPUID, MSRs, instructions, ports */
void check_ipis(void);     /* cpu.c: x2APIC */
void fuzz(unsigned n);     /* fuzz.c */
