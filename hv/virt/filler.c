/* SPDX-License-Identifier: MIT */
/* Fillers: see filler.h. */
#include "virt/filler.h"
#include "base/print.h"
#include "base/string.h"
#include "mem/frame.h"
#include "mem/npt.h"
#include "domain/struct.h"
#include "virt/lapic.h"

#define APIC_GFN (0xfee00000ull >> PAGE_SHIFT)

/* Two vCPUs may touch a place at once: the page of the slower one is dropped. */
static bool own_page(struct domain *d, uint64_t gfn)
{
    uint32_t n = __atomic_fetch_add(&d->nr_fillers, 1, __ATOMIC_RELAXED);
    void *p = n < FILLER_PAGES ? core_alloc_for(d) : NULL;
    int rc = -ENOMEM;
    if (p) {
        if (gfn == APIC_GFN)
            lapic_page(p);
        else
            memset(p, 0xff, PAGE_SIZE);
        rc = p2m_set(d, GFN(gfn), virt_to_mfn(p), 0, P2M_FILLER);
    }
    if (rc) {
        core_free_for(d, p);
        __atomic_fetch_sub(&d->nr_fillers, 1, __ATOMIC_RELAXED);
    } else if (!n) {
        log_info("d%u: no device at guest-physical %lx: it has a page there that does nothing",
                 d->id, (unsigned long)gfn << PAGE_SHIFT);
    }
    return !rc || rc == -EEXIST;
}

static bool given_back(struct domain *d, uint64_t gfn)
{
    int rc = p2m_set(d, GFN(gfn), ones_mfn, 0, P2M_FILLER_RO);
    if (!rc && !__atomic_exchange_n(&d->filler_ro_said, true, __ATOMIC_RELAXED))
        log_info("d%u: reads guest-physical %lx, which it has given back: ones", d->id,
                 (unsigned long)gfn << PAGE_SHIFT);
    return !rc || rc == -EEXIST;
}

bool filler_touch(struct domain *d, uint64_t gpa, bool write)
{
    uint64_t gfn = gpa >> PAGE_SHIFT;
    if (d->role != BH_ROLE_GUEST) /* a service domain that looks there is broken, and is restarted */
        return false;
    if (gfn >= FILLER_FROM && gfn < FILLER_END)
        return own_page(d, gfn);
    return !write && domain_in_extent(d, gfn) && given_back(d, gfn);
}
