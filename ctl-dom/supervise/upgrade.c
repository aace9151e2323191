/* SPDX-License-Identifier: MIT */
/* `back` is whole while `upgrade` is not NONE, `runs` while it is not BEGINS: whoever follows us goes on with the new image or returns to the old one. */
#include "supervise/upgrade.h"
#include <errno.h>
#include <string.h>
#include <layout.h>
#include "console/console.h"
#include "domain/build.h"
#include "domain/load.h"

enum { NONE, BEGINS, RUNS };

const char *upgrade_image(const struct dom *d) { return d->runs[0] ? d->runs : d->cfg.image; }

static bool of_kind(const char *image, const char *kind)
{
    size_t n = strlen(kind);

    return !strncmp(image, kind, n) && (!image[n] || image[n] == '-');
}

/* Where all of ours begin, and no kernel. */
static bool is_ours(const struct svc_image *img)
{
    for (unsigned i = 0; i < img->nr_segs; i++)
        if (img->seg[i].gpa == BH_SVC_IMAGE)
            return true;
    return false;
}

static void becomes(struct dom *d, const char *image, uint8_t then)
{
    wmb();
    WRITE_ONCE(d->upgrade, BEGINS);
    wmb();
    snprintf(d->runs, sizeof(d->runs), "%s", image);
    d->kept = false; /* whatever is in place is the other image's */
    wmb();
    WRITE_ONCE(d->upgrade, then);
}

int upgrade_begin(struct dom *d, const char *image, struct errbuf *e)
{
    if (!d->slot || !d->img)
        return fail(e, -EOPNOTSUPP,
                    "%s: only service domains are built anew in place (config-update, then reboot)",
                    d->cfg.name);
    if (d->state != DOM_UP)
        return fail(e, -EBUSY, "%s: does not serve just now, wait for that or restart it first",
                    d->cfg.name);
    if (!of_kind(image, d->cfg.image))
        return fail(e, -EINVAL, "%s: '%s' is no image of its kind: those are called %s, or %s-...",
                    d->cfg.name, image, d->cfg.image, d->cfg.image);
    if (strlen(image) >= sizeof(d->runs))
        return fail(e, -ENAMETOOLONG, "%s: a name has %zu characters at most", d->cfg.name,
                    sizeof(d->runs) - 1);
    const struct svc_image *img = svc_image_get(image, e);
    if (!img)
        return -ENOENT;
    if (!is_ours(img))
        return fail(e, -ENOEXEC, "%s: image '%s' is no service domain's", d->cfg.name, image);
    int rc = build_fits(d, img, e);
    if (rc)
        return rc;
    snprintf(d->back, sizeof(d->back), "%s", upgrade_image(d));
    d->upgrade_from = d->instance;
    becomes(d, image, RUNS);
    d->img = img;
    return 0;
}

void upgrade_up(struct dom *d)
{
    if (d->upgrade != RUNS)
        return;
    d->upgrade = NONE;
    say("%s: runs image %s", d->cfg.name, d->runs);
}

void upgrade_failed(struct dom *d)
{
    struct errbuf e;

    if (d->upgrade != RUNS)
        return;
    say("%s: image %s does not come up: %s again", d->cfg.name, d->runs, d->back);
    becomes(d, d->back, NONE);
    d->img = svc_image_get(d->runs, &e); /* it has been there all the time */
}

void upgrade_found(struct dom *d, const struct bh_dominfo *di)
{
    d->runs[sizeof(d->runs) - 1] = d->back[sizeof(d->back) - 1] = '\0';
    if (d->upgrade == BEGINS || (d->upgrade == RUNS && di->instance == d->upgrade_from))
        becomes(d, d->back, NONE); /* the restart had not begun */
    else if (d->upgrade == RUNS && di->state == BH_DOM_RUNNING && di->flags & BH_DI_ADOPTED)
        d->upgrade = NONE;
}
