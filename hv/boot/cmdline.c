/* SPDX-License-Identifier: MIT */
/*
 * The command line: words separated by blanks, each `key=value` or `key`. One row per key; a word that no row takes, or whose
 * value does not parse, is reported and the rest applies. Names and meaning follow Xen's where Xen has them.
 */
#include <bulkhead.h>
#include "boot/boot.h"
#include "lib/print.h"
#include "lib/string.h"

typedef void (*report_fn)(const char *part, const char *why);

struct word { const char *key; char *value; report_fn report; char *whole; };

static bool parse_u64(const char *s, char **end, unsigned base, uint64_t *v)
{
    const char *p = s;
    *v = 0;
    for (;; p++) {
        unsigned digit;
        if (*p >= '0' && *p <= '9')
            digit = (unsigned)(*p - '0');
        else if (base == 16 && (*p | 0x20) >= 'a' && (*p | 0x20) <= 'f')
            digit = (unsigned)((*p | 0x20) - 'a') + 10;
        else
            break;
        if (*v > (UINT64_MAX - digit) / base)
            return false;
        *v = *v * base + digit;
    }
    *end = (char *)(uintptr_t)p;
    return p != s;
}

static bool parse_number(const char *s, uint64_t max, uint64_t *v)
{
    char *end;
    bool ok = s[0] == '0' && (s[1] | 0x20) == 'x' ? parse_u64(s + 2, &end, 16, v) : parse_u64(s, &end, 10, v);
    return ok && !*end && *v <= max;
}

/* Xen's booleans; no value is true. */
static bool parse_bool(const char *s, bool *v)
{
    static const char *const yes[] = { "", "1", "yes", "on", "true", "enable" };
    static const char *const no[] = { "0", "no", "off", "false", "disable" };
    for (unsigned i = 0; i < ARRAY_SIZE(yes); i++)
        if (!strcmp(s, yes[i]))
            return *v = true;
    for (unsigned i = 0; i < ARRAY_SIZE(no); i++)
        if (!strcmp(s, no[i])) {
            *v = false;
            return true;
        }
    return false;
}

static void bad(const struct word *w, const char *why) { w->report(w->whole, why); }

/* Cuts the text at the first `sep`; returns what follows, or NULL. */
static char *split(char *s, char sep)
{
    char *p = strchr(s, sep);
    if (!p)
        return NULL;
    *p = 0;
    return p + 1;
}

/* com1=<baud>[,8n1[,<port>]] */
static void opt_com1(struct cmdline *c, struct word *w)
{
    char text[64];
    uint64_t baud, port = c->com1_port;
    snprintf(text, sizeof text, "%s", w->value);
    char *format = split(text, ',');
    char *base = format ? split(format, ',') : NULL;
    if (!parse_number(text, 115200, &baud) || !baud || 115200 % baud)
        return bad(w, "not a baud rate that divides 115200");
    if (format && strcmp(format, "8n1"))
        return bad(w, "only 8n1 is supported");
    if (base && (!parse_number(base, 0xfff8, &port) || !port))
        return bad(w, "not an I/O port");
    c->com1_baud = (uint32_t)baud;
    c->com1_port = (uint16_t)port;
}

static void opt_console(struct cmdline *c, struct word *w)
{
    char text[64];
    snprintf(text, sizeof text, "%s", w->value);
    c->console_com1 = false;
    for (char *s = text, *next; s; s = next) {
        next = split(s, ',');
        if (!strcmp(s, "com1"))
            c->console_com1 = true;
        else if (strcmp(s, "none") && strcmp(s, "vga")) /* vga is Xen's default: accepted, not served */
            bad(w, "unknown console");
    }
}

/* loglvl=<level>[/<rate-limited level>] */
static void opt_loglvl(struct cmdline *c, struct word *w)
{
    static const struct { const char *name; int level; } row[] = {
        { "none", -1 }, { "error", LOG_ERR }, { "warning", LOG_WARN }, { "info", LOG_INFO },
        { "debug", LOG_DEBUG }, { "all", LOG_DEBUG },
    };
    char text[32];
    snprintf(text, sizeof text, "%s", w->value);
    split(text, '/');
    for (unsigned i = 0; i < ARRAY_SIZE(row); i++)
        if (!strcmp(text, row[i].name)) {
            c->loglvl = row[i].level;
            return;
        }
    bad(w, "unknown log level");
}

static void opt_maxcpus(struct cmdline *c, struct word *w)
{
    uint64_t v;
    if (!parse_number(w->value, MAX_CPUS, &v))
        return bad(w, "not a number of CPUs");
    c->maxcpus = (unsigned)v;
}

static void opt_ratelimit(struct cmdline *c, struct word *w)
{
    uint64_t v;
    if (!parse_number(w->value, 500000, &v))
        return bad(w, "not a time in microseconds");
    c->wake_preempt_us = (uint32_t)v;
}

static void opt_iommu(struct cmdline *c, struct word *w)
{
    bool on;
    if (!parse_bool(w->value, &on))
        return bad(w, "not a boolean");
    c->iommu_off = !on;
}

static void opt_sched(struct cmdline *c, struct word *w)
{
    (void)c;
    if (strcmp(w->value, "rr"))
        bad(w, "unknown scheduler");
}

/* ctl_mem=<size>[K|M|G], no suffix: KiB as Xen has it */
static void opt_ctl_mem(struct cmdline *c, struct word *w)
{
    char *end;
    uint64_t v;
    unsigned shift = 10;
    if (!parse_u64(w->value, &end, 10, &v))
        return bad(w, "not a size");
    if (*end) {
        char u = (char)(*end | 0x20);
        shift = u == 'k' ? 10 : u == 'm' ? 20 : u == 'g' ? 30 : 0;
        if (!shift || end[1])
            return bad(w, "not a size");
    }
    if (v > 512ull << 20 >> (shift - 10) || v << shift < 8ull << 20 || v << shift > 512ull << 20)
        return bad(w, "out of range (8M to 512M)");
    c->ctl_mem = v << shift & ~((2ull << 20) - 1);
}

/* One bus:slot.func or domain:bus:slot.func, all hexadecimal. Returns the reason if it is none. */
static const char *parse_sbdf(const char *s, uint32_t *sbdf)
{
    uint64_t f[4];
    unsigned n = 0;
    char *end;
    for (;;) {
        if (n == 4 || !parse_u64(s, &end, 16, &f[n++]))
            return "not (bus:slot.func) or (domain:bus:slot.func)";
        if (*end != ':')
            break;
        s = end + 1;
    }
    if (n < 2 || n > 3 || *end != '.' || !parse_u64(end + 1, &end, 16, &f[n]) || *end)
        return "not (bus:slot.func) or (domain:bus:slot.func)";
    uint64_t seg = n == 3 ? f[0] : 0, bus = f[n - 2], dev = f[n - 1], fn = f[n];
    if (seg > 0xffff || bus > 0xff || dev > 0x1f || fn > 7)
        return "number out of range";
    *sbdf = BH_SBDF(seg, bus, dev, fn);
    return NULL;
}

static void add_hidden(struct cmdline *c, const struct word *w, const char *part, uint32_t sbdf)
{
    for (unsigned i = 0; i < c->nr_hide; i++)
        if (c->hide[i] == sbdf)
            return;
    if (c->nr_hide == ARRAY_SIZE(c->hide))
        return w->report(part, "too many hidden devices");
    c->hide[c->nr_hide++] = sbdf;
}

/* pciback.hide=(bus:slot.func)(domain:bus:slot.func)... Each malformed piece is reported by itself. */
static void opt_hide(struct cmdline *c, struct word *w)
{
    char *s = w->value;
    if (!*s)
        return bad(w, "names no device");
    while (*s) {
        char part[48];
        uint32_t sbdf;
        char *close = *s == '(' ? strchr(s, ')') : NULL;
        char *stop = close ? close + 1 : strchr(s + 1, '(');
        size_t n = stop ? (size_t)(stop - s) : strlen(s);
        const char *why = "not (bus:slot.func) or (domain:bus:slot.func)";
        snprintf(part, sizeof part, "%.*s", (int)MIN(n, sizeof part - 1), s);
        if (close && n < sizeof part) {
            char inner[48];
            snprintf(inner, sizeof inner, "%.*s", (int)n - 2, s + 1);
            why = parse_sbdf(inner, &sbdf);
        }
        char whole[80];
        snprintf(whole, sizeof whole, "%s=%s", w->key, part);
        if (why)
            w->report(whole, why);
        else
            add_hidden(c, w, whole, sbdf);
        s += n;
    }
}

static const struct {
    const char *key;
    void (*fn)(struct cmdline *c, struct word *w);
} option[] = {
    { "com1", opt_com1 },          { "console", opt_console },
    { "loglvl", opt_loglvl },      { "maxcpus", opt_maxcpus },
    { "iommu", opt_iommu },        { "sched", opt_sched },
    { "ctl_mem", opt_ctl_mem },    { "sched_ratelimit_us", opt_ratelimit },
    { "pciback.hide", opt_hide },  { "xen-pciback.hide", opt_hide },
};

/* Booleans; `invert`: the field says the opposite of the key. */
static const struct { const char *key; size_t field; bool invert; } flag[] = {
    { "noreboot", offsetof(struct cmdline, noreboot), false },
    { "nosmap", offsetof(struct cmdline, nosmap), false },
    { "smap", offsetof(struct cmdline, nosmap), true },
    { "nosmep", offsetof(struct cmdline, nosmep), false },
    { "smep", offsetof(struct cmdline, nosmep), true },
};

static void apply(struct cmdline *c, struct word *w)
{
    for (unsigned i = 0; i < ARRAY_SIZE(option); i++)
        if (!strcmp(w->key, option[i].key)) {
            option[i].fn(c, w);
            return;
        }
    for (unsigned i = 0; i < ARRAY_SIZE(flag); i++)
        if (!strcmp(w->key, flag[i].key)) {
            bool v;
            if (!parse_bool(w->value, &v))
                return bad(w, "not a boolean");
            *(bool *)((char *)c + flag[i].field) = v != flag[i].invert;
            return;
        }
    bad(w, "unknown option");
}

void cmdline_parse(struct cmdline *c, const char *text, report_fn report)
{
    char buf[sizeof boot_info.cmdline], whole[sizeof boot_info.cmdline];
    *c = (struct cmdline){ .com1_port = 0x3f8, .com1_baud = 115200, .console_com1 = true, .loglvl = LOG_INFO,
                           .wake_preempt_us = 200, .ctl_mem = 64ull << 20 };
    snprintf(buf, sizeof buf, "%s", text);
    for (char *s = buf, *next; s; s = next) {
        next = split(s, ' ');
        if (!*s)
            continue;
        snprintf(whole, sizeof whole, "%s", s);
        char *value = split(s, '=');
        struct word w = { s, value ? value : s + strlen(s), report, whole };
        apply(c, &w);
    }
}
