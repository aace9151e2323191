/* SPDX-License-Identifier: MIT */
/*
 * netcheck: whether what goes over a network comes back as it was. Both ends are this program; the kernels beneath make and check the checksums.
 *
 *   netcheck serve PORT              sends back what it gets, by UDP and by TCP (IPv4 and IPv6), until it is killed
 *   netcheck udp ADDRESS PORT        datagrams of 1 byte to what 1,500 bytes carry, odd and even ones
 *   netcheck tcp ADDRESS PORT        a connection with 256 KiB each way
 *   netcheck sink PORT               takes what it gets, by TCP
 *   netcheck take PORT               the same of what `fill` sends, and looks at each byte
 *   netcheck fill ADDRESS PORT SECONDS   sends for so long; the last line has what the other end says of it: how much came and was right, and the
 *                                    longest times in which nothing came
 *   netcheck tso DEVICE              whether its packets go out in one piece, to be cut by the device: status 0 if they do
 *   netcheck offload DEVICE on|off   checksums, scatter-gather and segmentation, as far as the device lets itself be told
 *   netcheck storm ADDRESS PORT      ten thousand datagrams, as fast as they go, to a broadcast address; nothing comes back
 *   netcheck packets PORT            the other end of the next two, until it is killed
 *   netcheck give ADDRESS PORT N     N datagrams of 64 bytes to it, at most 128 of them on their way; says how many a second
 *   netcheck get ADDRESS PORT N      the same from it
 *   netcheck ping ADDRESS N          N echo requests (IPv4), each when the one before has been answered; it sleeps meanwhile
 * The last line is "netcheck: udp|tcp: N of M bytes came back", the status 0 if that is all.
 */
#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 5000
#define STREAM  (256 << 10)

static unsigned char pattern(size_t i) { return (unsigned char)(i * 7 + (i >> 8)); }

static void die(const char *what)
{
    perror(what);
    exit(2);
}

/* A socket that is bound (address NULL) or connected. */
static int open_socket(const char *address, const char *port, int type)
{
    struct addrinfo hints = { .ai_socktype = type,
                              .ai_family = address ? AF_UNSPEC : AF_INET6,
                              .ai_flags = AI_NUMERICSERV | (address ? AI_NUMERICHOST : AI_PASSIVE) },
                    *a;
    int on = 1, off = 0, rc = getaddrinfo(address, port, &hints, &a);

    if (rc) {
        fprintf(stderr, "netcheck: %s\n", gai_strerror(rc));
        exit(2);
    }
    int fd = socket(a->ai_family, type, 0);
    if (fd < 0)
        die("socket");
    if (!address) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    }
    if (address ? connect(fd, a->ai_addr, a->ai_addrlen) : bind(fd, a->ai_addr, a->ai_addrlen))
        die(address ? "connect" : "bind");
    freeaddrinfo(a);
    return fd;
}

static void write_all(int fd, const unsigned char *b, size_t n)
{
    while (n) {
        ssize_t did = write(fd, b, n);
        if (did <= 0)
            die("write");
        b += did, n -= (size_t)did;
    }
}

/* Over and over. A prime: what an older frame left in a buffer is other bytes than those that belong there. */
#define LENGTH 65521u
static unsigned char stream[2 * LENGTH];

static void stream_make(void)
{
    uint32_t x = 1;

    for (size_t i = 0; i < LENGTH; i++) {
        x = x * 1664525 + 1013904223;
        stream[i] = stream[i + LENGTH] = (unsigned char)(x >> 24);
    }
}

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

#define LONGEST 64

/* The longest of them, the longest first. */
static void longest_add(uint64_t longest[], uint64_t us)
{
    for (unsigned i = 0; i < LONGEST; i++) {
        uint64_t had = longest[i];
        if (us > had) {
            longest[i] = us;
            us = had;
        }
    }
}

static void echo(int fd)
{
    unsigned char b[65536];
    ssize_t n;

    while ((n = read(fd, b, sizeof(b))) > 0)
        write_all(fd, b, (size_t)n);
}

static void sink(int fd)
{
    unsigned char b[65536];

    while (read(fd, b, sizeof(b)) > 0)
        ;
}

static void take(int fd)
{
    static unsigned char b[LENGTH];
    uint64_t longest[LONGEST] = { 0 }, last = 0;
    size_t came = 0, right = 0;
    ssize_t n;

    stream_make();
    while ((n = read(fd, b, sizeof(b))) > 0) {
        uint64_t now = now_us();
        if (last)
            longest_add(longest, now - last);
        last = now;
        if (right == came && !memcmp(b, stream + came % LENGTH, (size_t)n))
            right += (size_t)n;
        came += (size_t)n;
    }
    dprintf(fd, "%zu of %zu bytes right, longest us", right, came);
    for (unsigned i = 0; i < LONGEST; i++)
        dprintf(fd, " %lu", longest[i]);
}

static int fill(int fd, unsigned seconds)
{
    struct tcp_info info = { .tcpi_total_retrans = 0 };
    socklen_t len = sizeof(info);
    char said[LONGEST * 24];
    size_t at = 0, got = 0;
    ssize_t n;
    uint64_t begin = now_us();

    stream_make();
    while (now_us() - begin < seconds * 1000000ull) {
        write_all(fd, stream + at % LENGTH, LENGTH);
        at += LENGTH;
    }
    shutdown(fd, SHUT_WR);
    while (got < sizeof(said) - 1 && (n = read(fd, said + got, sizeof(said) - 1 - got)) > 0)
        got += (size_t)n;
    said[got] = '\0';
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
    printf("netcheck: %zu bytes in %lu ms, %u segments again: %s\n", at, (now_us() - begin) / 1000,
           info.tcpi_total_retrans, said);
    return !got;
}

static void serve(const char *port, void (*fn)(int fd))
{
    static unsigned char b[65536];
    struct pollfd fds[2] = { { .fd = open_socket(NULL, port, SOCK_DGRAM), .events = POLLIN },
                             { .fd = open_socket(NULL, port, SOCK_STREAM), .events = POLLIN } };

    signal(SIGCHLD, SIG_IGN);
    if (listen(fds[1].fd, 8))
        die("listen");
    for (;;) {
        struct sockaddr_storage from;
        socklen_t len = sizeof(from);
        if (poll(fds, 2, -1) < 0)
            die("poll");
        if (fds[0].revents) {
            ssize_t n = recvfrom(fds[0].fd, b, sizeof(b), 0, (struct sockaddr *)&from, &len);
            if (n >= 0)
                sendto(fds[0].fd, b, (size_t)n, 0, (struct sockaddr *)&from, len);
        }
        int fd = fds[1].revents ? accept(fds[1].fd, NULL, NULL) : -1;
        if (fd >= 0) {
            if (!fork()) {
                fn(fd);
                exit(0);
            }
            close(fd);
        }
    }
}

static int storm(const char *address, const char *port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
    int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;

    if (fd < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
        setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)))
        die("broadcast");
    for (unsigned i = 0; i < 10000; i++) /* what the kernel has no room for is not missed */
        sendto(fd, "storm", 5, 0, (struct sockaddr *)&to, sizeof(to));
    printf("netcheck: storm over\n");
    return 0;
}

/* Small datagrams. The other end answers one in ACK, and no more than WINDOW are out, fewer than any queue on the way holds: none is lost. */
#define ACK    32u
#define WINDOW 128u

struct datagram {
    enum { DATA, ASKS, ANSWER, WANTED } kind;
    uint32_t n;
    unsigned char rest[56];
};

static int open_packets(const char *address, const char *port)
{
    int fd = open_socket(address, port, SOCK_DGRAM), room = 1 << 20;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room,
               sizeof(room)); /* or what the peer's rights allow */
    return fd;
}

static bool packets_give(int fd, uint32_t n)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    struct datagram d;

    for (uint32_t i = 1, out = 0; i <= n || out; i++) {
        if (i <= n) {
            bool asks = i % ACK == 0 || i == n;
            d = (struct datagram){ .kind = asks ? ASKS : DATA, .n = i };
            if (send(fd, &d, sizeof(d), 0) != sizeof(d))
                return false;
            out += asks;
        }
        for (; out && (i >= n || out == WINDOW / ACK); out--) {
            if (poll(&p, 1, WAIT_MS) != 1 || read(fd, &d, sizeof(d)) != sizeof(d) || d.kind != ANSWER)
                return false;
        }
    }
    return true;
}

static bool packets_get(int fd, uint32_t n)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    struct datagram d = { .kind = WANTED, .n = n };

    if (send(fd, &d, sizeof(d), 0) != sizeof(d))
        return false;
    for (uint32_t i = 1; i <= n; i++) {
        if (recv(fd, &d, sizeof(d), MSG_DONTWAIT) != sizeof(d) &&
            (poll(&p, 1, WAIT_MS) != 1 || read(fd, &d, sizeof(d)) != sizeof(d)))
            return false;
        if (d.n != i)
            return false;
        if (d.kind == ASKS) {
            d.kind = ANSWER;
            send(fd, &d, sizeof(d), 0);
        }
    }
    return true;
}

static void packets_serve(int fd)
{
    for (;;) {
        struct sockaddr_storage from, nobody = { .ss_family = AF_UNSPEC };
        struct datagram d;
        socklen_t len = sizeof(from);
        if (recvfrom(fd, &d, sizeof(d), 0, (struct sockaddr *)&from, &len) != sizeof(d))
            continue;
        if (d.kind == ASKS) {
            d.kind = ANSWER;
            sendto(fd, &d, sizeof(d), 0, (struct sockaddr *)&from, len);
        } else if (d.kind == WANTED && !connect(fd, (struct sockaddr *)&from, len)) {
            packets_give(fd, d.n);
            connect(fd, (struct sockaddr *)&nobody, sizeof(nobody));
        }
    }
}

static int packets(int fd, bool give, uint32_t n)
{
    uint64_t begin = now_us();
    bool all = give ? packets_give(fd, n) : packets_get(fd, n);

    printf("netcheck: %u datagrams%s, %lu a second\n", n, all ? "" : ", not all of which came",
           n * 1000000ul / (now_us() - begin + 1));
    return !all;
}

/* Where ping(8) would look again and again for the last milliseconds before its next request. */
static int ping(const char *address, unsigned n)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    struct {
        struct icmphdr head;
        unsigned char rest[56];
    } out = { .head.type = ICMP_ECHO }, in;
    unsigned came = 0;

    if (fd < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&to, sizeof(to)))
        die("ping");
    for (; came < n; came++) {
        out.head.un.echo.sequence = htons((uint16_t)came);
        if (send(fd, &out, sizeof(out), 0) != sizeof(out) || poll(&p, 1, WAIT_MS) != 1 ||
            read(fd, &in, sizeof(in)) != sizeof(in) ||
            in.head.un.echo.sequence != out.head.un.echo.sequence)
            break;
    }
    printf("netcheck: %u of %u answered\n", came, n);
    return came != n;
}

/* Bytes that came back, 0 if they are others. */
static size_t echoed(int fd, unsigned char *b, size_t at, size_t n)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    ssize_t got = poll(&p, 1, WAIT_MS) == 1 ? read(fd, b, n) : 0;

    for (ssize_t i = 0; i < got; i++) {
        if (b[i] != pattern(at + (size_t)i))
            return 0;
    }
    return got > 0 ? (size_t)got : 0;
}

static size_t check_udp(int fd, size_t *total)
{
    static const size_t sizes[] = { 1, 2, 3, 17, 18, 19, 100, 101, 511, 1000, 1001, 1451, 1452, 1472 };
    unsigned char b[2048];
    size_t came = 0, max;
    int domain = 0;
    socklen_t len = sizeof(domain);

    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
    max = domain == AF_INET6 ? 1452 : 1472; /* in one packet of 1,500 bytes */
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && sizes[i] <= max; i++) {
        *total += sizes[i];
        for (size_t k = 0; k < sizes[i]; k++)
            b[k] = pattern(k);
        if (send(fd, b, sizes[i], 0) == (ssize_t)sizes[i] && echoed(fd, b, 0, sizeof(b)) == sizes[i]) {
            came += sizes[i];
            continue;
        }
        printf("netcheck: a datagram of %zu bytes did not come back\n", sizes[i]);
        break;
    }
    return came;
}

static size_t check_tcp(int fd, size_t *total)
{
    static unsigned char b[65536];
    size_t came = 0, n;

    *total = STREAM;
    pid_t child = fork();
    if (!child) {
        for (size_t at = 0; at < STREAM; at += sizeof(b)) {
            for (size_t k = 0; k < sizeof(b); k++)
                b[k] = pattern(at + k);
            write_all(fd, b, sizeof(b));
        }
        _exit(0);
    }
    while (came < STREAM && (n = echoed(fd, b, came, sizeof(b))))
        came += n;
    kill(child, SIGKILL);
    return came;
}

static bool ethtool(const char *device, unsigned cmd, unsigned *data)
{
    struct ethtool_value v = { .cmd = cmd, .data = *data };
    struct ifreq r = { .ifr_data = (void *)&v };

    strncpy(r.ifr_name, device, sizeof(r.ifr_name) - 1);
    bool done = !ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCETHTOOL, &r);
    *data = v.data;
    return done;
}

static int tso(const char *device)
{
    unsigned on = 0;

    if (!ethtool(device, ETHTOOL_GTSO, &on))
        die("SIOCETHTOOL");
    printf("netcheck: tso is %s\n", on ? "on" : "off");
    return !on;
}

/* Status 0 if segmentation, which stands on the rest, is as it was wished. */
static int offload(const char *device, unsigned on)
{
    static const unsigned cmds[] = { ETHTOOL_STXCSUM, ETHTOOL_SRXCSUM, ETHTOOL_SSG, ETHTOOL_STSO };

    for (unsigned i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
        unsigned data = on;
        ethtool(device, cmds[i], &data);
    }
    return tso(device) != !on;
}

int main(int argc, char **argv)
{
    size_t came, total = 0;

    if (argc == 3 && !strcmp(argv[1], "serve"))
        serve(argv[2], echo);
    if (argc == 3 && !strcmp(argv[1], "sink"))
        serve(argv[2], sink);
    if (argc == 3 && !strcmp(argv[1], "take"))
        serve(argv[2], take);
    if (argc == 3 && !strcmp(argv[1], "packets"))
        packets_serve(open_packets(NULL, argv[2]));
    if (argc == 5 && (!strcmp(argv[1], "give") || !strcmp(argv[1], "get")))
        return packets(open_packets(argv[2], argv[3]), argv[1][1] == 'i', (uint32_t)atoi(argv[4]));
    if (argc == 4 && !strcmp(argv[1], "ping"))
        return ping(argv[2], (unsigned)atoi(argv[3]));
    if (argc == 5 && !strcmp(argv[1], "fill"))
        return fill(open_socket(argv[2], argv[3], SOCK_STREAM), (unsigned)atoi(argv[4]));
    if (argc == 3 && !strcmp(argv[1], "tso"))
        return tso(argv[2]);
    if (argc == 4 && !strcmp(argv[1], "offload"))
        return offload(argv[2], !strcmp(argv[3], "on"));
    if (argc == 4 && !strcmp(argv[1], "storm"))
        return storm(argv[2], argv[3]);
    if (argc != 4 || (strcmp(argv[1], "udp") && strcmp(argv[1], "tcp"))) {
        fprintf(stderr,
                "usage: netcheck serve|sink|take|packets PORT | udp|tcp|storm ADDRESS PORT | fill ADDRESS PORT SECONDS | tso DEVICE | "
                "offload DEVICE on|off | give|get ADDRESS PORT N | ping ADDRESS N\n");
        return 2;
    }
    bool udp = !strcmp(argv[1], "udp");
    int fd = open_socket(argv[2], argv[3], udp ? SOCK_DGRAM : SOCK_STREAM);
    came = udp ? check_udp(fd, &total) : check_tcp(fd, &total);
    printf("netcheck: %s: %zu of %zu bytes came back\n", argv[1], came, total);
    return came != total;
}
