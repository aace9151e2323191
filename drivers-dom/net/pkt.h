/* SPDX-License-Identifier: MIT */
/*
 * Packets: chains of page-sized buffers of a fixed pool, DMA-able and never remapped. A packet is its first buffer, which holds all
 * headers (PKT_PULL). It may wait on several ports at once, so it is counted. Nobody changes a frame that others may hold, but for filling
 * in its checksum, which is the same for all.
 *
 * One that says `gso` is a run of TCP segments under one header, to be cut into segments of gso_size bytes of payload (gso.c) by whoever
 * receives it. Its checksum is blank.
 */
#pragma once
#include <bh.h>

#define PKT_BUF  4096u
#define PKT_HEAD 64u /* room for the device's header in front of the frame */
#define PKT_NR   1024u
#define PKT_PULL 256u /* a packet's first buffer holds so much of the frame, or all of it */
#define PKT_BUFS \
    19u /* of one packet, at most: 18 slots of a front-end (netback.c), the first of them in two parts */
#define ETH_HLEN  14u
#define ETH_MIN   60u   /* without the checksum that hardware adds */
#define WIRE_MTU  1500u /* of a wire of which nothing else is known, behind the tags */
#define WIRE_HEAD 22u   /* before them, with two VLAN tags (IEEE 802.1ad) */
#define WIRE_MAX  (WIRE_MTU + WIRE_HEAD)
#define FRAME_MAX 65557u /* the longest IP packet in that */
#define GSO_MIN   48u /* of gso_size: no TCP has less room for itself, and each segment is work */

#define PKT_CSUM_BLANK 1u /* the transport checksum is not filled in */
#define PKT_CSUM_VALID 2u /* checked, or never left this machine */

#define TCP_CWR 0x80u /* of the flags, 13 bytes into the header (RFC 9293 3.1, RFC 3168 6.1) */

enum pkt_gso { PKT_WHOLE, PKT_GSO_TCP4, PKT_GSO_TCP6 };

struct pkt {
    struct pkt *next; /* the packet's next buffer; in the pool: free list */
    uint8_t *buf;     /* a page */
    uint8_t *data;    /* what it holds of the frame */
    uint16_t len;
    /* From here on, of a packet, in its first buffer: */
    uint16_t nr;   /* buffers */
    uint32_t rest; /* bytes in the other ones */
    uint32_t csum_end;
    uint16_t csum_start,
        csum_offset;   /* set by pkt_csum_find: the segment and where in it the checksum is */
    bool ipv6, tagged; /* likewise */
    uint8_t refs;
    uint8_t flags;     /* PKT_CSUM_* */
    uint8_t from;      /* the switch port it came from */
    uint8_t gso;       /* enum pkt_gso */
    uint16_t gso_size; /* payload of a segment */
    uint16_t hdr_len;  /* set by pkt_gso_find: all headers */
};

static inline unsigned pkt_len(const struct pkt *p) { return p->len + p->rest; }

struct pkt_pool {
    struct pkt *free;
    unsigned nr, nr_free; /* buffers */
};

/* mem: n * PKT_BUF bytes, page-aligned. */
void pkt_pool_init(struct pkt_pool *pool, struct pkt *pkts, uint8_t *mem, unsigned n);
struct pkt *pkt_alloc(struct pkt_pool *pool); /* of one buffer; NULL: none left */
void pkt_put(struct pkt_pool *pool, struct pkt *p);
static inline struct pkt *pkt_get(struct pkt *p)
{
    p->refs++;
    return p;
}
/* A packet of its own with the same frame, and what is said of it. NULL: no buffers. */
struct pkt *pkt_copy(struct pkt_pool *pool, const struct pkt *p);
/* One more, empty buffer behind `last`, the packet's last one. It has no head room. NULL: none left. */
struct pkt *pkt_grow(struct pkt_pool *pool, struct pkt *p, struct pkt *last);
/* Makes a packet of one buffer the last one of p, with what it holds. */
void pkt_append(struct pkt *p, struct pkt *last, struct pkt *b);
/* What PKT_PULL says is made true. */
void pkt_pull(struct pkt_pool *pool, struct pkt *p);

static inline bool frame_is_tag(unsigned type)
{
    return type == 0x8100 || type == 0x88a8 || type == 0x9100;
}
/* Where the payload begins: behind any number of VLAN tags (802.1Q, 802.1ad, and 9100, which came before that one). *type is its
 * EtherType, that of a tag if the frame ends there. len: ETH_HLEN at least. */
unsigned frame_payload(const uint8_t *frame, unsigned len, unsigned *type);

/* Offset of what an IPv6 packet at `at` carries, behind hop-by-hop, routing and destination options (RFC 8200 4); it may be behind the
 * frame's end. 0: the headers are cut off. */
unsigned frame_ip6_transport(const uint8_t *frame, unsigned len, unsigned at, uint8_t *proto);

/* For PKT_CSUM_BLANK: finds the transport header behind the tags, writes the pseudo-header's sum into the checksum field, as a device
 * or a front-end that finishes it expects, and sets what struct pkt says of it. false: a TCP or UDP segment that is whole, with its headers in the
 * first buffer, is not there. */
bool pkt_csum_find(struct pkt *p) __attribute__((warn_unused_result));
/* Fills in, in software, a blank checksum that pkt_csum_find found. */
void pkt_csum_fill(struct pkt *p);
/* A device says that the sum from `start` to the frame's end is to go to `start + offset` (Virtio 1.1, 5.1.6.2). It stays blank where
 * pkt_csum_find finds it too; any other, as inside of a tunnel, no receiver would find: filled in at once. false: not in the frame. */
bool pkt_csum_told(struct pkt *p, unsigned start, unsigned offset)
    __attribute__((warn_unused_result));

/* --- segmentation (gso.c) --- */

/* For `gso`: pkt_csum_find, and whether that is what `gso` says: one TCP segment of that IP and nothing behind it. What is no longer than one
 * segment is none any more. false: it is not. */
bool pkt_gso_find(struct pkt *p) __attribute__((warn_unused_result));
/* Of a packet that pkt_gso_find found: into how many it is cut; the length of the frame of the i-th, and that in software: a packet of its own, its
 * checksum blank as pkt_csum_find leaves it. NULL: no buffers. */
unsigned pkt_segments(const struct pkt *p);
unsigned pkt_segment_len(const struct pkt *p, unsigned i);
struct pkt *pkt_segment(struct pkt_pool *pool, const struct pkt *p, unsigned i);
/* Buffers that a frame so long takes. */
static inline unsigned pkt_bufs(unsigned len)
{
    return len <= PKT_BUF - PKT_HEAD ? 1 : 1 + (len - (PKT_BUF - PKT_HEAD) + PKT_BUF - 1) / PKT_BUF;
}
/* The longest frame that it is on a wire. */
static inline unsigned pkt_wire_len(const struct pkt *p)
{
    return p->gso ? pkt_segment_len(p, 0) : pkt_len(p);
}
