/* SPDX-License-Identifier: MIT */
/* The store: a table of paths. A transaction is done at its end, in one step. */
#include "ctl_machine.h"
#include <errno.h>
#include <xen/io/xs_wire.h>
#include "unit.h"

static char saved[sizeof(m->node)]; /* as it was when the transaction began */
int xs_error;

static uint32_t hash_of(const char *path)
{
    uint32_t h = 2166136261u;

    if (!*path)
        return 0;
    while (*path)
        h = (h ^ (uint8_t)*path++) * 16777619u;
    return h | 1;
}
static int at(const char *path)
{
    uint32_t hash = hash_of(path);

    for (int i = 0; i < MACHINE_NODES; i++)
        if (m->node[i].hash == hash && !strcmp(m->node[i].path, path))
            return i;
    return -1;
}
const char *store_value(const char *path) { return at(path) < 0 ? NULL : m->node[at(path)].val; }
void store_set(const char *path, const char *val)
{
    int i = at(path) < 0 ? at("") : at(path);

    assert_true(i >= 0 && strlen(path) < sizeof(m->node[0].path));
    strcpy(m->node[i].path, path);
    m->node[i].hash = hash_of(path);
    snprintf(m->node[i].val, sizeof(m->node[i].val), "%s", val);
}
bool store_lies_in(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return !strncmp(path, dir, n) && (path[n] == '/' || !path[n]);
}
unsigned store_below(const char *dir)
{
    char seen[64][64];
    unsigned n = 0;

    for (unsigned i = 0, k; i < MACHINE_NODES; i++) {
        const char *p = m->node[i].path;
        if (!m->node[i].hash || !store_lies_in(p, dir) || !p[strlen(dir)])
            continue;
        p += strlen(dir) + 1;
        int len = (int)strcspn(p, "/");
        for (k = 0; k < n && (strlen(seen[k]) != (size_t)len || strncmp(seen[k], p, (size_t)len));)
            k++;
        if (k == n)
            snprintf(seen[n++], sizeof(seen[0]), "%.*s", len, p);
    }
    return n;
}

bool store_silent(void)
{
    struct machine_dom *d = core_by_id(BH_DOMID_STORE);

    return !d || d->state != BH_DOM_RUNNING || m->clock < m->silent_until;
}
static int removed(const char *path)
{
    int n = 0;

    for (unsigned i = 0; i < MACHINE_NODES; i++)
        if (m->node[i].hash && store_lies_in(m->node[i].path, path)) {
            memset(&m->node[i], 0, sizeof(m->node[i]));
            n++;
        }
    return n ? 0 : -ENOENT;
}
int xs_mkdir(uint32_t tx, const char *path)
{
    STORE_CALL(tx, at(path) < 0 ? (store_set(path, ""), 0) : 0);
}
int xs_write(uint32_t tx, const char *path, const char *val)
{
    STORE_CALL(tx, (store_set(path, val), 0));
}
int xs_rm(uint32_t tx, const char *path) { STORE_CALL(tx, removed(path)); }
int xs_set_perms(uint32_t tx, const char *path, const char *perms) { STORE_CALL(tx, 0); }
int xs_printf(uint32_t tx, const char *path, const char *fmt, ...)
{
    char val[112];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(val, sizeof(val), fmt, ap);
    va_end(ap);
    return xs_write(tx, path, val);
}
static int has(const char *path) { return at(path) < 0 ? -ENOENT : 0; }
static int asked(uint32_t tx, const char *path) { STORE_CALL(tx, has(path)); }
char *xs_read(uint32_t tx, const char *path)
{
    xs_error = -asked(tx, path);
    return xs_error ? NULL : strdup(store_value(path));
}
/* As the client does: one block. */
static char **listed(const char *dir, unsigned *n)
{
    char **names = calloc(1, MACHINE_NODES * (sizeof(*names) + sizeof(m->node[0].path))), *at;

    at = (char *)(names + MACHINE_NODES);
    *n = 0;
    for (unsigned i = 0, k; i < MACHINE_NODES; i++) {
        const char *p = m->node[i].path;
        if (!m->node[i].hash || !store_lies_in(p, dir) || !p[strlen(dir)])
            continue;
        snprintf(at, sizeof(m->node[0].path), "%.*s", (int)strcspn(p + strlen(dir) + 1, "/"),
                 p + strlen(dir) + 1);
        for (k = 0; k < *n && strcmp(names[k], at) != 0; k++)
            ;
        if (k < *n)
            continue;
        names[(*n)++] = at;
        at += strlen(at) + 1;
    }
    return names;
}
char **xs_ls(uint32_t tx, const char *path, unsigned *n)
{
    xs_error = -asked(tx, path);
    return xs_error ? NULL : listed(path, n);
}
int xs_read_uint(uint32_t tx, const char *path, uint64_t *v)
{
    int rc = asked(tx, path);

    if (!rc)
        *v = strtoull(store_value(path), NULL, 10);
    return rc;
}
int xs_tx_start(uint32_t *tx)
{
    *tx = 1;
    memcpy(saved, m->node, sizeof(saved));
    STORE_CALL(0, 0);
}
/* Nobody else looks before the end, so what it wrote lies there already, but for one who dies before it. */
int xs_tx_end(uint32_t tx, bool good)
{
    static char made[sizeof(saved)];

    memcpy(made, m->node, sizeof(made));
    memcpy(m->node, saved, sizeof(saved));
    step();
    if (good)
        memcpy(m->node, made, sizeof(made));
    step();
    return store_silent() ? -EIO : 0;
}
static unsigned breaks;
unsigned xs_breaks(void) { return breaks; }
void store_empties(void)
{
    memset(m->node, 0, sizeof(m->node));
    memset(m->introduced, 0, sizeof(m->introduced));
    for (unsigned i = 0; i < MACHINE_DOMS; i++)
        m->dom[i].talks = false;
    breaks++;
}
static int told(uint32_t type, const char *domid, char **reply)
{
    unsigned id = (unsigned)atoi(domid);
    struct machine_dom *d = core_by_id(id);

    if (type == XS_IS_DOMAIN_INTRODUCED) {
        *reply = strdup(m->introduced[id] ? "T" : "F");
        return 0;
    }
    /* Its ring would be emptied under it. */
    assert_false(type == XS_INTRODUCE && m->introduced[id] && d && d->state == BH_DOM_RUNNING &&
                 d->role == BH_ROLE_GUEST);
    /* A back-end that hears of no front-end lets go of it, which a guest that runs would notice. */
    for (unsigned i = 0; type == XS_INTRODUCE && d && i < SLOT_ENTRIES; i++) {
        const struct slot_entry *e = &d->table[i];
        char path[64];
        snprintf(path, sizeof(path), "/local/domain/%u/device/%s/%u/state", e->domid,
                 slot_kind(e) == SLOT_VIF ? "vif" : "vbd", e->devid);
        const struct machine_dom *g = core_by_id(e->domid);
        assert_false(slot_state(e) == SLOT_ATTACHED && g && g->state == BH_DOM_RUNNING &&
                     !store_value(path));
    }
    m->introduced[id] = type == XS_INTRODUCE;
    if (d && type == XS_INTRODUCE)
        d->talks = true;
    return type == XS_INTRODUCE && (!d || !d->rings) ? -EINVAL : 0;
}
int xs_raw(uint32_t type, uint32_t tx, const void *payload, uint32_t len, char **reply, uint32_t *n)
{
    STORE_CALL(tx, told(type, payload, reply));
}
int xs_post(uint32_t type, const void *payload, uint32_t len, xs_done done, void *arg)
{
    int rc = xs_raw(type, 0, payload, len, NULL, NULL);

    done(rc, arg);
    return 0;
}
