/* SPDX-License-Identifier: MIT */
/* What a net driver domain leaves that somebody took over. See door.h. */
#include "door.h"
#include <stdio.h>
#include <string.h>
#include "net.h"
#include "vif.h"
#include "virtio_net.h"

#define EACH_RECORD(v)                                      \
    for (struct vif *v = vifs + 1; v < vifs + SW_VIFS; v++) \
        if (keep_vif_state(v->keep[0]) == KEEP_VALID)

static void save(struct keep_vif *k, const struct keep_vif_head *h)
{
    keep_record_save(&k->head, h, KEEP_VIF_MAGIC, KEEP_VERSION, sizeof(*h));
}

static struct vif *another(const struct vif *than)
{
    EACH_RECORD(v)
    {
        if (v != than)
            return v;
    }
    return NULL;
}

static void lie(struct keep_vif_head *h, const struct keep_vif_head *o, uint64_t round)
{
    uint32_t tx = h->tx_ref, port = h->tx_port;

    switch (round % 8) {
    case 0: memcpy(h->mac, o->mac, 6); break;
    case 1: h->domid = o->domid; break;
    case 2:
        h->features &= ~KEEP_F_MAC;
        memset(h->mac, 0, 6);
        break;
    case 3: h->slot_gen++; break;
    case 4:
        h->tx_ref = h->rx_ref;
        h->rx_ref = tx;
        break;
    case 5:
        h->tx_port = h->rx_port;
        h->rx_port = port;
        break;
    case 6: h->features ^= KEEP_F_SG | KEEP_F_CSUM4 | KEEP_F_CSUM6; break;
    default:
        h->tx_port = h->rx_port = door_random() % 64;
        h->tx_ref = door_random() % 1024;
        break;
    }
}

/* Whose, which address, which rings and ports: another one's, each with a right checksum. */
static void records(uint64_t round)
{
    static struct keep_vif_head old[SW_VIFS];

    EACH_RECORD(v)
    old[v - vifs] = v->keep[0]->head;
    EACH_RECORD(v)
    {
        struct vif *o = another(v);
        struct keep_vif_head h = old[v - vifs];
        lie(&h, &old[o ? o - vifs : v - vifs], round);
        save(v->keep[0], &h);
    }
}

/* Each has the page of the other. */
static void swapped(uint64_t round)
{
    static struct keep_vif copy;
    struct vif *a = another(NULL), *b = another(a);

    if (!b)
        return;
    copy = *a->keep[0];
    *a->keep[0] = *b->keep[0];
    *b->keep[0] = copy;
    if (round & 1) { /* and only what names it */
        struct keep_vif_head x = a->keep[0]->head, y = b->keep[0]->head;
        x.domid = b->keep[0]->head.domid;
        y.domid = a->keep[0]->head.domid;
        save(a->keep[0], &x);
        save(b->keep[0], &y);
    }
}

static void second(uint64_t round)
{
    EACH_RECORD(v)
    {
        struct vif *free = vifs + 1;
        while (free < vifs + SW_VIFS && keep_vif_state(free->keep[0]) != KEEP_EMPTY)
            free++;
        if (free == vifs + SW_VIFS)
            return;
        *free->keep[0] = *v->keep[0];
        if (round & 1) {
            struct keep_vif_head h = v->keep[0]->head;
            h.devid++;
            save(free->keep[0], &h);
        }
        return; /* the copy would be copied */
    }
}

static void random_bytes(uint64_t round)
{
    for (unsigned i = 1; i < SW_VIFS; i++) {
        struct keep_vif_head h;
        uint32_t *w = (uint32_t *)vifs[i].keep[0];
        if ((round & 1) && !(i % 3))
            continue;
        for (unsigned n = 0; n < sizeof(*vifs[i].keep[0]) / 4; n++)
            w[n] = door_random();
        memcpy(&h, w, sizeof(h));
        save(vifs[i].keep[0], &h);
    }
}

/* A sound record with lies about requests. */
static void requests(uint64_t round)
{
    EACH_RECORD(v)
    {
        struct keep_vif *k = v->keep[0];
        uint32_t pub = (uint32_t)k->rx.rsp_pub;
        for (uint32_t i = 0; i < KEEP_RING; i++) {
            uint32_t at = pub + i, e = at % KEEP_RING;
            k->rx_copy[e] = keep_rx(at, (uint16_t)door_random(),
                                    round & 1 ? door_random() % 4096 : 0xffffffffu);
            k->tx_copy[e] = keep_tx((uint32_t)k->tx.rsp_pub + i, (uint16_t)door_random(),
                                    door_random() & 1);
        }
        if (round % 3 == 0)
            k->tx.req_cons = keep_idx((uint32_t)k->tx.rsp_pub + 1 + door_random() % KEEP_RING);
        if (round % 3 == 1)
            k->rx.rsp_next = k->rx.req_cons = keep_idx(door_random());
    }
}

static void nodes(uint64_t round)
{
    EACH_RECORD(v)
    {
        struct vif *o = another(v);
        door_nodes("vif", v->be.dom, v->be.devid, o ? o->be.dom : DOMID_SELF, round);
    }
}

/* The receive queue points at what is not for packets, and the device is left running. */
static void dma(uint64_t round)
{
    struct vring *q = net.uplink[0] ? &((struct vnet *)net.uplink[0])->rx.r : NULL;

    for (unsigned i = 0; q && i < q->size; i++)
        q->desc[i].addr = (uint64_t)door_target(round % 7 == 6 ? i : round);
    wmb();
    nic_notify(net.uplink[0]);
    if (round % 3)
        door_linger();
}

const struct door_attack door_attacks[] = {
    { "records", records },   { "swapped", swapped },
    { "second", second },     { "random", random_bytes },
    { "requests", requests }, { "nodes", nodes },
    { "dma", dma },           { NULL, NULL },
};
