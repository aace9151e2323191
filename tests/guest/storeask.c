/* SPDX-License-Identifier: MIT */
/*
 * storeask THREADS REQUESTS: each thread asks the store REQUESTS times for this domain's domid, one request after another, through the kernel.
 * The last line is "storeask: N of M requests answered", the status 0 if that is all. Once no answer has come for a minute, none will.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SILENCE_S 60
#define XS_READ   2

struct header {
    uint32_t type, req_id, tx_id, len;
};

static unsigned long requests, answered;
static bool broken;

static bool get(int fd, void *to, size_t n)
{
    for (size_t got = 0; got < n;) {
        ssize_t rc = read(fd, (char *)to + got, n - got);
        if (rc <= 0)
            return false;
        got += (size_t)rc;
    }
    return true;
}

static bool ask(int fd, uint32_t id)
{
    static const char path[] = "domid";
    struct {
        struct header h;
        char path[sizeof(path)];
    } r = { .h = { .type = XS_READ, .req_id = id, .len = sizeof(path) } };
    struct header h;
    char text[4096];

    memcpy(r.path, path, sizeof(path));
    return write(fd, &r, sizeof(r.h) + sizeof(path)) == (ssize_t)(sizeof(r.h) + sizeof(path)) &&
           get(fd, &h, sizeof(h)) && h.len <= sizeof(text) && get(fd, text, h.len) &&
           h.type == XS_READ && h.req_id == id;
}

static void *asks(void *arg)
{
    int fd = open("/dev/xen/xenbus", O_RDWR);

    (void)arg;
    for (unsigned long n = 0; fd >= 0 && n < requests; n++) {
        if (!ask(fd, (uint32_t)n))
            break;
        __atomic_fetch_add(&answered, 1, __ATOMIC_RELAXED);
    }
    if (fd < 0)
        perror("/dev/xen/xenbus");
    broken |= fd < 0;
    return NULL;
}

int main(int argc, char **argv)
{
    unsigned threads = argc == 3 ? (unsigned)atoi(argv[1]) : 0;
    unsigned long before = 0, now = 0, silent = 0;
    pthread_t t;

    if (!threads)
        return 2;
    requests = strtoul(argv[2], NULL, 0);
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&t, NULL, asks, NULL))
            return 2;
    while (!broken && now < threads * requests && silent < SILENCE_S) {
        sleep(1);
        now = __atomic_load_n(&answered, __ATOMIC_RELAXED);
        silent = now == before ? silent + 1 : 0;
        before = now;
    }
    printf("storeask: %lu of %lu requests answered\n", now, threads * requests);
    return now != threads * requests;
}
