/* SPDX-License-Identifier: MIT */
/*
 * The log: every line goes to a ring of absolute byte positions and, unless a domain has claimed the console, to the serial
 * line. Lock: `lock` (innermost of all). While claimed, the holder is told of new lines from the next interrupt on
 * this CPU (print_deferred), because a printk may happen under any lock and the notification takes some.
 */
#include "lib/print.h"
#include "irq/irq.h"
#include "lib/cpu.h"
#include "lib/print_internal.h"
#include "lib/serial.h"
#include "lib/string.h"
#include "sched/domain.h"
#include "sched/time.h"

#define LOG_RING 65536u

static struct spinlock lock;
static char ring[LOG_RING];
static uint64_t ring_end;            /* lock: position of the next byte */
static bool claimed;                 /* lock */
static volatile uint32_t tell_holder;
static int level = LOG_INFO; /* -1: nothing */
static bool wire = true;

void print_set(int max, bool to_wire)
{
    level = max;
    wire = to_wire;
}

static void ring_add(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ring[(ring_end + i) % LOG_RING] = s[i];
    ring_end += n;
}

void vprintk(enum loglevel lvl, const char *fmt, __builtin_va_list ap)
{
    char line[320];
    if ((int)lvl > level)
        return;
    memcpy(line, "(BH) ", 5);
    int len = vsnprintf(line + 5, sizeof line - 6, fmt, ap) + 5;
    size_t n = MIN((size_t)len, sizeof line - 2);
    if (line[n - 1] == '\n')
        n--;
    line[n++] = '\n';

    spin_lock(&lock);
    ring_add(line, n);
    bool tell = claimed;
    if (!claimed && wire)
        serial_write(line, n);
    spin_unlock(&lock);

    if (tell && !__atomic_exchange_n(&tell_holder, 1, __ATOMIC_ACQ_REL))
        apic_send_ipi(this_cpu()->id, VEC_KICK);
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
    if (READ_ONCE(tell_holder) && __atomic_exchange_n(&tell_holder, 0, __ATOMIC_ACQ_REL))
        notify_control(VIRQ_CON_RING);
}

size_t console_read(char *buf, size_t n) { return serial_read(buf, n); }

void console_write(const char *buf, size_t n)
{
    spin_lock(&lock);
    if (wire)
        serial_write(buf, n);
    spin_unlock(&lock);
}

void console_claim(bool claim)
{
    spin_lock(&lock);
    claimed = claim;
    spin_unlock(&lock);
}

void print_take_back(void)
{
    /* The CPU that held the lock may be stopped: what it was printing does not matter any more. */
    lock.v = 0;
    claimed = false;
    serial_write("\n", 1);
}

size_t log_read(uint64_t *pos, char *buf, size_t n)
{
    spin_lock(&lock);
    uint64_t oldest = ring_end > LOG_RING ? ring_end - LOG_RING : 0;
    if (*pos < oldest || *pos > ring_end)
        *pos = *pos > ring_end ? ring_end : oldest;
    n = MIN(n, ring_end - *pos);
    for (size_t i = 0; i < n; i++)
        buf[i] = ring[(*pos + i) % LOG_RING];
    spin_unlock(&lock);
    return n;
}
