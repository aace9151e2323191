/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/lib/blame.c drivers-dom/lib/keep_record.c drivers-dom/lib/counters.c
/* backend_world.h. */
#include "backend_world.h"

#define WEAK __attribute__((weak))

struct bh_self self = { .name = "back-end", .domid = 3 };
WEAK int xs_error;
WEAK void (*xs_idle)(void);
uint64_t clock_ns = 1000000000;
unsigned lines;

uint64_t now_ns(void) { return clock_ns += 1000; }
void dtimer_set(struct dtimer *t, uint64_t when)
{
    t->when = when;
    t->armed = true;
}
void dtimer_cancel(struct dtimer *t) { t->armed = false; }
void shared_stored(void) {}
void bh_panic(const char *fmt, ...)
{
    printf("panic: %s\n", fmt);
    _Exit(2);
}
long hypercall(unsigned nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d) { return -ENOSYS; }
bool cmdline_get(const char *key, char *buf, size_t n) { return false; }
WEAK unsigned event_wait(uint64_t until)
{
    clock_ns = until > clock_ns ? until : clock_ns;
    return 0;
}
void *page_alloc(unsigned n)
{
    void *p = aligned_alloc(4096, n * 4096ul);
    return memset(p, 0, n * 4096ul);
}
void page_free(void *p, unsigned n) { free(p); }
uint64_t page_avail(void) { return 1000; }

/* --- the store --------------------------------------------------------------------------------------------------------- */
struct node nodes[256];

struct node *node(const char *path)
{
    for (unsigned i = 0; i < ARRAY_SIZE(nodes); i++)
        if (!strcmp(nodes[i].path, path))
            return &nodes[i];
    return NULL;
}

void node_write(const char *path, const char *val)
{
    struct node *n = node(path);

    if (!n)
        n = node("");
    NEED(n);
    snprintf(n->path, sizeof n->path, "%s", path);
    snprintf(n->val, sizeof n->val, "%s", val);
}
char *node_read(const char *path)
{
    struct node *n = node(path);

    return n ? strdup(n->val) : NULL;
}
void node_rm(const char *path)
{
    struct node *n = node(path);

    if (n)
        memset(n, 0, sizeof *n);
}
/* Who links the real client has no use of these. */
WEAK int xs_write(uint32_t tx, const char *path, const char *val)
{
    node_write(path, val);
    return 0;
}
WEAK char *xs_read(uint32_t tx, const char *path)
{
    xs_error = ENOENT;
    return node_read(path);
}
WEAK int xs_read_uint(uint32_t tx, const char *path, uint64_t *v)
{
    struct node *n = node(path);

    xs_error = ENOENT;
    if (n)
        *v = strtoull(n->val, NULL, 10);
    return n ? 0 : -ENOENT;
}
WEAK int xs_rm(uint32_t tx, const char *path)
{
    node_rm(path);
    return 0;
}
/* One device or none in each directory of a guest: enough here. */
WEAK char **xs_ls(uint32_t tx, const char *path, unsigned *n)
{
    *n = 0;
    xs_error = ENOENT;
    return NULL;
}
WEAK int xs_watch(const char *path, watch_fn fn, void *arg) { return 0; }
WEAK int xs_unwatch(const char *path, watch_fn fn, void *arg) { return 0; }
bool event_waits;
WEAK bool xs_watch_waits(const char *path, watch_fn fn, void *arg) { return event_waits; }
WEAK int xs_printf(uint32_t tx, const char *path, const char *fmt, ...) { return 0; }
struct slot_entry slot_table[SLOT_ENTRIES];

struct slot_entry *slot(enum slot_kind kind, unsigned dom, uint32_t devid)
{
    struct slot_entry *e = slot_table;

    while (e->head)
        e++;
    self.table = slot_table;
    self.nr_table = SLOT_PAGES;
    *e = (struct slot_entry){ .head = slot_head(SLOT_ATTACHED, kind, 1),
                              .domid = (uint16_t)dom,
                              .devid = devid,
                              .flags = kind == SLOT_VIF ? SLOT_F_MAC : 0,
                              .mac = { 0x00, 0x16, 0x3e, 0, 0, (uint8_t)dom } };
    return e;
}

/* --- grants, ports, batches ---------------------------------------------------------------------------------------------- */
_Alignas(4096) uint8_t ring_memory[16][4096];

int grant_map(struct grant_map *m, domid_t dom, const uint32_t *refs, unsigned n, unsigned flags)
{
    memset(m, 0, sizeof *m);
    m->va = ring_memory[refs[0] % 16];
    m->n = n;
    return 0;
}
int grant_unmap(struct grant_map *m)
{
    m->va = NULL;
    return 0;
}
int event_bind_interdomain(domid_t remote, uint32_t port, event_fn fn, void *arg) { return 40; }
void event_close(uint32_t port) {}
int event_send(uint32_t port) { return 0; }

static int copy(struct batch *b)
{
    NEED(b->nr_copies < BH_BATCH_COPIES);
    b->copy[b->nr_copies].status = GNTST_okay;
    return (int)b->nr_copies++;
}
int batch_copy_from(struct batch *b, domid_t dom, uint32_t ref, unsigned off, void *dst, unsigned len)
{
    memset(dst, 0x66, len);
    return copy(b);
}
int batch_copy_to(struct batch *b, domid_t dom, uint32_t ref, unsigned off, const void *src,
                  unsigned len)
{
    return copy(b);
}
void batch_send(struct batch *b, uint32_t port) {}
int batch_flush(struct batch *b)
{
    b->nr_copies = b->nr_sends = 0;
    return 0;
}
