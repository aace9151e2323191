/* SPDX-License-Identifier: MIT */
/* Devices and their owners as the core knows them: what vconfig.h stands on. No store access. */
#pragma once
#include <stdbool.h>
#include "vconfig.h"

extern const struct vconfig_ops device_ops;
/* Shows dom every device that it has by now: the first look at them may be its own, before the store has told of them. */
void device_sync(domid_t dom);
/* Shows nobody what the core says is not his. */
void device_drop(void);
