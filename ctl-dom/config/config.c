/* SPDX-License-Identifier: MIT */
/* What a configuration's settings say (settings.h), each put where its key's row says (keys.def). */
#include "config/config.h"
#include <errno.h>
#include <quote.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>
#include "config/config_cmdline.h"
#include "config/known.h"
#include "config/settings.h"

struct parser {
    struct domcfg *c;
    struct findings *found;
    const struct setting *set; /* the one at hand */
    const char *key;
    unsigned line;
    bool alone; /* a single word, no configuration that it is a part of */
};

__attribute__((format(printf, 2, 3))) static int fail(struct parser *ps, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    finding_error(ps->found, ps->set->file, ps->line, fmt, ap);
    va_end(ap);
    return -EINVAL;
}

__attribute__((format(printf, 2, 3))) static void note(struct parser *ps, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    finding_note(ps->found, ps->set->file, ps->line, fmt, ap);
    va_end(ap);
}

/* --- values ----------------------------------------------------------------------------------- */
/* Where a key has one value. */
static int one(struct parser *ps)
{
    return ps->set->list || ps->set->nr != 1
               ? fail(ps, "%s: expected one value, not a list", ps->key)
               : 0;
}

static const char *value(const struct parser *ps) { return ps->set->items->text; }

/* Each entry of a list, or the one value; NULL: no more. One that is a list itself is an error. */
static const struct item *entry(struct parser *ps, const struct item *last)
{
    const struct item *i = last ? last->next : ps->set->items;

    for (; i && i->list; i = i->next)
        fail(ps, "%s: an entry is a list itself", ps->key);
    if (i && i->line)
        ps->line = i->line;
    return i;
}

static int text_value(struct parser *ps, char *out, size_t n)
{
    int rc = one(ps);
    if (rc)
        return rc;
    size_t len = strlen(value(ps));
    if (len >= n)
        return fail(ps, "%s: longer than %zu characters", ps->key, n - 1);
    memcpy(out, value(ps), len + 1);
    return 0;
}

static int number(struct parser *ps, const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
    char *end;
    unsigned long v = strtoul(text, &end, 0);

    if (*text < '0' || *text > '9' || *end)
        return fail(ps, "%s: '%s' is no number", ps->key, text);
    if (v < min || v > max)
        return fail(ps, "%s: %lu is not between %u and %u", ps->key, v, min, max);
    if (text[0] == '0' && text[1] >= '0' && text[1] <= '9') /* as C and xl read it */
        note(ps, "%s: %s is octal, for %lu", ps->key, text, v);
    *out = (uint32_t)v;
    return 0;
}

static int choice(struct parser *ps, const char *const *names, unsigned n, unsigned *out)
{
    int rc = one(ps);
    if (rc)
        return rc;
    for (unsigned i = 0; i < n; i++)
        if (names[i] && !strcmp(names[i], value(ps))) {
            *out = i;
            return 0;
        }
    return fail(ps, "%s: unknown value '%s'", ps->key, value(ps));
}

/* --- keys with a syntax of their own ------------------------------------------------------------------------ */
static bool name_has(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == ':';
}

static int k_name(struct parser *ps)
{
    int rc = text_value(ps, ps->c->name, sizeof(ps->c->name));
    const char *name = ps->c->name;

    for (const char *p = name; !rc && *p; p++)
        if (!name_has(*p))
            rc = fail(ps, "name: '%s' has a character that is not allowed", name);
    if (!rc && *name && !name[strspn(name, "0123456789")]) /* commands take numbers of domains too */
        rc = fail(ps, "name: '%s' is a number, as domains have besides their names", name);
    if (!rc && (!strcmp(name, "Domain-0") || !strcmp(name, "control")))
        rc = fail(ps, "name: '%s' means the control domain%s", name,
                  *name == 'c' ? "" : " elsewhere");
    return rc;
}
/* An image of the bundle. There is no file system whose paths could be meant. */
static int image_value(struct parser *ps, char *out, size_t n)
{
    int rc = one(ps);

    if (!rc && strstr(value(ps), "grub") && strchr(value(ps), '/'))
        return fail(ps, "%s: '%s' is a path: GRUB is in the bundle, %s = \"grub\" starts it",
                    ps->key, value(ps), ps->key);
    if (!rc && strchr(value(ps), '/'))
        return fail(ps, "%s: '%s' is a path: images come from the boot bundle, by their names there",
                    ps->key, value(ps));
    return rc ? rc : text_value(ps, out, n);
}
/* Of these only the way to do the same is known. */
static int k_bootloader(struct parser *ps)
{
    return fail(ps,
                "bootloader: none runs outside of the guest; kernel = \"grub\" boots the kernel on the guest's own disk");
}
static int k_uuid(struct parser *ps)
{
    int rc = one(ps);

    if (!rc && (uuid_parse(value(ps), ps->c->uuid) || uuid_is_null(ps->c->uuid)))
        rc = fail(ps, "uuid: '%s' is none (xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx)", value(ps));
    return rc;
}
/* Seconds, to either side of UTC. */
static int k_rtc_timeoffset(struct parser *ps)
{
    uint32_t v = 0;
    int rc = one(ps);
    bool behind = !rc && value(ps)[0] == '-';

    if (!rc)
        rc = number(ps, value(ps) + behind, 0, 1u << 30, &v);
    ps->c->rtc_timeoffset = behind ? -(int32_t)v : (int32_t)v;
    return rc;
}

static int k_cpus(struct parser *ps)
{
    char *out = ps->c->cpus, why[160];
    size_t len = 0;
    uint32_t cpus;

    *out = '\0';
    for (const struct item *i = entry(ps, NULL); i; i = entry(ps, i)) {
        if (!i->text[0] || strchr(i->text, ';'))
            return fail(ps, "cpus: '%s' is no CPU and no range of them (all, 0-3,^1)", i->text);
        /* a ; behind the only one says that it is a list */
        len += (size_t)snprintf(out + len, CFG_CPUS_TEXT - len, "%s%s", i->text,
                                ps->set->list && (i->next || i == ps->set->items) ? ";" : "");
        if (len >= CFG_CPUS_TEXT)
            return fail(ps, "cpus: longer than %u characters", CFG_CPUS_TEXT - 1);
    }
    return config_cpus(out, 0, &cpus, why, sizeof(why)) ? fail(ps, "cpus: %s", why) : 0;
}

/* What kind of guest it is, in xl's word and in one of xm's. */
static int k_type(struct parser *ps)
{
    int rc = one(ps);
    bool pvh = !rc && (!strcmp(value(ps), "pvh") ||
                       (!strcmp(ps->key, "builder") && !strcmp(value(ps), "generic")));

    return rc || pvh ? rc : fail(ps, "%s: '%s' is not here: guests are PVH", ps->key, value(ps));
}

static int k_vif(struct parser *ps)
{
    char why[160], *spec;
    int rc = 0;

    ps->c->nr_vifs = 0;
    for (const struct item *i = entry(ps, NULL); i; i = entry(ps, i)) {
        if (ps->c->nr_vifs == CFG_MAX_VIFS)
            return fail(ps, "vif: more than %u entries", CFG_MAX_VIFS);
        spec = strdup(i->text); /* it is cut into pieces */
        if (!spec)
            return fail(ps, "vif: out of memory");
        if (config_vif(&ps->c->vif[ps->c->nr_vifs], spec, why, sizeof(why)))
            rc = fail(ps, "vif: %s", why);
        else if (*why)
            note(ps, "vif: %s", why);
        free(spec);
        ps->c->nr_vifs++;
    }
    return rc;
}

static int k_pci(struct parser *ps)
{
    struct domcfg *c = ps->c;
    struct cfg_pci d;
    char why[160];
    int rc = 0;

    c->nr_pci = 0;
    c->pci_all = 0;
    memset(c->pci_said, 0, sizeof(c->pci_said));
    for (const struct item *i = entry(ps, NULL); i; i = entry(ps, i)) {
        if (c->nr_pci == CFG_MAX_PCI)
            return fail(ps, "pci: more than %d", CFG_MAX_PCI);
        if (config_pci(&d, i->text, why, sizeof(why))) {
            rc = fail(ps, "pci: %s", why);
            continue;
        }
        if (*why)
            note(ps, "pci: %s", why);
        c->pci_all |= (uint8_t)(d.all << c->nr_pci);
        c->pci_said[c->nr_pci] = d;
        c->pci[c->nr_pci++] = d.sbdf;
    }
    return rc;
}
_Static_assert(CFG_MAX_PCI <= 8, "bits of pci_all");

static int k_bridges(struct parser *ps)
{
    char why[160];
    int rc = 0;

    ps->c->nr_bridges = 0;
    for (const struct item *i = entry(ps, NULL); i; i = entry(ps, i))
        if (config_bridge(ps->c, i->text, why, sizeof(why)))
            rc = fail(ps, "bridges: %s", why);
    return rc;
}

static int k_disk(struct parser *ps)
{
    struct domcfg *c = ps->c;
    char why[160];
    int rc = 0;

    c->nr_disks = 0;
    for (const struct item *i = entry(ps, NULL); i; i = entry(ps, i)) {
        struct cfg_disk *d = &c->disk[c->nr_disks];
        if (c->nr_disks == CFG_MAX_DISKS)
            return fail(ps, "disk: more than %u entries", CFG_MAX_DISKS);
        if (config_disk(d, i->text, why, sizeof(why))) {
            rc = fail(ps, "disk: %s", why);
            continue;
        }
        for (unsigned k = 0; k < c->nr_disks; k++)
            if (c->disk[k].devid == d->devid)
                rc = fail(ps, "disk: vdev %s is there twice", d->vdev);
        c->nr_disks++;
    }
    return rc;
}

/* What happens to a guest that ended. A report of a crash is kept in any case, which is all of a core dump. */
static int action(struct parser *ps, enum cfg_action *out)
{
    static const struct {
        const char *word;
        enum cfg_action action;
    } words[] = {
        { "destroy", ACTION_DESTROY },   { "coredump-destroy", ACTION_DESTROY },
        { "restart", ACTION_RESTART },   { "coredump-restart", ACTION_RESTART },
        { "preserve", ACTION_PRESERVE }, { "soft-reset", ACTION_SOFT_RESET },
    };
    int rc = one(ps);

    for (unsigned i = 0; !rc && i < sizeof(words) / sizeof(words[0]); i++)
        if (!strcmp(words[i].word, value(ps))) {
            *out = words[i].action;
            return *out != ACTION_SOFT_RESET || !strcmp(ps->key, "on_soft_reset")
                       ? 0
                       : fail(ps, "%s: soft-reset is for on_soft_reset here", ps->key);
        }
    if (!rc && !strcmp(value(ps), "rename-restart"))
        return fail(ps,
                    "%s: rename-restart is not here: restart does, `crashes` has what there was to say",
                    ps->key);
    return rc ? rc : fail(ps, "%s: unknown value '%s'", ps->key, value(ps));
}

/* xm's word for the three of them. */
static int k_restart(struct parser *ps)
{
    static const struct {
        const char *word;
        enum cfg_action poweroff, reboot, crash;
    } words[] = {
        { "always", ACTION_RESTART, ACTION_RESTART, ACTION_RESTART },
        { "onreboot", ACTION_DESTROY, ACTION_RESTART, ACTION_DESTROY },
        { "never", ACTION_DESTROY, ACTION_DESTROY, ACTION_DESTROY },
    };
    int rc = one(ps);

    for (unsigned i = 0; !rc && i < sizeof(words) / sizeof(words[0]); i++)
        if (!strcmp(words[i].word, value(ps))) {
            ps->c->on_poweroff = words[i].poweroff;
            ps->c->on_reboot = words[i].reboot;
            ps->c->on_crash = words[i].crash;
            return 0;
        }
    return rc ? rc : fail(ps, "restart: '%s' is none of always, onreboot, never", value(ps));
}

/* A part of the command line, which is put together when all are known (config_cmdline.c). */
static int k_part(struct parser *ps)
{
    int rc = one(ps);

    if (!rc && strchr(value(ps), '\n'))
        rc = fail(ps, "%s: a line end in a command line", ps->key);
    if (!rc && ps->alone)
        rc = fail(ps, "%s: is a part of the command line, and extra is the whole of it here",
                  ps->key);
    return rc;
}

/* --- the table ---------------------------------------------------------------------------------- */
static const char *const roles[] = {
    [BH_ROLE_GUEST] = "guest",
    [BH_ROLE_STORE] = "store",
    [BH_ROLE_PCIBACK] = "pciback",
    [BH_ROLE_DRIVER] = "driver",
};

static const struct key {
    const char *name;
    enum { TEXT, IMAGE, NUMBER, FLAG, CHOICE, ACTION, OWN } type;
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
#define KEY_ACTION(key, member) { .name = #key, .type = ACTION, AT(member) },
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
    case NUMBER: rc = one(ps); return rc ? rc : number(ps, value(ps), k->min, k->max, member);
    case FLAG:
        rc = one(ps);
        if (!rc)
            rc = number(ps, value(ps), 0, 1, &v);
        *(bool *)member = v;
        return rc;
    case CHOICE:
        rc = choice(ps, k->names, k->max, &v);
        *(unsigned *)member = v; /* an enum without negative values */
        return rc;
    case ACTION: return action(ps, member);
    case OWN: return k->own(ps);
    }
    return -EINVAL;
}

static const struct key *find_key(const char *name)
{
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (!strcmp(keys[i].name, name))
            return &keys[i];
    return NULL;
}

static bool is_key(const char *name) { return find_key(name) != NULL; }

/* In a line of all of them, not in one for each. */
static void say_noted(struct parser *ps, char *noted)
{
    if (*noted) {
        ps->line = 0;
        note(ps, "passed over, they do nothing here: %s", noted);
    }
    *noted = '\0';
}

/* One setting. Names that others have and we do not are put into `noted`. */
static void apply(struct parser *ps, const struct setting *set, char *noted, size_t n)
{
    const struct key *k = find_key(set->key);
    const char *why;

    ps->set = set;
    ps->key = set->key;
    ps->line = set->line;
    if (k) {
        (void)key_set(ps, k);
        return;
    }
    switch (known_key(set->key, &why)) {
    case KNOWN_REFUSED: fail(ps, "%s: %s", set->key, why); break;
    case KNOWN_NOTED:
        if (strlen(noted) + strlen(set->key) + 3 > n)
            say_noted(ps, noted);
        snprintf(noted + strlen(noted), n - strlen(noted), "%s%s", *noted ? ", " : "", set->key);
        break;
    case KNOWN_NOT:
        if (!set->used)
            fail(ps, "unknown key '%s'", set->key);
        break;
    }
}

static void begin(struct domcfg *c)
{
    memset(c, 0, sizeof(*c));
    c->vcpus = 1;
    c->cpu_weight = 256;
    c->on_reboot = ACTION_RESTART;
    c->on_soft_reset = ACTION_SOFT_RESET;
}

/* Words that are no keys come before the file, which may use them; keys come behind it. */
static void read_words(struct settings *s, int n, char *const *words, bool keys_only)
{
    for (int i = 0; i < n; i++) {
        char name[SETTING_KEY];
        size_t len = strcspn(words[i], "=+ ");
        snprintf(name, sizeof(name), "%.*s", len < sizeof(name) ? (int)len : 0, words[i]);
        bool variable = len && words[i][len] == '=' && !is_key(name);
        if (variable != keys_only)
            settings_word(s, words[i]);
    }
}

static void command_line(struct parser *ps, const struct settings *s)
{
    const struct setting *cmdline = settings_find(s, "cmdline");
    const char *why = config_vnet(s, ps->c->vnet, ps->c->cmdline, sizeof(ps->c->cmdline));

    if (!why && !ps->c->vnet)
        why = config_cmdline(s, ps->c->cmdline, sizeof(ps->c->cmdline));

    if (!s->first)
        return;
    ps->set = cmdline ? cmdline : settings_find(s, why && *why == 'n' ? "nfs_root" : "extra");
    ps->set = ps->set ? ps->set : s->first;
    ps->line = ps->set->line;
    if (why && !ps->found->errors)
        fail(ps, "%s", why);
    if (cmdline && (settings_find(s, "root") || settings_find(s, "extra")))
        note(ps, "cmdline: is the whole, root and extra beside it do not count");
}

static void pci_of_service(struct parser *ps)
{
    bool said = false;

    for (unsigned i = 0; i < ps->c->nr_pci && ps->c->role != BH_ROLE_GUEST; i++)
        said |= ps->c->pci_said[i].vslot || ps->c->pci_said[i].permissive;
    ps->line = 0;
    if (said)
        note(ps, "pci: vslot and permissive do nothing for a service domain, which asks the core");
}

int config_read(struct domcfg *c, const char *file, const char *text, size_t len, int nr_words,
                char *const *words, struct findings *found)
{
    struct settings s = { .found = found, .is_key = is_key };
    struct parser ps = { .c = c, .found = found };
    char noted[160] = "";

    memset(found, 0, sizeof(*found));
    begin(c);
    read_words(&s, nr_words, words, false);
    settings_read(&s, file, text, len);
    read_words(&s, nr_words, words, true);
    for (const struct setting *set = s.first; set; set = set->next)
        apply(&ps, set, noted, sizeof(noted));
    if (!settings_find(&s, "on_watchdog"))
        c->on_watchdog = c->on_crash;
    command_line(&ps, &s);
    say_noted(&ps, noted);
    pci_of_service(&ps);
    settings_free(&s);
    return found->errors ? -EINVAL : 0;
}

int config_override(struct domcfg *c, const char *text, char *err, size_t n)
{
    struct findings *found = calloc(1, sizeof(*found));
    struct settings s = { .found = found, .is_key = is_key };
    struct parser ps = { .c = c, .found = found, .alone = true };
    char noted[160] = "";

    if (!found)
        return snprintf(err, n, "%.60s: out of memory", text), -ENOMEM;
    settings_word(&s, text);
    for (const struct setting *set = s.first; set && !found->errors; set = set->next)
        apply(&ps, set, noted, sizeof(noted));
    settings_free(&s);
    int rc = found->errors ? -EINVAL : 0;
    if (rc)
        findings_first(found, err, n);
    free(found);
    return rc;
}

int config_check(const struct domcfg *c, const char *file, char *err, size_t n)
{
    const char *why = NULL;
    char of_bridges[160], of_vnet[160];

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
    else if (c->keep && c->role == BH_ROLE_GUEST)
        why = "keep pages are for the roles driver, pciback and store";
    else if (c->mtu && c->role != BH_ROLE_DRIVER)
        why = "mtu is for the role driver; a guest's is a word of vif";
    else if (c->driver_domain && c->role != BH_ROLE_GUEST)
        why = "driver_domain is for a guest: the role driver serves without";
    else if (c->configs[0] && c->role != BH_ROLE_DRIVER)
        why = "configs is for the role driver: its volume that has configurations";
    else if (c->image[0] && c->keep * 4 + 2048 > c->memory_mb * 1024)
        why = "keep pages leave no room for the program";
    else if (c->image[0] && c->memory_mb > 3072)
        why = "memory: a service domain has at most 3072 MiB"; /* its grants are mapped above */
    else if (config_bridges_check(c, of_bridges, sizeof(of_bridges)))
        why = of_bridges;
    else if (config_vnet_check(c, of_vnet, sizeof(of_vnet)))
        why = of_vnet;
    if (!why)
        return 0;
    snprintf(err, n, "%s: %s", file, why);
    return -EINVAL;
}
