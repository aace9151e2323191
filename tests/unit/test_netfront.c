/* SPDX-License-Identifier: MIT */
// LINK: domains/devname.c
// FLAGS: -Idomains/include
/* The strict front-end notices what it is there to notice: each violation by the back-end is counted, right traffic is not. */
#include <stdarg.h>
#include "unit.h"

#include "../../domains/internal.h"
static int quiet(const char *fmt, ...) { return 0; }
#define printf(...) quiet(__VA_ARGS__)
#include "../../domains/netfront.c"
#undef printf

/* --- doubles --- */
static const void *granted[4096];
static bool in_use[4096];
static int next_ref = 8;
static char backend_state[4] = "2";
static unsigned own_state = 1;
static char said_states[16]; /* by the front-end, since the test began */
static uint64_t offload = 1;
static watch_fn state_watch;
static void *state_arg;
static unsigned sends;
int xs_error;

void *page_alloc(unsigned n)
{
    return memset(aligned_alloc(PAGE_SIZE, n * PAGE_SIZE), 0, n * PAGE_SIZE);
}
int grant_give(domid_t to, const void *page, unsigned flags)
{
    granted[next_ref] = page;
    return next_ref++;
}
int grant_end(uint32_t ref)
{
    if (in_use[ref])
        return -EBUSY;
    if (!granted[ref])
        return -EINVAL;
    granted[ref] = NULL;
    return 0;
}
int event_alloc_unbound(domid_t remote, event_fn fn, void *arg) { return 5; }
int event_send(uint32_t port) { return sends++, 0; }
int xs_printf(uint32_t tx, const char *path, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (!strcmp(path, "device/vif/0/state")) {
        own_state = va_arg(ap, unsigned);
        snprintf(said_states + strlen(said_states), sizeof(said_states) - strlen(said_states), "%u",
                 own_state);
    }
    va_end(ap);
    return 0;
}
int xs_tx_start(uint32_t *tx) { return *tx = 1, 0; }
int xs_tx_end(uint32_t tx, bool commit) { return 0; }
char *xs_read(uint32_t tx, const char *path)
{
    return strdup(strstr(path, "/mac") ? "00:16:3e:00:00:1e" : "/local/domain/3/backend/vif/17/0");
}
int xs_read_uint(uint32_t tx, const char *path, uint64_t *v)
{
    *v = strstr(path, "vif/0/state") && path[0] == 'd' ? own_state
         : strstr(path, "state")                       ? strtoul(backend_state, NULL, 10)
         : strstr(path, "feature")                     ? offload
                                                       : 3;
    return 0;
}
int xs_watch(const char *path, watch_fn fn, void *arg)
{
    state_watch = fn;
    state_arg = arg;
    fn(path, arg);
    return 0;
}

static struct netfront nf;
static unsigned frames;
static uint8_t last[4096];
static bool last_good;
static void on_frame(struct netfront *n, const uint8_t *f, unsigned len, bool good, void *arg)
{
    frames++;
    last_good = good;
    memcpy(last, f, len);
}

/* The back-end's side: answers by hand. */
static netif_tx_sring_t *tx(void) { return nf.tx.sring; }
static netif_rx_sring_t *rx(void) { return nf.rx.sring; }
static void tx_answer(uint32_t at, uint16_t id, int16_t status)
{
    tx()->ring[at & 255].rsp = (netif_tx_response_t){ .id = id, .status = status };
    tx()->rsp_prod = at + 1;
}
static void rx_answer(uint32_t at, uint16_t id, int16_t status, uint16_t flags)
{
    rx()->ring[at & 255].rsp = (netif_rx_response_t){ .id = id, .status = status, .flags = flags };
    rx()->rsp_prod = at + 1;
}
static void ring(void) { on_event(5, &nf); }
static int send(const char *frame, unsigned len)
{
    uint8_t *page = netfront_frame(&nf);
    if (!page)
        return -EAGAIN;
    memcpy(page, frame, 60);
    return netfront_send(&nf, len, false);
}

int setup(void **state)
{
    memset(in_use, 0, sizeof(in_use));
    next_ref = 8;
    frames = sends = 0;
    said_states[0] = 0;
    own_state = 1;
    strcpy(backend_state, "2");
    assert_int_equal(netfront_open(&nf, 0, on_frame, NULL), 0);
    assert_true(nf.connected);
    assert_int_equal(rx()->req_prod, NETFRONT_SLOTS);
    return 0;
}

int teardown(void **state)
{
    for (unsigned i = 0; i < NETFRONT_SLOTS; i++) {
        free(nf.tx_slot[i].page);
        free(nf.rx_slot[i].page);
    }
    free(nf.tx.sring);
    free(nf.rx.sring);
    return 0;
}

TEST(right)
{
    char frame[60] = "hello";

    /* Three times round the ring, answered out of order in pairs, now and then with an error. */
    for (uint32_t i = 0; i < 768; i += 2) {
        assert_int_equal(send(frame, sizeof(frame)), 0);
        uint16_t a = tx()->ring[i & 255].req.id;
        assert_int_equal(send(frame, sizeof(frame)), 0);
        uint16_t b = tx()->ring[(i + 1) & 255].req.id;
        assert_int_not_equal(a, b);
        tx_answer(i, b, NETIF_RSP_OKAY);
        tx_answer(i + 1, a, i % 64 ? NETIF_RSP_OKAY : NETIF_RSP_DROPPED);
        ring();
        next_ref = 8 + 200 + (int)(i % 100) * 4;
    }
    for (uint32_t i = 0; i < 600; i++) {
        next_ref = 2000 + (int)i;
        netif_rx_request_t q = rx()->ring[i & 255].req;
        memcpy((void *)(uintptr_t)granted[q.gref], &i, sizeof(i));
        rx_answer(i, q.id, 60, 0);
        ring();
        assert_memory_equal(last, &i, sizeof(i));
    }
    assert_int_equal(frames, 600);
    assert_int_equal(nf.violations, 0);
    assert_true(nf.tx_errors > 0);
}

TEST(full)
{
    char frame[60] = "x";

    assert_int_equal(send(frame, 5000), -EMSGSIZE);
    for (unsigned i = 0; i < NETFRONT_SLOTS; i++)
        assert_int_equal(send(frame, sizeof(frame)), 0);
    assert_int_equal(send(frame, sizeof(frame)), -EAGAIN);

    assert_int_equal(nf.violations, 0);
}

TEST(tx_twice)
{
    char frame[60] = "x";

    send(frame, sizeof(frame));
    send(frame, sizeof(frame));
    uint16_t id = tx()->ring[0].req.id;
    tx_answer(0, id, NETIF_RSP_OKAY);
    tx_answer(1, id, NETIF_RSP_OKAY); /* lies over the second request */
    ring();
    assert_int_equal(nf.violations, 1);
}

TEST(tx_unknown)
{
    char frame[60] = "x";

    send(frame, sizeof(frame));
    tx_answer(0, 999, NETIF_RSP_OKAY);
    ring();
    assert_int_equal(nf.violations, 1);
}

TEST(indices)
{
    char frame[60] = "x";

    send(frame, sizeof(frame));
    tx()->rsp_prod = 2;
    ring();
    assert_int_equal(nf.violations, 1);
    tx()->rsp_prod = 0;
    rx()->rsp_prod = NETFRONT_SLOTS + 1;
    ring();
    assert_int_equal(nf.violations, 2);
    rx()->rsp_prod = 0;
    tx_answer(0, tx()->ring[0].req.id, NETIF_RSP_OKAY);
    ring();
    assert_int_equal(nf.violations, 2);
    tx()->rsp_prod = 0; /* back behind what was consumed */
    ring();
    assert_int_equal(nf.violations, 3);
    assert_int_equal(frames, 0);
}

TEST(grants)
{
    char frame[60] = "x";

    send(frame, sizeof(frame));
    netif_tx_request_t q = tx()->ring[0].req;
    in_use[q.gref] = true;
    tx_answer(0, q.id, NETIF_RSP_OKAY);
    ring();
    assert_int_equal(nf.violations, 1);
    free((void *)(uintptr_t)granted[q.gref]);
}

TEST(rx_wrong)
{
    netif_rx_request_t q0 = rx()->ring[0].req, q1 = rx()->ring[1].req;

    rx_answer(0, q1.id, 60, 0); /* another's id */
    ring();
    assert_int_equal(nf.violations, 1);
    rx_answer(1, q1.id, 60, 0);
    ring();
    assert_int_equal(nf.violations, 1);
    rx()->ring[2].rsp = (netif_rx_response_t){ .id = 2, .offset = 4000, .status = 200 };
    rx()->rsp_prod = 3;
    ring();
    assert_int_equal(nf.violations, 2);
    rx_answer(3, 3, 60, NETRXF_more_data); /* scatter-gather was not asked for: both slots */
    rx_answer(4, 4, 60, 0);
    ring();
    assert_int_equal(nf.violations, 4);
    rx_answer(5, 5, -1, 0); /* an error is no violation */
    ring();
    assert_int_equal(nf.violations, 4);
    assert_int_equal(nf.rx_errors, 2);
    (void)q0;
}

TEST(checksums)
{
    assert_true(nf.csum_offload);
    for (unsigned i = 0; i < 2; i++) {
        assert_non_null(netfront_frame(&nf));
        assert_ptr_equal(netfront_frame(&nf), netfront_frame(&nf));
        assert_int_equal(netfront_send(&nf, 60, i), 0);
        assert_int_equal(tx()->ring[i].req.flags, i ? NETTXF_csum_blank | NETTXF_data_validated : 0);
    }
    assert_int_equal(netfront_send(&nf, 60, false), -EINVAL); /* nothing was put there */
    rx_answer(0, 0, 60, NETRXF_csum_blank | NETRXF_data_validated);
    ring();
    assert_true(last_good);
    rx_answer(1, 1, 60, 0);
    ring();
    assert_false(last_good);
    assert_int_equal(nf.violations, 0);
}

TEST(closing)
{
    strcpy(backend_state, "5");
    state_watch("x/state", state_arg);
    assert_false(nf.connected);
    assert_int_equal(netfront_send(&nf, 60, false), -ENOTCONN);
}

static void backend_says(const char *s)
{
    strcpy(backend_state, s);
    state_watch("x/state", state_arg);
}

/* Whatever the last life left, wherever the back-end stands by then: it lets go first, and what it says before that counts for nothing. */
TEST(next_life)
{
    static const char *const left[] = { "2", "4", "5", "6" };

    teardown(NULL);
    for (unsigned own = 2; own <= 6; own++)
        for (unsigned i = 0; i < ARRAY_SIZE(left); i++) {
            said_states[0] = 0;
            own_state = own;
            strcpy(backend_state, left[i]);
            assert_int_equal(netfront_open(&nf, 0, on_frame, NULL), 0);
            assert_false(nf.connected);
            if (*left[i] != '6') {
                assert_string_equal(said_states, "6");
                backend_says("4");
                backend_says("2");
                assert_false(nf.connected);
                backend_says("6");
            }
            assert_string_equal(said_states, "61");
            backend_says("6"); /* told twice */
            assert_false(nf.connected);
            backend_says("2");
            assert_true(nf.connected);
            assert_string_equal(said_states, "614");
            assert_int_equal(nf.violations, 0);
            teardown(NULL);
        }
    assert_int_equal(netfront_open(&nf, 0, on_frame, NULL), 0);
}

/* One that is polled: an event does nothing, a look takes what is there and no more, and a back-end that is never done keeps nobody. */
TEST(polled)
{
    char frame[60] = "x";

    nf.polled = true;
    assert_false(netfront_arm(&nf));
    rx_answer(0, 0, 60, 0);
    ring();
    assert_int_equal(frames, 0);
    assert_true(netfront_arm(&nf));
    netfront_poll(&nf);
    assert_int_equal(frames, 1);
    assert_int_equal(rx()->req_prod, NETFRONT_SLOTS + 1);
    assert_false(netfront_arm(&nf));
    send(frame, sizeof(frame));
    tx_answer(0, tx()->ring[0].req.id, NETIF_RSP_OKAY);
    netfront_poll(&nf);
    assert_int_equal(nf.tx.rsp_cons, 1);
    rx()->rsp_prod = 1000; /* more than was asked for: nothing to do, for ever */
    netfront_poll(&nf);
    assert_int_equal(nf.violations, 1);
    assert_false(netfront_arm(&nf));
}
