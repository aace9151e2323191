/* SPDX-License-Identifier: MIT */
/*
 * AMD-Vi hardware: registers, command buffer, event log (48882, chapters 2.4, 2.5 and 3). One device table and
 * one empty page table serve all units.
 *
 * Order: a device entry is changed with its device's bus mastering off; permission is written last when it is given and
 * first when it is taken; then device entry, pages of the domain id, and interrupt table are invalidated and the completion
 * waited for. A unit that does not answer can no longer isolate anything: that is a panic.
 */
#include "pci/iommu/amdvi.h"
#include "arch/irq.h"
#include "base/cpu.h"
#include "base/print.h"
#include "base/string.h"
#include "mem/frame.h"
#include "mem/paging.h"
#include "pci/pci_int.h"
#include "domain/struct.h"

#define REG_DEVTAB     0x0000
#define REG_CMD_BASE   0x0008
#define REG_EVT_BASE   0x0010
#define REG_CONTROL    0x0018
#define REG_EXCL_BASE  0x0020
#define REG_EXCL_LIMIT 0x0028
#define REG_EFR        0x0030
#define REG_CMD_HEAD   0x2000
#define REG_CMD_TAIL   0x2008
#define REG_EVT_HEAD   0x2010
#define REG_EVT_TAIL   0x2018
#define REG_STATUS     0x2020
#define REGS_LEN       0x4000

#define CTL_ENABLE     (1ull << 0)
#define CTL_HT_TUNNEL  (1ull << 1)
#define CTL_EVT_LOG    (1ull << 2)
#define CTL_PASS_PW    (1ull << 8)
#define CTL_RESP_PW    (1ull << 9)
#define CTL_COHERENT   (1ull << 10)
#define CTL_ISOC       (1ull << 11)
#define CTL_CMD        (1ull << 12)
#define STATUS_EVT_OVF 1u
#define EFR_INV_ALL    (1ull << 6)

#define CMD_WAIT      (1ull << 60)
#define CMD_INV_DTE   (2ull << 60)
#define CMD_INV_PAGES (3ull << 60)
#define CMD_INV_IRT   (5ull << 60)
#define CMD_INV_ALL   (8ull << 60)
#define INV_ALL_PAGES \
    0x7ffffffffffff003ull /* size and page-directory bits: everything of the domain */

#define CMD_BYTES    4096u /* 256 commands */
#define CMD_LEN_CODE (8ull << 56)
#define EVT_ORDER    4
#define EVT_BYTES    (4096u << EVT_ORDER) /* 4096 events */
#define EVT_LEN_CODE (12ull << 56)
#define DEVTAB_ORDER 9 /* 2 MiB: all 65536 requester ids */
#define WAIT_SPINS   (1u << 26)

struct iommu {
    volatile uint8_t *regs;
    uint64_t base, control;
    uint16_t devid;
    struct spinlock lock; /* command buffer */
    uint64_t *cmd;
    uint32_t cmd_tail, cmd_pushed; /* commands since the last completion */
    uint64_t seq;
    volatile uint64_t done;   /* written by the unit */
    struct spinlock evt_lock; /* event log; only tried */
    volatile uint64_t *evt;
    uint32_t evt_head;
    struct iommu_trial trial;
};

static void poll_unit(struct iommu *u);

static struct ivrs ivrs;
static struct iommu *units[IVRS_UNITS];
static struct dte *devtab;
static uint64_t *empty_root;

static uint64_t reg_read(struct iommu *u, unsigned r)
{
    return *(volatile uint64_t *)(u->regs + r);
}
static void reg_write(struct iommu *u, unsigned r, uint64_t v)
{
    *(volatile uint64_t *)(u->regs + r) = v;
}

/* --- commands; under u->lock --------------------------------------------------------------------------------------- */

static void unit_is_dead(const struct iommu *u)
{
    panic("IOMMU " BDF_FMT " does not answer: devices can no longer be kept out of memory",
          BDF_ARGS(u->devid));
}

static void cmd_complete(struct iommu *u);

/* Everything pushed before was waited for in cmd_complete, so the buffer never needs to be asked for room. */
static void cmd_push(struct iommu *u, uint64_t q0, uint64_t q1)
{
    if (u->cmd_pushed == CMD_BYTES / 16 - 2)
        cmd_complete(u);
    u->cmd[u->cmd_tail / 8] = q0;
    u->cmd[u->cmd_tail / 8 + 1] = q1;
    u->cmd_tail = (u->cmd_tail + 16) % CMD_BYTES;
    u->cmd_pushed++;
}

/* Runs what was pushed and waits until its effects are complete (2.4.1). */
static void cmd_complete(struct iommu *u)
{
    uint64_t seq = ++u->seq;

    u->cmd_pushed = 0;
    cmd_push(u, CMD_WAIT | virt_to_maddr((const void *)&u->done).v | 1, seq);
    u->cmd_pushed = 0;
    barrier();
    reg_write(u, REG_CMD_TAIL, u->cmd_tail);
    for (unsigned n = 0; u->done != seq; n++) {
        if (n == WAIT_SPINS)
            unit_is_dead(u);
        cpu_relax();
    }
}

static void invalidate_device(struct iommu *u, uint16_t devid, const struct iommu_domain *dom)
{
    spin_lock(&u->lock);
    cmd_push(u, CMD_INV_DTE | devid, 0);
    cmd_push(u, CMD_INV_PAGES, INV_ALL_PAGES); /* domain id 0: what is blocked */
    if (dom)
        cmd_push(u, CMD_INV_PAGES | (uint64_t)dom->id << 32, INV_ALL_PAGES);
    cmd_push(u, CMD_INV_IRT | devid, 0);
    cmd_complete(u);
    spin_unlock(&u->lock);
}

static void invalidate_all(struct iommu *u)
{
    spin_lock(&u->lock);
    if (reg_read(u, REG_EFR) & EFR_INV_ALL) {
        cmd_push(u, CMD_INV_ALL, 0);
    } else {
        for (uint64_t id = 0; id < 65536; id++) {
            cmd_push(u, CMD_INV_DTE | id, 0);
            cmd_push(u, CMD_INV_IRT | id, 0);
            cmd_push(u, CMD_INV_PAGES | id << 32, INV_ALL_PAGES);
        }
    }
    cmd_complete(u);
    spin_unlock(&u->lock);
}

/* --- start-up ------------------------------------------------------------------------------------------------------ */

static bool tables_make(void)
{
    devtab = core_alloc(DEVTAB_ORDER);
    empty_root = amdvi_pt_new();
    if (!devtab || !empty_root)
        return false;
    /* An entry of zeros would let everything through. */
    for (unsigned id = 0; id < 65536; id++)
        dte_blocked(&devtab[id], virt_to_maddr(empty_root));
    /* The IO-APIC's messages carry their vector as index; its lines all go to the boot CPU (arch/ioapic.c). Passing them
     * through unmapped would do by the manual, but QEMU 7.2 then delivers vector 0. */
    uint32_t *irt = core_alloc(IRT_ORDER);
    if (!irt)
        return false;
    for (unsigned v = VEC_DYN_FIRST; v <= VEC_DYN_LAST; v++)
        irt[v] = irte_make((uint8_t)v, (uint8_t)cpus[0]->apic_id);
    for (unsigned i = 0; i < ivrs.nr_ioapics; i++)
        dte_remap_only(&devtab[ivrs.ioapic[i]], virt_to_maddr(irt));
    return true;
}

static struct iommu *unit_make(unsigned i)
{
    struct iommu *u = kmalloc(sizeof(*u));

    if (!u)
        return NULL;
    u->base = ivrs.unit[i].base;
    u->devid = u->trial.devid = ivrs.unit[i].devid;
    u->regs = mmio_map(MADDR(u->base), REGS_LEN);
    u->cmd = core_alloc(0);
    u->evt = core_alloc(EVT_ORDER);
    if (!u->regs || !u->cmd || !u->evt)
        return NULL;
    /* IVHD flags (5.2.2.1) say how the unit sits on the fabric; coherent reads always, our tables are cached. */
    u->control = CTL_ENABLE | CTL_EVT_LOG | CTL_CMD | CTL_COHERENT;
    u->control |= (ivrs.unit[i].flags & 1 ? CTL_HT_TUNNEL : 0) |
                  (ivrs.unit[i].flags & 2 ? CTL_PASS_PW : 0) |
                  (ivrs.unit[i].flags & 4 ? CTL_RESP_PW : 0) |
                  (ivrs.unit[i].flags & 8 ? CTL_ISOC : 0);
    return u;
}

static void unit_start(struct iommu *u)
{
    reg_write(u, REG_CONTROL, 0); /* whatever firmware did with it */
    reg_write(u, REG_DEVTAB, virt_to_maddr(devtab).v | ((1u << DEVTAB_ORDER) - 1));
    reg_write(u, REG_CMD_BASE, virt_to_maddr(u->cmd).v | CMD_LEN_CODE);
    reg_write(u, REG_EVT_BASE, virt_to_maddr((const void *)u->evt).v | EVT_LEN_CODE);
    reg_write(u, REG_EXCL_BASE, 0); /* an exclusion range would be a hole in the wall */
    reg_write(u, REG_EXCL_LIMIT, 0);
    reg_write(u, REG_CMD_HEAD, 0);
    reg_write(u, REG_CMD_TAIL, 0);
    reg_write(u, REG_EVT_HEAD, 0);
    reg_write(u, REG_EVT_TAIL, 0);
    reg_write(u, REG_STATUS, reg_read(u, REG_STATUS)); /* write 1 to clear */
    reg_write(u, REG_CONTROL, u->control);
    invalidate_all(u);
}

bool amdvi_init(const void *table)
{
    ivrs.by_device = core_alloc(4); /* 64 KiB */
    if (!ivrs.by_device || ivrs_parse(table, &ivrs)) {
        log_warn("IOMMU: the IVRS table makes no sense");
        return false;
    }
    if (!tables_make())
        panic("no memory for the IOMMU's device table");
    for (unsigned i = 0; i < ivrs.nr_units; i++) {
        units[i] = unit_make(i);
        if (!units[i])
            panic("no memory for an IOMMU");
    }
    for (unsigned i = 0; i < ivrs.nr_units; i++)
        unit_start(units[i]);
    log_info("IOMMU: AMD-Vi, %u unit%s: all DMA blocked, interrupt remapping %s", ivrs.nr_units,
             ivrs.nr_units == 1 ? "" : "s", ivrs.has_ioapic ? "on" : "unusable");
    /* Without remapping a device could raise any vector of the core (the IVRS names the IO-APIC just when it works). */
    if (!ivrs.has_ioapic)
        log_warn("IOMMU: no interrupt remapping: no device can be assigned");
    return true;
}

static void amdvi_claim(struct pci_dev *p)
{
    uint8_t v = p->sbdf <= 0xffff ? ivrs.by_device[p->sbdf] : 0;

    if (ivrs.has_ioapic && IVRS_UNIT(v) && !(v & IVRS_REFUSED))
        p->iommu = units[IVRS_UNIT(v) - 1];
}

static struct iommu_trial *amdvi_trial(struct iommu *u) { return &u->trial; }

static bool amdvi_owns(uint64_t base, uint64_t size)
{
    for (unsigned i = 0; i < ivrs.nr_units; i++)
        if (units[i]->base < base + size && base < units[i]->base + REGS_LEN)
            return true;
    return false;
}

/* --- device entries ------------------------------------------------------------------------------------------------ */

static bool irt_make(struct pci_dev *p)
{
    if (!p->irt)
        p->irt = core_alloc(IRT_ORDER);
    return p->irt;
}

static int amdvi_attach(struct pci_dev *p, struct iommu_domain *dom)
{
    struct dte *e = &devtab[p->sbdf & 0xffff], n;

    if (!irt_make(p))
        return -ENOMEM;
    dte_attached(&n, dom, virt_to_maddr(p->irt));
    WRITE_ONCE(e->q[1], n.q[1]);
    WRITE_ONCE(e->q[2], n.q[2]);
    WRITE_ONCE(e->q[0], n.q[0]);
    invalidate_device(p->iommu, (uint16_t)p->sbdf, dom);
    return 0;
}

static void amdvi_block(struct pci_dev *p, struct iommu_domain *dom)
{
    struct dte *e = &devtab[p->sbdf & 0xffff], n;

    poll_unit(p->iommu); /* while it can still be told who did it */
    dte_blocked(&n, virt_to_maddr(empty_root));
    WRITE_ONCE(e->q[0], n.q[0]);
    WRITE_ONCE(e->q[2], n.q[2]);
    WRITE_ONCE(e->q[1], n.q[1]);
    invalidate_device(p->iommu, (uint16_t)p->sbdf, dom);
}

static void amdvi_flush(struct iommu_domain *dom)
{
    for (unsigned i = 0; i < ivrs.nr_units; i++) {
        struct iommu *u = units[i];
        spin_lock(&u->lock);
        cmd_push(u, CMD_INV_PAGES | (uint64_t)dom->id << 32, INV_ALL_PAGES);
        cmd_complete(u);
        spin_unlock(&u->lock);
    }
}

static int amdvi_init_domain(struct iommu_domain *dom)
{
    dom->root = amdvi_pt_new_for(dom->domain);
    return dom->root ? 0 : -ENOMEM;
}
static void amdvi_free_domain(struct iommu_domain *dom) { core_free_for(dom->domain, dom->root); }

/* --- interrupts ---------------------------------------------------------------------------------------------------- */

static void irt_write(struct pci_dev *p, unsigned idx, uint32_t v)
{
    WRITE_ONCE(((uint32_t *)p->irt)[idx], v);
}
/* A blocked device's interrupts are aborted whatever the table says, and attaching flushes: nothing to do then. */
static void irt_flush(struct pci_dev *p)
{
    if (!(devtab[p->sbdf & 0xffff].q[2] & DTE_INTCTL_REMAP))
        return;
    spin_lock(&p->iommu->lock);
    cmd_push(p->iommu, CMD_INV_IRT | (p->sbdf & 0xffff), 0);
    cmd_complete(p->iommu);
    spin_unlock(&p->iommu->lock);
}

static int amdvi_irq_route(struct pci_dev *p, unsigned idx, uint8_t vector, uint32_t apic,
                           uint64_t *addr, uint32_t *data)
{
    if (idx >= IRT_ENTRIES || apic > 0xff) /* entries of 32 bits hold 8 bits of it */
        return -EINVAL;
    if (!irt_make(p))
        return -ENOMEM;
    irt_write(p, idx, irte_make(vector, (uint8_t)apic));
    irt_flush(p);
    *addr = 0xfee00000; /* the index is all that counts in a remapped message (2.2.5.1) */
    *data = idx;
    return 0;
}

static void amdvi_irq_mask(struct pci_dev *p, unsigned idx)
{
    if (!p->irt || idx >= IRT_ENTRIES)
        return;
    irt_write(p, idx, 0);
    irt_flush(p);
}

static void amdvi_irq_mask_all(struct pci_dev *p)
{
    if (!p->irt)
        return;
    memset(p->irt, 0, IRT_ENTRIES * sizeof(uint32_t));
    irt_flush(p);
}

/* --- event log ----------------------------------------------------------------------------------------------------- */

/* 2.5.1 ff. A type that we do not know is still a blocked access of the device that it names. */
static void report_event(uint64_t q0, uint64_t q1)
{
    unsigned type = (unsigned)(q0 >> 60);

    if (type == 2 && q0 >> 51 & 1)
        iommu_irq_fault((uint16_t)q0, q1);
    else if (type == 2)
        iommu_fault((uint16_t)q0, true, q1, "DMA");
    else if (type == 5 || type == 6)
        log_err("IOMMU: command error, event %lx %lx", q0, q1);
    else
        iommu_fault((uint16_t)q0, false, 0, "DMA");
}

/* The log is full and stopped: start it afresh (2.5, "restarting"). */
static void evt_restart(struct iommu *u)
{
    reg_write(u, REG_CONTROL, u->control & ~CTL_EVT_LOG);
    memset((void *)u->evt, 0, EVT_BYTES);
    reg_write(u, REG_EVT_HEAD, 0);
    reg_write(u, REG_EVT_TAIL, 0);
    u->evt_head = 0;
    reg_write(u, REG_STATUS, STATUS_EVT_OVF);
    reg_write(u, REG_CONTROL, u->control);
}

static bool take_events(struct iommu *u)
{
    unsigned n = 0;

    /* Entries are taken while they are not zero, and zeroed: some units never move the tail register. */
    for (; n < 256; n++) {
        volatile uint64_t *e = &u->evt[u->evt_head / 8];
        uint64_t q0 = e[0], q1;
        if (!q0)
            break;
        q1 = e[1];
        e[0] = 0;
        e[1] = 0;
        u->evt_head = (u->evt_head + 16) % EVT_BYTES;
        report_event(q0, q1);
    }
    if (!n)
        return false;
    reg_write(u, REG_EVT_HEAD, u->evt_head);
    if (n < 256 && (reg_read(u, REG_STATUS) & STATUS_EVT_OVF))
        evt_restart(u);
    return true;
}

/* A blocked access also sets "signalled target abort" in the unit's own PCI status. QEMU 7.2 writes no event at all, so this is
 * all there is; only devices with bus mastering can be meant, and the core took that from all others. */
static void take_target_abort(struct iommu *u, bool named)
{
    struct pci_dev *culprit = NULL;
    unsigned n = 0;

    if (!pci_hw || !(pci_hw->read(u->devid, PCI_STATUS, 2) & PCI_STATUS_SIG_ABORT))
        return;
    pci_hw->write(u->devid, PCI_STATUS, 2, PCI_STATUS_SIG_ABORT);
    for (struct pci_dev *p = pci_devices; p; p = p->next)
        if (p->iommu == u && READ_ONCE(p->dma_on)) {
            culprit = p;
            n++;
        }
    if (!named)
        iommu_fault(n == 1 ? (uint16_t)culprit->sbdf : u->devid, false, 0,
                    n == 1 ? "DMA" : "a DMA of unknown origin by means");
}

static void poll_unit(struct iommu *u)
{
    if (!spin_trylock(&u->evt_lock))
        return;
    take_target_abort(u, take_events(u));
    spin_unlock(&u->evt_lock);
}

static void amdvi_poll_faults(void)
{
    for (unsigned i = 0; i < ivrs.nr_units; i++)
        poll_unit(units[i]);
}

const struct iommu_ops amdvi_ops = {
    .name = "AMD-Vi",
    .attach = amdvi_attach,
    .block = amdvi_block,
    .map = amdvi_pt_map,
    .unmap = amdvi_pt_unmap,
    .flush = amdvi_flush,
    .clear = amdvi_pt_clear,
    .init_domain = amdvi_init_domain,
    .free_domain = amdvi_free_domain,
    .irq_route = amdvi_irq_route,
    .irq_mask = amdvi_irq_mask,
    .irq_mask_all = amdvi_irq_mask_all,
    .poll_faults = amdvi_poll_faults,
    .owns = amdvi_owns,
    .claim = amdvi_claim,
    .trial = amdvi_trial,
};
