/* SPDX-License-Identifier: MIT */
/*
 * One entry of vif=, as xl-network-configuration(5) has them: key=value, separated by commas. `bridge=NAME.VLAN:TRUNK:TRUNK` is the form of Xen's
 * Open vSwitch script. `ip=` holds addresses or prefixes, blanks between them: the guest sends from those alone. `allow=` is our own: further MAC addresses that
 * it may send from (VRRP's), or `any`, which is no check of its addresses at all (a bridge in the guest).
 *
 * Pure: no hypercalls.
 */
#include "config/config.h"
#include <devname.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cfg_text { /* where a refusal goes, and what does nothing */
    char *err;
    size_t n;
    char noted[96];
    bool vnet; /* it was said */
};

__attribute__((format(printf, 2, 3))) static int fail(struct cfg_text *t, const char *fmt, ...)
{
    __builtin_va_list ap;

    __builtin_va_start(ap, fmt);
    vsnprintf(t->err, t->n, fmt, ap);
    __builtin_va_end(ap);
    return -EINVAL;
}

/* A decimal number up to max, without a sign; *end is behind it. -1: none. */
static long decimal(const char *s, const char **end, unsigned long max)
{
    size_t len = strspn(s, "0123456789");
    unsigned long v = len && len < 10 ? strtoul(s, NULL, 10) : max + 1;

    *end = s + len;
    return v <= max ? (long)v : -1;
}

/* NULL, or why it is no station's address. */
static const char *parse_mac(const char *p, uint8_t mac[6])
{
    static const uint8_t zero[6];

    if (!mac_parse(p, mac))
        return "is no address (aa:bb:cc:dd:ee:ff)";
    if (mac[0] & 1)
        return "is the address of a group, not of one station";
    return memcmp(mac, zero, 6) ? NULL : "is no station's address";
}

static bool parse_ip(const char *s, struct slot_ip *ip)
{
    const char *end;
    bool v4 = !strchr(s, ':');
    long bits = v4 ? 32 : 128;

    memset(ip, 0, sizeof(*ip));
    if (!ip_parse(s, &end, ip->addr))
        return false;
    if (*end == '/') {
        bits = decimal(end + 1, &end, (unsigned long)bits);
        if (bits < 0)
            return false;
    }
    ip->bits = (uint8_t)(bits + (v4 ? 96 : 0));
    return !*end;
}

/* --- options ------------------------------------------------------------------------------------ */
/* The next word of a list with blanks, cut off; NULL at its end. */
static char *word(char **at)
{
    char *w = *at + strspn(*at, " \t"), *end = w + strcspn(w, " \t");

    *at = *end ? end + 1 : end;
    *end = '\0';
    return *w ? w : NULL;
}

static int set_ips(struct cfg_vif *v, char *val, struct cfg_text *t)
{
    for (char *w; (w = word(&val));) {
        if (v->slot.nr_ips == SLOT_IPS)
            return fail(t, "ip: more than %u addresses (a prefix, as 10.0.0.0/24, stands for many)",
                        SLOT_IPS);
        if (!parse_ip(w, &v->slot.ip[v->slot.nr_ips]))
            return fail(t, "ip '%s' is no address, and no prefix of one", w);
        v->slot.nr_ips++;
    }
    return v->slot.nr_ips ? 0 : fail(t, "ip: no address");
}

static int set_allow(struct cfg_vif *v, char *val, struct cfg_text *t)
{
    unsigned n = 0;

    if (!strcmp(val, "any")) {
        v->any = true;
        return 0;
    }
    for (char *w; (w = word(&val)); n++) {
        if (n == SLOT_MACS)
            return fail(t, "allow: more than %u addresses", SLOT_MACS);
        const char *why = parse_mac(w, v->slot.other[n]);
        if (why)
            return fail(t, "allow: '%s' %s", w, why);
    }
    return n ? 0 : fail(t, "allow: no address");
}

static int set_name(char *out, const char *opt, const char *val, struct cfg_text *t)
{
    if (!*val || strlen(val) >= BH_NAME_LEN)
        return fail(t, "bad %s '%s'", opt, val);
    memcpy(out, val, strlen(val) + 1);
    return 0;
}

/* A VLAN that frames can name (IEEE 802.1Q: 1 to 4094). */
static long vlan(const char *s, const char **end)
{
    long v = decimal(s, end, 4094);
    return v > 0 ? v : -1;
}

static int set_bridge(struct cfg_vif *v, char *val, struct cfg_text *t)
{
    char *trunks = strchr(val, ':'), *dot;
    const char *end;
    unsigned n = 0;

    if (trunks)
        *trunks++ = '\0';
    dot = strrchr(val, '.');
    if (dot && dot[1] && !dot[1 + strspn(dot + 1, "0123456789")]) {
        long id = vlan(dot + 1, &end);
        if (id < 0)
            return fail(t, "bridge: VLAN %s is not between 1 and 4094", dot + 1);
        v->slot.vlan = (uint16_t)id;
        *dot = '\0';
    }
    for (const char *at = trunks; at; at = *end ? end + 1 : NULL) {
        long id = vlan(at, &end);
        if (id < 0 || (*end && *end != ':'))
            return fail(t, "bridge: '%s' is no list of VLANs (1 to 4094, colons between them)", at);
        if (n == SLOT_TRUNKS)
            return fail(t, "bridge: more than %u VLANs in a trunk", SLOT_TRUNKS);
        v->slot.trunk[n++] = (uint16_t)id;
    }
    return set_name(v->bridge, "bridge", val, t);
}

/* RATE/s or RATE/s@INTERVAL, xl's syntax: bits (b) or bytes (B) with K, M or G (powers of 1,000) before it; us, ms or s. */
static int set_rate(struct cfg_vif *v, const char *val, struct cfg_text *t)
{
    static const char form[] = "rate '%s' is none (as 10Mb/s, 250KB/s, 1MB/s@20ms)",
                      prefixes[] = "KMG";
    const char *p, *prefix;
    long n = decimal(val, &p, 999999999), interval = 50000;
    uint64_t each = 1;

    prefix = *p ? strchr(prefixes, *p) : NULL;
    for (const char *at = prefixes; prefix && at <= prefix; at++)
        each *= 1000;
    p += prefix != NULL;
    if (n <= 0 || (*p != 'b' && *p != 'B') || strncmp(p + 1, "/s", 2))
        return fail(t, form, val);
    v->rate = (uint64_t)n * each / (*p == 'b' ? 8 : 1);
    p += 3;
    if (*p == '@') {
        interval = decimal(p + 1, &p, 999999);
        interval *= !strcmp(p, "s") ? 1000000 : !strcmp(p, "ms") ? 1000 : !strcmp(p, "us") ? 1 : -1;
        p = "";
    }
    if (*p || interval <= 0 || interval > 10000000)
        return fail(t, form, val);
    v->rate_us = (uint32_t)interval;
    if (v->rate < 1000)
        return fail(t, "rate '%s' is less than 1KB/s", val);
    /* Its product with an interval fits 64 bits. */
    return v->rate <= 1000000000000 ? 0 : fail(t, "rate '%s' is more than 1000GB/s", val);
}

static int set_mtu(struct cfg_vif *v, const char *val, struct cfg_text *t)
{
    const char *end;
    long mtu = decimal(val, &end, 65535);

    if (mtu < 68 || *end)
        return fail(t, "mtu '%s' is not between 68 and 65535", val);
    v->mtu = (uint16_t)mtu;
    return 0;
}

/* The bridge of that vnet's domain, which bears its name. */
static int set_vnet(struct cfg_vif *v, const char *val, struct cfg_text *t)
{
    const char *end;
    long id = decimal(val, &end, 0xffffff);

    if (id <= 0 || *end)
        return fail(t, "vnet '%s' is not between 1 and 16777215", val);
    if (v->bridge[0] || v->backend[0])
        return fail(t, "vnet says where it is: bridge and backend say another thing");
    t->vnet = true;
    snprintf(v->bridge, sizeof(v->bridge), "vnet%ld", id);
    return 0;
}

static int set_trusted(struct cfg_vif *v, const char *val, struct cfg_text *t)
{
    if (strcmp(val, "0") != 0 && strcmp(val, "1") != 0)
        return fail(t, "trusted '%s' is neither 0 nor 1", val);
    v->untrusted = *val == '0';
    return 0;
}

/* What belongs to a host's scripts and to emulated devices: without it the guest has the same interface. */
static bool pass_over(const char *opt, const char *val, struct cfg_text *t)
{
    static const char *const words[] = { "script", "vifname", "model", "gatewaydev", "type", "accel" };

    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (!strcmp(opt, words[i]) && (strcmp(opt, "type") != 0 || !strcmp(val, "ioemu"))) {
            snprintf(t->noted + strlen(t->noted), sizeof(t->noted) - strlen(t->noted), "%s%s",
                     *t->noted ? ", " : "", opt);
            return true;
        }
    return false;
}

static int set(struct cfg_vif *v, const char *opt, char *val, struct cfg_text *t)
{
    const char *why;

    if (!strcmp(opt, "mac")) {
        why = parse_mac(val, v->mac);
        v->has_mac = !why;
        return why ? fail(t, "mac '%s' %s", val, why) : 0;
    }
    if ((!strcmp(opt, "bridge") || !strcmp(opt, "backend")) && t->vnet)
        return fail(t, "vnet says where it is: %s says another thing", opt);
    if (!strcmp(opt, "bridge"))
        return set_bridge(v, val, t);
    if (!strcmp(opt, "backend"))
        return set_name(v->backend, opt, val, t);
    if (!strcmp(opt, "vnet"))
        return set_vnet(v, val, t);
    if (!strcmp(opt, "ip"))
        return set_ips(v, val, t);
    if (!strcmp(opt, "allow"))
        return set_allow(v, val, t);
    if (!strcmp(opt, "rate"))
        return set_rate(v, val, t);
    if (!strcmp(opt, "type") && (!strcmp(val, "vif") || !strcmp(val, "pv")))
        return 0; /* the only type that there is */
    if (!strcmp(opt, "mtu"))
        return set_mtu(v, val, t);
    if (!strcmp(opt, "trusted"))
        return set_trusted(v, val, t);
    if (!strcmp(opt, "devid"))
        return fail(t, "devid is not here: interfaces are numbered as they stand in vif");
    if (!strcmp(opt, "vlan"))
        return fail(t, "vlan is not here: bridge=NAME.VLAN and bridge=NAME:TRUNK:TRUNK are");
    if (pass_over(opt, val, t))
        return 0;
    return fail(t, "unknown option '%s'", opt);
}

static char *trim(char *s)
{
    s += strspn(s, " \t");
    for (size_t len = strlen(s); len && (s[len - 1] == ' ' || s[len - 1] == '\t');)
        s[--len] = '\0';
    return s;
}

int config_vif(struct cfg_vif *v, char *spec, char *err, size_t n)
{
    struct cfg_text t = { .err = err, .n = n };
    char said[256] = ",";

    *err = '\0';
    memset(v, 0, sizeof(*v));
    for (char *opt = spec, *next; opt && *opt; opt = next) {
        char key[24];

        next = strchr(opt, ',');
        if (next)
            *next++ = '\0';
        opt = trim(opt);
        if (!*opt && !next) /* a blank behind the last comma */
            break;
        char *val = strchr(opt, '=');
        if (!val && (!strcmp(opt, "trusted") || !strcmp(opt, "untrusted"))) {
            v->untrusted = *opt == 'u';
            continue;
        }
        if (!val)
            return fail(&t, "expected option=value, got '%s'", opt);
        *val++ = '\0';
        opt = trim(opt);
        val = trim(val);
        snprintf(key, sizeof(key), ",%.20s,", opt);
        if (strstr(said, key))
            return fail(&t, "%s is there twice", opt);
        int rc = set(v, opt, val, &t);
        if (rc)
            return rc;
        snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s,", opt);
    }
    if (v->any && v->slot.nr_ips)
        return fail(&t, "allow=any and ip= say two things");
    if (*t.noted)
        snprintf(err, n, "passed over, it does nothing here: %s", t.noted);
    return 0;
}
