/* SPDX-License-Identifier: MIT */
/*
 * A vnet's domain that somebody took over: the objects of the real one, and this, which the linker puts before event_wait. It is one until its own node `taken` says
 * "GUEST OTHER NET", domids of a guest of net0, of one of another vnet, and of net0. Then it tries what it must not be
 * able to do (docs/threat-model.md), once, and goes on. Lines for tests: `taken: WHAT went through`, `taken: N tried, N went through`.
 *
 * Its frames bear "taken over" and a letter: 'a' and 'z', the first and the last, are honest, no other may be seen on the wire.
 */
#include <errno.h>
#include <lwip/inet_chksum.h>
#include <lwip_vif.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_NS (300 * NS_PER_MS)
#define ETH     14u

static unsigned tries, through;
static domid_t guest, other, net;

__attribute__((format(printf, 2, 3))) static void tried(bool refused, const char *fmt, ...)
{
    char what[120];
    va_list ap;

    tries++;
    if (refused)
        return;
    through++;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    printf("taken: %s went through\n", what);
}

/* --- frames ----------------------------------------------------------------------------------------------- */

static const uint8_t GUESTS_MAC[6] = { 0x00, 0x16, 0x3e, 0x00, 0x00, 0x01 },
                     GUESTS_IP[4] = { 10, 0, 2, 15 }, OWN_IP[4] = { 10, 0, 2, 42 };
static uint8_t frame[128], own_link[16];
static struct netfront *front;

/* To all, from that station. */
static void eth(const uint8_t *from, unsigned type)
{
    memset(frame, 0, sizeof(frame));
    memset(frame, 0xff, 6);
    memcpy(frame + 6, from, 6);
    frame[12] = (uint8_t)(type >> 8), frame[13] = (uint8_t)type;
}

static void udp4(unsigned at, const uint8_t *from)
{
    uint8_t *ip = frame + at;

    memcpy(ip, "\x45\0\0\x2e\0\0\0\0\x40\x11", 10);
    memcpy(ip + 12, from, 4);
    memset(ip + 16, 0xff, 4);
    uint16_t sum = inet_chksum(ip, 20);
    memcpy(ip + 10, &sum, 2);
    memcpy(ip + 20, "\x12\xb5\x12\xb5\0\x1a\0\0", 8);
}

static void arp(const uint8_t *mac, const uint8_t *ip)
{
    memcpy(frame + ETH, "\0\1\x08\0\6\4\0\2", 8);
    memcpy(frame + ETH + 8, mac, 6);
    memcpy(frame + ETH + 14, ip, 4);
}

static void ip6(const uint8_t *from, unsigned proto)
{
    uint8_t *ip = frame + ETH;

    memcpy(ip, "\x60\0\0\0\0\x20\0\xff", 8);
    ip[6] = (uint8_t)proto;
    memcpy(ip + 8, from, 16);
    memcpy(ip + 24, "\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
}

static void go(char letter)
{
    uint8_t *page = netfront_frame(front);

    snprintf((char *)frame + 100, 16, "taken over %c", letter);
    if (!page)
        return tried(false, "no room for frame %c:", letter);
    memcpy(page, frame, sizeof(frame));
    if (netfront_send(front, sizeof(frame), false))
        tried(false, "the ring: frame %c", letter);
    netfront_poll(front);
}

static void frames(void)
{
    static const uint8_t other6[16] = { 0xfd, [15] = 0x66 };
    const uint8_t *mac = front->mac;

    memcpy(own_link, netif_ip6_addr(netif_default, 0)->addr, 16);
    eth(mac, 0x0800), udp4(ETH, OWN_IP), go('a');
    eth(mac, 0x0800), udp4(ETH, GUESTS_IP), go('b');
    eth(GUESTS_MAC, 0x0800), udp4(ETH, OWN_IP), go('c');
    eth(mac, 0x0806), arp(mac, GUESTS_IP), go('d');
    eth(mac, 0x0806), arp(GUESTS_MAC, OWN_IP), go('e');
    eth(mac, 0x86dd), ip6(other6, 17), go('f');
    eth(mac, 0x86dd), ip6(own_link, 58), frame[ETH + 40] = 136, go('g'); /* says that :: is here */
    eth(mac, 0x86dd), ip6(own_link, 58), frame[ETH + 40] = 134, go('h'); /* a router */
    eth(mac, 0x8100), memcpy(frame + ETH, "\0\7\x08\0", 4), udp4(ETH + 4, GUESTS_IP), go('i');
    eth(mac, 60), memcpy(frame + ETH, "\xaa\xaa\3\0\0\0\x08\0", 8), udp4(ETH + 8, GUESTS_IP), go('j');
    eth(mac, 0x0800), udp4(ETH, OWN_IP), go('z');
}

/* --- the store -------------------------------------------------------------------------------------------- */

/* Its text, its rights, and that it is there. `is`: it is, so that it can be taken away. */
static void node(bool is, const char *path)
{
    char who[24];

    snprintf(who, sizeof(who), "n%u", self.domid);
    tried(xs_write(0, path, "1") != 0, "writing %s", path);
    tried(xs_set_perms(0, path, who) != 0, "rights of %s", path);
    tried(!is || xs_rm(0, path) != 0, "taking away %s", path);
}

__attribute__((format(printf, 2, 3))) static void nodef(bool is, const char *fmt, ...)
{
    char path[96];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(path, sizeof(path), fmt, ap);
    va_end(ap);
    node(is, path);
}

static void nodes(void)
{
    static const char *const of_guests[] = { "name", "device/vif/0/state", "device/vif/0/backend",
                                             "device/vif/0/backend-id", "memory/target" },
                             *const of_vifs[] = { "frontend-id", "mac", "bridge", "online" };
    char path[64];

    for (unsigned i = 0; i < ARRAY_SIZE(of_guests); i++) {
        nodef(true, "/local/domain/%u/%s", guest, of_guests[i]);
        nodef(true, "/local/domain/%u/%s", other, of_guests[i]);
    }
    snprintf(path, sizeof(path), "/local/domain/%u/device/vif/0/mac", guest);
    char *text = xs_read(0, path);
    tried(!text, "reading %s", path);
    free(text);
    for (unsigned i = 0; i < ARRAY_SIZE(of_vifs); i++) {
        /* its own, and another's, which net0 serves; one that nobody gave to it */
        nodef(true, "/local/domain/%u/backend/vif/%u/0/%s", net, self.domid, of_vifs[i]);
        nodef(true, "/local/domain/%u/backend/vif/%u/0/%s", net, guest, of_vifs[i]);
        nodef(false, "backend/vif/%u/0/%s", other, of_vifs[i]);
    }
    nodef(true, "/local/domain/%u/backend/vif/%u/0/state", net, guest);
    nodef(true, "/local/domain/%u/uplink", net);
    nodef(false, "backend/vif/%u/0/state", other);
    node(false, "device/vif/7/backend-id");
    node(true, "device/vif/0/backend-id");
    node(true, "device/vif/0/backend");
    node(true, "device/vif/0/mac"); /* its next life would be refused by net0 */
    node(true, "name");
    node(false, "/tool/taken");
    node(false, "/vm/taken");
    node(false, "/local/domain/0/taken");
}

/* --- memory, events, the core's operations ---------------------------------------------------------------- */

static void core(void)
{
    static uint8_t arg[PAGE_SIZE];

    for (domid_t d = 0; d < 24; d++) {
        if (d == self.domid)
            continue;
        for (uint32_t ref = 0; ref < 64; ref++) {
            struct grant_map m = { 0 };
            int rc = grant_map(&m, d, &ref, 1, 0);
            tried(rc < 0, "mapping grant %u of domain %u", ref, d);
            if (rc >= 0)
                (void)grant_unmap(&m);
        }
        for (uint32_t port = 1; port < 64; port++) {
            int rc = event_bind_interdomain(d, port, NULL, NULL);
            tried(rc < 0, "binding port %u of domain %u", port, d);
            if (rc >= 0)
                event_close((uint32_t)rc);
        }
    }
    for (unsigned op = 0; op < 96; op++) {
        memset(arg, 0, sizeof(arg));
        arg[0] = (uint8_t)guest;
        tried(bh_control(op, arg) < 0, "operation %u", op);
    }
}

/* --- when ------------------------------------------------------------------------------------------------- */

static void look(void)
{
    static bool done;
    char *at, *text = done ? NULL : xs_read(0, "taken");

    if (!text)
        return;
    done = true;
    guest = (domid_t)strtoul(text, &at, 10);
    other = (domid_t)strtoul(at, &at, 10);
    net = (domid_t)strtoul(at, NULL, 10);
    free(text);
    front = &((struct lwip_vif *)netif_default->state)->front;
    frames();
    nodes();
    core();
    printf("taken: %u tried, %u went through\n", tries, through);
}

unsigned __real_event_wait(uint64_t until_ns);
unsigned __wrap_event_wait(uint64_t until_ns);

/* The main loop comes here between two rounds of work. */
unsigned __wrap_event_wait(uint64_t until_ns)
{
    static uint64_t due;
    static bool inside;
    uint64_t now = now_ns();

    if (!inside && netif_default && now >= due) {
        inside = true;
        look();
        inside = false;
        due = now + LOOK_NS;
    }
    return __real_event_wait(!due || (until_ns && until_ns < due) ? until_ns : due);
}
