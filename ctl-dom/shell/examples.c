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
    { "block-list", "block-list debian web" },
    { "block-attach", "block-attach debian phy:blk0:data1,xvdb,w" },
    { "block-detach", "block-detach debian xvdb" },
    { "block-retry", "block-retry debian xvdb" },
    { "block-stats", "block-stats debian" },
    { "block-limit", "block-limit debian xvda ops=500 bytes=10M" },
    { "network-list", "network-list debian web" },
    { "network-attach", "network-attach debian bridge=net0 mac=00:16:3e:11:22:33" },
    { "network-detach", "network-detach debian 1" },
    { "network-retry", "network-retry debian 0" },
    { "vnet-create", "vnet-create 97 ip=192.0.2.1/24 peers=192.0.2.2,192.0.2.3 bridge=net0" },
    { "vnet-list", "vnet-list" },
    { "vnet-delete", "vnet-delete 97" },
    { "crash", "crash net0 --inject" },
    { "crashes", "crashes net0" },
    { "restart", "restart net0" },
    { "upgrade", "upgrade net0 net" },
    { "rejuvenate", "rejuvenate net0 86400" },
    { "shutdown", "shutdown -w debian" },
    { "reboot", "reboot -a" },
    { "machine", "machine poweroff" },
    { "sched-credit2", "sched-credit2 -d debian -w 512 -c 50" },
    { "vcpu-list", "vcpu-list debian" },
    { "vcpu-pin", "vcpu-pin debian all 1-2" },
    { "vcpu-set", "vcpu-set debian 2" },
    { "mem-set", "mem-set debian 128" },
    { "mem-max", "mem-max debian 256" },
    { "pci-detach", "pci-detach net0 00:04.0" },
    { "pci-assignable-add", "pci-assignable-add 00:04.0" },
    { "pci-assignable-remove", "pci-assignable-remove 00:04.0" },
    { "configs", "configs" },
    { "config-show", "config-show bundle:debian" },
    { "config-write", "config-write web" },
    { "config-update", "config-update debian memory=512 vcpus=2" },
    { "config-rm", "config-rm web" },
    { "xenstore-list", "xenstore-list /local/domain" },
    { "xenstore-exists", "xenstore-exists /local/domain/16" },
    { "xenstore-write", "xenstore-write /local/domain/16/data/mark 1" },
    { "xenstore-rm", "xenstore-rm /local/domain/16/data/mark" },
    { "xenstore-chmod", "xenstore-chmod /local/domain/16/data n16 r4" },
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
