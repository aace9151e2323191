/* SPDX-License-Identifier: MIT */
/*
 * Keep records: the state of the rings, which the next instance of this domain needs to go on (docs/restart-protocol.md 4). Whose they are says the
 * slot table; a record that differs from it is not served. A page is that of one queue of the vif on a switch port (vif.h says which), page 0 says whose
 * fault a death is (blame.h); where the NIC's registers are says the core.
 *
 * The queues of a vif are served all or none. The page of the first becomes valid after the others and is cleared before them: what has no first is none.
 *
 * A dead instance may have stopped at any store and may have written rubbish before it died. So every field that is believed
 * carries a check that detects at least any one damaged byte: heads have a CRC-32, ring indices are stored with their
 * complement in one 64-bit store, and each copied request carries a check word that also covers its ring index (a stale entry is not
 * taken for a fresh one). A record is valid from the store of its magic to the clearing of it.
 */
#pragma once
#include <keep_record.h>
#include <bh.h>

#define KEEP_VIF_MAGIC 0x46495642u
#define KEEP_VERSION   3u
#define KEEP_QUEUES    4u   /* of a vif, at most */
#define KEEP_RING      256u /* entries of a one-page ring, Tx as Rx */

#define KEEP_F_SG    1u /* the front-end takes packets in several slots */
#define KEEP_F_CSUM4 2u /* ... and IPv4 packets without checksum */
#define KEEP_F_CSUM6 4u
#define KEEP_F_SPLIT 8u  /* separate Tx and Rx event channels */
#define KEEP_F_MAC   16u /* mac is set and enforced */
#define KEEP_F_GSO4  32u /* the front-end takes TCP over IPv4 that is to be cut into segments */
#define KEEP_F_GSO6  64u
#define KEEP_F_MCAST 128u /* it wants multicast to the addresses in its list alone */
#define KEEP_MCAST   64u  /* addresses in that */

struct keep_vif_head {
    uint32_t magic;
    uint32_t crc; /* of all that follows */
    uint32_t version;
    uint16_t domid, devid;
    uint32_t tx_ref, rx_ref;   /* grants of the ring pages */
    uint32_t tx_port, rx_port; /* the front-end's ports; equal unless KEEP_F_SPLIT */
    uint32_t features;         /* KEEP_F_* */
    uint8_t mac[6];
    uint8_t queue,
        nr_queues; /* which, of how many: the one thing besides rings and ports in which the pages of a vif differ */
    uint32_t slot_gen; /* of the entry of the slot table that it was connected by */
};
_Static_assert(sizeof(struct keep_vif_head) == 48, "keep record layout");
_Static_assert(offsetof(struct keep_vif_head, slot_gen) == 44, "keep record layout");

struct keep_vif {
    struct keep_vif_head head;
    struct keep_ring tx, rx;
    uint32_t tx_copy[KEEP_RING]; /* keep_tx() */
    uint64_t rx_copy[KEEP_RING]; /* keep_rx() */
    uint64_t mcast[KEEP_MCAST];  /* keep_mcast() or 0; of the first queue: it is the vif's */
};
_Static_assert(sizeof(struct keep_vif) == 48 + 64 + 1024 + 2048 + 512, "keep record layout");
_Static_assert(sizeof(struct keep_vif) <= PAGE_SIZE, "one queue, one keep page");

/* --- copied requests ---
 * The check is a sum without carry over 16-bit words: a damaged byte changes exactly one of them. */
#define KEEP_TX_SLOT 0x5ac3u
#define KEEP_TX_EXTRA \
    0xa53cu /* differs from KEEP_TX_SLOT in both bytes: one damaged byte cannot turn one into the other */
#define KEEP_RX_SLOT 0x3c5au
_Static_assert(((KEEP_TX_SLOT ^ KEEP_TX_EXTRA) & 0xff) && ((KEEP_TX_SLOT ^ KEEP_TX_EXTRA) >> 8),
               "two bytes apart");

static inline uint16_t keep_fold(uint32_t v) { return (uint16_t)(v ^ v >> 16); }

static inline uint32_t keep_tx(uint32_t index, uint16_t id, bool extra)
{
    uint16_t c = (uint16_t)(keep_fold(index) ^ id ^ (extra ? KEEP_TX_EXTRA : KEEP_TX_SLOT));
    return id | (uint32_t)c << 16;
}
/* 0: slot of a packet, 1: extra info, -1: damaged or not of this index */
static inline int keep_tx_kind(uint32_t index, uint32_t e)
{
    if (e == keep_tx(index, (uint16_t)e, false))
        return 0;
    return e == keep_tx(index, (uint16_t)e, true) ? 1 : -1;
}

static inline uint64_t keep_rx(uint32_t index, uint16_t id, uint32_t gref)
{
    uint16_t c = (uint16_t)(keep_fold(index) ^ id ^ keep_fold(gref) ^ KEEP_RX_SLOT);
    return gref | (uint64_t)id << 32 | (uint64_t)c << 48;
}
static inline uint16_t keep_rx_id(uint64_t e) { return (uint16_t)(e >> 32); }
static inline uint32_t keep_rx_gref(uint64_t e) { return (uint32_t)e; }
static inline bool keep_rx_ok(uint32_t index, uint64_t e)
{
    return e == keep_rx(index, keep_rx_id(e), keep_rx_gref(e));
}

/* An address: one store, checked as those are. */
#define KEEP_MCAST_SLOT 0x6996u
static inline uint64_t keep_mcast(const uint8_t mac[6])
{
    uint64_t e = 0, c = KEEP_MCAST_SLOT;

    for (unsigned i = 6; i-- > 0;)
        e = e << 8 | mac[i];
    for (unsigned i = 0; i < 48; i += 16)
        c ^= e >> i & 0xffff;
    return e | c << 48;
}
static inline bool keep_mcast_ok(uint64_t e)
{
    uint8_t mac[6];

    for (unsigned i = 0; i < 6; i++)
        mac[i] = (uint8_t)(e >> 8 * i);
    return !e || e == keep_mcast(mac);
}

/* --- records (adopt.c) --- */
enum keep_state { KEEP_EMPTY, KEEP_VALID, KEEP_DAMAGED };
enum keep_state keep_vif_state(const struct keep_vif *k); /* of one page */
/* Makes the record valid for rings whose responses start at tx and rx; from->magic, version and crc are filled in. */
void keep_vif_open(struct keep_vif *k, const struct keep_vif_head *from, uint32_t tx, uint32_t rx);
void keep_vif_close(struct keep_vif *k);
/* Of a vif, whose pages are k[0] to k[n - 1], n up to KEEP_QUEUES: valid if all are there that the first one names, and say the same. */
enum keep_state keep_queues_state(struct keep_vif *const k[], unsigned n);
void keep_queues_close(struct keep_vif *const k[], unsigned n);
