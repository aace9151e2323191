/* SPDX-License-Identifier: MIT */
/*
 * Records that have to be there: records DIR [RAW MARKS]. Load for a journalled file system in DIR (and for the raw volume
 * RAW), each job in a loop: write record n, make it durable, tell so. tests/lib/records.py is the other half: what a disk
 * must hold.
 *
 *   job 0, 1  write a temporary file, fsync, rename it, fsync the directory; the file of KEEP records ago is deleted
 *   job 2     append to a file, fdatasync; a new file after LOG records
 *   job 3, 4  write the next of KEEP slots of RAW, fdatasync
 *   noise     directories and files come, grow, shrink and go; nothing of it is synced
 *
 * "Tell so": the number of the record, with O_DIRECT, to the job's block of MARKS. So whoever logs what reaches the disk knows
 * what was durable at each point of his log. It ends when /run/stop exists; then the jobs read back what must be there, past
 * the page cache. Exit status 0: no call failed, no wrong byte.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOBS 5u
#define KEEP 16u
#define UNIT 32u
#define SLOT 32768u
#define LOG  1024u
#define MARK 4096u
#define STOP "/run/stop"

static const char *dir;
static int raw = -1, marks = -1;
static unsigned long errors;

struct job {
    pthread_t thread;
    unsigned number;
    uint32_t n; /* records that are durable */
    char *buf, *mark;
    off_t end; /* job 2: of its file */
};

static void failed(const struct job *j, const char *what, uint32_t n, const char *why)
{
    if (__atomic_fetch_add(&errors, 1, __ATOMIC_RELAXED) < 5)
        printf("records: job %u, %s of record %u: %s\n", j->number, what, n, why);
}

/* Every 32 bytes tell of which job, record and place they are. */
static size_t make(const struct job *j, uint32_t n, char *buf)
{
    uint32_t most = j->number == 2 ? 128 : SLOT / UNIT;
    uint32_t units = 1 + ((n * 2654435761u + j->number * 40503u) >> 16) % most;

    for (uint32_t i = 0; i < units; i++) {
        char unit[UNIT + 1];
        snprintf(unit, sizeof(unit), "%02u:%012u:%015u\n", j->number, n, i);
        memcpy(buf + i * UNIT, unit, UNIT);
    }
    return (size_t)units * UNIT;
}

static void path(char *to, size_t size, const char *kind, unsigned job, uint32_t n)
{
    snprintf(to, size, "%s/%s%02u.%u", dir, kind, job, n);
}

static bool put(struct job *j, int fd, uint32_t n, off_t at)
{
    size_t len = make(j, n, j->buf);

    if (pwrite(fd, j->buf, len, at) == (ssize_t)len)
        return true;
    failed(j, "write", n, strerror(errno));
    return false;
}

static bool file_record(struct job *j, uint32_t n, int dirfd)
{
    char from[256], to[256];

    path(from, sizeof(from), "tmp", j->number, 0);
    path(to, sizeof(to), "rec", j->number, n);
    int fd = open(from, O_RDWR | O_CREAT | O_TRUNC, 0644);
    bool good = fd >= 0 && put(j, fd, n, 0) && !fsync(fd);
    if (fd >= 0)
        good &= !close(fd);
    if (!good || rename(from, to) || fsync(dirfd)) {
        failed(j, "file", n, strerror(errno));
        return false;
    }
    return true;
}

static void file_forget(struct job *j, uint32_t n)
{
    char name[256];

    path(name, sizeof(name), "rec", j->number, n);
    if (unlink(name))
        failed(j, "unlink", n, strerror(errno));
}

static void tell(struct job *j)
{
    if (marks < 0)
        return;
    snprintf(j->mark, MARK, "durable %u %u\n", j->number, j->n);
    if (pwrite(marks, j->mark, MARK, (off_t)(j->number * MARK)) != MARK)
        failed(j, "mark", j->n, strerror(errno));
}

/* --- what must be there at the end --------------------------------------------------------------------------------- */

static void compare(struct job *j, int fd, uint32_t n, off_t at)
{
    static __thread char got[SLOT];
    size_t len = make(j, n, j->buf);

    if (pread(fd, got, len, at) != (ssize_t)len)
        failed(j, "read", n, "error or short");
    else if (memcmp(got, j->buf, len))
        failed(j, "read", n, "wrong bytes");
}

static void forget_cache(int fd)
{
    if (fd >= 0)
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static void files_check(struct job *j)
{
    char name[256];

    for (uint32_t n = j->n > KEEP ? j->n - KEEP + 1 : 1; n <= j->n; n++) {
        path(name, sizeof(name), "rec", j->number, n);
        int fd = open(name, O_RDONLY);
        if (fd < 0) {
            failed(j, "open", n, strerror(errno));
            continue;
        }
        forget_cache(fd);
        compare(j, fd, n, 0);
        close(fd);
    }
    if (j->n > KEEP) {
        path(name, sizeof(name), "rec", j->number, j->n - KEEP);
        if (!access(name, F_OK))
            failed(j, "unlink", j->n - KEEP, "it is still there");
    }
}

static void log_check(struct job *j, int fd)
{
    off_t at = 0;

    forget_cache(fd);
    for (uint32_t n = j->n ? (j->n - 1) / LOG * LOG + 1 : 1; n <= j->n; n++) {
        compare(j, fd, n, at);
        at += (off_t)make(j, n, j->buf);
    }
}

static void raw_check(struct job *j, off_t base)
{
    forget_cache(raw);
    for (uint32_t n = j->n > KEEP ? j->n - KEEP + 1 : 1; n <= j->n; n++)
        compare(j, raw, n, base + (off_t)(n % KEEP) * SLOT);
}

/* --- jobs ------------------------------------------------------------------------------------------------------------ */

static bool running(void) { return access(STOP, F_OK) != 0; }

static void *files(void *arg)
{
    struct job *j = arg;
    int dirfd = open(dir, O_RDONLY | O_DIRECTORY);

    while (running() && file_record(j, j->n + 1, dirfd)) {
        j->n++;
        tell(j);
        if (j->n > KEEP)
            file_forget(j, j->n - KEEP);
    }
    files_check(j);
    return NULL;
}

/* The file that record n goes to, new or as it is. The one before it holds the last durable record until n is; the one before
 * that is not needed any more. */
static int log_open(struct job *j, uint32_t n, int old, int dirfd)
{
    char name[256];

    if (old >= 0 && (n - 1) % LOG)
        return old;
    path(name, sizeof(name), "log", j->number, (n - 1) / LOG);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || fsync(fd) || fsync(dirfd))
        failed(j, "open", n, strerror(errno));
    j->end = 0;
    if (old >= 0)
        close(old);
    if (n > 2 * LOG) {
        path(name, sizeof(name), "log", j->number, (n - 1) / LOG - 2);
        if (unlink(name))
            failed(j, "unlink", n, strerror(errno));
    }
    return fd;
}

static void *append(void *arg)
{
    struct job *j = arg;
    int fd = -1, dirfd = open(dir, O_RDONLY | O_DIRECTORY);

    while (running() && (fd = log_open(j, j->n + 1, fd, dirfd)) >= 0 && put(j, fd, j->n + 1, j->end)) {
        j->end += (off_t)make(j, j->n + 1, j->buf);
        if (fdatasync(fd)) {
            failed(j, "fdatasync", j->n + 1, strerror(errno));
            break;
        }
        j->n++;
        tell(j);
    }
    log_check(j, fd);
    return NULL;
}

static void *slots(void *arg)
{
    struct job *j = arg;
    off_t base = (off_t)(j->number - 3) * KEEP * SLOT;

    while (running() && put(j, raw, j->n + 1, base + (off_t)((j->n + 1) % KEEP) * SLOT)) {
        if (fdatasync(raw)) {
            failed(j, "fdatasync", j->n + 1, strerror(errno));
            break;
        }
        j->n++;
        tell(j);
    }
    raw_check(j, base);
    return NULL;
}

static void noise_clear(unsigned d)
{
    char name[256];

    for (unsigned f = 0; f < 16; f++) {
        snprintf(name, sizeof(name), "%s/noise%u/%u", dir, d, f);
        unlink(name);
    }
    snprintf(name, sizeof(name), "%s/noise%u", dir, d);
    rmdir(name);
}

static void *noise(void *arg)
{
    struct job *j = arg;
    uint32_t r = 12345;
    char name[256];

    while (running()) {
        r = r * 1664525u + 1013904223u;
        unsigned d = r >> 8 & 7, f = r >> 11 & 15, what = r >> 16 & 7;
        snprintf(name, sizeof(name), "%s/noise%u", dir, d);
        mkdir(name, 0755);
        snprintf(name, sizeof(name), "%s/noise%u/%u", dir, d, f);
        if (what < 2) {
            unlink(name);
        } else {
            int fd = open(name, O_RDWR | O_CREAT, 0644);
            if (fd < 0 ||
                (what == 2 ? ftruncate(fd, r >> 20) : !put(j, fd, r >> 8, (off_t)(what - 3) * 8192)))
                failed(j, "noise", f, strerror(errno));
            if (fd >= 0)
                close(fd);
        }
        if (r >> 28 == 0)
            noise_clear(d);
        usleep(5000);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static struct job job[JOBS + 1];
    void *(*const what[])(void *) = { files, files, append, slots, slots, noise };

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: records DIR [RAW MARKS]\n");
        return 2;
    }
    dir = argv[1];
    if (argc == 4 &&
        ((raw = open(argv[2], O_RDWR)) < 0 || (marks = open(argv[3], O_RDWR | O_DIRECT)) < 0)) {
        perror("records");
        return 2;
    }
    for (unsigned i = 0; i <= JOBS; i++) {
        job[i].number = i;
        if (raw < 0 && (i == 3 || i == 4))
            continue;
        job[i].buf = malloc(SLOT);
        if (!job[i].buf || posix_memalign((void **)&job[i].mark, MARK, MARK))
            return 2;
        memset(job[i].mark, 0, MARK);
        if (pthread_create(&job[i].thread, NULL, what[i], &job[i]))
            return 2;
    }
    for (unsigned i = 0; i <= JOBS; i++)
        if (job[i].thread)
            pthread_join(job[i].thread, NULL);
    printf("records:");
    for (unsigned i = 0; i < JOBS; i++)
        printf(" %u", job[i].n);
    printf(" durable, %lu errors\n", errors);
    return errors ? 1 : 0;
}
