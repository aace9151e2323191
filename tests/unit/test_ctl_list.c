// SPDX-License-Identifier: MIT
// LINK: ctl-dom/shell/list.c ctl-dom/shell/list_long.c ctl-dom/shell/json.c ctl-dom/shell/named.c
// FLAGS: -Ictl-dom -Idomains/include -luuid
// list: which domains, and their configurations as JSON.
#include <errno.h>
#include "unit.h"
#include "console/console.h"
#include "run_command.h"
#include "dom_table.h"
#include "screen.h"
#include "shell/json.h"
#include "shell/lists.h"
#include "supervise/aside.h"
#include "supervise/rejuvenate.h"
#include "supervise/waiting.h"

struct bh_self self;

static const struct bh_dominfo core[] = { { .domid = 0, .name = "control", .state = BH_DOM_RUNNING },
                                          { .domid = 4, .name = "net0", .flags = BH_DI_BLOCKED },
                                          { .domid = 16, .name = "debian" },
                                          { .domid = 17, .name = "web" } };
long hypercall(unsigned nr, uint64_t a, uint64_t di, uint64_t s, uint64_t d)
{
    assert_true(nr == BH_HYPERCALL_CONTROL && a == BH_CTL_INFO);
    for (unsigned i = 0; i < ARRAY_SIZE(core); i++)
        if (core[i].domid >= ((struct bh_dominfo *)di)->domid)
            return *(struct bh_dominfo *)di = core[i], 0;
    return -ESRCH;
}
int xs_raw(uint32_t type, uint32_t tx, const void *payload, uint32_t len, char **reply, uint32_t *n)
{
    return -ENOENT;
}
const char *errno_text(int rc) { return ""; }
void rejuvenate_list(const struct dom *d) { out("%s: restarted\n", d->cfg.name); }
void driver_problem(const struct dom *b) {}
void list_stalled(const struct dom *d, enum dev_kind kind) {}
const char *list_bridge(const struct dom *d, const struct dom_dev *v) { return "inside"; }
int aside_each(void (*fn)(struct dom *d, void *arg), void *arg)
{
    fn(doms->next, arg);
    return 0;
}
void waiting_list(void) { out("late: waits\n"); }

static struct dom web = { .id = 17, .cfg = { .name = "web", .uuid = { 1 }, .image = "hello" } };
static struct dom debian = {
    .id = 16,
    .next = &web,
    .nr_devs = 2,
    .dev = { { .kind = DEV_VIF, .devid = 3, .back = 4 }, { .kind = DEV_VBD, .back = 9 } },
    .cfg = { .name = "debian",
             .uuid = { 0xab },
             .memory_mb = 256,
             .maxmem_mb = 512,
             .vcpus = 2,
             .maxvcpus = 4,
             .kernel = "k",
             .ramdisk = "r",
             .cmdline = "a=\"b\\c\" \xe4\t~",
             .nr_vifs = 1,
             .vif = { { .mac = { 0, 0x16, 0x3e, 1, 2, 3 } } },
             .nr_disks = 1,
             .disk = { { .backend = "blk0", .volume = "data1", .vdev = "xvda", .mode = "w" } },
             .nr_pci = 1,
             .pci = { 0x10020 },
             .on_reboot = ACTION_RESTART,
             .on_crash = ACTION_PRESERVE }
};
static struct dom net0 = { .id = 4,
                           .next = &debian,
                           .cfg = { .name = "net0", .role = BH_ROLE_DRIVER } };

int setup(void **state)
{
    doms = &net0;
    screen[0] = '\0';
    return 0;
}
/* Whether it is shown in the list; the screen is empty again. */
static bool shows(const char *name)
{
    char row[64];

    snprintf(row, sizeof(row), "\n%s  ", name);
    return strstr(screen, row);
}

TEST(those_that_are_named)
{
    assert_true(RUN(list_commands, "list"));
    assert_true(shows("control") && shows("net0") && shows("debian") && shows("web"));
    assert_non_null(strstr(screen, "late: waits\n"));
    assert_non_null(strstr(screen, "debian: the store does not serve it"));
    setup(NULL);
    assert_true(RUN(list_commands, "list", "web", "net0"));
    assert_true(!shows("control") && shows("net0") && !shows("debian") && shows("web"));
    assert_null(strstr(screen, "late"));
    assert_null(strstr(screen, "debian: the store"));
    setup(NULL);
    assert_true(RUN(list_commands, "list", "-v", "control", "ab000000-0000-0000-0000-000000000000"));
    assert_true(shows("control") && shows("debian") && !shows("web"));
    assert_non_null(strstr(screen, " ab000000-0000-0000-0000-000000000000\n"));
    assert_non_null(strstr(screen, "\ndebian: restarted\n"));
    assert_null(strstr(screen, "runs image"));
    strcpy(dom_by_id(16)->runs, "net-2"); /* which is not its configuration's */
    assert_true(RUN(list_commands, "list", "-v"));
    assert_non_null(strstr(screen, "\ndebian: runs image net-2\n"));
    dom_by_id(16)->runs[0] = '\0';
    setup(NULL);
    assert_true(RUN(list_commands, "list", "web", "nobody"));
    assert_string_equal(screen, "nobody: no such domain\n");
    setup(NULL);
    assert_true(RUN(list_commands, "list", "-Z", "web"));
    assert_non_null(strstr(screen, "list: -Z: there are no labels of XSM here\n"));
    assert_true(shows("web"));
    assert_false(RUN(list_commands, "list", "-x"));
    setup(NULL);
    assert_true(RUN(list_commands, "vm-list"));
    assert_string_equal(screen, "UUID                                     ID    name\n"
                                "ab000000-0000-0000-0000-000000000000     16    debian\n"
                                "01000000-0000-0000-0000-000000000000     17    web\n");
}

TEST(configurations_as_json)
{
    assert_true(RUN(list_commands, "list", "-l", "debian"));
    assert_string_equal(
        screen,
        "[\n    {\n        \"domid\": 16,\n        \"config\": {\n            \"c_info\": {\n"
        "                \"type\": \"pvh\",\n                \"name\": \"debian\",\n"
        "                \"uuid\": \"ab000000-0000-0000-0000-000000000000\"\n            },\n"
        "            \"b_info\": {\n                \"max_vcpus\": 4,\n                \"max_memkb\": 524288,\n"
        "                \"target_memkb\": 262144,\n                \"kernel\": \"k\",\n"
        "                \"ramdisk\": \"r\",\n                \"cmdline\": \"a=\\\"b\\\\c\\\" \\u00e4\\u0009~\"\n"
        "            },\n            \"disks\": [\n                {\n"
        "                    \"backend_domname\": \"blk0\",\n                    \"pdev_path\": \"data1\",\n"
        "                    \"vdev\": \"xvda\",\n                    \"backend\": \"phy\",\n"
        "                    \"format\": \"raw\",\n                    \"readwrite\": 1,\n"
        "                    \"limit_ops\": 0,\n                    \"limit_bytes\": 0\n                }\n"
        "            ],\n            \"nics\": [\n                {\n"
        "                    \"backend_domname\": \"net0\",\n                    \"devid\": 3,\n"
        "                    \"mac\": \"00:16:3e:01:02:03\",\n                    \"bridge\": \"inside\",\n"
        "                    \"rate_bytes_per_s\": 0\n                }\n            ],\n"
        "            \"pcidevs\": [\n                {\n                    \"domain\": 1,\n"
        "                    \"bus\": 0,\n                    \"dev\": 4,\n                    \"func\": 0\n"
        "                }\n            ],\n            \"on_poweroff\": \"destroy\",\n"
        "            \"on_reboot\": \"restart\",\n            \"on_crash\": \"preserve\"\n        }\n    }\n]\n");
    setup(NULL);
    assert_true(RUN(list_commands, "list", "--long"));
    assert_non_null(strstr(screen, "\"name\": \"control\""));
    assert_non_null(strstr(screen, "\"disks\": [],"));
    assert_non_null(strstr(screen, "    },\n    {\n        \"domid\": 17,"));
    assert_non_null(strstr(screen, "\"image\": \"hello\""));
}
