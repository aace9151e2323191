/* SPDX-License-Identifier: MIT */
/* vnet_world.h. */
#include "vnet_world.h"

jmp_buf dead;
bool may_die;
void bh_panic(const char *fmt, ...)
{
    if (may_die)
        longjmp(dead, 1);
    fail_msg("%s", fmt);
    __builtin_unreachable();
}
long hypercall(unsigned nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d) { return 0; }
struct virtio_common common;
uint8_t devcfg[12];
const char *virtio_pci_map(struct virtio_dev *v, const struct bh_pci_info *dev, unsigned type)
{
    v->common = &common;
    v->devcfg = devcfg;
    v->devcfg_len = sizeof(devcfg);
    return NULL;
}
bool virtio_reset(struct virtio_dev *v) { return true; }
uint64_t asked_for, offered;
const char *virtio_negotiate(struct virtio_dev *v, uint64_t wanted)
{
    asked_for = wanted;
    v->features = offered & wanted;
    return offered ? NULL : "no device";
}
void vring_notify(const struct virtio_dev *v, struct vring *q) {}
event_fn irq[2];
bool one_vector;
const char *pci_irq_bind(uint32_t sbdf, unsigned entry, event_fn fn, void *arg)
{
    irq[entry] = fn;
    return one_vector && entry ? "no such vector" : NULL;
}
