/* SPDX-License-Identifier: MIT */
/* The string function that allocates: the others are below malloc. */
#include <stdlib.h>
#include <string.h>

char *strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *d = malloc(size);
    return d ? memcpy(d, s, size) : NULL;
}
