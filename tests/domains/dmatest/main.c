/* SPDX-License-Identifier: MIT */
/*
 * A driver domain that turns on the others: it brings its NIC up with the net driver domain's own driver, sees an ARP answer arrive, then
 * points the receive queue at an address outside of its memory and asks again. Nothing may arrive, and the core has to say so.
 */
#include <device.h>
#include <errno.h>
#include <string.h>
#include "virtio_net.h"

#define FOREIGN 0x40000000ul /* no such memory here; on the machine it is somebody's RAM */
#define NR_PKT  600u

static struct vnet nic;
static struct pkt_pool pool;
static struct pkt pkts[NR_PKT];
static const uint8_t mac[6] = { 0x00, 0x16, 0x3e, 0x00, 0x00, 0x77 };
static bool answered;

static void irq(uint32_t port, void *arg) { (void)port, (void)arg; }

static void deliver(void *arg, struct pkt *p)
{
    (void)arg;
    /* An ARP reply to us. */
    if (p->len >= 42 && p->data[12] == 0x08 && p->data[13] == 0x06 && p->data[21] == 2 &&
        !memcmp(p->data, mac, 6))
        answered = true;
}

static void ask(void)
{
    static const uint8_t arp[42] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x16, 0x3e, 0x00, 0x00, 0x77, 0x08, 0x06,
        0,    1,    8,    0,    6,    4,    0,    1,    0x00, 0x16, 0x3e, 0x00, 0x00, 0x77,
        10,   0,    2,    77,   0,    0,    0,    0,    0,    0,    10,   0,    2,    2,
    };
    struct pkt *p = pkt_alloc(&pool);

    if (!p)
        bh_panic("no packet");
    memcpy(p->data, arp, sizeof(arp));
    p->len = sizeof(arp);
    p->flags = 0;
    nic_send(&nic.nic, p);
    pkt_put(&pool, p);
    nic_notify(&nic.nic);
}

static bool ask_and_wait(void)
{
    uint64_t end = now_ns() + 2 * NS_PER_S;

    answered = false;
    ask();
    while (!answered && now_ns() < end) {
        nic_receive(&nic.nic, 64, deliver, NULL);
        nic_notify(&nic.nic);
        if (!nic_arm(&nic.nic))
            event_wait(now_ns() + 10 * NS_PER_MS);
    }
    return answered;
}

static const char *bring_up(void)
{
    struct bh_pci_info dev = { .index = 0 };
    uint8_t *mem = page_alloc(NR_PKT * PKT_BUF / PAGE_SIZE);

    if (!mem)
        return "no memory";
    pkt_pool_init(&pool, pkts, mem, NR_PKT);
    if (bh_svc_devices(&dev))
        return "no device";
    return nic_start(&nic.nic, &virtio_net, &dev, &pool, irq, NULL);
}

int main(void)
{
    const char *why = bring_up();

    bh_svc_adopted();
    if (why)
        bh_panic("dmatest: %s", why);
    printf("dmatest: own buffer received: %s\n", ask_and_wait() ? "yes" : "no");
    for (unsigned i = 0; i < VQ_SIZE; i++) {
        nic.rx.r.desc[i].addr = FOREIGN + i * 4096ul;
        /* A header that was not written, in a buffer that is said to be used, would end the driver before the answer is known. */
        if (nic.rx.pkt[i])
            ((struct virtio_net_hdr *)(nic.rx.pkt[i]->data - sizeof(struct virtio_net_hdr)))
                ->num_buffers = 1;
    }
    mb();
    printf("dmatest: foreign buffer received: %s\n", ask_and_wait() ? "yes" : "no");
    for (;;)
        event_wait(0);
}
