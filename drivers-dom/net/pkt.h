/* SPDX-License-Identifier: MIT */
/*
 * Packet buffers: a fixed pool of 2 KiB buffers, two to a page, DMA-able and never remapped. A packet may wait on several
 * ports at once, so it is counted. Nobody changes a frame that others may hold, but for filling in its checksum, which is
 * the same for all.
 */
#pragma once
#include <bh.h>

#define PKT_BUF  2048u
#define PKT_HEAD 64u /* room for the device's header in front of the frame */
#define PKT_NR   768u
#define ETH_HLEN 14u
#define ETH_MIN  60u   /* without the checksum that hardware adds */
#define WIRE_MTU 1500u /* of the wire, behind the tags */
#define FRAME_MAX \
    1522u /* WIRE_MTU and two VLAN tags (IEEE 802.1ad); no segmentation offload is offered */
_Static_assert(PKT_HEAD + FRAME_MAX <= PKT_BUF, "a frame fits a buffer");

#define PKT_CSUM_BLANK 1u /* the transport checksum is not filled in */
#define PKT_CSUM_VALID 2u /* checked, or never left this machine */

struct pkt {
    struct pkt *next; /* free list */
    uint8_t *data;    /* the frame */
    uint16_t len;
    uint16_t csum_start, csum_offset,
        csum_end;      /* set by pkt_csum_find: the segment and where in it the checksum is */
    bool ipv6, tagged; /* likewise */
    uint8_t refs;
    uint8_t flags; /* PKT_CSUM_* */
    uint8_t from;  /* the switch port it came from */
};

struct pkt_pool {
    struct pkt *free;
    unsigned nr_free;
};

/* mem: n * PKT_BUF bytes, page-aligned. */
void pkt_pool_init(struct pkt_pool *pool, struct pkt *pkts, uint8_t *mem, unsigned n);
struct pkt *pkt_alloc(struct pkt_pool *pool); /* NULL: none left */
void pkt_put(struct pkt_pool *pool, struct pkt *p);
static inline struct pkt *pkt_get(struct pkt *p)
{
    p->refs++;
    return p;
}

/* Where the payload begins: behind any number of VLAN tags (802.1Q, 802.1ad, and 9100, which came before that one). *type is its
 * EtherType, that of a tag if the frame ends there. len: ETH_HLEN at least. */
unsigned frame_payload(const uint8_t *frame, unsigned len, unsigned *type);

/* For PKT_CSUM_BLANK: finds the transport header behind the tags, writes the pseudo-header's sum into the checksum field, as a device
 * or a front-end that finishes it expects, and sets what struct pkt says of it. false: a TCP or UDP segment that is whole is not there. */
bool pkt_csum_find(struct pkt *p) __attribute__((warn_unused_result));
/* Fills in, in software, a blank checksum that pkt_csum_find found. */
void pkt_csum_fill(struct pkt *p);
/* A device says that the sum from `start` to the frame's end is to go to `start + offset` (Virtio 1.1, 5.1.6.2). It stays blank where
 * pkt_csum_find finds it too; any other, as inside of a tunnel, no receiver would find: filled in at once. false: not in the frame. */
bool pkt_csum_told(struct pkt *p, unsigned start, unsigned offset)
    __attribute__((warn_unused_result));
