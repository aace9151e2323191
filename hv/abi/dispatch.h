/* SPDX-License-Identifier: MIT */
/*
 * From a row of <ops.def> to its handler. A file with handlers is
 *
 *     static long op_send(struct call *c, struct evtchn_send *a) ...
 *     #define EVENT_CHANNEL_OP OP_STUB
 *     #include <ops.def>
 *     #define EVENT_CHANNEL_OP OP_ROW
 *     static const struct op rows[] = {
 *     #include <ops.def>
 *     };
 *     const struct ops event_channel_op_ops = OPS(rows, OP_INT, 1);
 *
 * A handler checks, then commits; it returns 0, a count, a negative errno, or HC_AGAIN, upon which the call is executed again. Its argument
 * is a copy that nobody else sees: what it leaves there is copied out where the row says so.
 */
#pragma once
#include "abi/hypercall.h"
#include "domain/domain.h"

/* A call on its way to its handler. */
struct call {
    struct vcpu *v;
    struct domain *d;
    uint64_t a[3]; /* arguments, the operation first; with HC_AGAIN the caller's registers get what the handler left there */
    uint32_t bits; /* B64 or B32: the code that calls */
};

enum { B64 = 1, B32 = 2, BOTH = 3 };
enum { DIR_NONE = 0, DIR_ODD = 0, DIR_IN = 1, DIR_OUT = 2, DIR_INOUT = 3, DIR_INOUT_ALWAYS = 7 };
#define DIR_ALWAYS 4

struct op {
    long (*fn)(struct call *c, void *a);
    uint16_t size; /* of the argument structure */
    uint8_t dir, priv, bits;
};
struct ops {
    const struct op *op;
    uint64_t mask; /* what of the first argument is the operation */
    uint32_t nr;
    uint32_t ptr; /* which argument is the pointer to the structure */
};
#define OP_INT 0xffffffffull /* an int of the caller's */
#define OPS(rows, mask, ptr)              \
    {                                     \
        rows, mask, ARRAY_SIZE(rows), ptr \
    }

#define OP_ARG_MAX              1024u /* bytes of the largest argument structure */
#define SIZE_NONE(type)         0
#define SIZE_ODD(type)          0
#define SIZE_IN(type)           sizeof(type)
#define SIZE_OUT(type)          sizeof(type)
#define SIZE_INOUT(type)        sizeof(type)
#define SIZE_INOUT_ALWAYS(type) sizeof(type)
#define ARG_NONE(type)
#define ARG_ODD(type)
#define ARG_IN(type)           , (const type *)a
#define ARG_OUT(type)          , (type *)a
#define ARG_INOUT(type)        , (type *)a
#define ARG_INOUT_ALWAYS(type) , (type *)a
/* The handler's prototype is checked here: what is called is op_NAME(what, and the argument where there is one). */
#define OP_STUB_OF(what, name, type, dir)                                        \
    static long call_##name(struct call *c, void *a)                             \
    {                                                                            \
        _Static_assert(SIZE_##dir(type) <= OP_ARG_MAX, "room for the argument"); \
        (void)a;                                                                 \
        return op_##name(what ARG_##dir(type));                                  \
    }
#define OP_STUB(nr, name, type, dir, ...) OP_STUB_OF(c, name, type, dir)
#define OP_ROW_OF(name, type, dir, priv, bits)                      \
    {                                                               \
        call_##name, SIZE_##dir(type), DIR_##dir, PRIV_##priv, bits \
    }
#define OP_ROW(nr, name, type, dir, priv, bits, what) [nr] = OP_ROW_OF(name, type, dir, priv, bits),

#define HYPERCALL(nr, name)   extern const struct ops name##_ops;
#define HYPERCALL32(nr, name) extern const struct ops name##_ops;
#include <ops.def>

/* Finds the operation, checks the privilege, copies in, calls, copies out. -ENOSYS, -EPERM, -EFAULT, or what the handler says. The privilege
 * comes before any look at the caller's memory. No lock is held. */
long op_call(const struct ops *t, struct call *c);

static inline bool is_self(const struct domain *d, domid_t id)
{
    return id == DOMID_SELF || id == d->id;
}
