/* SPDX-License-Identifier: MIT */
/* The domain that a command names. */
#include "console/console.h"
#include "domain/dom.h"
#include "shell/command.h"

struct dom *command_dom(const char *name)
{
    struct errbuf e;
    struct dom *d = dom_find(name, &e);

    if (!d)
        out("%s\n", e.s);
    return d;
}

const char *command_name(const struct bh_dominfo *di)
{
    const struct dom *d = dom_by_id(di->domid);

    return d ? d->cfg.name : di->domid == BH_DOMID_CONTROL ? "control" : di->name;
}
