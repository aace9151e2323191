/* SPDX-License-Identifier: MIT */
/*
 * Event channels, 2-level ABI (<xen/event_channel.h>): 4096 ports a domain, pending and mask bits in shared_info.
 *
 * Sending takes no domain-wide lock: it reads the channel under its own bit lock (struct evtchn.lock), then the peer's bits are
 * set with atomics. State changes take the table locks of both domains, lower domid first, then the channel locks.
 */
#pragma once
#include <stdint.h>
#include <xen/xen.h>
#include <xen/event_channel.h>
#include "base/lock.h"
#include "base/types.h"

struct cpu;
struct domain;
struct vcpu;
#define EVTCHN_PORTS      4096
#define EVTCHN_PER_BUCKET 128 /* in one frame */

enum evtchn_state {
    ECS_FREE,
    ECS_RESERVED,
    ECS_UNBOUND,
    ECS_INTERDOMAIN,
    ECS_PIRQ,
    ECS_VIRQ,
    ECS_IPI
};

struct evtchn {
    struct spinlock lock;
    uint8_t state;
    bool slot;             /* console or xenstore port of a slot: survives restart */
    uint16_t vcpu;         /* notify */
    uint16_t remote_domid; /* UNBOUND, INTERDOMAIN */
    uint16_t virq;
    uint32_t remote_port; /* INTERDOMAIN */
    uint32_t pirq;
};
struct evtchn_table {
    struct spinlock lock;
    struct evtchn *bucket[EVTCHN_PORTS / EVTCHN_PER_BUCKET]; /* on demand, from the domain's allowance; never freed before it */
    uint32_t nr_free_hint;
    uint16_t global_virq_port[NR_VIRQS];
};

/* Given once, at the start: who is told that a port bound to a pirq closes. No lock is held; nothing comes for the port afterwards. */
void evtchn_listen(void (*closed)(struct domain *d, uint32_t pirq));
int evtchn_send(struct domain *d, uint32_t port); /* EVTCHNOP_send by d; 0 or -errno */
int evtchn_alloc_unbound(struct domain *d, domid_t remote, uint32_t *port) __must_check;
void evtchn_set_pending(struct domain *d, uint32_t port); /* marks, and kicks the notify vCPU */
void evtchn_virq(struct vcpu *v, uint32_t virq);          /* per-vCPU VIRQ (timer, debug) */
void evtchn_global_virq(struct domain *d, uint32_t virq); /* VIRQ_DOM_EXC, CON_RING, CONSOLE */
/* A physical interrupt arrived for the port. Returns the CPU of the vCPU that the port's events go to, awake or not; NULL: of none. */
struct cpu *evtchn_pirq(struct domain *d, uint32_t port);
/* Fence (docs/restart-protocol.md 2.3): closes every port but slot ports; interdomain peers become UNBOUND(d) and keep pending,
 * mask and notify vCPU. Slot ports: pending and mask cleared. Returns true when done; *cursor counts ports. */
bool evtchn_fence(struct domain *d, uint64_t *cursor, unsigned budget);
/* Destroy: closes all; a peer's end becomes UNBOUND(domid), which keeps the domid from being used again. */
bool evtchn_destroy(struct domain *d, uint64_t *cursor, unsigned budget);
/* Has d, from *port on, a port that waits for domid id, or is bound to it? 1 or 0, HC_AGAIN when the budget of ports is spent. */
int evtchn_names(struct domain *d, domid_t id, uint64_t *port, unsigned *budget);
void evtchn_free(struct domain *d); /* the buckets */

/* Shared by evtchn.c (ports, delivery, closing) and evtchn_op.c (the hypercall). */
struct evtchn *evtchn_chan(struct domain *d, uint32_t port);     /* NULL if there is no such port */
int evtchn_alloc(struct domain *d, uint32_t *port) __must_check; /* RESERVED port; table lock held */
void evtchn_lock_two(struct domain *a, struct domain *b); /* both table locks, lower domid first */
void evtchn_unlock_two(struct domain *a, struct domain *b);
int evtchn_close(struct domain *d, uint32_t port); /* EVTCHNOP_close by d */
/* What becomes of a port that evtchn_alloc reserved; table lock held: free again, or bound to that pirq. */
void evtchn_abandon(struct domain *d, uint32_t port);
void evtchn_bound_pirq(struct domain *d, uint32_t port, uint32_t pirq);
int evtchn_unmask(struct domain *d, uint32_t port) __must_check;
/* Restart, before vcpu_reset: vcpu_info lies in shared_info again and the registered frame is let go. v is stopped. */
void evtchn_info_drop(struct vcpu *v);
/* Console or xenstore port: alloc_unbound that survives restarts (SETUP_RINGS); close gives it up for good. */
int evtchn_alloc_slot(struct domain *d, domid_t remote, uint32_t *port) __must_check;
int evtchn_close_slot(struct domain *d, uint32_t port);
/* Restart, after shared_info was cleaned: a slot port that got an event meanwhile raises its upcall again. */
void evtchn_raise_slots(struct domain *d);
/* vCPU registered its vcpu_info: re-raises the upcall so that nothing is lost. */
void evtchn_info_moved(struct vcpu *v);
