// SPDX-License-Identifier: MIT
// LINK: hv/abi/privilege.c
// The privilege table's full expansion against tests/unit/privileges.golden: a changed right is a changed line there.
// With BH_GOLDEN=write in the environment the file is written instead.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "abi/hypercall.h"

#define GOLDEN "tests/unit/privileges.golden"

static const char *const role_name[BH_NR_ROLES] = {
    [BH_ROLE_GUEST] = "guest", [BH_ROLE_CONTROL] = "control", [BH_ROLE_STORE] = "store", [BH_ROLE_PCIBACK] = "pciback",
    [BH_ROLE_DRIVER] = "driver",
};
static const char *const priv_name[NR_PRIV] = {
    [PRIV_NONE] = "open", [PRIV_CREATE] = "create", [PRIV_DESTROY] = "destroy", [PRIV_PAUSE] = "pause",
    [PRIV_BUILD] = "build", [PRIV_INFO] = "info", [PRIV_RESTART] = "restart", [PRIV_CRASH] = "crash",
    [PRIV_ASSIGN] = "assign", [PRIV_PCI_INFO] = "pci_info", [PRIV_PCI_CFG] = "pci_cfg", [PRIV_CONSOLE] = "console",
    [PRIV_LOG] = "log", [PRIV_MACHINE] = "machine", [PRIV_SCHED] = "sched", [PRIV_SERVICE] = "service",
    [PRIV_GLOBAL_VIRQ] = "global_virq", [PRIV_SLOT] = "slot",
    [PRIV_RECLAIM] = "reclaim",
};

static void expansion_is_golden(void **state)
{
    (void)state;
    char now[8192], want[8192];
    size_t n = 0;
    for (int r = 0; r < BH_NR_ROLES; r++)
        for (int p = 0; p < NR_PRIV; p++) {
            assert_non_null(priv_name[p]);
            n += (size_t)snprintf(now + n, sizeof now - n, "%-8s %-12s %s\n", role_name[r], priv_name[p],
                                  priv_allows((enum bh_role)r, (enum priv)p) ? "yes" : "no");
        }
    const char *mode = getenv("BH_GOLDEN");
    FILE *f = fopen(GOLDEN, mode && !strcmp(mode, "write") ? "w+" : "r");
    assert_non_null(f);
    if (mode && !strcmp(mode, "write")) {
        fwrite(now, 1, n, f);
        rewind(f);
    }
    size_t m = fread(want, 1, sizeof want - 1, f);
    fclose(f);
    want[m] = 0;
    assert_string_equal(now, want);
}

static void out_of_range_is_nobody(void **state)
{
    (void)state;
    assert_false(priv_allows((enum bh_role)BH_NR_ROLES, PRIV_CREATE));
    assert_false(priv_allows((enum bh_role)255, PRIV_SERVICE));
    assert_false(priv_allows(BH_ROLE_CONTROL, NR_PRIV));
    assert_false(priv_allows(BH_ROLE_CONTROL, (enum priv)40));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(expansion_is_golden), cmocka_unit_test(out_of_range_is_nobody) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
