/* SPDX-License-Identifier: MIT */
/*
 * A vnet domain's keys (docs/vnets.md): `vnet` is its number, `ip` (or `dhcp`), `gateway`, `peers`, `group` and `port` are the tunnel's, which become words of its
 * command line. It bears the name vnetID, by which a vif's `vnet=ID` finds it, and one vif leads to the outside.
 *
 * Pure: no hypercalls.
 */
#include "config/config.h"
#include <devname.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config/config_cmdline.h"

/* "": it was not said. */
static const char *said(const struct settings *s, const char *key)
{
    const struct setting *set = settings_find(s, key);

    return set && !set->list ? set->items->text : "";
}

/* Up to max. Not one with a 0 before it: to lwIP that is one to the base of eight. */
static bool is_number(const char *at, unsigned long max)
{
    size_t n = strspn(at, "0123456789");

    return n && n < 6 && !at[n] && (*at != '0' || n == 1) && strtoul(at, NULL, 10) <= max;
}

/* One of IPv4, or of IPv6 as `six` says; behind it. */
static const char *address(const char *at, bool six)
{
    uint8_t a[16];
    const char *end;

    if (!ip_parse(at, &end, a) || (memchr(at, ':', (size_t)(end - at)) != NULL) != six)
        return NULL;
    for (const char *p = at; !six && p < end; p++)
        if (*p == '0' && (p == at || p[-1] == '.') && p[1] >= '0' && p[1] <= '9')
            return NULL;
    return six && !memcmp(a, (uint8_t[12]){ [10] = 0xff, 0xff }, 12) ? NULL : end;
}

static bool is_address(const char *text, bool six)
{
    const char *end = address(text, six);

    return end && !*end;
}

/* A.B.C.D/LEN, or without the length; of IPv6 that is 64. */
static bool is_own(const char *text, bool six)
{
    const char *end = address(text, six);

    if (end && *end == '/')
        return six ? !strcmp(end, "/64") : end[1] != '0' && is_number(end + 1, 32);
    return end && !*end;
}

static bool are_peers(const char *at, bool six)
{
    for (const char *end; *at; at = end + (*end == ',')) {
        end = !strncmp(at, "any", 3) ? at + 3 : address(at, six);
        if (!end || (*end && (*end != ',' || !end[1])))
            return false;
    }
    return true;
}

static bool is_port(const char *text) { return is_number(text, 0xffff) && strtoul(text, NULL, 10); }

const char *config_vnet(const struct settings *s, uint32_t vnet, char *out, size_t n)
{
    const char *ip = said(s, "ip"), *gw = said(s, "gateway"), *peers = said(s, "peers"),
               *group = said(s, "group"), *port = said(s, "port"), *dhcp = said(s, "dhcp");
    bool six = strchr(ip, ':'), by_dhcp = *dhcp && strcmp(dhcp, "off") != 0 && strcmp(dhcp, "0") != 0;
    size_t at;

    if (!vnet)
        return *peers || *group || *port ? "peers, group and port are for a vnet (vnet = ID)" : NULL;
    if (by_dhcp ? *ip != 0 : !is_own(ip, six))
        return "ip: a vnet has an address of its own, A.B.C.D/LEN, one of IPv6 in a /64, or dhcp = 1";
    if (six && *group)
        return "group: is IPv4's";
    if (*gw && !is_address(gw, six))
        return "gateway: is no address, of one kind with ip";
    if (!are_peers(peers, six))
        return "peers: addresses with commas between, of one kind with ip, or any";
    if (*group && (!is_address(group, false) || strtoul(group, NULL, 10) < 224 ||
                   strtoul(group, NULL, 10) > 239))
        return "group: is no address of a group (224.0.0.0 to 239.255.255.255)";
    if (*port && !is_port(port))
        return "port: is none";
    at = (size_t)snprintf(out, n, "vnet=%u", vnet);
#define WORD(key, value)    \
    if (*(value) && at < n) \
    at += (size_t)snprintf(out + at, n - at, " " key "%s", value)
    if (six && at < n)
        at += (size_t)snprintf(out + at, n - at, " ip6=%.*s", (int)strcspn(ip, "/"), ip);
    WORD("ip=", six ? "" : ip);
    WORD("dhcp", by_dhcp ? "=1" : "");
    WORD("gw=", six ? "" : gw);
    WORD("gw6=", six ? gw : "");
    WORD("peers=", peers);
    WORD("group=", group);
    WORD("port=", port);
    WORD("", said(s, "extra"));
#undef WORD
    return at < n ? NULL : "peers: more than there is room for";
}

int config_vnet_check(const struct domcfg *c, char *err, size_t n)
{
    bool is = c->role == BH_ROLE_DRIVER && !strcmp(c->image, "vnet");
    char name[24];

    snprintf(name, sizeof(name), "vnet%u", c->vnet);
    if (!is && c->vnet)
        return snprintf(err, n, "vnet: is for a vnet domain (role = \"driver\", image = \"vnet\")"),
               -EINVAL;
    if (is && !c->vnet)
        return snprintf(err, n, "vnet is missing: the number of the vnet"), -EINVAL;
    if (is && strcmp(c->name, name) != 0)
        return snprintf(err, n, "name: the domain of vnet %u is called %s", c->vnet, name), -EINVAL;
    if (is && c->nr_vifs != 1)
        return snprintf(err, n, "vif: a vnet has one, which leads to the outside"), -EINVAL;
    return 0;
}
