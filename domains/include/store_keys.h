/* SPDX-License-Identifier: MIT */
/*
 * Names that the control domain and driver domains agree on in the store, beside those of <xen/io/netif.h>, <xen/io/blkif.h> and <xen/io/xenbus.h>;
 * drivers-dom/net/README.md and drivers-dom/blk/README.md say what the values mean. Each is in a back-end's directory of one device, but
 * `uplink` and `vnet`, which are in the driver domain's own.
 */
#pragma once

#define BH_KEY_GEN         "bh-gen"       /* driver: of the slot entry that it speaks of */
#define BH_KEY_ERROR       "bh-error"     /* driver: why it cannot be had */
#define BH_KEY_REPLUG      "bh-replug"    /* net: has to be plugged again, and why */
#define BH_KEY_STALLED     "bh-stalled"   /* driver: nothing of it is touched, and why */
#define BH_KEY_EXTENT      "bh-extent"    /* blk: first sector and number */
#define BH_KEY_LIMIT_OPS   "bh-limit-ops" /* control: a second, 0: none */
#define BH_KEY_LIMIT_BYTES "bh-limit-bytes"
#define BH_KEY_KEPT        "bh-kept"  /* blk: 1: what it answered outlives it */
#define BH_KEY_STATS       "bh-stats" /* driver: numbers in the order below */
/* net: the same of each bridge's wire */
#define BH_KEY_UPLINKS                               \
    {                                                \
        "uplink", "uplink-1", "uplink-2", "uplink-3" \
    }

/* vnet: in its own directory, numbers with blanks between: datagrams of strangers, of another segment, that were no frames; then of each other end its
 * address, frames from it and to it. */
#define BH_KEY_VNET "vnet"

/* In the directory of a domain that has `metrics = 1`, written by the control domain: BH_KEY_METRICS_NOW says "SET CHUNKS", and the text is in that
 * many nodes SET/0, SET/1 ... beside it. Two sets in turn, so that whoever reads one has the time until the next but one. */
#define BH_KEY_METRICS     "metrics"
#define BH_KEY_METRICS_NOW BH_KEY_METRICS "/now"
#define BH_METRICS_CHUNK   2048u
#define BH_METRICS_CHUNKS  48u

/* Frames, in the order of the text. IN: from the guest. */
enum bh_net_stat {
    BH_NET_IN,
    BH_NET_OUT,
    BH_NET_ERRORS,
    BH_NET_DROPPED, /* for want of room */
    BH_NET_SPOOFED,
    BH_NET_LONG,      /* too long for us */
    BH_NET_WIRE_LONG, /* for the wire */
    BH_NET_NO_CSUM,   /* with a blank checksum that nobody can fill in */
    BH_NET_STORM,     /* to many, over the allowance */
    BH_NET_VLAN,      /* of a VLAN that the guest is not in */
    BH_NET_STATS
};

/* Requests that were done; errors: the device or a grant copy failed; malformed: refused without looking further. In the order of the text. */
/* The formatter lays this list out otherwise each time. */
/* clang-format off */
#define BH_BLK_STATS_IN_ORDER(X) \
    X(READS, reads) X(WRITES, writes) X(FLUSHES, flushes) X(DISCARDS, discards) X(READ_BYTES, read_bytes) \
    X(WRITE_BYTES, write_bytes) X(ERRORS, errors) X(MALFORMED, malformed) X(REPLAYED, replayed)
/* clang-format on */
enum bh_blk_stat {
#define X(NAME, name) BH_BLK_##NAME,
    BH_BLK_STATS_IN_ORDER(X)
#undef X
        BH_BLK_STATS
};
