/* SPDX-License-Identifier: MIT */
// LINK: hv/abi/dispatch.c
/* The door and the dispatcher: what a call leaves behind, what a call that is to be executed again is taken for, and in which order a row's
 * callers, privilege, copies and handler come. */
#include "unit.h"
#include "../../hv/abi/hypercall.c"
#include "shim.h"

static struct domain d;
static struct vcpu v;
static long answer;
static bool waits, allowed;
static uint64_t guest[2]; /* its memory, at 0x1000; elsewhere is nothing */
static unsigned reads, writes;

int copy_from_guest(void *dst, gaddr_t src, size_t n)
{
    reads++;
    if (src.v != 0x1000)
        return -EFAULT;
    memcpy(dst, guest, n);
    return 0;
}
int copy_to_guest(gaddr_t dst, const void *src, size_t n)
{
    writes++;
    if (dst.v != 0x1000)
        return -EFAULT;
    memcpy(guest, src, n);
    return 0;
}
bool priv_allows(enum bh_role role, enum priv p) { return p == PRIV_OPEN || allowed; }
void sched_begin_op(void) {}

struct pair {
    uint64_t one, two;
};
static long answered(void)
{
    if (waits)
        v.wait_event = true; /* as vcpu_wait does */
    return answer;
}
static long op_plain(struct call *c)
{
    c->a[1]++;
    return answered();
}
static long op_in(struct call *c, const struct pair *p) { return (long)p->two; }
static long op_out(struct call *c, struct pair *p)
{
    p->two += 7;
    return answered();
}
static long op_inout(struct call *c, struct pair *p)
{
    p->two += 7;
    return answered();
}
static long op_always(struct call *c, struct pair *p)
{
    p->two += 7;
    return answered();
}
enum { PLAIN, IN, OUT, LATE, ALWAYS, HOLE, NEW32, NR_OPS };
#define OPERATIONS(OP)                                 \
    OP(PLAIN, plain, none, NONE, OPEN, B64, "")        \
    OP(IN, in, struct pair, IN, LOG, BOTH, "")         \
    OP(OUT, out, struct pair, OUT, OPEN, B64, "")      \
    OP(LATE, inout, struct pair, INOUT, OPEN, B64, "") \
    OP(ALWAYS, always, struct pair, INOUT_ALWAYS, OPEN, B64, "")
OPERATIONS(OP_STUB)
static const struct op rows[] = { OPERATIONS(OP_ROW)[NEW32] = { call_plain, 0, DIR_NONE, PRIV_OPEN,
                                                                B32 } };
static const struct op rows32[] = { [PLAIN] = { call_plain, 0, DIR_NONE, PRIV_OPEN, B32 } };
#define HYPERCALL(nr, name)   const struct ops name##_ops = OPS(rows, OP_INT, 1);
#define HYPERCALL32(nr, name) const struct ops name##_ops = OPS(rows32, OP_INT, 1);
#include <ops.def>

static unsigned bits = 64, ring;
static unsigned code_bits(const struct vcpu *x) { return bits; }
static unsigned cpl(const struct vcpu *x) { return ring; }
static const struct virt_ops ops = { .code_bits = code_bits, .cpl = cpl };
const struct virt_ops *virt = &ops;

int setup(void **state)
{
    bits = 64;
    ring = reads = writes = 0;
    allowed = waits = false;
    answer = 0;
    guest[0] = guest[1] = 1;
    memset(&v.counts, 0, sizeof v.counts);
    return 0;
}

static void call(uint64_t nr, long rc, bool waiting)
{
    v.domain = &d;
    v.regs = (struct regs){ .rax = nr, .rip = 0x1000 };
    v.redo_len = 0;
    answer = rc;
    waits = waiting;
    this_cpu()->current = &v;
    this_cpu()->counts = &v.counts;
    hypercall(&v, 3);
}
static long op(uint64_t nr, uint64_t at, long rc)
{
    v.domain = &d;
    v.regs = (struct regs){ .rax = __HYPERVISOR_sched_op, .rdi = nr, .rsi = at, .rbx = nr, .rcx = at };
    v.redo_len = 0;
    answer = rc;
    hypercall(&v, 3);
    return v.redo_len ? HC_AGAIN : (long)v.regs.rax;
}

TEST(over)
{
    call(__HYPERVISOR_memory_op, -EFAULT, false);
    assert_int_equal((long)v.regs.rax, -EFAULT);
    assert_int_equal(v.regs.rip, 0x1003);
    call(12345, 0, false);
    assert_int_equal((long)v.regs.rax, -ENOSYS);
    assert_int_equal(v.counts.hypercalls, 2);
}

/* A vCPU was in a wait when its instance died, or an interrupt was taken out of it: the next call that goes on later is no wait. */
TEST(again)
{
    call(BH_HYPERCALL_SERVICE, HC_AGAIN, true);
    assert_int_equal(v.redo_len, 3);
    assert_int_equal(v.regs.rip, 0x1000);
    assert_true(v.wait_event);
    call(__HYPERVISOR_memory_op, HC_AGAIN, false);
    assert_int_equal(v.redo_len, 3);
    assert_false(v.wait_event);
}

TEST(who_may)
{
    assert_int_equal(op(HOLE, 0x1000, 0), -ENOSYS);
    assert_int_equal(op(NR_OPS, 0x1000, 0), -ENOSYS);
    assert_int_equal(op(NEW32, 0x1000, 0), -ENOSYS); /* of 32-bit code alone */
    assert_int_equal(op(IN, 0x1000, 0), -EPERM);
    assert_int_equal(op(IN, 0x9999, 0), -EPERM);
    assert_int_equal(reads, 0); /* before any look at the caller's memory */
    allowed = true;
    assert_int_equal(op(IN, 0x1000, 0), 1);
    assert_int_equal(op(IN | 1ull << 32, 0x1000, 0), 1); /* an int of the caller's */
    ring = 3;
    assert_int_equal(op(IN, 0x1000, 0), -EPERM);
    ring = 0;
    bits = 32;
    assert_int_equal(op(IN, 0x1000, 0), 1);
    assert_int_equal(op(IN, 0x1000 | 5ull << 32, 0), 1); /* what is above 32 bits is not the caller's */
    assert_int_equal(op(OUT, 0x1000, 0), -ENOSYS);
    assert_int_equal(op(NEW32, 0, 0), 0);
    bits = 16;
    assert_int_equal(op(IN, 0x1000, 0), -ENOSYS);
}

TEST(copies)
{
    allowed = true;
    assert_int_equal(op(IN, 0x9999, 0), -EFAULT);
    assert_int_equal(writes, 0);
    assert_int_equal(op(OUT, 0x1000, 0), 0); /* zeroed before, not read */
    assert_int_equal(guest[0], 0);
    assert_int_equal(guest[1], 7);
    assert_int_equal(op(OUT, 0x9999, 0), -EFAULT);
    guest[1] = 1;
    assert_int_equal(op(LATE, 0x1000, 5), 5);
    assert_int_equal(guest[1], 8);
    assert_int_equal(op(LATE, 0x1000, -EINVAL), -EINVAL);
    assert_int_equal(op(LATE, 0x1000, HC_AGAIN), HC_AGAIN);
    assert_int_equal(guest[1], 8);
    assert_int_equal(op(ALWAYS, 0x1000, -EINVAL), -EINVAL);
    assert_int_equal(guest[1], 15);
    assert_int_equal(op(ALWAYS, 0x1000, HC_AGAIN), HC_AGAIN);
    assert_int_equal(guest[1], 15);
    writes = 0;
    assert_int_equal(op(PLAIN, 0x1000, 0), 0);
    assert_int_equal(writes, 0);
}

/* What a handler says is left of the call the caller's registers say. */
TEST(goes_on)
{
    assert_int_equal(op(PLAIN, 0x1000, 0), 0);
    assert_int_equal(v.regs.rsi, 0x1000);
    assert_int_equal(op(PLAIN, 0x1000, HC_AGAIN), HC_AGAIN);
    assert_int_equal(v.regs.rsi, 0x1001);
    bits = 32;
    assert_int_equal(op(NEW32, 0x1000, HC_AGAIN), HC_AGAIN);
    assert_int_equal(v.regs.rcx, 0x1001);
    assert_int_equal(v.regs.rsi, 0x1000);
}
