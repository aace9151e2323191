/* SPDX-License-Identifier: MIT */
/* The one used last comes first in the list; it takes pages only while a quarter of the domain's RAM is free. */
#include "bundle/kept.h"
#include <bh.h>
#include <stdlib.h>
#include <string.h>
#include "bundle/bundle.h"

#define PIECE (64u * 1024) /* that a sink gets at once at most */

struct kept {
    struct kept *next; /* used longer ago */
    struct image *img;
    size_t filled; /* bytes that were handed over */
    bool whole;
    uint64_t used; /* pages, and the table's */
    void *page[];  /* NULL: zeroes */
};

static struct kept *newest;
const uint8_t zero_page[PAGE_SIZE];

static size_t nr_pages(const struct image *img)
{
    return (img->full_len + PAGE_SIZE - 1) / PAGE_SIZE;
}
static bool room(uint64_t pages) { return page_avail() >= self.ram_bytes / PAGE_SIZE / 4 + pages; }

static struct kept **link_of(const struct kept *k)
{
    struct kept **at = &newest;

    while (*at != k)
        at = &(*at)->next;
    return at;
}

static void drop(struct kept *k)
{
    *link_of(k) = k->next;
    k->img->kept = NULL;
    for (size_t i = 0; i < nr_pages(k->img); i++)
        page_free(k->page[i], 1);
    free(k);
}

static bool drop_oldest(void)
{
    struct kept *k = newest;

    while (k && k->next)
        k = k->next;
    if (k)
        drop(k);
    return k;
}

/* Room for so many pages of img, which is the newest. False: there is none, and img itself is not kept any more. */
static bool make_room(const struct image *img, uint64_t pages)
{
    while (img->kept && !room(pages))
        drop_oldest();
    return img->kept;
}

bool kept_begin(struct image *img)
{
    uint64_t table = (sizeof(struct kept) + nr_pages(img) * sizeof(void *)) / PAGE_SIZE + 1;

    while (!img->kept && !room(table) && drop_oldest())
        ;
    struct kept *k = img->kept || !room(table)
                         ? NULL
                         : calloc(1, sizeof(*k) + nr_pages(img) * sizeof(void *));
    if (!k)
        return false;
    page_shortage = drop_oldest;
    *k = (struct kept){ .next = newest, .img = img, .used = table };
    newest = img->kept = k;
    return true;
}

static bool add_page(struct image *img, size_t at, const void *data, size_t len)
{
    if (!memcmp(data, zero_page, len))
        return true;
    void *p = make_room(img, 1) ? page_alloc(1) : NULL;
    if (!p || !img->kept) { /* the allocation may have given it up */
        page_free(p, 1);
        return false;
    }
    memcpy(p, data, len);
    img->kept->page[at / PAGE_SIZE] = p;
    img->kept->used++;
    return true;
}

void kept_add(struct image *img, size_t pos, const void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        size_t part = len - done < PAGE_SIZE ? len - done : PAGE_SIZE;
        if (!img->kept || img->kept->whole || pos + done != img->kept->filled ||
            (pos + done) % PAGE_SIZE)
            return;
        if (!add_page(img, pos + done, (const char *)data + done, part))
            return;
        img->kept->filled += part;
        done += part;
    }
}

void kept_end(struct image *img, bool good)
{
    struct kept *k = img->kept;

    if (k && !k->whole && (!good || k->filled != img->full_len))
        drop(k);
    else if (k)
        k->whole = true;
}

const void *kept_at(struct image *img, size_t pos, size_t *len)
{
    struct kept *k = img->kept;
    size_t i = pos / PAGE_SIZE;

    if (!k || !k->whole || pos >= img->full_len)
        return NULL;
    *link_of(k) = k->next; /* used just now */
    k->next = newest;
    newest = k;
    for (*len = PAGE_SIZE; *len < PIECE && k->page[i] && i + *len / PAGE_SIZE < nr_pages(img);
         *len += PAGE_SIZE)
        if (k->page[i + *len / PAGE_SIZE] != (char *)k->page[i] + *len)
            break;
    if (*len > img->full_len - pos)
        *len = img->full_len - pos;
    return k->page[i] ? k->page[i] : zero_page;
}

uint64_t kept_pages(void)
{
    uint64_t n = 0;

    for (const struct kept *k = newest; k; k = k->next)
        n += k->used;
    return n;
}
