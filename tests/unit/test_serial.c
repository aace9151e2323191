// SPDX-License-Identifier: MIT
// LINK: hv/base/serial.c hv/arch/serial_irq.c
// The serial line against a UART of 16 bytes at 115200 baud: nobody waits for it, nothing is lost, whoever goes on with it.
#include "unit.h"
#include "shim.h"
#include "arch/irq.h"
#include "arch/serial_irq.h"
#include "base/serial.h"
#include "time/time.h"

#define BYTE_NS 86806

static uint64_t done_at; /* the last byte that was given is out */
static char wire[65536];
static size_t wire_len;
static uint8_t scratch, ier, divisor = 12, divisor_kept; /* what firmware set */
static const char *input = "";
static bool tx_pending, line_high, edge, stuck;
static unsigned virqs, in_fifo_most, given, taken;
static irq_fn handler;

static void settle(void)
{
    bool empty = shim_now_ns + BYTE_NS >= done_at && !stuck; /* the last one is in the shift register */
    if (empty && given) {
        given = 0;
        tx_pending = true;
    }
    bool high = ((ier & 2) && tx_pending) || ((ier & 1) && *input);
    edge |= high && !line_high;
    line_high = high;
}

void outb(uint16_t p, uint8_t v)
{
    if (p == 0x3ff)
        scratch = v;
    if (p == 0x3f9 && v < 4) {
        if ((v & 2) && !(ier & 2) && shim_now_ns >= done_at)
            tx_pending = true;
        ier = v;
    }
    if (p == 0x3f8 && !handler)
        divisor = v;
    if (p == 0x3f8 && handler) {
        assert_true(wire_len < sizeof wire - 1);
        wire[wire_len++] = (char)v;
        wire[wire_len] = 0;
        done_at = MAX(done_at, shim_now_ns) + BYTE_NS;
        given++;
        in_fifo_most = MAX(in_fifo_most, given);
        tx_pending = false;
    }
    settle();
}

uint8_t inb(uint16_t p)
{
    uint8_t v = 0;
    shim_now_ns += 1000;
    settle();
    if (p == 0x3ff)
        v = scratch;
    if (p == 0x3fd)
        v = (uint8_t)((given || stuck ? 0 : 0x20) | (shim_now_ns < done_at || stuck ? 0 : 0x40) |
                      (*input ? 1 : 0));
    if (p == 0x3f8 && !handler) /* serial_init alone: DLAB is set */
        v = divisor;
    else if (p == 0x3f8 && *input)
        v = (uint8_t)*input++;
    if (p == 0x3fa) {
        v = (ier & 1) && *input ? 4 : (ier & 2) && tx_pending ? 2 : 1;
        if (v == 2)
            tx_pending = false;
    }
    settle();
    return v;
}

int ioapic_route_isa(unsigned i, uint8_t v) { return 0; }
int irq_vector_alloc(irq_fn f, void *a)
{
    handler = f;
    return 0x30;
}
void irq_vector_free(uint8_t v) {}
static void told(void) { virqs++; }

static struct timer *watch;
#define warned (strstr(shim_log, "does not come") ? 1 : 0)

void timer_setup(struct timer *t, void (*fn)(struct timer *))
{
    t->fn = fn;
    watch = t;
}
void timer_set(struct timer *t, uint64_t expires) { t->expires = expires; }

static void run_watch(unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        uint64_t was = watch->expires;
        shim_now_ns = MAX(shim_now_ns, was);
        watch->fn(watch);
    }
}

/* Time goes on; interrupts come where the line makes an edge. */
static void pass(uint64_t ns, bool interrupts)
{
    for (uint64_t end = shim_now_ns + ns; shim_now_ns < end; shim_now_ns += 5000) {
        settle();
        if (interrupts && edge) {
            edge = false;
            taken++;
            handler(NULL);
        }
    }
}

int setup(void **state)
{
    pass(100000000, true);
    serial_write("", 0);
    pass(3000000000, true);
    wire_len = virqs = 0;
    in_fifo_most = 0;
    return 0;
}

int setup_all(void **state)
{
    serial_init(0x3f8, 0);
    divisor_kept = divisor;
    serial_init(0x3f8, 115200);
    serial_listen(told);
    serial_irq_init();
    return 0;
}

TEST(speed)
{
    assert_int_equal(divisor_kept, 12);
    assert_int_equal(divisor, 1);
}

TEST(by_interrupt)
{
    char text[1001];
    memset(text, 'x', 1000);
    text[1000] = 0;
    uint64_t before = shim_now_ns;
    serial_write(text, 1000);
    serial_write("a\n", 2);
    assert_true(wire_len && wire_len <= 16 &&
                shim_now_ns - before < 100000); /* looks at registers, and no waiting */
    pass(100000000, true);
    assert_int_equal(wire_len, 1003);
    assert_string_equal(wire + 1000, "a\r\n");
    assert_in_range(in_fifo_most, 2, 16);
}

TEST(without_interrupts)
{
    char text[200];
    memset(text, 'y', sizeof text);
    serial_write(text, sizeof text);
    pass(100000000, false);
    assert_int_equal(wire_len, 16);
    for (unsigned i = 0; i < 20; i++) { /* what the timer and other interrupts do */
        assert_true(serial_waiting() == (wire_len < sizeof text));
        serial_write("", 0);
        pass(2000000, false);
    }
    assert_int_equal(wire_len, sizeof text);
    edge = false;
    handler(NULL);
}

TEST(lines_whole_or_not_at_all)
{
    char line[101];
    serial_write("-", 1);
    stuck = true;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(line, sizeof line, "%0*u\n", (int)sizeof line - 2, i);
        serial_write(line, sizeof line - 1);
    }
    stuck = false;
    pass(3000000000, true);
    assert_true(wire_len > 16000 && wire_len <= 16384);
    assert_int_equal(wire_len % 101, 1);
}

TEST(room_for_the_holder)
{
    char piece[100];
    size_t n = 0;
    memset(piece, 'z', sizeof piece);
    serial_write("-", 1);
    stuck = true;
    while (serial_room() >= sizeof piece)
        serial_write(piece, sizeof piece), n += sizeof piece;
    while (serial_room())
        serial_write("z", 1), n++;
    assert_true(n < 4096);
    serial_write("(BH) a line of the core\n", 24); /* has room of its own */
    assert_false(serial_room_made());
    stuck = false;
    pass(3000000000, true);
    assert_int_equal(virqs, 1);
    assert_int_equal(wire_len, 1 + n + 25);
    assert_false(serial_room_made());
}

TEST(polled_waits)
{
    char text[500];
    memset(text, 'p', sizeof text);
    serial_write(text, sizeof text);
    assert_true(wire_len <= 16);
    serial_polled(true);
    assert_int_equal(wire_len, sizeof text);
    assert_true(shim_now_ns >=
                done_at); /* what is still in the UART is lost if the machine is switched off now */
    serial_write("end\n", 4);
    assert_string_equal(wire + sizeof text, "end\r\n");
    assert_true(shim_now_ns >= done_at);
    stuck = true;
    serial_write("to nobody\n", 10); /* comes back */
    stuck = false;
    serial_polled(false);
}

/* A full input ring keeps the line high: without care the transmitter would make no edge any more, or each look at the line another one. */
TEST(output_while_input_is_full)
{
    static char keys[3000], got[3000];
    char text[300];
    memset(keys, 'k', sizeof keys - 1);
    memset(text, 't', sizeof text);
    input = keys;
    pass(50000000, true);
    assert_true(*input);
    taken = 0;
    serial_write(text, sizeof text);
    pass(100000000, true);
    assert_int_equal(wire_len, sizeof text);
    assert_in_range(taken, 1, sizeof text); /* at most one for each byte sent */
    size_t n = 0;
    for (unsigned i = 0; i < 10; i++) {
        n += serial_read(got + n, sizeof got - n);
        pass(50000000, true);
    }
    assert_int_equal(n, sizeof keys - 1);
    input = "more";
    pass(50000000, true);
    assert_int_equal(serial_read(got, sizeof got), 4);
}

/* What comes goes through a filter, which may take it, or make more of it. */
static unsigned takes_x(char c, char out[4])
{
    out[0] = out[1] = c;
    return c == 'x' ? 0 : c == 'y' ? 2 : 1;
}
TEST(filtered)
{
    char got[8];
    serial_filter(takes_x);
    input = "axyb";
    pass(1000000, true);
    assert_int_equal(serial_read(got, sizeof got), 4);
    assert_memory_equal(got, "ayyb", 4);
    serial_filter(NULL);
}

/* Where the interrupt comes, once is enough, and the line is nobody's business between interrupts. */
TEST(interrupt_comes)
{
    char got[8];
    serial_irq_watch();
    uint64_t first = watch->expires;
    pass(1000000, true);
    run_watch(1);
    assert_int_equal(watch->expires, first); /* not armed again */
    assert_int_equal(warned, 0);
    input = "a";
    pass(1000000, true);
    assert_int_equal(serial_read(got, sizeof got), 1);
}

/* One that came before the watch proves nothing: what is between the line and the CPU was changed since. The last test: it stays so. */
TEST(interrupt_lost)
{
    char text[200], got[8];
    serial_irq_watch();
    pass(1000000, false);
    run_watch(1);
    assert_int_equal(warned,
                     0); /* it may be pending, with the timer's: this CPU takes it before the next look */
    pass(1000000, false);
    run_watch(1);
    assert_int_equal(warned, 1);
    virqs = 0;
    input = "list";
    run_watch(1);
    assert_int_equal(virqs, 1);
    assert_int_equal(serial_read(got, sizeof got), 4);
    memset(text, 'q', sizeof text);
    serial_write(text, sizeof text);
    for (unsigned i = 0; i < 20; i++)
        run_watch(1);
    assert_int_equal(wire_len, sizeof text);
    assert_int_equal(warned, 1);
}
