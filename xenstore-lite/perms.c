/* SPDX-License-Identifier: MIT */
/*
 * Permission lists: text form ("n0", "r5", one string each), and who may what. The first entry names the owner, who may
 * everything; its letter is what everybody without an entry of his own gets.
 */
#include "xs.h"

unsigned perms_for(const struct permset *p, const struct conn *c)
{
    uint16_t owner = p->p[0].domid;
    if (c->privileged || owner == c->domid || (c->target >= 0 && owner == c->target))
        return PERM_READ | PERM_WRITE | PERM_OWNER;
    for (unsigned i = 1; i < p->n; i++)
        if (p->p[i].domid == c->domid || (c->target >= 0 && p->p[i].domid == c->target))
            return p->p[i].bits;
    return p->p[0].bits;
}

static bool perm_parse(const char *s, struct perm *p)
{
    uint32_t id;
    switch (*s) {
    case 'n': p->bits = 0; break;
    case 'r': p->bits = PERM_READ; break;
    case 'w': p->bits = PERM_WRITE; break;
    case 'b': p->bits = PERM_READ | PERM_WRITE; break;
    default: return false;
    }
    if (!parse_u32(s + 1, 0x7fff, &id))
        return false;
    p->domid = (uint16_t)id;
    return true;
}

int perms_parse(struct heap *h, const char *s, uint32_t len, struct permset **out)
{
    unsigned n = 0;
    if (!len || s[len - 1])
        return XE_EINVAL;
    for (uint32_t i = 0; i < len; i++)
        n += !s[i];
    struct permset *p = permset_new(h, n);
    if (!p)
        return XE_ENOMEM;
    for (unsigned i = 0; i < n; i++) {
        if (!perm_parse(s, &p->p[i])) {
            permset_put(p);
            return XE_EINVAL;
        }
        while (*s++)
            ;
    }
    *out = p;
    return XE_OK;
}

uint32_t perms_format(const struct permset *p, char *buf, uint32_t n)
{
    static const char letter[] = "nrwb";
    uint32_t at = 0;
    for (unsigned i = 0; i < p->n; i++) {
        char digits[5];
        unsigned nr = 0;
        uint16_t id = p->p[i].domid;
        do {
            digits[nr++] = (char)('0' + id % 10);
            id = (uint16_t)(id / 10);
        } while (id);
        if (n - at < nr + 2)
            return 0;
        buf[at++] = letter[p->p[i].bits & 3];
        while (nr)
            buf[at++] = digits[--nr];
        buf[at++] = 0;
    }
    return at;
}
