/* SPDX-License-Identifier: MIT */
/*
 * A machine without a core for the toolstack as a whole: domains in a table, the store as a table of paths, back-ends and front-ends that
 * answer when the control domain waits. All of it lies in memory that child processes share, each of which is one instance of the control
 * domain: it begins with nothing of its own but the keep pages. Each call of the core and of the store is two steps, one before it is done
 * and one after, or each store to a keep page is one; at the chosen one the instance ends.
 */
#pragma once
#include <bh.h>
#include <slot_table.h>
#include "config/config.h"

#define MACHINE_DOMS  24
#define MACHINE_NODES 512
#define MACHINE_KEEP  264

#define BAD_ENTRY 0x1bad000u
struct machine_dom {
    bool there, rings, entry, restartable, adopted;
    bool crashes; /* its image has BAD_ENTRY */
    bool talks;   /* the store has its ring as this instance knows it */
    domid_t id;
    uint8_t role, state;
    uint64_t serves_from;             /* nobody before */
    unsigned reason, pauses, kernels; /* kernels: how often it began to run */
    uint64_t instance, adopted_ns, crash_ns, table_gpa, limit; /* limit: of pages, 0: as it began */
    char name[BH_NAME_LEN];
    struct slot_entry table[SLOT_ENTRIES];
};

struct machine {
    _Alignas(4096) uint8_t keep[MACHINE_KEEP][4096];
    struct machine_dom dom[MACHINE_DOMS];
    bool named[128]; /* guests' domids that were not forgotten */
    bool introduced[128];
    struct {
        uint32_t hash; /* of the path; 0: no node */
        char path[108], val[112];
    } node[MACHINE_NODES];
    domid_t device_of[2]; /* who has PCI device 00:03.0, and 00:04.0; BH_DOMID_NONE */
    bool changed;         /* VIRQ_DOM_EXC */
    unsigned keep_pages;
    uint64_t clock;
    /* the steps of this instance */
    bool counts, at_stores; /* a step is a store to a keep page */
    long left;              /* -1: it lives on */
    unsigned steps;
    /* for the trial */
    struct {
        domid_t id;
        uint64_t instance;
        unsigned kernels;
    } before[16];
    bool meanwhile;        /* others ended while there was no control domain */
    uint64_t silent_until; /* the store says nothing before */
    char said[4096];       /* by the last instance */
    char shown[1024];      /* to who typed the command */
    uint64_t ctrl_c_ns;    /* it is typed then; 0: never */
};
extern struct machine *m;

#define DIED 9 /* how the process ends then */
void machine_new(void);
void step(void);
void counts(bool on); /* the steps of this instance, from now on */
struct machine_dom *core_by_id(unsigned id);
struct machine_dom *core_by_name(const char *name); /* not one that is dying */
const char *store_value(const char *path);          /* NULL: no such node */
void store_set(const char *path, const char *val);
unsigned store_below(const char *dir); /* how many directories or nodes lie in it */
bool store_lies_in(const char *path, const char *dir);
bool store_silent(void);
void store_empties(void); /* its next instance begins with nothing, and gives our connection up */
/* One call of the store: outside of a transaction it has its steps. */
#define STORE_CALL(tx, what)  \
    do {                      \
        if (!(tx))            \
            step();           \
        if (store_silent())   \
            return -EIO;      \
        int call_rc = (what); \
        if (!(tx))            \
            step();           \
        return call_rc;       \
    } while (0)
/* The job of one instance: the boot, then what is left to do until there is nothing. */
void instance_boots(void);
void instance_works(void);
