/* SPDX-License-Identifier: MIT */
/* Names of devices as people write them: a PCI function with its segment, the address of a station, one of IP. */
#pragma once
#include <bulkhead.h>
#include <stdbool.h>
#include <stdint.h>

#define PCI_FMT     "%04x:%02x:%02x.%x"
#define PCI_ARGS(s) (s) >> 16, (s) >> 8 & 0xff, (s) >> 3 & 0x1f, (s)&7
#define MAC_FMT     "%02x:%02x:%02x:%02x:%02x:%02x"
#define MAC_ARGS(m) (m)[0], (m)[1], (m)[2], (m)[3], (m)[4], (m)[5]

/* "0000:00:03.0" or "00:03.0" (segment 0), with all its digits; false: it is none of them, and *sbdf is as it was. */
bool pci_parse(const char *text, uint32_t *sbdf);
/* "aa:bb:cc:dd:ee:ff"; any address. */
bool mac_parse(const char *text, uint8_t mac[6]);
/* What text begins with (RFC 4291, 2.2), IPv4 as ::ffff:a.b.c.d; *end is behind it. */
bool ip_parse(const char *text, const char **end, uint8_t a[16]);
