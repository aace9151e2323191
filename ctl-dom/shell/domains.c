/* SPDX-License-Identifier: MIT */
/* Commands: the end of domains, their pauses and their consoles. */
#include "shell/command.h"
#include <stdio.h>
#include <string.h>
#include "console/console.h"
#include "console/domcon.h"
#include "store/devices.h"
#include "supervise/life.h"
#include "supervise/waiting.h"

static void destroy(const char *name)
{
    struct errbuf e;
    struct dom *d = command_dom_if(name, &e), *user = d ? devs_disk_user(d) : NULL;

    if (!d && waiting_forget(name))
        out("%s: it does not wait any more\n", name);
    else if (!d)
        out("%s\n", e.s);
    else if (d->id == BH_DOMID_STORE)
        out("%s: every other domain needs it, it stays\n", d->cfg.name);
    else if (user) /* a disk cannot be plugged again under a file system */
        out("%s: %s has a disk of it: destroy that first, or restart %s\n", d->cfg.name,
            user->cfg.name, d->cfg.name);
    else if (dom_destroy(d, &e))
        out("%s\n", e.s);
}

static bool cmd_destroy(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        destroy(argv[i]);
    return true;
}

static void on_domid(const char *name, unsigned op, const char *what)
{
    struct dom *d = command_dom(name);
    struct bh_domid id = { .domid = d ? d->id : 0 };

    if (!d)
        return;
    if (op == BH_CTL_PAUSE && d->id == BH_DOMID_STORE) {
        out("%s: every other domain needs it, also this one: it goes on\n", d->cfg.name);
        return;
    }
    struct bh_dominfo di = { .domid = d->id };
    if (op == BH_CTL_UNPAUSE && !bh_ctl_info(&di) && !(di.flags & BH_DI_PAUSED)) {
        out("%s: is not paused\n", d->cfg.name);
        return;
    }
    long rc = bh_control(op, &id);
    if (rc)
        out("%s: cannot be %s: %s\n", d->cfg.name, what, errno_text((int)rc));
}

static bool cmd_pause(int argc, char **argv)
{
    (void)argc;
    on_domid(argv[1], BH_CTL_PAUSE, "paused");
    return true;
}

static bool cmd_unpause(int argc, char **argv)
{
    (void)argc;
    on_domid(argv[1], BH_CTL_UNPAUSE, "unpaused");
    return true;
}

void command_console(struct dom *d, unsigned char leave)
{
    char key[12];

    if (leave < ' ')
        snprintf(key, sizeof(key), "Ctrl-%c", leave + '@');
    else
        snprintf(key, sizeof(key), "%c", leave);
    out("%s: its console; %s leaves it, as does Enter ~ .\n", d->cfg.name, key);
    domcon_attach(d, leave);
}

/* "^X" or one character, as newer xl has it. */
static bool key_word(const char *word, unsigned char *key)
{
    size_t len = strlen(word);

    if (len == 2 && word[0] == '^')
        *key = (unsigned char)(word[1] & 0x1f);
    else
        *key = (unsigned char)word[0];
    return len == 1 || (len == 2 && word[0] == '^' && word[1] > '@');
}

/* An option of `console` that has a word behind it. False: that word is none, which was said. */
static bool console_option(char option, const char *word, unsigned char *key)
{
    bool is = option == 'e'   ? key_word(word, key)
              : option == 't' ? !strcmp(word, "pv")
                              : !strcmp(word, "0");

    if (is)
        return true;
    if (option == 'e')
        out("console: -e %s: a key is one character, or ^ and a letter\n", word);
    else if (option == 't' && !strcmp(word, "serial"))
        out("console: -t serial: a PVH guest has no serial port, its console is pv (hvc0 in Linux)\n");
    else
        out("console: -%c %s: there is none, %s\n", option, word,
            option == 't' ? "only pv" : "only console 0");
    return false;
}

static bool cmd_console(int argc, char **argv)
{
    unsigned char key = DOMCON_LEAVE;
    const char *name = NULL;

    for (int i = 1; i < argc; i++) {
        const char *w = argv[i];
        if (w[0] != '-' && !name)
            name = w;
        else if (w[0] != '-' || !w[1] || !strchr("ent", w[1]) || (!w[2] && i + 1 == argc))
            return false;
        else if (!console_option(w[1], w[2] ? w + 2 + (w[2] == '=') : argv[++i], &key))
            return true;
    }
    if (!name)
        return false;
    struct errbuf e;
    struct dom *d = command_dom_if(name, &e);
    if (d)
        command_console(d, key);
    else if (!domcon_show_ended(name))
        out("%s\n", e.s);
    return true;
}

static bool cmd_dmesg(int argc, char **argv)
{
    bool clear = argc > 1 && (!strcmp(argv[1], "-c") || !strcmp(argv[1], "--clear"));
    const struct dom *d = argc > 1 && !clear ? command_dom(argv[1]) : NULL;

    if (argc == 1 || d || clear)
        dmesg(d);
    if (clear)
        dmesg_clear();
    return true;
}

static const struct command rows[] = {
    { "destroy", "NAME...", "end domains at once", 1, MAX_ARGS, cmd_destroy },
    { "pause", "NAME", "take its CPUs away", 1, 1, cmd_pause },
    { "unpause", "NAME", "give them back", 1, 1, cmd_unpause },
    { "console", "[-e KEY] [-t pv] NAME", "its console; Ctrl-], KEY or Enter ~ . leaves", 1, 7,
      cmd_console },
    { "dmesg", "[-c | NAME]", "the core's log (-c: this time only), or a domain's debug port", 0, 1,
      cmd_dmesg },
};
const struct commands domain_commands = COMMANDS(rows);
