/* SPDX-License-Identifier: MIT */
// LINK: drivers-dom/blk/gpt.c drivers-dom/blk/volume.c drivers-dom/blk/volume_problem.c
// FLAGS: -Idomains/include -Idrivers-dom/lib -Idrivers-dom/blk -lz
/*
 * table BLOCK IMAGE [SPEC[,MODE] ...]: the partition table of an image as blk0 reads it, its volumes, and for each SPEC which
 * sectors it names; with a MODE (r, w, r!, w!) it is claimed too, each by a domain of its own, in that order.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "volume.h"

struct bh_self self = { .name = "blk0", .domid = 4 };
static FILE *image;
static uint64_t now;

void *page_alloc(unsigned n) { return aligned_alloc(4096, n * 4096u); }
void page_free(void *p, unsigned n) { free(p); }
uint64_t now_ns(void) { return ++now; }
void (*xs_idle)(void);
unsigned event_wait(uint64_t until) { return 0; }
void bh_panic(const char *fmt, ...)
{
    printf("panic: %s\n", fmt);
    abort();
}
int xs_write(uint32_t tx, const char *path, const char *val)
{
    printf("  %s = %s\n", path, val);
    return 0;
}
int xs_rm(uint32_t tx, const char *path) { return 0; }
char **xs_ls(uint32_t tx, const char *path, unsigned *n)
{
    *n = 0;
    return NULL;
}

static struct blk_io *pending;
static int dev_submit(struct blkdev *d, struct blk_io *io)
{
    pending = io;
    return 0;
}
static unsigned dev_poll(struct blkdev *d)
{
    struct blk_io *io = pending;

    if (!io)
        return 0;
    pending = NULL;
    memset(io->seg[0].va, 0, io->seg[0].len);
    fseek(image, (long)(io->sector * 512), SEEK_SET);
    if (fread(io->seg[0].va, 1, io->seg[0].len, image) == 0)
        io->status = -EIO;
    else
        io->status = 0;
    io->done(io);
    return 1;
}
static bool dev_arm(struct blkdev *d) { return true; }

int main(int argc, char **argv)
{
    static const struct blkdev_ops ops = { dev_submit, dev_poll, dev_arm };
    static struct blkdev dev = { .ops = &ops, .model = "image" };
    static struct volume_claim claim[32];

    if (argc < 3 || !(image = fopen(argv[2], "rb")))
        return 2;
    dev.sector_size = (uint32_t)atoi(argv[1]);
    fseek(image, 0, SEEK_END);
    dev.nr_sectors = (uint64_t)ftell(image) / 512;
    const char *why = volumes_scan(&dev);
    if (why)
        printf("unusable: %s\n", why);
    printf("  problem: [%s]\n", volumes_problem());
    volumes_tell();
    for (int i = 3; i < argc && i < 35; i++) {
        char *mode = strrchr(argv[i], ',');
        struct volume_claim *c = &claim[i - 3];
        if (mode)
            *mode++ = 0;
        why = volume_find(argv[i], &c->first, &c->nr);
        if (why) {
            printf("  '%s': refused: %s\n", argv[i], why);
            continue;
        }
        printf("  '%s': sectors %lu to %lu", argv[i], (unsigned long)c->first,
               (unsigned long)(c->first + c->nr - 1));
        if (mode) {
            c->domid = (domid_t)(16 + i - 3);
            c->mode = (*mode == 'w' ? VOLUME_WRITE : 0u) | (mode[1] == '!' ? VOLUME_FORCE : 0u);
            why = volume_claim(c);
            printf(", %s by domain %u: %s", mode, c->domid, why ? why : "let in");
        }
        printf("\n");
    }
    return 0;
}
