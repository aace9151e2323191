/* SPDX-License-Identifier: MIT */
/* lwIP on a front-end that the test plays, with a clock that the test turns. */
#pragma once
#include <bh.h>
#include <setjmp.h>
#include <lwip_vif.h>

#define MY_IP    "\x0a\x00\x02\x1e"
#define PEER_IP  "\x0a\x00\x02\x0f"
#define MY_MAC   "\x00\x16\x3e\x00\x00\x1e"
#define PEER_MAC "\x00\x16\x3e\x00\x00\x01"

extern struct lwip_vif vif;
extern struct netfront *front; /* that was opened: of `vif`, or of another one */
extern uint8_t out[PAGE_SIZE]; /* the last frame that lwIP sent */
extern unsigned out_len, outs; /* outs: how many */
extern bool out_blank;
extern void (*out_hook)(void); /* called for each of them, if it is set */
extern bool ring_full;
extern bool *panics; /* set: a panic says so there and goes to `panicked` */
extern jmp_buf panicked;
extern size_t lwip_used; /* bytes that lwIP has of malloc, which gives it LWIP_MOST and no more */
#define LWIP_MOST (512 << 10)
extern unsigned lwip_refused; /* how often malloc gave it nothing; every lwip_fails-th time, if that is set */
extern unsigned lwip_fails;

void net_open(const char *cmdline); /* once; its back-end fills in checksums */
void net_in(const void *frame, unsigned len, bool good);
void net_later(uint64_t ms); /* timers run once a millisecond of a hundred */

/* Frames of the peer's to us. Each puts headers before `len` bytes of data, right checksums among them, and gives the length. */
unsigned net_eth(uint8_t *frame, unsigned type);
unsigned net_ip(uint8_t *frame, unsigned proto, unsigned len);
unsigned net_arp(uint8_t *frame);
unsigned net_ping(uint8_t *frame, unsigned len);
unsigned net_udp(uint8_t *frame, unsigned from, unsigned to, const void *data, unsigned len);
unsigned net_tcp(uint8_t *frame, unsigned from, unsigned to, uint32_t seq, uint32_t ack,
                 unsigned flags, const void *data, unsigned len);
uint16_t net_sum(const uint8_t *ip, unsigned proto,
                 unsigned len); /* of what lies behind the IPv4 header: 0 if right */
/* Less than that; the same row in each run. */
uint32_t rnd(uint32_t below);
