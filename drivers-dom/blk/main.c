/* SPDX-License-Identifier: MIT */
/*
 * blk: a block driver domain. Peers and rights:
 *   front-ends      their rings are mapped, data move by grant copy; hostile
 *   the controller  own device behind the IOMMU (dev_dma_enable, interrupts); its DMA reaches this domain's memory only
 *   the store       own back-end directories; read: the front-ends' ones and pciback's snapshot of the device; may be away
 * It may be killed at any instruction: keep.h and journal.h. It works in rounds (blkback.h), one exit each while there is work.
 */
#include <errno.h>
#include <pcicfg.h>
#include <slot_table.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vbd.h"

#define SERVE_NS 2000000ull /* then timers and the store get their turn */
#define PUBLISH_NS 200000000ull
#define POOL_STEP 256u /* pages */

struct blk blk;
static uint64_t deadline_ms = 2000, last_kick;

/* Called after a round that did something, or one that found nothing to do: either way this instance is well. */
static void kick(uint64_t now)
{
    if (last_kick && now - last_kick < deadline_ms * (1000000 / 8))
        return;
    last_kick = now;
    if (deadline_ms)
        deadline_kick(deadline_ms);
}

/* Memory is zeroed when it is allocated, which would show in the outage of a restart: the pool begins small and grows on demand, but
 * for an eighth of what is free, which the store's answers may need. */
static void pool_grow(void)
{
    unsigned n = POOL_STEP;
    void *mem = NULL;

    for (; !mem && n; n /= 2) {
        if (page_avail() > n + n / 8 + 16)
            mem = page_alloc(n);
        if (mem)
            bb_pool_add(&blk.bb, mem, n);
    }
}

/* Works until nothing is left and everybody will send an event with what comes next: true. false: time for others. */
static bool serve(void)
{
    uint64_t start = now_ns(), now = start;
    unsigned nr = blk.dev != NULL;

    for (;;) {
        blk.bb.now = now;
        bool work = bb_round(&blk.bb, &blk.dev, nr);
        if (blk.bb.answered)
            bh_served();
        if (blk.bb.starving && blk.bb.nr_pages < BB_MAX_PAGES)
            pool_grow();
        now = now_ns();
        kick(now);
        if (now - start > SERVE_NS)
            return false;
        if (!work && !bb_arm(&blk.bb, &blk.dev, nr))
            return true;
    }
}

/* Called while a store call waits. Events are taken too: one that stays pending would look like sleeping through it (the hang
 * deadline), and the next one could not wake the call again. */
static void idle(void)
{
    xs_idle_events();
    if (!serve())
        xs_idle_soon();
}

/* --- the controller ------------------------------------------------------------------------------------------- */

enum { DEV_NONE, DEV_UP, DEV_REFUSED };
static const struct {
    const struct blk_driver *drv;
    const char *(*trial)(const struct bh_pci_info *dev);
} drivers[] = {{&nvme_driver, nvme_trial}, {&virtio_blk_driver, virtio_blk_trial}};
static int dev_state;

static char refusal[160];

const char *dev_problem(void)
{
    static char both[240];

    if (!blk.dev)
        return dev_state == DEV_NONE ? "it has no controller" : refusal;
    if (!blk.dev->left_out)
        return volumes_problem();
    snprintf(both, sizeof(both), "%s%s%s", blk.dev->left_out, volumes_problem()[0] ? "; " : "", volumes_problem());
    return both;
}

static void dev_irq(uint32_t port, void *arg)
{
    (void)port, (void)arg; /* the next round looks */
}

static const char *dev_start(const struct blk_driver *drv, const struct bh_pci_info *pci)
{
    struct blkdev *d = NULL;
    const char *why = drv->start(pci, dev_irq, NULL, &d);

    if (why)
        return why;
    if (d->max_bytes < 65536 || d->max_segs < 16 || (d->sector_size != 512 && d->sector_size != 4096))
        why = "it cannot do what blkback needs";
    else
        why = volumes_scan(d);
    if (why) {
        drv->stop();
        return why;
    }
    blk.dev = d;
    dev_state = DEV_UP;
    return NULL;
}

/* Some guest has a disk of ours: who has what says the slot table. */
static bool guests_wait(void)
{
    const struct slot_entry *e = self.table;

    for (unsigned i = 0; i < self.nr_table * (PAGE_SIZE / sizeof(*e)); i++)
        if (slot_live(&e[i]) && slot_kind(&e[i]) == SLOT_VBD)
            return true;
    return false;
}

/* The core says what it is and where its registers are, in every life alike: nothing is remembered of it and nobody else asked. */
static void dev_find(void)
{
    const char *why = "neither NVMe nor virtio-blk";
    struct bh_pci_info pci = {.index = 0};

    if (bh_service(BH_SVC_DEVICES, &pci))
        return;
    for (unsigned i = 0; i < ARRAY_SIZE(drivers); i++)
        if (drivers[i].drv->match(&pci)) {
            why = drivers[i].trial(&pci);
            if (!why)
                why = dev_start(drivers[i].drv, &pci);
        }
    if (!why)
        return;
    /* It worked when they got it, and a new attempt is all that there is to do. */
    if (guests_wait())
        bh_panic("the controller does not start again: %s", why);
    dev_state = DEV_REFUSED;
    snprintf(refusal, sizeof(refusal), "controller " PCI_FMT " refused: %s", PCI_ARGS(pci.sbdf), why);
    printf("%s: %s\n", self.name, refusal);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void memory_init(void)
{
    unsigned nr_keep = self.nr_keep;
    void *keep = self.keep;

    if (!nr_keep) {
        nr_keep = 16;
        printf("%s: no keep pages: a restart will find nothing\n", self.name);
        keep = page_alloc(nr_keep);
    }
    if (!keep)
        bh_panic("no memory for keep records");
    keep_init(&blk.keep, keep, nr_keep);
}

/* Adopts, says so. The store is looked at only afterwards. */
static void begin(uint64_t start)
{
    bb_init(&blk.bb, &blk.batch);
    batch_left_to_wait(&blk.batch);
    pool_grow();
    if (blk.bb.nr_pages <= BLK_MAX_SEGS)
        bh_panic("no memory for data: ram= is too small");
    unsigned n = vbds_adopt();
    blk.bb.now = now_ns();
    (void)bb_round(&blk.bb, &blk.dev, blk.dev != NULL);
    batch_flush(&blk.batch); /* what the last instance published and did not tell */
    bh_service(BH_SVC_ADOPTED, NULL);
    printf("%s: up, %s", self.name, blk.dev ? blk.dev->model : "no disk");
    if (blk.dev)
        printf(" of %lu MiB, sectors of %u", blk.dev->nr_sectors >> 11, blk.dev->sector_size);
    if (blk.dev && blk.dev->left_out)
        printf(" (%s)", blk.dev->left_out);
    printf(", %u vbds adopted, %lu us\n", n, (now_ns() - start) / 1000);
    xs_idle = idle;
}

static uint64_t earlier(uint64_t a, uint64_t b) { return !a || (b && b < a) ? b : a; }

/* Tells the store who uses what, when that may have changed, and who did what. Returns when to come again, 0: nothing to say. */
static uint64_t publish(bool changed)
{
    static bool due = true;
    static uint64_t next;

    be_problem(dev_problem());
    due |= changed;
    if (due && now_ns() >= next) {
        due = volumes_publish();
        next = now_ns() + PUBLISH_NS;
    }
    return earlier(due ? next : 0, vbds_say_stats());
}

int main(void)
{
    uint64_t start = now_ns();
    char word[16];

    if (cmdline_get("deadline", word, sizeof(word)))
        deadline_ms = strtoul(word, NULL, 10);
    kick(start);
    memory_init();
    dev_find();
    begin(start);
    for (;;) {
        bool quiet = serve();
        uint64_t until = publish(vbds_store_work());
        /* Calls to the store may have left work behind: look once more before sleeping. */
        if (bb_arm(&blk.bb, &blk.dev, blk.dev != NULL))
            quiet = false;
        event_wait(quiet ? earlier(until, blk.bb.retry) : 1);
    }
}
