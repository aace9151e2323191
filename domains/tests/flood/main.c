/* SPDX-License-Identifier: MIT */
/*
 * A front-end that takes all it can get, for tests of those who share a driver domain or the store with it. Command line:
 *   flood=net    packets of 18 slots, to nobody, as many as the ring holds, for ever
 *   flood=store  nodes of ever new names below the state node that the back-end watches
 *   flood=state  its state goes to and fro between Connected, Closing and Closed
 * Says `flood: NAME` once it began.
 */
#include <bh.h>
#include <netfront.h>
#include <stdio.h>
#include <string.h>
#include <xen/io/xenbus.h>

#define SLOTS 18u

static struct netfront nf;

int main(void);

static void on_frame(struct netfront *n, const uint8_t *frame, unsigned len, void *arg)
{
    (void)n, (void)frame, (void)len, (void)arg;
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
                    .gref = (uint32_t)ref, .flags = i + 1 < SLOTS ? NETTXF_more_data : 0,
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
    static const int states[] = {XenbusStateClosing, XenbusStateClosed, XenbusStateInitialising, XenbusStateConnected};
    char path[64];

    snprintf(path, sizeof(path), "%s/state", nf.path);
    for (unsigned i = 0;; i++)
        xs_printf(0, path, "%d", states[i % ARRAY_SIZE(states)]);
}

int main(void)
{
    static const struct { const char *name; void (*fn)(void); } floods[] = {
        {"net", flood_net}, {"store", flood_store}, {"state", flood_state},
    };
    char word[16] = "";

    cmdline_get("flood", word, sizeof(word));
    if (netfront_open(&nf, 0, on_frame, NULL))
        bh_panic("no vif 0: %d", xs_error);
    while (!nf.connected)
        event_wait(0);
    for (unsigned i = 0; i < ARRAY_SIZE(floods); i++) {
        if (strcmp(floods[i].name, word))
            continue;
        printf("flood: %s\n", word);
        floods[i].fn();
    }
    bh_panic("flood=%s is not known", word);
}
