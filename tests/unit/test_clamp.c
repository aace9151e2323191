// SPDX-License-Identifier: MIT
// FLAGS: -fno-sanitize=bounds
/*
 * Ports under speculation: the check of a port is pretended to be mispredicted (it lets every port pass), while the clamps
 * know the true bound. Nothing outside the domain's own maps may be touched.
 */
#include "unit.h"
#include <signal.h>
#include "ipc/evtchn.h"
#include "base/types.h"
#include "domain/domain.h"
#define TRUE_PORTS 4096u
static uint64_t test_clamp(uint64_t i, uint64_t n)
{
    return i < (n > TRUE_PORTS ? TRUE_PORTS : n) ? i : 0;
}
#define clamp_nospec test_clamp
#undef EVTCHN_PORTS
#define EVTCHN_PORTS 0x80000000u
#undef _Static_assert
#define _Static_assert(x, y) extern int no_assert
#include "ipc/evtchn.c"
#include "shim.h"

struct domain *domain_get(domid_t id) { return NULL; }
void domain_put(struct domain *d) {}
void vcpu_kick(struct vcpu *v) {}
void pirq_unbind(struct domain *d, uint32_t pirq) {}
void frame_put(mfn_t m) {}
void frame_put_block(mfn_t m, unsigned order) {}

static sigjmp_buf out;
static void fault(int sig) { siglongjmp(out, sig); }

TEST(ports_stay_inside)
{
    static struct domain d;
    static struct vcpu v;
    const uint32_t bad[] = { 0x7ffffff0u, 0x40000000u, 0x100000u };
    uint32_t port;
    d.shared = core_alloc(0);
    d.nr_vcpus = 1;
    d.vcpu[0] = &v;
    v.domain = &d;
    assert_int_equal(evtchn_alloc_unbound(&d, 1, &port), 0);
    signal(SIGSEGV, fault);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        for (volatile unsigned op = 0; op < 4; op++) {
            if (sigsetjmp(out, 1))
                fail_msg("operation %u on port %x went outside", op, bad[i]);
            d.evtchn.bucket[0][0].slot = op == 3; /* port 0 is where a clamped one ends up */
            if (op == 0)
                assert_int_equal(evtchn_unmask(&d, bad[i]), 0);
            else if (op == 1)
                evtchn_set_pending(&d, bad[i]);
            else
                (void)evtchn_close(&d, bad[i]);
        }
    signal(SIGSEGV, SIG_DFL);
}
