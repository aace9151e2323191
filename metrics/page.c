/* SPDX-License-Identifier: MIT */
/* A page is counted by its readers, and by being the newest; it goes with the last of them. Numbers that stand still because nobody writes them any more
 * would look like a machine on which nothing happens: they are shown no longer. */
#include "page.h"
#include <bh.h>
#include <lwip/apps/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OLD_NS (30 * NS_PER_S)

struct page {
    unsigned users;
    int len;
    size_t head;
    char text[];
};
static struct page *newest;
static uint64_t newest_ns;

static void put(struct page *p)
{
    if (p && !--p->users)
        free(p);
}

void page_set(const char *text, size_t len)
{
    if (newest && newest->len - newest->head == len &&
        !memcmp(newest->text + newest->head, text, len)) /* it is that one still */
        return;
    struct page *p = malloc(sizeof(*p) + 160 + len);

    if (!p) /* the old one is better than none */
        return;
    p->users = 1;
    p->len = snprintf(p->text, 160,
                      "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                      "Content-Length: %lu\r\nConnection: close\r\n\r\n",
                      (unsigned long)len);
    p->head = (size_t)p->len;
    memcpy(p->text + p->head, text, len);
    p->len += (int)len;
    put(newest);
    newest = p;
    newest_ns = now_ns();
}

err_t fs_open(struct fs_file *file, const char *name)
{
    static const char none[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    bool metrics = !strcmp(name, "/metrics") && newest && now_ns() - newest_ns < OLD_NS;

    if (!metrics && strcmp(name, "/404.html"))
        return ERR_VAL;
    *file = (struct fs_file){
        .data = metrics ? newest->text : none,
        .len = metrics ? newest->len : (int)sizeof(none) - 1,
        .pextension = metrics ? newest : NULL,
        .flags = FS_FILE_FLAGS_HEADER_INCLUDED,
    };
    file->index = file->len; /* all of it is at hand */
    if (metrics)
        newest->users++;
    return ERR_OK;
}

void fs_close(struct fs_file *file) { put(file->pextension); }

int fs_bytes_left(struct fs_file *file) { return file->len - file->index; }
