/* SPDX-License-Identifier: MIT */
/*
 * The log: every line goes to a ring of absolute byte positions and, unless a domain has claimed the console, to the serial
 * line. Lock: `holder` (innermost of all). While claimed, the holder is told of new lines from the next interrupt on
 * this CPU (print_deferred), because a printk may happen under any lock and the notification takes some.
 *
 * An NMI, or an exception of the core, may interrupt a printk of its own CPU. What it prints waits in `nested` for the printk
 * that was interrupted, which adds it before it unlocks; where it never goes on (panic), print_take_back adds it.
 */
#include "base/print.h"
#include "base/cpu.h"
#include "base/print_internal.h"
#include "base/serial.h"
#include "base/string.h"

#define LOG_RING 65536u

/* Id + 1 of the CPU that prints. Not a struct spinlock: that does not say whose it is, and a place in a queue of waiters that
 * an NMI came upon would have to be served before the NMI's own. */
static uint32_t holder;
static char ring[LOG_RING];
static uint64_t ring_end; /* holder: position of the next byte */
static bool claimed;      /* a */
static volatile uint32_t tell_holder;
static const struct print_listener *listener;
static char nested[4096];    /* the CPU that `holder` names: lines that came in between */
static uint32_t nested_len;  /* a: an NMI may come while an exception adds */
static int level = LOG_INFO; /* -1: nothing */

void print_set(int max) { level = max; }
void print_listen(const struct print_listener *l) { listener = l; }

/* False: this CPU has it already, the caller came in between. */
static bool lock(void)
{
    uint32_t me = this_cpu()->id + 1, none = 0;
    while (!__atomic_compare_exchange_n(&holder, &none, me, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
        if (none == me)
            return false;
        none = 0;
        cpu_relax();
    }
    return true;
}

/* holder */
static void add(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ring[(ring_end + i) % LOG_RING] = s[i];
    ring_end += n;
    if (!READ_ONCE(claimed))
        serial_write(s, n);
}

/* holder */
static void add_nested(void)
{
    uint32_t done = 0, seen = READ_ONCE(nested_len);
    while (seen) {
        add(nested + done, seen - done);
        done = seen;
        if (__atomic_compare_exchange_n(&nested_len, &seen, 0, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            return;
    }
}

static void unlock(void)
{
    add_nested();
    __atomic_store_n(&holder, 0, __ATOMIC_RELEASE);
}

/* Whole lines only. Who comes in between comes back before who was interrupted goes on: taken in one step, filled in after it. */
static void nest(const char *s, size_t n)
{
    uint32_t at = READ_ONCE(nested_len);
    do
        if (at + n > sizeof nested)
            return;
    while (!__atomic_compare_exchange_n(&nested_len, &at, at + (uint32_t)n, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE));
    memcpy(nested + at, s, n);
}

void vprintk(enum loglevel lvl, const char *fmt, __builtin_va_list ap)
{
    char line[320];
    if ((int)lvl > level)
        return;
    memcpy(line, "(BH) ", 5);
    int len = vsnprintf(line + 5, sizeof line - 6, fmt, ap) + 5;
    size_t n = MIN((size_t)len, sizeof line - 2);
    line[n++] = '\n';

    if (!lock()) {
        nest(line, n);
        return;
    }
    add(line, n);
    unlock();
    if (READ_ONCE(claimed) && !__atomic_exchange_n(&tell_holder, 1, __ATOMIC_ACQ_REL))
        listener->soon();
}

void printk(enum loglevel lvl, const char *fmt, ...)
{
    __builtin_va_list ap;
    __builtin_va_start(ap, fmt);
    vprintk(lvl, fmt, ap);
    __builtin_va_end(ap);
}

void print_deferred(void)
{
    uint32_t nmis = READ_ONCE(this_cpu()->nmis);
    if (nmis != this_cpu()->nmis_told) {
        this_cpu()->nmis_told = nmis;
        log_warn("NMI on CPU %u (%u so far)", this_cpu()->id, nmis);
    }
    if (READ_ONCE(tell_holder) && __atomic_exchange_n(&tell_holder, 0, __ATOMIC_ACQ_REL))
        listener->now();
    serial_write("", 0); /* goes on with what waits, should the line's own interrupt be lost */
}

size_t console_read(char *buf, size_t n) { return serial_read(buf, n); }

void console_write(const char *buf, size_t n)
{
    lock();
    serial_write(buf, n);
    unlock();
}

bool console_try_write(const char *buf, size_t n, bool force)
{
    uint32_t none = 0;
    bool free = __atomic_compare_exchange_n(&holder, &none, this_cpu()->id + 1, false,
                                            __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
    if (free || force)
        serial_write(buf, n);
    if (free)
        unlock();
    return free || force;
}

void console_claim(bool claim) { __atomic_store_n(&claimed, claim, __ATOMIC_RELEASE); }

void print_take_back(void)
{
    /* The CPU that held the lock may be stopped, or be this one: what it was printing does not matter any more. */
    claimed = false;
    holder = this_cpu()->id + 1;
    serial_write("\n", 1);
    unlock();
}

size_t log_read(uint64_t *pos, char *buf, size_t n)
{
    lock();
    uint64_t oldest = ring_end > LOG_RING ? ring_end - LOG_RING : 0;
    if (*pos < oldest || *pos > ring_end)
        *pos = *pos > ring_end ? ring_end : oldest;
    n = MIN(n, ring_end - *pos);
    for (size_t i = 0; i < n; i++)
        buf[i] = ring[(*pos + i) % LOG_RING];
    unlock();
    return n;
}
