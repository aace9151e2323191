/* SPDX-License-Identifier: MIT */
/* The privilege table: role x class, zero means nobody. tests/unit/privileges.golden is its expansion. */
#include "abi/hypercall.h"

#define P(x) (1u << PRIV_##x)

static const uint32_t allowed[BH_NR_ROLES] = {
    [BH_ROLE_GUEST] = 0,
    /* builds, supervises and ends the other domains; holds the physical console */
    [BH_ROLE_CONTROL] = P(CREATE) | P(DESTROY) | P(PAUSE) | P(BUILD) | P(INFO) | P(RESTART) | P(CRASH) | P(ASSIGN) |
                        P(PCI_INFO) | P(CONSOLE) | P(LOG) | P(MACHINE) | P(SCHED) | P(SERVICE) | P(GLOBAL_VIRQ) | P(SLOT) |
                        P(RECLAIM),
    [BH_ROLE_STORE] = P(SERVICE),
    /* the only one at the configuration space of hidden devices */
    [BH_ROLE_PCIBACK] = P(SERVICE) | P(PCI_INFO) | P(PCI_CFG),
    /* devices come by ownership, not by privilege */
    [BH_ROLE_DRIVER] = P(SERVICE),
};

bool priv_allows(enum bh_role role, enum priv p)
{
    if (p == PRIV_NONE)
        return true;
    if ((unsigned)role >= BH_NR_ROLES || (unsigned)p >= NR_PRIV)
        return false;
    return allowed[clamp_nospec(role, BH_NR_ROLES)] & (1u << p);
}
