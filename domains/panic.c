/* SPDX-License-Identifier: MIT */
/* The end of a domain that found itself broken: a report on the console, the core's too, then SHUTDOWN_crash. Takes no memory. */
#include "internal.h"
#include <stdio.h>
#include <xen/sched.h>

extern const char _text_start[], _text_end[], stack_guard[], stack_top[];

void panic_print(const char *fmt, ...)
{
    char line[160];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    console_emergency(line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static uint64_t fiber_low, fiber_top; /* of the one that was made last */

void panic_fiber(const void *stack, size_t size)
{
    fiber_low = (uint64_t)stack;
    fiber_top = fiber_low + size;
}

/* Words on the stack that point into the program's text: mostly return addresses. */
void panic_backtrace(uint64_t rsp)
{
    bool fiber = rsp >= fiber_low && rsp < fiber_top;
    uint64_t low = fiber ? fiber_low : (uint64_t)stack_guard + PAGE_SIZE;
    uint64_t top = fiber ? fiber_top : (uint64_t)stack_top;
    unsigned shown = 0;

    if (rsp < low || rsp >= top || rsp % 8)
        return;
    for (uint64_t at = rsp; at < top && shown < 16; at += 8) {
        uint64_t v = *(const uint64_t *)at;

        if (v > (uint64_t)_text_start && v < (uint64_t)_text_end) {
            panic_print(shown % 8 ? " %lx" : "  stack: %lx", v);
            if (++shown % 8 == 0)
                panic_print("\n");
        }
    }
    if (shown % 8)
        panic_print("\n");
}

void bh_panic(const char *fmt, ...)
{
    char line[200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    panic_print("%s: panic: %s\n", self.name[0] ? self.name : "domain", line);
    uint64_t rsp;
    __asm__ volatile("mov %%rsp, %0" : "=r"(rsp));
    panic_backtrace(rsp);
    domain_exit(SHUTDOWN_crash);
}
