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

void nb_vif_wake(struct nb_vif *v)
{
    EACH_QUEUE(nb, v)
    nb_wake(nb);
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

/* Neither way there is anything. Seen without a look into the parser: it comes with each round, mostly. */
static bool idle(const struct nb *nb)
{
    return nb->rxq_head == nb->rxq_tail && !nb->tx_waits &&
           READ_ONCE(nb->txs->req_prod) == nb->tx_cons;
}

static unsigned collect(struct nb_vif *v, struct batch *b)
{
    unsigned i = v->nr_queues > 1 ? v->turn % v->nr_queues : 0, n = 0;

    for (unsigned k = 0; k < v->nr_queues; k++, i = i + 1 < v->nr_queues ? i + 1 : 0) {
        struct nb *nb = &v->q[i];
        if (!nb->awake || idle(nb))
            continue;
        n += nb_collect_rx(nb, b);
        n += nb_collect_tx(nb, b);
    }
    v->turn += !!n; /* not in a round that had no room for it */
    return n;
}

unsigned nb_collect(struct nb_vif *const v[], unsigned n, struct batch *b)
{
    static uint64_t round;
    unsigned packets = 0, first = 0;

    for (unsigned i = 1; i < n; i++)
        first = v[i]->led < v[first]->led ? i : first;
    if (n)
        v[first]->led = ++round;
    for (unsigned i = 0; i < n; i++) {
        struct nb_vif *one = v[(first + i) % n];
        one->used = 0;
        blame(one->gen);
        packets += collect(one, b);
    }
    blame(0);
    return packets;
}

void nb_vif_finish(struct nb_vif *v, struct batch *b, void (*deliver)(void *arg, struct pkt *p),
                   void *arg)
{
    EACH_QUEUE(nb, v)
    {
        if (!nb->tx_items.nr && !nb->rx_items.nr && !v->broken) /* then all give back what they hold */
            continue;
        nb_finish_tx(nb, b, deliver, arg);
        nb_finish_rx(nb, b);
        nb_push(nb, b);
    }
}

bool nb_vif_arm(struct nb_vif *v)
{
    bool again = false;

    if (!v->awake)
        return false;
    v->awake = false;
    EACH_QUEUE(nb, v)
    {
        if (!nb->awake)
            continue;
        nb->awake = nb_arm(nb);
        again |= nb->awake;
        if (nb->awake || nb->tx_waits) /* for the latter no event comes */
            nb_wake(nb);
    }
    return again;
}

bool nb_vif_waits(const struct nb_vif *v)
{
    for (unsigned i = 0; v->awake && i < v->nr_queues; i++) {
        if (v->q[i].tx_waits)
            return true;
    }
    return false;
}
