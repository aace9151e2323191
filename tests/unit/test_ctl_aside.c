/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/supervise/aside.c
// FLAGS: -Ictl-dom -Idomains/include
/* Whom the store has put aside is told at the prompt: once, after each of its deaths that put somebody there. */
#include <bh.h>
#include <errno.h>
#include <xen/io/xs_wire.h>
#include "console/console.h"
#include "store/connection.h"
#include "supervise/aside.h"
#include "unit.h"

static struct dom store = { .id = BH_DOMID_STORE, .state = DOM_UP };
static struct dom web = { .id = 16, .cfg.name = "web" }, db = { .id = 17, .cfg.name = "db" };
struct dom *doms = &store;
bool store_up = true;
static const char *aside = ""; /* domids, each with its zero; the store's answer */
static uint32_t aside_len;
static int answer;
static unsigned asked;
static char told[512];

struct dom *dom_by_id(domid_t id)
{
    for (struct dom *d = doms; d; d = d->next)
        if (d->id == id)
            return d;
    return NULL;
}
int xs_raw(uint32_t type, uint32_t tx, const void *p, uint32_t len, char **out, uint32_t *n)
{
    assert_true(type == XS_CONTROL && len == 6 && !strcmp(p, "aside"));
    asked++;
    if (answer)
        return answer;
    *out = memcpy(malloc(aside_len + 1), aside, aside_len);
    *n = aside_len;
    return 0;
}
void say(const char *fmt, ...)
{
    size_t n = strlen(told);
    va_list ap;

    va_start(ap, fmt);
    n += (size_t)vsnprintf(told + n, sizeof(told) - n, fmt, ap);
    va_end(ap);
    snprintf(told + n, sizeof(told) - n, "\n");
}

/* The store dies, and its next instance serves all but these; what is told then. */
static const char *after_death(const char *ids, uint32_t len)
{
    aside = ids;
    aside_len = len;
    told[0] = '\0';
    store.instance++;
    assert_true(aside_work());
    assert_false(aside_work());
    return told;
}
#define AFTER(ids) after_death(ids, sizeof(ids) - 1)
#define LINE(name)                                                                                                   \
    name ": the store does not serve it any more: twice within a minute it died at work on it (xenstore-retry " name \
         ")\n"

int setup(void **unused)
{
    store.next = &web;
    web.next = &db;
    return 0;
}

TEST(each_is_told_once)
{
    assert_false(aside_work()); /* it has not died */
    assert_string_equal(AFTER(""), "");
    assert_string_equal(AFTER("16\0"), LINE("web"));
    assert_string_equal(AFTER("16\0"), "");
    assert_string_equal(AFTER("16\0"
                              "17\0"
                              "99\0"),
                        LINE("db")); /* 99 is gone */
    assert_string_equal(AFTER("17\0"), "");
    assert_string_equal(AFTER("16\0"
                              "17\0"),
                        LINE("web")); /* it had another chance */
}

TEST(not_asked_in_vain)
{
    unsigned before = asked;

    store.instance++;
    store.state = DOM_WAITING;
    assert_false(aside_work());
    store.state = DOM_UP;
    store_up = false;
    assert_false(aside_work());
    store_up = true;
    assert_int_equal(asked, before);
    answer = -EIO; /* it died: the next one is asked */
    told[0] = '\0';
    assert_true(aside_work());
    assert_false(aside_work());
    answer = 0;
    assert_string_equal(told, "");
    assert_string_equal(AFTER("16\0"
                              "17\0"),
                        ""); /* both are known */
}
