/* SPDX-License-Identifier: MIT */
/*
 * A front-end that takes all it can get, for tests of those who share a driver domain or the store with it. Command line:
 *   flood=net    packets of 18 slots, to nobody, as many as the ring holds, for ever
 *   flood=store  nodes of ever new names below the state node that the back-end watches
 *   flood=state  its state goes to and fro between Connected, Closing and Closed
 *   flood=ports  takes as many vifs as vifs= says, with addresses AA:BB:CC:DD:guest:vif; each sends four frames a second to the next one, the last one to the
 *                first of the next of guests= guests. `flood: N frames` each second: what the vif that got least of them got
 * And without a vif:
 *   flood=keep   nodes that it writes anew between the transactions that it opens and leaves open: each keeps the old ones
 *   flood=log    lines of one character to the core's log and to its console
 *   flood=reboot lives for 1.2 s, then asks to be rebooted
 *   flood=spin   computes, for ever
 *   flood=nap    the same for 2 ms, then sleeps for 2 ms
 *   flood=hold   grants a page to each of the next domids, maps what they grant to it, and lets go of nothing
 * Says `flood: NAME` once it began.
 */
#include <bh.h>
#include <netfront.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/xenbus.h>
#include <xen/sched.h>

#define SLOTS 18u

static struct netfront nf;

int main(void);

static void on_frame(struct netfront *n, const uint8_t *frame, unsigned len, bool good, void *arg)
{
    (void)n, (void)frame, (void)len, (void)good, (void)arg;
}

static void nothing(uint32_t port, void *arg) { (void)port, (void)arg; }

static void flood_net(void)
{
    netif_tx_sring_t *s = nf.tx.sring;
    uint8_t *page = page_alloc(1);
    int ref = grant_give(nf.backend_id, page, GRANT_RO);

    event_adopt((uint32_t)nf.port, nothing, NULL); /* its responses are looked at by nobody */
    memset(page, 0xee, 6);
    memcpy(page + 6, nf.mac, 6);
    for (uint32_t prod = s->req_prod;;) {
        while (prod + SLOTS - READ_ONCE(s->rsp_prod) <= 256) {
            for (unsigned i = 0; i < SLOTS; i++)
                s->ring[prod++ % 256].req = (netif_tx_request_t){
                    .gref = (uint32_t)ref,
                    .flags = i + 1 < SLOTS ? NETTXF_more_data : 0,
                    .size = (uint16_t)(i ? 14 : 14 * SLOTS),
                };
            wmb();
            WRITE_ONCE(s->req_prod, prod);
        }
        event_send((uint32_t)nf.port);
    }
}

static void flood_store(void)
{
    char path[64];

    for (unsigned i = 0;; i++) {
        snprintf(path, sizeof(path), "%s/state/n%u", nf.path, i);
        xs_mkdir(0, path);
        xs_rm(0, path);
    }
}

static void flood_state(void)
{
    static const int states[] = { XenbusStateClosing, XenbusStateClosed, XenbusStateInitialising,
                                  XenbusStateConnected };
    char path[64];

    snprintf(path, sizeof(path), "%s/state", nf.path);
    for (unsigned i = 0;; i++)
        xs_printf(0, path, "%d", states[i % ARRAY_SIZE(states)]);
}

#define MOST 16u
static struct netfront many[MOST];

static unsigned word_number(const char *key)
{
    char word[8] = "";

    return cmdline_get(key, word, sizeof(word)) ? (unsigned)strtoul(word, NULL, 10) : 0;
}

static void to_next(unsigned i, unsigned n, unsigned guests)
{
    uint8_t *frame = netfront_frame(&many[i]);

    if (!frame)
        return;
    memset(frame, 0, 60);
    memcpy(frame, many[i].mac, 6);
    memcpy(frame + 6, many[i].mac, 6);
    frame[5] = (uint8_t)(i + 1 < n ? i + 1 : 0);
    if (i + 1 == n)
        frame[4] = (uint8_t)((frame[4] + 1u) % guests);
    frame[12] = 0x88, frame[13] = 0xb5;
    netfront_send(&many[i], 60, false);
}

static void flood_ports(void)
{
    unsigned n = word_number("vifs"), guests = word_number("guests");

    for (unsigned i = 0; i < n && i < MOST; i++)
        if (netfront_open(&many[i], i, on_frame, NULL))
            bh_panic("no vif %u: %d", i, xs_error);
    for (unsigned i = 0; i < n; i++)
        while (!many[i].connected)
            event_wait(0);
    printf("flood: all vifs\n");
    for (unsigned turn = 1;; turn++) {
        uint64_t until = now_ns() + 250 * NS_PER_MS, least = ~0ul;
        for (unsigned i = 0; i < n; i++)
            to_next(i, n, guests);
        while (now_ns() < until)
            event_wait(until);
        for (unsigned i = 0; i < n; i++)
            least = many[i].received < least ? many[i].received : least;
        if (turn % 4 == 0)
            printf("flood: %lu frames\n", least);
    }
}

static void flood_keep(void)
{
    static char value[1900];
    char path[64];
    uint32_t tx;

    memset(value, 'x', sizeof(value) - 1);
    for (unsigned round = 0; round < 12; round++) {
        value[0] = (char)('a' + round);
        for (unsigned i = 0; i < 200; i++) {
            snprintf(path, sizeof(path), "/local/domain/%u/data/k%u", self.domid, i);
            xs_write(0, path, value);
        }
        (void)xs_tx_start(&tx);
    }
    for (;;)
        event_wait(0);
}

static void flood_log(void)
{
    for (;;) {
        for (const char *p = "x\n"; *p; p++)
            __asm__ volatile("outb %%al, $0xe9" : : "a"(*p));
        printf("x\n");
    }
}

static void flood_reboot(void)
{
    for (uint64_t end = now_ns() + 1200 * NS_PER_MS; now_ns() < end;)
        event_wait(end);
    domain_exit(SHUTDOWN_reboot);
}

static void flood_spin(void)
{
    for (;;)
        __asm__ volatile("pause");
}

static void flood_nap(void)
{
    for (;;) {
        for (uint64_t end = now_ns() + 2 * NS_PER_MS; now_ns() < end;)
            ;
        for (uint64_t end = now_ns() + 2 * NS_PER_MS; now_ns() < end;)
            event_wait(end);
    }
}

#define NEIGHBOURS 6u
static void flood_hold(void)
{
    static struct grant_map map[2 * NEIGHBOURS];
    static bool held[2 * NEIGHBOURS];
    char path[64], perms[16];
    uint64_t ref;

    snprintf(perms, sizeof(perms), "r%u", self.domid); /* ours, and all may read it */
    for (unsigned i = 0; i < 2 * NEIGHBOURS; i++) {
        domid_t peer = (domid_t)(self.domid + i - NEIGHBOURS);
        snprintf(path, sizeof(path), "/local/domain/%u/data/for-%u", self.domid, peer);
        xs_printf(0, path, "%d", grant_give(peer, page_alloc(1), 0));
        xs_set_perms(0, path, perms);
    }
    for (;; event_wait(now_ns() + 100 * NS_PER_MS))
        for (unsigned i = 0; i < 2 * NEIGHBOURS; i++) {
            domid_t peer = (domid_t)(self.domid + i - NEIGHBOURS);
            snprintf(path, sizeof(path), "/local/domain/%u/data/for-%u", peer, self.domid);
            if (held[i] || peer == self.domid || xs_read_uint(0, path, &ref))
                continue;
            uint32_t r = (uint32_t)ref;
            held[i] = grant_map(&map[i], peer, &r, 1, 0) == 0;
            if (held[i])
                printf("flood: holds a page of %u\n", peer);
        }
}

int main(void)
{
    static const struct {
        const char *name;
        void (*fn)(void);
        bool vif;
    } floods[] = {
        { "net", flood_net, true },     { "store", flood_store, true },
        { "state", flood_state, true }, { "keep", flood_keep, false },
        { "log", flood_log, false },    { "reboot", flood_reboot, false },
        { "hold", flood_hold, false },  { "ports", flood_ports, false },
        { "spin", flood_spin, false },  { "nap", flood_nap, false },
    };
    char word[16] = "";

    cmdline_get("flood", word, sizeof(word));
    for (unsigned i = 0; i < ARRAY_SIZE(floods); i++) {
        if (strcmp(floods[i].name, word))
            continue;
        if (floods[i].vif && netfront_open(&nf, 0, on_frame, NULL))
            bh_panic("no vif 0: %d", xs_error);
        while (floods[i].vif && !nf.connected)
            event_wait(0);
        printf("flood: %s\n", word);
        floods[i].fn();
    }
    bh_panic("flood=%s is not known", word);
}
