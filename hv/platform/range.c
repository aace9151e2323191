/* SPDX-License-Identifier: MIT */
/* Sets of ranges of machine addresses, kept sorted and apart from each other: range.h. Start-up only, so there is no lock. Pure. */
#include "platform/range.h"
#include "base/string.h"

static void drop(struct range_set *s, unsigned i)
{
    memmove(&s->r[i], &s->r[i + 1], (s->nr - i - 1) * sizeof s->r[0]);
    s->nr--;
}

bool range_add(struct range_set *s, uint64_t start, uint64_t end)
{
    unsigned i = 0;
    if (start >= end)
        return true;
    while (i < s->nr && s->r[i].end < start)
        i++;
    /* Swallow everything that touches. */
    while (i < s->nr && s->r[i].start <= end) {
        start = MIN(start, s->r[i].start);
        end = MAX(end, s->r[i].end);
        drop(s, i);
    }
    if (s->nr == BOOT_MAX_RANGES)
        return false;
    memmove(&s->r[i + 1], &s->r[i], (s->nr - i) * sizeof s->r[0]);
    s->r[i] = (struct boot_range){ start, end };
    s->nr++;
    return true;
}

bool range_remove(struct range_set *s, uint64_t start, uint64_t end)
{
    bool ok = true;
    if (start >= end)
        return true;
    for (unsigned i = 0; i < s->nr;) {
        struct boot_range *r = &s->r[i];
        if (r->end <= start || r->start >= end) {
            i++;
        } else if (r->start < start && r->end > end) {
            uint64_t tail = r->end;
            r->end = start;
            ok = s->nr < BOOT_MAX_RANGES && range_add(s, end, tail);
            i += 2;
        } else if (r->start < start) {
            r->end = start;
            i++;
        } else if (r->end > end) {
            r->start = end;
            i++;
        } else {
            drop(s, i);
        }
    }
    return ok;
}

uint64_t range_find_high(const struct range_set *s, uint64_t size, uint64_t align, uint64_t limit)
{
    for (unsigned i = s->nr; i-- > 0;) {
        uint64_t end = MIN(s->r[i].end, limit);
        if (end <= s->r[i].start || end - s->r[i].start < size)
            continue;
        uint64_t at = ROUND_DOWN(end - size, align);
        if (at >= s->r[i].start && at)
            return at;
    }
    return 0;
}

bool range_covers(const struct range_set *s, uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < s->nr; i++)
        if (s->r[i].start <= start && end <= s->r[i].end)
            return true;
    return false;
}
