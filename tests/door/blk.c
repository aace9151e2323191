/* SPDX-License-Identifier: MIT */
/* What a block driver domain leaves that somebody took over. See door.h. It writes nothing to the disk: that it can is known. */
#include "door.h"
#include <stdio.h>
#include <string.h>
#include "vbd.h"

#define EACH_CONNECTED(v) \
    EACH_VBD(v)           \
    if (v->connected)

static void save(struct keep_page *p, const struct keep_head *h)
{
    keep_record_save(&p->head, h, p->head.magic, KEEP_VERSION, sizeof(*h));
}

static struct vbd *another(const struct vbd *than)
{
    EACH_CONNECTED(v)
    {
        if (v != than)
            return v;
    }
    return NULL;
}

/* All pages of one connection. */
static void save_all(struct vbd *v,
                     void (*change)(struct keep_head *h, const struct keep_head *o, uint64_t round),
                     const struct keep_head *o, uint64_t round)
{
    for (unsigned q = 0; q < v->conn.head.nr_queues; q++) {
        for (unsigned p = 0; p < v->conn.head.nr_pages; p++) {
            struct keep_head h = v->conn.q[q].page[p]->head;
            change(&h, o, round);
            save(v->conn.q[q].page[p], &h);
        }
    }
}

static void each_lies(void (*change)(struct keep_head *h, const struct keep_head *o, uint64_t round),
                      uint64_t round)
{
    static struct keep_head old[BB_MAX_DISKS];

    EACH_CONNECTED(v)
    old[v - vbds] = v->conn.head;
    EACH_CONNECTED(v)
    {
        struct vbd *o = another(v);
        save_all(v, change, &old[o ? o - vbds : v - vbds], round);
    }
}

static void lie_extent(struct keep_head *h, const struct keep_head *o, uint64_t round)
{
    switch (round % 4) {
    case 0:
        h->first = o->first;
        h->nr_sectors = o->nr_sectors;
        break;
    case 1:
        h->first = 0;
        h->nr_sectors = blk.dev[0]->nr_sectors;
        break;
    case 2: h->nr_sectors = ~0ull; break;
    default: h->first += h->nr_sectors; break;
    }
}

static void lie_mode(struct keep_head *h, const struct keep_head *o, uint64_t round)
{
    (void)o;
    switch (round % 4) {
    case 0: h->flags ^= KEEP_F_WRITE; break;
    case 1: h->flags ^= KEEP_F_FORCE | KEEP_F_LARGE; break;
    case 2: h->sector_size = 4096; break;
    default: h->max_segs = 0xffffffffu; break;
    }
}

static void lie_owner(struct keep_head *h, const struct keep_head *o, uint64_t round)
{
    uint32_t ref = h->ref[0];

    switch (round % 5) {
    case 0: h->domid = o->domid; break;
    case 1: h->slot_gen++; break;
    case 2: h->devid++; break;
    case 3:
        h->ref[0] = h->ref[1];
        h->ref[1] = ref;
        break;
    default: h->port = door_random() % 64; break;
    }
}

static void extent(uint64_t round) { each_lies(lie_extent, round); }
static void mode(uint64_t round) { each_lies(lie_mode, round); }
static void owner(uint64_t round) { each_lies(lie_owner, round); }

/* A second record of one disk, in pages that are free. */
static void second(uint64_t round)
{
    struct vbd *v = another(NULL);
    struct keep_conn c;

    if (!v)
        return;
    c = v->conn;
    c.head.gen += round & 1;
    c.head.nr_queues = c.head.nr_pages = 1;
    if (keep_open(&blk.keep, &c))
        printf("door: no page is free\n");
}

static void random_bytes(uint64_t round)
{
    for (unsigned i = 0; i < blk.keep.n; i++) {
        struct keep_page *p = &blk.keep.page[i];
        uint32_t magic = door_random() & 1 ? KEEP_MASTER_MAGIC : KEEP_PAGE_MAGIC, *w = (uint32_t *)p;
        if ((round & 1) && !(i % 3))
            continue;
        for (unsigned n = 0; n < PAGE_SIZE / 4; n++)
            w[n] = door_random();
        p->head.magic = magic;
        struct keep_head h = p->head;
        save(p, &h);
    }
}

/* Requests that are with the device ask for other sectors, with right checks. false: there is none. */
static bool other_sectors(struct keep_page *p, const struct vbd *v, uint64_t round)
{
    const struct vbd *o = another(v);
    bool any = false;

    for (unsigned i = 0; i < KEEP_ENTRIES; i++) {
        struct keep_entry *e = &p->entry[i];
        if (keep_state_of(e->state) != KEEP_TAKEN)
            continue;
        uint64_t there = o ? o->disk.first - v->disk.first : v->disk.nr_sectors;
        e->sector = round % 3 == 0 ? there : round % 3 == 1 ? v->disk.nr_sectors : ~0ull - 7;
        e->check = keep_entry_check(e);
        e->state = keep_state(KEEP_TAKEN, 0, 0, e->check);
        any = true;
    }
    return any;
}

static void journal(uint64_t round)
{
    uint64_t end = now_ns() + 3000000000ull;
    bool any = false;

    while (!any && now_ns() < end) {
        deadline_feed(2000);
        blk.bb.now = now_ns();
        (void)bb_round(&blk.bb, blk.dev, blk.nr_devs);
        EACH_CONNECTED(v)
        {
            for (unsigned q = 0; q < v->conn.head.nr_queues; q++)
                for (unsigned p = 0; p < v->conn.head.nr_pages; p++)
                    any |= other_sectors(v->conn.q[q].page[p], v, round);
        }
    }
    printf("door: requests in flight: %s\n", any ? "yes" : "none");
}

static void nodes(uint64_t round)
{
    EACH_CONNECTED(v)
    {
        struct vbd *o = another(v);
        door_nodes("vbd", v->be.dom, v->be.devid, o ? o->be.dom : DOMID_SELF, round);
    }
    for (unsigned i = 0; i < 8; i++) {
        char path[32];
        snprintf(path, sizeof(path), "volumes/%u", i);
        if (round & 1)
            xs_rm(0, path);
        else
            xs_write(0, path, "1 1 left nobody:w");
    }
    xs_write(0, "error", "nothing works");
}

static void ignored(struct blk_io *io) { (void)io; }

/*
 * Reads into what is not for data, left with the controller. Only where it may write, data, keep pages, stack: QEMU 7.2 ends by a
 * segmentation fault when its NVMe is reset while a read waits that the IOMMU blocked. What is blocked is tried with the NIC.
 */
static void dma(uint64_t round)
{
    static const uint8_t targets[] = { 2, 3, 5 };
    static struct blk_io io[64];

    for (unsigned i = 0; blk.nr_devs && i < ARRAY_SIZE(io); i++) {
        io[i] = (struct blk_io){ .op = BLK_READ, .sector = 0, .done = ignored, .nr_segs = 16 };
        io[i].nr_sectors = 16 * BLK_SEG_BYTES / 512;
        for (unsigned s = 0; s < 16; s++)
            io[i].seg[s] = (struct blk_seg){ door_target(targets[round % 3]), BLK_SEG_BYTES };
        if (blk.dev[0]->ops->submit(blk.dev[0], &io[i]))
            break;
    }
    if (blk.nr_devs)
        blk.dev[0]->ops->poll(blk.dev[0]); /* rings the doorbell */
    if (round & 1)
        door_linger();
}

const struct door_attack door_attacks[] = {
    { "extent", extent },
    { "mode", mode },
    { "owner", owner },
    { "second", second },
    { "random", random_bytes },
    { "journal", journal },
    { "nodes", nodes },
    { "dma", dma },
    { NULL, NULL },
};
