/* SPDX-License-Identifier: MIT */
/* XS_CONTROL: questions about the store itself and what can be set while it runs. The control domain's alone. */
#include "xs.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "mem.h"

/* One more line of the reply. */
__attribute__((format(printf, 2, 3))) static void line(struct req *r, const char *fmt, ...)
{
    char buf[160];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    req_reply(r, buf, (uint32_t)n < sizeof buf ? (uint32_t)n : (uint32_t)sizeof buf - 1);
}

static int reply_ends(struct req *r)
{
    req_reply(r, "", 1);
    return XE_OK;
}

static int acknowledged(struct req *r)
{
    req_reply(r, "OK", 3);
    return XE_OK;
}

static void say(struct req *r, const char *what, const char *text)
{
    char words[160];
    int n = snprintf(words, sizeof words, "%s", what);
    for (; *text && n < (int)sizeof words - 1; text++)
        words[n++] = *text >= ' ' && *text <= '~' ? *text : '?';
    words[n] = 0;
    if (r->xs->ops->say)
        r->xs->ops->say(r->conn, words);
}

static int control_check(struct req *r, const char **v, unsigned n)
{
    (void)v;
    if (n)
        return XE_EINVAL;
    if (!xs_check(r->xs))
        return acknowledged(r);
    say(r, "has a store that is not sound: ", xs_unsound);
    return XE_EIO;
}

static int control_print(struct req *r, const char **v, unsigned n)
{
    if (n != 1)
        return XE_EINVAL;
    say(r, "prints: ", v[0]);
    return acknowledged(r);
}

static int set(struct req *r, const char *name, uint32_t value)
{
    for (unsigned i = 0; i < SETTINGS; i++)
        if (!strcmp(settings[i].name, name))
            return setting_set(r->xs, i, value) ? acknowledged(r) : XE_EINVAL;
    return XE_EINVAL;
}

static int control_log(struct req *r, const char **v, unsigned n)
{
    bool on = n == 1 && !strcmp(v[0], "on");
    if (n != 1 || (!on && strcmp(v[0], "off")))
        return XE_EINVAL;
    return set(r, "log", on);
}

/* What a domain has, of what it may have. */
static int quota_of(struct req *r, uint32_t domid)
{
    struct conn *c = domid > UINT16_MAX ? NULL : conn_find(r->xs, (uint16_t)domid);
    const struct usage *u = domid > UINT16_MAX ? NULL : xs_usage(r->xs, (uint16_t)domid, false);
    if (!c && !u)
        return XE_ENOENT;
    const struct limits *l = c ? c->limits : &limits_ctl;
    line(r, "nodes %d of %u\n", u ? u->nodes : 0, l->nodes);
    line(r, "node-memory %d of %u\n", u ? u->bytes : 0, l->node_mem);
    if (c) {
        line(r, "watches %u of %u\n", c->nr_watches, l->watches);
        line(r, "transactions %u of %u\n", c->nr_txs, l->txs);
        line(r, "memory %u of %u\n", c->work_bytes, l->work_mem);
        line(r, "outstanding %u of %u\n", c->out_bytes, l->out);
        line(r, "heap %lu of %lu\n", (unsigned long)c->heap->used,
             c->privileged ? (unsigned long)xs_mem.limit : (unsigned long)c->heap->max * XS_CHUNK);
    }
    return reply_ends(r);
}

static int control_quota(struct req *r, const char **v, unsigned n)
{
    uint32_t value;
    if (n == 3 && !strcmp(v[0], "set") && strcmp(v[1], "log"))
        return parse_u32(v[2], UINT32_MAX, &value) ? set(r, v[1], value) : XE_EINVAL;
    if (n == 1)
        return parse_u32(v[0], UINT32_MAX, &value) ? quota_of(r, value) : XE_EINVAL;
    if (n)
        return XE_EINVAL;
    for (unsigned i = 0; i < SETTINGS; i++)
        if (settings[i].at != SETTING_LOG)
            line(r, "%s %u: %s\n", settings[i].name, setting_get(r->xs, i), settings[i].what);
    return reply_ends(r);
}

static int control_stats(struct req *r, const char **v, unsigned n)
{
    int nodes = 0;
    (void)v;
    if (n)
        return XE_EINVAL;
    for (unsigned i = 0; i < r->xs->nr_usage; i++)
        nodes += r->xs->usage[i].nodes;
    line(r, "requests %lu\nconnections %u\nnodes %d\n", (unsigned long)r->xs->nr_requests,
         r->xs->nr_conns, nodes);
    line(r, "memory %lu of %lu\n", (unsigned long)xs_mem.used, (unsigned long)xs_mem.limit);
    return reply_ends(r);
}

/* Who is put aside, and another chance for one. */
static int control_aside(struct req *r, const char **v, unsigned n)
{
    (void)v;
    if (n)
        return XE_EINVAL;
    r->out_len = aside_list(r->xs, xs_reply_buf, sizeof xs_reply_buf);
    return XE_OK;
}

static int control_retry(struct req *r, const char **v, unsigned n)
{
    uint32_t domid;
    if (n != 1 || !parse_u32(v[0], UINT16_MAX, &domid))
        return XE_EINVAL;
    return aside_again(r->xs, (uint16_t)domid) ? acknowledged(r) : XE_ENOENT;
}

static int control_help(struct req *r, const char **v, unsigned n);

static const struct {
    const char *name, *arguments;
    int (*fn)(struct req *r, const char **v, unsigned n);
} commands[] = {
    { "aside", "", control_aside },       { "check", "", control_check },
    { "help", "", control_help },         { "log", " on|off", control_log },
    { "print", " TEXT", control_print },  { "quota", " [DOMID|set NAME VALUE]", control_quota },
    { "retry", " DOMID", control_retry }, { "stats", "", control_stats },
};
#define COMMANDS (sizeof commands / sizeof *commands)

static int control_help(struct req *r, const char **v, unsigned n)
{
    (void)v;
    if (n)
        return XE_EINVAL;
    for (unsigned i = 0; i < COMMANDS; i++)
        line(r, "%s%s\n", commands[i].name, commands[i].arguments);
    return reply_ends(r);
}

int op_control(struct req *r)
{
    const char *v[5];
    uint32_t rest;
    unsigned n = req_strings(r, v, 5, &rest);
    if (!n || n == 5 || rest != r->hdr.len)
        return XE_EINVAL;
    for (unsigned i = 0; i < COMMANDS; i++)
        if (!strcmp(commands[i].name, v[0]))
            return commands[i].fn(r, v + 1, n - 1);
    return XE_EINVAL;
}
