/* SPDX-License-Identifier: MIT */
/*
 * Bulkhead's private ABI: what the core offers beyond Xen's public ABI (<xen/xen.h>).
 *
 * Two hypercalls in Xen's arch range. Both take (op, pointer to the op's struct) in rdi, rsi and
 * return 0, a positive count, or a negative Xen errno. Layouts are fixed, 64-bit, no padding holes.
 * Any call may be interrupted: the core then leaves rip on the VMMCALL and the call is executed again,
 * so a caller never sees it.
 */
#pragma once
#include <stdint.h>

#define BH_HYPERCALL_CONTROL 48 /* __HYPERVISOR_arch_0: every op has its own privilege */
#define BH_HYPERCALL_SERVICE 49 /* __HYPERVISOR_arch_1: any domain but a plain guest */

/* --- domids -------------------------------------------------------------------------------------
 * 0..15 are service slots, fixed by the control domain and restartable in place with the same domid.
 * Guests count up from BH_FIRST_GUEST; then a domid is used again, the one longest free first, if nothing names it: no entry of a
 * grant, no port, and no service (FORGET). */
#define BH_DOMID_CONTROL 0
#define BH_DOMID_STORE   1
#define BH_DOMID_PCIBACK 2
#define BH_FIRST_DRIVER  3
#define BH_FIRST_GUEST   16
#define BH_DOMID_ANY     0x7ff4 /* create: the core picks the next guest domid */
#define BH_DOMID_NONE    0x7ffe /* no domain */

#define BH_MAX_VCPUS 32 /* a domain's vCPUs (shared_info holds 32) */
#define BH_NAME_LEN  32
#define BH_TABLE_MAX 16 /* pages of its slot table */

/* What the builder's ACPI tables must agree with. */
#define BH_APIC_ID(vcpu) \
    (2u * (vcpu)) /* x2APIC id of a vCPU; its ACPI processor UID is the vcpu id itself */
#define BH_PORT_SLEEP \
    0xb004 /* sleep control register (I/O, one byte): any write with SLP_EN (0x20) powers off */

/* --- roles: who may what is at the end of <ops.def> --------------------------------- */
enum bh_role {
    BH_ROLE_GUEST = 0,
    BH_ROLE_CONTROL,
    BH_ROLE_STORE,
    BH_ROLE_PCIBACK,
    BH_ROLE_DRIVER,
    BH_NR_ROLES
};

/* --- control operations ------------------------------------------------------------------------- */
/* BH_CTL_CREATE and so on; <ops.def> says what each takes and does. */
#define CONTROL_OP(nr, NAME, ...) BH_CTL_##NAME = nr,
enum bh_control_op {
#include <ops.def>
    BH_NR_CTL_OPS
};

struct bh_domid {
    uint16_t domid;
    uint16_t pad[3];
};

#define BH_CREATE_RESTARTABLE 1u /* may be restarted; has keep pages */

struct bh_create {
    uint16_t domid; /* in: a free service slot (0..15), or BH_DOMID_ANY; out: the domid */
    uint8_t role;   /* enum bh_role; not CONTROL */
    uint8_t nr_vcpus;
    uint32_t flags;     /* BH_CREATE_* */
    uint64_t max_pages; /* limit of frames it may own */
    uint64_t keep_gfn;  /* keep pages: first gfn, 0 if none */
    uint32_t nr_keep;   /* at most max_pages, of which they are; only with RESTARTABLE */
    uint32_t pad;
    char name[BH_NAME_LEN]; /* NUL-terminated: for logs and reports only */
    uint64_t table_gfn;     /* slot table: first gfn, see BH_CTL_SLOT_WRITE */
    uint32_t nr_table;      /* <= BH_TABLE_MAX; only with RESTARTABLE */
    int32_t clock_offset;   /* seconds that its wall clock is ahead of UTC */
    uint8_t uuid[16];       /* what XENVER_guest_handle tells it */
};

/* Frames of the core that a domain may have beside its RAM. Its own choice is what for; so much is always there.
 *   tables: twice what its RAM takes in single pages, since it may move them, and ranges for mappings of grants
 *   grants: all frames of the table; and records of entries and of mappings, 32 pages a vCPU (8192 mappings). A service domain has
 *           mappings from every guest, and what one instance has hoarded must not be missing to the next: all there can be
 *   events: all ports
 *   fillers of a guest: all */
static inline uint64_t bh_allowance(const struct bh_create *c)
{
    uint64_t tables = 32 + c->max_pages / 256, grants = 64, events = 32;

    return tables + grants + events + (c->role == BH_ROLE_GUEST ? 32u * c->nr_vcpus + 16u : 512);
}

/* Gives zeroed RAM at [gfn, gfn + nr). 2 MiB mappings where aligned. Out: `done` frames; the call
 * returns -ENOMEM (machine) or -EDQUOT-like -E2BIG (limit) with `done` telling how far it came. */
#define BH_POPULATE_RESERVED 1u /* in the domain's memory map it is reserved: tables, rings */
struct bh_populate {
    uint16_t domid;
    uint16_t flags;
    uint16_t pad[2];
    uint64_t gfn, nr, done;
};

/* Copies len bytes from the caller's memory into the domain under construction. A restartable domain's
 * keep pages are never covered after its first unpause (-EACCES). */
struct bh_write {
    uint16_t domid;
    uint16_t pad[3];
    uint64_t gpa; /* destination, guest-physical, RAM */
    uint64_t src; /* caller's address */
    uint64_t len;
};

/* Slot pages. The core seeds grant entries 0 (console page, to console_domid) and 1 (xenstore page, to
 * store_domid), allocates one unbound port each for them and sets HVM_PARAM_{CONSOLE,STORE}_{PFN,EVTCHN}.
 * Both pages must be populated RAM. */
struct bh_setup_rings {
    uint16_t domid;
    uint16_t console_domid;
    uint16_t store_domid;
    uint16_t pad;
    uint64_t console_gfn, store_gfn;
    uint32_t console_port, store_port; /* out: ports of the domain */
};

/* State of vCPU 0 at its first instruction: PVH entry (docs/linux-pvh.md 1): 32-bit, paging off. */
struct bh_entry {
    uint16_t domid;
    uint16_t pad[3];
    uint64_t eip;
    uint64_t ebx; /* guest-physical address of hvm_start_info */
};

enum bh_domstate {
    BH_DOM_BUILDING = 0, /* under construction */
    BH_DOM_RUNNING,      /* sealed; may be paused, see flags */
    BH_DOM_SHUTDOWN,     /* said SCHEDOP_shutdown: see reason */
    BH_DOM_CRASHED,      /* by itself or by the core: see report */
    BH_DOM_DYING         /* destroyed, frames still referenced by others */
};
#define BH_DI_PAUSED      1u
#define BH_DI_BLOCKED     2u /* every vCPU waits */
#define BH_DI_RUNNING     4u /* a vCPU is on a CPU now */
#define BH_DI_RESTARTABLE 8u
#define BH_DI_ADOPTED     16u /* this instance said BH_SVC_ADOPTED */
#define BH_DI_RINGS       32u /* SETUP_RINGS was done */
#define BH_DI_SERVED      64u /* this instance said BH_SVC_SERVED */

/* Why vCPUs left the guest for the core. */
enum bh_exit {
    BH_EXIT_INTR = 0, /* an interrupt of the machine's */
    BH_EXIT_WINDOW,   /* can take an event that waited */
    BH_EXIT_CPUID,
    BH_EXIT_HLT,
    BH_EXIT_IO,
    BH_EXIT_MSR,
    BH_EXIT_CALL, /* hypercall */
    BH_EXIT_NPF,  /* nested page fault */
    BH_EXIT_OTHER,
    BH_NR_EXITS
};

/* What the core did, counted since a vCPU was made, over all instances; nothing sets a counter back. For who may ask for INFO alone: one
 * domain's counters would tell another when it computes and what for. */
struct bh_counts {
    uint64_t exits[BH_NR_EXITS]; /* by enum bh_exit */
    uint64_t hypercalls;         /* served; one that is executed again counts each time */
    uint64_t copies;             /* grant copies asked for, of one request or of many */
    uint64_t guest_walks; /* of a guest's own page tables by the core, to follow a pointer or to read an instruction */
    uint64_t remembered;   /* pieces of pointers' memory that needed no walk */
    uint64_t nested_walks; /* of anybody's nested page tables by the core, to find a page */
    uint64_t ipis;         /* interrupts to other CPUs */
    uint64_t self_ipis; /* to the sending CPU: only where the CPU is an emulator that needs them */
    uint64_t moves;     /* of the vCPU to another CPU than that on which it last ran */
    uint64_t device_irqs; /* interrupts of devices that were for some vCPU; they count for the CPU that took them, for no vCPU */
    uint64_t irqs_astray; /* those of them that came to another CPU than that on which that vCPU last ran */
};

struct bh_dominfo {
    uint16_t domid; /* in/out */
    uint8_t role, state;
    uint32_t flags;           /* BH_DI_* */
    uint32_t shutdown_reason; /* SHUTDOWN_* */
    uint32_t nr_vcpus;
    uint64_t tot_pages, max_pages;
    uint64_t cpu_ns;     /* CPU time of all vCPUs, over all instances */
    uint64_t instance;   /* number of restarts */
    uint64_t crash_ns;   /* system time of the last crash (0: none) */
    uint64_t restart_ns; /* system time when the last fence was complete */
    uint64_t unpause_ns; /* system time of the last unpause from construction */
    uint64_t dma_ns;     /* system time of the last dev_dma_enable */
    uint64_t adopted_ns; /* system time of BH_SVC_ADOPTED of this instance */
    char name[BH_NAME_LEN];
    uint32_t console_port, store_port;
    uint64_t deadlines_missed;
    uint16_t holder; /* DYING: a domain that still has some of its frames mapped; BH_DOMID_NONE: nobody */
    uint16_t vcpus_online; /* that are neither waiting for SIPI nor halted with interrupts off, as one is that its kernel took down */
    uint16_t pad[2];
    uint64_t allowance_used,
        allowance; /* frames of the core that serve this domain alone, and how many it may have */
    struct bh_counts counts; /* of all vCPUs */
};

/* Fence the domain (docs/restart-protocol.md 2) and put it under construction again with the same domid, the same
 * RAM extents (fresh zeroed frames), slot pages zeroed, immutable and keep pages as they were. The caller then
 * writes the rest of the image, sets the entry and unpauses. Only RESTARTABLE, never the caller itself (-EINVAL): the control domain
 * is restarted by the core. */
#define BH_RESTART_FRESH \
    1u /* immutable pages are replaced too: another image, or doubt about this one */
struct bh_restart {
    uint16_t domid;
    uint16_t pad;
    uint32_t flags; /* BH_RESTART_* */
};

/* Makes RAM pages under construction immutable: the domain reads and executes them, nobody writes them any more (not the
 * domain, its devices, its peers or the builder), and they stay as they are over a restart. Pages that are so already are
 * fine. -EINVAL for anything but RAM, slot pages and keep pages, -E2BIG above BH_PROTECT_MAX pages; then none is changed. */
#define BH_PROTECT_MAX 4096u
struct bh_protect {
    uint16_t domid;
    uint16_t pad[3];
    uint64_t gfn, nr;
};

/* SLOT_WRITE: into a domain's slot table, in which its creator says what the domain is to do and for whom. The pages are RAM of
 * the domain that PROTECT made immutable before the first unpause (which is refused otherwise): it reads them, and can neither write,
 * grant nor replace them, nor does its device reach them. They outlive every restart, also a fresh one. `gpa` and `len` are multiples
 * of 8, `len` at most BH_SLOT_WRITE_MAX; words are stored one by one in ascending order, each by one store, at any time until the domain
 * is destroyed. Returns 0; -EACCES: not in the table, or not immutable yet; then nothing is written. */
#define BH_SLOT_WRITE_MAX 512u

/* SOFT_RESET: a guest that said SHUTDOWN_soft_reset (<xen/sched.h>: kexec) runs on, on the vCPU that said it, as if newly made but
 * for its memory, its slot pages and their ports: other vCPUs wait for INIT and SIPI, ports and registrations are gone, grants
 * are revoked also from who has them mapped, RAM is where shared_info was. -EINVAL in any other state. */

/* Takes every mapping of `domid`'s frames away from `holder`, so that they come back: the mappings then show a page of the core (to read:
 * zeroes; to write: a page that nobody else sees), and their handles are unmapped as ever. A domain may have several
 * holders: bh_dominfo names one at a time. -EINVAL unless `domid` was destroyed and is DYING, -ESRCH without either of the two. */
struct bh_reclaim {
    uint16_t domid;
    uint16_t holder;
    uint32_t pad;
};

/* FORGET: no service names this destroyed guest any more: nothing in the store is owned by it, permits it something or is watched by it,
 * and no keep record, no entry of a slot table is its. A guest with a store ring keeps its domid until then. -EBUSY: the core still
 * has something of it; -ESRCH: its domid is free, or was never used. */

/* MAX_PAGES: what the guest has beyond that it keeps until it gives it back. -EINVAL: more than it was created with, by which its allowance
 * was reckoned, or a restartable domain, which was promised its RAM. */
struct bh_max_pages {
    uint16_t domid;
    uint16_t pad[3];
    uint64_t pages;
};

/* Scheduling: what `set` names is set, all or nothing; then everything is told. The weight is that of each of the domain's vCPUs
 * against others on the same CPU, the cap (percent of one CPU, 0: none) that of all of them together; both, and the affinity, outlive a
 * restart. -ENOENT: no such vCPU; -EINVAL: weight or cap out of range; -EOPNOTSUPP: a cap for a service domain, which has deadlines to meet;
 * -ENODEV: an affinity without a CPU that runs domains. */
#define BH_SCHED_WEIGHT   1u
#define BH_SCHED_CAP      2u
#define BH_SCHED_AFFINITY 4u
#define BH_WEIGHT_MAX     65535u
#define BH_VCPU_ONLINE    1u
#define BH_VCPU_RUNNING   2u
#define BH_VCPU_BLOCKED   4u
struct bh_sched {
    uint16_t domid; /* in */
    uint16_t vcpu;  /* in: whose affinity and what is below it */
    uint32_t set;   /* in: BH_SCHED_*; 0: nothing is set */
    uint32_t weight, cap;
    uint64_t affinity; /* CPUs, a bit each */
    uint64_t cpus;     /* out: CPUs that run domains */
    uint64_t cpu_ns;
    uint32_t cpu;   /* out: on which it runs, or did last */
    uint32_t state; /* out: BH_VCPU_* */
};

#define BH_CRASH_INJECT 1u /* at a random instruction within milliseconds; else at once */
#define BH_CRASH_HANG   2u /* stop giving it CPU time, so that its deadline is missed */
struct bh_crash {
    uint16_t domid;
    uint16_t after_ms; /* with INJECT alone: before they begin */
    uint32_t how;
};

enum bh_crash_cause {
    BH_CAUSE_NONE = 0,
    BH_CAUSE_TRIPLE_FAULT,
    BH_CAUSE_SHUTDOWN_CRASH, /* SCHEDOP_shutdown(SHUTDOWN_crash) */
    BH_CAUSE_DEADLINE,
    BH_CAUSE_NPF, /* nested page fault */
    BH_CAUSE_INJECTED,
    BH_CAUSE_VMENTRY, /* invalid guest state */
    BH_CAUSE_OTHER
};

#define BH_REPORT_STACK 32
struct bh_report {
    uint16_t domid; /* in */
    uint16_t vcpu;
    uint32_t cause;
    uint64_t when_ns, instance;
    uint64_t exit_code, info1, info2; /* of a guest, info only of a nested page fault */
    uint64_t rip;                     /* of a guest 0: where it was is its own affair */
    /* The following are zero for a domain that is not restartable (a guest's registers are its own). */
    uint64_t rsp, rflags, cr0, cr2, cr3, cr4;
    uint64_t gpr[16]; /* rax rcx rdx rbx rsp rbp rsi rdi r8..r15 */
    uint64_t stack[BH_REPORT_STACK];
    uint32_t nr_stack, pad;
    char why[96];
};

/* PCI ------------------------------------------------------------------------------------------- */
#define BH_SBDF(seg, bus, dev, fn) \
    (((uint32_t)(seg) << 16) | ((uint32_t)(bus) << 8) | ((uint32_t)(dev) << 3) | (uint32_t)(fn))

enum bh_pci_state { BH_PCI_PLATFORM = 0, BH_PCI_ASSIGNABLE, BH_PCI_ASSIGNED };
#define BH_PCI_HIDDEN 1u
#define BH_PCI_BRIDGE 2u
#define BH_PCI_IOMMU  4u /* covered by an IOMMU */
#define BH_PCI_FLR    8u
#define BH_PCI_DMA    16u /* dev_dma_enable was done */
#define BH_PCI_MSIX   32u
#define BH_PCI_KEPT   64u /* the machine needs it: a bridge, part of the platform, the console */
#define BH_PCI_MSI \
    128u /* its one interrupt comes by MSI, if it has no MSI-X or its owner has it so (BH_PCI_SET_MSI) */

#define BH_PCI_BARS 7u
#define BH_PCI_ROM  6u /* the option ROM, which a guest alone has mapped */
struct bh_pci_bar {
    uint64_t base;  /* machine address; 0 = absent */
    uint64_t size;  /* bytes */
    uint64_t gpa;   /* where it is mapped in the owner, 0 if not assigned */
    uint32_t flags; /* 1 memory, 2 64-bit, 4 prefetchable, 8 I/O */
    uint32_t pad;
};
/* The structures of a virtio device (virtio 1.1, 4.1.4) as its owner finds them: guest-physical addresses, 0 where there is none, or
 * where one shares a page with what the owner may not see. */
struct bh_pci_virtio {
    uint64_t common, notify, isr, device;
    uint32_t common_len, notify_len, isr_len, device_len;
    uint32_t notify_mult, pad;
};
struct bh_pci_info {
    uint32_t index; /* in: 0.. ; -ENOENT past the last */
    uint32_t sbdf;
    uint16_t vendor, device, domid,
        irqs; /* domid: owner if ASSIGNED; irqs: MSI-X vectors, or 1 of MSI */
    uint32_t class_rev;
    uint8_t state, group;          /* group: IOMMU group number */
    uint16_t flags;                /* BH_PCI_* */
    uint32_t msix_table, msix_pba; /* as in its capability: offset | BAR; 0, 0: it has no MSI-X */
    struct bh_pci_bar bar[BH_PCI_BARS];
    uint64_t dma_faults;
    struct bh_pci_virtio virtio;
    uint32_t given, pad; /* how often it was assigned in this boot */
};
/* Of a guest's: it may read and write the device's own registers in configuration space (those of no header field and no capability that the core
 * knows), and have one that nobody can reset, with whatever its last owner left in it. */
#define BH_ASSIGN_PERMISSIVE 1u
struct bh_assign {
    uint32_t sbdf;
    uint16_t domid;
    uint16_t flags; /* assign: BH_ASSIGN_* */
    uint64_t gpa; /* assign: first BAR's guest-physical address, 0 = core's choice (<layout.h>, BH_BARS) */
};
/* Refusals: -ENOENT no such device, -EACCES not hidden, -EBUSY assigned already, -ENODEV no IOMMU over it,
 * -EPERM its IOMMU unit failed its trial, -EAGAIN nobody tried it yet and the domain could not (BH_SVC_TRIAL),
 * -EXDEV its IOMMU group has other devices that are not going with it, -EOPNOTSUPP no reset method. */
/* PCI_HIDE: as pciback.hide= at boot, and the way back. The device is reset with its DMA blocked. -ENOENT, -EACCES (BH_PCI_KEPT),
 * -EEXIST (it is so already), -EBUSY assigned, -EXDEV another device of its IOMMU group is (that one cannot go back), -ENOSPC no interrupt
 * vectors are left, -EIO it did not come back from its reset. */
struct bh_pci_hide {
    uint32_t sbdf;
    uint32_t hide; /* 1, or 0: the platform's again */
};
struct bh_pci_cfg {
    uint32_t sbdf;
    uint16_t off;
    uint8_t size;  /* 1, 2, 4 */
    uint8_t write; /* 0 read, 1 write */
    uint32_t value;
    uint32_t pad;
};

/* PCI_TRAP: a guest that has devices reads and writes configuration space by ports CF8 and CFC (bus 0 alone; anything else
 * reads as ones at once). Each access waits in its vCPU, of which BH_VIRQ_PCI_TRAP tells pciback, until it is answered.
 * NEXT: in: domid, the last that was served; out: an access that waits, of the next domain that has one. It waits on: whoever
 * asks anew may get it again. -ENOENT: none. ANSWER: domid, vcpu and serial as NEXT gave them, and the value of a read; the
 * vCPU goes on behind its instruction. -ESRCH, -ESTALE: the access is not waiting (any more). */
#define BH_VIRQ_PCI_TRAP 16u /* VIRQ_ARCH_0: for who has the privilege PCI_CFG */
#define BH_TRAP_NEXT     0u
#define BH_TRAP_ANSWER   1u
struct bh_pci_trap {
    uint16_t domid, vcpu;
    uint16_t step;  /* BH_TRAP_* */
    uint16_t devfn; /* slot << 3 | function, as the guest numbers them */
    uint16_t off;   /* in configuration space, a multiple of size */
    uint8_t size, write;
    uint32_t value;
    uint64_t serial;
};
/* PCI_SET: of a device of a guest's, what that asked for. -ENODEV: it is not this guest's (or not a guest's), or is being taken away.
 *   MASTER  value 1, 0: its DMA on and off, as BH_SVC_DMA_ENABLE does, with its refusals. A device whose DMA was on already in this
 *           life of its owner need not be at rest. -EBUSY: it is being reset
 *   MSI     value 1, 0: the message that the owner wrote counts, or none does; its number is in `address` (pirq.h). Of a device with
 *           BH_PCI_MSI; -EOPNOTSUPP: of any other. If it has MSI-X, too, the other kind is off from now on, and its bindings end. 1: it is
 *           being reset, ask again
 *   PIRQ    value: in, an entry of the MSI-X table, or 0 of MSI; out, the number for its owner to bind. -EINVAL: no such entry
 *   RESET   DMA off, and the device as new. 1: that takes a while longer, ask again, or let any access to it find the end.
 *           -EOPNOTSUPP, -EIO: it did not come back */
#define BH_PCI_SET_MASTER 0u
#define BH_PCI_SET_MSI    1u
#define BH_PCI_SET_PIRQ   2u
#define BH_PCI_SET_RESET  3u
struct bh_pci_set {
    uint32_t sbdf;
    uint16_t domid;
    uint16_t what; /* BH_PCI_SET_* */
    uint64_t address;
    uint32_t value;
    uint32_t pad;
};

/* Machine --------------------------------------------------------------------------------------- */
struct bh_log {
    uint64_t from; /* in: absolute byte position wanted; out: position of the first byte returned */
    uint64_t buf;  /* caller's buffer */
    uint64_t len;  /* in: its size; out: bytes written */
    uint32_t domid; /* 0: the core's own log; else the last that this domain said by console_io and port 0xE9 */
    uint32_t pad;
};
#define BH_CONSOLE_CLAIM \
    1u /* core lines go to the log ring and VIRQ_CON_RING instead of the wire */
#define BH_CONSOLE_RELEASE 0u
struct bh_console {
    uint32_t mode, pad;
};

struct bh_sysinfo {
    uint32_t nr_cpus, tsc_khz;
    uint64_t total_pages, free_pages, dirty_pages,
        core_pages;     /* free: zeroed; dirty: free too, to be zeroed */
    uint64_t boot_ns;   /* system time now */
    uint64_t wallclock; /* ns since the epoch, UTC, at system time 0 */
    uint32_t features;  /* BH_SYS_* */
    uint32_t nr_pci;
    char version[32];
    char cmdline[512];
    uint64_t promised_pages; /* neither free nor anybody's yet: what domains were promised and may take at any time */
    int32_t rtc_offset; /* seconds that the machine's battery clock is ahead of UTC (rtc=) */
    uint32_t pad;
    struct bh_counts core,
        ended; /* for no vCPU: interrupts, idle CPUs, the boot; for vCPUs that are no more */
};
#define BH_SYS_NRIP     1u
#define BH_SYS_IOMMU    2u
#define BH_SYS_SMEP     4u
#define BH_SYS_SMAP     8u
#define BH_SYS_INTREMAP 16u
#define BH_SYS_CLOCK \
    32u /* the wall clock is exact: a guest that is unpaused now has the right time */

/* hv/debug/debug.h. -EAGAIN: too many keys wait. */
struct bh_debug_keys {
    uint32_t nr; /* up to all of them, or -EINVAL */
    char key[12];
};
#define BH_MACHINE_POWEROFF 0u
#define BH_MACHINE_REBOOT   1u
struct bh_machine {
    uint32_t how, pad;
};

/* --- service operations (own domain only) --------------------------------------------------------- */
#define SERVICE_OP(nr, NAME, ...) BH_SVC_##NAME = nr,
enum bh_service_op {
#include <ops.def>
    BH_NR_SVC_OPS
};

/* Grant copies and event sends in one exit. Every copy gets its own status (GNTST_*); every send is done
 * after all copies. Returns 0; -E2BIG before anything was done; -EFAULT: which copies were done is not told, nothing was sent. */
#define BH_BATCH_COPIES 256
#define BH_BATCH_SENDS  64
struct bh_batch {
    uint64_t copies; /* struct gnttab_copy[nr_copies] (<xen/grant_table.h>), statuses written back */
    uint64_t sends;  /* uint32_t port[nr_sends] */
    uint32_t nr_copies, nr_sends;
};
struct bh_dma_enable {
    uint32_t sbdf;
    uint32_t enable;
};
/* The trial of an IOMMU unit (docs/iommu-trial.md), once a boot, before any device behind it gets DMA. BEGIN: the device, which is at rest, sees
 * `nr` pages of RAM of the caller from `gfn` on at `window`, and a page of the core's behind them, the target; nothing else is told to it until the
 * end. LOOK: 1 if something arrived in the target, else 0. BLOCK: the device's entry is closed and the target cleared, bus
 * mastering stays on. END: the result is kept, the device fenced. BEGIN gives 1: passed already, nothing to do; -EPERM (END, too): failed,
 * or the device's write did not arrive; -EBUSY: another trial runs, ask again; -EACCES: this instance has served; -EIO: the device runs;
 * -ERANGE: no address is free for the window; -ENOMEM; -EINVAL. A trial whose device is fenced in the middle decides nothing,
 * nor does one that another came before after 8 s: LOOK, BLOCK and END give -EINVAL then. */
#define BH_TRIAL_BEGIN 0u
#define BH_TRIAL_LOOK  1u
#define BH_TRIAL_BLOCK 2u
#define BH_TRIAL_END   3u
#define BH_TRIAL_PAGES 4u
struct bh_trial {
    uint32_t sbdf, step;
    uint64_t gfn; /* BEGIN: in */
    uint32_t nr, pad;
    uint64_t window; /* BEGIN: out; a guest-physical address for the device alone. The target is at window + nr * 4096. */
};
/* Every call feeds the deadline; 0 ms = off. It is missed, which is a crash with cause BH_CAUSE_DEADLINE, when at four looks in a row, a quarter of
 * it apart, nobody fed it and the domain, sealed and not paused, slept through a pending event or had run since it was last fed. */
struct bh_deadline {
    uint64_t ms;
};
/* Sends as BATCH does, then waits until an event is pending (evtchn_upcall_pending: 0) or system time reaches until_ns (-ETIME; 0: never).
 * -E2BIG and -EFAULT before anything was done. Does not touch evtchn_upcall_mask. */
struct bh_wait {
    uint64_t until_ns;
    uint64_t sends; /* uint32_t port[nr_sends] */
    uint64_t nr_sends;
};
/* 1: every pointer this domain hands to any hypercall is guest-physical (no page walk). */
struct bh_ptr_mode {
    uint64_t physical;
};

/* --- start of a service domain ---------------------------------------------------------------------
 * hvm_start_info (PVH) whose command line holds space-separated words: `domid=N keep=GFN:N name=NAME
 * ram=BYTES boot=INSTANCE` and what the configuration says. The control domain's, which the core builds: boot=0, `instance=N`; its own
 * modules: 0 = the boot bundle, read-only, mapped above its RAM. */
