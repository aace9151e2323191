// SPDX-License-Identifier: MIT
// LINK: common/format.c hv/base/print.c
// FLAGS: -Dvsnprintf=bh_vsnprintf -Dsnprintf=bh_snprintf
// The log ring with its console rules.
#undef vsnprintf
#undef snprintf
#include "unit.h"
#define vsnprintf bh_vsnprintf
#define snprintf  bh_snprintf
#include "shim.h"
#include "base/cpu.h"
#include "base/print_internal.h"
#include "base/serial.h"

static char wire[262144];
static size_t wire_len;
static unsigned ipis, virqs;
static jmp_buf *stop_in_write;
static unsigned come_in; /* lines that an exception prints while the next bytes go out */

void serial_write(const char *s, size_t n)
{
    if (stop_in_write) {
        jmp_buf *to = stop_in_write;
        stop_in_write = NULL;
        longjmp(*to, 1);
    }
    for (; come_in; come_in--) {
        log_err("exception, line %u", come_in);
        console_claim(false);
    }
    assert_true(wire_len + n < sizeof wire);
    memcpy(wire + wire_len, s, n);
    wire_len += n;
    wire[wire_len] = 0;
}
size_t serial_read(char *buf, size_t n) { return 0; }
static void soon(void) { ipis++; }
static void now(void) { virqs++; }

int setup_all(void **state)
{
    static const struct print_listener listener = { soon, now };
    print_listen(&listener);
    return 0;
}

TEST(lines_have_the_prefix_and_one_end)
{
    wire_len = 0;
    printk(LOG_INFO, "one %d", 1);
    printk(LOG_INFO, "two");
    printk(LOG_DEBUG, "not shown");
    assert_string_equal(wire, "(BH) one 1\n(BH) two\n");
    char big[1000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    wire_len = 0;
    printk(LOG_INFO, "%s", big);
    assert_true(wire_len < 330 && wire[wire_len - 1] == '\n');
}

TEST(claimed_console)
{
    char buf[256];
    uint64_t pos = ~0ull;
    assert_int_equal(log_read(&pos, buf, sizeof buf), 0); /* clamped to the end */
    wire_len = 0;
    ipis = virqs = 0;
    console_claim(true);
    printk(LOG_INFO, "quiet");
    printk(LOG_INFO, "quiet too");
    assert_int_equal(wire_len, 0);
    assert_int_equal(ipis, 1); /* told once for both */
    print_deferred();
    print_deferred();
    assert_int_equal(virqs, 1);
    console_write("bh> ", 4);
    assert_int_equal(wire_len, 4);
    size_t n = log_read(&pos, buf, sizeof buf);
    assert_int_equal(n, strlen("(BH) quiet\n(BH) quiet too\n"));
    assert_memory_equal(buf, "(BH) quiet\n(BH) quiet too\n", n);
    console_claim(false);
    wire_len = 0;
    printk(LOG_ERR, "loud");
    assert_string_equal(wire, "(BH) loud\n");
}

/* An NMI or an exception on the CPU that prints: nothing waits, its lines come whole after the one that was interrupted. */
TEST(printing_in_between)
{
    wire_len = 0;
    come_in = 2;
    printk(LOG_INFO, "interrupted");
    assert_string_equal(wire, "(BH) interrupted\n(BH) exception, line 2\n(BH) exception, line 1\n");
    wire_len = 0;
    come_in = 1000; /* more than there is room for */
    printk(LOG_INFO, "interrupted");
    assert_true(wire_len > 3900 && wire_len < 4200 && wire[wire_len - 1] == '\n');
    wire_len = 0;
    printk(LOG_INFO, "next");
    assert_string_equal(wire, "(BH) next\n");
}

/* panic takes the console from a CPU that was stopped, or from itself, and what came in between is told. */
TEST(taken_back_while_printing)
{
    static jmp_buf stopped;
    console_claim(true);
    console_claim(false);
    if (!setjmp(stopped)) {
        stop_in_write = &stopped;
        printk(LOG_INFO, "never ends");
    }
    log_err("why");
    wire_len = 0;
    print_take_back();
    assert_string_equal(wire, "\n(BH) why\n");
    wire_len = 0;
    shim_cpu = 1;
    log_err("another CPU");
    shim_cpu = 0;
    assert_string_equal(wire, "(BH) another CPU\n");
}

TEST(nmis_are_told_later)
{
    wire_len = 0;
    this_cpu()->nmis += 2;
    print_deferred();
    print_deferred();
    assert_string_equal(wire, "(BH) NMI on CPU 0 (2 so far)\n");
}

TEST(ring_keeps_the_newest)
{
    char buf[100];
    uint64_t pos = 0;
    wire_len = 0;
    for (unsigned i = 0; i < 5000; i++)
        printk(LOG_INFO, "line number %06u", i);
    size_t got, total = 0;
    char last[101] = "";
    while ((got = log_read(&pos, buf, sizeof buf))) {
        memcpy(last, buf, got);
        last[got] = 0;
        pos += got;
        total += got;
    }
    assert_int_equal(total, 65536);
    assert_non_null(strstr(last, "004999\n"));
}
