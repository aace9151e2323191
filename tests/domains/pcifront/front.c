/* SPDX-License-Identifier: MIT */
/* pcifront.h. */
#include "pcifront.h"
#include <stdio.h>
#include <string.h>
#include <xen/io/xenbus.h>

#define DIR     "device/pci/0"
#define WAIT_NS (20 * NS_PER_S) /* pciback may be dead, and in its back-off */

static struct xen_pci_sharedinfo *page;
static char backend[80];
static int port;

static void nothing(uint32_t p, void *arg) { (void)p, (void)arg; }

struct xen_pci_sharedinfo *front_page(void) { return page; }
void front_tell(void) { event_send((uint32_t)port); }

unsigned front_backend_state(void)
{
    char path[96];
    uint64_t state = 0;

    snprintf(path, sizeof(path), "%s/state", backend);
    (void)xs_read_uint(0, path, &state);
    return (unsigned)state;
}

void front_state(unsigned state)
{
    if (xs_printf(0, DIR "/state", "%u", state))
        bh_panic("the store does not take the state");
}

void front_claim(uint32_t ref, uint32_t p, const char *magic)
{
    xs_printf(0, DIR "/pci-op-ref", "%u", ref);
    xs_printf(0, DIR "/event-channel", "%u", p);
    xs_write(0, DIR "/magic", magic);
}

void front_begin(void)
{
    char *dir = xs_read(0, DIR "/backend");

    if (!dir)
        bh_panic("it has no devices");
    snprintf(backend, sizeof(backend), "%s", dir);
    page = page_alloc(1);
    int ref = page ? grant_give(BH_DOMID_PCIBACK, page, 0) : -1;
    port = event_alloc_unbound(BH_DOMID_PCIBACK, nothing, NULL);
    if (ref < 0 || port < 0)
        bh_panic("no page or port");
    for (uint64_t end = now_ns() + WAIT_NS; front_backend_state() != XenbusStateConnected;) {
        if (now_ns() > end)
            bh_panic("the back-end does not describe its devices");
        event_wait(now_ns() + 10 * NS_PER_MS);
    }
    front_claim((uint32_t)ref, (uint32_t)port, XEN_PCI_MAGIC);
    front_state(XenbusStateInitialised);
}

bool front_ask(struct xen_pci_op *op)
{
    uint64_t end = now_ns() + WAIT_NS;

    page->op = *op;
    __atomic_fetch_or(&page->flags, XEN_PCIF_active, __ATOMIC_SEQ_CST);
    front_tell();
    while (READ_ONCE(page->flags) & XEN_PCIF_active) {
        if (now_ns() > end)
            return false;
        event_wait(end);
    }
    rmb();
    *op = page->op;
    return true;
}

static uint32_t access(unsigned cmd, unsigned devfn, unsigned off, unsigned size, uint32_t value)
{
    struct xen_pci_op op = {
        .cmd = cmd, .devfn = devfn, .offset = (int)off, .size = (int)size, .value = value
    };

    if (!front_ask(&op))
        printf("not ok a request is not answered\n");
    return op.err ? ~0u : op.value;
}

uint32_t front_read(unsigned devfn, unsigned off, unsigned size)
{
    return access(XEN_PCI_OP_conf_read, devfn, off, size, 0);
}

void front_write(unsigned devfn, unsigned off, unsigned size, uint32_t value)
{
    (void)access(XEN_PCI_OP_conf_write, devfn, off, size, value);
}

unsigned front_next(unsigned devfn)
{
    bool several = (devfn & 7) || (front_read(devfn, 0xc, 4) >> 16 & 0xff) == 0x80;

    return several ? devfn + 1 : devfn + 8;
}

unsigned front_find(uint32_t id)
{
    for (unsigned devfn = 8; devfn < 256; devfn = front_next(devfn))
        if (front_read(devfn, 0, 4) == id)
            return devfn;
    return 0;
}

uint32_t port_read(unsigned bus, unsigned devfn, unsigned off)
{
    uint32_t v = 0x80000000u | bus << 16 | devfn << 8 | off;

    __asm__ volatile("outl %0, %1" ::"a"(v), "Nd"((uint16_t)0xcf8));
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"((uint16_t)0xcfc));
    return v;
}
