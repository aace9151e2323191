/* SPDX-License-Identifier: MIT */
/*
 * net: a net driver domain. Peers and rights:
 *   front-ends    their Tx and Rx rings are mapped, packets move by grant copy; hostile
 *   the NIC       own device behind the IOMMU (dev_dma_enable, one interrupt); its DMA reaches this domain's memory only
 *   the store     own back-end directories; read: the front-ends' ones and pciback's snapshot of the NIC; may be away
 * It may be killed at any instruction: keep.h and adopt.c. It works in rounds (netback.h), one exit each while there is work.
 */
#include <errno.h>
#include <pcicfg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "net.h"
#include "vif.h"

#define SERVE_NS  2000000ull /* then timers and the store get their turn */

_Static_assert(VNET_PORTS == SW_PORTS, "a share for each port");

struct net net;
static struct pkt pkts[PKT_NR];
/* In .bss, which is zero frames that nobody has to touch: a restart neither clears nor searches for them. */
static _Alignas(PAGE_SIZE) uint8_t buffers[PKT_NR][PKT_BUF];
static uint64_t deadline_ms = 2000, last_kick;
static bool served;

/* --- frames ----------------------------------------------------------------------------------------------- */

static void forward(void *arg, struct pkt *p)
{
    unsigned from = (unsigned)(uintptr_t)arg;
    uint32_t to = switch_route(&net.sw, from, p->data, p->len, last_kick);

    if (to && (p->flags & PKT_CSUM_BLANK)) {
        if (!pkt_csum_find(p)) {
            net.sw.port[from].no_csum++;
            return;
        }
        /* Each receiver would finish it its own way, in the one buffer they share. */
        if (to & (to - 1))
            pkt_csum_fill(p);
    }
    p->from = (uint8_t)from;
    if (to & 1u << SW_UPLINK)
        vnet_send(&net.uplink, p);
    for (to &= ~(1u << SW_UPLINK); to; to &= to - 1)
        vif_offer(&vifs[__builtin_ctz(to)], p);
}

#define EACH_CONNECTED(v) \
    for (struct vif *v = vifs + 1; v < vifs + SW_PORTS; v++) \
        if (v->connected)

/* A frame has arrived somewhere. That a guest's frame was taken says nothing: the NIC may never do anything with it. */
static bool answered(void)
{
    if (net.uplink.rx_packets || net.uplink.tx_packets > vnet_in_flight(&net.uplink))
        return true;
    EACH_CONNECTED(v) {
        if (v->nb.stats.rx_packets)
            return true;
    }
    return false;
}

/* One round; true if anything moved. */
static bool serve_round(void)
{
    struct batch *b = &net.batch;
    struct nb *on[SW_PORTS];
    unsigned nr_on = 0, sends = b->nr_sends, work = vnet_receive(&net.uplink, 64, forward, (void *)(uintptr_t)SW_UPLINK);

    EACH_CONNECTED(v)
        on[nr_on++] = &v->nb;
    work += nb_collect(on, nr_on, b);
    net.uplink.tx_share = (uint16_t)(nr_on ? VQ_SIZE / nr_on : VQ_SIZE);
    if (b->nr_copies || (sends && work))
        batch_flush(b);
    EACH_CONNECTED(v) {
        nb_finish_tx(&v->nb, b, forward, (void *)(uintptr_t)(v - vifs));
        nb_finish_rx(&v->nb, b);
        nb_push(&v->nb, b);
    }
    vnet_kick(&net.uplink);
    return work != 0;
}

static bool arm(void)
{
    bool again = vnet_arm(&net.uplink);

    EACH_CONNECTED(v)
        again |= nb_arm(&v->nb);
    return again;
}

/* Called after a round that did something, or one that found nothing to do: either way this instance is well. */
static void kick(uint64_t now)
{
    if (last_kick && now - last_kick < deadline_ms * (1000000 / 8))
        return;
    last_kick = now;
    if (deadline_ms)
        deadline_kick(deadline_ms);
    if (!vnet_sane(&net.uplink))
        bh_panic("the NIC asks for a reset");
}

/* Works until nothing is left and everybody will send an event with the next packet: true. false: time for others. */
static bool serve(void)
{
    uint64_t start = now_ns(), now = start;

    for (;;) {
        bool work = serve_round();
        now = now_ns();
        kick(now);
        if (!served && (served = answered()))
            bh_served();
        if (now - start > SERVE_NS)
            return false;
        if (work)
            continue;
        if (!arm())
            return true;
        /* Requests wait and there is no buffer: they come back from the NIC, which does not say when. */
        if (!net.pool.free)
            return true;
    }
}

static void idle(void)
{
    xs_idle_events();
    if (!serve())
        xs_idle_soon();
}

/* --- the uplink ----------------------------------------------------------------------------------------------- */

static uint8_t *keep;

static void nic_irq(uint32_t port, void *arg)
{
    (void)port, (void)arg; /* the next round looks */
}

/* The core says where its registers are, in every life alike: nothing is remembered of it and nobody else asked. */
static void uplink_find(void)
{
    struct bh_pci_info nic = {.index = 0};

    if (bh_service(BH_SVC_DEVICES, &nic))
        return; /* an internal switch */
    const char *why = virtio_is(&nic, VIRTIO_TYPE_NET) ? nic_trial(&nic) : "it is no virtio-net, the one kind that is driven";
    if (!why)
        why = vnet_start(&net.uplink, &nic, &net.pool, nic_irq, NULL);
    if (!why) {
        switch_port_up(&net.sw, SW_UPLINK, NULL);
        return;
    }
    snprintf(net.refusal, sizeof(net.refusal), "NIC " PCI_FMT " refused: %s", PCI_ARGS(nic.sbdf), why);
    printf("%s: %s\n", self.name, net.refusal);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static struct keep_vif *keep_page(unsigned port) { return (struct keep_vif *)(keep + port * PAGE_SIZE); }

static void memory_init(void)
{
    pkt_pool_init(&net.pool, pkts, buffers[0], PKT_NR);
    keep = self.keep;
    if (self.nr_keep < SW_PORTS) {
        printf("%s: %u keep pages, %u are needed: a restart will find nothing\n", self.name, self.nr_keep, SW_PORTS);
        keep = page_alloc(SW_PORTS);
    }
    if (!keep)
        bh_panic("no memory for keep records");
}

static void say_adopted(unsigned vifs_kept, uint64_t start)
{
    bh_service(BH_SVC_ADOPTED, NULL);
    (void)serve(); /* what waited since the last life goes before words about it */
    printf("%s: up, uplink %s%s, %u vifs adopted, %lu us\n", self.name,
           net.uplink.up ? "virtio-net" : net.refusal[0] ? "not there" : "none",
           net.uplink.up && (net.uplink.dev.features & VIRTIO_NET_F_CSUM) ? " (checksum offload)" : "", vifs_kept,
           (now_ns() - start) / 1000);
}

int main(void)
{
    uint64_t start = now_ns();
    char word[16];

    if (cmdline_get("deadline", word, sizeof(word)))
        deadline_ms = strtoul(word, NULL, 10);
    kick(start);
    batch_left_to_wait(&net.batch);
    memory_init();
    uplink_find();
    unsigned kept = vifs_adopt(keep_page);
    batch_flush(&net.batch); /* what the last instance published and did not tell */
    say_adopted(kept, start);
    for (;;) {
        bool quiet = serve();
        xs_idle = idle;
        vifs_store_work();
        uint64_t until = vifs_say_stats();
        /* Calls to the store may have left work behind: look once more before sleeping. */
        if (arm() && net.pool.free)
            quiet = false;
        event_wait(!quiet ? 1 : net.pool.free ? until : now_ns() + 1000000);
    }
}
