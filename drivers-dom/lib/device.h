/* SPDX-License-Identifier: MIT */
/*
 * A driver domain's own PCI device: finding it, its interrupt, and the memory that outlives the one who drives it. What it is and where its
 * registers are says the core (BH_SVC_DEVICES) in every life alike: nothing is remembered of it, and nobody else asked.
 */
#pragma once
#include <bh.h>
#include <devname.h>

/* One kind of device that the domain can drive. */
struct device_driver {
    bool (*match)(const struct bh_pci_info *dev);
    const char *(*trial)(
        const struct bh_pci_info *dev); /* of its IOMMU unit (trial.h). NULL, or why the device must not be used */
    const char *(*start)(const struct bh_pci_info *dev,
                         const void *arg); /* resets it, then DMA, then the rest. NULL, or why not */
    const void *arg;
};
enum device_state { DEVICE_NONE, DEVICE_UP, DEVICE_REFUSED };

/* Starts the device by the first driver that matches. NULL, or why not (`foreign` if none matches): then it has no DMA. */
const char *device_start(const struct device_driver *drivers, unsigned n, const char *foreign,
                         const struct bh_pci_info *dev);
/* Finds the domain's only device and starts it. REFUSED: *dev and *why (`foreign` if none matches) say which
 * and why; it has no DMA. */
enum device_state device_find(const struct device_driver *drivers, unsigned n, const char *foreign,
                              struct bh_pci_info *dev, const char **why);
/* Makes the sentence of that, "NIC 0000:00:03.0 refused: ...", and prints it. */
void device_refused(char *text, size_t size, const char *what, const struct bh_pci_info *dev,
                    const char *why);

/* Between two looks at a device that is waited for since `start`: at once for a moment, then asleep, the longer the longer it took. Who else
 * has work on this CPU does not wait for a device that takes its time. May run handlers, as any wait. */
#define DEVICE_SPIN_NS (NS_PER_MS / 20)
static inline void device_pause(uint64_t start)
{
    uint64_t now = now_ns(), waited = now - start;

    if (waited < DEVICE_SPIN_NS)
        __builtin_ia32_pause();
    else
        event_wait(now + (waited < 2 * NS_PER_MS ? waited / 2 : NS_PER_MS));
}

/* Maps MSI-X entry `entry` and binds it. NULL, or why not. */
const char *pci_irq_bind(uint32_t sbdf, unsigned entry, event_fn fn, void *arg);

/* Memory for keep records: the keep pages, *n of them, if there are `least`; else `instead` pages of this life, which is said. */
void *keep_memory(unsigned least, unsigned instead, unsigned *n);
