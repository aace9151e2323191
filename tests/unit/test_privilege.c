// SPDX-License-Identifier: MIT
// LINK: hv/abi/privilege.c
// The privilege table's full expansion against tests/unit/privileges.golden: a changed right is a changed line there. `make docs` writes it.
#include "unit.h"
#include "abi/hypercall.h"

#define GOLDEN "tests/unit/privileges.golden"

static const char *const role_name[BH_NR_ROLES] = {
    [BH_ROLE_GUEST] = "guest",     [BH_ROLE_CONTROL] = "control", [BH_ROLE_STORE] = "store",
    [BH_ROLE_PCIBACK] = "pciback", [BH_ROLE_DRIVER] = "driver",
};
#define PRIVILEGE(class, name, roles) [PRIV_##class] = #name,
static const char *const priv_name[NR_PRIV] = {
    [PRIV_OPEN] = "open",
#include <ops.def>
};

TEST(expansion_is_golden)
{
    char now[8192], want[8192];
    size_t n = 0;
    for (int r = 0; r < BH_NR_ROLES; r++)
        for (int p = 0; p < NR_PRIV; p++) {
            assert_non_null(priv_name[p]);
            n += (size_t)snprintf(now + n, sizeof now - n, "%-8s %-12s %s\n", role_name[r],
                                  priv_name[p],
                                  priv_allows((enum bh_role)r, (enum priv)p) ? "yes" : "no");
        }
    FILE *f = fopen(GOLDEN, "r");
    assert_non_null(f);
    size_t m = fread(want, 1, sizeof want - 1, f);
    fclose(f);
    want[m] = 0;
    assert_string_equal(now, want);
}

TEST(out_of_range_is_nobody)
{
    assert_false(priv_allows((enum bh_role)BH_NR_ROLES, PRIV_CREATE));
    assert_false(priv_allows((enum bh_role)255, PRIV_SERVICE));
    assert_false(priv_allows(BH_ROLE_CONTROL, NR_PRIV));
    assert_false(priv_allows(BH_ROLE_CONTROL, (enum priv)40));
}

/* Numbers of our own operations are without holes: the next one is BH_NR_... */
TEST(numbers_are_dense)
{
#define CONTROL_OP(nr, ...) nr,
    static const unsigned control[] = {
#include <ops.def>
    };
#define SERVICE_OP(nr, ...) nr,
    static const unsigned service[] = {
#include <ops.def>
    };
    assert_int_equal(ARRAY_SIZE(control), BH_NR_CTL_OPS);
    assert_int_equal(ARRAY_SIZE(service), BH_NR_SVC_OPS);
    for (unsigned i = 0; i < BH_NR_CTL_OPS; i++)
        assert_int_equal(control[i], i);
    for (unsigned i = 0; i < BH_NR_SVC_OPS; i++)
        assert_int_equal(service[i], i);
}
