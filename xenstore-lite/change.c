/* SPDX-License-Identifier: MIT */
/* One change of the tree: a record of it that lasts, what that costs, and its becoming an edit. */
#include "xs.h"
#include <string.h>
#include "mem.h"

void changes_free(struct change *c)
{
    while (c) {
        struct change *next = c->next;
        permset_put(c->perms);
        xs_free(c);
        c = next;
    }
}

uint32_t change_cost(const struct change *c)
{
    return (uint32_t)(sizeof *c + strlen(c->path) + c->len + 64);
}

struct change *change_copy(struct heap *h, const struct change *c)
{
    size_t path = strlen(c->path) + 1;
    struct change *n = xs_alloc(h, sizeof *n + path + c->len);
    if (!n)
        return NULL;
    char *p = (char *)(n + 1);
    *n = *c;
    n->next = NULL;
    n->path = memcpy(p, c->path, path);
    n->data = p + path;
    if (c->len)
        memcpy(p + path, c->data, c->len);
    if (c->perms)
        n->perms = permset_get(c->perms);
    return n;
}

int change_owner(const struct conn *c) { return c->privileged ? OWNER_KEEP : c->domid; }

int change_apply(struct edit *e, const struct change *c, int owner)
{
    struct node *n = tree_find(e->root, c->path);
    switch (c->op) {
    case CH_WRITE:
        return n ? edit_set_data(e, c->path, c->data, c->len)
                 : edit_create(e, c->path, c->data, c->len, owner);
    case CH_MKDIR: return n ? XE_OK : edit_create(e, c->path, NULL, 0, owner);
    case CH_RM: return n ? edit_rm(e, c->path) : XE_OK;
    case CH_PERMS: return edit_set_perms(e, c->path, c->perms);
    }
    return XE_EINVAL;
}
