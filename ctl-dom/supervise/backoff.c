/* SPDX-License-Identifier: MIT */
/* Three constants and a doubling; the supervisor asks at each death. */
#include "supervise/backoff.h"

#define FIRST_NS 10000000ull
#define WAITED_NS \
    1000000000ull /* the longest pause, and the life that ends a row, of one that answers */
#define LONGEST_NS 60000000000ull /* the same of one that answers nobody */

static bool longer(struct backoff *b, uint64_t max)
{
    b->pause_ns = b->pause_ns ? 2 * b->pause_ns : FIRST_NS;
    if (b->pause_ns > max)
        b->pause_ns = max;
    bool tell = b->pause_ns > WAITED_NS && !b->said;
    b->said |= tell;
    return tell;
}

bool backoff_death(struct backoff *b, bool served, uint64_t life_ns)
{
    uint64_t max = served ? WAITED_NS : LONGEST_NS;

    if (life_ns >= max)
        backoff_over(b);
    if (served)
        b->said = false;
    return b->deaths++ && longer(b, max);
}

bool backoff_failed(struct backoff *b)
{
    b->deaths++;
    return longer(b, LONGEST_NS);
}

void backoff_over(struct backoff *b) { *b = (struct backoff){ 0 }; }

uint64_t backoff_s(unsigned n) { return n > 5 ? 60 : 1ul << n; }
