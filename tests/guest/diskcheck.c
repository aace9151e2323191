/* SPDX-License-Identifier: MIT */
/*
 * A disk under load that knows what must be on it: diskcheck DEVICE SECONDS [JOBS [MIB]].
 *
 * Each job has a stretch of the disk to itself and remembers how often it wrote each 4 KiB block. It writes runs of 1 to 32
 * blocks, reads runs back and compares every byte, and flushes now and then, all with O_DIRECT and each waiting for its answer, so
 * JOBS is the depth. It ends early when /tmp/stop exists. At the end every block is read once more. Exit status 0: no I/O
 * error, no wrong byte.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096u
#define RUN   32u

struct job {
    pthread_t thread;
    uint64_t first, nr; /* blocks */
    uint32_t *gen;      /* times that each was written; 0: not known */
    uint64_t *buf, rng;
    unsigned number;
    unsigned long reads, writes, flushes, errors;
    double longest; /* seconds that one request took */
};

static int fd;
static double end;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t next(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

/* Every word of a block tells which block, which word and which write it is of. */
static uint64_t word(uint64_t block, uint32_t gen, unsigned i)
{
    return (block << 32 ^ gen) * 0x9e3779b97f4a7c15ull + i;
}

static void complain(struct job *j, const char *what, uint64_t block, const char *why)
{
    if (j->errors++ < 3)
        printf("diskcheck: job %u: %s of block %llu: %s\n", j->number, what,
               (unsigned long long)block, why);
}

static void done(struct job *j, double start)
{
    double took = now() - start;
    if (took > j->longest)
        j->longest = took;
}

static void write_run(struct job *j, uint64_t at, unsigned n)
{
    for (unsigned b = 0; b < n; b++)
        for (unsigned i = 0; i < BLOCK / 8; i++)
            j->buf[b * (BLOCK / 8) + i] = word(j->first + at + b, j->gen[at + b] + 1, i);
    double start = now();
    ssize_t rc = pwrite(fd, j->buf, (size_t)n * BLOCK, (off_t)((j->first + at) * BLOCK));
    done(j, start);
    j->writes++;
    if (rc != (ssize_t)(n * BLOCK))
        complain(j, "write", j->first + at, rc < 0 ? strerror(errno) : "short");
    for (unsigned b = 0; b < n; b++)
        j->gen[at + b]++;
}

static void read_run(struct job *j, uint64_t at, unsigned n)
{
    memset(j->buf, 0x5a, (size_t)n * BLOCK);
    double start = now();
    ssize_t rc = pread(fd, j->buf, (size_t)n * BLOCK, (off_t)((j->first + at) * BLOCK));
    done(j, start);
    j->reads++;
    if (rc != (ssize_t)(n * BLOCK)) {
        complain(j, "read", j->first + at, rc < 0 ? strerror(errno) : "short");
        return;
    }
    for (unsigned b = 0; b < n; b++)
        for (unsigned i = 0; j->gen[at + b] && i < BLOCK / 8; i++)
            if (j->buf[b * (BLOCK / 8) + i] != word(j->first + at + b, j->gen[at + b], i)) {
                complain(j, "read", j->first + at + b, "wrong bytes");
                break;
            }
}

static void *run(void *arg)
{
    struct job *j = arg;

    while (now() < end && access("/tmp/stop", F_OK)) {
        uint64_t r = next(&j->rng), at = (r >> 16) % j->nr;
        unsigned n = 1 + (unsigned)(r >> 8) % RUN;
        if (n > j->nr - at)
            n = (unsigned)(j->nr - at);
        if (r % 64 == 0) {
            double start = now();
            if (fdatasync(fd))
                complain(j, "flush", 0, strerror(errno));
            done(j, start);
            j->flushes++;
        } else if (r & 1) {
            write_run(j, at, n);
        } else {
            read_run(j, at, n);
        }
    }
    for (uint64_t at = 0; at < j->nr; at += RUN)
        read_run(j, at, j->nr - at < RUN ? (unsigned)(j->nr - at) : RUN);
    return NULL;
}

int main(int argc, char **argv)
{
    unsigned jobs = argc > 3 ? (unsigned)atoi(argv[3]) : 16;
    struct job *j = calloc(jobs, sizeof(*j)), sum = { 0 };

    if (argc < 3 || !jobs || !j) {
        fprintf(stderr, "usage: diskcheck DEVICE SECONDS [JOBS [MIB]]\n");
        return 2;
    }
    fd = open(argv[1], O_RDWR | O_DIRECT);
    if (fd < 0) {
        perror(argv[1]);
        return 2;
    }
    uint64_t blocks = (uint64_t)lseek(fd, 0, SEEK_END) / BLOCK,
             want = argc > 4 ? strtoull(argv[4], NULL, 10) * 256 : blocks;
    blocks = want < blocks ? want : blocks;
    if (blocks < jobs) {
        fprintf(stderr, "%s: too small\n", argv[1]);
        return 2;
    }
    end = now() + atof(argv[2]);
    for (unsigned i = 0; i < jobs; i++) {
        j[i] = (struct job){ .number = i,
                             .first = blocks / jobs * i,
                             .nr = blocks / jobs,
                             .rng = 0x1234567 + i * 7919u,
                             .gen = calloc(blocks / jobs, sizeof(uint32_t)) };
        if (!j[i].gen || posix_memalign((void **)&j[i].buf, BLOCK, RUN * BLOCK) ||
            pthread_create(&j[i].thread, NULL, run, &j[i])) {
            fprintf(stderr, "diskcheck: out of memory\n");
            return 2;
        }
    }
    for (unsigned i = 0; i < jobs; i++) {
        pthread_join(j[i].thread, NULL);
        sum.reads += j[i].reads;
        sum.writes += j[i].writes;
        sum.flushes += j[i].flushes;
        sum.errors += j[i].errors;
        sum.longest = j[i].longest > sum.longest ? j[i].longest : sum.longest;
    }
    printf("diskcheck: %lu reads, %lu writes, %lu flushes, longest %.0f ms, %lu errors\n",
           sum.reads, sum.writes, sum.flushes, sum.longest * 1e3, sum.errors);
    return sum.errors ? 1 : 0;
}
