/* SPDX-License-Identifier: MIT */
/* On top of libbh's blocking calls to the store; an error stays in the transaction until its end. */
#include "store/nodes.h"
#include <errno.h>
#include <stdarg.h>

#define PATH_MAX 160

static void vnode(struct txn *t, const char *val, const char *perms, const char *fmt, va_list ap)
{
    char path[PATH_MAX];

    if (t->rc)
        return;
    vsnprintf(path, sizeof(path), fmt, ap);
    t->rc = val ? xs_write(t->tx, path, val) : xs_mkdir(t->tx, path);
    if (!t->rc && perms)
        t->rc = xs_set_perms(t->tx, path, perms);
}

void node(struct txn *t, const char *val, const char *perms, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vnode(t, val, perms, fmt, ap);
    va_end(ap);
}

void node_num(struct txn *t, uint64_t v, const char *fmt, ...)
{
    char text[24];
    va_list ap;

    snprintf(text, sizeof(text), "%lu", v);
    va_start(ap, fmt);
    vnode(t, text, NULL, fmt, ap);
    va_end(ap);
}

void no_node(struct txn *t, const char *fmt, ...)
{
    char path[PATH_MAX];
    va_list ap;

    if (t->rc)
        return;
    va_start(ap, fmt);
    vsnprintf(path, sizeof(path), fmt, ap);
    va_end(ap);
    t->rc = xs_rm(t->tx, path);
    if (t->rc == -ENOENT)
        t->rc = 0;
}

int commit(struct dom *d, void (*fill)(struct txn *t, struct dom *d, void *arg), void *arg,
           struct errbuf *e)
{
    struct txn t = { .rc = -EAGAIN };

    for (unsigned tries = 0; t.rc == -EAGAIN && tries < 20; tries++) {
        t.rc = xs_tx_start(&t.tx);
        if (t.rc)
            break;
        fill(&t, d, arg);
        int rc = xs_tx_end(t.tx, !t.rc);
        t.rc = t.rc ? t.rc : rc;
    }
    return t.rc ? fail(e, t.rc, "%s: store: %s", d->cfg.name, errno_text(t.rc)) : 0;
}
