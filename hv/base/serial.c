/* SPDX-License-Identifier: MIT */
/*
 * The 16550 UART. Bytes to send go to a ring. Each serial_write, each "transmitter empty" interrupt and, should those be lost,
 * each other interrupt and a timer (abi/console_io.c) move a piece of it into the UART: nobody waits for the line. `sending` is
 * only tried, so it is in no lock order; who finds it taken leaves word in `again`. Where nobody comes back to go on (boot,
 * panic, the machine's end), serial_polled makes each serial_write wait instead. The interrupt is routed, and watched, by arch/serial_irq.c.
 *
 * Received bytes go to a ring of their own under rx_lock, from the interrupt and from serial_read alike (so
 * that input works, if slower, where the interrupt is lost). What a full ring cannot take stays in the UART, whose sender may
 * wait; serial_read makes room and takes it, so that the line falls and the next byte makes an edge again.
 */
#include "base/serial.h"
#include "base/cpu.h"
#include "base/lock.h"

enum { REG_DATA, REG_IER, REG_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };
#define REG_IIR   REG_FCR
#define IER_RX    0x01
#define IER_TX    0x02
#define IIR_NONE  0x01
#define FCR_ON    0xc7 /* FIFO on, both cleared, trigger at 14 bytes (time-out for fewer) */
#define LCR_8N1   0x03
#define LCR_DLAB  0x80
#define MCR_LINES 0x0b /* DTR, RTS, OUT2 (which gates the interrupt) */
#define LSR_RX    0x01
#define LSR_THRE  0x20
#define LSR_TEMT  0x40 /* and the shift register is empty */
#define FIFO_LEN  16
#define RX_RING   1024u
#define TX_RING   16384u
#define TX_HOLDER \
    1024u /* what the console's holder may have in there: a moment's worth; the rest is for the core's own lines */
#define TX_PIECE \
    64u /* bytes that a piece moves at most, where the UART takes them at once (it is emulated) */

static uint16_t port;
static bool present;
static struct spinlock rx_lock;
static char rx_ring[RX_RING];
static uint32_t rx_in, rx_out; /* rx_lock */
static bool irqs, rx_stopped;  /* rx_lock: the interrupt is routed; not for input just now */
static char tx_ring[TX_RING];
static uint32_t tx_in;  /* callers of serial_write, one at a time */
static uint32_t tx_out; /* sending */
static struct spinlock sending;
static uint32_t again, wanted; /* a: a piece is to be moved; the holder found no room */
static bool polled;
static unsigned (*filter)(char c, char out[4]); /* serial_filter */

static uint8_t reg_in(unsigned r) { return inb((uint16_t)(port + r)); }
static void reg_out(unsigned r, uint8_t v) { outb((uint16_t)(port + r), v); }

void serial_init(uint16_t base, uint32_t baud)
{
    uint32_t divisor = baud ? 115200 / baud : 0;
    port = base;
    reg_out(REG_SCRATCH, 0x5a);
    present = reg_in(REG_SCRATCH) == 0x5a;
    if (!present)
        return;
    reg_out(REG_IER, 0);
    reg_out(REG_LCR, LCR_DLAB);
    if (!baud) /* as firmware set it */
        divisor = reg_in(REG_DATA) | (uint32_t)reg_in(REG_IER) << 8;
    divisor = MAX(divisor, 1u);
    reg_out(REG_DATA, (uint8_t)divisor);
    reg_out(REG_IER, (uint8_t)(divisor >> 8));
    reg_out(REG_LCR, LCR_8N1);
    reg_out(REG_FCR, FCR_ON);
    reg_out(REG_MCR, MCR_LINES);
}

static uint32_t waiting(void)
{
    return READ_ONCE(tx_in) - __atomic_load_n(&tx_out, __ATOMIC_ACQUIRE);
}

/* sending. As much as the UART takes now, TX_PIECE at most: never waits. */
static void move_piece(void)
{
    uint32_t end = __atomic_load_n(&tx_in, __ATOMIC_ACQUIRE), out = tx_out;
    for (unsigned n = 0; n < TX_PIECE && out != end && (reg_in(REG_LSR) & LSR_THRE);)
        for (unsigned i = 0; i < FIFO_LEN && out != end; i++, n++)
            reg_out(REG_DATA, (uint8_t)tx_ring[out++ % TX_RING]);
    __atomic_store_n(&tx_out, out, __ATOMIC_RELEASE);
}

static void feed(void)
{
    __atomic_store_n(&again, 1, __ATOMIC_SEQ_CST);
    while (spin_trylock(&sending)) {
        __atomic_store_n(&again, 0, __ATOMIC_RELAXED);
        move_piece();
        spin_unlock(&sending);
        /* The interrupt that says "empty" may have found us there, and does not come twice. */
        if (!__atomic_exchange_n(&again, 0, __ATOMIC_SEQ_CST))
            break;
    }
}

/* Until the last byte is on the wire: what comes next may be the end of the machine. Bounded: a line that is stuck must not stop the core. */
static void drain(void)
{
    for (unsigned i = 0; i < 200000 && (waiting() || !(reg_in(REG_LSR) & LSR_TEMT)); i++) {
        uint32_t before = tx_out;
        move_piece();
        if (tx_out != before)
            i = 0;
        else
            cpu_relax();
    }
    __atomic_store_n(&tx_out, tx_in, __ATOMIC_RELEASE);
}

void serial_polled(bool on)
{
    if (!present)
        return;
    polled = on;
    /* Another CPU may be moving a piece, or have been stopped while it did. */
    for (unsigned i = 0; on && i < 100000 && spin_is_locked(&sending); i++)
        cpu_relax();
    if (on)
        drain();
}

/* Whole, or not at all: half a line would be taken for another. */
static void queue(const char *s, size_t n)
{
    size_t len = n;
    for (size_t i = 0; i < n; i++)
        len += s[i] == '\n';
    if (len > TX_RING - waiting())
        return;
    uint32_t at = tx_in;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\n')
            tx_ring[at++ % TX_RING] = '\r';
        tx_ring[at++ % TX_RING] = s[i];
    }
    __atomic_store_n(&tx_in, at, __ATOMIC_RELEASE);
}

void serial_write(const char *s, size_t n)
{
    if (!present)
        return;
    if (n)
        queue(s, n);
    if (!READ_ONCE(polled) && waiting())
        feed();
    else if (n && polled)
        drain();
}

void serial_filter(unsigned (*fn)(char c, char out[4])) { filter = fn; }
size_t serial_space(void) { return present ? TX_RING - waiting() : SIZE_MAX; }

size_t serial_room(void)
{
    uint32_t used = waiting();
    if (!present)
        return SIZE_MAX;
    if (used < TX_HOLDER / 2)
        return (TX_HOLDER - used) / 2; /* each byte may be a newline */
    __atomic_store_n(&wanted, 1, __ATOMIC_SEQ_CST);
    return 0;
}

bool serial_waiting(void) { return present && (waiting() || READ_ONCE(wanted)); }

bool serial_room_made(void)
{
    return READ_ONCE(wanted) && waiting() < TX_HOLDER / 4 &&
           __atomic_exchange_n(&wanted, 0, __ATOMIC_ACQ_REL);
}

/* True if a byte arrived. A full ring takes no more interrupts for input, which would keep the line high and so the transmitter's
 * from making an edge. */
static bool receive(void)
{
    bool got = false;
    spin_lock(&rx_lock);
    for (unsigned i = 0; i < 256 && rx_in - rx_out < RX_RING && (reg_in(REG_LSR) & LSR_RX); i++) {
        char c = (char)reg_in(REG_DATA), in[4] = { c };
        for (unsigned k = 0, n = filter ? filter(c, in) : 1; k < n && rx_in - rx_out < RX_RING; k++)
            rx_ring[rx_in++ % RX_RING] = in[k];
        got = true;
    }
    if (irqs && rx_stopped != (rx_in - rx_out == RX_RING)) {
        rx_stopped = !rx_stopped;
        reg_out(REG_IER, rx_stopped ? IER_TX : IER_RX | IER_TX);
    }
    spin_unlock(&rx_lock);
    return got;
}

bool serial_look(void)
{
    bool got = receive();
    if (waiting() && !READ_ONCE(polled))
        feed();
    return got || serial_room_made();
}

/* rx_lock. The line falls and, if there is anything to tell, rises. */
static void irqs_again(void)
{
    reg_out(REG_IER, 0);
    reg_out(REG_IER, rx_stopped ? IER_TX : IER_RX | IER_TX);
}

/* The line is an edge for the IO-APIC: it has to be low once before the end, or no further interrupt comes. */
bool serial_interrupt(void)
{
    bool got = false;
    unsigned i;
    for (i = 0; i < 16 && !(reg_in(REG_IIR) & IIR_NONE); i++) {
        got |= receive();
        if (waiting() && !READ_ONCE(polled))
            feed();
    }
    if (i == 16) {
        spin_lock(&rx_lock);
        irqs_again();
        spin_unlock(&rx_lock);
    }
    return got || serial_room_made();
}

int serial_isa_irq(void)
{
    if (!present)
        return -1;
    return port == 0x2f8 || port == 0x2e8 ? 3 : 4;
}

void serial_irq_on(void)
{
    /* The rising edge comes with the first byte after this; what is waiting already is taken now. */
    irqs = true;
    reg_out(REG_IER, IER_RX | IER_TX);
    receive();
}

void serial_irq_again(void)
{
    spin_lock(&rx_lock);
    if (irqs)
        irqs_again();
    spin_unlock(&rx_lock);
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
    if (i && READ_ONCE(rx_stopped))
        receive();
    return i;
}
