/* SPDX-License-Identifier: MIT */
/*
 * One entry of disk=, as xl-disk-configuration(5) has them: the positional form
 * `phy:DOMAIN:VOLUME,VDEV,ACCESS` (without the prefix a FORMAT comes after the target), then
 * key=value in any order, `target=` last. A disk is a volume of a block driver domain, whose name
 * stands before the colon of the target or in `backend=`. Two keys are our own: `limit-ops=` and
 * `limit-bytes=`, what the guest may do in a second.
 *
 * Pure: no hypercalls.
 */
#include "config.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POS_TARGET, POS_FORMAT, POS_VDEV, POS_ACCESS, POS_END };

struct disk_parser {
    struct cfg_disk *d;
    char *err;
    size_t err_len;
    const char *target;
    bool prefix; /* "phy:" was there: no format among the positional ones */
    int pos;
};

__attribute__((format(printf, 2, 3))) static int fail(struct disk_parser *dp, const char *fmt, ...)
{
    __builtin_va_list ap;

    __builtin_va_start(ap, fmt);
    vsnprintf(dp->err, dp->err_len, fmt, ap);
    __builtin_va_end(ap);
    return -EINVAL;
}

/* --- device names (docs of Xen: xen-vbd-interface) -------------------------------------------- */
/* "a" is 0, "z" 25, "aa" 26; returns what follows, NULL if there is no letter. */
static const char *letters(const char *s, unsigned *n)
{
    unsigned v = 0, len = 0;

    for (; *s >= 'a' && *s <= 'z' && len < 4; s++, len++)
        v = v * 26 + (unsigned)(*s - 'a') + 1;
    *n = v - 1;
    return len ? s : NULL;
}

bool config_vdev(const char *name, uint32_t *devid)
{
    unsigned disk, part = 0;
    bool xvd = !strncmp(name, "xvd", 3), sd = !strncmp(name, "sd", 2), hd = !strncmp(name, "hd", 2);
    const char *p = xvd || sd || hd ? letters(name + (xvd ? 3 : 2), &disk) : NULL;
    char *end;

    if (!p)
        return false;
    if (*p) {
        if (*p < '1' || *p > '9')
            return false;
        part = (unsigned)strtoul(p, &end, 10);
        if (*end || part > 255)
            return false;
    }
    if (hd && disk < 4 && part < 64)
        *devid = (disk < 2 ? 3u : 22u) << 8 | (disk & 1) << 6 | part;
    else if (sd && disk < 16 && part < 16)
        *devid = 8u << 8 | disk << 4 | part;
    else if (xvd && disk < 16 && part < 16)
        *devid = 202u << 8 | disk << 4 | part;
    else if (xvd && disk < 1u << 20)
        *devid = 1u << 28 | disk << 8 | part;
    else
        return false;
    return true;
}

/* --- values ----------------------------------------------------------------------------------- */
static int set_vdev(struct disk_parser *dp, const char *val)
{
    if (strlen(val) >= sizeof(dp->d->vdev) || !config_vdev(val, &dp->d->devid))
        return fail(dp, "bad vdev '%.40s' (xvda, xvdb1, sda, hda ...)", val);
    snprintf(dp->d->vdev, sizeof(dp->d->vdev), "%s", val);
    return 0;
}

static int set_access(struct disk_parser *dp, const char *val)
{
    static const char *const words[][2] = {
        { "", "w" }, { "r", "r" }, { "ro", "r" }, { "w", "w" }, { "rw", "w" }, { "r!", "r!" },
        { "w!", "w!" },
    };

    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (!strcmp(words[i][0], val)) {
            snprintf(dp->d->mode, sizeof(dp->d->mode), "%s", words[i][1]);
            return 0;
        }
    return fail(dp, "bad access '%.40s' (r, w, r! or w!)", val);
}

static int only(struct disk_parser *dp, const char *what, const char *val, const char *can)
{
    return !*val || !strcmp(val, can)
               ? 0
               : fail(dp, "%s '%.40s' is not supported, only %s", what, val, can);
}

static int set_backend(struct disk_parser *dp, const char *val, size_t len)
{
    struct cfg_disk *d = dp->d;

    if (!len || len >= sizeof(d->backend))
        return fail(dp, "bad back-end domain '%.*s'", (int)(len < 40 ? len : 40), val);
    if (d->backend[0] && (strlen(d->backend) != len || memcmp(d->backend, val, len) != 0))
        return fail(dp, "two back-end domains, '%s' and '%.*s'", d->backend, (int)len, val);
    memcpy(d->backend, val, len);
    d->backend[len] = '\0';
    return 0;
}

bool config_amount(const char *text, uint64_t *v)
{
    static const char units[] = "KMG";
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;

    if (*text < '0' || *text > '9' || (unit ? end[1] : end[0]) || n > (1ul << 60) >> shift)
        return false;
    *v = n << shift;
    return true;
}

static int set_limit(struct disk_parser *dp, const char *key, const char *val, uint64_t *limit)
{
    return config_amount(val, limit)
               ? 0
               : fail(dp, "bad %s '%.40s' (a number a second, as 500 or 10M)", key, val);
}

static int set_key(struct disk_parser *dp, const char *key, const char *val)
{
    if (!strcmp(key, "vdev"))
        return set_vdev(dp, val);
    if (!strcmp(key, "access"))
        return set_access(dp, val);
    if (!strcmp(key, "format"))
        return only(dp, key, val, "raw");
    if (!strcmp(key, "backendtype"))
        return only(dp, key, val, "phy");
    if (!strcmp(key, "devtype"))
        return only(dp, key, val, "disk");
    if (!strcmp(key, "backend"))
        return set_backend(dp, val, strlen(val));
    if (!strcmp(key, "limit-ops"))
        return set_limit(dp, key, val, &dp->d->limit_ops);
    if (!strcmp(key, "limit-bytes"))
        return set_limit(dp, key, val, &dp->d->limit_bytes);
    if (!strcmp(key, "script"))
        return fail(dp, "script '%.40s' is not supported: volumes are there without one", val);
    return fail(dp, "unknown option '%.40s'", key);
}

static int set_word(struct disk_parser *dp, const char *val)
{
    if (!strcmp(val, "discard") || !strcmp(val, "no-discard")) {
        dp->d->no_discard = val[0] == 'n';
        return 0;
    }
    if (!strcmp(val, "direct-io-safe")) /* nothing here has a cache that would matter */
        return 0;
    if (!strcmp(val, "cdrom") || !strcmp(val, "removable"))
        return fail(dp, "'%s' is not supported, only plain disks", val);
    if (dp->pos == POS_FORMAT && dp->prefix)
        dp->pos++;
    switch (dp->pos++) {
    case POS_TARGET: dp->target = val; return 0;
    case POS_FORMAT: return only(dp, "format", val, "raw");
    case POS_VDEV: return *val ? set_vdev(dp, val) : 0;
    case POS_ACCESS: return set_access(dp, val);
    default: return fail(dp, "'%.40s' is one word too many", val);
    }
}

/* --- the whole -------------------------------------------------------------------------------- */
static char *strip_prefix(struct disk_parser *dp, char *text, int *rc)
{
    static const char *const others[] = { "file", "tap", "tap2", "aio",  "raw",  "qcow",  "qcow2",
                                          "vhd",  "qed", "nbd",  "enbd", "drbd", "iscsi", "script",
                                          "ioemu" };
    const char *colon = strchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;

    *rc = 0;
    dp->prefix = len == 3 && !memcmp(text, "phy", 3);
    for (unsigned i = 0; len && i < sizeof(others) / sizeof(others[0]); i++)
        if (strlen(others[i]) == len && !memcmp(others[i], text, len))
            *rc = fail(dp, "the prefix '%s:' is not supported, only phy:", others[i]);
    return dp->prefix ? text + 4 : text;
}

static int split_target(struct disk_parser *dp)
{
    const char *t = dp->target, *colon = strchr(t, ':');
    int rc = colon ? set_backend(dp, t, (size_t)(colon - t)) : 0;

    if (rc)
        return rc;
    if (!dp->d->backend[0])
        return fail(dp, "bad target '%.60s' (DOMAIN:VOLUME, as blk0:data1)", t);
    t = colon ? colon + 1 : t;
    if (!*t) /* a variable of a script that is not set: never more than what was asked for */
        return fail(dp, "no volume in '%.60s': name one, or 'disk' for the whole disk", dp->target);
    if (strlen(t) >= sizeof(dp->d->volume))
        return fail(dp, "volume '%.40s...' is too long a name", t);
    snprintf(dp->d->volume, sizeof(dp->d->volume), "%s", t);
    return 0;
}

int config_disk(struct cfg_disk *d, const char *spec, char *err, size_t n)
{
    struct disk_parser dp = { .d = d, .err = err, .err_len = n };
    char text[256], *next;
    int rc;

    memset(d, 0, sizeof(*d));
    snprintf(d->mode, sizeof(d->mode), "w");
    if (strlen(spec) >= sizeof(text))
        return fail(&dp, "'%.40s...' is too long", spec);
    snprintf(text, sizeof(text), "%s", spec + strspn(spec, " \t"));
    for (char *p = strip_prefix(&dp, text, &rc); p && !rc; p = next) {
        p += strspn(p, " \t");
        if (!strncmp(p, "target=", 7)) { /* to the end, whatever is in it */
            dp.target = p + 7;
            break;
        }
        next = strchr(p, ',');
        if (next)
            *next++ = '\0';
        for (size_t len = strlen(p); len && (p[len - 1] == ' ' || p[len - 1] == '\t');)
            p[--len] = '\0';
        char *val = strchr(p, '=');
        if (val)
            *val++ = '\0';
        rc = val ? set_key(&dp, p, val) : set_word(&dp, p);
    }
    if (rc)
        return rc;
    if (!dp.target || !*dp.target)
        return fail(&dp, "'%.60s': target is missing", spec);
    if (!d->vdev[0])
        return fail(&dp, "'%.60s': vdev is missing", spec);
    return split_target(&dp);
}
