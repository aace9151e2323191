/* SPDX-License-Identifier: MIT */
/* Which groups a front-end hears: see mcast.h. */
#include "mcast.h"
#include <string.h>

/* The entry that is e, or NULL. */
static uint64_t *find(struct keep_vif *k, uint64_t e)
{
    for (unsigned i = 0; i < KEEP_MCAST; i++) {
        if (k->mcast[i] == e)
            return &k->mcast[i];
    }
    return NULL;
}

bool mcast_change(struct keep_vif *k, const uint8_t mac[6], bool add)
{
    uint64_t e = keep_mcast(mac), *at = find(k, e);

    if (!(mac[0] & 1))
        return false;
    if (!at == !add)
        return true;
    if (add)
        at = find(k, 0);
    if (!at)
        return false;
    SHARED_STORE(at, add ? e : 0);
    return true;
}

bool mcast_passes(const struct nb_vif *v, const uint8_t dst[6])
{
    static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

    return !(v->features & KEEP_F_MCAST) || !(dst[0] & 1) || !memcmp(dst, all, 6) ||
           find(v->q[0].keep, keep_mcast(dst));
}
