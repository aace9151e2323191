/* SPDX-License-Identifier: MIT */
/* What the files of the net driver domain share at run time: one pool, one switch, the uplinks of its bridges, one batch. */
#pragma once
#include <bh.h>
#include "netback.h"
#include "nic.h"
#include "pkt.h"
#include "switch.h"

struct net {
    struct pkt_pool pool;
    struct nb_items items;
    struct sw sw;
    /* By the number of the bridge (slot_table.h): NULL: it has none; why its NIC is not, "": it is, or there is none to be; its name, "": there is but
     * one, or no such. */
    struct nic *uplink[SW_UPLINKS];
    char refusal[SW_UPLINKS][160], bridge[SW_UPLINKS][BH_NAME_LEN];
    struct batch batch; /* empty whenever a store call may block, but for sends */
    uint64_t now;       /* when the round began */
};
extern struct net net;
/* Whether there is a bridge of that number. Those after the last one have a refusal, and no name. */
static inline bool net_bridge(unsigned b) { return !b || net.bridge[b][0]; }
void net_pool_init(void);

/* round.c: what the main loop asks for (loop.h) */
bool net_round(uint64_t now);
bool net_arm(void);
bool net_answered(void);
uint64_t net_look_again(void);

/* uplinks.c: finds and starts the NICs; looks now and then whether they are well */
void uplinks_find(void);
void uplinks_check(void);
const char *uplinks_text(void);    /* what they are */
const char *uplinks_problem(void); /* vif_stats.c: what is wrong with them, "": nothing */

/* nic_trial.c: tries its IOMMU unit (trial.h). NULL, or why it must not be used */
const char *virtio_net_trial(const struct bh_pci_info *dev);
