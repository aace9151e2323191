/* SPDX-License-Identifier: MIT */
/*
 * The command line: words separated by blanks, each `key=value` or `key`. One row per key; a word that no row takes, or whose
 * value does not parse, is reported and the rest applies. Names and meaning follow Xen's where Xen has them (its
 * xen-command-line manual); words of Xen and Linux that mean nothing here are reported together, a line for each reason.
 *
 * No value here has a blank, a quote or a backslash in it: a tab is a blank, quotes and GRUB's escapes come off everywhere.
 */
#include <bulkhead.h>
#include "boot/boot.h"
#include "base/print.h"
#include "base/string.h"

typedef void (*report_fn)(const char *part, const char *why);

struct word {
    const char *key;
    char *value;
    report_fn report;
    char *whole, *no;
};

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
    bool hex = s[0] == '0' && (s[1] | 0x20) == 'x';
    return parse_u64(hex ? s + 2 : s, &end, hex ? 16 : 10, v) && !*end && *v <= max;
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

static void com1_baud(struct cmdline *c, struct word *w, char *s)
{
    uint64_t baud, hz;
    const char *clock = split(s, '/');
    if (clock && (!parse_number(clock, UINT32_MAX, &hz) || hz != 1843200))
        bad(w, "only a clock of 1843200 Hz is served");
    if (!strcmp(s, "auto"))
        c->com1_baud = 0;
    else if (!parse_number(s, 115200, &baud) || !baud || 115200 % baud)
        bad(w, "not a baud rate that divides 115200: the speed stays");
    else
        c->com1_baud = (uint32_t)baud;
}

static void com1_format(struct word *w, const char *s)
{
    if (s[0] != '8' || (s[1] | 0x20) != 'n' || s[2] != '1' || s[3])
        bad(w, "only 8n1 is supported, and used");
}

static void com1_port(struct cmdline *c, struct word *w, const char *s)
{
    uint64_t port;
    if (!parse_number(s, 0xfff8, &port) || !port)
        return bad(w, "not an I/O port: the port stays");
    c->com1_port = (uint16_t)port;
}

/* com1=<baud>[/<clock>][,<format>[,<port>[,...]]], or name=value for each. What follows the port is not needed and passed over. */
static void opt_com1(struct cmdline *c, struct word *w)
{
    unsigned n = 0;
    for (char *s = w->value, *next; s; s = next, n++) {
        next = split(s, ',');
        char *value = split(s, '=');
        if (!*s)
            continue;
        if (value ? !strcmp(s, "baud") : n == 0)
            com1_baud(c, w, value ? value : s);
        else if (!value && n == 1)
            com1_format(w, s);
        else if (value ? !strcmp(s, "io-base") : n == 2)
            com1_port(c, w, value ? value : s);
        else if (value && ((!strcmp(s, "data-bits") && strcmp(value, "8")) ||
                           (!strcmp(s, "stop-bits") && strcmp(value, "1")) ||
                           (!strcmp(s, "parity") && strcmp(value, "none"))))
            com1_format(w, "");
    }
}

/* There is one console, com1, and no way to be without it: the control domain's shell is on it. vga beside it is Xen's default. */
static void opt_console(struct cmdline *c, struct word *w)
{
    bool com1 = false, other = false;
    (void)c;
    for (char *s = w->value, *next; s; s = next) {
        next = split(s, ',');
        com1 |= !strcmp(s, "com1");
        other |= strcmp(s, "com1") && strcmp(s, "vga");
    }
    if (!com1)
        bad(w, "not a console here: log and shell stay on com1");
    else if (other)
        bad(w, "only com1 is a console here");
}

/* loglvl=<level>[/<rate-limited level>] */
static void opt_loglvl(struct cmdline *c, struct word *w)
{
    static const struct {
        const char *name;
        int level;
    } row[] = {
        { "none", -1 },       { "error", LOG_ERR },   { "warning", LOG_WARN },
        { "info", LOG_INFO }, { "debug", LOG_DEBUG }, { "all", LOG_DEBUG },
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

/* conswitch=<letter>[x]: Ctrl and it, three times. x keeps the input with the core in Xen; here the control domain has it from the start. */
static void opt_conswitch(struct cmdline *c, struct word *w)
{
    char l = w->value[0] | 0x20;
    if (w->value == w->no || !strcmp(w->value, "`"))
        c->conswitch = 0;
    else if (l < 'a' || l > 'z' || (w->value[1] && strcmp(w->value + 1, "x")))
        bad(w, "not a letter: Ctrl-A stays");
    else
        c->conswitch = (char)(l - 'a' + 1);
}

static void opt_ratelimit(struct cmdline *c, struct word *w)
{
    uint64_t v;
    if (!parse_number(w->value, 500000, &v))
        return bad(w, "not a time in microseconds");
    c->wake_preempt_us = (uint32_t)v;
}

/* A list: a boolean, or what Xen calls required (also force): without an IOMMU the machine does not start. */
static void opt_iommu(struct cmdline *c, struct word *w)
{
    bool on, other = false;
    for (char *s = w->value, *next; s; s = next) {
        next = split(s, ',');
        if (parse_bool(s, &on))
            c->iommu_off = !on;
        else if (!strcmp(s, "required") || !strcmp(s, "force"))
            c->iommu_required = true;
        else if (!strcmp(s, "trust"))
            c->iommu_trust = true;
        else
            other = true;
    }
    if (other)
        bad(w, "only on, off, required and trust are served of these");
}

static void opt_sched(struct cmdline *c, struct word *w)
{
    (void)c;
    if (strcmp(w->value, "rr"))
        bad(w, "unknown scheduler");
}

/* <size>[K|M|G], no suffix: KiB as Xen has it */
static bool parse_size(const char *s, uint64_t *v)
{
    static const char units[] = "kmg";
    char *end;
    if (!parse_u64(s, &end, 10, v))
        return false;
    const char *unit = *end ? strchr(units, (char)(*end | 0x20)) : units;
    if (!unit || (*end && end[1]))
        return false;
    unsigned shift = 10 * (unsigned)(unit - units + 1);
    if (*v > UINT64_MAX >> shift)
        return false;
    *v <<= shift;
    return true;
}

static void opt_ctl_mem(struct cmdline *c, struct word *w)
{
    uint64_t v;
    if (!parse_size(w->value, &v))
        return bad(w, "not a size");
    if (v < 8ull << 20 || v > 512ull << 20)
        return bad(w, "out of range (8M to 512M)");
    c->ctl_mem = v & ~((2ull << 20) - 1);
}

/* mem=<size>: RAM above is not used */
static void opt_mem(struct cmdline *c, struct word *w)
{
    uint64_t v;
    if (!parse_size(w->value, &v) || !v)
        return bad(w, "not a size");
    c->mem = v;
}

/* badpage=<frame>[-<frame>],...: numbers of pages that are not used */
static void opt_badpage(struct cmdline *c, struct word *w)
{
    for (char *s = w->value, *next; s; s = next) {
        uint64_t first, last;
        next = split(s, ',');
        char *to = split(s, '-');
        if (!parse_number(s, UINT64_MAX >> 12, &first) ||
            !parse_number(to ? to : s, UINT64_MAX >> 13, &last) || last < first)
            bad(w, "not a page's number, or two with a - between them");
        else if (c->nr_badpage == ARRAY_SIZE(c->badpage))
            bad(w, "more than 16");
        else
            c->badpage[c->nr_badpage++] = (struct boot_range){ first << 12, (last + 1) << 12 };
    }
}

/* rtc=utc, or +hh:mm or -hh:mm where the battery clock is local time: how far it is ahead of UTC. */
static void opt_rtc(struct cmdline *c, struct word *w)
{
    char *end;
    uint64_t h, m;
    if (!strcmp(w->value, "utc")) {
        c->rtc_offset = 0;
        return;
    }
    if ((w->value[0] != '+' && w->value[0] != '-') || !parse_u64(w->value + 1, &end, 10, &h) ||
        *end != ':' || !parse_u64(end + 1, &end, 10, &m) || *end || h > 14 || m > 59)
        return bad(w,
                   "not utc, +hh:mm or -hh:mm (how far the battery clock is ahead of UTC): taken as utc");
    c->rtc_offset = (int32_t)(h * 3600 + m * 60) * (w->value[0] == '-' ? -1 : 1);
}

static const char hide_form[] = "not (bus:slot.func) or (domain:bus:slot.func)";

/* One bus:slot.func or domain:bus:slot.func, all hexadecimal; a star for the function, or for slot and function, sets in *any the
 * bits of the device number that are free. Returns the reason if it is none. */
static const char *parse_sbdf(const char *s, uint32_t *sbdf, uint8_t *any)
{
    uint64_t f[4] = { 0 }; /* domain, bus, slot, function */
    unsigned n = 1;
    char *end = (char *)(uintptr_t)s;
    for (const char *p = s; *p && *p != '.'; p++)
        n += *p == ':';
    if (n != 2 && n != 3)
        return hide_form;
    *any = 0;
    for (unsigned i = 3 - n; i < 4; i++, s = end + 1) {
        if (*s == '*' && (i == 3 || (i == 2 && !strcmp(s, "*.*")))) {
            *any |= i == 3 ? 7 : 0xf8;
            end = (char *)(uintptr_t)s + 1;
        } else if (!parse_u64(s, &end, 16, &f[i])) {
            return hide_form;
        }
        if (*end != "::."[i])
            return hide_form;
    }
    if (f[3] > 7)
        return "the function is 0 to 7, or *";
    if (f[0] > 0xffff || f[1] > 0xff || f[2] > 0x1f)
        return "number out of range (domain to ffff, bus to ff, slot to 1f)";
    *sbdf = BH_SBDF(f[0], f[1], f[2], f[3]);
    return NULL;
}

static void add_hidden(struct cmdline *c, const struct word *w, const char *part, uint32_t sbdf,
                       uint8_t any)
{
    for (unsigned i = 0; i < c->nr_hide; i++)
        if (c->hide[i] == sbdf && c->hide_any[i] == any)
            return;
    if (c->nr_hide == ARRAY_SIZE(c->hide))
        return w->report(part, "too many hidden devices");
    c->hide_any[c->nr_hide] = any;
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
        uint8_t any;
        char *close = *s == '(' ? strchr(s, ')') : NULL;
        char *stop = close ? close + 1 : strchr(s + 1, '(');
        size_t n = stop ? (size_t)(stop - s) : strlen(s);
        const char *why = hide_form;
        snprintf(part, sizeof part, "%.*s", (int)MIN(n, sizeof part - 1), s);
        if (close && n < sizeof part) {
            char inner[48];
            snprintf(inner, sizeof inner, "%.*s", (int)n - 2, s + 1);
            why = parse_sbdf(inner, &sbdf, &any);
        }
        char whole[80];
        snprintf(whole, sizeof whole, "%s=%s", w->key, part);
        if (why)
            w->report(whole, why);
        else
            add_hidden(c, w, whole, sbdf, any);
        s += n;
    }
}

static const struct {
    const char *key;
    void (*fn)(struct cmdline *c, struct word *w);
} option[] = {
    { "com1", opt_com1 },           { "console", opt_console },
    { "loglvl", opt_loglvl },       { "maxcpus", opt_maxcpus },
    { "conswitch", opt_conswitch }, { "mem", opt_mem },
    { "badpage", opt_badpage },     { "iommu", opt_iommu },
    { "sched", opt_sched },         { "rtc", opt_rtc },
    { "ctl_mem", opt_ctl_mem },     { "sched_ratelimit_us", opt_ratelimit },
    { "pciback.hide", opt_hide },   { "xen-pciback.hide", opt_hide },
};

/* Booleans; `invert`: the field says the opposite of the key. */
static const struct {
    const char *key;
    size_t field;
    bool invert;
} flag[] = {
    { "noreboot", offsetof(struct cmdline, noreboot), false },
    { "sync_console", offsetof(struct cmdline, sync_console), false },
    { "nosmap", offsetof(struct cmdline, nosmap), false },
    { "smap", offsetof(struct cmdline, nosmap), true },
    { "nosmep", offsetof(struct cmdline, nosmep), false },
    { "smep", offsetof(struct cmdline, nosmep), true },
};

/* Words of Xen and Linux that no row above takes. Those of one reason are reported in one line; NOTHING: not at all. */
enum reason { NOTHING, XEN_LEFT, XEN_MISSING, LINUX_LEFT, OTHER_FORM, NR_REASONS };
static const char *const reasons[NR_REASONS] = {
    [XEN_LEFT] = "left from Xen, not needed here",
    [XEN_MISSING] = "Xen has it, it is not served here",
    [LINUX_LEFT] = "for a Linux kernel, not used here",
    [OTHER_FORM] = "written pciback.hide=(bus:slot.func)(bus:slot.func)... here",
};
static const struct {
    const char *key;
    enum reason reason;
} foreign[] = {
    { "placeholder", NOTHING }, /* GRUB's own script puts it in front of every line */
    { "--", XEN_LEFT },
    { "dom0", XEN_LEFT },
    { "dom0-iommu", XEN_LEFT },
    { "dom0_mem", XEN_LEFT },
    { "dom0_max_vcpus", XEN_LEFT },
    { "dom0_vcpus_pin", XEN_LEFT },
    { "gnttab", XEN_LEFT },
    { "gnttab_max_frames", XEN_LEFT },
    { "gnttab_max_maptrack_frames", XEN_LEFT },
    { "ucode", XEN_LEFT },
    { "guest_loglvl", XEN_LEFT },
    { "vga", XEN_LEFT },
    { "no-real-mode", XEN_LEFT },
    { "edd", XEN_LEFT },
    { "edid", XEN_LEFT },
    { "efi", XEN_LEFT },
    { "ept", XEN_LEFT },
    { "cpufreq", XEN_LEFT },
    { "cpuidle", XEN_LEFT },
    { "max_cstate", XEN_LEFT },
    { "tsc", XEN_LEFT },
    { "clocksource", XEN_LEFT },
    { "console_timestamps", XEN_LEFT },
    { "console_to_ring", XEN_LEFT },
    { "conring_size", XEN_LEFT },
    { "cpuid_mask_cpu", XEN_LEFT },
    { "credit2_runqueue", XEN_LEFT },
    { "hap", XEN_LEFT },
    { "nmi", XEN_LEFT },
    { "xsave", XEN_LEFT },
    { "flask", XEN_LEFT },
    { "com2", XEN_MISSING },
    { "smt", XEN_MISSING },
    { "watchdog", XEN_MISSING },
    { "watchdog_timeout", XEN_MISSING },
    { "crashkernel", XEN_MISSING },
    { "spec-ctrl", XEN_MISSING },
    { "dbgp", XEN_MISSING },
    { "pciback.permissive", XEN_MISSING },
    { "xen-pciback.permissive", XEN_MISSING },
    { "pciback.passthrough", LINUX_LEFT },
    { "xen-pciback.passthrough", LINUX_LEFT },
    { "root", LINUX_LEFT },
    { "ro", LINUX_LEFT },
    { "rw", LINUX_LEFT },
    { "quiet", LINUX_LEFT },
    { "splash", LINUX_LEFT },
    { "rhgb", LINUX_LEFT },
    { "nomodeset", LINUX_LEFT },
    { "earlyprintk", LINUX_LEFT },
    { "rd.qubes.hide_pci", OTHER_FORM },
};

/* - and _ are the same in a key, as in the names of Linux's parameters. */
static bool same_key(const char *a, const char *b)
{
    while (*a && (*a == '_' ? '-' : *a) == (*b == '_' ? '-' : *b))
        a++, b++;
    return !*a && !*b;
}

/* False: nobody's word. */
static bool apply_own(struct cmdline *c, struct word *w, bool no)
{
    for (unsigned i = 0; i < ARRAY_SIZE(option); i++)
        if (same_key(w->key, option[i].key)) {
            if (no)
                w->value = w->no;
            option[i].fn(c, w);
            return true;
        }
    for (unsigned i = 0; i < ARRAY_SIZE(flag); i++)
        if (same_key(w->key, flag[i].key)) {
            bool v;
            if (!parse_bool(w->value, &v))
                bad(w, "not a boolean");
            else
                *(bool *)((char *)c + flag[i].field) = v != (flag[i].invert != no);
            return true;
        }
    return false;
}

static void apply(struct cmdline *c, struct word *w, bool *left)
{
    if (apply_own(c, w, false))
        return;
    for (unsigned i = 0; i < ARRAY_SIZE(foreign); i++)
        if (same_key(w->key, foreign[i].key)) {
            left[i] = true;
            return;
        }
    if (!strncmp(w->key, "no-", 3)) { /* Xen's manual, "Boolean" */
        w->key += 3;
        if (apply_own(c, w, true))
            return;
    }
    bad(w, w->whole[0] == '(' ? "a piece of pciback.hide? There is no blank between its devices"
                              : "unknown option");
}

static void report_left(const bool *left, report_fn report)
{
    for (unsigned r = NOTHING + 1; r < NR_REASONS; r++) {
        char names[200];
        size_t n = 0;
        for (unsigned i = 0; i < ARRAY_SIZE(foreign); i++) {
            if (!left[i] || foreign[i].reason != r)
                continue;
            if (n + strlen(foreign[i].key) + 2 > sizeof names) {
                report(names, reasons[r]);
                n = 0;
            }
            n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", n ? " " : "", foreign[i].key);
        }
        if (n)
            report(names, reasons[r]);
    }
}

/* Copies the text without quotes and backslashes, control characters as blanks. What is longer than CMDLINE_MAX ends before the
 * word, or the device of a list of them, that does not fit: half of one is another one. */
static void take(char *buf, const char *text, report_fn report)
{
    char part[96];
    size_t raw = strnlen(text, CMDLINE_MAX), n = 0, word, piece;
    for (size_t i = 0; i < raw; i++)
        if (text[i] != '"' && text[i] != '\'' && text[i] != '\\')
            buf[n++] = (uint8_t)text[i] < ' ' ? ' ' : text[i];
    buf[n] = 0;
    if (!text[raw])
        return;
    for (word = n; word && buf[word - 1] != ' ';)
        word--;
    for (piece = n; piece > word && buf[piece - 1] != ')';)
        piece--;
    snprintf(part, sizeof part, "%.*s%s%.32s", (int)MIN(piece - word, 32u), buf + word,
             piece - word > 32 ? "..." : "", buf + piece);
    buf[piece] = 0;
    report(part,
           "the line is longer than 1023 characters: cut here, this and what follows is not read");
}

void cmdline_parse(struct cmdline *c, const char *text, report_fn report)
{
    char buf[CMDLINE_MAX + 1], whole[CMDLINE_MAX + 1], no[] = "no";
    bool left[ARRAY_SIZE(foreign)] = { false };
    *c = (struct cmdline){ .com1_port = 0x3f8,
                           .com1_baud = 115200,
                           .loglvl = LOG_INFO,
                           .conswitch = 1,
                           .wake_preempt_us = 200,
                           .ctl_mem = 64ull << 20 };
    take(buf, text, report);
    for (char *s = buf, *next; s; s = next) {
        next = split(s, ' ');
        if (!*s)
            continue;
        snprintf(whole, sizeof whole, "%s", s);
        char *value = split(s, '=');
        struct word w = { s, value ? value : s + strlen(s), report, whole, no };
        apply(c, &w, left);
    }
    report_left(left, report);
}
