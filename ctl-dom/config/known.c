/* SPDX-License-Identifier: MIT */
/* Keys that others have and we do not (known.def). */
#include "config/known.h"
#include <stddef.h>
#include <string.h>

static const struct {
    const char *name, *why; /* why: NULL: it is noted */
} names[] = {
#define NOTED(name)        { #name, NULL },
#define REFUSED(name, why) { #name, why },
#include "config/known.def"
};

enum known known_key(const char *name, const char **why)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!strcmp(names[i].name, name)) {
            *why = names[i].why;
            return *why ? KNOWN_REFUSED : KNOWN_NOTED;
        }
    return KNOWN_NOT;
}
