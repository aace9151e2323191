// SPDX-License-Identifier: MIT
// Event channels: every state and what leads there, hostile ports, delivery, masks, fences.
// LINK: tests/unit/core_harness.c
#include "core_harness.h"

bool priv_allows(enum bh_role role, enum priv p) { return role == BH_ROLE_CONTROL; }

static struct domain *ctl, *a, *b;

int setup(void **state)
{
    machine_setup(state);
    ctl = make(0, BH_ROLE_CONTROL, 0, 1, 16);
    a = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 4, 16);
    b = make(3, BH_ROLE_DRIVER, BH_CREATE_RESTARTABLE, 2, 64);
    return 0;
}

static long op(struct domain *d, unsigned cmd, void *arg)
{
    as(d);
    return do_event_channel_op(cmd, PTR(arg));
}

static uint32_t unbound(struct domain *d, domid_t remote)
{
    struct evtchn_alloc_unbound x = { .dom = DOMID_SELF, .remote_dom = remote };
    assert_int_equal(op(d, EVTCHNOP_alloc_unbound, &x), 0);
    return x.port;
}
static long bind(struct domain *d, domid_t remote, uint32_t rport, uint32_t *port)
{
    struct evtchn_bind_interdomain x = { .remote_dom = remote, .remote_port = rport };
    long rc = op(d, EVTCHNOP_bind_interdomain, &x);
    *port = x.local_port;
    return rc;
}
static long send(struct domain *d, uint32_t port)
{
    struct evtchn_send x = { port };
    return op(d, EVTCHNOP_send, &x);
}
static long close(struct domain *d, uint32_t port)
{
    struct evtchn_close x = { port };
    return op(d, EVTCHNOP_close, &x);
}
static uint32_t status(struct domain *d, uint32_t port)
{
    struct evtchn_status x = { .dom = DOMID_SELF, .port = port };
    assert_int_equal(op(d, EVTCHNOP_status, &x), 0);
    return x.status;
}
static long bind_vcpu(struct domain *d, uint32_t port, uint32_t vcpu)
{
    struct evtchn_bind_vcpu x = { port, vcpu };
    return op(d, EVTCHNOP_bind_vcpu, &x);
}
static long unmask(struct domain *d, uint32_t port)
{
    struct evtchn_unmask x = { port };
    return op(d, EVTCHNOP_unmask, &x);
}
static void mask(struct domain *d, uint32_t port)
{
    d->shared->evtchn_mask[port / 64] |= 1ul << (port % 64);
}
/* What a guest's handler does. */
static void ack(struct domain *d, uint32_t port, unsigned vcpu)
{
    d->shared->evtchn_pending[port / 64] &= ~(1ul << (port % 64));
    d->vcpu[vcpu]->info->evtchn_pending_sel = 0;
    d->vcpu[vcpu]->info->evtchn_upcall_pending = 0;
}

TEST(test_interdomain)
{
    uint32_t pa = unbound(a, b->id), pb;
    assert_int_equal(pa, 1);
    assert_int_equal(status(a, pa), EVTCHNSTAT_unbound);
    assert_int_equal(send(a, pa), 0); /* swallowed */
    assert_int_equal(bind(ctl, a->id, pa, &pb), -EINVAL);
    assert_int_equal(bind(b, a->id, pa, &pb), 0);
    assert_int_equal(status(a, pa), EVTCHNSTAT_interdomain);
    assert_int_equal(status(b, pb), EVTCHNSTAT_interdomain);
    assert_true(pending(b, pb) && !pending(a, pa)); /* the binder's bit only */
    assert_int_equal(bind(b, a->id, pa, &pb), -EINVAL);

    pb = 1;
    ack(b, pb, 0);
    kicks = 0;
    assert_int_equal(send(b, pb), 0);
    assert_true(pending(a, pa));
    assert_int_equal(kicks, 1);
    assert_int_equal(a->vcpu[0]->info->evtchn_pending_sel, 1);
    assert_true(vcpu_upcall_pending(a->vcpu[0]));
    assert_int_equal(send(b, pb), 0); /* pending already: no second kick */
    assert_int_equal(kicks, 1);

    /* Closing: the peer waits for the same domid, keeps its bits and its vCPU, and may move, unmask, send. */
    assert_int_equal(bind_vcpu(a, pa, 2), 0);
    mask(a, pa);
    assert_int_equal(close(b, pb), 0);
    assert_int_equal(status(b, pb), EVTCHNSTAT_closed);
    assert_int_equal(status(a, pa), EVTCHNSTAT_unbound);
    assert_true(pending(a, pa));
    assert_int_equal(a->shared->evtchn_mask[0], 1ul << pa);
    struct evtchn_status st = { .dom = DOMID_SELF, .port = pa };
    assert_int_equal(op(a, EVTCHNOP_status, &st), 0);
    assert_int_equal(st.u.unbound.dom, b->id);
    assert_int_equal(st.vcpu, 2);
    assert_int_equal(bind_vcpu(a, pa, 3), 0);
    assert_int_equal(unmask(a, pa), 0);
    assert_true(vcpu_upcall_pending(a->vcpu[3]));
    assert_int_equal(send(a, pa), 0);
    assert_int_equal(bind(b, a->id, pa, &pb), 0);
    assert_int_equal(close(a, pa), 0);
    assert_int_equal(close(a, pa), -EINVAL);
    assert_int_equal(send(a, pa), -EINVAL);
    assert_int_equal(send(b, pb), 0);
}

TEST(test_loopback)
{
    uint32_t p = unbound(a, DOMID_SELF), q;
    assert_int_equal(bind(a, DOMID_SELF, p, &q), 0);
    ack(a, q, 0);
    assert_int_equal(send(a, q), 0);
    assert_true(pending(a, p));
    assert_int_equal(close(a, q), 0);
    assert_int_equal(status(a, p), EVTCHNSTAT_unbound);
    assert_int_equal(bind(a, a->id, p, &q), 0);
}

TEST(test_mask_and_poll)
{
    struct evtchn_bind_ipi x = { .vcpu = 1 };
    assert_int_equal(op(a, EVTCHNOP_bind_ipi, &x), 0);
    mask(a, x.port);
    kicks = 0;
    assert_int_equal(send(a, x.port), 0);
    assert_true(pending(a, x.port));
    assert_int_equal(kicks, 0);
    assert_false(vcpu_upcall_pending(a->vcpu[1]));
    assert_int_equal(unmask(a, x.port), 0);
    assert_int_equal(kicks, 1);
    assert_true(vcpu_upcall_pending(a->vcpu[1]));
    assert_int_equal(unmask(a, x.port), 0); /* nothing to do */
    assert_int_equal(kicks, 1);

    ack(a, x.port, 1);
    mask(a, x.port);
    a->vcpu[3]->poll_port = x.port;
    a->vcpu[2]->poll_port = x.port + 1;
    a->vcpu[0]->poll_port = ~0u;
    kicks = 0;
    a->vcpu[2]->kicked = a->vcpu[0]->kicked = a->vcpu[3]->kicked = 0;
    assert_int_equal(send(a, x.port), 0);
    assert_int_equal(kicks, 2);
    assert_true(a->vcpu[3]->kicked && a->vcpu[0]->kicked && !a->vcpu[2]->kicked);

    /* Upcall masked: the vCPU is told all the same, for BH_SVC_WAIT. */
    ack(a, x.port, 1);
    a->shared->evtchn_mask[0] = 0;
    a->vcpu[1]->info->evtchn_upcall_mask = 1;
    a->vcpu[3]->poll_port = a->vcpu[0]->poll_port = 0;
    kicks = 0;
    assert_int_equal(send(a, x.port), 0);
    assert_int_equal(kicks, 1);
    assert_int_equal(a->vcpu[1]->info->evtchn_upcall_pending, 1);
    assert_false(vcpu_upcall_pending(a->vcpu[1]));
    assert_int_equal(bind_vcpu(a, x.port, 0), -EINVAL);
}

TEST(test_virq)
{
    struct evtchn_bind_virq x = { .virq = VIRQ_TIMER, .vcpu = 2 };
    assert_int_equal(op(a, EVTCHNOP_bind_virq, &x), 0);
    assert_int_equal(op(a, EVTCHNOP_bind_virq, &x), -EEXIST);
    evtchn_virq(a->vcpu[1], VIRQ_TIMER);
    assert_false(pending(a, x.port));
    evtchn_virq(a->vcpu[2], VIRQ_TIMER);
    assert_true(pending(a, x.port));
    assert_true(vcpu_upcall_pending(a->vcpu[2]));
    assert_int_equal(bind_vcpu(a, x.port, 0), -EINVAL);
    assert_int_equal(send(a, x.port), -EINVAL);
    assert_int_equal(close(a, x.port), 0);
    assert_false(pending(a, x.port));
    evtchn_virq(a->vcpu[2], VIRQ_TIMER);
    assert_false(pending(a, x.port));
    assert_int_equal(op(a, EVTCHNOP_bind_virq, &x), 0);

    struct evtchn_bind_virq g = { .virq = VIRQ_DOM_EXC, .vcpu = 0 };
    assert_int_equal(op(a, EVTCHNOP_bind_virq, &g), -EPERM);
    assert_int_equal(op(b, EVTCHNOP_bind_virq, &g), -EPERM);
    g.vcpu = 1;
    assert_int_equal(op(ctl, EVTCHNOP_bind_virq, &g), -EINVAL);
    g.vcpu = 0;
    assert_int_equal(op(ctl, EVTCHNOP_bind_virq, &g), 0);
    assert_int_equal(op(ctl, EVTCHNOP_bind_virq, &g), -EEXIST);
    evtchn_global_virq(ctl, VIRQ_CON_RING);
    assert_false(pending(ctl, g.port));
    evtchn_global_virq(ctl, VIRQ_DOM_EXC);
    assert_true(pending(ctl, g.port));
    assert_int_equal(bind_vcpu(ctl, g.port, 0), 0);
    evtchn_global_virq(ctl, 1000);
    evtchn_virq(ctl->vcpu[0], ~0u);
}

static long closed_meanwhile;
static void meanwhile(struct domain *d, uint32_t port)
{
    closed_meanwhile = close(d, port);
    evtchn_pirq(d, port);
}

TEST(test_pirq)
{
    struct evtchn_bind_pirq x = { .pirq = 5 };
    pirq_rc = -EINVAL;
    assert_int_equal(op(a, EVTCHNOP_bind_pirq, &x), -EINVAL);
    pirq_rc = 0;
    assert_int_equal(op(a, EVTCHNOP_bind_pirq, &x), 0);
    assert_int_equal(x.port, 1); /* the failed one gave its port back */
    assert_int_equal(status(a, x.port), EVTCHNSTAT_pirq);
    a->vcpu[0]->cpu = cpus[0];
    a->vcpu[3]->cpu = (struct cpu *)&x; /* another: it is only handed on */
    assert_ptr_equal(evtchn_pirq(a, x.port), cpus[0]);
    assert_true(pending(a, x.port));
    assert_int_equal(bind_vcpu(a, x.port, 3), 0);
    assert_ptr_equal(evtchn_pirq(a, x.port), &x); /* whom it wakes, pending or not */
    a->vcpu[3]->cpu = cpus[0];
    assert_int_equal(close(a, x.port), 0);
    assert_int_equal(pirq_unbinds, 1);
    assert_null(evtchn_pirq(a, x.port));
    assert_false(pending(a, x.port));
    assert_null(evtchn_pirq(a, ~0u));

    /* Between the two halves of a bind: another vCPU cannot close the port, and an interrupt is not lost. */
    pirq_meanwhile = meanwhile;
    assert_int_equal(op(a, EVTCHNOP_bind_pirq, &x), 0);
    assert_int_equal(closed_meanwhile, -EINVAL);
    assert_int_equal(status(a, x.port), EVTCHNSTAT_pirq);
    assert_true(pending(a, x.port));
    assert_int_equal(close(a, x.port), 0);
    pirq_rc = -ENOSPC;
    assert_int_equal(op(a, EVTCHNOP_bind_pirq, &x), -ENOSPC);
    assert_int_equal(status(a, x.port), EVTCHNSTAT_closed);
    assert_false(pending(a, x.port));
    pirq_meanwhile = NULL;
    pirq_rc = 0;
}

TEST(test_hostile)
{
    const uint32_t bad[] = { 0, 2, 127, 128, 4095, 4096, 4097, 0x7fffffff, 0x80000000, ~0u };
    uint32_t port;
    unbound(a, b->id);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(send(a, bad[i]), -EINVAL);
        assert_int_equal(close(a, bad[i]), -EINVAL);
        assert_int_equal(bind(b, a->id, bad[i], &port), -EINVAL);
        assert_int_equal(bind_vcpu(a, bad[i], 0), -EINVAL);
        if (bad[i] >= EVTCHN_PER_BUCKET) /* ports that were never made */
            assert_int_equal(unmask(a, bad[i]), -EINVAL);
        evtchn_set_pending(a, bad[i] < EVTCHN_PER_BUCKET ? ~0u : bad[i]);
    }
    assert_int_equal(bind_vcpu(a, 1, 4), -ENOENT);
    assert_int_equal(bind_vcpu(a, 1, ~0u), -ENOENT);
    assert_int_equal(bind(a, 99, 1, &port), -ESRCH);
    assert_int_equal(bind(a, DOMID_INVALID, 1, &port), -ESRCH);
    struct evtchn_bind_ipi ipi = { .vcpu = ~0u };
    assert_int_equal(op(a, EVTCHNOP_bind_ipi, &ipi), -ENOENT);
    struct evtchn_bind_virq v = { .virq = NR_VIRQS };
    assert_int_equal(op(a, EVTCHNOP_bind_virq, &v), -EINVAL);
    v = (struct evtchn_bind_virq){ .virq = VIRQ_TIMER, .vcpu = 4 };
    assert_int_equal(op(a, EVTCHNOP_bind_virq, &v), -ENOENT);
    struct evtchn_alloc_unbound f = { .dom = b->id, .remote_dom = a->id };
    assert_int_equal(op(a, EVTCHNOP_alloc_unbound, &f), -EPERM);
    struct evtchn_status st = { .dom = b->id };
    assert_int_equal(op(a, EVTCHNOP_status, &st), -EPERM);
    struct evtchn_reset r = { .dom = b->id };
    assert_int_equal(op(a, EVTCHNOP_reset, &r), -EPERM);
    as(a);
    for (uint64_t cmd = 0; cmd < 40; cmd++) {
        bool known = cmd <= EVTCHNOP_reset && cmd != 0 && cmd != 10;
        long rc = do_event_channel_op(cmd, GADDR(BAD_PTR));
        (void)known;
        assert_true(rc == -EFAULT || rc == -ENOSYS);
        if (cmd == EVTCHNOP_init_control || cmd == EVTCHNOP_expand_array ||
            cmd == EVTCHNOP_set_priority || cmd > 13)
            assert_int_equal(rc, -ENOSYS);
    }
    assert_int_equal(do_event_channel_op(~0ull, GADDR(0)), -ENOSYS);
    struct evtchn_alloc_unbound u = { .dom = DOMID_SELF };
    assert_int_equal(do_event_channel_op(EVTCHNOP_alloc_unbound | 1ull << 32, PTR(&u)),
                     0); /* an int of the caller's */
}

TEST(test_exhaust)
{
    struct evtchn_alloc_unbound x = { .dom = DOMID_SELF, .remote_dom = b->id };
    for (unsigned i = 1; i < EVTCHN_PORTS; i++)
        assert_int_equal(unbound(a, b->id), i);
    assert_int_equal(op(a, EVTCHNOP_alloc_unbound, &x), -ENOSPC);
    assert_int_equal(close(a, 1234), 0);
    assert_int_equal(unbound(a, b->id), 1234);
    /* reset, interrupted again and again */
    struct evtchn_reset r = { .dom = DOMID_SELF };
    long rc;
    unsigned rounds = 0;
    do {
        yields_after = 100;
        rc = op(a, EVTCHNOP_reset, &r);
        rounds++;
    } while (rc == HC_AGAIN);
    yields_after = ~0u;
    assert_int_equal(rc, 0);
    assert_true(rounds > 30);
    assert_int_equal(unbound(a, b->id), 1);
}

TEST(test_slot_and_fence)
{
    uint32_t con, xs, p, q, port;
    assert_int_equal(evtchn_alloc_slot(b, ctl->id, &con), 0);
    assert_int_equal(evtchn_alloc_slot(b, ctl->id, &xs), 0);
    assert_int_equal(bind(ctl, b->id, con, &port), 0);
    uint32_t pa = unbound(a, b->id);
    assert_int_equal(bind(b, a->id, pa, &p), 0);
    q = unbound(b, a->id);
    struct evtchn_bind_virq v = { .virq = VIRQ_TIMER, .vcpu = 1 };
    assert_int_equal(op(b, EVTCHNOP_bind_virq, &v), 0);
    assert_int_equal(close(b, con), 0); /* a slot port stays */
    assert_int_equal(status(b, con), EVTCHNSTAT_interdomain);
    mask(b, con);
    assert_int_equal(send(ctl, port), 0);
    assert_int_equal(send(b, p), 0);
    assert_true(pending(b, con) && pending(a, pa));

    uint64_t cursor = 0;
    unsigned rounds = 0;
    while (!evtchn_fence(b, &cursor, 1))
        rounds++;
    assert_true(rounds >= 4);
    assert_int_equal(status(b, con), EVTCHNSTAT_interdomain);
    assert_int_equal(status(b, xs), EVTCHNSTAT_unbound);
    assert_false(pending(b, con));
    assert_int_equal(b->shared->evtchn_mask[0], 0);
    assert_int_equal(status(b, p), EVTCHNSTAT_closed);
    assert_int_equal(status(b, q), EVTCHNSTAT_closed);
    assert_int_equal(status(b, v.port), EVTCHNSTAT_closed);
    assert_int_equal(b->vcpu[1]->virq_port[VIRQ_TIMER], 0);
    assert_int_equal(status(a, pa), EVTCHNSTAT_unbound);
    assert_true(pending(a, pa)); /* what was announced before the crash stays announced */
    assert_int_equal(bind(a, b->id, q, &port), -EINVAL);
    assert_int_equal(bind(b, a->id, pa, &p), 0); /* the next instance */

    /* Death: all ports; the peer's end names a domid that never comes back. */
    cursor = 0;
    assert_true(evtchn_destroy(b, &cursor, 4096));
    assert_int_equal(status(b, con), EVTCHNSTAT_closed);
    assert_int_equal(status(a, pa), EVTCHNSTAT_unbound);
    assert_int_equal(status(ctl, 1), EVTCHNSTAT_unbound);
}

TEST(test_info_moves)
{
    struct vcpu *v = a->vcpu[1];
    mfn_t m = frame_alloc(a, 0);
    v->info = mfn_to_virt(m);
    v->info_mfn = m;
    evtchn_info_moved(v);
    assert_true(vcpu_upcall_pending(v));
    assert_int_equal(v->info->evtchn_pending_sel, ~0ul);
    evtchn_info_drop(v);
    assert_ptr_equal(v->info, &a->shared->vcpu_info[1]);
    assert_int_equal(mfn_to_frame(m)->refs, 0);
    evtchn_info_drop(v);
}
