/* SPDX-License-Identifier: MIT */
/*
 * lwIP in a small domain (<lwip/opt.h> says what each word means): no threads, the raw interface, IPv4 and IPv6, ARP, DHCP, ICMP, UDP, TCP.
 *
 * All its memory is here, in pools and a heap whose sizes are constants (README.md): who sends us much is dropped, and takes nothing from
 * the rest of the domain. Its assertions stay in: one that fails ends the domain instead of what it would have written over.
 */
#pragma once

#define NO_SYS               1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN         0
#define LWIP_SOCKET          0
#define LWIP_IPV6            1
#define LWIP_RAW             1
#define LWIP_DHCP            1
#define LWIP_IGMP            1
#define LWIP_SINGLE_NETIF    1
#define LWIP_BROADCAST_PING  0
#define LWIP_MULTICAST_PING  0
#define MEM_ALIGNMENT        16

/* IPv6 packets are not cut, whatever a "packet too big" of anybody's says: lwIP cuts them for ever where it leaves no room behind the headers. */
#define LWIP_IPV6_FRAG  0
#define LWIP_IPV6_REASS 0 /* nor put together */

/* An address is ours as soon as it is given, and no neighbour's word takes it away. */
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 0

/* Sixteen peers of a vnet, and whoever else asks meanwhile. */
#define ARP_TABLE_SIZE            64
#define LWIP_ND6_NUM_NEIGHBORS    64
#define LWIP_ND6_NUM_DESTINATIONS 32

/* The way to other networks by IPv6, where somebody said it (gw6=). */
#define LWIP_HOOK_ND6_GET_GW lwip_gateway6

/* The heap has what is on its way out: copies of what was sent, headers, answers. */
#define MEM_SIZE         (256 * 1024)
#define MEMP_NUM_PBUF    256 /* that lead to data elsewhere */
#define MEMP_NUM_RAW_PCB 4
#define MEMP_NUM_UDP_PCB 8

/* Each frame that came lies in one of these. */
#define PBUF_POOL_SIZE     128
#define PBUF_POOL_BUFSIZE  1536
#define IP_REASS_MAX_PBUFS 32
#define MEMP_NUM_REASSDATA 8
#define MEMP_NUM_FRAG_PBUF 32

/* Sequence numbers of connections are not to be guessed (RFC 6528). */
struct tcp_isn;
#define LWIP_HOOK_TCP_ISN  lwip_isn
#define LWIP_HOOK_FILENAME "isn.h"

/* Windows of 60 segments: the front-end's ring takes 64 frames. */
#define TCP_MSS                 1460
#define LWIP_WND_SCALE          1
#define TCP_RCV_SCALE           1
#define TCP_WND                 (60 * TCP_MSS)
#define TCP_SND_BUF             (60 * TCP_MSS)
#define TCP_SND_QUEUELEN        240
#define TCP_OOSEQ_MAX_PBUFS     60
#define MEMP_NUM_TCP_SEG        480
#define MEMP_NUM_TCP_PCB        16
#define MEMP_NUM_TCP_PCB_LISTEN 4

/* What the back-end fills in or has looked at is for each interface and frame to say. */
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1
