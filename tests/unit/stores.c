/* SPDX-License-Identifier: MIT */
/* stores.h. */
#define _GNU_SOURCE
#include "stores.h"
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define TRAP_FLAG 0x100

static char *base;
static size_t size;
static void (*told)(void);

static void protect(bool on)
{
    if (mprotect(base, size, on ? PROT_READ : PROT_READ | PROT_WRITE))
        abort();
}

/* REP MOVS and REP STOS, with the direction flag clear: how many bytes an iteration is, 0: it is another instruction. */
static unsigned repeats(const uint8_t *ip, unsigned *len, bool *fills)
{
    unsigned wide = 4;

    *len = 2;
    if (*ip++ != 0xf3)
        return 0;
    if (*ip == 0x48) {
        wide = 8;
        ip++;
        ++*len;
    }
    *fills = *ip == 0xaa || *ip == 0xab;
    return *ip == 0xa4 || *ip == 0xaa ? 1 : *ip == 0xa5 || *ip == 0xab ? wide : 0;
}

__attribute__((no_sanitize_address)) static void run(greg_t *r, size_t n, unsigned bytes, bool fills)
{
    volatile char *to = (char *)r[REG_RDI];
    const char *from = (const char *)r[REG_RSI];

    for (size_t i = 0; i < n * bytes; i++)
        to[i] = fills ? (char)((uint64_t)r[REG_RAX] >> i % bytes * 8) : from[i];
    r[REG_RDI] += (greg_t)(n * bytes);
    r[REG_RSI] += fills ? 0 : (greg_t)(n * bytes);
    r[REG_RCX] -= (greg_t)n;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    const char *at = info->si_addr;
    unsigned len, bytes;
    bool fills;

    if (!told || at < base || at >= base + size) {
        signal(SIGSEGV, SIG_DFL);
        return;
    }
    bool second = r[REG_EFL] & TRAP_FLAG; /* of the same store, across two pages */
    if (!second)
        told();
    protect(false);
    bytes = repeats((const uint8_t *)r[REG_RIP], &len, &fills);
    if (!bytes) {
        r[REG_EFL] |= TRAP_FLAG;
        return;
    }
    size_t n = (size_t)r[REG_RCX];
    run(r, n / 2, bytes, fills);
    told();
    run(r, n - n / 2, bytes, fills);
    r[REG_RIP] += len;
    protect(true);
}

static void on_step(int sig, siginfo_t *info, void *context)
{
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
    if (told)
        protect(true);
}

void stores_watch(void *from, size_t len, void (*before)(void))
{
    struct sigaction fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER },
                     step = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };

    base = from;
    size = len;
    told = before;
    protect(before != NULL);
    sigaction(SIGSEGV, &fault, NULL);
    sigaction(SIGTRAP, &step, NULL);
}
