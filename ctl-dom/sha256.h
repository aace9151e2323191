/* SPDX-License-Identifier: MIT */
/* SHA-256 (FIPS 180-4), for the hash nodes of the boot bundle. */
#pragma once
#include <stddef.h>
#include <stdint.h>

void sha256(const void *data, size_t len, uint8_t digest[32]);
