/* SPDX-License-Identifier: MIT */
/* The ring is memory of this domain, whose grant and port the store finds in its command line: it cannot be told by itself. */
#include "store/connection.h"
#include <errno.h>
#include <string.h>
#include <xen/io/xs_wire.h>

#define CONNECT_WAIT_NS 5000000000ull

bool store_up;
static void *ctl_page;
static int ctl_ref, ctl_port;

int store_prepare(struct dom *store, struct errbuf *e)
{
    ctl_port = xs_slot_port();
    if (ctl_port > 0) { /* the core gave us a ring, as we give one to others */
        snprintf(store->words, sizeof(store->words), "ctl_ref=1 ctl_port=%d ", ctl_port);
        return 0;
    }
    ctl_page = page_alloc(1);
    if (!ctl_page)
        return fail(e, -ENOMEM, "store: out of memory");
    ctl_ref = grant_give(store->id, ctl_page, 0);
    ctl_port = event_alloc_unbound(store->id, NULL, NULL);
    if (ctl_ref < 0 || ctl_port < 0)
        return fail(e, ctl_ref < 0 ? ctl_ref : ctl_port, "store: no ring to it");
    snprintf(store->words, sizeof(store->words), "ctl_ref=%d ctl_port=%d ", ctl_ref, ctl_port);
    return 0;
}

int store_connect(void)
{
    int rc = ctl_page ? xs_attach(ctl_page, (uint32_t)ctl_port) : 0;
    uint64_t end = now_ns() + CONNECT_WAIT_NS;

    /* The first request waits in the ring until the store has bound its end; nothing is lost
     * before. */
    while (!rc && now_ns() < end) {
        rc = xs_mkdir(0, "/local/domain");
        if (!rc)
            break;
        if (rc == -EEXIST)
            rc = 0;
    }
    if (!rc)
        rc = xs_mkdir(0, "/local/domain/0/backend");
    if (!rc)
        rc = xs_printf(0, "/local/domain/0/name", "control");
    store_up = !rc;
    return rc;
}

/* The words of its introduction; how long they are. */
static uint32_t introduction(const struct dom *d, char *msg, size_t size)
{
    int n = snprintf(msg, size, "%u %lu %u%s", d->id, d->store_gfn, d->store_port,
                     d->cfg.role == BH_ROLE_DRIVER ? " driver" : "");

    for (int i = 0; i < n; i++)
        if (msg[i] == ' ')
            msg[i] = '\0';
    return (uint32_t)n + 1;
}

int store_introduce(const struct dom *d)
{
    char msg[64];

    return xs_raw(XS_INTRODUCE, 0, msg, introduction(d, msg, sizeof(msg)), NULL, NULL);
}

int store_introduce_soon(const struct dom *d, xs_done done)
{
    char msg[64];

    return xs_post(XS_INTRODUCE, msg, introduction(d, msg, sizeof(msg)), done,
                   (void *)(uint64_t)d->id);
}

int store_release(const struct dom *d)
{
    char msg[8];
    int n = snprintf(msg, sizeof(msg), "%u", d->id);

    return xs_raw(XS_RELEASE, 0, msg, (uint32_t)n + 1, NULL, NULL);
}
