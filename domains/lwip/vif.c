/* SPDX-License-Identifier: MIT */
/*
 * Between lwIP and the front-end. A frame is copied once each way: from the page that the back-end wrote into a buffer of lwIP's pool, and from
 * lwIP's buffers into the page that the back-end reads.
 *
 * A back-end that fills in blank checksums does so for TCP; a datagram may leave in fragments, and a fragment's checksum nobody can fill in.
 */
#include "lwip_vif.h"
#include "isn.h"
#include <errno.h>
#include <lwip/dhcp.h>
#include <lwip/ethip6.h>
#include <lwip/etharp.h>
#include <lwip/icmp6.h>
#include <lwip/init.h>
#include <lwip/ip6.h>
#include <lwip/sys.h>
#include <lwip/timeouts.h>
#include <netif/ethernet.h>
#include <stdlib.h>
#include <string.h>

#define CHECKED_BY_BACKEND (NETIF_CHECKSUM_CHECK_TCP | NETIF_CHECKSUM_CHECK_UDP)
#define ETH_HEADER         14

void lwip_failed(const char *what) { bh_panic("lwIP: %s", what); }

uint32_t sys_now(void) { return (uint32_t)(now_ns() / NS_PER_MS); }

void lwip_wait(uint64_t until_ns)
{
    uint32_t ms = sys_timeouts_sleeptime();
    uint64_t next = now_ns() + ms * NS_PER_MS;

    if (ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE || (until_ns && until_ns < next))
        next = until_ns;
    event_wait(next);
    sys_check_timeouts();
}

/*
 * Of IPv6 nothing is taken that lets a stranger lead us about: routers where there are to be none, another way, a way that takes less than each must. Nor what hides
 * behind further headers; a querier's question of groups has one.
 */
static bool leads_about(const struct lwip_vif *v, const uint8_t *frame, unsigned len)
{
    const uint8_t *next = frame + ETH_HEADER + IP6_HLEN;

    if (len < ETH_HEADER || (frame[12] << 8 | frame[13]) != ETHTYPE_IPV6)
        return false;
    if (len < ETH_HEADER + IP6_HLEN + 8)
        return true;
    switch (frame[ETH_HEADER + 6]) {
    case IP6_NEXTH_TCP:
    case IP6_NEXTH_UDP: return false;
    case IP6_NEXTH_ICMP6:
        return *next == ICMP6_TYPE_RD || (*next == ICMP6_TYPE_RA && v->no_routers) ||
               (*next == ICMP6_TYPE_PTB && !next[4] && !next[5] &&
                (next[6] << 8 | next[7]) < IP6_MIN_MTU_LENGTH);
    case IP6_NEXTH_HOPBYHOP:
        return next[0] != IP6_NEXTH_ICMP6 || next[1] || len < ETH_HEADER + IP6_HLEN + 16 ||
               next[8] != ICMP6_TYPE_MLQ;
    default: return true;
    }
}

const ip6_addr_t *lwip_gateway6(struct netif *netif, const ip6_addr_t *there)
{
    const struct lwip_vif *v = netif->state;

    (void)there;
    return ip6_addr_isany(&v->gw6) ? NULL : &v->gw6;
}

static void on_frame(struct netfront *nf, const uint8_t *frame, unsigned len, bool good, void *arg)
{
    struct lwip_vif *v = arg;
    uint16_t flags = v->netif.chksum_flags;

    (void)nf;
    if (!v->netif.input || leads_about(v, frame, len)) /* no input: connected a moment ago */
        return;
    struct pbuf *p = pbuf_alloc(PBUF_RAW, (uint16_t)len, PBUF_POOL); /* a page at most */
    if (!p) {
        v->dropped++;
        return;
    }
    pbuf_take(p, frame, (uint16_t)len);
    if (good)
        v->netif.chksum_flags &= (uint16_t)~CHECKED_BY_BACKEND;
    if (v->netif.input(p, &v->netif))
        pbuf_free(p);
    v->netif.chksum_flags = flags;
}

/* lwIP sends segments whole, and puts no options between an IPv6 header and theirs. */
static bool is_tcp(const uint8_t *frame, unsigned len)
{
    unsigned type = frame[12] << 8 | frame[13];

    if (len < ETH_HEADER + 40)
        return false;
    return (type == ETHTYPE_IP && frame[ETH_HEADER + 9] == IP_PROTO_TCP) ||
           (type == ETHTYPE_IPV6 && frame[ETH_HEADER + 6] == IP6_NEXTH_TCP);
}

static err_t send_frame(struct netif *netif, struct pbuf *p)
{
    struct lwip_vif *v = netif->state;
    uint8_t *frame = netfront_frame(&v->front);

    if (!frame || p->tot_len > PAGE_SIZE) {
        v->dropped++;
        return ERR_WOULDBLOCK;
    }
    pbuf_copy_partial(p, frame, p->tot_len, 0);
    if (netfront_send(&v->front, p->tot_len,
                      !(netif->chksum_flags & NETIF_CHECKSUM_GEN_TCP) && is_tcp(frame, p->tot_len)))
        return ERR_IF;
    return ERR_OK;
}

static err_t set_up(struct netif *netif)
{
    struct lwip_vif *v = netif->state;

    memcpy(netif->name, "vi", 2);
    memcpy(netif->hwaddr, v->front.mac, sizeof(v->front.mac));
    netif->hwaddr_len = sizeof(v->front.mac);
    netif->mtu = 1500;
    netif->output = etharp_output;
    netif->output_ip6 = ethip6_output;
    netif->linkoutput = send_frame;
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET |
                   NETIF_FLAG_IGMP | NETIF_FLAG_MLD6;
    netif->chksum_flags = NETIF_CHECKSUM_ENABLE_ALL;
    if (v->front.csum_offload)
        netif->chksum_flags &= (uint16_t)~NETIF_CHECKSUM_GEN_TCP;
    return ERR_OK;
}

/* false: the word is there, and no address. What is not there leaves *a as it is. */
static bool address(const char *key, ip4_addr_t *a, unsigned *prefix)
{
    char text[32], *slash, *end = "";

    if (!cmdline_get(key, text, sizeof(text)))
        return true;
    slash = strchr(text, '/');
    if (slash) {
        *slash = '\0';
        *prefix = (unsigned)strtoul(slash + 1, &end, 10);
    }
    return ip4addr_aton(text, a) && !*end && *prefix >= 1 && *prefix <= 32;
}

static int add(struct lwip_vif *v)
{
    ip4_addr_t ip = { 0 }, gw = { 0 }, mask;
    unsigned prefix = 24, whole = 32;
    char word[48];
    ip6_addr_t ip6;

    if (!address("ip", &ip, &prefix) || !address("gw", &gw, &whole))
        return -EINVAL;
    mask.addr = lwip_htonl(~0u << (32 - prefix));
    if (!netif_add(&v->netif, &ip, &mask, &gw, v, set_up, ethernet_input))
        return -ENOMEM;
    netif_set_default(&v->netif);
    netif_create_ip6_linklocal_address(&v->netif, 1);
    netif_set_ip6_autoconfig_enabled(&v->netif, !v->no_routers);
    if (cmdline_get("ip6", word, sizeof(word)) &&
        (!ip6addr_aton(word, &ip6) || netif_add_ip6_address(&v->netif, &ip6, NULL)))
        return -EINVAL;
    if (cmdline_get("gw6", word, sizeof(word)) && !ip6addr_aton(word, &v->gw6))
        return -EINVAL;
    netif_set_link_up(&v->netif);
    netif_set_up(&v->netif);
    return cmdline_get("dhcp", word, sizeof(word)) && dhcp_start(&v->netif) ? -ENOMEM : 0;
}

int lwip_vif_begin(struct lwip_vif *v, unsigned devid)
{
    static bool inited;

    memset(v, 0, sizeof(*v));
    if (!inited)
        lwip_init();
    inited = true;
    return netfront_open(&v->front, devid, on_frame, v);
}

int lwip_vif_up(struct lwip_vif *v)
{
    int rc = 0;

    if (!v->front.connected)
        return -EAGAIN;
    if (!v->netif.input)
        rc = add(v);
    if (!rc && netif_dhcp_data(&v->netif) && !dhcp_supplied_address(&v->netif))
        rc = -EAGAIN;
    return rc;
}

int lwip_vif_open(struct lwip_vif *v, unsigned devid)
{
    int rc = lwip_vif_begin(v, devid);

    while (!rc && !v->front.connected)
        event_wait(0);
    if (rc)
        return rc;
    while ((rc = lwip_vif_up(v)) == -EAGAIN)
        lwip_wait(0);
    return rc;
}
