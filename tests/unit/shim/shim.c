/* SPDX-License-Identifier: MIT */
/* Weak versions of the core's base for native tests: a test that links the real source gets the real function. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <threads.h>
#include "base/cpu.h"
#include "base/print.h"
#include "mem/frame.h"
#include "time/time.h"
#include "shim.h"

#define WEAK __attribute__((weak))

uint64_t shim_core_pages, shim_now_ns = 1000000;
bool shim_verbose, shim_panic_armed;
char shim_log[65536];
jmp_buf shim_panic_jmp;
unsigned shim_cpu;

/* --- CPUs and instructions --------------------------------------------------------------------------- */
static struct cpu cpu_pool[MAX_CPUS];
WEAK struct cpu *cpus[MAX_CPUS];
WEAK uint32_t nr_cpus = 1;
WEAK uint32_t first_domain_cpu;

WEAK struct cpu *this_cpu(void)
{
    struct cpu *c = &cpu_pool[shim_cpu];
    if (!c->self) {
        c->self = c;
        c->id = shim_cpu;
        c->counts = &c->own_counts;
        list_init(&c->rq);
        list_init(&c->timers);
        cpus[shim_cpu] = c;
    }
    return c;
}
WEAK void cpu_relax(void) { thrd_yield(); }
WEAK void cpu_stop(void) { abort(); }
WEAK uint64_t rdmsr(uint32_t msr) { return 0; }
WEAK void wrmsr(uint32_t msr, uint64_t v) {}
WEAK int rdmsr_safe(uint32_t msr, uint64_t *v)
{
    *v = rdmsr(msr);
    return 0;
}
WEAK int wrmsr_safe(uint32_t msr, uint64_t v)
{
    wrmsr(msr, v);
    return 0;
}
WEAK uint64_t rdtsc(void) { return shim_now_ns; }
WEAK struct cpuid_regs cpuid(uint32_t leaf, uint32_t sub)
{
    return (struct cpuid_regs){ 0, 0, 0, 0 };
}
WEAK void outb(uint16_t p, uint8_t v) {}
WEAK uint8_t inb(uint16_t p) { return 0xff; }
WEAK void outw(uint16_t p, uint16_t v) {}
WEAK uint16_t inw(uint16_t p) { return 0xffff; }
WEAK void outl(uint16_t p, uint32_t v) {}
WEAK uint32_t inl(uint16_t p) { return 0xffffffff; }

/* --- printing ------------------------------------------------------------------------------------------ */
void shim_log_clear(void) { shim_log[0] = 0; }

static void log_add(const char *fmt, va_list ap)
{
    size_t at = strlen(shim_log);
    if (shim_verbose) {
        va_list copy;
        va_copy(copy, ap);
        vfprintf(stderr, fmt, copy);
        va_end(copy);
    }
    if (at + 512 > sizeof shim_log)
        at = 0;
    vsnprintf(shim_log + at, sizeof shim_log - at, fmt, ap);
}
WEAK void vprintk(enum loglevel lvl, const char *fmt, va_list ap) { log_add(fmt, ap); }
WEAK void printk(enum loglevel lvl, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_add(fmt, ap);
    va_end(ap);
}
WEAK void panic(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (!shim_panic_armed) {
        vfprintf(stderr, fmt, ap);
        fputc('\n', stderr);
        abort();
    }
    log_add(fmt, ap);
    va_end(ap);
    shim_panic_armed = false;
    longjmp(shim_panic_jmp, 1);
}

WEAK void machine_check(void) { panic("machine check"); }

/* --- memory --------------------------------------------------------------------------------------------- */
uint8_t *shim_ram(void)
{
    static uint8_t *ram;
    if (!ram) {
        /* 4 MiB aligned, so that alignment of machine addresses and of pointers agree. */
        uint8_t *p = mmap(NULL, SHIM_RAM_BYTES + (4u << 20), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            abort();
        ram = (uint8_t *)(((uintptr_t)p + (4u << 20) - 1) & ~(uintptr_t)((4u << 20) - 1));
    }
    return ram;
}
WEAK void *maddr_to_virt(maddr_t m)
{
    if (m.v >= SHIM_RAM_BYTES)
        abort();
    return shim_ram() + m.v;
}
WEAK maddr_t virt_to_maddr(const void *p)
{
    size_t off = (size_t)((const uint8_t *)p - shim_ram());
    if (off >= SHIM_RAM_BYTES)
        abort();
    return MADDR(off);
}
/* Pages from the upper half of machine memory by a use map; the lower half is the test's own. */
#define POOL_PAGES (SHIM_RAM_BYTES / 2 / 4096)
static uint8_t pool_used[POOL_PAGES];

WEAK void *core_alloc(unsigned order)
{
    unsigned n = 1u << order;
    for (unsigned i = 0; i + n <= POOL_PAGES; i += n) {
        unsigned j = 0;
        while (j < n && !pool_used[i + j])
            j++;
        if (j < n)
            continue;
        memset(pool_used + i, 1, n);
        shim_core_pages += n;
        return memset(shim_ram() + SHIM_RAM_BYTES / 2 + (size_t)i * 4096, 0, (size_t)n * 4096);
    }
    return NULL;
}
WEAK void core_free(void *p, unsigned order)
{
    size_t i = ((size_t)((uint8_t *)p - shim_ram()) - SHIM_RAM_BYTES / 2) / 4096;
    unsigned n = 1u << order;
    if (i + n > POOL_PAGES || !pool_used[i])
        abort(); /* not ours, or freed twice */
    memset(pool_used + i, 0, n);
    shim_core_pages -= n;
}
WEAK void *core_alloc_for(struct domain *d) { return core_alloc(0); }
WEAK mfn_t frame_to_mfn(const struct frame *f) { abort(); }
WEAK void *core_alloc_table(struct domain *d) { return core_alloc(0); }
WEAK void core_free_for(struct domain *d, void *p)
{
    if (p)
        core_free(p, 0);
}
WEAK volatile uint64_t p2m_quiet;
WEAK void frame_promise_end(struct domain *d) {}
WEAK void frame_forget(struct domain *d) {}
WEAK int frame_promise(struct domain *d, uint64_t ram, uint64_t allowance) { return 0; }
WEAK void *kmalloc(size_t n) { return calloc(1, n ? n : 1); }
WEAK void kfree(void *p, size_t n) { free(p); }

/* --- who names a domid: nobody, where neither ports nor grants are linked ---------------------------------- */
struct domain;
WEAK int evtchn_names(struct domain *d, uint16_t id, uint64_t *port, unsigned *budget) { return 0; }
WEAK int grant_names(struct domain *d, uint16_t id, uint64_t *at, unsigned *budget) { return 0; }

/* --- time ------------------------------------------------------------------------------------------------ */
WEAK uint64_t now_ns(void) { return shim_now_ns; }
WEAK uint32_t tsc_khz = 1000000;
WEAK uint64_t tsc_to_ns(uint64_t tsc) { return tsc; }
WEAK void udelay(uint32_t us) { shim_now_ns += us * 1000ull; }
WEAK uint64_t random_u64(void)
{
    static uint64_t x = 88172645463325252ull;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}
WEAK void timer_setup(struct timer *t, void (*fn)(struct timer *))
{
    list_init(&t->node);
    t->fn = fn;
    t->cpu = NULL;
    t->expires = 0;
}
WEAK void timer_set(struct timer *t, uint64_t expires_ns)
{
    t->expires = expires_ns;
    t->cpu = this_cpu();
}
WEAK void timer_cancel(struct timer *t) { t->cpu = NULL; }
WEAK void timer_program(void) {}
WEAK void timer_run(void) {}
