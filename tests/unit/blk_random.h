/* SPDX-License-Identifier: MIT */
/* Random requests to a driver of a disk: what is read must be what a model of the disk says. The test that includes this has defined the driver (d), its
 * eight requests (io, data, and out: which are on their way), submit and work. */
#pragma once

/* Each request has a part of the disk of its own, of `part` sectors. */
static void random_requests(uint8_t *model, uint32_t part)
{
    for (unsigned round = 0; round < 20000; round++) {
        unsigned i = (unsigned)rand() % 8;
        if (!out[i]) {
            uint32_t n = 1 + (unsigned)rand() % 256,
                     at = i * part + (unsigned)rand() % (part - n + 1);
            unsigned op = (unsigned)rand() % 8;
            assert_int_equal(io[i].status, 0);
            if (io[i].op == BLK_READ && io[i].nr_segs)
                assert_memory_equal(data[i], model + io[i].sector * 512, io[i].nr_sectors * 512);
            if (op < 3) {
                for (unsigned k = 0; k < n * 512; k += 64)
                    data[i][k] = (uint8_t)rand();
                memcpy(model + at * 512, data[i], n * 512);
            } else if (op == 7) {
                memset(model + at * 512, 0, n * 512);
            }
            assert_int_equal(submit(i,
                                    op < 3    ? BLK_WRITE
                                    : op < 6  ? BLK_READ
                                    : op == 6 ? BLK_FLUSH
                                              : BLK_DISCARD,
                                    at, op == 6 ? 0 : n, rand() & 1 ? 4096 : 32768),
                             0);
        }
        if (rand() & 1)
            d->ops->poll(d);
        if (rand() & 1)
            work((unsigned)rand() % 4);
    }
}
