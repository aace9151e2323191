/* SPDX-License-Identifier: MIT */
/* Commands: configurations, of the bundle and of the volume. */
#include "shell/command.h"
#include <errno.h>
#include <quote.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "console/console.h"
#include "console/edit.h"
#include "domain/load.h"
#include "shell/lines.h"
#include "store/volume.h"

/* Opens the volume and looks at it. False: there is none, or it cannot be used, which was said. */
static bool opened(bool needed)
{
    struct errbuf e;
    int rc = volume_begin(true, &e);

    if (rc && (needed || rc != -ENOENT))
        out("%s\n", e.s);
    return !rc;
}

static void row(const char *name)
{
    static struct domcfg cfg;
    bool vol = config_on_volume(name);
    struct image *img = bundle_find(&bundle, name);
    uint64_t size = vol ? archive_find(&volume, name)->size : img->full_len;
    struct errbuf e;

    if (config_load(&cfg, name, &e)) {
        out("%s\n", e.s);
        return;
    }
    out("%-24.*s %-20s %8lu  %-9s%s\n", (int)strlen(name) - 4, name, vol ? volume_name() : "bundle",
        size, cfg.autostart ? "yes" : "no", vol && img ? "  instead of the bundle's" : "");
}

/* What else the volume has. */
static void other(const struct archive_file *f)
{
    bool bundled = bundle_find(&bundle, f->name);

    if (!archive_is_config(f->name))
        out("%-24s %-20s %8lu  %-9s%s\n", f->name, volume_name(), f->size, "-",
            bundled ? "  instead of the bundle's" : "");
    else if (bundled && !config_on_volume(f->name))
        out("%s: %s is not used: a service domain's comes from the bundle alone\n", volume_name(),
            f->name);
}

static bool cmd_configs(int argc, char **argv)
{
    char name[CONFIG_NAME];
    const char *next;
    bool open = opened(false);

    (void)argc, (void)argv;
    out("%-24s %-20s %8s  %s\n", "Name", "From", "Size", "Autostart");
    for (unsigned i = 0; (next = config_next(&i));) {
        snprintf(name, sizeof(name), "%s", next);
        row(name);
    }
    for (unsigned i = 0; i < volume.nr; i++)
        other(&volume.file[i]);
    if (open)
        volume_end();
    return true;
}

static bool cmd_config_show(int argc, char **argv)
{
    struct config_text t;
    struct errbuf e;
    char line[EDIT_MAX + 1];

    (void)argc;
    if (config_text(argv[1], &t, &e)) {
        out("%s\n", e.s);
        return true;
    }
    for (const char *p = t.text, *end = p + t.len; p < end;) {
        size_t n = strcspn(p, "\n");
        snprintf(line, sizeof(line), "%.*s", (int)n, p);
        out("%s\n", quote(line, sizeof(line), line));
        p += n + 1;
    }
    free(t.text);
    return true;
}

/* --- writing ------------------------------------------------------------------------------------ */
static char writes[CONFIG_NAME]; /* NAME.cfg */

/* NAME or NAME.cfg as the name of a file. False: it is none, or there is no volume for it, which was said. */
static bool file_name(const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    int n = snprintf(writes, sizeof(writes), "%s%s", name, archive_is_config(name) ? "" : ".cfg");

    if (n >= (int)ARCHIVE_NAME || !*name || name[strspn(name, plain)] || *name == '.' || *name == '-')
        out("%s: a name has letters, digits, . _ and -, %u at most\n", name, ARCHIVE_NAME - 5);
    else if (config_is_service(writes))
        out("%s: is a service domain's, which comes from the bundle alone\n", writes);
    else if (!volume_name())
        out("no driver domain has a volume for configurations (configs=)\n");
    else
        return true;
    return false;
}

static void written(const char *text, size_t len)
{
    static struct findings found;
    static struct domcfg cfg;
    struct errbuf e = { "" };

    if (!text) {
        out("%s: nothing is changed\n", writes);
        return;
    }
    memset(&found, 0, sizeof(found));
    int rc = config_read(&cfg, writes, text, len, 0, NULL, &found);
    command_findings(&found, "");
    if (!rc && ((rc = config_check(&cfg, writes, e.s, sizeof(e.s))) ||
                (rc = config_guests_only(&cfg, writes, &e))))
        out("%s\n", e.s);
    if (rc)
        out("%s: is not written\n", writes);
    else if (volume_write(writes, text, len, &e))
        out("%s\n", e.s);
    else
        out("%s: written to %s, %zu bytes\n", writes, volume_name(), len);
}

static bool cmd_config_write(int argc, char **argv)
{
    (void)argc;
    if (!file_name(argv[1]))
        return true;
    out("%s: lines until one with a single dot, or Ctrl-D; Ctrl-C changes nothing\n", writes);
    lines_take("> ", ARCHIVE_TEXT, written);
    return true;
}

static bool cmd_config_rm(int argc, char **argv)
{
    struct errbuf e;

    (void)argc;
    if (!file_name(argv[1]) || !opened(true))
        return true;
    bool there = config_on_volume(writes);
    volume_end();
    if (!there)
        out("%s: is not on %s\n", writes, volume_name());
    else if (volume_write(writes, NULL, 0, &e))
        out("%s\n", e.s);
    else
        out("%s: taken off %s%s\n", writes, volume_name(),
            bundle_find(&bundle, writes) ? "; the bundle's counts again" : "");
    return true;
}

static const struct command rows[] = {
    { "configs", "", "what create can name, where it comes from, and what starts by itself", 0, 0,
      cmd_configs },
    { "config-show", "NAME", "a configuration as it stands there; bundle:NAME: the bundle's", 1, 1,
      cmd_config_show },
    { "config-write", "NAME", "a configuration onto the volume, its lines from the keyboard", 1, 1,
      cmd_config_write },
    { "config-rm", "NAME", "takes one off the volume", 1, 1, cmd_config_rm },
};
const struct commands config_commands = COMMANDS(rows);
