/* SPDX-License-Identifier: MIT */
/* SHA-256 (FIPS 180-4) in one call, by libcrypto. Its one-shot call of today brings providers, locks and files along; these three do not, and a
 * deprecation says no more than that. */
#pragma once
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <stddef.h>
#include <stdint.h>

static inline void sha256(const void *data, size_t len, uint8_t digest[32])
{
    SHA256_CTX c;

    SHA256_Init(&c);
    SHA256_Update(&c, data, len);
    SHA256_Final(digest, &c);
}
