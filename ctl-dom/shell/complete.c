/* SPDX-License-Identifier: MIT */
/* A command's usage says which words it takes, and where: NAME, FILE, COMMAND first, the others behind them. */
#include "shell/complete.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "console/edit.h"
#include "domain/bridge.h"
#include "domain/identity.h"
#include "domain/load.h"
#include "domain/pci.h"
#include "shell/command.h"
#include "store/connection.h"
#include "supervise/waiting.h"

static void commands(struct edit *e)
{
    const struct command *c;

    for (unsigned i = 0; (c = command_nth(i)); i++)
        edit_offer(e, c->name);
}

static void domains(struct edit *e)
{
    for (const struct dom *d = doms; d; d = d->next)
        edit_offer(e, d->cfg.name);
}

static void waiting_ones(struct edit *e)
{
    for (const struct waiting *w = waiting; w; w = w->next)
        edit_offer(e, w->cfg.name);
}

static void configurations(struct edit *e)
{
    char name[EDIT_WORD];

    for (unsigned i = 0; i < bundle.nr_images; i++) {
        size_t n = strlen(bundle.image[i].name);
        if (n < 5 || strcmp(bundle.image[i].name + n - 4, ".cfg") != 0)
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)n - 4, bundle.image[i].name);
        edit_offer(e, name);
    }
}

/* Their names come off a disk, by way of a driver domain: edit_offer takes none that is more than a word. */
static void volumes_of(struct edit *e, const struct dom *b)
{
    char path[64], word[EDIT_WORD];
    unsigned n;

    snprintf(path, sizeof(path), "/local/domain/%u/volumes", b->id);
    char **nodes = store_up ? xs_ls(0, path, &n) : NULL;
    for (unsigned i = 0; nodes && i < n; i++) {
        snprintf(path, sizeof(path), "/local/domain/%u/volumes/%.24s", b->id, nodes[i]);
        char *text = xs_read(0, path);
        if (text) {
            snprintf(word, sizeof(word), "phy:%s:%.*s,", b->cfg.name, (int)strcspn(text, " "), text);
            edit_offer(e, word);
        }
        free(text);
    }
    free(nodes);
}

static void volumes(struct edit *e)
{
    for (const struct dom *b = doms; b; b = b->next)
        if (b->cfg.role == BH_ROLE_DRIVER)
            volumes_of(e, b);
}

static void bridges(struct edit *e)
{
    char word[BH_NAME_LEN + 8];

    for (const struct dom *b = doms; b; b = b->next)
        for (unsigned i = 0; i < bridges_of(b); i++) {
            snprintf(word, sizeof(word), "bridge=%s", bridge_name(b, i));
            edit_offer(e, word);
        }
}

static void vnets(struct edit *e)
{
    char word[16];

    for (const struct dom *b = doms; b; b = b->next) {
        snprintf(word, sizeof(word), "%u", b->cfg.vnet);
        if (b->cfg.vnet)
            edit_offer(e, word);
    }
}

static void devices_of(struct edit *e, const char *name, enum dev_kind kind)
{
    struct errbuf ignored;
    const struct dom *d = command_dom_if(name, &ignored);
    char word[VIF_MAC];

    for (unsigned i = 0; d && i < d->nr_devs; i++) {
        const struct dom_dev *v = &d->dev[i];
        snprintf(word, sizeof(word), "%u", v->devid);
        if (v->kind == kind)
            edit_offer(e, kind == DEV_VIF ? word : d->cfg.disk[v->index].vdev);
    }
}

static void pci_devices(struct edit *e)
{
    struct bh_pci_info info = { 0 };

    for (uint32_t i = 0;; i++) {
        memset(&info, 0, sizeof(info));
        info.index = i;
        if (bh_ctl_pci_info(&info))
            return;
        if (info.state != BH_PCI_PLATFORM)
            edit_offer(e, sbdf_text(info.sbdf).s);
    }
}

/* nth: of the words behind the command that are no options; name: the first of them. */
static void words_of(struct edit *e, const struct command *c, unsigned nth, const char *name)
{
    const char *args = c->args;

    if (!strncmp(c->name, "vnet-", 5)) {
        if (nth == 1 && !strcmp(args, "ID"))
            vnets(e);
        if (nth >= 2)
            bridges(e);
        return;
    }
    if (nth == 1 && strstr(args, "FILE"))
        configurations(e);
    else if (nth == 1 && strstr(args, "COMMAND"))
        commands(e);
    else if ((nth == 1 && (strstr(args, "NAME") || strstr(args, "ID"))) || strstr(args, "NAME..."))
        domains(e);
    if (nth == 1 && !strcmp(c->name, "destroy"))
        waiting_ones(e);
    if (nth == 2 && strstr(args, "CONFIG"))
        configurations(e);
    if (nth == 2 && strstr(args, "DISK"))
        volumes(e);
    if (nth == 2 && strstr(args, "VDEV"))
        devices_of(e, name, DEV_VBD);
    if (nth == 2 && strstr(args, "IDX"))
        devices_of(e, name, DEV_VIF);
    if (nth >= 2 && !strcmp(c->name, "network-attach"))
        bridges(e);
    if (strstr(args, "DEVICE") && nth == (strstr(args, "NAME") ? 2u : 1u))
        pci_devices(e);
}

void complete(struct edit *e)
{
    const struct command *c = NULL;
    static char line[EDIT_MAX];
    const char *name = "";
    unsigned nth = 0;

    snprintf(line, sizeof(line), "%.*s", (int)e->cur, e->line);
    char *last = strrchr(line, ' '), *p = line; /* behind it the word begins that is being typed */
    *(last ? last : line) = '\0';
    while (p += strspn(p, " "), *p) {
        const char *w = p;
        p += strcspn(p, " ");
        if (*p)
            *p++ = '\0';
        if (!c && (!strcmp(w, "xl") || !strcmp(w, "xm") || !strcmp(w, "bh") || w[0] == '@'))
            continue;
        if (w[0] == '-')
            continue;
        if (!c && !(c = command_find(w)))
            return;
        if (nth++ == 1)
            name = w;
    }
    if (!c)
        commands(e);
    else if (strstr(c->args, "NAME") || strstr(c->args, "ID") || strstr(c->args, "COMMAND") ||
             strstr(c->args, "DEVICE"))
        words_of(e, c, nth, name);
}
