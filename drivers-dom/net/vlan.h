/* SPDX-License-Identifier: MIT */
/*
 * Tags of IEEE 802.1Q on packets: what the switch says of those who see a frame otherwise than it came (switch.h). A packet that is changed is nobody
 * else's. What pkt_csum_find and pkt_gso_find said of it stays true.
 */
#pragma once
#include "pkt.h"

void vlan_name(struct pkt *p, unsigned vid); /* the VLAN that its tag names; its priority stays */
void vlan_push(struct pkt *p, unsigned vid); /* a tag of that VLAN, without a priority */
void vlan_pop(struct pkt *p);                /* its outermost tag goes */
