/* SPDX-License-Identifier: MIT */
/* The tunnel as a kind of NIC (nic.h): what the switch sends to the wire leaves in datagrams by lwIP and this domain's own vif. */
#pragma once
#include "nic.h"
#include "vxlan.h"

/* Its segment has been read from the configuration (vxlan_begin). */
struct nic *tunnel_start(struct pkt_pool *pool, const struct vxlan *v);
const char *tunnel_text(void); /* "vnet 97, 10.0.0.2" */
