/* SPDX-License-Identifier: MIT */
/* A guest by its PVH entry that is nothing but a test: one vCPU, identity map, a console, event channels by an up-call. start.S calls guest_main. */
#pragma once
#include <stdint.h>
#include <xen/xen.h>

extern struct shared_info pvh_shared;
extern uint32_t pvh_port;         /* whose events count */
extern volatile uint32_t pvh_got; /* set by an event of it */
extern volatile uint32_t pvh_early; /* up-calls that came in right behind an STI: never on a processor */

void guest_main(const uint8_t *start_info); /* the test's */

/* The words of the command line; what follows `what` in them, NULL: it is not there; the number there, or 0. */
const char *pvh_words(const uint8_t *start_info);
const char *pvh_find(const char *words, const char *what);
uint32_t pvh_number(const char *words, const char *what);

/* Console and up-call, all ports masked, interrupts on. */
void pvh_setup(void);
uint64_t pvh_param(uint32_t index); /* HVM_PARAM_*, of its own */
void pvh_say(const char *what, uint64_t n);
void pvh_line(void);
char pvh_key(void); /* waits in HLT until something is typed; the console's port is masked otherwise */

static inline long hypercall(uint64_t nr, uint64_t a, const void *b, const void *c)
{
    long rc;
    __asm__ volatile("vmmcall"
                     : "=a"(rc), "+D"(a), "+S"(b), "+d"(c)
                     : "0"(nr)
                     : "memory", "r10", "r8", "rcx", "r11");
    return rc;
}
void pvh_yield(void);
void pvh_send(uint32_t port);
void pvh_unmask(uint32_t port);
uint32_t pvh_alloc(uint16_t remote);
/* Finds the port of peer's that is for us, waits until there is one. */
uint32_t pvh_bind(uint16_t peer);

/* One event of pvh_port taken. What a guest does that has nothing else to do: look with interrupts off, else STI and HLT; nop: STI and NOP. */
void pvh_wait(int nop);

static inline uint64_t ticks(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}
