/* SPDX-License-Identifier: MIT */
/*
 * Event channels without interrupts: the 2-level bits in shared_info are read by this one vCPU, which blocks in the core
 * when there are none.
 *
 * The core sets pending bit, selector bit, upcall_pending in this order; we read them in the opposite order, each with an
 * atomic exchange, so an event that comes in between is seen now or leaves upcall_pending set, and the wait returns at once.
 */
#include "internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xen/sched.h>

#define LEAF_PORTS 64
#define NR_LEAVES  (EVTCHN_2L_NR_CHANNELS / LEAF_PORTS)
#define POLL_MAX   128 /* SCHEDOP_poll's own limit */

struct handler {
    event_fn fn;
    void *arg;
};
/* 1 KiB for each 64 ports in use; the core hands out the lowest free port. */
static struct handler *leaves[NR_LEAVES];
/* Selector bits taken from the core and not looked at yet: event_wait_port serves one port and leaves the others here. */
static unsigned long stash;

static struct vcpu_info *vi(void) { return &shared_info->vcpu_info[0]; }

void event_init(void)
{
    memset(shared_info->evtchn_mask, 0xff, sizeof(shared_info->evtchn_mask));
    vi()->evtchn_upcall_mask = 1;
}

static long op(unsigned cmd, void *arg)
{
    return hypercall(__HYPERVISOR_event_channel_op, cmd, (uint64_t)arg, 0, 0);
}

int event_adopt(uint32_t port, event_fn fn, void *arg)
{
    struct evtchn_unmask u = { .port = port };

    if (!port || port >= EVTCHN_2L_NR_CHANNELS)
        return -EINVAL;
    if (!leaves[port / LEAF_PORTS])
        leaves[port / LEAF_PORTS] = calloc(LEAF_PORTS, sizeof(struct handler));
    if (!leaves[port / LEAF_PORTS])
        return -ENOMEM;
    leaves[port / LEAF_PORTS][port % LEAF_PORTS] = (struct handler){ fn, arg };
    long rc = op(EVTCHNOP_unmask, &u);
    if (rc)
        leaves[port / LEAF_PORTS][port % LEAF_PORTS].fn = NULL;
    return (int)rc;
}

static int bound(uint32_t port, event_fn fn, void *arg)
{
    int rc = event_adopt(port, fn, arg);

    if (rc) {
        event_close(port);
        return rc;
    }
    return (int)port;
}

int event_alloc_unbound(domid_t remote, event_fn fn, void *arg)
{
    struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = remote };
    long rc = op(EVTCHNOP_alloc_unbound, &a);

    return rc ? (int)rc : bound(a.port, fn, arg);
}

int event_bind_interdomain(domid_t remote, uint32_t remote_port, event_fn fn, void *arg)
{
    struct evtchn_bind_interdomain b = { .remote_dom = remote, .remote_port = remote_port };
    long rc = op(EVTCHNOP_bind_interdomain, &b);

    return rc ? (int)rc : bound(b.local_port, fn, arg);
}

int event_bind_virq(unsigned virq, event_fn fn, void *arg)
{
    struct evtchn_bind_virq b = { .virq = virq, .vcpu = 0 };
    long rc = op(EVTCHNOP_bind_virq, &b);

    return rc ? (int)rc : bound(b.port, fn, arg);
}

int event_bind_pirq(uint32_t pirq, event_fn fn, void *arg)
{
    struct evtchn_bind_pirq b = { .pirq = pirq };
    long rc = op(EVTCHNOP_bind_pirq, &b);

    return rc ? (int)rc : bound(b.port, fn, arg);
}

void event_close(uint32_t port)
{
    struct evtchn_close c = { .port = port };

    if (port >= EVTCHN_2L_NR_CHANNELS)
        return;
    __atomic_fetch_or(&shared_info->evtchn_mask[port / 64], 1ul << (port % 64), __ATOMIC_SEQ_CST);
    op(EVTCHNOP_close, &c);
    if (leaves[port / LEAF_PORTS])
        leaves[port / LEAF_PORTS][port % LEAF_PORTS].fn = NULL;
}

static void collect(void)
{
    if (__atomic_exchange_n(&vi()->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST))
        stash |= __atomic_exchange_n(&vi()->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
}

static bool consume(uint32_t port)
{
    unsigned long bit = 1ul << (port % 64);

    return __atomic_fetch_and(&shared_info->evtchn_pending[port / 64], ~bit, __ATOMIC_SEQ_CST) & bit;
}

unsigned event_poll_but(uint32_t left_alone)
{
    unsigned long again = 0;
    unsigned n = 0;

    collect();
    while (stash) {
        unsigned w = (unsigned)__builtin_ctzl(stash);
        stash &= stash - 1;
        unsigned long bits = READ_ONCE(shared_info->evtchn_pending[w]) &
                             ~READ_ONCE(shared_info->evtchn_mask[w]);

        for (; bits; bits &= bits - 1) {
            uint32_t port = w * 64 + (unsigned)__builtin_ctzl(bits);
            struct handler *h = leaves[w] ? &leaves[w][port % LEAF_PORTS] : NULL;

            if (port == left_alone) {
                again |= 1ul << w;
                continue;
            }
            /* A handler before this one may have closed the port, or a nested wait have taken the event. */
            if (!consume(port) || !h || !h->fn)
                continue;
            h->fn(port, h->arg);
            n++;
        }
    }
    stash |= again;
    return n;
}

bool event_unheard(void) { return stash || READ_ONCE(vi()->evtchn_upcall_pending); }

unsigned event_poll(void) { return event_poll_but(0); }

/* A plain guest has no BH_SVC_WAIT: SCHEDOP_poll over the ports that it listens to. */
static void poll_ports(const uint32_t *only, uint64_t until_ns)
{
    static evtchn_port_t ports[POLL_MAX];
    struct sched_poll p = { .timeout = until_ns };

    if (only)
        ports[p.nr_ports++] = *only;
    for (unsigned w = 0; !only && w < NR_LEAVES; w++)
        for (unsigned i = 0; leaves[w] && i < LEAF_PORTS && p.nr_ports < POLL_MAX; i++)
            if (leaves[w][i].fn)
                ports[p.nr_ports++] = w * LEAF_PORTS + i;
    set_xen_guest_handle(p.ports, ports);
    hypercall(__HYPERVISOR_sched_op, SCHEDOP_poll, (uint64_t)&p, 0, 0);
}

static struct batch *left;

void batch_left_to_wait(struct batch *b) { left = b; }

/* There is no wait that takes them along. */
void event_send_left(void)
{
    if (left && left->nr_sends)
        batch_flush(left);
}

static void block(const uint32_t *only, uint64_t until_ns)
{
    struct bh_wait w = { .until_ns = until_ns };

    if (left && !self.guest) {
        w.sends = (uint64_t)left->send;
        w.nr_sends = left->nr_sends;
        left->nr_sends = 0;
    } else {
        event_send_left();
    }
    if (self.guest)
        poll_ports(only, until_ns);
    else
        bh_svc_wait(&w);
}

bool event_wait_port(uint32_t port, uint64_t until_ns, bool others)
{
    collect();
    bool came = consume(port);
    if (came || (others && stash)) {
        event_send_left();
        return came;
    }
    block(&port, until_ns);
    collect();
    return consume(port);
}

void event_block(uint64_t until_ns) { block(NULL, until_ns); }
