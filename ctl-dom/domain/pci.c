/* SPDX-License-Identifier: MIT */
/* Asks the core each time (PCI_INFO): it knows who has which device, nothing is kept here. */
#include "domain/pci.h"
#include <errno.h>
#include <string.h>
#include "console/console.h"
#include "domain/bridge.h"

bool pci_find(uint32_t sbdf, struct bh_pci_info *found)
{
    for (uint32_t i = 0;; i++) {
        struct bh_pci_info info = { .index = i };
        if (bh_ctl_pci_info(&info))
            return false;
        if (info.sbdf == sbdf) {
            *found = info;
            return true;
        }
    }
}

bool pci_owned(domid_t id, unsigned n, struct bh_pci_info *found)
{
    for (uint32_t i = 0;; i++) {
        struct bh_pci_info info = { .index = i };
        if (bh_ctl_pci_info(&info))
            return false;
        if (info.state == BH_PCI_ASSIGNED && info.domid == id && !n--) {
            *found = info;
            return true;
        }
    }
}

struct sbdf_text sbdf_text(uint32_t sbdf)
{
    struct sbdf_text t;

    snprintf(t.s, sizeof(t.s), "%04x:%02x:%02x.%x", sbdf >> 16, sbdf >> 8 & 0xff, sbdf >> 3 & 31,
             sbdf & 7);
    return t;
}

static const char *owner_of(const struct bh_pci_info *info)
{
    struct dom *d = dom_by_id(info->domid);

    return d ? d->cfg.name : "another domain";
}

/* What the machine needs of it, where no domain can have it. */
static const char *kept_as(const struct bh_pci_info *info)
{
    return info->flags & BH_PCI_BRIDGE || info->class_rev >> 24 == 6 || info->class_rev >> 24 == 8
               ? "a bridge or part of the platform"
               : "the serial line that the console is on";
}

/* One sentence for each refusal of BH_CTL_ASSIGN. */
static int refused(const struct domcfg *cfg, uint32_t sbdf, int rc, struct errbuf *e)
{
    struct sbdf_text text = sbdf_text(sbdf);
    const char *dev = text.s, *who = cfg->name;
    struct bh_pci_info info = { 0 };

    switch (rc) {
    case -ENOENT: return fail(e, rc, "%s: %s: there is no such device", who, dev);
    case -EACCES:
        if (pci_find(sbdf, &info) && info.flags & BH_PCI_KEPT)
            return fail(e, rc, "%s: %s is %s: no domain can have it", who, dev, kept_as(&info));
        return fail(e, rc,
                    "%s: %s belongs to the platform, it is not hidden: pci-assignable-add %s hides it now, "
                    "pciback.hide= of the core's command line from the start",
                    who, dev, dev);
    case -EBUSY:
        if (pci_find(sbdf, &info) && !strcmp(owner_of(&info), who))
            return fail(e, rc, "%s: has %s already", who, dev);
        return fail(e, rc, "%s: %s is assigned to %s already: pci-detach %s %s first", who, dev,
                    owner_of(&info), owner_of(&info), dev);
    case -EINVAL:
        return fail(e, rc, "%s: %s: %s runs: pause it first; it finds the device at its next start",
                    who, dev, who);
    case -ENODEV:
        return fail(e, rc,
                    "%s: %s: no IOMMU holds it (a virtio device needs iommu_platform=on), and "
                    "without one it could reach all memory",
                    who, dev);
    case -EPERM:
        return fail(e, rc,
                    "%s: %s: the trial of its IOMMU unit failed, nothing holds it back (dmesg says how)",
                    who, dev);
    case -EAGAIN:
        return fail(e, rc,
                    "%s: %s: nobody has shown yet that its IOMMU unit holds devices back: start a NIC or disk behind the "
                    "same unit first, or take the risk by iommu=trust in the core's command line",
                    who, dev);
    case -EXDEV:
        return fail(e, rc,
                    "%s: %s shares its IOMMU group with devices that would not go with it: they must be hidden, and nobody "
                    "else's (pci-assignable-list shows groups)",
                    who, dev);
    case -EOPNOTSUPP:
        return fail(e, rc, "%s: %s has no reset that the core could use%s", who, dev,
                    cfg->role == BH_ROLE_GUEST
                        ? ": permissive=1 takes it with whatever its last owner left in it"
                        : "");
    default: return fail(e, rc, "%s: %s: %s", who, dev, errno_text(rc));
    }
}

int pci_not_its(const struct dom *d, uint32_t sbdf, struct errbuf *e)
{
    struct sbdf_text text = sbdf_text(sbdf);
    struct bh_pci_info info;

    if (!pci_find(sbdf, &info))
        return fail(e, -ENOENT, "%s: %s: there is no such device", d->cfg.name, text.s);
    return fail(e, -ENODEV, "%s: has no %s: %s has it", d->cfg.name, text.s,
                info.state == BH_PCI_ASSIGNED     ? owner_of(&info)
                : info.state == BH_PCI_ASSIGNABLE ? "nobody"
                                                  : "the platform");
}

int pci_hide(uint32_t sbdf, bool hide, struct errbuf *e)
{
    struct bh_pci_hide h = { .sbdf = sbdf, .hide = hide };
    struct sbdf_text text = sbdf_text(sbdf);
    struct bh_pci_info info = { 0 };
    int rc = (int)bh_ctl_pci_hide(&h);
    const char *why = errno_text(rc);

    (void)pci_find(sbdf, &info);
    if (info.state == BH_PCI_ASSIGNED)
        return fail(e, -EBUSY, "%s: is assigned to %s: pci-detach %s %s first", text.s,
                    owner_of(&info), owner_of(&info), text.s);
    switch (rc) {
    case 0: return 0;
    case -ENOENT: why = "there is no such device"; break;
    case -EEXIST: why = hide ? "is assignable already" : "is the platform's already"; break;
    case -EACCES:
        return fail(e, rc, "%s: is %s: the machine needs it, no domain can have it", text.s,
                    kept_as(&info));
    case -EXDEV:
        why = "another device of its IOMMU group is assigned: pci-detach that first (pci-assignable-list shows groups)";
        break;
    case -ENOSPC:
        why = "no interrupts are left for it: pci-assignable-remove another device, or name it in pciback.hide= of the "
              "core's command line, which shares them out at the start";
        break;
    case -EIO: why = "did not come back from its reset: it stays where it was"; break;
    default: break;
    }
    return fail(e, rc, "%s: %s", text.s, why);
}

/* A net driver domain uses one device, or those that its bridges name. */
static void say_spare(const struct dom *d, uint32_t sbdf)
{
    struct bh_pci_info first, second;
    bool named = false;

    for (unsigned i = 0; i < d->cfg.nr_bridges; i++)
        named |= d->cfg.bridge[i].wire && d->cfg.bridge[i].sbdf == sbdf;
    if (d->cfg.nr_bridges && !named)
        say("%s: %s is on no bridge: nothing uses it", d->cfg.name, sbdf_text(sbdf).s);
    else if (!d->cfg.nr_bridges && bridges_of(d) && pci_owned(d->id, 1, &second) &&
             pci_owned(d->id, 0, &first))
        say("%s: of its devices only %s is used: bridges= has more", d->cfg.name,
            sbdf_text(first.sbdf).s);
}

int pci_could(const struct domcfg *cfg, uint32_t sbdf, struct errbuf *e)
{
    struct bh_pci_info info;

    /* What is wrong with the device comes before what is wrong with the domain. */
    if (!pci_find(sbdf, &info))
        return refused(cfg, sbdf, -ENOENT, e);
    if (info.state == BH_PCI_PLATFORM)
        return refused(cfg, sbdf, -EACCES, e);
    if (info.state == BH_PCI_ASSIGNED)
        return refused(cfg, sbdf, -EBUSY, e);
    if (cfg->role != BH_ROLE_DRIVER && cfg->role != BH_ROLE_GUEST)
        return fail(e, -EPERM, "%s: %s: only a guest or a driver domain can have a device",
                    cfg->name, sbdf_text(sbdf).s);
    return 0;
}

int pci_attach(struct dom *d, uint32_t sbdf, struct errbuf *e)
{
    const struct cfg_pci *said = config_pci_said(&d->cfg, sbdf);
    bool permissive = said && said->permissive && d->cfg.role == BH_ROLE_GUEST;
    struct bh_assign a = { .sbdf = sbdf,
                           .domid = d->id,
                           .flags = permissive ? BH_ASSIGN_PERMISSIVE : 0 };
    int rc = pci_could(&d->cfg, sbdf, e);

    if (rc)
        return rc;
    rc = (int)bh_ctl_assign(&a);
    if (rc)
        return refused(&d->cfg, sbdf, rc, e);
    say_spare(d, sbdf);
    return 0;
}

int pci_expand(struct domcfg *c, struct errbuf *e)
{
    uint32_t sbdf[CFG_MAX_PCI];
    unsigned n = 0;

    if (c->nr_pci && c->role == BH_ROLE_GUEST && !dom_by_id(BH_DOMID_PCIBACK))
        return fail(e, -ENODEV,
                    "%s: pci: pciback is not there, and nobody else answers when it looks for its devices: create pciback first",
                    c->name);
    for (unsigned i = 0; i < c->nr_pci; i++) {
        bool all = c->pci_all >> i & 1;
        for (uint32_t f = 0; f < (all ? 8 : 1); f++) {
            struct bh_pci_info info;
            if (all && f && !pci_find(c->pci[i] | f, &info))
                continue; /* that there is function 0 is said by whoever asks for it */
            if (n == CFG_MAX_PCI)
                return fail(e, -ENOSPC, "%s: pci: more than %d, with all functions of %s", c->name,
                            CFG_MAX_PCI, sbdf_text(c->pci[i]).s);
            sbdf[n++] = c->pci[i] | f;
        }
    }
    memcpy(c->pci, sbdf, n * sizeof(sbdf[0]));
    c->nr_pci = n;
    c->pci_all = 0;
    return 0;
}

void pci_detach_all(const struct dom *d)
{
    struct bh_pci_info info;

    /* Each turn takes one away; the bound ends it if the core keeps one. */
    for (unsigned i = 0; i < CFG_MAX_PCI && pci_owned(d->id, 0, &info); i++) {
        struct bh_assign a = { .sbdf = info.sbdf, .domid = d->id };
        if (bh_ctl_deassign(&a))
            break;
    }
}
