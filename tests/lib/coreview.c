/* SPDX-License-Identifier: MIT */
/*
 * What the core has in use, read from outside: coreview RAM SYMBOL=ADDRESS... (tests/lib/coreview.py). RAM is a file that is the machine's
 * memory from address 0 on. The core need not count what nobody but a test asks for; its own headers say where to look.
 *
 * It looks while everything runs, so a single look may be wrong: status 1 if that is seen. Lines:
 *   machine free N core N promised N                           frames
 *   domain ID state N ram N core N ports N handles N pins N      frames of its own and of the core for it, ports that are in use, mappings that
 *                                                              it made, mappings and copies of its grants
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "domain/struct.h"

#define MOST_DOMAINS 256u

static const char *ram;
static uint64_t size;
static char **symbols;

static void astray(const char *what)
{
    fprintf(stderr, "coreview: %s\n", what);
    exit(1);
}

/* What a pointer of the core's is at. */
static const void *at(uint64_t p, uint64_t len)
{
    uint64_t maddr = virt_to_maddr((const void *)p).v;

    if (maddr >= size || len > size - maddr)
        astray("a pointer leads nowhere");
    return ram + maddr;
}

static uint64_t symbol(const char *name)
{
    size_t n = strlen(name);

    for (char **s = symbols; *s; s++)
        if (!strncmp(*s, name, n) && (*s)[n] == '=')
            return strtoull(*s + n + 1, NULL, 16);
    astray(name);
    return 0;
}

static uint64_t word(const char *name) { return *(const uint64_t *)at(symbol(name), 8); }

static unsigned ports(const struct evtchn_table *t)
{
    unsigned n = 0;

    for (unsigned b = 0; b < ARRAY_SIZE(t->bucket); b++) {
        if (!t->bucket[b])
            continue;
        const struct evtchn *c = at((uint64_t)t->bucket[b], EVTCHN_PER_BUCKET * sizeof(*c));
        for (unsigned i = !b; i < EVTCHN_PER_BUCKET; i++)
            n += c[i].state != ECS_FREE;
    }
    return n;
}

static unsigned handles(const struct grant_table *g)
{
    unsigned n = 0;

    if (g->nr_maptrack > MAPTRACK_PAGES * MAPTRACK_PER_PAGE)
        astray("too many handles");
    for (unsigned i = 0; i < g->nr_maptrack; i += MAPTRACK_PER_PAGE) {
        const uint64_t *page = at((uint64_t)g->maptrack, MAPTRACK_PAGES * sizeof(*page));
        const struct maptrack *m = at(page[i / MAPTRACK_PER_PAGE], PAGE_SIZE);
        for (unsigned k = 0; k < MAPTRACK_PER_PAGE; k++)
            n += (m[k].flags & MT_USED) != 0;
    }
    return n;
}

static uint64_t pins(const struct grant_table *g)
{
    uint64_t n = 0;

    if (!g->active)
        return 0;
    const uint64_t *page = at((uint64_t)g->active, ACTIVE_PAGES * sizeof(*page));
    for (unsigned i = 0; i < ACTIVE_PAGES; i++) {
        if (!page[i])
            continue;
        const struct grant_active *a = at(page[i], ACTIVE_PER_PAGE * sizeof(*a));
        for (unsigned k = 0; k < ACTIVE_PER_PAGE; k++)
            n += a[k].pins_ro + a[k].pins_rw;
    }
    return n;
}

int main(int argc, char **argv)
{
    struct stat st;
    int fd = argc > 1 ? open(argv[1], O_RDONLY) : -1;

    if (fd < 0 || fstat(fd, &st))
        astray("no RAM");
    size = (uint64_t)st.st_size;
    ram = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (ram == MAP_FAILED)
        astray("RAM cannot be mapped");
    symbols = argv + 2;
    const uint64_t *heap = at(symbol("heap_frames"), 16);
    printf("machine free %lu core %lu promised %lu\n",
           heap[0] + heap[1] + word("scrubbing") - word("promised"), word("core_frames"),
           word("promised"));
    unsigned left = MOST_DOMAINS;
    for (uint64_t p = word("domains"); p;) {
        const struct domain *d = at(p, sizeof(*d));
        if (!left--)
            astray("the list of domains has no end");
        printf("domain %u state %u ram %lu core %lu ports %u handles %u pins %lu\n", d->id,
               d->state, d->tot_pages, d->allowance_used, ports(&d->evtchn), handles(&d->grant),
               pins(&d->grant));
        p = (uint64_t)d->next;
    }
    return 0;
}
