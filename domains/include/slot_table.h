/* SPDX-License-Identifier: MIT */
/*
 * The slot table: who has what. Pages of a driver domain that the control domain writes (BH_CTL_SLOT_WRITE) and the domain can only
 * read, one entry for each device that it serves. A new instance holds each keep record against it; store nodes are for
 * those who look on, and decide nothing.
 *
 * An entry changes by one store, of its head: state, kind and generation. Its writer, with the steps of an attach and a detach:
 *   attach   head ABSENT with a new generation; body; head ATTACHING; the nodes of both sides; head ATTACHED
 *   detach   head DETACHING; `online` 0; the back-end lets go (state Closed) or is fenced; the nodes go; head ABSENT
 * Three things of the body change under a live head, each in words of their own: the limits, the chances, and the extent, once, from unknown
 * (nr 0) to what the back-end found. A reader copies the entry and looks whether the head is still the same.
 *
 * What the states mean for a back-end:
 *   ABSENT     nothing: a record that names it is cleared, a device that lived by it let go
 *   ATTACHING  it may be opened as soon as its `frontend` node is there
 *   ATTACHED   the same; its nodes were there, so if they are not, somebody who should not have took them
 *   DETACHING  nothing is opened; what is open finishes what is in flight and closes
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of each driver domain twice the devices that it can have, which are 64 vifs, so that old ones may still be closing. */
#define SLOT_PAGES   8u
#define SLOT_ENTRIES 128u
#define SLOT_SPEC    128u

enum slot_state { SLOT_ABSENT = 0, SLOT_ATTACHING, SLOT_ATTACHED, SLOT_DETACHING };
enum slot_kind { SLOT_VIF = 1, SLOT_VBD };

#define SLOT_F_WRITE   1u /* vbd: mode w or w! */
#define SLOT_F_FORCE   2u /* vbd: r! or w! */
#define SLOT_F_DISCARD 4u /* vbd: may be offered */
#define SLOT_F_MAC     8u /* vif: it sends with `mac` alone, and those of slot_vif */

/* What else is said of a vif, in the place of a disk's volume. */
#define SLOT_TRUNKS 8u
#define SLOT_MACS   2u
#define SLOT_IPS    5u
/* Of a net driver domain: numbered as its command line names them (`bridges=`: drivers-dom/net/README.md). */
#define SLOT_BRIDGES 4u
struct slot_ip {
    uint8_t addr[16],
        bits; /* a prefix; an IPv4 address as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2), its bits with those 96 */
};
struct slot_vif {
    uint16_t vlan;               /* 802.1Q: its frames without a tag belong there; 0: to none */
    uint16_t trunk[SLOT_TRUNKS]; /* it may tag with these; 0: the end. Neither: with any, or none at all */
    uint8_t other[SLOT_MACS][6]; /* it may send with these too; 0: none */
    uint8_t nr_ips, pad;         /* of what it may send from; none: from any */
    struct slot_ip ip[SLOT_IPS];
    uint8_t bridge;
    uint8_t rest[10];
};
_Static_assert(sizeof(struct slot_ip) == 17 && sizeof(struct slot_vif) == SLOT_SPEC,
               "slot table layout");
_Static_assert(offsetof(struct slot_vif, other) == 18 && offsetof(struct slot_vif, ip) == 32,
               "slot table layout");

struct slot_entry {
    uint64_t head;         /* slot_head() */
    uint16_t domid, flags; /* of the guest; SLOT_F_* */
    uint32_t devid;        /* vif: its number; vbd: vdev number */
    uint64_t first,
        nr; /* vbd: extent in 512-byte sectors, nr 0: not known yet; first is stored before nr */
    union {
        uint64_t limit_ops;   /* vbd: a second; 0: none */
        uint64_t limit_burst; /* vif: bytes at once */
    };
    uint64_t limit_bytes; /* a second; 0: none. vif: of what the guest sends */
    uint8_t mac[6];       /* vif */
    uint16_t pad;
    union {
        char spec[SLOT_SPEC]; /* vbd: volume, as in the configuration */
        struct slot_vif vif;
    };
    uint64_t chances; /* how often it was given another one after it was put aside (drivers-dom/lib/blame.h) */
    uint64_t rest[8];
};
_Static_assert(sizeof(struct slot_entry) == 256, "slot table layout");
_Static_assert(sizeof(struct slot_entry) * SLOT_ENTRIES == SLOT_PAGES * 4096, "slot table layout");
_Static_assert(offsetof(struct slot_entry, first) == 16 &&
                   offsetof(struct slot_entry, limit_ops) == 32,
               "slot table layout");
_Static_assert(offsetof(struct slot_entry, mac) == 48 && offsetof(struct slot_entry, spec) == 56 &&
                   offsetof(struct slot_entry, chances) == 184,
               "slot table layout");

static inline uint64_t slot_head(enum slot_state state, enum slot_kind kind, uint32_t gen)
{
    return state | (uint64_t)kind << 8 | (uint64_t)gen << 32;
}
static inline enum slot_state slot_state(const struct slot_entry *e)
{
    return (enum slot_state)(e->head & 0xff);
}
static inline enum slot_kind slot_kind(const struct slot_entry *e)
{
    return (enum slot_kind)(e->head >> 8 & 0xff);
}
static inline uint32_t slot_gen(const struct slot_entry *e) { return (uint32_t)(e->head >> 32); }
static inline bool slot_live(const struct slot_entry *e) { return slot_state(e) != SLOT_ABSENT; }
