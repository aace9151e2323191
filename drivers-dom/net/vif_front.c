/* SPDX-License-Identifier: MIT */
/* What a front-end wrote of its rings: a claim, of which every number is looked at before anything is mapped. See vif.h. */
#include <stdio.h>
#include <string.h>
#include "vif.h"

unsigned vif_queues = 1;
const char vif_no_rings[] = "it names no rings or event channel";

static char why_not[80];

struct number {
    const char *key;
    uint64_t absent;
};

/* NULL, or what is wrong: no answer, or a number of more than 32 bits. */
static const char *read_all(const char *dir, const struct number *keys, unsigned n, uint32_t *val,
                            bool *again)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t is;
        *again = !be_number(dir, keys[i].key, keys[i].absent, &is);
        if (*again)
            return "the store does not answer";
        if (is >> 32) {
            snprintf(why_not, sizeof(why_not), "its %s is no number of 32 bits", keys[i].key);
            return why_not;
        }
        val[i] = (uint32_t)is;
    }
    return NULL;
}

/* Rings and ports of a queue: in the front-end's directory if there is only one, else in one of its own. */
static const char *queue_read(const struct vif *v, struct keep_vif_head *h, bool *again)
{
    static const struct number keys[] = { { "tx-ring-ref", 0 },
                                          { "rx-ring-ref", 0 },
                                          { "event-channel", 0 },
                                          { "event-channel-tx", 0 },
                                          { "event-channel-rx", 0 } };
    char dir[BE_PATH + 12];
    uint32_t val[ARRAY_SIZE(keys)];

    snprintf(dir, sizeof(dir), "%s", v->be.fe_path);
    if (h->nr_queues > 1)
        snprintf(dir + strlen(dir), 12, "/queue-%u", (unsigned)h->queue);
    const char *why = read_all(dir, keys, ARRAY_SIZE(keys), val, again);
    if (why)
        return why;
    bool split = val[3] && val[4];
    h->tx_ref = val[0];
    h->rx_ref = val[1];
    h->tx_port = split ? val[3] : val[2];
    h->rx_port = split ? val[4] : val[2];
    h->features |= split ? KEEP_F_SPLIT : 0;
    if (h->tx_ref && h->rx_ref && h->tx_port)
        return NULL;
    if (h->nr_queues == 1)
        return vif_no_rings;
    snprintf(why_not, sizeof(why_not), "queue %u names no rings or event channel", h->queue);
    return why_not;
}

/* What holds among the queues. */
static const char *queues_check(const struct keep_vif_head *h)
{
    uint32_t ref[2 * KEEP_QUEUES];

    for (unsigned i = 0; i < h->nr_queues; i++) {
        ref[2 * i] = h[i].tx_ref;
        ref[2 * i + 1] = h[i].rx_ref;
        if (h[i].features != h->features)
            return "not all of its queues have split event channels";
    }
    for (unsigned i = 0; i < 2u * h->nr_queues; i++) {
        for (unsigned k = 0; k < i; k++) {
            if (ref[i] == ref[k])
                return "it names a ring twice";
        }
    }
    return NULL;
}

const char *vif_front(const struct vif *v, struct keep_vif_head h[KEEP_QUEUES], bool *again)
{
    static const struct number keys[] = {
        { "multi-queue-num-queues", 1 },
        { "request-rx-copy", 0 },
        { "feature-sg", 0 },
        { "feature-no-csum-offload", 0 },
        { "feature-gso-tcpv4", 0 },
        { "feature-gso-tcpv6", 0 },
        { "feature-ipv6-csum-offload", 0 },
        { "request-multicast-control", 0 },
    };
    uint32_t val[ARRAY_SIZE(keys)];
    const char *why = read_all(v->be.fe_path, keys, ARRAY_SIZE(keys), val, again);

    if (why)
        return why;
    if (!val[0] || val[0] > vif_queues) {
        snprintf(why_not, sizeof(why_not), "it wants %u queues, of 1 to %u", val[0], vif_queues);
        return why_not;
    }
    for (unsigned i = 0; i < val[0]; i++) {
        h[i] = (struct keep_vif_head){
            .domid = v->be.dom,
            .devid = (uint16_t)v->be.devid,
            .queue = (uint8_t)i,
            .nr_queues = (uint8_t)val[0],
            .features = (val[2] ? KEEP_F_SG : 0) | (val[3] ? 0 : KEEP_F_CSUM4) |
                        (val[4] ? KEEP_F_GSO4 : 0) | (val[5] ? KEEP_F_GSO6 : 0) |
                        (val[6] ? KEEP_F_CSUM6 : 0) | (val[7] ? KEEP_F_MCAST : 0) |
                        (v->has_mac ? KEEP_F_MAC : 0),
            .slot_gen = v->be.gen,
        };
        memcpy(h[i].mac, v->mac, 6);
        why = queue_read(v, &h[i], again);
        if (why)
            return why;
    }
    if (!val[1])
        return "it does not want its packets copied (request-rx-copy)";
    return queues_check(h);
}
