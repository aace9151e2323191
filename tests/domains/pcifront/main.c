/* SPDX-License-Identifier: MIT */
/*
 * A front-end of pciif: lists the devices that it is shown, by requests and by ports, sizes their BARs, uses an 82574L that is among them (its registers,
 * an interrupt by MSI, then by MSI-X), and then asks again and again whether all is as it was, while devices come and go. With `hostile` it is none.
 *   pcifront: 00:01.0 8086:10d3 class 020000   pcifront: BAR 0 at f0000000, 20000 bytes   pcifront: command 6   pcifront: interrupt
 *   pcifront: N rounds, M devices              each second
 */
#include "pcifront.h"
#include <stdio.h>
#include <string.h>
#include <xen/io/xenbus.h>

#define NIC_ID  0x10d38086u
#define E_ICR   0xc0u
#define E_ICS   0xc8u
#define E_IMS   0xd0u
#define E_IMC   0xd8u
#define E_RXT0  (1u << 7)
#define E_IVAR  0xe4u
#define E_EIAC  0xdcu
#define E_RXQ0  (1u << 20)
#define SECONDS 5ul

int main(void);

static unsigned interrupts;

static void on_interrupt(uint32_t port, void *arg)
{
    (void)port, (void)arg;
    interrupts++;
}

/* --- what there is --------------------------------------------------------------------------------------------------- */

static void size_bars(unsigned devfn)
{
    for (unsigned i = 0; i < 6; i++) {
        unsigned off = 0x10 + 4 * i;
        uint32_t lo = front_read(devfn, off, 4), hi = 0;
        front_write(devfn, off, 4, ~0u);
        uint64_t size = front_read(devfn, off, 4) & ~0xfu;
        front_write(devfn, off, 4, lo);
        if ((lo & 6) == 4) {
            hi = front_read(devfn, off + 4, 4);
            front_write(devfn, off + 4, 4, ~0u);
            size |= (uint64_t)front_read(devfn, off + 4, 4) << 32;
            front_write(devfn, off + 4, 4, hi);
        } else if (size) {
            size |= 0xffffffff00000000ul;
        }
        if (size)
            printf("pcifront: BAR %u at %lx, %lx bytes\n", i, (uint64_t)hi << 32 | (lo & ~0xfu),
                   ~size + 1);
        if ((lo & 6) == 4)
            i++;
    }
}

static unsigned list(bool all)
{
    unsigned n = 0;

    for (unsigned devfn = 8; devfn < 256; devfn = front_next(devfn)) {
        uint32_t id = front_read(devfn, 0, 4), by_port = port_read(0, devfn, 0);
        if (id != by_port && front_read(devfn, 0, 4) != by_port) /* it may have come or gone */
            printf("not ok 00:%02x.%u is %08x by request, %08x by ports\n", devfn >> 3, devfn & 7,
                   id, by_port);
        if (id == ~0u)
            continue;
        n++;
        if (!all)
            continue;
        printf("pcifront: 00:%02x.%u %04x:%04x class %06x\n", devfn >> 3, devfn & 7, id & 0xffff,
               id >> 16, front_read(devfn, 8, 4) >> 8);
        size_bars(devfn);
    }
    return n;
}

/* --- the NIC --------------------------------------------------------------------------------------------------------- */

static volatile uint32_t *nic_regs(unsigned devfn)
{
    volatile void *map = mmio_map(front_read(devfn, 0x10, 4) & ~0xfu, 0x20000);

    if (!map)
        bh_panic("its registers cannot be mapped");
    front_write(devfn, 4, 2, 6);
    printf("pcifront: command %x, status %x\n", front_read(devfn, 4, 2),
           ((volatile uint32_t *)map)[2]);
    return map;
}

static void nic_interrupt(volatile uint32_t *regs)
{
    unsigned before = interrupts;

    regs[E_IMS / 4] = E_RXQ0; /* it masks itself when it is sent */
    regs[E_ICS / 4] = E_RXQ0;
    for (uint64_t end = now_ns() + SECONDS * NS_PER_S; interrupts == before && now_ns() < end;)
        event_wait(end);
    printf(interrupts == before ? "not ok no interrupt came\n" : "pcifront: interrupt\n");
}

/* The other kind first, once. QEMU ends if it is changed within 128 us of an interrupt (docs/known-issues.md, 14). */
static void nic_by_msi(unsigned devfn, volatile uint32_t *regs)
{
    struct xen_pci_op op = { .cmd = XEN_PCI_OP_enable_msi, .devfn = devfn };
    unsigned before = interrupts;
    int port = -1;

    if (!front_ask(&op) || op.err || (port = event_bind_pirq(op.value, on_interrupt, NULL)) < 0) {
        printf("not ok enable_msi beside MSI-X: %d, %u, %d\n", op.err, op.value, port);
        return;
    }
    regs[E_IMS / 4] = E_RXT0;
    regs[E_ICS / 4] = E_RXT0;
    for (uint64_t end = now_ns() + SECONDS * NS_PER_S; interrupts == before && now_ns() < end;)
        event_wait(end);
    regs[E_IMC / 4] = ~0u;
    (void)regs[E_ICR / 4];
    printf(interrupts == before ? "not ok no MSI came\n" : "pcifront: MSI of the NIC\n");
    for (uint64_t end = now_ns() + NS_PER_S; now_ns() < end;)
        event_wait(end);
    event_close((uint32_t)port);
}

/* NULL: there is none. */
static volatile uint32_t *nic_begin(void)
{
    static int port = -1;
    unsigned devfn = front_find(NIC_ID);
    struct xen_pci_op op = { .cmd = XEN_PCI_OP_enable_msix, .devfn = devfn, .value = 1 };

    if (port >= 0) /* of one that went */
        event_close((uint32_t)port);
    port = -1;
    if (!devfn)
        return NULL;
    volatile uint32_t *regs = nic_regs(devfn);
    static bool once;
    if (!once)
        nic_by_msi(devfn, regs);
    once = true;
    if (!front_ask(&op) || op.err || op.value) {
        printf("not ok enable_msix: %d, %u\n", op.err, op.value);
        return NULL;
    }
    port = event_bind_pirq(op.msix_entries[0].vector, on_interrupt, NULL);
    if (port < 0) {
        printf("not ok bind_pirq %u: %d\n", op.msix_entries[0].vector, port);
        return NULL;
    }
    regs[E_IVAR / 4] = 8; /* of queue 0: vector 0 */
    regs[E_EIAC / 4] = E_RXQ0;
    nic_interrupt(regs);
    return regs;
}

/* --- devices that come and go ---------------------------------------------------------------------------------------- */

static volatile uint32_t *regs; /* the NIC's, or NULL */

static void follow(void)
{
    static bool let_go;
    unsigned be = front_backend_state();

    if (be == XenbusStateReconfiguring && !let_go) {
        front_state(XenbusStateReconfiguring);
        let_go = true;
    } else if (let_go && (be == XenbusStateReconfigured || be == XenbusStateConnected)) {
        unsigned n = list(true);
        regs = nic_begin();
        edu_begin();
        front_state(XenbusStateConnected);
        printf("pcifront: %u devices now\n", n);
        let_go = false;
    }
}

int main(void)
{
    char word[16];

    front_begin();
    if (cmdline_get("hostile", word, sizeof(word)))
        hostile();
    list(true);
    printf("pcifront: bus 1 is %x, the bridge %x\n", port_read(1, 0, 0), port_read(0, 0, 8) >> 16);
    front_state(XenbusStateConnected);
    regs = nic_begin();
    edu_begin();
    printf("pcifront: ready\n");
    for (unsigned rounds = 1;; rounds++) {
        uint64_t until = now_ns() + NS_PER_S / 4;
        unsigned n = list(false);
        if (regs && front_find(NIC_ID) && rounds % 4 == 0)
            nic_interrupt(regs);
        if (rounds % 4 == 0)
            printf("pcifront: %u rounds, %u devices\n", rounds, n);
        follow();
        while (now_ns() < until)
            event_wait(until);
    }
}
