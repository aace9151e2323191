/* SPDX-License-Identifier: MIT */
// LINK: tests/fuzz/fuzz_xs.c xenstore-lite/mem.c xenstore-lite/tree.c xenstore-lite/xs.c xenstore-lite/proto.c xenstore-lite/path.c xenstore-lite/perms.c xenstore-lite/ops.c xenstore-lite/tx.c xenstore-lite/watch.c xenstore-lite/admin.c xenstore-lite/stream.c
// LINK: xenstore-lite/payload.c xenstore-lite/change.c xenstore-lite/out.c xenstore-lite/accounts.c xenstore-lite/client.c
/* A bounded run of the store's fuzzer: a fixed set of seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "../fuzz/fuzz_xs.h"

static void test_seeds(void **state)
{
    for (unsigned long long seed = 1; seed <= 24; seed++)
        fuzz_xs(seed, 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_seeds) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
