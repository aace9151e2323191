/* SPDX-License-Identifier: MIT */
/* Frames of TCP as their sender's TCP would make them, byte by byte, for tests of what cuts, checks or carries them. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct shape {
    unsigned tags, ip_options, tcp_options, payload, gso_size, flags, id;
    bool v6;
};

/* Where the IP header is, the TCP header, the payload. */
unsigned net_at(const struct shape *s), tcp_at(const struct shape *s), head_of(const struct shape *s);
void put16(uint8_t *b, unsigned v);
/* RFC 1071, not inverted. */
uint16_t plain_sum(const uint8_t *b, unsigned n, uint32_t sum);
/* The frame that a TCP would have made of payload [from, from + n). Returns its length. */
unsigned make(uint8_t *f, const struct shape *s, unsigned from, unsigned n, unsigned flags,
              unsigned id);
