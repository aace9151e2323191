/* SPDX-License-Identifier: MIT */
/* Tags of IEEE 802.1Q on packets: see vlan.h. */
#include "vlan.h"
#include <string.h>

#define TAG    4u
#define TAG_AT 12u /* behind both addresses */
_Static_assert(PKT_HEAD >= 2 * TAG + 16, "room for a tag and a device's header");

void vlan_name(struct pkt *p, unsigned vid)
{
    uint8_t *tag = p->data + TAG_AT;

    tag[2] = (uint8_t)((tag[2] & 0xf0) | vid >> 8);
    tag[3] = (uint8_t)vid;
}

/* The payload has moved in the frame by n bytes. */
static void moved(struct pkt *p, int n)
{
    unsigned type;

    p->data -= n;
    p->len = (uint16_t)(p->len + n);
    p->csum_start = (uint16_t)(p->csum_start + n);
    p->csum_end += (uint32_t)n;
    p->hdr_len = (uint16_t)(p->hdr_len + n);
    p->tagged = frame_payload(p->data, p->len, &type) > ETH_HLEN;
}

void vlan_push(struct pkt *p, unsigned vid)
{
    memmove(p->data - TAG, p->data, TAG_AT);
    memcpy(p->data - TAG + TAG_AT, (uint8_t[]){ 0x81, 0, (uint8_t)(vid >> 8), (uint8_t)vid }, TAG);
    moved(p, TAG);
}

void vlan_pop(struct pkt *p)
{
    memmove(p->data + TAG, p->data, TAG_AT);
    moved(p, -(int)TAG);
}
