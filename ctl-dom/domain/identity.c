/* SPDX-License-Identifier: MIT */
/*
 * UUIDs and addresses. Both stay in the configuration of the running domain, so the next life of a guest that reboots has the same.
 *
 * A UUID that is made anew is random; that it is unlike all others rests on RDRAND, and without that on the TSC. No secret hangs on it.
 */
#include "domain/identity.h"
#include <errno.h>
#include <string.h>
#include <uuid/uuid.h>
#include <sha256.h>
#include "domain/bridge.h"

void uuid_make(uint8_t uuid[16])
{
    static struct {
        uint8_t before[32];
        uint64_t tsc, now, hw[4];
    } seed;

    seed.tsc = __builtin_ia32_rdtsc();
    seed.now = now_ns();
    for (unsigned i = 0; i < ARRAY_SIZE(seed.hw); i++)
        seed.hw[i] = hw_random();
    sha256(&seed, sizeof(seed), seed.before);
    memcpy(uuid, seed.before, 16);
    uuid[6] = (uint8_t)(0x40 | (uuid[6] & 0x0f)); /* version 4 */
    uuid[8] = (uint8_t)(0x80 | (uuid[8] & 0x3f)); /* the variant of RFC 4122 */
}

/* Addresses that Xen's tools make up have the top bit of the fourth byte clear, so one that came with a configuration is not met. */
void mac_derive(const uint8_t uuid[16], unsigned i, unsigned nth, uint8_t mac[6])
{
    uint8_t text[18], digest[32];

    memcpy(text, uuid, 16);
    text[16] = (uint8_t)i;
    text[17] = (uint8_t)nth;
    sha256(text, sizeof(text), digest);
    const uint8_t own[6] = { 0x00, 0x16, 0x3e, (uint8_t)(0x80 | digest[0]), digest[1], digest[2] };
    memcpy(mac, own, 6);
}

static bool has_address(const struct cfg_vif *v)
{
    static const uint8_t none[6];

    return memcmp(v->mac, none, 6) != 0;
}

/* A domain but that one that has the address; on: only on the bridge of that one, NULL: on any. */
static struct dom *holder(const uint8_t mac[6], const struct cfg_vif *on, const struct dom *but,
                          unsigned *vif)
{
    for (struct dom *d = doms; d; d = d->next)
        for (*vif = 0; d != but && *vif < d->cfg.nr_vifs; ++*vif) {
            const struct cfg_vif *v = &d->cfg.vif[*vif];
            if (!memcmp(v->mac, mac, 6) && (!on || vifs_meet(on, v)))
                return d;
        }
    return NULL;
}

static int address_check(const struct domcfg *cfg, unsigned i, const struct dom *but,
                         struct errbuf *e)
{
    const struct cfg_vif *v = &cfg->vif[i];
    const struct dom *back = vif_backend(v), *d;
    char text[VIF_MAC];
    unsigned k;

    if (!back || !has_address(v)) /* without a switch it fails for that */
        return 0;
    mac_text(v->mac, text);
    for (k = 0; k < i; k++)
        if (!memcmp(cfg->vif[k].mac, v->mac, 6) && vifs_meet(v, &cfg->vif[k]))
            return fail(e, -EEXIST, "%s: vif %u and vif %u have the same address %s", cfg->name, k,
                        i, text);
    d = holder(v->mac, v, but, &k);
    return d ? fail(e, -EEXIST, "%s: vif %u: %s has the address %s already, %s its vif %u on %s",
                    cfg->name, i, d->cfg.name, text,
                    d->cfg.vif[k].has_mac ? "chosen for" : "made for", k,
                    *vif_bridge(back, v) ? vif_bridge(back, v) : back->cfg.name)
             : 0;
}

int identity_check(const struct domcfg *cfg, struct errbuf *e)
{
    return identity_check_next(cfg, NULL, e);
}

int identity_check_next(const struct domcfg *cfg, const struct dom *but, struct errbuf *e)
{
    int rc = 0;

    for (const struct dom *d = doms; d && !uuid_is_null(cfg->uuid); d = d->next)
        if (d != but && !memcmp(d->cfg.uuid, cfg->uuid, 16))
            return fail(e, -EEXIST, "%s: uuid: %s has the same", cfg->name, d->cfg.name);
    for (unsigned i = 0; !rc && i < cfg->nr_vifs; i++)
        rc = address_check(cfg, i, but, e);
    return rc;
}

void identity_fill(struct dom *d)
{
    unsigned vif;

    for (unsigned i = 0; i < d->cfg.nr_vifs; i++) {
        struct cfg_vif *v = &d->cfg.vif[i];
        uint8_t mac[6];
        unsigned nth = 0;
        if (has_address(v))
            continue;
        do
            mac_derive(d->cfg.uuid, i, nth++, mac);
        while (holder(mac, NULL, NULL, &vif) && nth < 256);
        memcpy(v->mac, mac, 6);
    }
}
