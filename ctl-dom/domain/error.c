/* SPDX-License-Identifier: MIT */
/* Texts are in static buffers: one thread. */
#include "domain/error.h"
#include <bh.h>
#include <errno.h>
#include <quote.h>
#include <stdarg.h>
#include <stdio.h>

int fail(struct errbuf *e, int rc, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(e->s, sizeof(e->s), fmt, ap);
    va_end(ap);
    quote(e->s, sizeof(e->s), e->s); /* a back-end's reason, a name out of a file */
    return rc;
}

const char *errno_text(int rc)
{
    static const struct {
        int e;
        const char *text;
    } texts[] = {
        { EPERM, "not permitted" },
        { ENOENT, "not found" },
        { ESRCH, "no such domain" },
        { EIO, "the connection broke" },
        { E2BIG, "over its limit" },
        { ENOMEM, "out of memory" },
        { EACCES, "access denied" },
        { EFAULT, "bad address" },
        { EBUSY, "busy" },
        { EEXIST, "exists already" },
        { ENODEV, "no such device" },
        { EINVAL, "invalid" },
        { ENOSPC, "no space" },
        { ENOSYS, "not offered by the core" },
        { ETIME, "no answer in time" },
        { EXDEV, "shared group" },
        { EOPNOTSUPP, "not supported" },
    };
    static char other[24];

    for (unsigned i = 0; i < ARRAY_SIZE(texts); i++)
        if (texts[i].e == -rc)
            return texts[i].text;
    snprintf(other, sizeof(other), "error %d", -rc);
    return other;
}
