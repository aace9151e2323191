/* SPDX-License-Identifier: MIT */
/* The queues of a vif together: see netback.h. */
#include <blame.h>
#include <errno.h>
#include "netback.h"
#include "rss.h"

#define EACH_QUEUE(nb, v) for (struct nb *nb = (v)->q; nb < (v)->q + (v)->nr_queues; nb++)

int nb_vif_attach(struct nb_vif *v, const struct keep_vif_head *head)
{
    for (unsigned i = v->nr_queues; i-- > 0;) {
        if (!nb_attach(&v->q[i], &head[i]))
            continue;
        while (++i < v->nr_queues) /* without a first one they are none */
            keep_vif_close(v->q[i].keep);
        return -EINVAL;
    }
    return 0;
}

int nb_vif_adopt(struct nb_vif *v, struct batch *b, const char **why)
{
    *why = NULL;
    EACH_QUEUE(nb, v)
    {
        *why = nb_adopt_check(nb);
        if (*why)
            return -EINVAL;
    }
    v->features = v->q[0].keep->head.features;
    EACH_QUEUE(nb, v)
    nb_adopt(nb, b);
    return 0;
}

void nb_vif_detach(struct nb_vif *v)
{
    EACH_QUEUE(nb, v)
    nb_detach(nb);
}

unsigned nb_vif_queue(const struct nb_vif *v, const struct pkt *p)
{
    return v->nr_queues > 1 ? rss_hash(p->data, p->len) % v->nr_queues : 0;
}

unsigned nb_collect(struct nb_vif *const v[], unsigned n, struct batch *b)
{
    static unsigned first;
    unsigned packets = 0;

    first++;
    for (unsigned i = 0; i < n; i++) {
        struct nb_vif *one = v[(first + i) % n];
        unsigned its = 0;
        one->used = 0;
        blame(one->gen);
        for (unsigned k = 0; k < one->nr_queues; k++) {
            struct nb *nb = &one->q[(one->turn + k) % one->nr_queues];
            its += nb_collect_rx(nb, b);
            its += nb_collect_tx(nb, b);
        }
        one->turn += !!its; /* not in a round that had no room for it */
        packets += its;
    }
    blame(0);
    return packets;
}

void nb_vif_finish(struct nb_vif *v, struct batch *b, void (*deliver)(void *arg, struct pkt *p),
                   void *arg)
{
    EACH_QUEUE(nb, v)
    {
        nb_finish_tx(nb, b, deliver, arg);
        nb_finish_rx(nb, b);
        nb_push(nb, b);
    }
}

bool nb_vif_arm(struct nb_vif *v)
{
    bool again = false;

    EACH_QUEUE(nb, v)
    again |= nb_arm(nb);
    return again;
}

bool nb_vif_waits(const struct nb_vif *v)
{
    for (unsigned i = 0; i < v->nr_queues; i++) {
        if (v->q[i].tx_waits)
            return true;
    }
    return false;
}
