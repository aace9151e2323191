// SPDX-License-Identifier: MIT
// Hypercalls from 32-bit code: GRUB's calls in their 32-bit layouts, pages that move, and nothing that only 64-bit code may ask.
// LINK: tests/unit/core_harness.c hv/abi/compat.c hv/abi/vcpu_op.c hv/abi/memory_op.c
// LINK: hv/abi/hvm_op.c hv/abi/sched_op.c hv/abi/xen_version.c hv/abi/console_io.c
// LINK: hv/abi/privilege.c hv/abi/hypercall.c
#include "core_harness.h"
#include <sys/mman.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include "base/print.h"
#include "time/time.h"

static unsigned yields;
void sched_yield(void) { yields++; }
void vcpu_block(struct vcpu *v) { v->state = VCPU_BLOCKED; }
long vcpu_wait_for(struct vcpu *v, uint64_t t, bool (*f)(struct vcpu *, void *), void *a)
{
    return 0;
}
int watchdog_set(struct domain *d, uint32_t id, uint32_t s) { return 0; }
static char said[4096];
static size_t said_len;
static size_t room = SIZE_MAX; /* of the serial line's ring */
void print_listen(const struct print_listener *l) {}
void serial_listen(void (*tell)(void)) {}
size_t serial_room(void) { return room; }
bool serial_room_made(void) { return false; }
static bool line_busy;
bool serial_waiting(void) { return line_busy; }
static unsigned pieces;
void serial_write(const char *s, size_t n)
{
    assert_int_equal(n, 0);
    pieces++;
}
static struct timer *armed;
void timer_setup(struct timer *t, void (*fn)(struct timer *)) { t->fn = fn; }
void timer_set(struct timer *t, uint64_t at) { armed = t; }
void console_write(const char *s, size_t n)
{
    memcpy(said + said_len, s, n);
    said_len += n;
}
size_t console_read(char *s, size_t n) { return 0; }
void debug_init(void) {}
void debug_poll(void) {}

/* The door finds 32-bit code at CPL 0. Of these calls it has nothing for such: */
const struct ops control_ops, service_ops, physdev_op_ops;
void sched_begin_op(void) {}
static unsigned bits_32(const struct vcpu *v) { return 32; }
static unsigned ring_0(const struct vcpu *v) { return 0; }

#define RAM_PAGES 0x300u
static struct domain *grub, *other;
/* Arguments of 32 bits: memory below 4 GiB. */
static struct {
    struct {
        uint32_t nr, buffer;
    } map;
    struct {
        uint64_t addr, size;
        uint32_t type;
    } __attribute__((packed)) e[16];
    struct {
        uint16_t domid, size;
        uint32_t space, idx, gpfn;
    } add;
    struct xen_hvm_param param;
    struct evtchn_alloc_unbound alloc;
    struct evtchn_send send;
    struct evtchn_close close;
    struct sched_shutdown shutdown;
    struct vcpu_hvm_context context;
    char text[600];
} * low;

static long call(uint32_t nr, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    struct vcpu *v = grub->vcpu[0];
    as(grub);
    /* what is above 32 bits is not the caller's */
    v->regs.rax = nr | 0xdead00000000ull;
    v->regs.rbx = ebx | 1ull << 32;
    v->regs.rcx = ecx | 1ull << 33;
    v->regs.rdx = edx | 1ull << 34;
    v->redo_len = 0;
    hypercall(v, 3);
    return v->redo_len ? HC_AGAIN : (long)v->regs.rax;
}
#define LOW(f) ((uint32_t)(uintptr_t)&low->f)

int setup(void **state)
{
    static struct virt_ops ops;
    machine_setup(state);
    ops = fake_virt;
    ops.code_bits = bits_32;
    ops.cpl = ring_0;
    virt = &ops;
    if (!low)
        low = mmap(NULL, sizeof *low, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    assert_ptr_not_equal(low, MAP_FAILED);
    memset(low, 0, sizeof *low);
    grub = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 2, RAM_PAGES);
    other = make(BH_DOMID_ANY, BH_ROLE_GUEST, 0, 1, 16);
    uint64_t done = 0;
    assert_int_equal(domain_populate_kind(grub, 0xffff0, 16, true, &done), 0);
    yields = 0;
    said_len = 0;
    return 0;
}

static enum p2m_type type_at(uint64_t gfn, mfn_t *m)
{
    enum p2m_type t;
    mfn_t at = p2m_lookup(grub, GFN(gfn), &t);
    if (m)
        *m = at;
    return t;
}
static long add(uint32_t space, uint32_t idx, uint32_t gfn)
{
    low->add.domid = DOMID_SELF;
    low->add.space = space;
    low->add.idx = idx;
    low->add.gpfn = gfn;
    return call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, LOW(add), 0);
}

TEST(memory_map)
{
    low->map.nr = 16;
    low->map.buffer = LOW(e);
    assert_int_equal(call(__HYPERVISOR_memory_op, XENMEM_memory_map, LOW(map), 0), 0);
    assert_int_equal(low->map.nr, 4);
    static const struct {
        uint64_t addr, size;
        uint32_t type;
    } want[4] = {
        { 0, 0xa0000, 1 },
        { 0xa0000, 0x60000, 2 },
        { 0x100000, RAM_PAGES * 4096ull - 0x100000, 1 },
        { 0xffff0000, 0x10000, 2 },
    };
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(low->e[i].addr, want[i].addr);
        assert_int_equal(low->e[i].size, want[i].size);
        assert_int_equal(low->e[i].type, want[i].type);
    }
    /* a short buffer is not overrun */
    memset(low->e, 0x55, sizeof low->e);
    low->map.nr = 2;
    assert_int_equal(call(__HYPERVISOR_memory_op, XENMEM_memory_map, LOW(map), 0), 0);
    assert_int_equal(low->map.nr, 2);
    assert_int_equal(low->e[2].type, 0x55555555);
    low->map.buffer = (uint32_t)BAD_PTR;
    assert_int_equal(call(__HYPERVISOR_memory_op, XENMEM_memory_map, LOW(map), 0), -EFAULT);
    assert_int_equal(call(__HYPERVISOR_memory_op, XENMEM_memory_map, 8, 0), -EFAULT);
    assert_int_equal(call(__HYPERVISOR_memory_op, XENMEM_set_memory_map, LOW(map), 0), 0);
}

/* GRUB puts the page into a hole, Linux after it over RAM or elsewhere. */
TEST(pages_move)
{
    mfn_t m, g;
    uint64_t pages = grub->tot_pages;
    assert_int_equal(add(XENMAPSPACE_shared_info, 0, RAM_PAGES), 0);
    assert_int_equal(type_at(RAM_PAGES, &m), P2M_SHARED);
    assert_ptr_equal(mfn_to_virt(m), grub->shared);
    assert_int_equal(add(XENMAPSPACE_grant_table, 0, RAM_PAGES + 1), 0);
    assert_int_equal(type_at(RAM_PAGES + 1, &g), P2M_SHARED);
    assert_int_equal(grub->tot_pages, pages);

    assert_int_equal(add(XENMAPSPACE_shared_info, 0, 5), 0); /* over RAM: that is freed */
    assert_int_equal(type_at(5, &m), P2M_SHARED);
    assert_ptr_equal(mfn_to_virt(m), grub->shared);
    assert_int_equal(type_at(RAM_PAGES, NULL), P2M_NONE);
    assert_int_equal(grub->tot_pages, pages - 1);
    assert_int_equal(add(XENMAPSPACE_shared_info, 0, 6),
                     0); /* the place before is a hole, not RAM again */
    assert_int_equal(type_at(5, NULL), P2M_NONE);
    assert_int_equal(grub->tot_pages, pages - 2);
    assert_int_equal(add(XENMAPSPACE_shared_info, 0, 6), 0); /* again at the same place */
    assert_int_equal(type_at(6, NULL), P2M_SHARED);

    assert_int_equal(add(XENMAPSPACE_grant_table, 0, 0x80000), 0);
    assert_int_equal(type_at(RAM_PAGES + 1, NULL), P2M_NONE);
    assert_int_equal(type_at(0x80000, &m), P2M_SHARED);
    assert_int_equal(m.v, g.v);
}

TEST(add_refusals)
{
    assert_int_equal(add(XENMAPSPACE_shared_info, 1, RAM_PAGES), -EINVAL);
    assert_int_equal(add(XENMAPSPACE_gmfn, 0, RAM_PAGES), -EINVAL);
    assert_true(add(XENMAPSPACE_grant_table, 0x80000000, RAM_PAGES) < 0);
    assert_true(add(XENMAPSPACE_grant_table, GRANT_MAX_FRAMES, RAM_PAGES) < 0);
    low->add.domid = other->id;
    low->add.space = XENMAPSPACE_shared_info;
    low->add.idx = 0;
    assert_int_equal(call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, LOW(add), 0), -EPERM);
    low->add.domid = grub->id;
    assert_int_equal(call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, LOW(add), 0), 0);
    assert_int_equal(call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, (uint32_t)BAD_PTR, 0),
                     -EFAULT);
    /* the resume count in the upper bits of the command is a matter of 64-bit callers */
    assert_int_equal(call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap | 1 << 6, LOW(add), 0),
                     -ENOSYS);
}

TEST(params_and_ports)
{
    grub->hvm_param[HVM_PARAM_CONSOLE_PFN] = 0xffff8;
    low->param.domid = DOMID_SELF;
    low->param.index = HVM_PARAM_CONSOLE_PFN;
    assert_int_equal(call(__HYPERVISOR_hvm_op, HVMOP_get_param, LOW(param), 0), 0);
    assert_int_equal(low->param.value, 0xffff8);
    assert_int_equal(call(__HYPERVISOR_hvm_op, HVMOP_set_param, LOW(param), 0), -ENOSYS);

    low->alloc.dom = DOMID_SELF;
    low->alloc.remote_dom = other->id;
    assert_int_equal(call(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, LOW(alloc), 0), 0);
    assert_true(low->alloc.port > 0);
    low->send.port = low->close.port = low->alloc.port;
    assert_int_equal(call(__HYPERVISOR_event_channel_op, EVTCHNOP_send, LOW(send), 0), 0);
    assert_int_equal(call(__HYPERVISOR_event_channel_op, EVTCHNOP_close, LOW(close), 0), 0);
    assert_true(call(__HYPERVISOR_event_channel_op, EVTCHNOP_send, LOW(send), 0) < 0);
    assert_int_equal(call(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, LOW(alloc), 0), -ENOSYS);
}

TEST(rest)
{
    struct vcpu *v = grub->vcpu[0];
    assert_int_equal(call(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0), 0);
    assert_int_equal(yields, 1);
    assert_int_equal(call(__HYPERVISOR_sched_op, SCHEDOP_poll, LOW(text), 0),
                     -ENOSYS); /* holds a pointer */
    assert_int_equal(call(__HYPERVISOR_grant_table_op, GNTTABOP_dump_table, LOW(text), 1), 0);
    assert_int_equal(call(__HYPERVISOR_grant_table_op, GNTTABOP_copy, LOW(text), 1), -ENOSYS);
    assert_int_equal(call(__HYPERVISOR_xen_version, XENVER_version, 0, 0), 4 << 16 | 17);
    assert_int_equal(call(__HYPERVISOR_xen_version, XENVER_platform_parameters, LOW(text), 0),
                     -ENOSYS);
    assert_int_equal(call(__HYPERVISOR_xen_version, XENVER_extraversion, LOW(text), 0), 0);
    assert_string_equal(low->text, "-bulkhead");
    low->context.mode = VCPU_HVM_MODE_32B;
    assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, LOW(context)), 0);
    assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, LOW(context)), -EEXIST);
    assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0), 0);
    assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_up, 1, 0), 0);
    assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0), 1);
    assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_down, 1, 0), 0);
    assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_register_runstate_memory_area, 0, LOW(text)),
                     -ENOSYS); /* holds a pointer */
    assert_int_equal(call(BH_HYPERCALL_CONTROL, 0, 0, 0), -ENOSYS);
    assert_int_equal(call(BH_HYPERCALL_SERVICE, 0, 0, 0), -ENOSYS);
    for (uint32_t nr = 0; nr < 300; nr++)
        if (nr != __HYPERVISOR_sched_op)
            assert_true(call(nr, 0xffffffff, 0, 0) < 0);
    assert_int_equal(call(0xffffffff, 0, 0, 0), -ENOSYS);

    /* a long line is interrupted: the registers that go on are those of 32-bit callers */
    grub->role = BH_ROLE_CONTROL;
    memset(low->text, 'x', sizeof low->text);
    v->regs.rsi = 0x1234;
    yields_after = 0;
    assert_int_equal(call(__HYPERVISOR_console_io, CONSOLEIO_write, 600, LOW(text)), HC_AGAIN);
    yields_after = ~0u;
    assert_int_equal(v->regs.rsi, 0x1234);
    assert_true((uint32_t)v->regs.rcx < 600 &&
                (uint32_t)v->regs.rdx == LOW(text) + 600 - (uint32_t)v->regs.rcx);
    assert_int_equal(call(__HYPERVISOR_console_io, CONSOLEIO_write, (uint32_t)v->regs.rcx,
                          (uint32_t)v->regs.rdx),
                     0);
    assert_int_equal(said_len, 600);

    /* what finds no room is the holder's to bring again, and the line goes on without its interrupt as long as bytes wait */
    said_len = 0;
    room = 0;
    line_busy = true;
    assert_int_equal(call(__HYPERVISOR_console_io, CONSOLEIO_write, 100, LOW(text)), 100);
    assert_int_equal(said_len, 0);
    struct timer *t = armed;
    assert_non_null(t);
    armed = NULL;
    t->fn(t);
    assert_int_equal(pieces, 1);
    assert_ptr_equal(armed, t);
    room = SIZE_MAX;
    line_busy = false;
    armed = NULL;
    assert_int_equal(call(__HYPERVISOR_console_io, CONSOLEIO_write, 100, LOW(text)), 0);
    assert_int_equal(said_len, 100);
    t->fn(t);
    assert_null(armed);
    grub->role = BH_ROLE_GUEST;

    start(grub);
    low->shutdown.reason = SHUTDOWN_reboot;
    assert_int_equal(call(__HYPERVISOR_sched_op, SCHEDOP_shutdown, LOW(shutdown), 0), 0);
    assert_int_equal(grub->shutdown_reason, SHUTDOWN_reboot);
}
