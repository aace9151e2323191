/* SPDX-License-Identifier: MIT */
/*
 * What every small domain links (libbh.a). A service domain is single-threaded, has one vCPU, identity-mapped memory (a
 * pointer is a guest-physical address) and takes no interrupts at all: it waits with BH_SVC_WAIT and looks at its pending
 * bits. Exceptions run on a stack of their own, print a report and end in SHUTDOWN_crash.
 *
 *     int main(void)                      // called once memory, console and events work
 *     {
 *         event_bind_...(..., fn, arg);
 *         for (;;) event_wait(0);         // dispatches handlers and timers, then blocks
 *     }
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <bulkhead.h>
#include <common/trap.h>

#define PAGE_SIZE  4096ul
#define PAGE_SHIFT 12
#define NS_PER_MS  1000000ul
#define NS_PER_S   1000000000ul
#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#endif
#define barrier()        __asm__ volatile("" ::: "memory")
#define mb()             __asm__ volatile("mfence" ::: "memory")
#define rmb()            barrier() /* x86: loads and stores are ordered among themselves */
#define wmb()            barrier()
#define xen_mb()         mb()
#define xen_rmb()        rmb()
#define xen_wmb()        wmb()
#define READ_ONCE(x)     (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

/* --- self: from the start info's command line -------------------------------------------------------- */
struct bh_self {
    domid_t domid;
    char name[BH_NAME_LEN];
    uint64_t ram_bytes;
    uint8_t *keep;     /* keep pages (identity-mapped), NULL if none */
    unsigned nr_keep;  /* pages */
    const void *table; /* slot table (slot_table.h), read-only; NULL if none */
    unsigned nr_table; /* pages */
    uint64_t instance; /* 0: first life */
    char cmdline[1024];
    bool guest; /* plain guest: no BH_HYPERCALL_SERVICE (events then wait by SCHEDOP_poll) */
    const void *module; /* first module of the start info, or NULL */
    uint64_t module_len;
};
extern struct bh_self self;
extern struct shared_info *shared_info;
/* Value of `key=` in the command line copied to buf; false if absent. A bare word counts as "". */
bool cmdline_get(const char *key, char *buf, size_t n);

/* --- hypercalls: 0, a count or a negative errno ------------------------------------------------------- */
long hypercall(unsigned nr, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4);
static inline long bh_control(unsigned op, void *arg)
{
    return hypercall(BH_HYPERCALL_CONTROL, op, (uint64_t)arg, 0, 0);
}
/* Of each operation in <ops.def> one: bh_ctl_create(struct bh_create *a), bh_svc_batch(const struct bh_batch *a), bh_svc_served(void). */
#define BH_PARAM_NONE(type)         void
#define BH_PARAM_IN(type)           const type *a
#define BH_PARAM_OUT(type)          type *a
#define BH_PARAM_INOUT(type)        type *a
#define BH_PARAM_INOUT_ALWAYS(type) type *a
#define BH_ARG_NONE                 0
#define BH_ARG_IN                   (uint64_t) a
#define BH_ARG_OUT                  (uint64_t) a
#define BH_ARG_INOUT                (uint64_t) a
#define BH_ARG_INOUT_ALWAYS         (uint64_t) a
#define CONTROL_OP(nr, NAME, name, type, dir, ...)                      \
    static inline long bh_ctl_##name(BH_PARAM_##dir(type))              \
    {                                                                   \
        return hypercall(BH_HYPERCALL_CONTROL, nr, BH_ARG_##dir, 0, 0); \
    }
#define SERVICE_OP(nr, NAME, name, type, dir, ...)                      \
    static inline long bh_svc_##name(BH_PARAM_##dir(type))              \
    {                                                                   \
        return hypercall(BH_HYPERCALL_SERVICE, nr, BH_ARG_##dir, 0, 0); \
    }
#include <ops.def>
void domain_exit(unsigned reason) __attribute__((noreturn)); /* SHUTDOWN_* */
void bh_served(void); /* BH_SVC_SERVED, once in a life: somebody's request was answered, no matter how often this is called */
void bh_panic(const char *fmt, ...)
    __attribute__((noreturn, format(printf, 1, 2))); /* report, then crash */

/* --- exceptions: for test programs; libbh itself reports and crashes -------------------------------------- */
/* True: the registers were put right (rip moved on), continue. */
extern bool (*exception_hook)(struct trap_frame *r);

/* --- events ---------------------------------------------------------------------------------------------- */
typedef void (*event_fn)(uint32_t port, void *arg);
int event_alloc_unbound(domid_t remote, event_fn fn, void *arg); /* port or -errno; unmasked */
int event_bind_interdomain(domid_t remote, uint32_t remote_port, event_fn fn, void *arg);
int event_bind_virq(unsigned virq, event_fn fn, void *arg);
int event_bind_pirq(uint32_t pirq, event_fn fn, void *arg);
int event_adopt(uint32_t port, event_fn fn, void *arg); /* a port that is bound already (slot ports) */
void event_close(uint32_t port);
int event_send(uint32_t port);
unsigned event_poll(void); /* dispatches what is pending (bit cleared before the handler); returns how many */
bool event_unheard(void);               /* something is pending, it may be for nobody */
unsigned event_poll_but(uint32_t port); /* the same, but this one's event stays */
/* One turn of the main loop: due timers, event_poll; if nothing was done, blocks until an event, the next timer, or
 * until_ns (0: no bound). Returns how many handlers ran. */
unsigned event_wait(uint64_t until_ns);
#define TIME_PAST 1u /* as until_ns: does not block */
static inline unsigned event_turn(void) { return event_wait(TIME_PAST); }

/* --- fibers ---------------------------------------------------------------------------------------------- */
struct fiber {
    uint64_t rsp;
};
/* run gets `size` bytes at `stack` (both multiples of 16) when it is switched to first; it never returns. */
void fiber_make(struct fiber *f, void *stack, size_t size, void (*run)(void));
/* Goes on with `to`; returns when somebody switches to `from`, in which this is called. */
void fiber_switch(struct fiber *from, const struct fiber *to);

/* --- time ------------------------------------------------------------------------------------------------ */
uint64_t now_ns(void);       /* system time (pvclock), same base in all domains */
uint64_t wallclock_ns(void); /* since the epoch */
struct dtimer {
    struct dtimer *next;
    uint64_t when;
    void (*fn)(struct dtimer *t);
    bool armed;
};
void dtimer_set(struct dtimer *t, uint64_t when_ns);
void dtimer_cancel(struct dtimer *t);
int deadline_feed(uint64_t ms); /* BH_SVC_DEADLINE; 0 = off */

uint64_t hw_random(void); /* of the CPU; 0 where it has none, or none now */

/* --- memory ----------------------------------------------------------------------------------------------- */
void *page_alloc(unsigned n); /* n contiguous zeroed pages or NULL */
void *page_take(unsigned n);  /* the same, with whatever was in them */
void page_free(void *p, unsigned n);
uint64_t page_avail(void); /* free pages */
/* Called when page_alloc (and so malloc) finds nothing, if it is set: gives back some of what can be done without. False: there is no more. It
 * allocates nothing. */
extern bool (*page_shortage)(void);
/* Of big static data that begins as zeroes: it may lie beyond the 4 MiB of an image (domain.lds). */
#define BIG_DATA __attribute__((section(".bss..big")))
/* A page of the image (static, aligned) that nothing may touch from now on: what lies above it may be a stack. */
void page_guard(const void *page);
static inline uint64_t virt_to_gfn(const void *p) { return (uint64_t)p >> PAGE_SHIFT; }
/* Unbacked gfns above RAM for grant mappings: n contiguous pages of address space. */
void *window_alloc(unsigned n);
void window_free(void *p, unsigned n);
/* Makes [gpa, gpa+len) (a BAR) addressable, uncached. */
volatile void *mmio_map(uint64_t gpa, uint64_t len);
/* malloc, calloc, realloc, free, string.h, snprintf, strtoul, qsort: domains/libc (own headers <stdlib.h> <string.h> <stdio.h>) */

/* --- grants ------------------------------------------------------------------------------------------------ */
#define GRANT_RO 1u
/* Maps n grants of dom contiguously into the window; on failure nothing stays mapped and NULL is returned. */
struct grant_map {
    void *va;
    unsigned n;
    uint32_t handle[16];
};
int grant_map(struct grant_map *m, domid_t dom, const uint32_t *refs, unsigned n, unsigned flags);
int grant_unmap(struct grant_map *m);
int grant_give(domid_t to, const void *page, unsigned flags); /* ref or -errno */
int grant_end(uint32_t ref); /* -EBUSY while the peer has it mapped */

/* Batch: copies and sends collected and done in one exit. */
struct batch {
    struct gnttab_copy copy[BH_BATCH_COPIES];
    uint32_t send[BH_BATCH_SENDS];
    unsigned nr_copies, nr_sends;
};
/* From a foreign grant to own memory, and back. Returns the index of the copy, or -1 when full (flush first). */
int batch_copy_from(struct batch *b, domid_t dom, uint32_t ref, unsigned off, void *dst,
                    unsigned len);
int batch_copy_to(struct batch *b, domid_t dom, uint32_t ref, unsigned off, const void *src,
                  unsigned len);
void batch_send(struct batch *b,
                uint32_t port); /* duplicates are folded; flushes itself when full of sends */
/* Does it all; copy[i].status tell. Counts are zeroed afterwards, the copy array is left for reading. */
int batch_flush(struct batch *b);
/* What sends are left in b, without copies, go with the next event_wait, in its one exit. */
void batch_left_to_wait(struct batch *b);

/* --- xenstore client -------------------------------------------------------------------------------------- */
/* Blocking calls wait for the reply while serving nothing but the store's port and, each turn, xs_idle (if set). They give up
 * with -EIO when the connection breaks and -ETIME after 5 s. Strings are NUL-terminated; returned ones are malloc'ed. */
extern void (*xs_idle)(void);
/* For an xs_idle whose handlers make no xs_* call: their events. One that comes after them ends the turn, and xs_idle is called again. */
unsigned xs_idle_events(void);
/* For an xs_idle that has more to do, but lets the store's answer be seen first. */
void xs_idle_soon(void);
/* If set, how a blocking call waits instead: somebody else has the CPU until the store's event or another came, or until then. */
extern void (*xs_pause)(uint64_t until_ns);
int xs_init(void); /* start-up calls it when the start info has a store ring */
char *xs_read(uint32_t tx, const char *path); /* NULL: no such node (errno in xs_error) */
int xs_read_uint(uint32_t tx, const char *path, uint64_t *v);
int xs_write(uint32_t tx, const char *path, const char *val);
int xs_printf(uint32_t tx, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int xs_mkdir(uint32_t tx, const char *path);
int xs_rm(uint32_t tx, const char *path);
char **xs_ls(uint32_t tx, const char *path, unsigned *n); /* one malloc'ed block */
int xs_set_perms(uint32_t tx, const char *path,
                 const char *perms); /* "b0 r3" style words: n0, r3, ... separated by spaces */
int xs_tx_start(uint32_t *tx);
int xs_tx_end(uint32_t tx, bool commit); /* -EAGAIN: do it again */
typedef void (*watch_fn)(const char *path, void *arg);
int xs_watch(const char *path, watch_fn fn,
             void *arg); /* fires once at once; called from event_wait, never inside xs_* calls */
int xs_unwatch(const char *path, watch_fn fn, void *arg);
/* Whether it is about to be called. The store sends events before later answers: if not, nothing that it watches had changed, since it
 * was last called, when the last answer was given. */
bool xs_watch_waits(const char *path, watch_fn fn, void *arg);
int xs_raw(uint32_t type, uint32_t tx, const void *payload, uint32_t len, char **reply,
           uint32_t *reply_len); /* INTRODUCE, ... */
/* The same for whom nobody waits: done(rc, arg) is called from event_wait, rc 0 or -errno; -EIO where the connection breaks. -EAGAIN: not now, ask
 * again; done is not called then. */
typedef void (*xs_done)(int rc, void *arg);
int xs_post(uint32_t type, const void *payload, uint32_t len, xs_done done, void *arg);
extern int xs_error;
/* For the control domain, which has no ring in its start info: talks to the store over `page` (own memory, zeroed) and `port`
 * (own, bound or unbound). */
int xs_attach(void *page, uint32_t port);
/* The port of the ring that the start info named (grant 1); negative: there is none. */
int xs_slot_port(void);
/* Its ring is a former instance's: the store is asked to begin anew with it, and nobody reads or writes there before it did. */
void xs_reconnect(void);
unsigned xs_breaks(void); /* how often the connection broke: another one knows nothing of what the one before it had */

/* --- console ------------------------------------------------------------------------------------------------ */
int printf(const char *fmt, ...)
    __attribute__((format(printf, 1, 2))); /* console ring; never blocks: drops and counts */
void console_write(const char *s, size_t n); /* the same way; \n becomes \r\n by the reader, not here */
size_t console_read(char *buf, size_t n); /* what has come in on the ring; 0: nothing */
size_t console_room(void);                /* bytes that a write would take now; ~0 without a ring */
