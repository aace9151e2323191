/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/supervise/supervisor.c ctl-dom/supervise/guests.c ctl-dom/supervise/update.c ctl-dom/supervise/upgrade.c ctl-dom/supervise/dying.c ctl-dom/supervise/backoff.c ctl-dom/supervise/state.c
// LINK: ctl-dom/domain/slots.c ctl-dom/domain/records.c
/* ctl_world.h. */
#include "ctl_world.h"
uint64_t clock_ns = 1000 * MS;
event_fn change;
struct dtimer *timer;

struct bh_self self;
struct dom *doms;
bool store_up = true;
bool store_is_told(void) { return store_up; }

uint64_t now_ns(void) { return clock_ns; }
void dtimer_set(struct dtimer *t, uint64_t when)
{
    t->when = when;
    t->armed = true;
    timer = t;
}
int event_bind_virq(unsigned virq, event_fn fn, void *arg)
{
    change = fn;
    return 5;
}
int guest_write(domid_t id, uint64_t gpa, const void *src, size_t len) { return 0; }
int service_write(struct dom *d) { return 0; }
struct svc_image;
int build_fits(const struct dom *d, const struct svc_image *img, struct errbuf *e) { return 0; }
struct svc_image *svc_image_get(const char *name, struct errbuf *e) { return NULL; }
int store_control(const struct dom *d, const char *what) { return 0; }
int store_introduce(const struct dom *d) { return 0; }
int store_introduce_soon(const struct dom *d, xs_done done) { return 0; }
__attribute__((weak)) int store_leave(domid_t id) { return 0; }
int store_domains(void (*seen)(domid_t id)) { return 0; }
static struct waiting again;
struct waiting *waiting_add(const struct domcfg *cfg, const char *config, const char *what)
{
    again.cfg = *cfg;
    return &again;
}
void autostart_again(struct waiting *w)
{
    struct dom *made;
    struct errbuf e;

    dom_create(&w->cfg, false, &made, &e);
}
void linux_gone(const struct dom *b) {}
int devs_renew(struct dom *d, struct errbuf *e) { return 0; }
void pci_change(struct dom *d) {}
void pci_over(struct dom *d) {}
void domcon_drain(struct dom *d) {}
void domcon_restart(struct dom *d) {}
void domcon_last_line(const struct dom *d, char *buf, size_t n) { buf[0] = 0; }
void report_take(struct dom *d) {}
__attribute__((weak)) void report_death(struct dom *d, const char *then) {}
__attribute__((weak)) void report_restart(struct dom *d, const struct bh_dominfo *di) {}
const char *errno_text(int rc) { return rc == -ENOMEM ? "out of memory" : "an error"; }
int fail(struct errbuf *e, int rc, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(e->s, sizeof e->s, fmt, ap);
    va_end(ap);
    return rc;
}
bool quiet;
__attribute__((weak)) void say(const char *fmt, ...)
{
    va_list ap;

    if (quiet)
        return;
    va_start(ap, fmt);
    printf("    say: ");
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
}
__attribute__((weak)) int dom_destroy(struct dom *d, struct errbuf *e) { return 0; }
__attribute__((weak)) int dom_create(const struct domcfg *cfg, bool lenient, struct dom **out,
                                     struct errbuf *e)
{
    return -EINVAL;
}
int bridge_find(const struct dom *b, const struct cfg_vif *v) { return 0; }
struct dom *dom_by_id(domid_t id)
{
    for (struct dom *d = doms; d; d = d->next)
        if (d->id == id)
            return d;
    return NULL;
}
struct dom *add(domid_t id, const char *name, enum bh_role role)
{
    struct dom *d = calloc(1, sizeof *d), **at = &doms;

    d->id = id;
    d->cfg.role = role;
    snprintf(d->cfg.name, sizeof d->cfg.name, "%s", name);
    while (*at && (*at)->id < id)
        at = &(*at)->next;
    d->next = *at;
    return *at = d;
}
void drop(struct dom *d)
{
    for (struct dom **at = &doms; *at; at = &(*at)->next)
        if (*at == d) {
            *at = d->next;
            break;
        }
    free(d);
}
