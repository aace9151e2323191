/* SPDX-License-Identifier: MIT */
/* Names of nodes: which are well formed, and what a relative one means (docs: xenstore.txt, "Paths"). */
#include "xs.h"
#include <string.h>

static char path_buf[XS_PATH_MAX + 1];
static const char *const special[2] = { "@introduceDomain", "@releaseDomain" };

const char *special_name(unsigned i) { return special[i]; }

int special_index(const char *path)
{
    for (int i = 0; i < 2; i++)
        if (!strcmp(path, special[i]))
            return i;
    return -1;
}

bool path_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '/' || c == '_' || c == '@';
}

bool path_valid(const char *p)
{
    if (p[0] != '/')
        return false;
    size_t n = 0;
    for (; p[n]; n++)
        if (n >= XS_PATH_MAX || !path_char(p[n]) || (p[n] == '/' && p[n + 1] == '/'))
            return false;
    return n == 1 || p[n - 1] != '/';
}

bool path_special_watch(const char *path)
{
    size_t n = strlen(special[1]);
    uint32_t domid;
    if (special_index(path) >= 0)
        return true;
    return !strncmp(path, special[1], n) && path[n] == '/' &&
           parse_u32(path + n + 1, UINT16_MAX, &domid) && (path[n + 1] != '0' || !path[n + 2]);
}

int req_path(struct req *r, const char *name, enum path_kind kind)
{
    size_t n = strlen(name);
    r->path = path_buf;
    r->path_rel = 0;
    if (name[0] == '@') {
        if (kind == PATH_NODE ||
            !(kind == PATH_WATCH ? path_special_watch(name) : special_index(name) >= 0))
            return XE_EINVAL;
        memcpy(path_buf, name, n + 1);
        return XE_OK;
    }
    if (name[0] != '/') {
        if (n > XENSTORE_REL_PATH_MAX)
            return XE_EINVAL;
        r->path_rel = r->conn->home_len;
        memcpy(path_buf, r->conn->home, r->path_rel);
    } else if (n > XENSTORE_ABS_PATH_MAX) {
        return XE_EINVAL;
    }
    memcpy(path_buf + r->path_rel, name, n + 1);
    return path_valid(path_buf) ? XE_OK : XE_EINVAL;
}
