/* SPDX-License-Identifier: MIT */
/*
 * Commands that show and change what is in the store, under the names of Debian's xenstore-utils and with their options. This domain may do
 * all there. Values are others': quoted. What several words ask to change happens as a whole or not at all.
 */
#include <errno.h>
#include <limits.h>
#include <quote.h>
#include <stdlib.h>
#include <string.h>
#include "console/console.h"
#include "domain/dom.h"
#include "shell/command.h"
#include <xen/io/xs_wire.h> /* after what has uint32_t */

#define MAX_DEPTH 24u /* nobody needs more; a guest may have made more */
#define TRIES     16u /* of a transaction that others' changes undo */
#define CTRL_C    3
#define UNSAID    0x8000u /* of xenstore-watch, beyond so many bytes that wait for the wire */

#define OPT_WHOLE   1u /* -f */
#define OPT_RIGHTS  2u /* -p of xenstore-ls */
#define OPT_PATH    1u /* -p of the others */
#define OPT_BELOW   1u /* -r */
#define OPT_PARENTS 1u /* -t */

static unsigned opts;
static char at[1024]; /* where walk() is */

/* Sets opts to a bit for each letter of the words that begin with a minus, by its place in known. The first word after them; 0: another letter. */
static int options(int argc, char **argv, const char *known)
{
    int i = 1;

    opts = 0;
    for (; i < argc && argv[i][0] == '-'; i++)
        for (const char *c = argv[i] + 1; *c; c++) {
            const char *k = strchr(known, *c);
            if (!k)
                return 0;
            opts |= 1u << (k - known);
        }
    return i;
}

static void say_error(const char *path, int rc) { out("%s: %s\n", path, errno_text(rc)); }

static int go_to(const char *path)
{
    return snprintf(at, sizeof(at), "%s", path) < (int)sizeof(at) ? 0 : -E2BIG;
}

/* visit(tx, depth, name) for each node below the one in `at`, which then is that node's path, until it fails. A node that is gone meanwhile was
 * none. */
static int walk(uint32_t tx, unsigned depth, int (*visit)(uint32_t, unsigned, const char *))
{
    size_t len = strcmp(at, "/") ? strlen(at) : 0;
    unsigned n;
    char **name = xs_ls(tx, at, &n);
    int rc = name ? 0 : -xs_error;

    for (unsigned i = 0; i < n && !rc; i++) {
        size_t more = strlen(name[i]);
        if (len + 1 + more >= sizeof(at))
            continue;
        at[len] = '/';
        memcpy(at + len + 1, name[i], more + 1);
        rc = visit(tx, depth, name[i]);
        if (!rc && depth < MAX_DEPTH)
            rc = walk(tx, depth + 1, visit);
        if (rc == -ENOENT)
            rc = 0;
    }
    at[len ? len : 1] = '\0';
    free(name);
    return rc;
}

/* " (n0,r16)": its owner and what all others may, then what some may. */
static void show_rights(const char *path)
{
    char *rights;
    uint32_t len;

    if (xs_raw(XS_GET_PERMS, 0, path, (uint32_t)strlen(path) + 1, &rights, &len))
        return;
    for (uint32_t i = 0; i + 1 < len; i++)
        if (!rights[i])
            rights[i] = ',';
    out("  (%s)", QUOTED(rights));
    free(rights);
}

static int show(uint32_t tx, unsigned depth, const char *name)
{
    char *value = xs_read(tx, at);

    if (opts & OPT_WHOLE)
        out("%s = ", at);
    else
        out("%*s%s = ", (int)depth, "", QUOTED(name));
    out("%s", value ? QUOTED(value) : errno_text(-xs_error));
    free(value);
    if (opts & OPT_RIGHTS)
        show_rights(at);
    out("\n");
    return 0;
}

static bool cmd_ls(int argc, char **argv)
{
    static char root[] = "/", *all[] = { root };
    int i = options(argc, argv, "fp");

    if (!i)
        return false;
    if (i == argc) {
        argv = all;
        i = 0;
        argc = 1;
    }
    for (; i < argc; i++) {
        int rc = go_to(argv[i]);
        if (!rc)
            rc = walk(0, 0, show);
        if (rc)
            say_error(argv[i], rc);
    }
    return true;
}

static bool cmd_read(int argc, char **argv)
{
    int i = options(argc, argv, "p");

    if (!i || i == argc)
        return false;
    for (; i < argc; i++) {
        char *value = xs_read(0, argv[i]);
        if (!value)
            say_error(argv[i], -xs_error);
        else
            out("%s%s%s\n", opts & OPT_PATH ? argv[i] : "", opts & OPT_PATH ? ": " : "",
                QUOTED(value));
        free(value);
    }
    return true;
}

static bool cmd_list(int argc, char **argv)
{
    int i = options(argc, argv, "p");

    if (!i || i == argc)
        return false;
    for (; i < argc; i++) {
        unsigned n;
        char **name = xs_ls(0, argv[i], &n);
        if (!name)
            say_error(argv[i], -xs_error);
        const char *path = opts & OPT_PATH ? argv[i] : "";
        for (unsigned k = 0; k < n; k++)
            out("%s%s%s\n", path, *path && strcmp(path, "/") ? "/" : "", QUOTED(name[k]));
        free(name);
    }
    return true;
}

static bool cmd_exists(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *value = xs_read(0, argv[i]);
        out("%s: %s\n", argv[i], value ? "exists" : errno_text(-xs_error));
        free(value);
    }
    return true;
}

/* one(tx, &word[i]) for each step-th word, in a transaction. */
static void change(char **word, int n, int step, int (*one)(uint32_t tx, char **word))
{
    for (unsigned tries = 0; tries < TRIES; tries++) {
        uint32_t tx = 0;
        int i = 0, rc = xs_tx_start(&tx), end;
        for (; !rc && i < n; i += step)
            rc = one(tx, word + i);
        end = tx ? xs_tx_end(tx, !rc) : 0;
        if (rc) {
            say_error(word[i ? i - step : 0], rc);
            return;
        }
        if (end && end != -EAGAIN)
            say_error(word[0], end);
        if (end != -EAGAIN)
            return;
    }
    out("%s: others change it all the time, nothing was done\n", word[0]);
}

static int write_one(uint32_t tx, char **word) { return xs_write(tx, word[0], word[1]); }

static bool cmd_write(int argc, char **argv)
{
    if (argc % 2 == 0)
        return false;
    change(argv + 1, argc - 1, 2, write_one);
    return true;
}

/* Parents without a value in which nothing else lies. */
static int rm_parents(uint32_t tx, char *path)
{
    for (char *slash; (slash = strrchr(path, '/')) && slash != path;) {
        unsigned n = 0;
        *slash = '\0';
        char *value = xs_read(tx, path), **name = value && !*value ? xs_ls(tx, path, &n) : NULL;
        bool empty = name && !n;
        free(value);
        free(name);
        if (!empty)
            break;
        int rc = xs_rm(tx, path);
        if (rc)
            return rc;
    }
    return 0;
}

static int rm_one(uint32_t tx, char **word)
{
    int rc = xs_rm(tx, *word);

    if (!rc && opts & OPT_PARENTS)
        rc = go_to(*word);
    return rc || !(opts & OPT_PARENTS) ? rc : rm_parents(tx, at);
}

static bool cmd_rm(int argc, char **argv)
{
    int i = options(argc, argv, "t");

    if (!i || i == argc)
        return false;
    change(argv + i, argc - i, 1, rm_one);
    return true;
}

static char given[128]; /* the rights of xenstore-chmod */

static int give(uint32_t tx, unsigned depth, const char *name)
{
    (void)depth, (void)name;
    return xs_set_perms(tx, at, given);
}

static int chmod_one(uint32_t tx, char **word)
{
    int rc = go_to(*word);

    if (!rc)
        rc = give(tx, 0, at);
    return rc || !(opts & OPT_BELOW) ? rc : walk(tx, 0, give);
}

static bool cmd_chmod(int argc, char **argv)
{
    int i = options(argc, argv, "r");

    given[0] = '\0';
    if (!i || argc - i < 2)
        return false;
    for (int k = i + 1; k < argc; k++) {
        size_t how = strspn(argv[k], "nrwb"), all = how + strspn(argv[k] + how, "0123456789");
        size_t n = strlen(given);
        if (how != 1 || all == how || argv[k][all])
            return false;
        if (n + 1 + strlen(argv[k]) >= sizeof(given))
            return false;
        snprintf(given + n, sizeof(given) - n, "%s%s", n ? " " : "", argv[k]);
    }
    change(argv + i, 1, 1, chmod_one);
    return true;
}

/* --- xenstore-watch: the main loop prints, the job goes on with other work and looks now and then whether it is over --- */
static struct {
    char *path[MAX_ARGS];
    unsigned n;
    unsigned long left, unsaid;
} watch;

static void changed(const char *path, void *arg)
{
    (void)arg;
    if (!watch.left)
        return;
    watch.left--;
    /* A domain changes its nodes faster than 115,200 baud can say. */
    if (con_busy() < UNSAID)
        out("%s\n", path);
    else
        watch.unsaid++;
}

static bool watches_on(void)
{
    if (con_skip_to(CTRL_C)) {
        con_getc();
        watch.left = 0;
    }
    if (watch.left)
        return true;
    while (watch.n) {
        watch.n--;
        xs_unwatch(watch.path[watch.n], changed, &watch.path[watch.n]);
        free(watch.path[watch.n]);
    }
    if (watch.unsaid)
        out("(and %lu more)\n", watch.unsaid);
    return false;
}

static bool cmd_watch(int argc, char **argv)
{
    int i = 1;

    watch.n = 0;
    watch.left = ULONG_MAX;
    watch.unsaid = 0;
    if (!strcmp(argv[1], "-n") && argc > 2) {
        char *end;
        watch.left = argv[2][0] == '-' ? 0 : strtoul(argv[2], &end, 10);
        if (!watch.left || *end)
            return false;
        i = 3;
    }
    if (i == argc || argv[i][0] == '-')
        return false;
    for (; i < argc && watch.left; i++) {
        char **path = &watch.path[watch.n];
        *path = strdup(argv[i]);
        int rc = *path ? xs_watch(*path, changed, path) : -ENOMEM;
        if (!rc) {
            watch.n++;
            continue;
        }
        say_error(argv[i], rc);
        free(*path);
        watch.left = 0; /* none of them, then */
    }
    command_stays(watches_on);
    return true;
}

#define WORDS MAX_ARGS
static const struct command rows[] = {
    { "xenstore-ls", "[-fp] [PATH...]",
      "the store's tree; -f: whole paths, -p: who may what (a PATH without / in front is below /local/domain/0)",
      0, WORDS, cmd_ls },
    { "xenstore-read", "[-p] PATH...", "values; -p: with the paths", 1, WORDS, cmd_read },
    { "xenstore-list", "[-p] PATH...", "names of what lies in a node; -p: as paths", 1, WORDS,
      cmd_list },
    { "xenstore-exists", "PATH...", "whether it does", 1, WORDS, cmd_exists },
    { "xenstore-write", "PATH VALUE...", "pairs of them, all or none", 2, WORDS, cmd_write },
    { "xenstore-rm", "[-t] PATH...", "nodes and what is below; -t: and parents that are empty then",
      1, WORDS, cmd_rm },
    { "xenstore-chmod", "[-r] PATH PERM...",
      "PERM: n, r, w or b (none, read, write, both) and a domid, the owner's first; -r: what is below, too",
      2, WORDS, cmd_chmod },
    { "xenstore-watch", "[-n COUNT] PATH...",
      "each change there or below; until Ctrl-C, or COUNT of them", 1, WORDS, cmd_watch },
};
const struct commands store_commands = COMMANDS(rows);
