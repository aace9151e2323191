/* SPDX-License-Identifier: MIT */
/* What a virtio-net driver finds around it, but for its queues (vring_start), which are the test's. */
#pragma once
#include "unit.h"
#include "virtio_net.h"

extern jmp_buf dead; /* where a panic goes, if it */
extern bool may_die;
extern struct virtio_common common;
extern uint8_t devcfg[12];
extern uint64_t asked_for,
    offered; /* features; what is offered of those that the driver asks for: 0 fails */
extern event_fn irq[2];
extern bool one_vector;
