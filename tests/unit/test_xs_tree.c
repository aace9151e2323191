/* SPDX-License-Identifier: MIT */
// LINK: xenstore-lite/mem.c xenstore-lite/tree.c
/* The store's tree alone: against a model, its sharing of versions, its accounts, its depth, every failing allocation. */
#include "unit.h"
#include "../../xenstore-lite/mem.h"
#include "../../xenstore-lite/tree.h"

static uint64_t gen;
static struct edit e;

int setup(void **state)
{
    xs_mem.fail_in = -1;
    struct node *root = tree_new(&gen, 0);
    edit_begin(&e, root, &gen, ctl_heap);
    node_put(root);
    return 0;
}

int teardown(void **state)
{
    edit_drop(&e);
    assert_int_equal(xs_mem.used, 0);
    return 0;
}

static const char *data(const char *path)
{
    const struct node *n = tree_find(e.root, path);
    return !n ? NULL : n->data ? n->data->s : "";
}

TEST(test_basics)
{
    assert_int_equal(edit_create(&e, "/a/b/c", "v", 1, 7), XE_OK);
    assert_string_equal(data("/a/b/c"), "v");
    assert_string_equal(data("/a"), "");
    assert_null(data("/a/b/c/d"));
    assert_null(data("/ab"));
    assert_int_equal(edit_create(&e, "/a/b", "v", 1, 7), XE_EEXIST);
    assert_int_equal(edit_set_data(&e, "/a/x", "v", 1), XE_ENOENT);
    assert_int_equal(edit_rm(&e, "/a/x"), XE_ENOENT);
    assert_int_equal(edit_rm(&e, "/"), XE_EINVAL);
    assert_int_equal(edit_set_data(&e, "/", "root", 4), XE_OK);
    assert_string_equal(data("/"), "root");
    assert_int_equal(tree_find(e.root, "/a/b/c")->perms->p[0].domid, 7);
    assert_int_equal(edit_delta(&e, 7)->nodes, 3);
    assert_int_equal(edit_rm(&e, "/a/b"), XE_OK);
    assert_int_equal(edit_delta(&e, 7)->nodes, 1);
    assert_int_equal(edit_rm(&e, "/a"), XE_OK);
    assert_int_equal(edit_delta(&e, 7)->nodes, 0);
    assert_int_equal(edit_delta(&e, 7)->bytes, 0);
}

TEST(test_nearest)
{
    size_t used;
    assert_int_equal(edit_create(&e, "/a/b", NULL, 0, OWNER_KEEP), XE_OK);
    static const struct {
        const char *path;
        size_t used;
    } t[] = {
        { "/", 1 },    { "/x", 1 },   { "/x/y", 1 },     { "/a", 2 },
        { "/a/x", 2 }, { "/a/b", 4 }, { "/a/b/c/d", 4 }, { "/ab", 1 },
    };
    for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
        struct node *n = tree_nearest(e.root, t[i].path, strlen(t[i].path), &used);
        assert_int_equal(used, t[i].used);
        assert_ptr_equal(n, tree_find_n(e.root, t[i].path, used));
    }
    assert_int_equal(path_parent_len("/"), 1);
    assert_int_equal(path_parent_len("/a"), 1);
    assert_int_equal(path_parent_len("/a/b"), 2);
}

/* An old version stays what it was, and shares what did not change. */
TEST(test_versions)
{
    edit_create(&e, "/a/b", "1", 1, OWNER_KEEP);
    edit_create(&e, "/c/d", "1", 1, OWNER_KEEP);
    struct node *old = node_get(e.root);
    assert_int_equal(edit_set_data(&e, "/a/b", "2", 1), XE_OK);
    assert_string_equal(tree_find(old, "/a/b")->data->s, "1");
    assert_string_equal(data("/a/b"), "2");
    assert_ptr_equal(tree_find(old, "/c"), tree_find(e.root, "/c"));
    assert_ptr_not_equal(tree_find(old, "/a"), tree_find(e.root, "/a"));
    assert_true(tree_find(old, "/a")->gen == tree_find(e.root, "/a")->gen);
    assert_true(tree_find(old, "/a")->cgen == tree_find(e.root, "/a")->cgen);
    assert_true(tree_find(old, "/a/b")->gen != tree_find(e.root, "/a/b")->gen);
    edit_create(&e, "/a/x", NULL, 0, OWNER_KEEP);
    assert_true(tree_find(old, "/a")->gen == tree_find(e.root, "/a")->gen);
    assert_true(tree_find(old, "/a")->cgen != tree_find(e.root, "/a")->cgen);
    edit_rm(&e, "/c");
    assert_non_null(tree_find(old, "/c/d"));
    node_put(old);
}

/* As deep as a path can be, and as wide as memory: nothing recurses. */
TEST(test_deep_and_wide)
{
    static char path[XS_PATH_MAX + 1];
    for (unsigned i = 0; i + 1 < XS_PATH_MAX; i += 2)
        memcpy(path + i, "/d", 2);
    assert_int_equal(edit_create(&e, path, "x", 1, 5), XE_OK);
    assert_int_equal(edit_delta(&e, 5)->nodes, XS_PATH_MAX / 2);
    assert_int_equal(edit_set_data(&e, path, "y", 1), XE_OK);
    assert_string_equal(data(path), "y");
    assert_int_equal(edit_rm(&e, "/d"), XE_OK);
    for (int i = 0; i < 2000; i++) {
        snprintf(path, sizeof path, "/w/%d", (i * 7919) % 2000);
        assert_int_equal(edit_create(&e, path, NULL, 0, 5), XE_OK);
    }
    const struct node *w = tree_find(e.root, "/w");
    assert_int_equal(w->nr, 2000);
    for (unsigned i = 1; i < w->nr; i++)
        assert_true(name_order(w->child[i - 1]->name->s, w->child[i - 1]->name->len,
                               w->child[i]->name->s, w->child[i]->name->len) < 0);
}

static int order_of(const struct text *a, const struct text *b)
{
    return name_order(a->s, a->len, b->s, b->len);
}

/* Numbers by their value, whatever else is there; and it is an order. */
TEST(test_order_of_names)
{
    static const char *const names[] = { "10", "9",  "-", "1", "a", "0",  "1a",  "-1",
                                         "11", "a1", "2", "@", "Z", "01", "100", "12" };
    char path[32];

    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "/o/%s", names[i]);
        assert_int_equal(edit_create(&e, path, NULL, 0, 5), XE_OK);
    }
    const struct node *o = tree_find(e.root, "/o");
    assert_int_equal(o->nr, sizeof names / sizeof *names);
    for (unsigned i = 0, last = 0; i < o->nr; i++) {
        const char *s = o->child[i]->name->s;
        for (unsigned k = 0; k < o->nr; k++) {
            int c = order_of(o->child[i]->name, o->child[k]->name);
            assert_true(i < k ? c < 0 : i > k ? c > 0 : !c);
        }
        if (*s == '0' || strspn(s, "0123456789") != strlen(s))
            continue;
        assert_true(last < (unsigned)atoi(s));
        last = (unsigned)atoi(s);
    }
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "/o/%s", names[i]);
        assert_non_null(tree_find(e.root, path));
    }
}

static int collect(const struct node *n, const struct node *parent, const char *path, void *arg)
{
    strcat(arg, path);
    strcat(arg, parent ? " " : ".");
    assert_ptr_equal(n, tree_find(e.root, path));
    return 0;
}

TEST(test_visit)
{
    char out[256] = "";
    edit_create(&e, "/a/b/c", NULL, 0, OWNER_KEEP);
    edit_create(&e, "/a/d", NULL, 0, OWNER_KEEP);
    edit_create(&e, "/e", NULL, 0, OWNER_KEEP);
    tree_visit(e.root, NULL, "/", collect, out);
    assert_string_equal(out, "/a/b/c /a/b /a/d /a /e /.");
    out[0] = 0;
    tree_visit(tree_find(e.root, "/a/b"), tree_find(e.root, "/a"), "/a/b", collect, out);
    assert_string_equal(out, "/a/b/c /a/b ");
}

/* --- against a model: a flat list of paths ---------------------------------------------------------------------- */
#define NAMES 4
struct entry {
    char path[16];
    char val;
    int owner;
    bool there;
};
static struct entry model[NAMES + NAMES * NAMES + NAMES * NAMES * NAMES];
static const unsigned nr_model = sizeof model / sizeof *model;

static void model_init(void)
{
    unsigned n = 0;
    for (char a = 'a'; a < 'a' + NAMES; a++) {
        model[n++] = (struct entry){ .path = { '/', a } };
        for (char b = 'a'; b < 'a' + NAMES; b++) {
            model[n++] = (struct entry){ .path = { '/', a, '/', b } };
            for (char c = 'a'; c < 'a' + NAMES; c++)
                model[n++] = (struct entry){ .path = { '/', a, '/', b, '/', c } };
        }
    }
}

static bool below(const char *p, const char *top)
{
    size_t n = strlen(top);
    return !strncmp(p, top, n) && (!p[n] || p[n] == '/');
}

static void model_step(unsigned r)
{
    struct entry *m = &model[(r >> 4) % nr_model];
    char v = (char)('A' + (r >> 16) % 26);
    int owner = 1 + (int)(r >> 24) % 3, err;
    switch (r % 4) {
    case 0:
    case 1:
        err = m->there ? edit_set_data(&e, m->path, &v, 1) : edit_create(&e, m->path, &v, 1, owner);
        assert_int_equal(err, XE_OK);
        for (unsigned i = 0; i < nr_model; i++)
            if (below(m->path, model[i].path) && !model[i].there) {
                model[i].there = true;
                model[i].owner = owner;
                model[i].val = 0;
            }
        m->val = v;
        break;
    case 2:
        assert_int_equal(edit_rm(&e, m->path), m->there ? XE_OK : XE_ENOENT);
        for (unsigned i = 0; i < nr_model; i++)
            if (below(model[i].path, m->path))
                model[i].there = false;
        break;
    case 3: {
        struct permset *p = permset_new(ctl_heap, 1);
        p->p[0].domid = (uint16_t)owner;
        assert_int_equal(edit_set_perms(&e, m->path, p), m->there ? XE_OK : XE_ENOENT);
        permset_put(p);
        if (m->there)
            m->owner = owner;
    }
    }
}

static void model_compare(void)
{
    int nodes[4] = { 0 }, bytes[4] = { 0 };
    for (unsigned i = 0; i < nr_model; i++) {
        const struct node *n = tree_find(e.root, model[i].path);
        assert_int_equal(n != NULL, model[i].there);
        if (!n)
            continue;
        assert_int_equal(n->data ? n->data->s[0] : 0, model[i].val);
        assert_int_equal(n->perms->p[0].domid, model[i].owner);
        nodes[model[i].owner]++;
        bytes[model[i].owner] += (int)node_cost(n);
    }
    for (uint16_t o = 1; o < 4; o++) {
        const struct usage *u = edit_delta(&e, o);
        assert_int_equal(u ? u->nodes : 0, nodes[o]);
        assert_int_equal(u ? u->bytes : 0, bytes[o]);
    }
}

TEST(test_model)
{
    model_init();
    srand(1);
    for (int i = 0; i < 20000; i++) {
        model_step(((unsigned)rand() << 8) ^ (unsigned)rand() ^ ((unsigned)rand() << 20));
        if (i % 16 == 0)
            model_compare();
    }
}

/* Whichever allocation fails: the fork is dropped, the tree that it came from is what it was. */
TEST(test_failing_allocations)
{
    edit_create(&e, "/a/b/c", "v", 1, 7);
    for (int op = 0; op < 4; op++)
        for (long k = 1;; k++) {
            struct edit f;
            size_t used = xs_mem.used;
            xs_mem.fail_in = k;
            edit_begin(&f, e.root, &gen, ctl_heap);
            int err = op == 0   ? edit_create(&f, "/a/x/y/z", "v", 1, 8)
                      : op == 1 ? edit_set_data(&f, "/a/b", "w", 1)
                      : op == 2 ? edit_rm(&f, "/a/b")
                                : edit_set_perms(&f, "/a/b", e.root->perms);
            bool hit = xs_mem.fail_in == 0;
            xs_mem.fail_in = -1;
            assert_int_equal(err, hit ? XE_ENOMEM : XE_OK);
            edit_drop(&f);
            assert_int_equal(xs_mem.used, used);
            assert_string_equal(data("/a/b/c"), "v");
            assert_null(data("/a/x"));
            if (!hit)
                break;
        }
}
