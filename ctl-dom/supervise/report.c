/* SPDX-License-Identifier: MIT */
/* The last reports of each service domain, and of the guests that crashed last, in a book of a fixed size: no allocation when something has crashed. */
#include "supervise/report.h"
#include <quote.h>
#include <string.h>
#include "console/console.h"
#include "domain/records.h"

#define KEPT        8u  /* of each domain */
#define NR_SERVICES 16u /* the slots, store and pciback */
#define NR_GUESTS   32u /* of more than that, those that crashed last */

struct crash {
    uint64_t number;                       /* 0: none */
    uint64_t when_ns, instance, outage_ns; /* outage 0: did not come back (yet) */
    domid_t id;
    char why[120];
};
/* A ring for each name, so that nobody's crashes push out another's; guests push out guests alone. */
struct history {
    char name[BH_NAME_LEN];
    unsigned nr; /* ever; slot = number % KEPT */
    struct crash kept[KEPT];
};
/* They outlive this instance of ours. */
struct book {
    struct history services[NR_SERVICES], guests[NR_GUESTS];
    uint64_t last_number;
    struct report_sums sums;
};
_Static_assert(sizeof(struct book) <= RECORD_BOOK_SIZE, "the book has room for all");

static struct book *book(void) { return record_book(); }

static struct crash *newest(struct history *h) { return &h->kept[(h->nr + KEPT - 1) % KEPT]; }

static struct history *history_named(const char *name, bool guest)
{
    struct history *all = guest ? book()->guests : book()->services, *oldest = all;

    for (unsigned i = 0; i < (guest ? NR_GUESTS : NR_SERVICES); i++) {
        if (all[i].nr && !strcmp(all[i].name, name))
            return &all[i];
        if (newest(&all[i])->number < newest(oldest)->number)
            oldest = &all[i];
    }
    memset(oldest, 0, sizeof(*oldest));
    snprintf(oldest->name, sizeof(oldest->name), "%s", name);
    return oldest;
}

static struct history *history_of(const struct dom *d)
{
    return history_named(d->cfg.name, d->cfg.role == BH_ROLE_GUEST);
}

/* Of a guest nobody knows it. */
static const char *at_rip(const struct bh_report *r)
{
    static char text[32];

    text[0] = 0;
    if (r->rip)
        snprintf(text, sizeof(text), " at rip 0x%lx", r->rip);
    return text;
}

static void why(const struct bh_report *r, char *buf, size_t n)
{
    switch (r->cause) {
    case BH_CAUSE_TRIPLE_FAULT: snprintf(buf, n, "triple fault%s", at_rip(r)); break;
    case BH_CAUSE_SHUTDOWN_CRASH: snprintf(buf, n, "panicked%s", at_rip(r)); break;
    case BH_CAUSE_DEADLINE: snprintf(buf, n, "missed its deadline%s", at_rip(r)); break;
    case BH_CAUSE_NPF: snprintf(buf, n, "nested page fault at 0x%lx%s", r->info2, at_rip(r)); break;
    case BH_CAUSE_INJECTED: snprintf(buf, n, "injected%s", at_rip(r)); break;
    case BH_CAUSE_VMENTRY: snprintf(buf, n, "invalid processor state"); break;
    default: quote(buf, n, r->why[0] ? r->why : "reason unknown");
    }
}

void report_take(struct dom *d)
{
    struct history *h = history_of(d);
    struct crash *c = &h->kept[h->nr++ % KEPT];

    d->report = (struct bh_report){ .domid = d->id };
    if (bh_ctl_report(&d->report))
        memset(&d->report, 0, sizeof(d->report));
    d->report.why[sizeof(d->report.why) - 1] = '\0';
    *c = (struct crash){
        .number = ++book()->last_number, .id = d->id, .when_ns = d->crash_ns, .instance = d->instance
    };
    why(&d->report, c->why, sizeof(c->why));
}

void report_death(struct dom *d, const char *then)
{
    char text[120];

    why(&d->report, text, sizeof(text));
    say("%s: crashed (%s)%s", d->cfg.name, text, then);
}

struct ms_text {
    char s[16];
};

static struct ms_text ms(uint64_t from, uint64_t to)
{
    uint64_t us = to > from ? (to - from) / 1000 : 0;
    struct ms_text t;

    snprintf(t.s, sizeof(t.s), "%lu.%lu", us / 1000, us / 100 % 10);
    return t;
}

const struct report_sums *report_sums(void) { return &book()->sums; }

static void count_restart(const struct dom *d, uint64_t outage_ns)
{
    static const unsigned limits_ms[] = { REPORT_OUTAGE_LIMITS };
    struct report_sums *s = &book()->sums;
    unsigned cause = d->asked                           ? REPORT_ASKED
                     : d->report.cause > BH_CAUSE_OTHER ? BH_CAUSE_OTHER
                                                        : d->report.cause;

    s->restarts[cause]++;
    s->outage_ns += outage_ns;
    for (unsigned i = 0; i < ARRAY_SIZE(limits_ms); i++)
        s->within[i] += outage_ns <= limits_ms[i] * NS_PER_MS;
}

void report_restart(struct dom *d, const struct bh_dominfo *di)
{
    char text[120] = "", parts[96];
    uint64_t reset = di->dma_ns >= di->unpause_ns ? di->dma_ns : di->unpause_ns;
    uint64_t from = d->crash_ns;

    if (!d->asked) {
        struct crash *c = newest(history_of(d));
        if (c->number)
            c->outage_ns = di->adopted_ns - from;
    }
    count_restart(d, di->adopted_ns > from ? di->adopted_ns - from : 0);
    if (d->backoff.said)
        return;
    why(&d->report, text, sizeof(text));
    bool paused = d->tried_ns > d->noticed_ns && d->backoff.pause_ns;
    snprintf(parts, sizeof(parts), "detect %s%s%s fence %s rebuild %s reset %s adopt %s",
             ms(from, d->noticed_ns).s, paused ? " pause " : "",
             paused ? ms(d->noticed_ns, d->tried_ns).s : "",
             ms(paused ? d->tried_ns : d->noticed_ns, di->restart_ns).s,
             ms(di->restart_ns, di->unpause_ns).s, ms(di->unpause_ns, reset).s,
             ms(reset, di->adopted_ns).s);
    char how[160];
    snprintf(how, sizeof(how), d->asked ? "restarted on request" : "crashed (%s), restarted", text);
    say("%s: %s in %s ms (%s), restart %lu", d->cfg.name, how, ms(from, di->adopted_ns).s, parts,
        di->instance);
}

static void full(const struct bh_report *r)
{
    static const char *const reg[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8 ", "r9 ", "r10", "r11", "r12", "r13", "r14", "r15" };

    out("  instance %lu, vCPU %u, exit 0x%lx 0x%lx 0x%lx\n", r->instance, r->vcpu, r->exit_code,
        r->info1, r->info2);
    if (r->why[0])
        out("  %s\n", QUOTED(r->why));
    if (!r->cr0) { /* not restartable */
        out("  its registers are the guest's own: it says itself what it died of (console, dmesg NAME)\n");
        return;
    }
    out("  rip %016lx  rsp %016lx  rflags %08lx\n", r->rip, r->rsp, r->rflags);
    out("  cr0 %08lx  cr2 %016lx  cr3 %08lx  cr4 %08lx\n", r->cr0, r->cr2, r->cr3, r->cr4);
    for (unsigned i = 0; i < 16; i++)
        out("  %s %016lx%s", reg[i], r->gpr[i], i % 3 == 2 || i == 15 ? "\n" : "");
    for (unsigned i = 0; i < r->nr_stack && i < BH_REPORT_STACK; i++)
        out("%s%016lx%s", i % 4 ? " " : "  stack ", r->stack[i],
            i % 4 == 3 || i + 1 == r->nr_stack ? "\n" : "");
}

/* The first after this number, and whose. */
static const struct crash *next_crash(uint64_t after, const struct history **of)
{
    const struct crash *found = NULL;

    for (unsigned i = 0; i < (NR_SERVICES + NR_GUESTS) * KEPT; i++) {
        const struct history *h = i / KEPT < NR_SERVICES ? &book()->services[i / KEPT]
                                                         : &book()->guests[i / KEPT - NR_SERVICES];
        const struct crash *c = &h->kept[i % KEPT];
        if (c->number > after && (!found || c->number < found->number)) {
            found = c;
            *of = h;
        }
    }
    return found;
}

void report_list(const char *name)
{
    struct dom *d = name ? dom_by_name(name) : NULL;
    const struct history *h = NULL;
    unsigned shown = 0;

    for (const struct crash *c = next_crash(0, &h); c; c = next_crash(c->number, &h)) {
        /* A number means who has it now, and not who had it before. */
        if (name && strcmp(h->name, d ? d->cfg.name : name) != 0)
            continue;
        out("%10lu.%03lu s  %s (%u)  %s%s%s%s\n", c->when_ns / 1000000000,
            c->when_ns / 1000000 % 1000, h->name, c->id, c->why, c->outage_ns ? ", back after " : "",
            c->outage_ns ? ms(0, c->outage_ns).s : "", c->outage_ns ? " ms" : "");
        shown++;
    }
    if (!shown)
        out("no crashes%s%s\n", name ? " of " : "", name ? name : "");
    if (d && shown)
        full(&d->report);
}

void report_own(void)
{
    struct bh_report r = { .domid = BH_DOMID_CONTROL };
    struct bh_dominfo di = { .domid = BH_DOMID_CONTROL };
    struct history *h = history_named("control", false);
    struct crash *c = &h->kept[h->nr++ % KEPT];

    if (bh_ctl_report(&r) || bh_ctl_info(&di))
        return;
    r.why[sizeof(r.why) - 1] = '\0';
    *c = (struct crash){ .number = ++book()->last_number,
                         .id = BH_DOMID_CONTROL,
                         .when_ns = di.crash_ns,
                         .instance = di.instance - 1,
                         .outage_ns = now_ns() - di.crash_ns };
    why(&r, c->why, sizeof(c->why));
    say("control: crashed (%s), restarted in %s ms, restart %lu", c->why, ms(0, c->outage_ns).s,
        di.instance);
}
