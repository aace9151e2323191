/* SPDX-License-Identifier: MIT */
/* The domain that a command names: by its name, its number or its UUID. */
#include <string.h>
#include <uuid/uuid.h>
#include "console/console.h"
#include "domain/dom.h"
#include "shell/command.h"

static struct dom *by_uuid(const char *text)
{
    uint8_t uuid[16];
    struct dom *d = uuid_parse(text, uuid) ? NULL : doms;

    while (d && memcmp(d->cfg.uuid, uuid, sizeof(uuid)) != 0)
        d = d->next;
    return d;
}

struct dom *command_dom_if(const char *name, struct errbuf *e)
{
    struct dom *d = dom_find(name, e);

    return d ? d : by_uuid(name);
}

struct dom *command_dom(const char *name)
{
    struct errbuf e;
    struct dom *d = command_dom_if(name, &e);

    if (!d)
        out("%s\n", e.s);
    return d;
}

bool command_each(int argc, char **argv, void (*rows)(const struct dom *d))
{
    for (int i = 1; i < argc; i++) {
        const struct dom *d = command_dom(argv[i]);
        if (d)
            rows(d);
    }
    return true;
}

const char *command_name(const struct bh_dominfo *di)
{
    const struct dom *d = dom_by_id(di->domid);

    return d ? d->cfg.name : di->domid == BH_DOMID_CONTROL ? "control" : di->name;
}
