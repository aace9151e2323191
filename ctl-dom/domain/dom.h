/* SPDX-License-Identifier: MIT */
/*
 * The table of the domains that this control domain made: what each room knows of a domain lies in its entry. Everybody reads it; who
 * writes a part of it stands there. All of it is the control domain's own, which has one vCPU and no interrupts: no locks.
 */
#pragma once
#include <bh.h>
#include <bulkhead.h>
#include <stdio.h>
#include <slot_table.h>
#include <talk.h>
#include "config/config.h"
#include "console/domcon.h"
#include "domain/error.h"
#include "supervise/backoff.h"
#include "supervise/state.h"

#define MIB (1024ul * 1024)

/* A device that a driver domain serves, as it is plugged now (store/devices.c). */
enum dev_kind { DEV_VIF, DEV_VBD };
struct dom_dev {
    enum dev_kind kind;
    unsigned index; /* of cfg.vif or cfg.disk */
    uint32_t devid; /* a vif that is plugged again gets a new one */
    domid_t back;
    bool foreign;   /* a Linux serves it (store/linux.h) ... */
    bool unplugged; /* ... that ended, and the front-end's nodes are gone, too */
    bool replug, stalled;
    bool plugging; /* a disk's attach, or a vif's replug, has begun and is not over */
    bool coming;   /* a vif's attach has */
};

struct svc_image;
/* Lies in a record (records.h): the next instance of this domain goes on with it. */
struct dom {
    struct dom *next; /* in the order of domids */
    domid_t id;
    struct domcfg cfg;
    bool slot;     /* restartable */
    bool ending;   /* its end has begun */
    bool in_store; /* has nodes there */
    bool introduced;
    uint64_t console_gfn, store_gfn;
    uint32_t console_port, store_port;
    struct domcon con;
    struct dom_dev dev[CFG_MAX_VIFS + CFG_MAX_DISKS];
    unsigned nr_devs, next_vif;
    uint64_t left_ns; /* its last disk that went was gone then */
    /* Of a change of many words at once, what was before: whoever finds it unfinished puts that back. */
    bool changing;
    struct {
        unsigned nr_disks, nr_vifs, nr_devs;
        enum dev_kind kind; /* of the devices that change: the others do not */
        union {
            struct cfg_disk disk[CFG_MAX_DISKS];
            struct cfg_vif vif[CFG_MAX_VIFS];
        };
        struct dom_dev dev[CFG_MAX_VIFS + CFG_MAX_DISKS];
    } was;
    char renamed[BH_NAME_LEN]; /* with `renames`: what it is called from now on, cfg.name may be either or a part of each */
    bool renames;
    bool resizes;             /* cfg's memory and vCPUs are on their way into the store */
    struct slot_entry *slots; /* a driver domain's slot table: our copy (slots.c); others have none */
    uint64_t slots_gpa;
    unsigned slot_at;  /* the entry that was changed last */
    uint32_t slot_gen; /* of the entry that was made last */
    bool pci_new; /* its devices are to be those of cfg.pci from its next instance on (supervise/owned.c) */
    char problem[240]; /* a driver domain's word about its device, "": none */
    char without[160]; /* the device of its configuration that it has not, and why, "": none */
    struct talk talk;  /* how often it may say one */

    /* restart: all that it needs is here before it happens */
    const struct svc_image *img;
    bool kept;           /* code and constants are in place, immutable */
    uint8_t *boot_block; /* start info, memory map, command line */
    char runs[64],
        back[64]; /* upgrade.c: the image that it is built of, "": cfg.image; and the one before */
    uint64_t upgrade_from; /* the instance that was to be the last of that */
    uint8_t upgrade;
    char words[352]; /* the builder's words of the command line, less boot= */
    uint64_t instance;
    /* How long it kept those waiting whom it serves (devices.c). */
    struct lateness {
        uint64_t in;                  /* one more than the instance that this is of; 0: none */
        bool answered;                /* that one has, once */
        uint64_t slow_ns, slow_at_ns; /* beyond what each device may take, as of then */
        uint64_t vain_ns, vain_at_ns; /* since it last said something, till then */
    } late;

    /* supervisor.c, guests.c */
    enum dom_state state;
    struct backoff backoff;
    unsigned stillborn; /* in a row, before it said that it serves */
    uint64_t started_ns, noticed_ns, crash_ns;
    uint64_t report_by_ns; /* STARTING: it is LATE then */
    uint64_t retry_ns;     /* WAITING: the next instance is tried then */
    uint64_t tried_ns;     /* when its next instance was begun */
    struct bh_report report;
    unsigned short_lives;  /* in a row: ends of this guest before it had lived a minute */
    bool asked;            /* the restart was a command */
    bool ordered;          /* its death is: it is about to come */
    bool was_ordered;      /* the death of its last instance was: the next one hears that */
    bool introduce;        /* it was brought back, the store is still to be told */
    uint8_t aside;         /* the store does not serve it (aside.c) */
    uint32_t rejuvenate_s; /* it is restarted so often (rejuvenate.c); 0: not by itself */
    uint64_t rejuvenate_ns;
#define ASIDE_TOLD 1u
#define ASIDE_NOW  2u
};

extern struct dom *doms;
struct dom *dom_by_id(domid_t id);
struct dom *dom_by_name(const char *name);                /* name or domid in digits */
struct dom *dom_find(const char *name, struct errbuf *e); /* the same, with the error line */
/* NULL: out of memory */
struct dom *dom_new(domid_t id, const struct domcfg *cfg);
void dom_forget(struct dom *d);
/* The domains that a former instance of ours left in its records, without what was in its memory alone: console, image, boot block. Returns how many
 * records made no sense: they are dropped. */
unsigned dom_find_all(void);

#define NO_DOMID 0xffffu
/* BH_DOMID_ANY for guests; NO_DOMID when slots are out */
domid_t slot_for(const struct domcfg *cfg);

/* The driver domain of that name, if it runs that image; NULL: it does not. */
struct dom *driver_by_name(const char *name, const char *image);
/* The guest of that name that may be a back-end (driver_domain=); NULL: there is none. */
static inline struct dom *linux_by_name(const char *name)
{
    struct dom *b = dom_by_name(name);

    return b && b->cfg.driver_domain ? b : NULL;
}
static inline bool may_serve(const struct dom *b)
{
    return b->cfg.role == BH_ROLE_DRIVER || b->cfg.driver_domain;
}
