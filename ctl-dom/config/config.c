/* SPDX-License-Identifier: MIT */
/* The configuration parser: text to key and list of strings (xl's values all are strings in the
 * end), then where the key's row says (keys.def). */
#include "config/config.h"
#include <devname.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#define MAX_ITEMS 16
_Static_assert(MAX_ITEMS <= CFG_MAX_VIFS && MAX_ITEMS <= CFG_MAX_DISKS, "a list fits");

struct parser {
    struct domcfg *c;
    const char *file;
    const char *p, *end;
    unsigned line;
    char *err;
    size_t err_len;
    /* the assignment at hand */
    char key[32];
    unsigned nr_items;
    bool is_list;
    char item[MAX_ITEMS][1024];
};

__attribute__((format(printf, 2, 3))) static int fail(struct parser *ps, const char *fmt, ...)
{
    __builtin_va_list ap;
    int at = ps->line ? snprintf(ps->err, ps->err_len, "%s:%u: ", ps->file, ps->line)
                      : snprintf(ps->err, ps->err_len, "%s: ", ps->file);
    __builtin_va_start(ap, fmt);
    if (at >= 0 && (size_t)at < ps->err_len)
        vsnprintf(ps->err + at, ps->err_len - (size_t)at, fmt, ap);
    __builtin_va_end(ap);
    return -EINVAL;
}

/* --- text ------------------------------------------------------------------------------------- */
static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '/' || c == ':';
}

/* Blanks and comments; newlines too when `lines`. */
static void skip(struct parser *ps, bool lines)
{
    while (ps->p < ps->end) {
        char c = *ps->p;
        if (c == '#') {
            while (ps->p < ps->end && *ps->p != '\n')
                ps->p++;
        } else if (c == ' ' || c == '\t' || c == '\r' || (lines && (c == '\n' || c == ';'))) {
            ps->line += c == '\n';
            ps->p++;
        } else {
            break;
        }
    }
}

static int atom(struct parser *ps)
{
    if (ps->nr_items == MAX_ITEMS)
        return fail(ps, "%s: more than %d entries", ps->key, MAX_ITEMS);
    char *out = ps->item[ps->nr_items];
    size_t len = 0, max = sizeof(ps->item[0]) - 1;
    char quote = ps->p < ps->end && (*ps->p == '"' || *ps->p == '\'') ? *ps->p++ : 0;

    if (!quote && (ps->p == ps->end || !is_word(*ps->p)))
        return fail(ps, "%s: a value is missing", ps->key);
    while (ps->p < ps->end && (quote ? *ps->p != quote && *ps->p != '\n' : is_word(*ps->p))) {
        if (len == max)
            return fail(ps, "%s: longer than %zu characters", ps->key, max);
        if (!*ps->p) /* what is behind it would be lost */
            return fail(ps, "%s: a NUL byte", ps->key);
        out[len++] = *ps->p++;
    }
    if (quote && (ps->p == ps->end || *ps->p++ != quote))
        return fail(ps, "%s: the closing quote is missing", ps->key);
    out[len] = '\0';
    ps->nr_items++;
    return 0;
}

static int list(struct parser *ps)
{
    ps->p++;
    ps->is_list = true;
    for (;;) {
        skip(ps, true);
        if (ps->p == ps->end)
            return fail(ps, "%s: the closing ] is missing", ps->key);
        if (*ps->p == ']') {
            ps->p++;
            return 0;
        }
        int rc = atom(ps);
        if (rc)
            return rc;
        skip(ps, true);
        if (ps->p < ps->end && *ps->p == ',')
            ps->p++;
        else if (ps->p < ps->end && *ps->p != ']')
            return fail(ps, "%s: expected , or ]", ps->key);
    }
}

/* --- values ----------------------------------------------------------------------------------- */
static int one(struct parser *ps)
{
    return ps->is_list || ps->nr_items != 1 ? fail(ps, "%s: expected one value, not a list", ps->key)
                                            : 0;
}

static int text_value(struct parser *ps, char *out, size_t n)
{
    int rc = one(ps);
    if (rc)
        return rc;
    size_t len = strlen(ps->item[0]);
    if (len >= n)
        return fail(ps, "%s: longer than %zu characters", ps->key, n - 1);
    memcpy(out, ps->item[0], len + 1);
    return 0;
}

static int number(struct parser *ps, uint32_t min, uint32_t max, uint32_t *out)
{
    char *end;
    int rc = one(ps);
    if (rc)
        return rc;
    unsigned long v = strtoul(ps->item[0], &end, 0);
    if (end == ps->item[0] || *end || ps->item[0][0] == '-')
        return fail(ps, "%s: '%s' is no number", ps->key, ps->item[0]);
    if (v < min || v > max)
        return fail(ps, "%s: %lu is not between %u and %u", ps->key, v, min, max);
    *out = (uint32_t)v;
    return 0;
}

static int choice(struct parser *ps, const char *const *names, unsigned n, unsigned *out)
{
    int rc = one(ps);
    if (rc)
        return rc;
    for (unsigned i = 0; i < n; i++)
        if (names[i] && !strcmp(names[i], ps->item[0])) {
            *out = i;
            return 0;
        }
    return fail(ps, "%s: unknown value '%s'", ps->key, ps->item[0]);
}

/* --- keys with a syntax of their own --------------------------------------------------------------------- */
static int k_name(struct parser *ps)
{
    int rc = text_value(ps, ps->c->name, sizeof(ps->c->name));
    for (const char *p = ps->c->name; !rc && *p; p++)
        if (!is_word(*p) || *p == '/')
            rc = fail(ps, "name: '%s' has a character that is not allowed", ps->c->name);
    const char *name = ps->c->name; /* commands take numbers of domains too */
    if (!rc && *name && !name[strspn(name, "0123456789")])
        rc = fail(ps, "name: '%s' is a number, as domains have besides their names", name);
    if (!rc && !strcmp(name, "Domain-0"))
        rc = fail(ps, "name: 'Domain-0' means the control domain elsewhere");
    return rc;
}
/* An image of the bundle. There is no file system whose paths could be meant. */
static int image_value(struct parser *ps, char *out, size_t n)
{
    int rc = one(ps);

    if (!rc && strstr(ps->item[0], "grub") && strchr(ps->item[0], '/'))
        return fail(ps, "%s: '%s' is a path: GRUB is in the bundle, %s = \"grub\" starts it",
                    ps->key, ps->item[0], ps->key);
    if (!rc && strchr(ps->item[0], '/'))
        return fail(ps, "%s: '%s' is a path: images come from the boot bundle, by their names there",
                    ps->key, ps->item[0]);
    return rc ? rc : text_value(ps, out, n);
}
/* Of these only the way to do the same is known. */
static int k_root(struct parser *ps)
{
    int rc = one(ps);
    return rc ? rc : fail(ps, "root: is part of extra here: extra = \"root=%s ...\"", ps->item[0]);
}
static int k_bootloader(struct parser *ps)
{
    return fail(ps,
                "bootloader: none runs outside of the guest; kernel = \"grub\" boots the kernel on the guest's own disk");
}
static int k_uuid(struct parser *ps)
{
    int rc = one(ps);

    if (!rc && (uuid_parse(ps->item[0], ps->c->uuid) || uuid_is_null(ps->c->uuid)))
        rc = fail(ps, "uuid: '%s' is none (xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx)", ps->item[0]);
    return rc;
}
/* Seconds, to either side of UTC. */
static int k_rtc_timeoffset(struct parser *ps)
{
    uint32_t v = 0;
    int rc = one(ps);
    bool behind = !rc && ps->item[0][0] == '-';

    if (behind)
        memmove(ps->item[0], ps->item[0] + 1, strlen(ps->item[0]));
    if (!rc)
        rc = number(ps, 0, 1u << 30, &v);
    ps->c->rtc_timeoffset = behind ? -(int32_t)v : (int32_t)v;
    return rc;
}

static int k_cpus(struct parser *ps)
{
    char *out = ps->c->cpus, why[160];
    size_t len = 0;
    uint32_t cpus;

    *out = '\0';
    for (unsigned i = 0; i < ps->nr_items; i++) { /* a ; behind the only one says that it is a list */
        len += (size_t)snprintf(out + len, CFG_CPUS_TEXT - len, "%s%s", ps->item[i],
                                ps->is_list && (i + 1 < ps->nr_items || !i) ? ";" : "");
        if (len >= CFG_CPUS_TEXT)
            return fail(ps, "cpus: longer than %u characters", CFG_CPUS_TEXT - 1);
        if (!ps->item[i][0] || strchr(ps->item[i], ';'))
            return fail(ps, "cpus: '%s' is no CPU and no range of them (all, 0-3,^1)", ps->item[i]);
    }
    return config_cpus(out, 0, &cpus, why, sizeof(why)) ? fail(ps, "cpus: %s", why) : 0;
}

static int k_type(struct parser *ps)
{
    static const char *const names[] = { "pvh" };
    unsigned v;
    return choice(ps, names, 1, &v);
}

static int k_vif(struct parser *ps)
{
    char why[160];

    ps->c->nr_vifs = 0;
    for (unsigned i = 0; i < ps->nr_items; i++) {
        if (config_vif(&ps->c->vif[ps->c->nr_vifs], ps->item[i], why, sizeof(why)))
            return fail(ps, "vif: %s", why);
        ps->c->nr_vifs++;
    }
    return 0;
}

static int k_pci(struct parser *ps)
{
    ps->c->nr_pci = 0;
    for (unsigned i = 0; i < ps->nr_items; i++) {
        if (ps->c->nr_pci == CFG_MAX_PCI)
            return fail(ps, "pci: more than %d", CFG_MAX_PCI);
        if (!pci_parse(ps->item[i], &ps->c->pci[ps->c->nr_pci]))
            return fail(ps, "pci: bad device '%s' (bus:slot.function or domain:bus:slot.function)",
                        ps->item[i]);
        ps->c->nr_pci++;
    }
    return 0;
}

static int k_bridges(struct parser *ps)
{
    char why[160];

    ps->c->nr_bridges = 0;
    for (unsigned i = 0; i < ps->nr_items; i++)
        if (config_bridge(ps->c, ps->item[i], why, sizeof(why)))
            return fail(ps, "bridges: %s", why);
    return 0;
}

static int k_disk(struct parser *ps)
{
    struct domcfg *c = ps->c;
    char why[160];

    c->nr_disks = 0;
    for (unsigned i = 0; i < ps->nr_items; i++) {
        struct cfg_disk *d = &c->disk[c->nr_disks];
        if (config_disk(d, ps->item[i], why, sizeof(why)))
            return fail(ps, "disk: %s", why);
        for (unsigned k = 0; k < c->nr_disks; k++)
            if (c->disk[k].devid == d->devid)
                return fail(ps, "disk: vdev %s is there twice", d->vdev);
        c->nr_disks++;
    }
    return 0;
}

/* --- the table ---------------------------------------------------------------------------------- */
static const char *const actions[] = {
    [ACTION_DESTROY] = "destroy", [ACTION_RESTART] = "restart", [ACTION_PRESERVE] = "preserve"
};
static const char *const roles[] = {
    [BH_ROLE_GUEST] = "guest",
    [BH_ROLE_STORE] = "store",
    [BH_ROLE_PCIBACK] = "pciback",
    [BH_ROLE_DRIVER] = "driver",
};

static const struct key {
    const char *name;
    enum { TEXT, IMAGE, NUMBER, FLAG, CHOICE, OWN } type;
    size_t at;         /* of its member in struct domcfg */
    uint32_t min, max; /* TEXT, IMAGE: max is the member's size; CHOICE: the number of names */
    const char *const *names;
    int (*own)(struct parser *ps);
} keys[] = {
#define AT(member)                   .at = offsetof(struct domcfg, member)
#define KEY_TEXT(key, member, size)  { .name = #key, .type = TEXT, AT(member), .max = size },
#define KEY_IMAGE(key, member, size) { .name = #key, .type = IMAGE, AT(member), .max = size },
#define KEY_NUMBER(key, member, low, high) \
    { .name = #key, .type = NUMBER, AT(member), .min = low, .max = high },
#define KEY_FLAG(key, member) { .name = #key, .type = FLAG, AT(member) },
#define KEY_CHOICE(key, member, kind, list) \
    { .name = #key, .type = CHOICE, AT(member), .max = sizeof(list) / sizeof(list[0]), .names = list },
#define KEY_SAME(key, member) \
    { .name = #key, .type = TEXT, AT(member), .max = sizeof(((struct domcfg *)0)->member) },
#define KEY_OWN(key, function) { .name = #key, .type = OWN, .own = function },
#include "config/keys.def"
#undef AT
};

static int key_set(struct parser *ps, const struct key *k)
{
    void *member = (char *)ps->c + k->at;
    unsigned v = 0;
    int rc;

    switch (k->type) {
    case TEXT: return text_value(ps, member, k->max);
    case IMAGE: return image_value(ps, member, k->max);
    case NUMBER: return number(ps, k->min, k->max, member);
    case FLAG:
        rc = number(ps, 0, 1, &v);
        *(bool *)member = v;
        return rc;
    case CHOICE:
        rc = choice(ps, k->names, k->max, &v);
        *(unsigned *)member = v; /* an enum without negative values */
        return rc;
    case OWN: return k->own(ps);
    }
    return -EINVAL;
}

/* The value at hand goes where its key says. */
static int keyed(struct parser *ps)
{
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (!strcmp(keys[i].name, ps->key))
            return key_set(ps, &keys[i]);
    return fail(ps, "unknown key '%s'", ps->key);
}

static int assignment(struct parser *ps)
{
    size_t len = 0;

    ps->key[0] = '\0';
    ps->nr_items = 0;
    ps->is_list = false;
    const char *start = ps->p;
    while (ps->p < ps->end && is_word(*ps->p))
        ps->p++;
    len = (size_t)(ps->p - start);
    if (!len)
        return fail(ps, "expected key = value at '%.*s'",
                    ps->end - start > 10 ? 10 : (int)(ps->end - start), start);
    snprintf(ps->key, sizeof(ps->key), "%.*s", (int)len, start);
    skip(ps, false);
    if (ps->p == ps->end || *ps->p != '=')
        return fail(ps, "expected = after '%s'", ps->key);
    ps->p++;
    skip(ps, false);
    unsigned at = ps->line;
    int rc = ps->p < ps->end && *ps->p == '[' ? list(ps) : atom(ps);
    if (rc)
        return rc;
    ps->line = at; /* errors of a list name the line where it starts */
    return keyed(ps);
}

static struct parser *parser_new(struct domcfg *c, const char *file, char *err, size_t n)
{
    struct parser *ps = calloc(1, sizeof(*ps));
    if (!ps) {
        snprintf(err, n, "%s: out of memory", file);
        return NULL;
    }
    ps->c = c;
    ps->file = file;
    ps->err = err;
    ps->err_len = n;
    return ps;
}

int config_parse(struct domcfg *c, const char *file, const char *text, size_t len, char *err, size_t n)
{
    memset(c, 0, sizeof(*c));
    c->vcpus = 1;
    c->cpu_weight = 256;
    c->on_reboot = ACTION_RESTART;
    struct parser *ps = parser_new(c, file, err, n);
    if (!ps)
        return -ENOMEM;
    ps->p = text;
    ps->end = text + len;
    ps->line = 1;
    int rc = 0;
    while (!rc) {
        skip(ps, true);
        if (ps->p == ps->end)
            break;
        unsigned from = ps->line;
        const char *at = ps->p;
        rc = assignment(ps);
        if (rc)
            break;
        ps->line = from;
        for (const char *p = at; p < ps->p; p++)
            ps->line += *p == '\n';
        skip(ps, false);
        if (ps->p < ps->end && *ps->p != '\n' && *ps->p != ';')
            rc = fail(ps, "%s: unexpected text after the value", ps->key);
    }
    free(ps);
    return rc;
}

/* A shell word: key=value, where the value may go without quotes even if it has blanks (the shell
 * took them off). */
int config_override(struct domcfg *c, const char *text, char *err, size_t n)
{
    const char *eq = strchr(text, '=');
    char name[64]; /* of a long one its beginning, so that there is room for what is wrong with it */
    snprintf(name, sizeof(name), strlen(text) < sizeof(name) ? "%s" : "%.60s...", text);
    struct parser *ps = parser_new(c, name, err, n);
    if (!ps)
        return -ENOMEM;
    int rc;
    if (!eq || eq == text) {
        rc = fail(ps, "expected key=value");
    } else if (eq[1] == '[' || eq[1] == '"' || eq[1] == '\'') {
        ps->p = text;
        ps->end = text + strlen(text);
        rc = assignment(ps);
        if (!rc && ps->p != ps->end)
            rc = fail(ps, "unexpected text after the value");
    } else {
        snprintf(ps->key, sizeof(ps->key), "%.*s", (int)(eq - text), text);
        int len = snprintf(ps->item[0], sizeof(ps->item[0]), "%s", eq + 1);
        ps->nr_items = 1;
        if (len < 0 || (size_t)len >= sizeof(ps->item[0]))
            rc = fail(ps, "longer than %zu characters", sizeof(ps->item[0]) - 1);
        else
            rc = keyed(ps);
    }
    free(ps);
    return rc;
}

int config_check(const struct domcfg *c, const char *file, char *err, size_t n)
{
    const char *why = NULL;
    char of_bridges[160];

    if (!c->name[0])
        why = "name is missing";
    else if (!c->memory_mb)
        why = "memory is missing";
    else if (!c->kernel[0] && !c->image[0])
        why = "kernel (of a guest) or image (of a service domain) is missing";
    else if (c->kernel[0] && c->image[0])
        why = "kernel and image exclude each other";
    else if (c->kernel[0] && c->role != BH_ROLE_GUEST)
        why = "a kernel is for role guest only";
    else if (c->ramdisk[0] && !c->kernel[0])
        why = "ramdisk without a kernel";
    else if (c->maxmem_mb && c->maxmem_mb < c->memory_mb)
        why = "maxmem is less than memory";
    else if (c->maxvcpus && c->maxvcpus < c->vcpus)
        why = "maxvcpus is less than vcpus";
    else if (c->image[0] && (c->vcpus != 1 || c->maxvcpus > 1))
        why = "a service domain has one vCPU";
    else if (c->keep && c->role != BH_ROLE_DRIVER && c->role != BH_ROLE_STORE)
        why = "keep pages are for the roles driver and store";
    else if (c->mtu && c->role != BH_ROLE_DRIVER)
        why = "mtu is for the role driver; a guest's is a word of vif";
    else if (c->image[0] && c->keep * 4 + 2048 > c->memory_mb * 1024)
        why = "keep pages leave no room for the program";
    else if (c->image[0] && c->memory_mb > 3072)
        why = "memory: a service domain has at most 3072 MiB"; /* its grants are mapped above */
    else if (config_bridges_check(c, of_bridges, sizeof(of_bridges)))
        why = of_bridges;
    if (!why)
        return 0;
    snprintf(err, n, "%s: %s", file, why);
    return -EINVAL;
}
