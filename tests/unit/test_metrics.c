/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/lwip_harness.c metrics/page.c build/lwip/src/apps/http/httpd.c
// FLAGS: -Idomains/lwip -Ibuild/lwip/src/include -Idomains/include -DMEM_LIBC_MALLOC=1 -DMEMP_MEM_MALLOC=1 -include tests/unit/lwip_malloc.h -include metrics/httpd_conf.h -w -Wl,--no-as-needed -lcrypto
/* The one page, by lwIP's HTTP server: whole, also when it is replaced while somebody reads; and requests that are none. */
#include "unit.h"
#include "lwip_harness.h"
#include "../../metrics/page.h"
#include <lwip/apps/httpd.h>

#define FIN 1
#define SYN 2
#define RST 4
#define PSH 8
#define ACK 16

static uint8_t frame[PAGE_SIZE];
static char big[20000];

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

int setup_all(void **unused)
{
    net_open("ip=10.0.2.30/24");
    httpd_init();
    memset(big, 'x', sizeof(big));
    return 0;
}

int setup(void **unused)
{
    net_in(frame, net_arp(frame), false);
    net_later(3000);
    return 0;
}

/* A connection's answer, as far as it came. */
static char answer[32768];
static unsigned peer;
static uint32_t iss;
static size_t got;
static bool fin;

static void on_out(void)
{
    if (out[12] != 8 || out[13] || out[23] != 6 || (out[36] << 8 | out[37]) != peer)
        return;
    unsigned n = ((unsigned)out[16] << 8 | out[17]) - 20 - (out[46] >> 4) * 4;
    uint32_t at = get32(out + 38) - iss - 1;
    if (out[47] & SYN)
        iss = get32(out + 38);
    else if (at == got && n <= sizeof(answer) - at) {
        memcpy(answer + at, out + 34 + (out[46] >> 4) * 4, n);
        got += n;
        fin = out[47] & FIN;
    }
}

/* In the middle of it `meanwhile` is called. */
static size_t talk(unsigned port, const void *request, unsigned len, void (*meanwhile)(void))
{
    peer = port;
    got = fin = 0;
    memset(answer, 0, sizeof(answer));
    out_hook = on_out;
    net_in(frame, net_tcp(frame, port, 80, 1000, 0, SYN, "", 0), true);
    net_in(frame, net_tcp(frame, port, 80, 1001, iss + 1, ACK, "", 0), true);
    net_in(frame, net_tcp(frame, port, 80, 1001, iss + 1, ACK | PSH, request, len), true);
    for (unsigned i = 0; i < 100 && !fin; i++) {
        if (i == 2 && meanwhile)
            meanwhile();
        size_t before = got;
        net_in(frame, net_tcp(frame, port, 80, 1001 + len, iss + 1 + got, ACK, "", 0), true);
        if (got == before)
            net_later(300);
    }
    out_hook = NULL;
    net_in(frame, net_tcp(frame, port, 80, 1001 + len, iss + 2 + got, RST | ACK, "", 0), true);
    return got;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
static void is_page(size_t n, const char *text, size_t len)
{
    char *body = n ? strstr(answer, "\r\n\r\n") : NULL;

    assert_non_null(body);
    assert_memory_equal(answer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4", 55);
    assert_int_equal(n - (size_t)(body + 4 - answer), len);
    assert_memory_equal(body + 4, text, len);
}

TEST(page)
{
    const char *request = GET("/metrics");

    talk(4000, request, strlen(request), NULL);
    assert_memory_equal(answer, "HTTP/1.1 404", 12); /* nothing is known yet */
    page_set("a 1\n", 4);
    is_page(talk(4001, request, strlen(request), NULL), "a 1\n", 4);
    page_set("a 2\n", 4);
    is_page(talk(4002, request, strlen(request), NULL), "a 2\n", 4);
}

/* A page that nobody writes any more is not shown as if it were of now; the same text once more is no news. */
TEST(old)
{
    const char *request = GET("/metrics");

    page_set("a 7\n", 4);
    net_later(20000);
    page_set("a 7\n", 4);
    is_page(talk(4010, request, strlen(request), NULL), "a 7\n", 4);
    net_later(11000);
    talk(4011, request, strlen(request), NULL);
    assert_memory_equal(answer, "HTTP/1.1 404", 12);
    page_set("a 8\n", 4);
    is_page(talk(4012, request, strlen(request), NULL), "a 8\n", 4);
}

static void replace(void) { page_set("a 3\n", 4); }

TEST(replaced_meanwhile)
{
    const char *request = GET("/metrics");

    page_set(big, sizeof(big));
    is_page(talk(4003, request, strlen(request), replace), big, sizeof(big));
    is_page(talk(4004, request, strlen(request), NULL), "a 3\n", 4);
}

TEST(others)
{
    static const char *const requests[] = { GET("/"), GET("/metricsx"), GET("/404"),
                                            GET("/../metrics"), GET("/metrics/") };

    for (unsigned i = 0; i < ARRAY_SIZE(requests); i++) {
        talk(4100 + i, requests[i], strlen(requests[i]), NULL);
        assert_memory_equal(answer, "HTTP/1.1 404", 12);
    }
    talk(4200, "POST /metrics HTTP/1.1\r\n\r\n", 26, NULL);
    assert_memory_not_equal(answer, "HTTP/1.1 200", 12);
}

/* Requests of all kinds of bytes; and the next one is answered. */
TEST(hostile)
{
    char request[700];
    uint32_t x = 1;

    page_set(big, sizeof(big));
    for (unsigned i = 0; i < 3000; i++) {
        unsigned len = 1;
        for (unsigned n = 0; n < sizeof(request); n++) {
            x = x * 1664525 + 1013904223;
            request[n] = (char)(x >> 24);
            if (n < 13 && i % 3)
                request[n] = "GET /metrics "[n];
            if (i % 5 == 0 && n > 5)
                request[n] = n % 40 ? 'y' : '\n';
        }
        len += (x >> 8) % (sizeof(request) - 1);
        talk(1024 + i, request, len, i % 7 ? NULL : replace);
        if (i % 7 == 0)
            page_set(big, sizeof(big));
    }
    const char *good = GET("/metrics");
    net_later(60000);
    net_in(frame, net_arp(frame), false);
    page_set("", 0);
    page_set(big, sizeof(big));
    is_page(talk(60000, good, strlen(good), NULL), big, sizeof(big));
    page_set("", 0);
}
