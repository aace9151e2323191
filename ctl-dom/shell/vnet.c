/* SPDX-License-Identifier: MIT */
/* Commands: vnets, each a domain vnetID (docs/vnets.md). Making one is to create it of a configuration that the words say. */
#include "shell/command.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "console/console.h"
#include "shell/lists.h"
#include "supervise/life.h"

/* The domain of the vnet that a command names by its number, or as vnetID. */
static struct dom *vnet_of(const char *word)
{
    char *end;
    unsigned long id = strtoul(!strncmp(word, "vnet", 4) ? word + 4 : word, &end, 10);
    struct dom *d = doms;

    while (d && (!d->cfg.vnet || d->cfg.vnet != id || *end))
        d = d->next;
    if (!d)
        out("%s: is no vnet (vnet-list has all)\n", word);
    return d;
}

/* Its guests, in a line; how many. */
static unsigned guests(const struct dom *b, char *text, size_t n)
{
    unsigned nr = 0;
    size_t at = 0;

    text[0] = '\0';
    for (const struct dom *d = doms; d; d = d->next) {
        if (!serves(b, d, DEV_VIF))
            continue;
        if (at < n)
            at += (size_t)snprintf(text + at, n - at, "%s%s", nr ? ", " : "", d->cfg.name);
        nr++;
    }
    return nr;
}

/* --- vnet-create ------------------------------------------------------------------------------------------ */

/* What a word goes on: a key of the configuration, or of its vif. */
static bool is_of(const char *word, const char *const *keys)
{
    size_t len = strcspn(word, "=");

    for (; *keys; keys++)
        if (strlen(*keys) == len && !strncmp(*keys, word, len))
            return word[len] == '=';
    return false;
}

/* The configuration. False: a word is none, which was said. */
static bool configured(const char *id, int nr, char **words, char *text, size_t n)
{
    static const char *const own[] = { "ip",   "dhcp", "gateway", "peers",    "group",
                                       "port", "mtu",  "memory",  "deadline", NULL },
                             *const vif[] = { "bridge", "backend", "mac", "rate", NULL };
    size_t at = (size_t)snprintf(text, n,
                                 "name = \"vnet%s\"\nrole = \"driver\"\nimage = \"vnet\"\n"
                                 "keep = 257\nvnet = %s\n",
                                 id, id);
    bool sized = false;

    for (int i = 0; i < nr && at < n; i++) {
        const char *value = words[i] + strcspn(words[i], "=");
        if (words[i][strcspn(words[i], "\"'\\\n %")]) {
            out("vnet-create: '%s': no quotes or blanks\n", words[i]);
            return false;
        }
        sized |= !strncmp(words[i], "memory=", 7);
        if (is_of(words[i], own))
            at += (size_t)snprintf(text + at, n - at, "%.*s = \"%s\"\n", (int)(value - words[i]),
                                   words[i], value + 1);
        else if (!is_of(words[i], vif)) {
            out("vnet-create: '%s' is none of ip= dhcp= gateway= peers= group= port= mtu= bridge= backend= mac= rate= memory= deadline=\n",
                words[i]);
            return false;
        }
    }
    if (at < n)
        at += (size_t)snprintf(text + at, n - at, "%svif = [ '", sized ? "" : "memory = 9\n");
    for (int i = 0; i < nr && at < n; i++) {
        bool ip = !strncmp(words[i], "ip=", 3); /* the outside hears it from that address alone */
        if (ip || is_of(words[i], vif))
            at += (size_t)snprintf(text + at, n - at, "%.*s,",
                                   (int)strcspn(words[i], ip ? "/" : ""), words[i]);
    }
    if (at < n)
        at += (size_t)snprintf(text + at, n - at, "' ]\n");
    if (at >= n)
        out("vnet-create: longer than there is room for\n");
    return at < n;
}

static bool cmd_vnet_create(int argc, char **argv)
{
    static struct domcfg cfg;
    static struct findings found;
    static char text[1024];
    char name[24];
    struct errbuf e = { "" };
    struct dom *d;
    uint64_t start = now_ns();

    if (!argv[1][0] || argv[1][strspn(argv[1], "0123456789")]) {
        out("vnet-create: '%.20s' is not between 1 and 16777215\n", argv[1]);
        return true;
    }
    if (!configured(argv[1], argc - 2, argv + 2, text, sizeof(text)))
        return true;
    snprintf(name, sizeof(name), "vnet%.10s", argv[1]);
    int rc = config_read(&cfg, name, text, strlen(text), 0, NULL, &found);
    command_findings(&found, "");
    if (!rc && ((rc = config_check(&cfg, name, e.s, sizeof(e.s))) ||
                (rc = dom_create(&cfg, false, &d, &e))))
        out("%s\n", e.s);
    uint64_t took = (now_ns() - start) / 1000;
    if (!rc)
        out("%s: created as domain %u (%lu.%03lu ms)\n", cfg.name, d->id, took / 1000, took % 1000);
    return true;
}

/* --- vnet-list -------------------------------------------------------------------------------------------- */

/* A word of its command line, which our own configuration made. */
static const char *told(const struct dom *d, const char *key, char *value, size_t n)
{
    const char *at = strstr(d->cfg.cmdline, key);

    at = at ? at + strlen(key) : "";
    snprintf(value, n, "%.*s", (int)strcspn(at, " "), at);
    return value;
}

/* What the domain wrote: nothing of it is shown but figures, dots and colons. */
static const char *figure(char **at, char word[48])
{
    size_t n = strspn(*at, "0123456789abcdef.:");

    snprintf(word, 48, "%.*s", n < 40 ? (int)n : 40, *at);
    *at += n;
    *at += **at == ' ';
    return word;
}

static void peers(const struct dom *d)
{
    char path[48], word[3][48];
    char *text, *at;

    snprintf(path, sizeof(path), "/local/domain/%u/" BH_KEY_VNET, d->id);
    at = text = xs_read(0, path);
    if (!text)
        return;
    for (unsigned i = 0; i < 3; i++)
        (void)figure(&at, word[i]);
    if (strcmp(word[0], "0") || strcmp(word[1], "0") || strcmp(word[2], "0"))
        out("  not taken: %s of strangers, %s of other vnets, %s that are no frames\n", word[0],
            word[1], word[2]);
    while (*at && strchr("0123456789abcdef:", *at)) {
        for (unsigned i = 0; i < 3; i++)
            (void)figure(&at, word[i]);
        out("  %-21s %11s %11s\n", word[0], word[1], word[2]);
    }
    free(text);
}

static bool cmd_vnet_list(int argc, char **argv)
{
    char name[200], ip[48], group[32];
    uint64_t n[BH_NET_STATS];
    bool any = false;

    (void)argc, (void)argv;
    for (const struct dom *d = doms; d; d = d->next) {
        if (!d->cfg.vnet)
            continue;
        if (!any)
            out("%-8s %-18s %7s %11s %11s %s\n", "ID", "Endpoint", "Domain", "In", "Out", "Guests");
        any = true;
        (void)list_uplink(d, 0, n);
        if (!*told(d, " ip=", ip, sizeof(ip)))
            (void)told(d, " ip6=", ip, sizeof(ip));
        (void)told(d, " group=", group, sizeof(group));
        unsigned nr = guests(d, name, sizeof(name));
        out("%-8u %-18s %7u %11lu %11lu %u%s%s\n", d->cfg.vnet, *ip ? ip : "by DHCP", d->id,
            n[BH_NET_IN], n[BH_NET_OUT], nr, nr ? ": " : "", name);
        if (*group)
            out("  group %s\n", group);
        peers(d);
        driver_problem(d);
    }
    if (!any)
        out("there are no vnets\n");
    return true;
}

/* --- vnet-delete ------------------------------------------------------------------------------------------ */

static bool cmd_vnet_delete(int argc, char **argv)
{
    struct dom *d = vnet_of(argv[1]);
    char name[200];
    struct errbuf e;

    (void)argc;
    if (d && guests(d, name, sizeof(name)))
        out("%s: is in use: %s\n", d->cfg.name, name);
    else if (d && dom_destroy(d, &e))
        out("%s\n", e.s);
    return true;
}

static const struct command rows[] = {
    { "vnet-create", "ID ip=ADDR/LEN [KEY=VALUE ...]",
      "a network of guests on several machines: peers=, group=, gateway=, port=, mtu=, dhcp=1, bridge=",
      2, MAX_ARGS, cmd_vnet_create },
    { "vnet-list", "", "vnets, their guests, frames of the tunnel, and of each other end", 0, 0,
      cmd_vnet_list },
    { "vnet-delete", "ID", "takes one away that no guest is on", 1, 1, cmd_vnet_delete },
};
const struct commands vnet_commands = COMMANDS(rows);
