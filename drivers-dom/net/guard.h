/* SPDX-License-Identifier: MIT */
/*
 * Who a fixed port may say that it is. Pure. Its source address is its own (or one of those that it was given besides), also inside ARP and neighbour
 * discovery. If it was given IP addresses, it sends from those alone, and from
 *   0.0.0.0     to ask for an address (DHCP); as the sender of an ARP probe (RFC 5227)
 *   ::          in ICMPv6, to ask whether an address is free (RFC 4862)
 *   fe80::...   as its MAC address makes it (RFC 4291, appendix A)
 * and says of no other address that it is its own (ARP's sender; RFC 4861: the target of a neighbour advertisement), nor that it is a
 * router, nor that there is a better way (router advertisement, redirect). A fragmented neighbour message is nobody's word: hosts must
 * drop it (RFC 6980). All of this behind SNAP as well, but not behind a tag behind that, nor behind so many tags that what they are on is not
 * seen.
 */
#pragma once
#include "switch.h"

/* The first len bytes of a frame, `whole`: all of it. NULL, or why it is refused; *what: the address in it that is not the port's, of *n bytes (6, 4 or 16; 0: none). len >= ETH_HLEN. */
const char *guard_refuses(const struct sw_port *p, const uint8_t *frame, unsigned len, bool whole,
                          const uint8_t **what, unsigned *n);
