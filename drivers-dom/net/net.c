/* SPDX-License-Identifier: MIT */
/* What the files of the net driver domain share: see net.h. */
#include "net.h"

struct net net;
static struct pkt pkts[PKT_NR];
/* In .bss, which is zero frames that nobody has to touch: a restart neither clears nor searches for them. */
static BIG_DATA _Alignas(PAGE_SIZE) uint8_t buffers[PKT_NR][PKT_BUF];

void net_pool_init(void) { pkt_pool_init(&net.pool, pkts, buffers[0], PKT_NR); }
