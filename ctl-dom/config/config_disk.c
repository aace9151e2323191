/* SPDX-License-Identifier: MIT */
/*
 * One entry of disk=, as xl-disk-configuration(5) has them: the positional form
 * `phy:[DOMAIN:]VOLUME,VDEV,ACCESS` (without the prefix a FORMAT comes after the target), then
 * key=value in any order, `target=` last. A disk is a volume of a block driver domain, whose name
 * stands before the colon of the target or in `backend=`; or a block device (a path), a file (`file:`) or an export of NBD (`nbd:HOST:PORT[:EXPORT]`) of a Linux
 * that `backend=` names (store/linux.h). Two keys are our own: `limit-ops=` and `limit-bytes=`, what the guest may do in a second.
 *
 * Pure: no hypercalls.
 */
#include "config/config.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POS_TARGET, POS_FORMAT, POS_VDEV, POS_ACCESS, POS_END };
enum { SAID_OPS = 1, SAID_BYTES = 2, SAID_DISCARD = 4 };

struct disk_parser {
    struct cfg_disk *d;
    char *err;
    size_t err_len;
    char *target;
    bool prefix;         /* there was one: no format among the positional ones */
    const char *foreign; /* the one that only a Linux has a use for */
    int pos;
    unsigned said; /* of what any value could be the default: SAID_* */
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

    for (; *s >= 'a' && *s <= 'z' && len < 5; s++, len++)
        v = v * 26 + (unsigned)(*s - 'a') + 1;
    *n = v - 1;
    return len ? s : NULL;
}

/* A number that does not begin with a needless 0; returns what follows, NULL if there is none. */
static const char *decimal(const char *s, unsigned *n)
{
    size_t len = strspn(s, "0123456789");

    if (!len || len > 9 || (len > 1 && *s == '0'))
        return NULL;
    *n = (unsigned)strtoul(s, NULL, 10);
    return s + len;
}

static bool make_devid(char bus, unsigned disk, unsigned part, uint32_t *devid)
{
    if (bus == 'h' && disk < 4 && part < 64)
        *devid = (disk < 2 ? 3u : 22u) << 8 | (disk & 1) << 6 | part;
    else if (bus == 's' && disk < 16 && part < 16)
        *devid = 8u << 8 | disk << 4 | part;
    else if (bus == 'x' && disk < 16 && part < 16)
        *devid = 202u << 8 | disk << 4 | part;
    else if (bus == 'x' && disk < 1u << 20 && part < 256)
        *devid = 1u << 28 | disk << 8 | part;
    else
        return false;
    return true;
}

bool config_vdev_name(uint32_t devid, char name[CFG_VDEV])
{
    unsigned major = devid >> 8, disk, part;
    char bus = major == 8 ? 's' : major == 3 || major == 22 ? 'h' : 'x', text[6];
    char *p = text + sizeof(text) - 1;
    uint32_t same;

    if (bus == 'h') {
        disk = (major == 22 ? 2 : 0) + (devid >> 6 & 3);
        part = devid & 63;
    } else if (bus == 's' || major == 202) {
        disk = devid >> 4 & 15;
        part = devid & 15;
    } else {
        disk = devid >> 8 & 0xfffff;
        part = devid & 255;
    }
    if (!make_devid(bus, disk, part, &same) || same != devid)
        return false;
    *p = '\0';
    for (unsigned n = disk + 1; n; n = (n - 1) / 26)
        *--p = (char)('a' + (n - 1) % 26);
    int len = snprintf(name, CFG_VDEV, "%s%s", bus == 's' ? "sd" : bus == 'h' ? "hd" : "xvd", p);
    if (part)
        snprintf(name + len, CFG_VDEV - (size_t)len, "%u", part);
    return true;
}

/* The number itself, in decimal or hexadecimal, if it is one that a name stands for. */
static bool vdev_number(const char *text, uint32_t *devid)
{
    bool hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *digits = hexadecimal ? text + 2 : text;
    size_t len = strspn(digits, hexadecimal ? "0123456789abcdefABCDEF" : "0123456789");
    char name[CFG_VDEV];

    if (!len || digits[len] || len > 10 || (!hexadecimal && *digits == '0'))
        return false;
    unsigned long v = strtoul(digits, NULL, hexadecimal ? 16 : 10);
    *devid = (uint32_t)v;
    return v <= UINT32_MAX && config_vdev_name(*devid, name);
}

bool config_vdev(const char *text, uint32_t *devid)
{
    unsigned disk, part = 0;
    bool xvd = !strncmp(text, "xvd", 3), sd = !strncmp(text, "sd", 2), hd = !strncmp(text, "hd", 2);
    bool plain = text[0] == 'd';
    const char *p = xvd || sd || hd ? letters(text + (xvd ? 3 : 2), &disk)
                    : plain         ? decimal(text + 1, &disk)
                                    : NULL;

    if (*text >= '0' && *text <= '9')
        return vdev_number(text, devid);
    if (p && *p && (!plain || *p++ == 'p'))
        p = *p == '0' ? NULL : decimal(p, &part);
    return p && !*p && make_devid(sd ? 's' : hd ? 'h' : 'x', disk, part, devid);
}

/* --- values ----------------------------------------------------------------------------------- */
/* `ioemu:` before and the kind of device behind are older forms that xl takes. */
static int set_vdev(struct disk_parser *dp, char *val)
{
    uint32_t devid;

    val += strncmp(val, "ioemu:", 6) ? 0 : 6;
    char *kind = strchr(val, ':');
    if (kind)
        *kind++ = '\0';
    if (kind && *kind && strcmp(kind, "disk") != 0)
        return fail(dp, "'%s:%.40s' is not supported, only plain disks", val, kind);
    if (!strncmp(val, "/dev/", 5) && config_vdev(val + 5, &devid))
        return fail(dp, "bad vdev '%.40s', it is '%s' here", val, val + 5);
    if (!config_vdev(val, &devid))
        return fail(dp, "bad vdev '%.40s' (xvda, xvdb1, sda, hda ...)", val);
    if (dp->d->vdev[0] && devid != dp->d->devid)
        return fail(dp, "two vdevs, '%s' and '%.40s'", dp->d->vdev, val);
    dp->d->devid = devid;
    (void)config_vdev_name(devid, dp->d->vdev);
    return 0;
}

static int set_access(struct disk_parser *dp, const char *val)
{
    static const char *const words[][2] = {
        { "r", "r" }, { "ro", "r" }, { "w", "w" }, { "rw", "w" }, { "r!", "r!" }, { "w!", "w!" },
    };

    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (!strcmp(words[i][0], val)) {
            if (dp->d->mode[0] && strcmp(dp->d->mode, words[i][1]) != 0)
                return fail(dp, "two accesses, '%s' and '%s'", dp->d->mode, words[i][1]);
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

static int set_limit(struct disk_parser *dp, const char *key, const char *val, unsigned which)
{
    uint64_t *limit = which == SAID_OPS ? &dp->d->limit_ops : &dp->d->limit_bytes, v;

    if (!config_amount(val, &v))
        return fail(dp, "bad %s '%.40s' (a number a second, as 500 or 10M)", key, val);
    if (dp->said & which && v != *limit)
        return fail(dp, "%s is there twice", key);
    dp->said |= which;
    *limit = v;
    return 0;
}

static int set_discard(struct disk_parser *dp, bool none)
{
    if (dp->said & SAID_DISCARD && dp->d->no_discard != none)
        return fail(dp, "discard and no-discard");
    dp->said |= SAID_DISCARD;
    dp->d->no_discard = none;
    return 0;
}

/* Of xl's those that a Linux back-end here has: what is a block device or a file anyway, and NBD. */
static int set_script(struct disk_parser *dp, const char *val)
{
    if (!strcmp(val, "block-nbd")) {
        dp->d->kind = DISK_NBD;
        dp->foreign = "nbd";
    } else if (strcmp(val, "block") != 0)
        return fail(dp, "script '%.40s' is not supported: volumes are there without one", val);
    return 0;
}

static int set_key(struct disk_parser *dp, const char *key, char *val)
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
        return set_limit(dp, key, val, SAID_OPS);
    if (!strcmp(key, "limit-bytes"))
        return set_limit(dp, key, val, SAID_BYTES);
    if (!strcmp(key, "script"))
        return set_script(dp, val);
    return fail(dp, "unknown option '%.40s'", key);
}

static int set_word(struct disk_parser *dp, char *val)
{
    if (!strcmp(val, "discard") || !strcmp(val, "no-discard"))
        return set_discard(dp, val[0] == 'n');
    if (!strcmp(val, "trusted") || !strcmp(val, "untrusted")) {
        dp->d->untrusted = val[0] == 'u';
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
    case POS_ACCESS: return *val ? set_access(dp, val) : 0;
    default: return fail(dp, "'%.40s' is one word too many", val);
    }
}

/* --- the whole -------------------------------------------------------------------------------- */
static char *trim(char *s)
{
    s += strspn(s, " \t");
    for (size_t len = strlen(s); len && (s[len - 1] == ' ' || s[len - 1] == '\t');)
        s[--len] = '\0';
    return s;
}

static const char *prefix_of(const char *text)
{
    static const char *const prefixes[] = {
        "phy", "raw", "file", "tap",  "tap2", "tapdisk", "aio",    "qcow",  "qcow2",
        "vhd", "qed", "nbd",  "enbd", "drbd", "iscsi",   "script", "ioemu",
    };
    size_t len = strcspn(text, ":");

    for (unsigned i = 0; text[len] && i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (strlen(prefixes[i]) == len && !memcmp(prefixes[i], text, len))
            return prefixes[i];
    return NULL;
}

/* Of a prefix that names what a Linux serves; DISK_VOLUME: it names nothing that anybody has here. */
static enum disk_kind foreign_kind(const char *prefix)
{
    if (!strcmp(prefix, "file") || !strcmp(prefix, "aio"))
        return DISK_FILE;
    return strcmp(prefix, "nbd") ? DISK_VOLUME : DISK_NBD;
}

/* `phy:` is the form, `raw:` an older one; any other names another kind of back-end. */
static int strip_prefixes(struct disk_parser *dp, char **text)
{
    const char *prefix;

    while (*text += strspn(*text, " \t"), (prefix = prefix_of(*text)) != NULL) {
        if (strcmp(prefix, "phy") != 0 && strcmp(prefix, "raw") != 0) {
            dp->d->kind = (uint8_t)foreign_kind(prefix);
            dp->foreign = prefix;
            if (dp->d->kind == DISK_VOLUME)
                return fail(dp, "the prefix '%s:' is not supported, only phy:", prefix);
        }
        *text += strlen(prefix) + 1;
        dp->prefix = true;
    }
    return 0;
}

static int split_target(struct disk_parser *dp)
{
    char *t = dp->target, *colon = strchr(t, ':');
    const char *prefix = prefix_of(t);

    if (strchr(t, ',')) /* xl reads it to the end, and no volume's name has one */
        return fail(dp, "target= must be the last word, '%.40s' would all be the volume's name", t);
    if (prefix)
        return fail(dp,
                    "the prefix '%s:' does not belong to target= (DOMAIN:VOLUME, as target=blk0:data1)",
                    prefix);
    if (colon && *t != '/' && dp->d->kind != DISK_NBD) {
        *colon = '\0';
        t = trim(t);
        int rc = set_backend(dp, t, strlen(t));
        if (rc)
            return rc;
        t = trim(colon + 1);
    }
    if (dp->foreign && !dp->d->backend[0])
        return fail(dp, "the prefix '%s:' is for a Linux that serves disks: backend= says which",
                    dp->foreign);
    if (*t == '/' && !dp->d->backend[0])
        return fail(dp, "target '%.60s' is a path of a host: DOMAIN:VOLUME here, as blk0:data1", t);
    if (dp->d->kind == DISK_FILE && *t && *t != '/')
        return fail(dp, "file '%.60s' is no path", t);
    if (*t == '/' && dp->d->kind == DISK_VOLUME)
        dp->d->kind = DISK_PHY;
    if (!*t) /* a variable of a script that is not set: never more than what was asked for */
        return fail(dp, "no volume in '%.60s:': name one, or 'disk' for the whole disk",
                    dp->d->backend);
    if (strlen(t) >= sizeof(dp->d->volume))
        return fail(dp, "volume '%.40s...' is too long a name", t);
    snprintf(dp->d->volume, sizeof(dp->d->volume), "%s", t);
    return 0;
}

/* One piece up to the next comma; `target=` is the last, to the end. */
static int piece(struct disk_parser *dp, char **text)
{
    char *p = *text + strspn(*text, " \t"), *next = strchr(p, ','), *eq = strchr(p, '=');

    if (!strncmp(p, "target", 6) && eq == p + 6 + strspn(p + 6, " \t")) {
        *text = NULL;
        if (dp->target)
            return fail(dp, "two targets, '%.40s' and '%.40s'", dp->target, trim(eq + 1));
        dp->target = trim(eq + 1);
        return 0;
    }
    if (next)
        *next++ = '\0';
    *text = next;
    if (!eq || (next && eq >= next))
        return set_word(dp, trim(p));
    *eq = '\0';
    return set_key(dp, trim(p), trim(eq + 1));
}

int config_disk(struct cfg_disk *d, const char *spec, char *err, size_t n)
{
    struct disk_parser dp = { .d = d, .err = err, .err_len = n };
    char text[256], *p = text;

    memset(d, 0, sizeof(*d));
    if (strlen(spec) >= sizeof(text))
        return fail(&dp, "'%.40s...' is too long", spec);
    snprintf(text, sizeof(text), "%s", spec);
    int rc = strip_prefixes(&dp, &p);
    while (p && !rc)
        rc = piece(&dp, &p);
    if (rc)
        return rc;
    if (!dp.target || !*dp.target)
        return fail(&dp, "'%.60s': target is missing", spec);
    rc = split_target(&dp);
    if (!rc && !d->vdev[0])
        rc = fail(&dp, "'%.60s': vdev is missing", spec);
    if (!d->mode[0])
        snprintf(d->mode, sizeof(d->mode), "w");
    return rc;
}
