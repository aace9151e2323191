/* SPDX-License-Identifier: MIT */
/*
 * printf. A domain with a console ring (<xen/io/console.h>) writes there and never blocks: what finds the ring full is
 * dropped and counted. The control domain has no ring and owns the physical console: CONSOLEIO_write.
 */
#include "internal.h"
#include <stdio.h>
#include <string.h>
#include <xen/hvm/params.h>
#include <xen/io/console.h>

static uint64_t dropped; /* bytes that found the ring full */
static struct xencons_interface *ring;
static uint32_t console_port;
static uint64_t reported; /* of dropped */

void console_init(void)
{
    uint64_t pfn, port;

    if (get_param(HVM_PARAM_CONSOLE_PFN, &pfn) || !pfn ||
        get_param(HVM_PARAM_CONSOLE_EVTCHN, &port) || !port)
        return;
    ring = (struct xencons_interface *)(pfn << PAGE_SHIFT);
    console_port = (uint32_t)port;
}

/* Waits for the wire, as nobody else is left to. What a domain without the physical console writes is taken at once. */
static void physical_write(const char *s, size_t n)
{
    for (long left = 0; n; s += n - (size_t)left, n = (size_t)left) {
        left = hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, n, (uint64_t)s, 0);
        if (left < 0 || (size_t)left > n)
            return;
    }
}

/* The reader's index is the other domain's: clamped before use. */
size_t console_room(void)
{
    if (!ring)
        return SIZE_MAX;
    uint32_t used = ring->out_prod - READ_ONCE(ring->out_cons);
    return used > sizeof(ring->out) ? 0 : sizeof(ring->out) - used;
}

/* Returns how many bytes went in. */
static size_t ring_put(const char *s, size_t n)
{
    uint32_t prod = ring->out_prod;
    size_t room = console_room();

    if (n > room)
        n = room;
    mb(); /* the reader's last loads from these bytes come before our stores */
    for (size_t i = 0; i < n; i++)
        ring->out[MASK_XENCONS_IDX(prod + i, ring->out)] = s[i];
    wmb();
    WRITE_ONCE(ring->out_prod, prod + (uint32_t)n);
    return n;
}

void console_write(const char *s, size_t n)
{
    if (!ring) {
        physical_write(s, n);
        return;
    }
    if (reported != dropped) {
        char note[48];
        size_t len = (size_t)snprintf(note, sizeof(note), "\n[%lu bytes dropped]\n",
                                      dropped - reported);

        if (console_room() >= len + n) {
            ring_put(note, len);
            reported = dropped;
        }
    }
    dropped += n - ring_put(s, n);
    event_send(console_port);
}

void console_emergency(const char *s, size_t n)
{
    if (ring)
        console_write(s, n);
    physical_write(s, n); /* refused to all but a few; a report that comes twice is better than none */
}

size_t console_read(char *buf, size_t n)
{
    if (!ring)
        return 0;
    uint32_t cons = ring->in_cons, avail = READ_ONCE(ring->in_prod) - cons;
    if (avail > sizeof(ring->in))
        avail = 0;
    if (n > avail)
        n = avail;
    rmb();
    for (size_t i = 0; i < n; i++)
        buf[i] = ring->in[MASK_XENCONS_IDX(cons + i, ring->in)];
    mb();
    WRITE_ONCE(ring->in_cons, cons + (uint32_t)n);
    if (n)
        event_send(console_port);
    return n;
}

int vprintf(const char *fmt, va_list ap)
{
    static char line[1024];
    int n = vsnprintf(line, sizeof(line), fmt, ap);

    console_write(line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
    return n;
}

int printf(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vprintf(fmt, ap);
    va_end(ap);
    return n;
}
