/* SPDX-License-Identifier: MIT */
/*
 * Which flow a frame belongs to: the Toeplitz hash of receive-side scaling, with the key that everybody has (Microsoft, "RSS hashing types" and "Verifying the
 * RSS hash calculation"). Pure.
 */
#pragma once
#include <bh.h>

/* Of a frame of which len bytes are there, ETH_HLEN at least: over the addresses and ports of TCP and UDP, over the addresses alone of what else is IP (fragments
 * too, which do not all have ports), else 0. Behind VLAN tags the same. */
uint32_t rss_hash(const uint8_t *frame, unsigned len);
