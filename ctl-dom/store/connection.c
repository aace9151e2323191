/* SPDX-License-Identifier: MIT */
/* The ring is our slot page, which the core made as we make those of others; the store finds its grant and port in its command line. */
#include "store/connection.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/xs_wire.h>

#define OWN_NAME "/local/domain/0/name"

bool store_up;
static unsigned told_at =
    STORE_UNTOLD; /* breaks of our connection before it was known to have everybody's nodes */

int store_prepare(struct dom *store, struct errbuf *e)
{
    int port = xs_slot_port();

    if (port < 0)
        return fail(e, port, "store: no ring to it");
    snprintf(store->words, sizeof(store->words), "ctl_ref=1 ctl_port=%d ", port);
    return 0;
}

int store_connect(void)
{
    /* The first request waits in the ring until the store has bound its end; nothing is lost
     * before. */
    int rc = xs_mkdir(0, "/local/domain");

    if (!rc)
        rc = xs_mkdir(0, "/local/domain/0/backend");
    store_up = !rc;
    return rc;
}

int store_empty(void)
{
    char *name = xs_read(0, OWN_NAME);

    free(name);
    return name ? 0 : xs_error == ENOENT ? 1 : -xs_error;
}

bool store_is_told(void) { return store_up && xs_breaks() == told_at; }

void store_told(unsigned breaks) { told_at = breaks; }

int store_whole(void) { return xs_write(0, OWN_NAME, "control"); }

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

bool store_knows(const struct dom *d)
{
    char msg[8], *reply = NULL;
    int n = snprintf(msg, sizeof(msg), "%u", d->id);
    bool yes = !xs_raw(XS_IS_DOMAIN_INTRODUCED, 0, msg, (uint32_t)n + 1, &reply, NULL) &&
               *reply == 'T';

    free(reply);
    return yes;
}

int store_release(domid_t id)
{
    char msg[8];
    int n = snprintf(msg, sizeof(msg), "%u", id);

    return xs_raw(XS_RELEASE, 0, msg, (uint32_t)n + 1, NULL, NULL);
}
