// SPDX-License-Identifier: MIT
// FLAGS: -pthread
// Spin locks: one holder, in the order of arrival. Threads are the CPUs.
#include "unit.h"
#include <threads.h>
#include <time.h>
#include "shim.h"
#include "base/lock.h"

static struct spinlock lock;
static volatile unsigned order[8], nr, inside, together;

static void nap(void)
{
    struct timespec ms = { 0, 1000000 };
    nanosleep(&ms, NULL);
}
static int waits(void *id)
{
    spin_lock(&lock);
    order[nr++] = *(unsigned *)id;
    spin_unlock(&lock);
    return 0;
}
/* Who lets the lock go and wants it again at once comes after those that wait. */
TEST(first_come_first_served)
{
    thrd_t t[3];
    unsigned id[] = { 0, 1, 2, 3 };
    nr = 0;
    spin_lock(&lock);
    for (unsigned i = 0; i < 3; i++) {
        uint16_t before = lock.next;
        assert_int_equal(thrd_create(&t[i], waits, &id[i]), thrd_success);
        for (unsigned n = 0; n < 5000 && lock.next == before; n++)
            nap(); /* until it stands in the queue */
        assert_int_not_equal(lock.next, before);
    }
    assert_false(spin_trylock(&lock));
    spin_unlock(&lock);
    waits(&id[3]);
    for (unsigned i = 0; i < 3; i++)
        thrd_join(t[i], NULL);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(order[i], i);
    assert_false(spin_is_locked(&lock));
}

TEST(tickets_wrap)
{
    lock = (struct spinlock)SPINLOCK_INIT;
    for (unsigned i = 0; i < 70000; i++) {
        if (i % 2) {
            assert_true(spin_trylock(&lock));
        } else {
            spin_lock(&lock);
        }
        assert_true(spin_is_locked(&lock));
        assert_false(spin_trylock(&lock));
        spin_unlock(&lock);
        assert_false(spin_is_locked(&lock));
    }
}

static int takes(void *arg)
{
    for (unsigned i = 0; i < 2000; i++) {
        if (i % 4 == 0 ? !spin_trylock(&lock) : (spin_lock(&lock), false))
            continue;
        together += inside++ != 0;
        inside--;
        spin_unlock(&lock);
    }
    return 0;
}
TEST(one_holder)
{
    thrd_t t;
    lock = (struct spinlock){ .v = 0xfff0fff0 }; /* about to wrap */
    assert_int_equal(thrd_create(&t, takes, NULL), thrd_success);
    takes(NULL);
    thrd_join(t, NULL);
    assert_int_equal(together, 0);
    assert_false(spin_is_locked(&lock));
}
