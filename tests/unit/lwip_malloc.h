/* SPDX-License-Identifier: MIT */
/* Put before each source of lwIP: where its memory comes from natively. */
#pragma once
#include <stddef.h>

void *lwip_malloc(size_t n);
void lwip_free(void *p);
#define mem_clib_malloc lwip_malloc
#define mem_clib_free   lwip_free
