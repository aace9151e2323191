/* SPDX-License-Identifier: MIT */
/*
 * In the control domain's place: checks libbh itself on the machine, then runs the one guest whose ELF image is the boot
 * bundle, with its console on ours, until it ends. For tests of the core and of single guests without the toolstack.
 * Command line: [args=A;B;C: the guest's words] [role=N] [ram=MIB]. Then powers the machine off.
 */
#include <bh.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/io/console.h>

struct elf {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, phoff, shoff;
    uint32_t flags;
    uint16_t ehsize, phentsize, phnum;
};
struct phdr {
    uint32_t type, flags;
    uint64_t off, va, pa, filesz, memsz, align;
};

static unsigned failures;
static bool ended;

int main(void);

static void check(const char *name, bool good)
{
    printf("%s lib_%s\n", good ? "ok" : "not ok", name);
    failures += !good;
}

/* --- libbh --- */

static unsigned rings, ticks;
static void on_ring(uint32_t port, void *arg) { (void)port, (void)arg, rings++; }
static void on_tick(struct dtimer *t)
{
    ticks++;
    if (ticks < 3)
        dtimer_set(t, now_ns() + 5 * NS_PER_MS);
}

static void test_time(void)
{
    struct dtimer t = { .fn = on_tick };
    uint64_t start = now_ns();

    dtimer_set(&t, start + 5 * NS_PER_MS);
    while (ticks < 3 && now_ns() < start + 2 * NS_PER_S)
        event_wait(0);
    uint64_t took = now_ns() - start;
    check("timers", ticks == 3 && took >= 15 * NS_PER_MS);
    start = now_ns();
    event_wait(start + 10 * NS_PER_MS);
    check("wait_until", now_ns() - start >= 10 * NS_PER_MS);
    check("wallclock", wallclock_ns() / NS_PER_S > 1000000000);
}

static void test_events(void)
{
    int a = event_alloc_unbound(DOMID_SELF, on_ring, NULL);
    int b = event_bind_interdomain(DOMID_SELF, (uint32_t)a, on_ring, NULL);

    check("event_bind", a > 0 && b > 0);
    event_poll();
    rings = 0;
    event_send((uint32_t)b);
    event_wait(now_ns() + NS_PER_S);
    check("event_loop", rings == 1);
    event_close((uint32_t)b);
    event_close((uint32_t)a);
}

static void test_memory(void)
{
    uint64_t before = page_avail();
    char *p = page_alloc(3), *q = malloc(100000), *r = malloc(40);

    check("memory", p && q && r && !p[0] && !p[3 * PAGE_SIZE - 1]);
    memset(q, 1, 100000);
    page_free(p, 3);
    free(q);
    free(r);
    check("memory_back", page_avail() >= before - 2);
    char a[64];
    snprintf(a, sizeof(a), "%5d|%-4s|%08lx", -42, "ab", 0xdeadbeeful);
    check("format", !strcmp(a, "  -42|ab  |deadbeef"));
}

static void *spare; /* a list of pages */
static bool give_spare(void)
{
    bool any = spare;

    for (void *next; spare; spare = next) {
        next = *(void **)spare;
        page_free(spare, 1);
    }
    return any;
}

static void test_shortage(void)
{
    for (void *p; (p = page_alloc(1)) != NULL; spare = p)
        *(void **)p = spare;
    bool out = spare && !malloc(100000);
    page_shortage = give_spare;
    char *p = malloc(100000);
    check("shortage", out && p && !spare);
    free(p);
    check("shortage_ends", !page_alloc((unsigned)page_avail() + 1));
    page_shortage = NULL;
}

/* Every length and alignment that the loops tell apart, and not a byte beside it. */
static bool compares(unsigned n)
{
    uint8_t a[100], b[101];

    for (unsigned i = 0; i < n; i++)
        a[i] = b[i + 1] = (uint8_t)i;
    bool good = !memcmp(a, b + 1, n);
    for (unsigned i = 0; i < n; i++) {
        b[i + 1]++;
        b[n] ^= 0x80; /* the first difference counts */
        int less = memcmp(a, b + 1, n), more = memcmp(b + 1, a, n);
        good &= i == n - 1 || (less < 0 && more > 0);
        good &= less && more;
        b[i + 1]--;
        b[n] ^= 0x80;
    }
    return good;
}

static bool fills(unsigned at, unsigned n)
{
    uint8_t a[160];

    for (unsigned i = 0; i < sizeof(a); i++)
        a[i] = (uint8_t)i;
    memset(a + at, 0x1a5, n);
    for (unsigned i = 0; i < sizeof(a); i++)
        if (a[i] != (i >= at && i < at + n ? 0xa5 : i))
            return false;
    return true;
}

static bool moves(unsigned at, unsigned from, unsigned n)
{
    uint8_t a[160];

    for (unsigned i = 0; i < sizeof(a); i++)
        a[i] = (uint8_t)i;
    memmove(a + at, a + from, n);
    for (unsigned i = 0; i < sizeof(a); i++)
        if (a[i] != (i >= at && i < at + n ? i - at + from : i))
            return false;
    return true;
}

static void test_strings(void)
{
    bool filled = true, moved = true, compared = true;

    for (unsigned n = 0; n <= 100; n++) {
        compared &= compares(n);
        for (unsigned at = 16; at < 32; at++) {
            filled &= fills(at, n);
            moved &= moves(at, 24, n) && moves(24, at, n);
        }
    }
    check("memcmp", compared);
    check("memset", filled);
    check("memmove", moved);
}

static void test_grants(void)
{
    char *page = page_alloc(1), *copy = page_alloc(1);
    int ref = grant_give(self.domid, page, 0);
    struct batch *b = malloc(sizeof(*b));

    strlcpy(page, "given away", PAGE_SIZE);
    b->nr_copies = b->nr_sends = 0;
    batch_copy_from(b, self.domid, (uint32_t)ref, 0, copy, 64);
    int rc = batch_flush(b);
    check("grant_copy", ref > 0 && !rc && b->copy[0].status == GNTST_okay && !strcmp(copy, page));
    check("grant_end", grant_end((uint32_t)ref) == 0);
    batch_copy_from(b, self.domid, (uint32_t)ref, 0, copy, 64);
    batch_flush(b);
    check("grant_ended", b->copy[0].status != GNTST_okay);
    free(b);
}

/* --- the guest --- */

static struct xencons_interface *cons;
static int cons_port;

static void drain(uint32_t port, void *arg)
{
    char line[256];
    size_t n = 0;

    (void)arg;
    uint32_t at = cons->out_cons, prod = READ_ONCE(cons->out_prod);
    rmb();
    if (prod - at > sizeof(cons->out))
        at = prod;
    while (at != prod) {
        line[n++] = cons->out[at++ & (sizeof(cons->out) - 1)];
        if (n == sizeof(line) || at == prod) {
            console_write(line, n);
            n = 0;
        }
    }
    mb();
    WRITE_ONCE(cons->out_cons, at);
    event_send(port);
}

static void on_domain(uint32_t port, void *arg)
{
    struct bh_dominfo i = { .domid = *(domid_t *)arg };

    (void)port;
    if (bh_ctl_info(&i) || i.domid != *(domid_t *)arg || i.state == BH_DOM_RUNNING)
        return;
    drain((uint32_t)cons_port, NULL);
    static struct bh_report r;
    r.domid = i.domid;
    long rc = i.state == BH_DOM_CRASHED ? bh_ctl_report(&r) : -1;
    printf("runner: guest ended: state %u reason %u, %s (cause %u, rip %lx)\n", i.state,
           i.shutdown_reason, rc ? "no report" : r.why, r.cause, r.rip);
    ended = true;
}

static long write_to(domid_t d, uint64_t gpa, const void *src, uint64_t len)
{
    while (len) {
        struct bh_write w = { .domid = d, .gpa = gpa, .src = (uint64_t)src, .len = len };
        long n = bh_ctl_write(&w);
        if (n <= 0)
            return n ? n : -EIO;
        gpa += (uint64_t)n;
        src = (const char *)src + n;
        len -= (uint64_t)n;
    }
    return 0;
}

static long load(domid_t d, const uint8_t *image, uint64_t *entry)
{
    const struct elf *e = (const void *)image;
    long rc = 0;

    for (unsigned i = 0; i < e->phnum && !rc; i++) {
        const struct phdr *p = (const void *)(image + e->phoff + i * e->phentsize);
        if (p->type == 1)
            rc = write_to(d, p->pa, image + p->off, p->filesz);
    }
    *entry = e->entry; /* ours: the same as the PVH note */
    return rc;
}

static long start_info(domid_t d, uint64_t ram, const char *words)
{
    struct {
        struct hvm_start_info si;
        struct hvm_memmap_table_entry map[3];
        char cmdline[512];
    } b = {
        .si = { .magic = XEN_HVM_START_MAGIC_VALUE,
                .version = 1,
                .cmdline_paddr = 0x1000 + offsetof(__typeof__(b), cmdline),
                .memmap_paddr = 0x1000 + offsetof(__typeof__(b), map),
                .memmap_entries = 3 },
        .map = { { 0, 0xa0000, XEN_HVM_MEMMAP_TYPE_RAM, 0 },
                 { 0xa0000, 0x60000, XEN_HVM_MEMMAP_TYPE_RESERVED, 0 },
                 { 0x100000, ram - 0x100000 - 2 * PAGE_SIZE, XEN_HVM_MEMMAP_TYPE_RAM, 0 } },
    };

    strlcpy(b.cmdline, words, sizeof(b.cmdline));
    for (char *c = b.cmdline; *c; c++)
        if (*c == ';')
            *c = ' ';
    return write_to(d, 0x1000, &b, sizeof(b));
}

static long build(domid_t *d, uint8_t role, uint64_t ram, const char *words)
{
    static struct bh_create c;
    struct grant_map *m = malloc(sizeof(*m));
    uint32_t ref = 0;
    uint64_t entry;

    c = (struct bh_create){ .domid = BH_DOMID_ANY,
                            .role = role,
                            .nr_vcpus = 1,
                            .max_pages = ram / PAGE_SIZE + 16,
                            .name = "guest" };
    if (role != BH_ROLE_GUEST)
        c.domid = BH_FIRST_DRIVER;
    long rc = bh_ctl_create(&c);
    if (rc)
        return rc;
    *d = c.domid;
    struct bh_populate p = { .domid = *d, .gfn = 0, .nr = ram / PAGE_SIZE };
    struct bh_setup_rings r = { .domid = *d,
                                .console_domid = self.domid,
                                .store_domid = self.domid,
                                .console_gfn = ram / PAGE_SIZE - 2,
                                .store_gfn = ram / PAGE_SIZE - 1 };
    rc = bh_ctl_populate(&p);
    if (!rc)
        rc = bh_ctl_setup_rings(&r);
    if (!rc)
        rc = load(*d, self.module, &entry);
    if (!rc)
        rc = start_info(*d, ram, words);
    struct bh_entry e = { .domid = *d, .eip = entry, .ebx = 0x1000 };
    if (!rc)
        rc = bh_ctl_set_entry(&e);
    if (!rc)
        rc = grant_map(m, *d, &ref, 1, 0);
    if (rc)
        return rc;
    cons = m->va;
    cons_port = event_bind_interdomain(*d, r.console_port, drain, NULL);
    return cons_port < 0 ? cons_port : 0;
}

int main(void)
{
    static domid_t d;
    char words[256] = "", text[16];
    uint8_t role = cmdline_get("role", text, sizeof(text)) ? (uint8_t)atoi(text) : BH_ROLE_GUEST;
    uint64_t mib = cmdline_get("guestram", text, sizeof(text)) ? strtoul(text, NULL, 0) : 4;

    test_time();
    test_events();
    test_memory();
    test_shortage();
    test_strings();
    test_grants();
    cmdline_get("args", words, sizeof(words));
    if (self.module) {
        int v = event_bind_virq(VIRQ_DOM_EXC, on_domain, &d);
        long rc = v < 0 ? v : build(&d, role, mib << 20, words);
        struct bh_domid id = { .domid = d };

        printf("runner: guest %u built: %ld\n", d, rc);
        if (!rc)
            rc = bh_ctl_unpause(&id);
        while (!rc && !ended)
            event_wait(now_ns() + 100 * NS_PER_MS);
    }
    printf("runner: done, %u of libbh failed\n", failures);
    struct bh_machine off = { .how = BH_MACHINE_POWEROFF };
    bh_ctl_machine(&off);
    return 0;
}
