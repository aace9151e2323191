// SPDX-License-Identifier: MIT
// When the control domain tells the core that a destroyed guest's domid may be used again: when nothing has it any more, and no sooner.
// LINK: tests/attacks/service/ctl_world.c
// FLAGS: -Ictl-dom -Idomains/include
#include "unit.h"
#include "domain/records.h"
#include "../attacks/service/ctl_world.h"

#define ID     16u
#define LET_GO (5000 * MS)

static unsigned state; /* of the domain ID in the core ... */
static bool listed;    /* ... if it is there */
static int forget_rc, slot_rc, leave_rc;
static unsigned forgets, restarts, leaves;
static domid_t forgot;

long hypercall(unsigned nr, uint64_t op, uint64_t arg, uint64_t c, uint64_t e)
{
    struct bh_dominfo *di = (void *)arg;

    if (op == BH_CTL_FORGET) {
        forgets++;
        forgot = ((struct bh_domid *)arg)->domid;
        return forget_rc;
    }
    restarts += op == BH_CTL_RESTART;
    if (op == BH_CTL_SLOT_WRITE)
        return slot_rc;
    if (op != BH_CTL_INFO)
        return 0;
    if (!listed || di->domid > ID)
        return -ESRCH;
    *di = (struct bh_dominfo){
        .domid = ID, .role = BH_ROLE_GUEST, .state = (uint8_t)state, .holder = 3
    };
    return 0;
}

static struct dom *blk0, *store;

int store_leave(domid_t id)
{
    leaves++;
    return leave_rc;
}

int setup(void **unused)
{
    static struct svc_image img;

    quiet = true;
    supervisor_init();
    blk0 = add(3, "blk0", BH_ROLE_DRIVER);
    blk0->slot = true;
    blk0->slots_gpa = 0x3f0000;
    blk0->slots = memset(record_table(3), 0, TABLE_SIZE);
    blk0->img = &img;
    blk0->state = DOM_UP;
    store = add(BH_DOMID_STORE, "store", BH_ROLE_STORE);
    store->state = DOM_UP;
    listed = false;
    forget_rc = slot_rc = leave_rc = 0;
    forgets = restarts = leaves = 0;
    return 0;
}

/* So much time goes by. */
static void pass(uint64_t ns)
{
    for (uint64_t end = clock_ns + ns; clock_ns < end;) {
        clock_ns += 100 * MS;
        if (timer && timer->armed && timer->when <= clock_ns) {
            timer->armed = false;
            timer->fn(timer);
        }
    }
}

int teardown(void **unused)
{
    listed = false;
    forget_rc = slot_rc = 0;
    dying_unnamed(ID);
    pass(4 * LET_GO);
    assert_int_equal(record_next_ended(0), DOMID_FIRST_RESERVED); /* nothing is left of it */
    drop(blk0);
    drop(store);
    return 0;
}

/* The store had its part in it, or did not answer. */
static void destroyed(bool unnamed)
{
    dying_follow(ID);
    assert_int_equal(record_next_ended(0), ID);
    if (unnamed)
        dying_unnamed(ID);
}

static void name_in_slot(enum slot_state s)
{
    blk0->slots[5].domid = ID;
    blk0->slots[5].head = slot_head(s, SLOT_VBD, 1);
}

TEST(test_once)
{
    destroyed(true);
    assert_int_equal(forgets, 0);
    pass(10 * LET_GO);
    assert_int_equal(forgets, 1);
    assert_int_equal(forgot, ID);
}

TEST(test_not_while_frames_are_out)
{
    listed = true;
    state = BH_DOM_DYING;
    destroyed(true);
    pass(3 * LET_GO);
    assert_int_equal(forgets, 0);
    assert_true(restarts > 0); /* who holds them was told */
    listed = false;
    pass(2 * LET_GO);
    assert_int_equal(forgets, 1);
}

TEST(test_not_while_a_table_names_it)
{
    static const enum slot_state states[] = { SLOT_ATTACHING, SLOT_ATTACHED, SLOT_DETACHING };

    for (unsigned i = 0; i < ARRAY_SIZE(states); i++) {
        name_in_slot(states[i]);
        destroyed(true);
        slot_rc = -EFAULT;
        pass(3 * LET_GO);
        assert_int_equal(forgets, i);
        slot_rc = 0;
        pass(2 * LET_GO);
        assert_int_equal(forgets, i + 1);
        assert_false(slot_live(&blk0->slots[5]));
    }
}
/* Somebody may hold a page still, and another guest has the entry beside it. */
TEST(test_table_after_frames)
{
    listed = true;
    state = BH_DOM_DYING;
    name_in_slot(SLOT_DETACHING);
    blk0->slots[6].domid = ID + 1;
    blk0->slots[6].head = slot_head(SLOT_ATTACHED, SLOT_VBD, 1);
    destroyed(true);
    pass(3 * LET_GO);
    assert_true(slot_live(&blk0->slots[5]));
    listed = false;
    pass(2 * LET_GO);
    assert_false(slot_live(&blk0->slots[5]));
    assert_true(slot_live(&blk0->slots[6]));
}

/* Such a one waits, and its part of the store is done when that is there. */
TEST(test_not_without_the_store)
{
    store->state = DOM_WAITING;
    destroyed(false);
    assert_false(dying_work()); /* it is not due */
    pass(20 * LET_GO);
    assert_false(dying_work());
    assert_false(dying_leave());
    store_up = false;
    store->state = DOM_UP;
    assert_false(dying_work());
    assert_false(dying_leave());
    assert_int_equal(leaves, 0);
    store_up = true;
    leave_rc = -ENOMEM;
    pass(2 * LET_GO);
    assert_true(dying_work());
    assert_false(dying_leave());
    assert_int_equal(leaves, 2);
    pass(2 * LET_GO);
    assert_int_equal(forgets, 0);
    assert_int_equal(record_next_ended(0), ID);
    leave_rc = 0;
    assert_true(dying_work());
    pass(2 * LET_GO);
    assert_int_equal(forgets, 1);
    assert_false(dying_work());
    assert_true(dying_leave());
    assert_int_equal(leaves, 3);
}

/* A former instance had ended them: one is gone, another has the domid of the next. */
TEST(test_found)
{
    record_ended(BH_DOMID_CONTROL, true); /* damage */
    record_ended(ID, true);
    record_ended((domid_t)blk0->id, true);
    dying_find_all();
    record_ended(BH_DOMID_CONTROL, false);
    assert_true(dying_leave());
    assert_int_equal(leaves, 1);
    pass(2 * LET_GO);
    assert_int_equal(forgets, 1);
    assert_int_equal(forgot, ID);
}

/* Its end is on its way in the job. */
TEST(test_not_while_it_ends)
{
    struct dom *d = add(ID, "guest", BH_ROLE_GUEST);

    d->ending = true;
    destroyed(true);
    name_in_slot(SLOT_ATTACHED);
    pass(3 * LET_GO);
    assert_int_equal(forgets, 0);
    assert_true(slot_live(&blk0->slots[5]));
    drop(d);
    pass(2 * LET_GO);
    assert_int_equal(forgets, 1);
}

TEST(test_again_while_the_core_is_busy)
{
    forget_rc = -EBUSY;
    destroyed(true);
    pass(4 * LET_GO);
    assert_in_range(forgets, 3, 4);
    forget_rc = 0;
    pass(2 * LET_GO);
    unsigned n = forgets;
    pass(10 * LET_GO);
    assert_int_equal(forgets, n);
}

/* It had no rings, so its domid was free at once: the core says so, and that is the end of it. */
TEST(test_free_already)
{
    forget_rc = -ESRCH;
    destroyed(true);
    pass(10 * LET_GO);
    assert_int_equal(forgets, 1);
}

/* ... and the next one has it already: alive, then destroyed while the store does not answer. */
TEST(test_the_next_one_is_not_it)
{
    destroyed(true);
    listed = true;
    state = BH_DOM_RUNNING;
    pass(LET_GO / 2);
    state = BH_DOM_DYING;
    destroyed(false);
    listed = false;
    pass(10 * LET_GO);
    assert_int_equal(forgets, 0);

    destroyed(true);
    listed = true;
    state = BH_DOM_RUNNING;
    pass(10 * LET_GO);
    listed = false;
    pass(10 * LET_GO);
    assert_int_equal(forgets, 0); /* the first one's is told to nobody once there was another */
}
