/* SPDX-License-Identifier: MIT */
/* An example of each command, for `help COMMAND`. */
#include <stddef.h>
#include <string.h>
#include "shell/command.h"

static const char *const examples[][2] = {
    { "help", "help create" },
    { "list", "list -v debian net0" },
    { "vm-list", "vm-list" },
    { "xenstore-retry", "xenstore-retry debian" },
    { "domid", "domid debian" },
    { "domname", "domname 16" },
    { "rename", "rename debian web" },
    { "uptime", "uptime -s debian" },
    { "create", "create -c debian name=web memory=512 vif=['bridge=net0']" },
    { "destroy", "destroy web debian" },
    { "pause", "pause debian" },
    { "unpause", "unpause debian" },
    { "console", "console -e ^X debian" },
    { "dmesg", "dmesg -c" },
    { "info", "info -v net0" },
    { "sysrq", "sysrq debian t" },
    { "trigger", "trigger debian power" },
    { "debug-keys", "debug-keys q" },
    { "top", "top -b -d 5 -i 12" },
    { "pci-assignable-list", "pci-assignable-list" },
    { "pci-list", "pci-list net0" },
    { "pci-attach", "pci-attach net0 00:03.0" },
    { "volumes", "volumes" },
    { "block-list", "block-list debian" },
    { "block-attach", "block-attach debian phy:blk0:data1,xvdb,w" },
    { "block-detach", "block-detach debian xvdb" },
    { "block-retry", "block-retry debian xvdb" },
    { "block-stats", "block-stats debian" },
    { "block-limit", "block-limit debian xvda ops=500 bytes=10M" },
    { "network-list", "network-list debian" },
    { "network-attach", "network-attach debian bridge=net0 mac=00:16:3e:11:22:33" },
    { "network-detach", "network-detach debian 1" },
    { "network-retry", "network-retry debian 0" },
    { "crash", "crash net0 --inject" },
    { "crashes", "crashes net0" },
    { "restart", "restart net0" },
    { "shutdown", "shutdown -w debian" },
    { "reboot", "reboot -a" },
    { "machine", "machine poweroff" },
    { "xenstore-ls", "xenstore-ls /local/domain/16" },
    { "xenstore-read", "xenstore-read /local/domain/16/name" },
    { "xenstore-watch", "xenstore-watch /local/domain/16/device" },
};

const char *command_example(const char *name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(examples); i++)
        if (!strcmp(examples[i][0], name))
            return examples[i][1];
    return NULL;
}
