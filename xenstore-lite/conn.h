/* SPDX-License-Identifier: MIT */
/* Connections as this domain has them: a mapped ring page and a bound event channel each. */
#pragma once
#include "xs.h"

extern const struct xs_ops conn_ops;
/* The control domain's own ring, whose grant and port came with the command line; if the journal has it, it goes on. */
struct conn *conn_privileged(struct xs *xs, uint16_t domid, uint32_t ref, uint32_t port);
/* All others that the journal has. Returns how many of them are there; *cut: of how many something that was on its way is lost. */
unsigned conn_adopt(struct xs *xs, unsigned *cut);
