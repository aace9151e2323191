/* SPDX-License-Identifier: MIT */
// FLAGS: -Idomains/include
/* How a service domain waits: the sends that are left in its batch go with the wait's one call, and before it where there is none. */
#include <errno.h>
#include "unit.h"

#include "../../domains/event.c"
#include "../../domains/batch.c"
#include "../../domains/loop.c"

struct bh_self self;
static struct shared_info page;
struct shared_info *shared_info = &page;
static struct batch b;
static unsigned waits, batches, sent, polls, served;
static uint32_t first_sent;

unsigned timers_run(void) { return 0; }
uint64_t timers_next(void) { return 0; }
bool xs_run_watches(void) { return false; }

long hypercall(unsigned nr, uint64_t a, uint64_t arg, uint64_t c, uint64_t d)
{
    if (nr == __HYPERVISOR_sched_op)
        polls++;
    if (nr == __HYPERVISOR_event_channel_op && a == EVTCHNOP_send)
        sent++;
    if (nr != BH_HYPERCALL_SERVICE)
        return 0;
    const struct bh_wait *w = (const void *)arg;
    const struct bh_batch *q = (const void *)arg;
    if (a == BH_SVC_WAIT)
        waits++;
    else
        batches++;
    unsigned n = a == BH_SVC_WAIT ? (unsigned)w->nr_sends : q->nr_sends;
    if (n)
        first_sent = *(const uint32_t *)(a == BH_SVC_WAIT ? w->sends : q->sends);
    sent += n;
    return 0;
}

static void on(uint32_t port, void *arg) { served++; }

static void event(uint32_t port)
{
    page.evtchn_pending[0] |= 1ul << port;
    page.vcpu_info[0].evtchn_pending_sel = 1;
    page.vcpu_info[0].evtchn_upcall_pending = 1;
}

int setup(void **state)
{
    memset(&page, 0, sizeof(page));
    memset(&b, 0, sizeof(b));
    waits = batches = sent = polls = served = first_sent = 0;
    self.guest = false;
    stash = 0;
    batch_left_to_wait(&b);
    assert_int_equal(event_adopt(5, on, NULL), 0);
    return 0;
}

TEST(one_call)
{
    batch_send(&b, 7);
    batch_send(&b, 9);
    assert_int_equal(event_wait(0), 0);
    assert_int_equal(waits, 1);
    assert_int_equal(batches, 0);
    assert_int_equal(sent, 2);
    assert_int_equal(first_sent, 7);
    event_wait(0);
    assert_int_equal(sent, 2); /* once */
}

/* Who finds an event does not wait: a peer that sends without end keeps nobody's notification back. */
TEST(no_wait)
{
    for (unsigned i = 1; i < 5; i++) {
        batch_send(&b, 7);
        event(5);
        assert_int_equal(event_wait(0), 1);
        assert_int_equal(waits, 0);
        assert_int_equal(sent, i);
    }
    batch_send(&b, 7);
    event(5);
    assert_true(event_wait_port(5, 0, false));
    assert_int_equal(waits, 0);
    assert_int_equal(sent, 5);
    assert_int_equal(served, 4);
}

TEST(one_port)
{
    batch_send(&b, 7);
    event(6);
    assert_false(event_wait_port(5, 0, false));
    assert_int_equal(waits, 1);
    assert_int_equal(sent, 1);
    batch_send(&b, 7);
    assert_false(event_wait_port(5, 0, true)); /* port 6 is still to be served: by whoever asks for that */
    assert_int_equal(waits, 1);
    assert_int_equal(sent, 2);
    event_poll_but(5);
    assert_false(event_wait_port(5, 0, true));
    assert_int_equal(waits, 2);
}

TEST(plain_guest)
{
    self.guest = true;
    batch_send(&b, 7);
    event_wait(0);
    assert_int_equal(waits + batches, 0);
    assert_int_equal(sent, 1);
    assert_int_equal(polls, 1);
}

TEST(no_batch)
{
    batch_left_to_wait(NULL);
    event_wait(0);
    assert_int_equal(waits, 1);
    assert_int_equal(sent, 0);
}
