/* SPDX-License-Identifier: MIT */
/*
 * net: a net driver domain. Peers and rights:
 *   front-ends    their Tx and Rx rings are mapped, packets move by grant copy; hostile
 *   the NICs      own devices behind the IOMMU (dev_dma_enable, one interrupt each); their DMA reaches this domain's memory only
 *   the store     own back-end directories; read: the front-ends' ones; may be away
 * It may be killed at any instruction: keep.h and adopt.c. It works in rounds (loop.h, netback.h), one exit each while there is work.
 */
#include <device.h>
#include <loop.h>
#include <stdio.h>
#include "net.h"
#include "vif.h"

_Static_assert(BLAME_WORDS(SW_VIFS - 1) * 8 <= PAGE_SIZE, "page 0 is whose fault a death is");

static bool attached(uint32_t gen, uint64_t *chances)
{
    return be_gen_slot(SLOT_VIF, gen, chances);
}

static uint64_t store(void)
{
    uint64_t until = 0;

    vifs_store_work();
    for (unsigned b = 0; b < SW_UPLINKS; b++)
        until = earlier(until, nic_store(net.uplink[b]));
    return earlier(until, vifs_say_stats());
}

int main(void)
{
    static const struct driver driver = { .round = net_round,
                                          .arm = net_arm,
                                          .answered = net_answered,
                                          .check = uplinks_check,
                                          .store = store,
                                          .look_again = net_look_again };
    uint64_t start = now_ns();
    unsigned n;

    driver_begin(&driver);
    batch_left_to_wait(&net.batch);
    net_pool_init();
    uint8_t *keep = keep_memory(VIF_KEEP(1), VIF_KEEP(1), &n);
    while (vif_queues < KEEP_QUEUES && n >= VIF_KEEP(vif_queues + 1))
        vif_queues++;
    driver_blame((struct blame *)keep, SW_VIFS - 1, attached); /* page 0, which is no vif's */
    uplinks_find();
    n = vifs_adopt(keep);
    batch_flush(&net.batch); /* what the last instance published and did not tell */
    driver_adopted();
    (void)driver_serve(); /* what waited since the last life goes before words about it */
    printf("%s: up, %s, %u vifs adopted, %lu us\n", self.name, uplinks_text(), n,
           (now_ns() - start) / 1000);
    driver_run();
}
