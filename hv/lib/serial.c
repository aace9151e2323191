/* SPDX-License-Identifier: MIT */
/*
 * The 16550 UART. Received bytes go to a ring of their own under rx_lock, from the interrupt and from serial_read alike (so
 * that input works, if slower, where the interrupt is lost). What a full ring cannot take stays in the UART, whose sender may
 * wait; serial_read makes room and takes it, so that the line falls and the next byte makes an edge again.
 */
#include "lib/serial.h"
#include "irq/irq.h"
#include "lib/cpu.h"
#include "lib/lock.h"
#include "lib/print.h"
#include "sched/domain.h"

enum { REG_DATA, REG_IER, REG_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };
#define REG_IIR    REG_FCR
#define IER_RX     0x01
#define FCR_ON     0xc7  /* FIFO on, both cleared, trigger at 14 bytes (time-out for fewer) */
#define LCR_8N1    0x03
#define LCR_DLAB   0x80
#define MCR_LINES  0x0b  /* DTR, RTS, OUT2 (which gates the interrupt) */
#define LSR_RX     0x01
#define LSR_THRE   0x20
#define FIFO_LEN   16
#define RX_RING    1024u

static uint16_t port;
static bool present;
static unsigned fifo_room;
static struct spinlock rx_lock;
static char rx_ring[RX_RING];
static uint32_t rx_in, rx_out; /* rx_lock */

static uint8_t reg_in(unsigned r) { return inb((uint16_t)(port + r)); }
static void reg_out(unsigned r, uint8_t v) { outb((uint16_t)(port + r), v); }

void serial_init(uint16_t base, uint32_t baud)
{
    uint32_t divisor = baud ? 115200 / baud : 1;
    if (!divisor)
        divisor = 1;
    port = base;
    reg_out(REG_SCRATCH, 0x5a);
    present = reg_in(REG_SCRATCH) == 0x5a;
    if (!present)
        return;
    reg_out(REG_IER, 0);
    reg_out(REG_LCR, LCR_DLAB);
    reg_out(REG_DATA, (uint8_t)divisor);
    reg_out(REG_IER, (uint8_t)(divisor >> 8));
    reg_out(REG_LCR, LCR_8N1);
    reg_out(REG_FCR, FCR_ON);
    reg_out(REG_MCR, MCR_LINES);
}

static void put_byte(char c)
{
    if (!fifo_room) {
        /* Bounded: a line that is stuck must not stop the core. */
        for (unsigned i = 0; i < 200000 && !(reg_in(REG_LSR) & LSR_THRE); i++)
            cpu_relax();
        fifo_room = FIFO_LEN;
    }
    fifo_room--;
    reg_out(REG_DATA, (uint8_t)c);
}

void serial_write(const char *s, size_t n)
{
    if (!present)
        return;
    while (n--) {
        if (*s == '\n')
            put_byte('\r');
        put_byte(*s++);
    }
    fifo_room = 0;
}

/* True if a byte arrived. */
static bool receive(void)
{
    bool got = false;
    spin_lock(&rx_lock);
    for (unsigned i = 0; i < 256 && rx_in - rx_out < RX_RING && (reg_in(REG_LSR) & LSR_RX); i++) {
        rx_ring[rx_in++ % RX_RING] = (char)reg_in(REG_DATA);
        got = true;
    }
    spin_unlock(&rx_lock);
    return got;
}

static void serial_irq(void *arg)
{
    (void)arg;
    (void)reg_in(REG_IIR);
    if (receive())
        notify_control(VIRQ_CONSOLE);
}

void serial_irq_init(void)
{
    if (!present)
        return;
    int vector = irq_vector_alloc(serial_irq, NULL);
    if (vector < 0 || ioapic_route_isa(port == 0x2f8 || port == 0x2e8 ? 3 : 4, (uint8_t)vector) < 0) {
        log_warn("serial: no interrupt for input");
        if (vector >= 0)
            irq_vector_free((uint8_t)vector);
        return;
    }
    /* The rising edge comes with the first byte after this; what is waiting already is taken now. */
    reg_out(REG_IER, IER_RX);
    receive();
}

size_t serial_read(char *buf, size_t n)
{
    size_t i = 0;
    if (!present)
        return 0;
    receive();
    spin_lock(&rx_lock);
    while (i < n && rx_out != rx_in)
        buf[i++] = rx_ring[rx_out++ % RX_RING];
    spin_unlock(&rx_lock);
    return i;
}
