// SPDX-License-Identifier: MIT
// LINK: tests/unit/control_harness.c
// BH_CTL_SCHED: what it takes, what it refuses, and that a restart leaves it as it was. The scheduler is pretended: CPUs 1 and 2 run domains.
#include "control_harness.h"

int setup(void **state)
{
    machine_of_two(BH_CREATE_RESTARTABLE, 64);
    guest = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 2, 64);
    return 0;
}
static struct bh_sched of(const struct domain *d, unsigned vcpu)
{
    struct bh_sched s = { .domid = d->id, .vcpu = (uint16_t)vcpu };
    assert_int_equal(ctl_op(BH_CTL_SCHED, &s), 0);
    return s;
}
static long set(const struct domain *d, unsigned vcpu, unsigned what, unsigned weight, unsigned cap,
                uint64_t affinity)
{
    return ctl_op(BH_CTL_SCHED, &(struct bh_sched){ .domid = d->id,
                                                    .vcpu = (uint16_t)vcpu,
                                                    .set = what,
                                                    .weight = weight,
                                                    .cap = cap,
                                                    .affinity = affinity });
}

TEST(a_new_domain_has_the_usual)
{
    struct bh_sched s = of(guest, 1);
    assert_int_equal(s.weight, 256);
    assert_int_equal(s.cap, 0);
    assert_int_equal(s.affinity & s.cpus, 6);
    assert_int_equal(s.cpus, 6);
    assert_int_equal(s.state, 0);
}
TEST(sets_what_it_is_asked_to)
{
    assert_int_equal(set(guest, 0, BH_SCHED_WEIGHT, 512, 77, 0), 0);
    assert_int_equal(of(guest, 0).weight, 512);
    assert_int_equal(of(guest, 1).weight, 512);
    assert_int_equal(of(guest, 0).cap, 0);
    assert_int_equal(set(guest, 1, BH_SCHED_AFFINITY | BH_SCHED_CAP, 0, 150, 2), 0);
    assert_int_equal(of(guest, 1).affinity, 2);
    assert_int_equal(of(guest, 0).affinity, ~0u);
    assert_int_equal(of(guest, 0).cap, 150);
    assert_int_equal(guest->vcpu[0]->kicked, 1); /* whoever runs is picked again */
    assert_int_equal(set(guest, 0, BH_SCHED_CAP, 0, 0, 0), 0);
    assert_int_equal(of(guest, 0).cap, 0);
    assert_int_equal(of(guest, 0).weight, 512);
}
TEST(all_or_nothing)
{
    unsigned all = BH_SCHED_WEIGHT | BH_SCHED_CAP | BH_SCHED_AFFINITY;
    assert_int_equal(set(guest, 0, all, 0, 10, 2), -EINVAL);
    assert_int_equal(set(guest, 0, all, 65536, 10, 2), -EINVAL);
    assert_int_equal(set(guest, 0, all, 100, 201, 2), -EINVAL);
    assert_int_equal(set(guest, 0, all, 100, 10, 1), -ENODEV); /* CPU 0 runs no domains */
    assert_int_equal(set(guest, 0, all, 100, 10, 1ull << 33), -ENODEV);
    assert_int_equal(set(guest, 0, all, 100, 10, 0), -ENODEV);
    assert_int_equal(set(guest, 0, all | 8, 100, 10, 2), -EINVAL);
    assert_int_equal(set(guest, 2, all, 100, 10, 2), -ENOENT);
    assert_int_equal(set(guest, 0xffff, 0, 0, 0, 0), -ENOENT);
    struct bh_sched s = of(guest, 0);
    assert_int_equal(s.weight, 256);
    assert_int_equal(s.cap, 0);
    assert_int_equal(s.affinity, ~0u);
    s.domid = 999;
    assert_int_equal(ctl_op(BH_CTL_SCHED, &s), -ESRCH);
}
/* They have deadlines to meet. */
TEST(no_cap_for_a_service)
{
    assert_int_equal(set(store, 0, BH_SCHED_CAP, 0, 50, 0), -EOPNOTSUPP);
    assert_int_equal(set(store, 0, BH_SCHED_CAP | BH_SCHED_WEIGHT, 512, 0, 0), 0);
    assert_int_equal(of(store, 0).weight, 512);
    assert_int_equal(set(ctl, 0, BH_SCHED_WEIGHT, 1000, 0, 0), 0);
}
TEST(a_restart_keeps_them)
{
    build(store, 2, 3);
    assert_int_equal(set(store, 0, BH_SCHED_WEIGHT | BH_SCHED_AFFINITY, 700, 0, 4), 0);
    assert_int_equal(ctl_whole(BH_CTL_RESTART, &(struct bh_restart){ .domid = store->id }), 0);
    assert_int_equal(of(store, 0).weight, 700);
    assert_int_equal(of(store, 0).affinity, 4);
}
