/* SPDX-License-Identifier: MIT */
// LINK: tests/fuzz/fuzz_xs.c xenstore-lite/tree.c xenstore-lite/xs.c xenstore-lite/proto.c xenstore-lite/path.c xenstore-lite/perms.c xenstore-lite/ops.c xenstore-lite/tx.c xenstore-lite/watch.c xenstore-lite/admin.c xenstore-lite/stream.c
// LINK: xenstore-lite/payload.c xenstore-lite/change.c xenstore-lite/out.c xenstore-lite/accounts.c xenstore-lite/settings.c xenstore-lite/check.c xenstore-lite/control.c xenstore-lite/client.c xenstore-lite/journal.c xenstore-lite/snapshot.c xenstore-lite/restore.c xenstore-lite/aside.c
// FLAGS: -lz
/* A bounded run of the store's fuzzer: a fixed set of seeds. */
#include "unit.h"
#include "../fuzz/fuzz_xs.h"

TEST(test_seeds)
{
    for (unsigned long long seed = 1; seed <= 24; seed++)
        fuzz_xs(seed, 10000);
}
