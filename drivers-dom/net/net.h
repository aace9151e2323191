/* SPDX-License-Identifier: MIT */
/* What the files of the net driver domain share at run time: one pool, one switch, one uplink, one batch. */
#pragma once
#include <bh.h>
#include "nic.h"
#include "pkt.h"
#include "switch.h"

struct net {
    struct pkt_pool pool;
    struct sw sw;
    struct nic *uplink; /* NULL: there is none */
    char refusal[160];  /* why its NIC is not the uplink, "": it is, or there is none */
    struct batch batch; /* empty whenever a store call may block, but for sends */
    uint64_t now;       /* when the round began */
};
extern struct net net;
void net_pool_init(void);

/* round.c: what the main loop asks for (loop.h) */
bool net_round(uint64_t now);
bool net_arm(void);
bool net_answered(void);
uint64_t net_look_again(void);

/* nic_trial.c: tries its IOMMU unit (trial.h). NULL, or why it must not be used */
const char *virtio_net_trial(const struct bh_pci_info *dev);
