/* SPDX-License-Identifier: MIT */
/*
 * The kernel's command line out of the keys that are parts of it, as Xen's first tools made it: "ip=" (Linux: admin-guide/nfs/nfsroot:
 * own:server:gateway:netmask:hostname:interface:autoconf), "nfsroot=server:path", "root=", and what extra says. cmdline is the whole.
 *
 * Pure: no hypercalls.
 */
#include "config/config_cmdline.h"
#include <stdio.h>
#include <string.h>

/* "": it was not said. */
static const char *said(const struct settings *s, const char *key)
{
    const struct setting *set = settings_find(s, key);

    return set && !set->list ? set->items->text : "";
}

/* What was said last: a word of the command takes back what the file says in another way. */
static bool whole(const struct settings *s, const struct setting *cmdline)
{
    const struct setting *extra = settings_find(s, "extra");

    return cmdline && (cmdline->word || !extra || !extra->word);
}

const char *config_cmdline(const struct settings *s, char *out, size_t n)
{
    const char *server = said(s, "nfs_server"), *path = said(s, "nfs_root"), *dhcp = said(s, "dhcp");
    const char *ip = said(s, "ip"), *root = said(s, "root"), *extra = said(s, "extra"),
               *on = said(s, "interface");
    bool has_ip = *ip || (*dhcp && strcmp(dhcp, "off") != 0);
    size_t len = 0;

#define ADD(...) \
    (len += (size_t)snprintf(out + (len < n ? len : n), len < n ? n - len : 0, __VA_ARGS__))
    if (whole(s, settings_find(s, "cmdline"))) {
        ADD("%s", said(s, "cmdline"));
        return len < n ? NULL : "cmdline: longer than there is room for";
    }
    if (*path && !*server)
        return "nfs_root: nfs_server is missing";
    *out = '\0';
    if (has_ip)
        ADD("ip=%s:%s:%s:%s:%s:%s:%s", ip, server, said(s, "gateway"), said(s, "netmask"),
            said(s, "hostname"), *on ? on : "eth0", *dhcp ? dhcp : "off");
    if (*path)
        ADD("%snfsroot=%s:%s", len ? " " : "", server, path);
    if (*root)
        ADD("%sroot=%s", len ? " " : "", root);
    if (*extra)
        ADD("%s%s", len ? " " : "", extra);
#undef ADD
    return len < n ? NULL
                   : "extra: with its other parts the command line is longer than there is room for";
}
