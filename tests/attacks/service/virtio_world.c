/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/lib/virtio_pci.c
/* virtio_world.h. */
#include "virtio_world.h"

_Alignas(4096) uint8_t bar[0x4000], keep[16 * 4096];
struct bh_self self = { .name = "driver", .keep = keep, .nr_keep = 16 };

volatile void *mmio_map(uint64_t gpa, uint64_t len) { return bar + (gpa - BAR_GPA); }
uint64_t now_ns(void)
{
    static uint64_t t;
    return t += 1000;
}
unsigned event_wait(uint64_t until) { return 0; }
void dtimer_set(struct dtimer *t, uint64_t when) {}
void dtimer_cancel(struct dtimer *t) {}
void bh_panic(const char *fmt, ...)
{
    printf("panic: %s\n", fmt);
    _Exit(2);
}
void shared_stored(void) {}
void *page_alloc(unsigned n) { return calloc(n, 4096); }
const char *pci_irq_bind(uint32_t sbdf, unsigned entry, event_fn fn, void *arg) { return NULL; }

struct bh_pci_info virtio_device(uint32_t sbdf, uint16_t device)
{
    return (struct bh_pci_info){ .sbdf = sbdf,
                                 .vendor = 0x1af4,
                                 .device = device,
                                 .irqs = 2,
                                 .bar[4] = { .gpa = BAR_GPA, .size = sizeof bar, .flags = 1 },
                                 .virtio = { .common = BAR_GPA,
                                             .common_len = 0x1000,
                                             .notify = BAR_GPA + 0x3000,
                                             .notify_len = 0x1000,
                                             .notify_mult = 4,
                                             .device = BAR_GPA + 0x2000,
                                             .device_len = 0x1000 } };
}
void keep_full_of(uint64_t word)
{
    for (unsigned i = 0; i + 8 <= sizeof keep; i += 8)
        *(uint64_t *)(keep + i) = word;
}
