/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/supervise/anew.c
// FLAGS: -Ictl-dom -Idomains/include
/* A store that began empty goes away again while it is told who runs: nobody is waited for any more, and nobody is forgotten. */
#include <errno.h>
#include "unit.h"
#include "store/store.h"
#include "store/connection.h"
#include "supervise/anew.h"
#include "supervise/supervisor.h"

#define NR 6u
static struct dom dom[NR];
struct dom *doms = dom;
bool store_up = true;
static unsigned told_at, calls, goes_at; /* goes_at: at this call it is away, and from then on */
static bool nodes[NR], known[NR], whole;
static unsigned restarts;
static const struct dom *refused;

static bool goes(void) { return ++calls >= goes_at; }

int fail(struct errbuf *e, int rc, const char *fmt, ...) { return rc; }
void say(const char *fmt, ...) {}
const char *errno_text(int rc) { return ""; }
unsigned xs_breaks(void) { return 0; }
int xs_mkdir(uint32_t tx, const char *path) { return goes() ? -ETIME : 0; }
int store_empty(void) { return goes() ? -ETIME : !whole; }
void store_told(unsigned breaks) { told_at = breaks; }
bool store_is_told(void) { return told_at == xs_breaks(); }
int store_add_again(struct dom *d, struct errbuf *e)
{
    return goes() ? -ETIME : (nodes[d - dom] = true, 0);
}
bool store_knows(const struct dom *d) { return !goes() && known[d - dom]; }
int store_introduce(const struct dom *d)
{
    assert_true(store_is_told() && nodes[d - dom] && !known[d - dom]);
    return goes() ? -ETIME : d == refused ? -EIO : (known[d - dom] = true, 0);
}
int store_whole(void) { return goes() ? -ETIME : (whole = true, 0); }
int supervisor_restart(struct dom *d, struct errbuf *e)
{
    assert_true(store_is_told());
    restarts++;
    return -ETIME; /* of the core: it is tried again anyhow */
}
void supervisor_look(void) {}

int setup(void **unused)
{
    for (unsigned i = 0; i < NR; i++)
        dom[i] = (struct dom){ .next = i + 1 < NR ? &dom[i + 1] : NULL,
                               .id = (domid_t)(3 + i),
                               .in_store = true,
                               .introduced = true,
                               .cfg.role = i ? BH_ROLE_GUEST : BH_ROLE_DRIVER };
    return 0;
}

TEST(goes_away_at_each_call)
{
    for (unsigned at = 1; at < 100; at++) {
        memset(nodes, 0, sizeof(nodes));
        memset(known, 0, sizeof(known));
        whole = false;
        told_at = STORE_UNTOLD;
        calls = restarts = 0;
        goes_at = at;
        (void)anew_work();
        bool went = calls >= at;
        if (!went)
            assert_int_equal(restarts, 1);
        assert_true(calls <= at + 1); /* each takes 5 s */
        goes_at = ~0u;
        while (anew_work())
            ;
        for (unsigned i = 0; i < NR; i++)
            assert_true(nodes[i] && (!i || known[i]));
        assert_true(whole && restarts);
        if (!went)
            return;
    }
    fail_msg("it never ends");
}

/* One whose ring it cannot map is no reason to begin again, for ever. */
TEST(refuses_one)
{
    memset(known, 0, sizeof(known));
    whole = false;
    told_at = STORE_UNTOLD;
    calls = restarts = 0;
    goes_at = ~0u;
    refused = &dom[2];
    assert_true(anew_work());
    assert_false(anew_work());
    assert_true(whole && known[NR - 1] && !known[2]);
    assert_int_equal(restarts, 1);
}
