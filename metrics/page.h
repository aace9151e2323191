/* SPDX-License-Identifier: MIT */
/* The page that is shown, for lwIP's HTTP server (<lwip/apps/fs.h>). */
#pragma once
#include <stddef.h>

/* From now on this is /metrics: the text is copied. What a connection has begun to read stays until it has read it. Half a minute later there is none,
 * unless another one came. */
void page_set(const char *text, size_t len);
