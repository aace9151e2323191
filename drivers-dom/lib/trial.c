/* SPDX-License-Identifier: MIT */
/* The trial of an IOMMU unit, as every driver goes through it: trial.h. */
#include <errno.h>
#include <trial.h>

#define OTHERS_NS   (9 * NS_PER_S) /* another trial: the core lets it last for 8 s then */
#define OTHERS_LOOK (2 * NS_PER_MS)
/* A device that answers at all does so in milliseconds; a busy emulator takes its time. */
#define ARRIVE_NS (5 * NS_PER_S)
#define HELD_NS   (20 * NS_PER_MS) /* how long it is given for the write that must not arrive, */
#define HELD_TIMES \
    4u /* ... and so many times as long as the first one took: a slow device shows nothing in less */
#define HELD_MAX (ARRIVE_NS / 2)
#define LOOK_NS  (NS_PER_MS / 5) /* at first; then each time twice as long */
#define LOOK_MAX (10 * NS_PER_MS)

static long step(struct bh_trial *t, unsigned what)
{
    t->step = what;
    return bh_svc_trial(t);
}

static long begin(struct bh_trial *b, const struct trial_ops *ops, void *dev)
{
    uint64_t end = now_ns() + OTHERS_NS;
    bool tried = false;

    for (;;) {
        long rc = step(b, BH_TRIAL_BEGIN);
        if (rc == -EIO && !tried) { /* a former instance died in the middle */
            tried = true;
            if (!ops->reset(dev))
                return rc;
        } else if (rc == -EBUSY && now_ns() < end) {
            event_wait(now_ns() + OTHERS_LOOK);
        } else {
            return rc;
        }
    }
}

/* Until something is in the target (and the device has done), the device gives up, or the time is over. How long it took, 0: nothing came. */
static uint64_t wait_for_write(struct bh_trial *b, const struct trial *t,
                               const struct trial_ops *ops, void *dev, uint64_t ns)
{
    uint64_t start = now_ns(), look = LOOK_NS;

    while (now_ns() - start < ns && !ops->gave_up(dev)) {
        long rc = step(b, BH_TRIAL_LOOK);
        if (rc < 0)
            break;
        if (rc && (!ops->finished || ops->finished(dev, t)))
            return now_ns() - start;
        event_wait(now_ns() + look);
        look = 2 * look < LOOK_MAX ? 2 * look : LOOK_MAX;
    }
    return 0;
}

static const char *refusal(long rc)
{
    switch (rc) {
    case -EPERM: return "its IOMMU unit failed its trial and does not hold it back";
    case -EBUSY: return "its IOMMU unit is being tried by another domain for too long";
    case -EIO: return "it does not reset";
    case -ERANGE: return "its IOMMU unit cannot be tried: no address of the machine is free for it";
    default: return "its IOMMU unit cannot be tried";
    }
}

/* *taken: it lasted so long that another device's trial came before it. */
static const char *run(struct bh_trial *b, const struct trial *t, const struct trial_ops *ops,
                       void *dev, bool *taken)
{
    const char *why = ops->ready(dev, t);

    if (why)
        return why;
    ops->write(dev, t, 0);
    uint64_t held = HELD_TIMES * wait_for_write(b, t, ops, dev, ARRIVE_NS);
    long rc = step(b, BH_TRIAL_BLOCK);
    if (!rc) {
        ops->write(dev, t, 1);
        (void)wait_for_write(b, t, ops, dev, HELD_NS + (held < HELD_MAX ? held : HELD_MAX));
        rc = step(b, BH_TRIAL_END);
    }
    *taken = rc == -EINVAL;
    return rc ? refusal(*taken ? -EBUSY : rc) : NULL;
}

const char *dma_trial(uint32_t sbdf, const struct trial_ops *ops, void *dev)
{
    struct bh_dma_enable off = { .sbdf = sbdf, .enable = 0 };
    struct trial t = { .sbdf = sbdf, .pages = page_alloc(ops->nr_pages) };
    struct bh_trial b = { .sbdf = sbdf, .gfn = (uint64_t)t.pages / PAGE_SIZE, .nr = ops->nr_pages };
    const char *why = NULL;
    bool taken = true;

    if (!t.pages)
        return "out of memory";
    for (unsigned tries = 0; taken && tries < 2; tries++) { /* the other one may have passed for both */
        long rc = begin(&b, ops, dev);
        taken = false;
        why = rc < 0 ? refusal(rc) : NULL;
        if (rc)
            break;
        t.window = b.window;
        t.target = b.window + b.nr * PAGE_SIZE;
        why = run(&b, &t, ops, dev, &taken);
        if (why)
            bh_svc_dma_enable(&off); /* an end without a result, if it came to that */
    }
    page_free(t.pages, ops->nr_pages);
    return why;
}
