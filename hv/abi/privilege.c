/* SPDX-License-Identifier: MIT */
/* The privilege table of <ops.def>: class x role, zero means nobody. tests/unit/privileges.golden is its expansion. */
#include "abi/hypercall.h"

#define R(role)                       (1u << BH_ROLE_##role)
#define PRIVILEGE(class, name, roles) [PRIV_##class] = (roles),
static const uint8_t roles_of[NR_PRIV] = {
    [PRIV_OPEN] = (1u << BH_NR_ROLES) - 1,
#include <ops.def>
};

bool priv_allows(enum bh_role role, enum priv p)
{
    if (p == PRIV_OPEN)
        return true;
    if ((unsigned)role >= BH_NR_ROLES || (unsigned)p >= NR_PRIV)
        return false;
    return roles_of[clamp_nospec(p, NR_PRIV)] & (1u << role);
}
