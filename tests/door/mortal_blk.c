/* SPDX-License-Identifier: MIT */
/*
 * A block driver domain that a guest can kill at will: it dies at a read of sector 4328 of a volume of 4 MiB, in its first MORTAL lives, before it takes that from its
 * ring, so each instance finds it there again. The same objects as the real one, and this, which the linker puts before bb_open; in the
 * bundle of tests/system/test_killer.py alone.
 */
#include "blkback.h"

#define MORTAL 4u /* as mortal_net.c has it */

struct bb_req *__real_bb_open(struct bb *bb, struct bb_disk *d, const struct keep_entry *e,
                              bool may, int8_t *status);
struct bb_req *__wrap_bb_open(struct bb *bb, struct bb_disk *d, const struct keep_entry *e,
                              bool may, int8_t *status);

struct bb_req *__wrap_bb_open(struct bb *bb, struct bb_disk *d, const struct keep_entry *e,
                              bool may, int8_t *status)
{
    if (self.instance < MORTAL && e->op == BLKIF_OP_READ && e->sector == 4328 &&
        d->nr_sectors == 4 << 20 >> 9)
        bh_panic("door: a guest reads sector 4328");
    return __real_bb_open(bb, d, e, may, status);
}
