/* SPDX-License-Identifier: MIT */
/*
 * Packet buffers: a fixed pool of 2 KiB buffers, two to a page, DMA-able and never remapped. A packet may wait on several
 * ports at once, so it is counted. Nobody changes a frame that others may hold, but for filling in its checksum, which is
 * the same for all.
 */
#pragma once
#include <bh.h>

#define PKT_BUF   2048u
#define PKT_HEAD  64u   /* room for the device's header in front of the frame */
#define PKT_NR    768u
#define ETH_HLEN  14u
#define ETH_MIN   60u   /* without the checksum that hardware adds */
#define FRAME_MAX 1518u /* 1500 bytes of payload, a VLAN tag; no segmentation offload is offered */
_Static_assert(PKT_HEAD + FRAME_MAX <= PKT_BUF, "a frame fits a buffer");

#define PKT_CSUM_BLANK 1u /* the transport checksum is not filled in */
#define PKT_CSUM_VALID 2u /* checked, or never left this machine */

struct pkt {
    struct pkt *next;  /* free list */
    uint8_t *data;     /* the frame */
    uint16_t len;
    uint16_t csum_start, csum_offset; /* set by pkt_csum_find */
    uint8_t refs;
    uint8_t flags;     /* PKT_CSUM_* */
    uint8_t from;      /* the switch port it came from */
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

/* For PKT_CSUM_BLANK: finds the transport header, writes the pseudo-header's sum into the checksum field and sets csum_*.
 * false: not a packet whose checksum could be left out. *ipv6 says which. */
bool pkt_csum_find(struct pkt *p, bool *ipv6);
/* Fills in a blank checksum in software. false as above. */
bool pkt_csum_fill(struct pkt *p);
