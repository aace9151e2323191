/* SPDX-License-Identifier: MIT */
/* Nobody at the keyboard waits for what the toolstack does. */
#include <bh.h>
#include "console/patience.h"

void patience_begin(struct patience *p, uint64_t tell_ns, uint64_t most_ns)
{
    p->until = now_ns() + most_ns;
}
bool patience_ends(struct patience *p, const char *fmt, ...) { return false; }
