/* SPDX-License-Identifier: MIT */
/*
 * Images as they came out of inflate, kept for the next guest that is made of them. Pages of zeroes, half of a kernel's file, take no room.
 * Nothing depends on it: it takes memory only as long as a quarter of the domain's RAM stays free, and gives it back, the image that was
 * not used for longest first, when somebody else finds none (page_shortage). So an image may be gone after whatever allocates.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct image;

/* Begins to keep img, of full_len bytes; false: there is no room, or it has begun already. */
bool kept_begin(struct image *img);
/* The next bytes of it, at pos, whole pages but for the last; what is not next, or finds no room, is not kept, and then the whole image is not. */
void kept_add(struct image *img, size_t pos, const void *data, size_t len);
/* All of it was handed over; good: it came out as it should. */
void kept_end(struct image *img, bool good);
/* Bytes of it from pos on, a multiple of PAGE_SIZE, and how many; NULL: it is not kept, or has no more. */
const void *kept_at(struct image *img, size_t pos, size_t *len);
extern const uint8_t zero_page[4096]; /* what kept_at hands over where there are only zeroes */
uint64_t kept_pages(void);            /* of memory that they take, all in all */
