/* SPDX-License-Identifier: MIT */
/* What tells one domain from all others: its UUID, and the addresses of its vifs that come from it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define UUID_TEXT 37
struct domcfg;
struct dom;
struct errbuf;

/* A random UUID (RFC 4122, 4.4). */
void uuid_make(uint8_t uuid[16]);
/* The address that vif i has if nobody chose one, of the range that Xen's users know (00:16:3e). Always the same for one UUID; nth: 0, or
 * the next ones if somebody has that. */
void mac_derive(const uint8_t uuid[16], unsigned i, unsigned nth, uint8_t mac[6]);
/* Whether the UUID and the addresses that cfg chooses are nobody else's: 0, or -EEXIST and both names. An address counts on one switch. */
int identity_check(const struct domcfg *cfg, struct errbuf *e);
/* Addresses for the vifs of d that have none. */
void identity_fill(struct dom *d);
