/* SPDX-License-Identifier: MIT */
/*
 * A vnet domain's one bridge and its uplink, the tunnel, in the place of drivers-dom/net/uplinks.c. Words of its command line:
 *
 *     vnet=ID peers=ADDRESS,...[,any] group=A.B.C.D port=N mtu=BYTES     and lwip_vif.h's: ip=, gw=, dhcp, ip6=, gw6=
 */
#include <loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "net.h"
#include "tunnel.h"

static struct vxlan v;

/* A word of the command line, or NULL. */
static const char *word(const char *key, char *text, size_t n)
{
    return cmdline_get(key, text, n) ? text : NULL;
}

void uplinks_find(void)
{
    char vni[16], port[16], peers[VXLAN_TOLD * 40 + 8], group[20], mtu[8];
    const char *why = vxlan_begin(&v, word("vnet", vni, sizeof(vni)),
                                  word("port", port, sizeof(port)),
                                  word("peers", peers, sizeof(peers)),
                                  word("group", group, sizeof(group)));

    for (unsigned b = 1; b < SW_UPLINKS; b++)
        snprintf(net.refusal[b], sizeof(net.refusal[b]), "there is no such bridge");
    if (why) {
        snprintf(net.refusal[0], sizeof(net.refusal[0]), "vnet: %s", why);
        printf("%s: %s\n", self.name, net.refusal[0]);
        return;
    }
    struct nic *n = net.uplink[0] = tunnel_start(&net.pool, &v);
    if (word("mtu", mtu, sizeof(mtu)))
        nic_set_mtu(n, strtoul(mtu, NULL, 10));
    switch_port_up(&net.sw, sw_uplink(0), NULL, &(struct slot_vif){ .bridge = 0 });
    net.sw.port[sw_uplink(0)].mtu = n->mtu;
}

void uplinks_check(void) {}

const char *uplinks_text(void)
{
    static char text[48];

    snprintf(text, sizeof(text), "vnet %u, MTU %u", v.vni, net.uplink[0] ? net.uplink[0]->mtu : 0);
    return net.uplink[0] ? text : net.refusal[0];
}
