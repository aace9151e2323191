/* SPDX-License-Identifier: MIT */
/* What a Linux can hold of its clients' words, and what it is told. */
#include "store/linux.h"
#include <errno.h>
#include <string.h>
#include "store/nodes.h"

/* --- what it can hold -------------------------------------------------------------------------- */
int linux_vif_fits(const struct dom *d, unsigned i, const struct dom *b, struct errbuf *e)
{
    const struct cfg_vif *c = &d->cfg.vif[i];
    static const uint8_t none[6];
    const char *what = c->slot.vlan || c->slot.trunk[0] ? "VLANs are its own bridges' there"
                       : c->slot.nr_ips                 ? "ip= is not enforced there"
                       : c->any || memcmp(c->slot.other[0], none, 6) ? "allow= is not enforced there"
                                                                     : NULL;

    return what ? fail(e, -EINVAL, "%s: vif %u: %s is a Linux: %s", d->cfg.name, i, b->cfg.name, what)
                : 0;
}

/* Who has the same, one of the two to write. A path may have other names: its script looks at what it opened. */
static const struct dom *in_use(const struct dom *d, const struct cfg_disk *c)
{
    for (const struct dom *o = doms; o; o = o->next)
        for (unsigned i = 0; i < o->nr_devs && strcmp(o->cfg.name, d->cfg.name) != 0; i++) {
            const struct cfg_disk *k = &o->cfg.disk[o->dev[i].index];
            if (o->dev[i].kind == DEV_VBD && !strcmp(k->backend, c->backend) &&
                k->kind == c->kind && !strcmp(k->volume, c->volume) &&
                (k->mode[0] == 'w' || c->mode[0] == 'w') && k->mode[1] != '!' && c->mode[1] != '!')
                return o;
        }
    return NULL;
}

int linux_disk_fits(const struct dom *d, unsigned i, const struct dom *b, struct errbuf *e)
{
    const struct cfg_disk *c = &d->cfg.disk[i];

    if (c->kind == DISK_VOLUME)
        return fail(e, -EINVAL,
                    "%s: disk %s: %s is a Linux: phy:/dev/NAME, file:/PATH or nbd:HOST:PORT there",
                    d->cfg.name, c->vdev, b->cfg.name);
    if (c->limit_ops || c->limit_bytes)
        return fail(e, -EINVAL, "%s: disk %s: %s is a Linux: limits are not enforced there",
                    d->cfg.name, c->vdev, b->cfg.name);
    const struct dom *o = in_use(d, c);
    return o ? fail(e, -EBUSY, "%s: disk %s: %s has %.60s already", d->cfg.name, c->vdev,
                    o->cfg.name, c->volume)
             : 0;
}

/* --- what it is told --------------------------------------------------------------------------- */
void linux_nodes(struct txn *t, const struct dom *d, const struct dom_dev *v, const char *be)
{
    static const char *const types[] = { [DISK_VOLUME] = "phy", "phy", "file", "nbd" };

    if (v->kind == DEV_VIF) {
        const struct cfg_vif *c = &d->cfg.vif[v->index];
        char rate[48];
        node(t, "vif-bridge", NULL, "%s/script", be);
        snprintf(rate, sizeof(rate), "%lu,%u", c->rate * c->rate_us / 1000000, c->rate_us);
        if (c->rate)
            node(t, rate, NULL, "%s/rate", be);
        return;
    }
    const struct cfg_disk *c = &d->cfg.disk[v->index];
    node(t, types[c->kind], NULL, "%s/type", be);
    node(t, "raw", NULL, "%s/format", be);
    node(t, c->kind == DISK_NBD ? "block-nbd" : "block", NULL, "%s/script", be);
}
