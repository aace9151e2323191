// SPDX-License-Identifier: MIT
// LINK: ctl-dom/shell/complete.c ctl-dom/console/edit.c ctl-dom/shell/named.c
// FLAGS: -Ictl-dom -Idomains/include -luuid
// What Tab offers where.
#include <errno.h>
#include "unit.h"
#include "console/console.h"
#include "console/edit.h"
#include "domain/bridge.h"
#include "domain/load.h"
#include "domain/pci.h"
#include "shell/command.h"
#include "shell/complete.h"
#include "store/connection.h"
#include "supervise/waiting.h"

struct bh_self self;
struct bundle bundle = {
    .nr_images = 3, .image = { { .name = "web.cfg" }, { .name = "kernel" }, { .name = ".cfg" } }
};
struct waiting *waiting;
bool store_up = true;
static struct edit e;

static const struct command rows[] = {
    { "list", "[-v | -l] [NAME...]", "", 0, 9, NULL },
    { "create", "[-cpqn] [-f] FILE|NAME [KEY=VALUE ...]", "", 0, 9, NULL },
    { "destroy", "NAME...", "", 0, 9, NULL },
    { "block-attach", "NAME DISK", "", 0, 9, NULL },
    { "block-detach", "NAME VDEV [--force]", "", 0, 9, NULL },
    { "network-attach", "NAME [KEY=VALUE ...]", "", 0, 9, NULL },
    { "network-detach", "NAME IDX|MAC", "", 0, 9, NULL },
    { "pci-attach", "NAME DEVICE", "", 0, 9, NULL },
    { "pci-hide", "DEVICE", "", 0, 9, NULL },
    { "help", "[COMMAND]", "", 0, 9, NULL },
    { "volumes", "", "", 0, 9, NULL },
    { "vnet-create", "ID ip=ADDR/LEN [KEY=VALUE ...]", "", 0, 9, NULL },
    { "vnet-delete", "ID", "", 0, 9, NULL },
};
const struct command *command_nth(unsigned i) { return i < ARRAY_SIZE(rows) ? &rows[i] : NULL; }
const struct command *command_find(const char *name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
        if (!strcmp(rows[i].name, name))
            return &rows[i];
    return NULL;
}
void out(const char *fmt, ...) {}
static struct dom blk0 = { .id = 5, .cfg = { .name = "blk0", .role = BH_ROLE_DRIVER, .vnet = 97 } };
static struct dom debian = { .id = 16,
                             .next = &blk0,
                             .nr_devs = 2,
                             .dev = { { .kind = DEV_VIF, .devid = 7 }, { .kind = DEV_VBD } },
                             .cfg = { .name = "debian", .disk = { { .vdev = "xvda" } } } };
struct dom *doms = &debian;
struct dom *dom_by_id(domid_t id) { return NULL; }
struct dom *dom_find(const char *name, struct errbuf *err)
{
    struct dom *d = doms;
    while (d && strcmp(d->cfg.name, name))
        d = d->next;
    return d;
}
unsigned bridges_of(const struct dom *b) { return b == &blk0 ? 1 : 0; }
const char *bridge_name(const struct dom *b, unsigned i) { return "inside"; }
struct sbdf_text sbdf_text(uint32_t sbdf) { return (struct sbdf_text){ "0000:00:03.0" }; }
long hypercall(unsigned nr, uint64_t a, uint64_t info, uint64_t s, uint64_t d)
{
    struct bh_pci_info *i = (void *)info;

    assert_true(nr == BH_HYPERCALL_CONTROL && a == BH_CTL_PCI_INFO);
    i->state = BH_PCI_ASSIGNABLE;
    return i->index ? -ENOENT : 0;
}
static const char *volume = "data1 1048576 -";
char *xs_read(uint32_t tx, const char *path) { return strdup(volume); }
char **xs_ls(uint32_t tx, const char *path, unsigned *n)
{
    char **v = malloc(sizeof(*v));
    v[0] = "0";
    *n = 1;
    return v;
}
static void nowhere(const char *s, size_t len) {}

int setup(void **state)
{
    edit_init(&e, nowhere, "bh> ");
    edit_start(&e);
    store_up = true;
    return 0;
}
/* The line that a Tab behind it makes. */
static const char *completed(const char *line)
{
    setup(NULL);
    while (*line)
        edit_key(&e, (unsigned char)*line++);
    edit_complete(&e, complete);
    return e.line;
}

TEST(one_of_each_kind)
{
    static struct waiting late = { .cfg.name = "late" };
    static const char *const lines[][2] = {
        { "vo", "volumes " },
        { "xl vo", "volumes " },
        { "@1 vo", "volumes " },
        { "list de", "list debian " },
        { "list -v blk0 de", "list -v blk0 debian " },
        { "create w", "create web " },
        { "create -c w", "create -c web " },
        { "create d", "create d" },
        { "help vol", "help volumes " },
        { "destroy l", "destroy late " },
        { "list l", "list l" },
        { "block-attach debian ", "block-attach debian phy:blk0:data1," },
        { "block-detach debian ", "block-detach debian xvda " },
        { "block-detach blk0 ", "block-detach blk0 " },
        { "block-detach nobody ", "block-detach nobody " },
        { "network-attach debian br", "network-attach debian bridge=inside " },
        { "network-detach debian ", "network-detach debian 7 " },
        { "pci-attach blk0 ", "pci-attach blk0 0000:00:03.0 " },
        { "pci-hide ", "pci-hide 0000:00:03.0 " },
        { "vnet-delete ", "vnet-delete 97 " },
        { "vnet-create d", "vnet-create d" },
        { "vnet-create 9 br", "vnet-create 9 bridge=inside " },
        { "volumes d", "volumes d" },
        { "nosuch d", "nosuch d" },
    };
    waiting = &late;
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
        const char *is = completed(lines[i][0]), *want = lines[i][1];
        size_t skip = !strncmp(lines[i][0], "xl ", 3) || lines[i][0][0] == '@' ? 3 : 0;
        if (strcmp(is + skip, want) != 0)
            fail_msg("'%s' goes on as '%s', not '%s'", lines[i][0], is, want);
    }
    volume = "a\x1b[2Jb 1 -";
    assert_string_equal(completed("block-attach debian "), "block-attach debian ");
    store_up = false;
    assert_string_equal(completed("block-attach debian p"), "block-attach debian p");
}
