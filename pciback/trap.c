/* SPDX-License-Identifier: MIT */
/* trap.h. */
#include "trap.h"
#include <bh.h>
#include <errno.h>
#include "device.h"

#define TURN 16u /* accesses */

static bool look = true; /* a former instance may have left some */
static bool answered;
static uint64_t again_at; /* 0: nothing was put off */
static domid_t last;

static void on_virq(uint32_t port, void *arg)
{
    (void)port, (void)arg;
    look = true;
}

void trap_begin(void)
{
    if (event_bind_virq(BH_VIRQ_PCI_TRAP, on_virq, NULL) < 0)
        bh_panic("no event tells of accesses to configuration space");
}

/* Nothing at a place, and its first register: whoever looks there looks for devices. */
static uint32_t read(const struct bh_pci_trap *t)
{
    uint32_t sbdf;

    if (t->devfn && !t->off && !vconfig_device(t->domid, t->devfn, &sbdf))
        device_sync(t->domid);
    return vconfig_read(t->domid, t->devfn, t->off, t->size);
}

/* False: put off. */
static bool answer(struct bh_pci_trap *t)
{
    if (!t->write)
        t->value = read(t);
    else if (vconfig_write(t->domid, t->devfn, t->off, t->size, t->value) == -EAGAIN)
        return false;
    t->step = BH_TRAP_ANSWER;
    answered |= !bh_ctl_pci_trap(t); /* else nobody waits for it any more */
    return true;
}

bool trap_turn(void)
{
    uint64_t put_off[TURN];
    unsigned nr = 0, in_vain = 0; /* put off; and handed out again, with no other between them */
    bool served = false;

    if (again_at && now_ns() >= again_at)
        look = true;
    if (!look)
        return false;
    again_at = 0;
    for (unsigned i = 0; i < TURN; i++) {
        struct bh_pci_trap t = { .domid = last, .step = BH_TRAP_NEXT };
        bool seen = false;
        look = false; /* before it is asked for: one that comes later has its event */
        if (bh_ctl_pci_trap(&t))
            break;
        look = true;
        last = t.domid;
        for (unsigned k = 0; k < nr; k++)
            seen |= put_off[k] == t.serial;
        if (seen && in_vain++ == nr) { /* each domain had its turn: nothing else is left */
            look = false;
            break;
        }
        if (seen)
            continue;
        in_vain = 0;
        if (answer(&t))
            served = true;
        else
            put_off[nr++] = t.serial;
    }
    if (nr)
        again_at = now_ns() + PUT_OFF_NS;
    look &= served; /* a turn of nothing but those: there may be more of them than it holds */
    return look;
}

uint64_t trap_until(uint64_t until)
{
    return again_at && (!until || again_at < until) ? again_at : until;
}

bool trap_answered(void) { return answered; }
