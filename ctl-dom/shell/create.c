/* SPDX-License-Identifier: MIT */
/* Command: a domain of a configuration of the bundle, with xl's options. */
#include <errno.h>
#include <string.h>
#include "console/console.h"
#include "console/domcon.h"
#include "domain/load.h"
#include "shell/command.h"
#include "supervise/life.h"

struct asked {
    const char *file;
    char *set[MAX_ARGS]; /* KEY=VALUE */
    int nr_set;
    bool console, paused, quiet, dry;
};

/* Of xl's: what is not here, and why. */
static const char *why_not(const char *word)
{
    if (!strcmp(word, "-V") || !strcmp(word, "--vncviewer") || !strcmp(word, "-A") ||
        !strcmp(word, "--vncviewer-autopass"))
        return "no guest has a screen here, its console is text (-c)";
    if (!strcmp(word, "-F"))
        return "nothing goes into the background here; -c stays on the console until the guest ends";
    if (!strcmp(word, "-e"))
        return "who watches a domain is the control domain, with or without it";
    return NULL;
}

static bool flag(struct asked *a, const char *word)
{
    if (!strcmp(word, "--quiet"))
        a->quiet = true;
    else if (!strcmp(word, "--dryrun"))
        a->dry = true;
    else if (word[0] != '-' || !word[1] || word[1 + strspn(word + 1, "cpqn")])
        return false;
    else {
        a->console |= strchr(word, 'c') != NULL;
        a->paused |= strchr(word, 'p') != NULL;
        a->quiet |= strchr(word, 'q') != NULL;
        a->dry |= strchr(word, 'n') != NULL;
    }
    return true;
}

/* "-f FILE", "-f=FILE", "--defconfig=FILE": the file, and how many words that took. */
static const char *file_option(int left, char **argv, int *words)
{
    *words = 1;
    if (!strncmp(argv[0], "-f=", 3))
        return argv[0] + 3;
    if (!strncmp(argv[0], "--defconfig=", 12))
        return argv[0] + 12;
    *words = 2;
    return left > 1 && (!strcmp(argv[0], "-f") || !strcmp(argv[0], "--defconfig")) ? argv[1] : NULL;
}

/* True: they make sense. False: the usage helps, unless *said. */
static bool words_taken(struct asked *a, int argc, char **argv, bool *said)
{
    for (int i = 1, words; i < argc; i += words) {
        const char *file = file_option(argc - i, argv + i, &words), *why;
        if (!file)
            words = 1;
        if (!file && flag(a, argv[i]))
            continue;
        if (!file && argv[i][0] == '-') {
            if ((why = why_not(argv[i])))
                out("create: %s: %s\n", argv[i], why);
            *said = why;
            return false;
        }
        if (!file && strchr(argv[i], '=') && argv[i][0] != '=') {
            a->set[a->nr_set++] = argv[i];
            continue;
        }
        if (a->file) {
            out("create: '%s' after '%s': one configuration, the rest is KEY=VALUE without blanks\n",
                argv[i], a->file);
            *said = true;
            return false;
        }
        a->file = file ? file : argv[i];
    }
    return a->file && a->file[0];
}

/* Configurations are no files here: of a path its last part counts. */
static int load(struct domcfg *cfg, const struct asked *a, struct findings *found, struct errbuf *e)
{
    const char *file = a->file, *slash = strrchr(file, '/');
    int rc = config_make(cfg, slash ? slash + 1 : file, a->nr_set, a->set, found, e);

    if (rc == -ENOENT && slash)
        fail(e, rc,
             "%s: there are no files here, configurations come from the boot bundle (which has no %s)",
             file, slash + 1);
    return rc;
}

void command_findings(const struct findings *found, const char *why)
{
    for (unsigned i = 0; i < found->n; i++)
        out("%s\n", found->at[i].text);
    if (found->left)
        out("... and %u more\n", found->left);
    if (*why && !found->errors)
        out("%s\n", why);
}

static const char *plural(unsigned n) { return n == 1 ? "" : "s"; }

static void would(const struct domcfg *c)
{
    out("%s: would be created: %u MiB, %u VCPU%s, %s %s", c->name, c->memory_mb, c->vcpus,
        plural(c->vcpus), c->kernel[0] ? "kernel" : "image", c->kernel[0] ? c->kernel : c->image);
    if (c->ramdisk[0])
        out(", ramdisk %s", c->ramdisk);
    out(", %u vif%s, %u disk%s, %u PCI device%s; nothing was made\n", c->nr_vifs,
        plural(c->nr_vifs), c->nr_disks, plural(c->nr_disks), c->nr_pci, plural(c->nr_pci));
}

/* Paused, then its console, then its first instruction. */
static void begin(struct dom *d, const struct asked *a)
{
    struct bh_domid id = { .domid = d->id };

    if (a->console)
        command_console(d, DOMCON_LEAVE);
    long rc = a->paused ? 0 : bh_ctl_unpause(&id);
    if (rc)
        out("%s: does not start: %s\n", d->cfg.name, errno_text((int)rc));
}

static bool cmd_create(int argc, char **argv)
{
    static struct domcfg cfg;
    static struct findings found;
    struct asked a = { 0 };
    struct errbuf e;
    struct dom *d;
    uint64_t start = now_ns(), took;
    bool said = false;

    if (!words_taken(&a, argc, argv, &said))
        return said;
    int rc = load(&cfg, &a, &found, &e);
    command_findings(&found, rc ? e.s : "");
    if (rc)
        return true;
    rc = config_check(&cfg, a.file, e.s, sizeof(e.s));
    if (!rc && a.dry)
        rc = dom_would(&cfg, &e);
    else if (!rc && (a.console || a.paused))
        rc = dom_create_paused(&cfg, &d, &e);
    else if (!rc)
        rc = dom_create(&cfg, false, &d, &e);
    took = (now_ns() - start) / 1000;
    if (rc) {
        out("%s\n", e.s);
    } else if (a.dry) {
        would(&cfg);
    } else {
        if (!a.quiet)
            out("%s: created as domain %u%s (%lu.%03lu ms)\n", cfg.name, d->id,
                a.paused ? ", paused" : "", took / 1000, took % 1000);
        if (a.console || a.paused)
            begin(d, &a);
    }
    return true;
}

static const struct command rows[] = {
    { "create", "[-cpqn] [-f] FILE|NAME [KEY=VALUE ...]",
      "build and start a domain, of what configs lists; -c: on its console, -p: paused, -n: only checks, -q",
      1, MAX_ARGS, cmd_create },
};
const struct commands create_commands = COMMANDS(rows);
