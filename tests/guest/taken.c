/* SPDX-License-Identifier: MIT */
/*
 * What root in a Linux that serves others gets at, by the kernel's own doors: /dev/xen/privcmd, gntdev, evtchn, xenbus.
 *   taken tries REFS MOST CLIENT...   everything, of all domains up to MOST, of each the first REFS entries of its grant table (up to 32768) and an eighth of that of
 *                                     ports. CLIENTs are those that it serves. Status 0 if nothing went that must not; what did is printed as "not ok". The last
 *                                     line is "taken: N ok, M not ok"
 *   taken watches CLIENT...           watches all that there is, and prints the paths that fire
 * A client keeps SECRET in pages that it granted to nobody.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#define __XEN_TOOLS__ 1
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/io/xs_wire.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/sys/evtchn.h>
#include <xen/sys/gntdev.h>
#include <xen/sys/privcmd.h>
#include "bulkhead.h"

#define PAGE   4096u
#define HOLE   0xd0000000ul /* guest-physical: nothing is there */
#define REFS   (64u * 512u) /* what a grant table may have, and eight times what there is of ports */
#define BATCH  512u
#define SECRET "in-no-page-that-was-granted"

static domid_t self, clients[16];
static unsigned nr_clients, most, refs;
static unsigned passed, failed;
static int privcmd = -1, gntdev = -1, evtchn = -1, xenbus = -1;
static uint8_t page[PAGE] __attribute__((aligned(PAGE)));

static void verdict(bool good, const char *name, const char *fmt, ...)
{
    va_list ap;

    printf("%s %s: ", good ? "ok" : "not ok", name);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
    passed += good;
    failed += !good;
}

static void *must(bool good, const char *what)
{
    if (!good) {
        perror(what);
        exit(2);
    }
    return NULL;
}

static bool is_client(unsigned domid)
{
    for (unsigned i = 0; i < nr_clients; i++)
        if (clients[i] == domid)
            return true;
    return false;
}

static long hc(uint64_t nr, uint64_t a, const void *b, uint64_t c)
{
    privcmd_hypercall_t h = { .op = nr, .arg = { a, (uintptr_t)b, c } };
    long rc = ioctl(privcmd, IOCTL_PRIVCMD_HYPERCALL, &h);

    return rc < 0 ? -errno : rc;
}

static uint64_t frame_of(void *p)
{
    int fd = open("/proc/self/pagemap", O_RDONLY);
    uint64_t e = 0;

    must(fd >= 0 && pread(fd, &e, sizeof(e), (off_t)((uintptr_t)p / PAGE * sizeof(e))) == sizeof(e),
         "pagemap");
    close(fd);
    return e & ((1ull << 55) - 1);
}

/* --- grants ----------------------------------------------------------------------------------- */
/* Which entries of a domain's table let us read (1) or write (2). */
static uint8_t may[REFS];

static void copies(domid_t d, unsigned n[2])
{
    static struct gnttab_copy op[BATCH];
    uint64_t frame = frame_of(page);

    for (unsigned first = 0; first < refs; first += BATCH)
        for (unsigned to = 0; to < 2; to++) { /* nothing is moved: length 0 */
            for (unsigned i = 0; i < BATCH; i++) {
                op[i] = (struct gnttab_copy){ .flags = to ? GNTCOPY_dest_gref : GNTCOPY_source_gref };
                struct gnttab_copy *c = &op[i];
                c->source.domid = to ? DOMID_SELF : d;
                c->dest.domid = to ? d : DOMID_SELF;
                if (to)
                    c->dest.u.ref = first + i, c->source.u.gmfn = frame;
                else
                    c->source.u.ref = first + i, c->dest.u.gmfn = frame;
            }
            must(!hc(__HYPERVISOR_grant_table_op, GNTTABOP_copy, op, BATCH), "copy");
            for (unsigned i = 0; i < BATCH; i++)
                if (op[i].status == GNTST_okay) {
                    may[first + i] |= (uint8_t)(1u << to);
                    n[to]++;
                }
        }
}

static void maps(domid_t d, unsigned n[2])
{
    static struct gnttab_map_grant_ref op[BATCH];

    for (unsigned first = 0; first < refs; first += BATCH)
        for (unsigned rw = 0; rw < 2; rw++) {
            for (unsigned i = 0; i < BATCH; i++)
                op[i] = (struct gnttab_map_grant_ref){ .host_addr = HOLE + (uint64_t)i * PAGE,
                                                       .flags = GNTMAP_host_map |
                                                                (rw ? 0 : GNTMAP_readonly),
                                                       .ref = first + i,
                                                       .dom = d };
            must(!hc(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, op, BATCH), "map");
            for (unsigned i = 0; i < BATCH; i++) {
                if (op[i].status != GNTST_okay)
                    continue;
                struct gnttab_unmap_grant_ref u = { .host_addr = op[i].host_addr,
                                                    .handle = op[i].handle };
                must(!hc(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, &u, 1) && !u.status,
                     "unmap");
                n[rw]++;
            }
        }
}

/* One entry by gntdev, as any program maps it; NULL: refused. */
static void *by_gntdev(domid_t d, uint32_t ref, uint64_t *at)
{
    struct ioctl_gntdev_map_grant_ref m = { .count = 1, .refs = { { .domid = d, .ref = ref } } };

    must(!ioctl(gntdev, IOCTL_GNTDEV_MAP_GRANT_REF, &m), "gntdev");
    *at = m.index;
    void *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, gntdev, (off_t)m.index);
    return p == MAP_FAILED ? NULL : p;
}

static void gntdev_done(void *p, uint64_t at)
{
    struct ioctl_gntdev_unmap_grant_ref u = { .index = at, .count = 1 };

    if (p)
        munmap(p, PAGE);
    ioctl(gntdev, IOCTL_GNTDEV_UNMAP_GRANT_REF, &u);
}

/* All that may be read, and a few that may not: how many gntdev maps, and in how many the secret is. */
static unsigned looks(domid_t d, unsigned *shown)
{
    unsigned secrets = 0, refused = 0;

    for (uint32_t ref = 0; ref < refs; ref++) {
        uint64_t at;

        if (!may[ref] && refused++ >= 32)
            continue;
        void *p = by_gntdev(d, ref, &at);
        *shown += p != NULL;
        secrets += p && memmem(p, PAGE, SECRET, strlen(SECRET));
        gntdev_done(p, at);
    }
    return secrets;
}

static void grants_of(domid_t d)
{
    unsigned copied[2] = { 0 }, mapped[2] = { 0 }, shown = 0;
    bool client = is_client(d);
    char name[32];

    memset(may, 0, sizeof(may));
    copies(d, copied);
    maps(d, mapped);
    unsigned secrets = looks(d, &shown);
    snprintf(name, sizeof(name), "grants_of_%s", client ? "a_client" : "another");
    /* Of a client its rings are there in any case. */
    verdict(client ? copied[1] && mapped[1] && shown && !secrets
                   : !(copied[0] + copied[1] + mapped[0] + mapped[1] + shown),
            name,
            "d%u, of %u entries copied from %u, into %u, mapped to read %u, to write %u, by gntdev %u; secret in %u",
            d, refs, copied[0], copied[1], mapped[0], mapped[1], shown, secrets);
}

/* Frames of others without a grant, and their tables. */
static void frames_of(domid_t d)
{
    static const unsigned reserve[] = { XENMEM_increase_reservation, XENMEM_decrease_reservation,
                                        XENMEM_populate_physmap };
    uint64_t gfn = 0x200;
    int err = -1;
    unsigned got = 0;

    void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, privcmd, 0);
    if (p != MAP_FAILED) {
        xen_pfn_t pfn = gfn;
        privcmd_mmapbatch_v2_t b = {
            .num = 1, .dom = d, .addr = (uintptr_t)p, .arr = &pfn, .err = &err
        };
        got += !ioctl(privcmd, IOCTL_PRIVCMD_MMAPBATCH_V2, &b) && !err;
        munmap(p, PAGE);
    }
    for (unsigned by_ref = 0; by_ref < 2; by_ref++) {
        struct gnttab_copy c = { .len = 8 };
        c.source.domid = by_ref ? DOMID_SELF : d;
        c.dest.domid = by_ref ? d : DOMID_SELF;
        c.source.u.gmfn = by_ref ? frame_of(page) : gfn;
        c.dest.u.gmfn = by_ref ? gfn : frame_of(page);
        got += !hc(__HYPERVISOR_grant_table_op, GNTTABOP_copy, &c, 1) && c.status == GNTST_okay;
    }
    for (unsigned i = 0; i < sizeof(reserve) / sizeof(*reserve); i++) {
        struct xen_memory_reservation r = { .nr_extents = 1, .domid = d };
        set_xen_guest_handle(r.extent_start, &gfn);
        got += hc(__HYPERVISOR_memory_op, reserve[i], &r, 0) > 0;
    }
    struct xen_add_to_physmap into = { .domid = d,
                                       .space = XENMAPSPACE_shared_info,
                                       .gpfn = HOLE / PAGE };
    got += hc(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &into, 0) >= 0;
    struct xen_remove_from_physmap off = { .domid = d, .gpfn = gfn };
    got += hc(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, &off, 0) >= 0;
    struct xen_add_to_physmap_batch from = {
        .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = 1, .u.foreign_domid = d
    };
    xen_ulong_t idx = gfn;
    xen_pfn_t to = HOLE / PAGE;
    set_xen_guest_handle(from.idxs, &idx);
    set_xen_guest_handle(from.gpfns, &to);
    set_xen_guest_handle(from.errs, &err);
    err = -1;
    got += !hc(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, &from, 0) && !err;
    domid_t who = d;
    got += hc(__HYPERVISOR_memory_op, XENMEM_maximum_gpfn, &who, 0) >= 0;
    struct gnttab_query_size q = { .dom = d };
    got += !hc(__HYPERVISOR_grant_table_op, GNTTABOP_query_size, &q, 1) && !q.status;
    struct gnttab_setup_table s = { .dom = d, .nr_frames = 1 };
    set_xen_guest_handle(s.frame_list, &to);
    got += !hc(__HYPERVISOR_grant_table_op, GNTTABOP_setup_table, &s, 1) && !s.status;
    for (unsigned i = 0; i < 40; i++) {
        struct xen_hvm_param h = { .domid = d, .index = i };
        got += hc(__HYPERVISOR_hvm_op, HVMOP_get_param, &h, 0) >= 0;
        got += hc(__HYPERVISOR_hvm_op, HVMOP_set_param, &h, 0) >= 0;
    }
    struct sched_remote_shutdown end = { .domain_id = d, .reason = SHUTDOWN_crash };
    got += hc(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, &end, 0) >= 0;
    if (got)
        verdict(false, "frames_of_another", "d%u: %u operations went", d, got);
}

/* --- event channels --------------------------------------------------------------------------- */
static long event(unsigned op, void *arg) { return hc(__HYPERVISOR_event_channel_op, op, arg, 0); }

static long binds(domid_t d, uint32_t port)
{
    struct evtchn_bind_interdomain b = { .remote_dom = d, .remote_port = port };
    long rc = event(EVTCHNOP_bind_interdomain, &b);

    if (rc)
        return rc;
    struct evtchn_close c = { .port = b.local_port };
    must(!event(EVTCHNOP_close, &c), "close");
    return 0;
}

static void ports_of(domid_t d)
{
    unsigned bound = 0, others = 0;

    for (uint32_t port = 0; port < refs / 8; port++)
        bound += !binds(d, port);
    for (uint32_t port = 1; port < 64; port++) {
        struct ioctl_evtchn_bind_interdomain b = { .remote_domain = d, .remote_port = port };
        bound += ioctl(evtchn, IOCTL_EVTCHN_BIND_INTERDOMAIN, &b) >= 0;
    }
    struct evtchn_alloc_unbound a = { .dom = d, .remote_dom = self };
    others += !event(EVTCHNOP_alloc_unbound, &a);
    struct evtchn_status s = { .dom = d, .port = 1 };
    others += !event(EVTCHNOP_status, &s);
    struct evtchn_reset r = { .dom = d };
    others += !event(EVTCHNOP_reset, &r);
    if (bound + others)
        verdict(false, "ports_of_another", "d%u: %u of %u bound, %u other operations", d, bound,
                refs / 8, others);
}

static void events(void)
{
    static const uint32_t global[] = { VIRQ_CONSOLE, VIRQ_DOM_EXC, VIRQ_CON_RING, VIRQ_PCPU_STATE,
                                       VIRQ_ENOMEM };
    struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    unsigned went = 0;

    long rc = event(EVTCHNOP_alloc_unbound, &a);
    rc = rc ? rc : binds(DOMID_SELF, a.port);
    struct evtchn_close c = { .port = a.port };
    event(EVTCHNOP_close, &c);
    verdict(!rc, "own_port", "offered to itself, bound: %ld",
            rc); /* what the refusals below are worth */
    for (unsigned i = 0; i < sizeof(global) / sizeof(*global); i++) {
        struct evtchn_bind_virq v = { .virq = global[i] };
        went += !event(EVTCHNOP_bind_virq, &v);
    }
    verdict(!went, "global_virqs", "%u", went);
}

/* --- what only control may ask --------------------------------------------------------------------- */
/* Without its kernel: by an instruction of a program. */
static void by_itself(void)
{
    long rc = __HYPERVISOR_xen_version;

    __asm__ volatile("vmmcall" : "+a"(rc) : "D"(0), "S"(0), "d"(0) : "memory");
    verdict(rc == -EPERM, "hypercall_of_a_program", "%ld", rc);
}

static void control(void)
{
    static const unsigned none[] = { __HYPERVISOR_platform_op,   __HYPERVISOR_sysctl,
                                     __HYPERVISOR_domctl,        __HYPERVISOR_mmuext_op,
                                     __HYPERVISOR_mmu_update,    __HYPERVISOR_kexec_op,
                                     __HYPERVISOR_set_trap_table };
    static const unsigned calls[] = { BH_HYPERCALL_CONTROL, BH_HYPERCALL_SERVICE };
    unsigned other = 0, tried = 0;

    for (unsigned i = 0; i < 2; i++)
        for (unsigned op = 0; op < (i ? BH_NR_SVC_OPS : BH_NR_CTL_OPS); op++)
            for (unsigned arg = 0; arg < 3; arg++, tried++) {
                for (unsigned k = 0; k < PAGE / 2;
                     k++) /* nothing, zeroes, the same small number everywhere: a domid, a count */
                    ((uint16_t *)page)[k] = arg == 2 && nr_clients ? clients[0] : 0;
                other += hc(calls[i], op, arg ? page : NULL, 0) != -EPERM;
            }
    verdict(!other, "control_operations", "%u of %u not refused for want of a right", other, tried);
    other = 0;
    for (unsigned i = 0; i < sizeof(none) / sizeof(*none); i++) {
        memset(page, 0, sizeof(page));
        other += hc(none[i], 1, page, 1) >= 0;
    }
    other += hc(__HYPERVISOR_console_io, CONSOLEIO_read, (void *)(uintptr_t)sizeof(page),
                (uintptr_t)page) >= 0;
    verdict(!other, "xens_control_operations", "%u went", other);
}

/* --- the store ---------------------------------------------------------------------------------------------- */
struct answer {
    char text[XENSTORE_PAYLOAD_MAX + 1];
    size_t n;
};

static void get(int fd, void *to, size_t n)
{
    for (size_t got = 0; got < n;) {
        ssize_t rc = read(fd, (char *)to + got, n - got);
        must(rc > 0, "xenbus");
        got += (size_t)rc;
    }
}

/* 0: done; -1: refused, its text says why. Events that come meanwhile are let go. */
static int ask(uint32_t type, uint32_t tx, const void *arg, size_t n, struct answer *a)
{
    struct {
        struct xsd_sockmsg h;
        char text[XENSTORE_PAYLOAD_MAX];
    } r = { .h = { .type = type, .tx_id = tx, .len = (uint32_t)n } };

    memcpy(r.text, arg, n);
    must(write(xenbus, &r, sizeof(r.h) + n) == (ssize_t)(sizeof(r.h) + n), "xenbus");
    do {
        get(xenbus, &r.h, sizeof(r.h));
        get(xenbus, a->text, r.h.len);
        a->n = r.h.len;
        a->text[a->n] = '\0';
    } while (r.h.type == XS_WATCH_EVENT);
    return r.h.type == XS_ERROR ? -1 : 0;
}

static int ask_path(uint32_t type, uint32_t tx, const char *path, const char *value, size_t value_n,
                    struct answer *a)
{
    char text[XENSTORE_PAYLOAD_MAX];
    size_t n = strlen(path) + 1;

    memcpy(text, path, n);
    memcpy(text + n, value, value_n);
    return ask(type, tx, text, n + value_n, a);
}

static char home[64];

static bool is_own(const char *path)
{
    size_t n = strlen(home);

    return !strncmp(path, home, n) && (!path[n] || path[n] == '/');
}

/* Of its clients it reads the front-ends' directories of what it serves, nothing else; names of what is above these. */
static bool may_read(const char *path)
{
    char front[64];

    for (unsigned i = 0; i < nr_clients; i++) {
        int n = snprintf(front, sizeof(front), "/local/domain/%u/device/", clients[i]);
        if (!strncmp(path, front, (size_t)n) && strchr(path + n, '/'))
            return true;
    }
    return is_own(path);
}

static unsigned nodes, written;

static void tries_to_write(const char *path, uint32_t tx)
{
    char new[XENSTORE_ABS_PATH_MAX + 8];
    struct answer old, a;

    if (ask_path(XS_READ, 0, path, "", 0,
                 &old)) /* what it reads it writes again: were it let, no harm is done */
        old.n = 1, old.text[0] = '1';
    snprintf(new, sizeof(new), "%s/taken", strcmp(path, "/") ? path : "");
    unsigned went = !ask_path(XS_WRITE, tx, path, old.text, old.n, &a);
    went += !ask_path(XS_WRITE, tx, new, "1", 1, &a);
    went += !ask_path(XS_MKDIR, tx, new, "", 0, &a);
    went += !ask_path(XS_SET_PERMS, tx, path, "b0", 3, &a);
    went += !ask_path(XS_RM, tx, new, "", 0, &a) && went;
    if (went)
        printf("  it wrote %s%s\n", path, tx ? ", in a transaction" : "");
    written += went;
}

static unsigned told; /* nodes of others that it read */

static void walks(const char *path, unsigned depth)
{
    struct answer *list = malloc(sizeof(*list)), a;
    char below[XENSTORE_ABS_PATH_MAX];

    nodes++;
    if (!may_read(path) && !ask_path(XS_READ, 0, path, "", 0, &a) && a.n) {
        printf("  it read %s: \"%.40s\"\n", path, a.text);
        told++;
    }
    if (!is_own(path))
        tries_to_write(path, 0);
    if (depth < 12 && !ask_path(XS_DIRECTORY, 0, path, "", 0, list))
        for (size_t at = 0; at < list->n; at += strlen(list->text + at) + 1)
            if (snprintf(below, sizeof(below), "%s/%s", strcmp(path, "/") ? path : "",
                         list->text + at) < (int)sizeof(below))
                walks(below, depth + 1);
    free(list);
}

/* What nobody told it of: the paths that everybody has. */
static void walks_guessed(void)
{
    static const char *const of[] = { "",
                                      "/name",
                                      "/domid",
                                      "/vm",
                                      "/memory/target",
                                      "/console",
                                      "/console/port",
                                      "/store/port",
                                      "/control",
                                      "/control/shutdown",
                                      "/cpu",
                                      "/data",
                                      "/data/secret",
                                      "/device",
                                      "/device/vif",
                                      "/device/vif/0",
                                      "/device/vif/0/state",
                                      "/device/vif/0/mac",
                                      "/device/vbd",
                                      "/device/vbd/51712",
                                      "/device/vbd/51712/state",
                                      "/backend",
                                      "/backend/vif",
                                      "/backend/vbd",
                                      "/backend/pci" };
    char path[XENSTORE_ABS_PATH_MAX];

    for (unsigned d = 0; d <= most; d++)
        for (unsigned i = 0; d != self && i < sizeof(of) / sizeof(*of); i++) {
            snprintf(path, sizeof(path), "/local/domain/%u%s", d, of[i]);
            walks(path, 12);
        }
    for (unsigned d = 0; d <= most; d++)
        for (unsigned back = 0; back <= most; back++) {
            snprintf(path, sizeof(path), "/local/domain/%u/backend/%s/%u", back,
                     d & 1 ? "vif" : "vbd", d);
            if (back != self)
                tries_to_write(path, 0);
        }
}

static void store(void)
{
    static const struct {
        uint32_t type;
        const char *name, *text;
        size_t n;
    } control_only[] = {
        { XS_CONTROL, "control", "print\0x", 8 },
        { XS_INTRODUCE, "introduce",
          "99\0"
          "1\0"
          "1",
          7 },
        { XS_RELEASE, "release", "0", 2 },
        { XS_RESUME, "resume", "0", 2 },
        { XS_SET_TARGET, "set_target",
          "0\0"
          "0",
          4 },
    };
    struct answer a;
    unsigned went = 0, open = 0;
    uint32_t tx = 0;

    walks("/", 0);
    walks_guessed();
    verdict(!told, "store_read", "%u nodes tried, %u of others' told", nodes, told);
    verdict(!written, "store_written", "%u", written);
    for (unsigned i = 0; i < sizeof(control_only) / sizeof(*control_only); i++)
        if (!ask(control_only[i].type, 0, control_only[i].text, control_only[i].n, &a)) {
            printf("  %s went\n", control_only[i].name);
            went++;
        }
    verdict(!went, "store_control", "%u", went);
    written = 0;
    while (open < 64 &&
           !ask(XS_TRANSACTION_START, 0, "", 1, &a)) { /* left open: the kernel ends them with us */
        tx = (uint32_t)strtoul(a.text, NULL, 10);
        open++;
    }
    for (unsigned d = 0; d <= most; d++) {
        char path[64];
        snprintf(path, sizeof(path), "/local/domain/%u/device/vif/0/state", d);
        if (d != self)
            tries_to_write(path, tx);
    }
    bool ended = open && !ask(XS_TRANSACTION_END, tx, "T", 2, &a);
    verdict(ended && !written && open < 64, "store_transactions", "%u open, %u written, the end %s",
            open, written, ended ? "went" : a.text);
}

__attribute__((noreturn)) static void watches(void)
{
    static const char *const of[] = {
        "@introduceDomain", "@releaseDomain", "/", "/local", "/local/domain", "/vm", "/tool",
        "/local/domain/0",  "/local/domain/1"
    };
    char path[64];
    struct answer a;

    for (unsigned i = 0; i < sizeof(of) / sizeof(*of); i++)
        printf("watch %s: %s\n", of[i],
               ask_path(XS_WATCH, 0, of[i], "all", 4, &a) ? a.text : "taken");
    for (unsigned i = 0; i < nr_clients; i++)
        for (unsigned deep = 0; deep < 2; deep++) {
            snprintf(path, sizeof(path), "/local/domain/%u%s", clients[i], deep ? "/data" : "");
            printf("watch %s: %s\n", path,
                   ask_path(XS_WATCH, 0, path, "all", 4, &a) ? a.text : "taken");
        }
    printf("watching\n");
    fflush(stdout);
    for (;;) {
        struct xsd_sockmsg h;
        get(xenbus, &h, sizeof(h));
        get(xenbus, a.text, h.len);
        a.text[h.len] = '\0';
        printf("fired %s\n", a.text);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    struct answer a;

    bool watch = argc >= 3 && !strcmp(argv[1], "watches");
    if (!watch && (argc < 4 || strcmp(argv[1], "tries")))
        return 2;
    for (int i = watch ? 2 : 4; i < argc && nr_clients < 16; i++)
        clients[nr_clients++] = (domid_t)atoi(argv[i]);
    must((xenbus = open("/dev/xen/xenbus", O_RDWR)) >= 0, "/dev/xen/xenbus");
    must(!ask(XS_READ, 0, "domid", 6, &a), "domid");
    self = (domid_t)atoi(a.text);
    snprintf(home, sizeof(home), "/local/domain/%u", self);
    if (watch)
        watches();
    refs = (unsigned)atoi(argv[2]);
    most = (unsigned)atoi(argv[3]);
    if (!refs || refs > REFS || refs % BATCH)
        return 2;
    must((privcmd = open("/dev/xen/privcmd", O_RDWR)) >= 0, "/dev/xen/privcmd");
    must((gntdev = open("/dev/xen/gntdev", O_RDWR)) >= 0, "/dev/xen/gntdev");
    must((evtchn = open("/dev/xen/evtchn", O_RDWR)) >= 0, "/dev/xen/evtchn");
    must(!mlockall(MCL_CURRENT | MCL_FUTURE), "mlockall");
    memset(page, 1, sizeof(page)); /* it is there */
    events();
    by_itself();
    control();
    for (unsigned d = 0; d <= most; d++)
        if (d != self) {
            grants_of((domid_t)d);
            frames_of((domid_t)d);
            ports_of((domid_t)d);
        }
    store();
    printf("taken: %u ok, %u not ok\n", passed, failed);
    return failed != 0;
}
