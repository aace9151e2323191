/* SPDX-License-Identifier: MIT */
/* Two guests that wake each other. "server,peer=N": answers every event of domain N. "client,peer=N,rounds=R": sends, waits for
 * the answer, R times, and says on its console how far it is. With ",nop" both wait without sleeping: STI, NOP, CLI in a loop.
 * The up-call counts how often it came in right behind an STI: never on a processor, and never by a core that keeps the shadow. */
#include <stdint.h>

enum { MEMORY_OP = 12, SCHED_OP = 29, EVENT_CHANNEL_OP = 32, HVM_OP = 34 };
enum { BIND_INTERDOMAIN = 0, SEND = 4, ALLOC_UNBOUND = 6, UNMASK = 9 };
enum { SET_PARAM = 0, GET_PARAM = 1, CALLBACK_IRQ = 0, CONSOLE_PFN = 17, CONSOLE_EVTCHN = 18, ADD_TO_PHYSMAP = 7, YIELD = 0 };
#define DOMID_SELF 0x7ff0
#define VECTOR     0x60

struct shared_info {
    struct {
        volatile uint8_t pending, mask;
        uint8_t pad[6];
        volatile uint64_t sel;
        uint8_t rest[48];
    } vcpu[32];
    volatile uint64_t pending[64], mask[64];
};
struct console {
    char in[1024];
    volatile char out[2048];
    volatile uint32_t in_cons, in_prod, out_cons, out_prod;
};
struct hvm_param {
    uint16_t domid, pad;
    uint32_t index;
    uint64_t value;
};

static struct shared_info shared __attribute__((aligned(4096)));
static struct console *console;
static uint32_t console_port, port;
static volatile uint32_t got, early;
static struct {
    uint16_t low, sel, attr, mid;
    uint32_t high, zero;
} idt[256] __attribute__((aligned(16)));
extern char after_sti_hlt[], after_sti_nop[], upcall_entry[], fault_entry[];
void wait_hlt(void);
void wait_nop(void);
void upcall(uint64_t rip);
void guest_main(const uint8_t *start_info);

static long hypercall(uint64_t nr, uint64_t a, void *b)
{
    long rc;
    __asm__ volatile("vmmcall" : "=a"(rc), "+D"(a), "+S"(b) : "0"(nr) : "memory", "rdx", "r10", "r8", "rcx", "r11");
    return rc;
}
static void yield(void) { hypercall(SCHED_OP, YIELD, 0); }
static void send(uint32_t p) { hypercall(EVENT_CHANNEL_OP, SEND, &p); }

static void put(char c)
{
    while (console->out_prod - console->out_cons == sizeof(console->out)) {
        send(console_port);
        yield();
    }
    console->out[console->out_prod % sizeof(console->out)] = c;
    __asm__ volatile("" ::: "memory");
    console->out_prod++;
}
static void say(const char *what, uint64_t n)
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
static void line(void)
{
    put('\r');
    put('\n');
    send(console_port);
}

void upcall(uint64_t rip)
{
    if (rip == (uint64_t)after_sti_hlt || rip == (uint64_t)after_sti_nop)
        early++;
    shared.vcpu[0].pending = 0;
    uint64_t sel = __atomic_exchange_n(&shared.vcpu[0].sel, 0, __ATOMIC_SEQ_CST);
    for (unsigned w = 0; w < 64; w++)
        if (sel >> w & 1) {
            uint64_t p = shared.pending[w] & ~shared.mask[w];
            __atomic_and_fetch(&shared.pending[w], ~p, __ATOMIC_SEQ_CST);
            if (w == port / 64 && (p >> port % 64 & 1))
                got = 1;
        }
}

/* One event taken. What a guest does that has nothing else to do: look with interrupts off, else STI and HLT. */
static void wait_event(int nop)
{
    __asm__ volatile("cli" ::: "memory");
    while (!got)
        nop ? wait_nop() : wait_hlt();
    got = 0;
    __asm__ volatile("sti" ::: "memory");
}

static uint64_t ticks(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}

/* Sends and waits for the answer. A pause of random length between the two, up to what an answer takes, lets the answer come
 * now before the guest sleeps, now after, and often just when it goes to sleep. */
static void round_trip(int nop)
{
    static uint64_t usual = 100000, seed = 88172645463325252ull;
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    uint64_t start = ticks(), until = start + seed % usual;
    send(port);
    while (ticks() < until && !got)
        ;
    wait_event(nop);
    uint64_t took = ticks() - start;
    usual = (usual * 15 + (took < 1000000 ? took : 1000000)) / 16;
}

static const char *find(const char *s, const char *what)
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
static uint32_t number(const char *s, const char *what)
{
    uint32_t n = 0;
    for (s = find(s, what); s && *s >= '0' && *s <= '9'; s++)
        n = n * 10 + (uint32_t)(*s - '0');
    return n;
}

static void gate(unsigned n, const char *to)
{
    uint64_t at = (uint64_t)to;
    idt[n].low = (uint16_t)at;
    idt[n].sel = 8;
    idt[n].attr = 0x8e00;
    idt[n].mid = (uint16_t)(at >> 16);
    idt[n].high = (uint32_t)(at >> 32);
}

static uint64_t param(uint32_t index)
{
    struct hvm_param p = { DOMID_SELF, 0, index, 0 };
    hypercall(HVM_OP, GET_PARAM, &p);
    return p.value;
}

static void setup(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } at = { sizeof(idt) - 1, (uint64_t)idt };
    struct {
        uint16_t domid, size;
        uint32_t space;
        uint64_t idx, gpfn;
    } map = { DOMID_SELF, 0, 0, 0, (uint64_t)&shared >> 12 };
    struct hvm_param callback = { DOMID_SELF, 0, CALLBACK_IRQ, 2ull << 56 | VECTOR };

    for (unsigned i = 0; i < 32; i++)
        gate(i, fault_entry); /* a triple fault: the core says so */
    gate(VECTOR, upcall_entry);
    __asm__ volatile("lidt %0" ::"m"(at));
    hypercall(MEMORY_OP, ADD_TO_PHYSMAP, &map);
    for (unsigned i = 0; i < 64; i++)
        shared.mask[i] = ~0ull;
    console = (struct console *)(param(CONSOLE_PFN) << 12);
    console_port = (uint32_t)param(CONSOLE_EVTCHN);
    hypercall(HVM_OP, SET_PARAM, &callback);
    __asm__ volatile("sti" ::: "memory");
}

static void serve(uint16_t peer, int nop)
{
    struct {
        uint16_t dom, remote;
        uint32_t port;
    } a = { DOMID_SELF, peer, 0 };
    hypercall(EVENT_CHANNEL_OP, ALLOC_UNBOUND, &a);
    port = a.port;
    hypercall(EVENT_CHANNEL_OP, UNMASK, &port);
    say("server: port ", port);
    line();
    wait_event(nop);
    for (uint64_t n = 1;; n++) {
        round_trip(nop);
        if (nop && n % 1000 == 0) {
            say("server: early ", early);
            line();
        }
    }
}

static void ask(uint16_t peer, uint32_t rounds, int nop)
{
    struct {
        uint16_t dom;
        uint32_t remote, local;
    } b = { peer, 1, 0 };
    while (hypercall(EVENT_CHANNEL_OP, BIND_INTERDOMAIN, &b)) {
        b.remote = b.remote % 16 + 1;
        yield();
    }
    port = b.local;
    hypercall(EVENT_CHANNEL_OP, UNMASK, &port);
    wait_event(nop); /* binding has raised it once */
    for (uint32_t n = 1; n <= rounds; n++) {
        round_trip(nop);
        if (n % 100 == 0) {
            say("client: round ", n);
            say(" early ", early);
            line();
        }
    }
    say("client: done ", rounds);
    say(" early ", early);
    line();
}

void guest_main(const uint8_t *start_info)
{
    const char *words = *(const char *const *)(start_info + 24); /* cmdline_paddr */
    uint16_t peer = (uint16_t)number(words, "peer=");
    int nop = find(words, "nop") != 0;
    setup();
    if (find(words, "server"))
        serve(peer, nop);
    ask(peer, number(words, "rounds="), nop);
    for (;;)
        __asm__ volatile("hlt");
}
