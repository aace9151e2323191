/* SPDX-License-Identifier: MIT */
/* What tells one domain from all others: its UUID, and the addresses of its vifs that come from it. */
#pragma once
#include <stdint.h>
#include <stdio.h>

#define UUID_TEXT 37
#define VIF_MAC   18 /* the text of an address */
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
/* The same of what d is to be from its next start on. */
int identity_check_next(const struct domcfg *cfg, const struct dom *d, struct errbuf *e);
/* Addresses for the vifs of d that have none. */
void identity_fill(struct dom *d);
static inline void mac_text(const uint8_t m[6], char text[VIF_MAC])
{
    snprintf(text, VIF_MAC, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}
