/* SPDX-License-Identifier: MIT */
/* The controller of the block driver domain: finding and starting it, and what is wrong with it. */
#include <device.h>
#include <loop.h>
#include <stdio.h>
#include "relay.h"
#include "vbd.h"

static char refusal[160]; /* "": it has no controller */

const char *dev_problem(void)
{
    static char both[240];
    const struct blkdev *d = blk.dev[0];
    const char *first = relay_problem();

    if (!blk.nr_devs)
        return refusal[0] ? refusal : first ? first : "it has no controller";
    if (!first)
        first = d->left_out;
    if (!first)
        return volumes_problem();
    snprintf(both, sizeof(both), "%s%s%s", first, volumes_problem()[0] ? "; " : "",
             volumes_problem());
    return both;
}

static const char *controller_start(const struct bh_pci_info *pci, const void *arg)
{
    const struct blk_driver *drv = arg;
    struct blkdev *d = NULL;
    const char *why = drv->start(pci, wakes_only, NULL, &d);

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
    blk.dev[blk.nr_devs++] = d;
    return NULL;
}

static bool is_nvme(const struct bh_pci_info *pci) { return nvme_driver.match(pci); }
static bool is_virtio_blk(const struct bh_pci_info *pci) { return virtio_blk_driver.match(pci); }

void controller_find(void)
{
    static const struct device_driver drivers[] = {
        { is_nvme, nvme_trial, controller_start, &nvme_driver },
        { is_virtio_blk, virtio_blk_trial, controller_start, &virtio_blk_driver },
    };
    struct bh_pci_info pci;
    const char *why = NULL;

    enum device_state state = device_find(drivers, ARRAY_SIZE(drivers),
                                          "neither NVMe nor virtio-blk", &pci, &why);
    if (state == DEVICE_NONE)
        relay_begin();
    if (state != DEVICE_REFUSED)
        return;
    /* It worked when they got it, and a new attempt is all that there is to do. */
    if (be_any_slot(SLOT_VBD))
        bh_panic("the controller does not start again: %s", why);
    device_refused(refusal, sizeof(refusal), "controller", &pci, why);
}
