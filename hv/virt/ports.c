/* SPDX-License-Identifier: MIT */
/* I/O ports of a guest: there are none but a few that make common kernels boot faster or say something. */
#include <bulkhead.h>
#include <xen/sched.h>
#include "domain/domain.h"
#include "pci/trap.h"
#include "virt/virt.h"

#define PORT_PIT_CH2 \
    0x42 /* Linux reads it to calibrate; a count with an upper byte other than 0xff ends its loop at once */
#define PORT_DEBUG 0xe9 /* the console of last resort of PC emulators */
#define SLP_EN     0x20 /* ACPI 6.5, 4.8.3.7: sleep control register */

/* Our own drivers ask the core instead, also for what these ports would show. */
static bool is_config_port(const struct vcpu *v, uint16_t port)
{
    return (port & ~7) == CFG_ADDRESS && v->domain->devices && v->domain->role == BH_ROLE_GUEST;
}

uint32_t virt_port_in(struct vcpu *v, uint16_t port, unsigned size)
{
    if (is_config_port(v, port))
        return trap_in(v, port, size);
    if (port == PORT_PIT_CH2 && size == 1)
        return 0;
    if (port == PORT_DEBUG && size == 1)
        return PORT_DEBUG; /* how programs find out that it is there */
    return ~0u;            /* nobody drives the bus; also 0xcf8 of who has no device */
}

void virt_port_out(struct vcpu *v, uint16_t port, unsigned size, uint32_t val)
{
    char c = (char)val;
    if (is_config_port(v, port)) {
        trap_out(v, port, size, val);
        return;
    }
    if (size != 1)
        return;
    if (port == PORT_DEBUG)
        domain_say(v->domain, &c, 1);
    else if (port == BH_PORT_SLEEP && (val & SLP_EN))
        domain_shutdown(v->domain, SHUTDOWN_poweroff);
}
