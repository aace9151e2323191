/* SPDX-License-Identifier: MIT */
/* QEMU's educational device, which has MSI alone: told to interrupt, it does. */
#include "pcifront.h"
#include <stdio.h>
#include <xen/io/xenbus.h>

#define EDU_ID  0x11e81234u
#define RAISE   0x60u
#define ACK     0x64u
#define SECONDS 5ul

static unsigned interrupts;

static void on_interrupt(uint32_t port, void *arg)
{
    (void)port, (void)arg;
    interrupts++;
}

void edu_begin(void)
{
    static int port = -1;
    unsigned devfn = front_find(EDU_ID), before = interrupts;
    struct xen_pci_op op = { .cmd = XEN_PCI_OP_enable_msi, .devfn = devfn };

    if (port >= 0) /* of one that went */
        event_close((uint32_t)port);
    port = -1;
    if (!devfn)
        return;
    volatile uint32_t *regs = mmio_map(front_read(devfn, 0x10, 4) & ~0xfu, 0x1000);
    if (!regs)
        bh_panic("its registers cannot be mapped");
    front_write(devfn, 4, 2, 6);
    if (!front_ask(&op) || op.err || (port = event_bind_pirq(op.value, on_interrupt, NULL)) < 0) {
        printf("not ok enable_msi: %d, %u, %d\n", op.err, op.value, port);
        return;
    }
    regs[RAISE / 4] = 1;
    for (uint64_t end = now_ns() + SECONDS * NS_PER_S; interrupts == before && now_ns() < end;)
        event_wait(end);
    regs[ACK / 4] = 1;
    printf(interrupts == before ? "not ok no MSI came\n" : "pcifront: MSI\n");
}
