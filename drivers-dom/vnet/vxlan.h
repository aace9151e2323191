/* SPDX-License-Identifier: MIT */
/*
 * A segment of VXLAN (RFC 7348): which datagrams are frames of it, where a frame goes, and who is behind which of the other ends. Pure.
 *
 * An endpoint is an address of IPv6, or of IPv4 as ::ffff:a.b.c.d. Frames come from the configured peers alone, unless `any` says otherwise. What goes to many, or to an address that
 * nobody was heard from, goes to each configured peer and to the group, if there is one; a frame of the tunnel never goes back into it, which is the switch's
 * rule. The outer addresses are a claim: whoever can send with a peer's on that network is that peer.
 */
#pragma once
#include <bh.h>

#define VXLAN_PORT   4789u
#define VXLAN_HLEN   8u
#define VXLAN_OVER   50u /* IPv4, UDP, this header and the inner Ethernet header */
#define VXLAN_OVER6  70u /* IPv6 instead */
#define VXLAN_VNIS   (1u << 24)
#define VXLAN_TOLD   16u  /* configured peers, at most */
#define VXLAN_PEERS  32u  /* whom we count for: those, and the last that were heard */
#define VXLAN_MACS   256u /* power of two */
#define VXLAN_WAYS   4u
#define VXLAN_AGE_NS (300 * NS_PER_S)

struct vxlan_end {
    uint64_t a[2]; /* in the order of the network; 0: none */
};

struct vxlan_peer {
    struct vxlan_end ip;
    uint64_t in, out, seen_ns;
};

struct vxlan_mac {
    uint8_t mac[6];
    struct vxlan_end ip; /* behind which endpoint; none: the entry is free */
    uint64_t seen_ns;
};

struct vxlan {
    uint32_t vni;
    struct vxlan_end here, group; /* here: our own endpoint, none: not known yet */
    uint16_t port;
    bool any; /* frames of everybody */
    unsigned nr_told;
    struct vxlan_peer peer[VXLAN_PEERS]; /* the configured ones are first */
    struct vxlan_mac table[VXLAN_MACS];
    uint64_t strangers, foreign,
        bad; /* datagrams of no peer, of another segment, and that are no frame */
};

/* IPv4's, as it stands in a packet */
struct vxlan_end vxlan_end4(uint32_t ip);
bool vxlan_is4(struct vxlan_end e);
/* By the words of the configuration, NULL for one that is not there; peers has commas between. NULL, or what is wrong. */
const char *vxlan_begin(struct vxlan *v, const char *vni, const char *port, const char *peers,
                        const char *group);
/* A datagram of len bytes of which VXLAN_HLEN + 14 are at `head`, if it has so many: whether it is a frame for us. Its sender is learnt then. */
bool vxlan_take(struct vxlan *v, struct vxlan_end from, const uint8_t *head, unsigned len,
                uint64_t now);
/* The endpoints that a frame of ours goes to, and how many. */
unsigned vxlan_ways(struct vxlan *v, const uint8_t *frame, uint64_t now,
                    struct vxlan_end to[VXLAN_TOLD + 1]);
void vxlan_head(const struct vxlan *v, uint8_t head[VXLAN_HLEN]);
/* The same for all frames of a flow (RFC 7348 5, RFC 6335 6), of which len bytes are there. */
uint16_t vxlan_source_port(const uint8_t *frame, unsigned len);
