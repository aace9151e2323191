/* SPDX-License-Identifier: MIT */
// LINK: domains/devname.c pciback/vconfig.c pciback/device.c pciback/trap.c pciback/pciif.c
/* pciback_life.h. Names of the library that are the store's as well stay in this file. */
#include "pciback_life.h"
#include <errno.h>
#include <unistd.h>
#include "unit.h"
#include "../../domains/internal.h"

static struct life_seen *seen;
static int to_test;
static long left;

/* Before each hypercall and each store to the ring that another could see: what lies between two of them is nobody else's to see. */
static void point(void)
{
    seen->points++;
    if (left >= 0 && left-- == 0)
        _exit(LIFE_DIED);
}

#undef WRITE_ONCE
#define WRITE_ONCE(x, v)                       \
    do {                                       \
        point();                               \
        *(volatile __typeof__(x) *)&(x) = (v); \
    } while (0)
static int quiet(const char *fmt, ...) { return (int)seen->lines++; }
#define printf(...) quiet(__VA_ARGS__)
#include "../../domains/xs_client.c"
#define main pciback_main
#include "../../pciback/nodes.c"
#include "../../pciback/main.c"
#undef main
#undef printf

/* --- what it stands on ------------------------------------------------------------------------------------------------ */
struct bh_self self = { .domid = BH_DOMID_PCIBACK };

static void says(char what)
{
    if (write(to_test, &what, 1) != 1 || read(to_test, &what, 1) != 1)
        _exit(0); /* the test is over */
    if (what == LIFE_LATER)
        seen->now += NS_PER_S;
}

uint64_t now_ns(void) { return seen->now += 1000; }
int event_bind_virq(unsigned virq, event_fn fn, void *arg) { return 9; }
int event_bind_interdomain(domid_t remote, uint32_t port, event_fn fn, void *arg)
{
    return remote == 16 && port == 5 ? 10 : -ENOENT;
}
void event_close(uint32_t port) {}
int grant_map(struct grant_map *m, domid_t dom, const uint32_t *refs, unsigned n, unsigned flags)
{
    static uint8_t page[PAGE_SIZE];

    m->va = dom == 16 && *refs == 9 ? page : NULL;
    return m->va ? 0 : -EINVAL;
}
int grant_unmap(struct grant_map *m) { return 0; }
int event_adopt(uint32_t port, event_fn fn, void *arg) { return 0; }
long get_param(unsigned which, uint64_t *value) { return -1; }
unsigned event_poll_but(uint32_t port) { return 0; }
void bh_panic(const char *fmt, ...) { _exit(LIFE_PANIC); }
int deadline_feed(uint64_t ms)
{
    return (int)hypercall(BH_HYPERCALL_SERVICE, BH_SVC_DEADLINE, ms, 0, 0);
}
void bh_served(void) { hypercall(BH_HYPERCALL_SERVICE, BH_SVC_SERVED, 0, 0, 0); }

bool cmdline_get(const char *key, char *buf, size_t n)
{
    snprintf(buf, n, "2000");
    return !strcmp(key, "deadline");
}

int event_send(uint32_t port)
{
    if (port == 10) /* the front-end's */
        return 0;
    point();
    says(LIFE_SENDS);
    return 0;
}

bool event_wait_port(uint32_t port, uint64_t until_ns, bool others)
{
    says(LIFE_WAITS);
    return true;
}

unsigned event_wait(uint64_t until_ns)
{
    bool any = xs_run_watches();

    if (any || until_ns == TIME_PAST)
        return any;
    if (until_ns > seen->now)
        seen->now = until_ns;
    point();
    seen->shown = 0;
    for (uint32_t sbdf; vconfig_nth(16, seen->shown, &sbdf) >= 0;)
        seen->shown++;
    says(until_ns ? LIFE_WAITS : LIFE_SLEEPS);
    return xs_run_watches();
}

/* --- the core --------------------------------------------------------------------------------------------------------- */
/* Slots 3 to 8 of bus 0 are hidden, 9 is the platform's, there are no others. */
static long config_word(uint32_t sbdf, unsigned off, uint32_t *value)
{
    if (sbdf >> 3 < 3 || sbdf >> 3 > 9 || sbdf & 7)
        return -ENOENT;
    *value = sbdf * 0x01010101u ^ off * 0x9e3779b1u;
    return sbdf >> 3 == 9 ? -EACCES : 0;
}

/* 3 and 4 are domain 16's, 5 is 17's. */
static long device_info(struct bh_pci_info *info)
{
    uint32_t slot = info->index + 3;

    if (slot > 9)
        return -ENOENT;
    info->sbdf = slot << 3;
    info->state = slot < 6 ? BH_PCI_ASSIGNED : slot < 9 ? BH_PCI_ASSIGNABLE : BH_PCI_PLATFORM;
    info->domid = slot < 5 ? 16 : 17;
    return 0;
}

static long of_core(unsigned nr, uint64_t op, void *arg)
{
    struct bh_pci_cfg *c = arg;

    seen->adopted += nr == BH_HYPERCALL_SERVICE && op == BH_SVC_ADOPTED;
    seen->served += nr == BH_HYPERCALL_SERVICE && op == BH_SVC_SERVED;
    if (nr != BH_HYPERCALL_CONTROL)
        return 0;
    return op == BH_CTL_PCI_CFG    ? config_word(c->sbdf, c->off, &c->value)
           : op == BH_CTL_PCI_INFO ? device_info(arg)
                                   : -ENOENT;
}

long hypercall(unsigned nr, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4)
{
    point();
    return of_core(nr, a1, (void *)a2);
}

int life_config(uint32_t sbdf, char text[513])
{
    for (unsigned off = 0; off < 256; off += 4) {
        uint32_t v;
        long rc = config_word(sbdf, off, &v);
        if (rc)
            return (int)rc;
        for (unsigned i = 0; i < 4; i++)
            snprintf(text + 2 * (off + i), 3, "%02x", v >> i * 8 & 0xff);
    }
    return 0;
}

void pciback_life(struct xenstore_domain_interface *page, struct life_seen *shared, int fd,
                  long dies_after)
{
    seen = shared;
    to_test = fd;
    left = dies_after;
    self.keep = seen->keep;
    self.nr_keep = LIFE_KEEP;
    if (xs_attach(page, 1))
        _exit(LIFE_PANIC);
    pciback_main();
    _exit(LIFE_PANIC);
}
