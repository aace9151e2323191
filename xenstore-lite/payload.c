/* SPDX-License-Identifier: MIT */
/* What a request carries and what its reply will: strings and numbers of the payload, the reply on its way, errors' names. */
#include "xs.h"
#include <string.h>

const char *const xs_err_name[XE_NR] = {
    [XE_OK] = "OK",           [XE_EINVAL] = "EINVAL",
    [XE_EACCES] = "EACCES",   [XE_EEXIST] = "EEXIST",
    [XE_EISDIR] = "EISDIR",   [XE_ENOENT] = "ENOENT",
    [XE_ENOMEM] = "ENOMEM",   [XE_ENOSPC] = "ENOSPC",
    [XE_EIO] = "EIO",         [XE_ENOTEMPTY] = "ENOTEMPTY",
    [XE_ENOSYS] = "ENOSYS",   [XE_EROFS] = "EROFS",
    [XE_EBUSY] = "EBUSY",     [XE_EAGAIN] = "EAGAIN",
    [XE_EISCONN] = "EISCONN", [XE_E2BIG] = "E2BIG",
    [XE_EPERM] = "EPERM",
};

char xs_reply_buf[XENSTORE_PAYLOAD_MAX];

void req_reply(struct req *r, const void *data, uint32_t len)
{
    if (len > sizeof xs_reply_buf - r->out_len)
        len = (uint32_t)sizeof xs_reply_buf - r->out_len; /* callers have checked; never write beyond */
    memcpy(xs_reply_buf + r->out_len, data, len);
    r->out_len += len;
}

unsigned req_strings(const struct req *r, const char **v, unsigned max, uint32_t *rest)
{
    uint32_t at = 0;
    unsigned n = 0;
    while (n < max && at < r->hdr.len) {
        const char *end = memchr(r->in + at, 0, r->hdr.len - at);
        if (!end)
            break;
        v[n++] = r->in + at;
        at = (uint32_t)(end - r->in) + 1;
    }
    *rest = at;
    return n;
}

const char *req_string(const struct req *r)
{
    const char *s;
    uint32_t rest;
    return req_strings(r, &s, 1, &rest) == 1 && rest == r->hdr.len ? s : NULL;
}

bool parse_u32(const char *s, uint32_t max, uint32_t *v)
{
    uint64_t n = 0;
    if (!*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return false;
        n = n * 10 + (uint64_t)(*s - '0');
        if (n > max)
            return false;
    }
    *v = (uint32_t)n;
    return true;
}
