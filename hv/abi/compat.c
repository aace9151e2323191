/* SPDX-License-Identifier: MIT */
/*
 * The 32-bit half of the door: what GRUB's Xen PVH image calls from protected mode, paging off or on, and how other vCPUs are started,
 * and nothing else (docs/linux-pvh.md 10): the rows of <ops.def> that say BOTH or B32. Most structures are the same in both layouts and go to the
 * ordinary handlers; those that differ are spelt out here. No lock.
 */
#include "abi/dispatch.h"
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include "abi/memory_op.h"

struct memory_map32 {
    uint32_t nr_entries, buffer;
};
struct add_to_physmap32 {
    uint16_t domid, size;
    uint32_t space, idx, gpfn;
};
_Static_assert(sizeof(struct memory_map32) == 8 && sizeof(struct add_to_physmap32) == 16 &&
                   offsetof(struct add_to_physmap32, gpfn) == 12,
               "32-bit layouts of <xen/memory.h>");
/* A row for both has a structure that is the same in both layouts: nothing in it is aligned to more than 4 bytes, which pointer, long
 * and 64-bit members are; or it is one of these, which have no pointer, no long, and such members where 4 bytes put them too. */
_Static_assert(sizeof(struct xen_hvm_param) == 16 && offsetof(struct xen_hvm_param, value) == 8 &&
                   sizeof(struct vcpu_hvm_context) == 128,
               "the same in both layouts");
#define ALIGN32(type)                                                                         \
    _Generic((type *)NULL, struct xen_hvm_param * : 4, struct vcpu_hvm_context * : 4, default \
             : _Alignof(type))
#define ROW(nr, name, type, dir, priv, bits, what) \
    _Static_assert(bits != BOTH || ALIGN32(type) <= 4, #name ": a layout of its own");
typedef char none, capabilities_text_t[1]; /* bytes, whatever their number */
#define SET_TIMER_OP     ROW
#define XEN_VERSION      ROW
#define CONSOLE_IO       ROW
#define VCPU_OP          ROW
#define SCHED_OP         ROW
#define EVENT_CHANNEL_OP ROW
#define PHYSDEV_OP       ROW
#define HVM_OP           ROW
#include <ops.def>

static long op_add_to_physmap(struct call *c, const struct add_to_physmap32 *a)
{
    return is_self(c->d, a->domid) ? physmap_add(c->d, a->space, a->idx, a->gpfn) : -EPERM;
}

static long op_memory_map(struct call *c, struct memory_map32 *mm)
{
    return memory_map_copy(c->d, GADDR(mm->buffer), &mm->nr_entries);
}

/* Tells us what we told it: the map is the builder's. */
static long op_set_memory_map(struct call *c)
{
    (void)c;
    return 0;
}

/* GRUB has the table's entries printed when something is wrong: there is nobody to read it. */
static long op_dump_table(struct call *c)
{
    (void)c;
    return 0;
}

#define MEMORY_OP32 OP_STUB
#include <ops.def>
#define MEMORY_OP32 OP_ROW
static const struct op rows[] = {
#include <ops.def>
};
const struct ops memory_op32_ops = OPS(rows, OP_INT, 1);

#define GRANT_TABLE_OP32 OP_STUB
#include <ops.def>
#define GRANT_TABLE_OP32 OP_ROW
static const struct op grant_rows[] = {
#include <ops.def>
};
const struct ops grant_table_op32_ops = OPS(grant_rows, OP_INT, 1);
