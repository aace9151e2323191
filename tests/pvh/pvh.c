/* SPDX-License-Identifier: MIT */
#include "pvh.h"
#include <xen/event_channel.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/io/console.h>
#include <xen/memory.h>
#include <xen/sched.h>

#define VECTOR 0x60

struct shared_info pvh_shared __attribute__((aligned(4096)));
uint32_t pvh_port;
volatile uint32_t pvh_got, pvh_early;
static volatile struct xencons_interface *console;
static uint32_t console_port;
static struct {
    uint16_t low, sel, attr, mid;
    uint32_t high, zero;
} idt[256] __attribute__((aligned(16)));
extern char after_sti_hlt[], after_sti_nop[], upcall_entry[], fault_entry[];
void wait_hlt(void);
void wait_nop(void);
void upcall(uint64_t rip);

/* --- words ------------------------------------------------------------------------------------------------------- */

const char *pvh_words(const uint8_t *start_info)
{
    return *(const char *const *)(start_info + 24); /* cmdline_paddr */
}

const char *pvh_find(const char *s, const char *what)
{
    for (; *s; s++) {
        const char *a = s, *b = what;
        while (*b && *a == *b)
            a++, b++;
        if (!*b)
            return a;
    }
    return 0;
}

uint32_t pvh_number(const char *s, const char *what)
{
    uint32_t n = 0;
    for (s = pvh_find(s, what); s && *s >= '0' && *s <= '9'; s++)
        n = n * 10 + (uint32_t)(*s - '0');
    return n;
}

/* --- console ------------------------------------------------------------------------------------------------------ */

static void put(char c)
{
    while (console->out_prod - console->out_cons == sizeof(console->out)) {
        pvh_send(console_port);
        pvh_yield();
    }
    console->out[console->out_prod % sizeof(console->out)] = c;
    __asm__ volatile("" ::: "memory");
    console->out_prod++;
}

void pvh_say(const char *what, uint64_t n)
{
    char digit[20];
    int i = 0;
    while (*what)
        put(*what++);
    do
        digit[i++] = (char)('0' + n % 10);
    while (n /= 10);
    while (i)
        put(digit[--i]);
}

void pvh_line(void)
{
    put('\r');
    put('\n');
    pvh_send(console_port);
}

/* --- events -------------------------------------------------------------------------------------------------------- */

void pvh_yield(void) { hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0); }

void pvh_send(uint32_t port)
{
    hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_send, &(struct evtchn_send){ port }, 0);
}

void pvh_unmask(uint32_t port)
{
    hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_unmask, &(struct evtchn_unmask){ port }, 0);
}

uint32_t pvh_alloc(uint16_t remote)
{
    struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = remote };
    hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, &a, 0);
    return a.port;
}

uint32_t pvh_bind(uint16_t peer)
{
    struct evtchn_bind_interdomain b = { .remote_dom = peer, .remote_port = 1 };
    while (hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, &b, 0)) {
        b.remote_port = b.remote_port % 16 + 1;
        pvh_yield();
    }
    return b.local_port;
}

void upcall(uint64_t rip)
{
    struct vcpu_info *v = &pvh_shared.vcpu_info[0];
    if (rip == (uint64_t)after_sti_hlt || rip == (uint64_t)after_sti_nop)
        pvh_early++;
    *(volatile uint8_t *)&v->evtchn_upcall_pending = 0;
    uint64_t sel = __atomic_exchange_n(&v->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
    for (unsigned w = 0; w < 64; w++)
        if (sel >> w & 1) {
            uint64_t p = *(volatile uint64_t *)&pvh_shared.evtchn_pending[w] &
                         ~*(volatile uint64_t *)&pvh_shared.evtchn_mask[w];
            __atomic_and_fetch(&pvh_shared.evtchn_pending[w], ~p, __ATOMIC_SEQ_CST);
            if (w == pvh_port / 64 && (p >> pvh_port % 64 & 1))
                pvh_got = 1;
        }
}

void pvh_wait(int nop)
{
    __asm__ volatile("cli" ::: "memory");
    while (!pvh_got)
        nop ? wait_nop() : wait_hlt();
    pvh_got = 0;
    __asm__ volatile("sti" ::: "memory");
}

char pvh_key(void)
{
    uint32_t port = pvh_port, at = console->in_cons;

    pvh_port = console_port;
    pvh_unmask(console_port);
    while (console->in_prod == at)
        pvh_wait(0);
    __atomic_or_fetch(&pvh_shared.evtchn_mask[console_port / 64], 1ull << console_port % 64,
                      __ATOMIC_SEQ_CST);
    char c = console->in[at % sizeof(console->in)];
    console->in_cons = at + 1;
    pvh_got = 0;
    pvh_port = port;
    return c;
}

/* --- the beginning --------------------------------------------------------------------------------------------------- */

static void gate(unsigned n, const char *to)
{
    uint64_t at = (uint64_t)to;
    idt[n].low = (uint16_t)at;
    idt[n].sel = 8;
    idt[n].attr = 0x8e00;
    idt[n].mid = (uint16_t)(at >> 16);
    idt[n].high = (uint32_t)(at >> 32);
}

uint64_t pvh_param(uint32_t index)
{
    struct xen_hvm_param p = { .domid = DOMID_SELF, .index = index };
    hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, &p, 0);
    return p.value;
}

void pvh_setup(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } at = { sizeof(idt) - 1, (uint64_t)idt };
    struct xen_add_to_physmap map = { .domid = DOMID_SELF,
                                      .space = XENMAPSPACE_shared_info,
                                      .gpfn = (uint64_t)&pvh_shared >> 12 };
    struct xen_hvm_param callback = { .domid = DOMID_SELF,
                                      .index = HVM_PARAM_CALLBACK_IRQ,
                                      .value = 2ull << 56 | VECTOR };

    for (unsigned i = 0; i < 32; i++)
        gate(i, fault_entry); /* a triple fault: the core says so */
    gate(VECTOR, upcall_entry);
    __asm__ volatile("lidt %0" ::"m"(at));
    hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &map, 0);
    for (unsigned i = 0; i < 64; i++)
        pvh_shared.evtchn_mask[i] = ~0ull;
    console = (struct xencons_interface *)(pvh_param(HVM_PARAM_CONSOLE_PFN) << 12);
    console_port = (uint32_t)pvh_param(HVM_PARAM_CONSOLE_EVTCHN);
    hypercall(__HYPERVISOR_hvm_op, HVMOP_set_param, &callback, 0);
    __asm__ volatile("sti" ::: "memory");
}
