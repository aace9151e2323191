/* SPDX-License-Identifier: MIT */
/*
 * The xenbus side that all back-ends share: which devices there are, the watches on both directories of each, and store calls
 * that are tried again later. How a device lives is the back-end's own business: struct be_class. One class in a domain.
 *
 * Which devices there are, whose they are and whether they are wanted says the slot table (slot_table.h) alone. In the store a change
 * of our own directories only says that there is something to look at; what they say decides nothing but what we once offered, and that only
 * if bh-gen says that it was about this device: nodes of another one of its number may have been there before.
 *
 * All of it blocks in store calls, but for be_retry. Nothing may be called before the first be_work.
 */
#pragma once
#include <bh.h>
#include <quote.h>
#include <slot_table.h>
#include <talk.h>

#define BE_PATH 80 /* bytes of a front-end's directory, with the end */
#define BE_KEY  96 /* bytes of a path in a device's own directory */

struct be_dev {   /* first in a back-end's own structure */
    bool used;    /* it has a back-end directory, or a keep record */
    bool dirty;   /* look at the store again: be_again */
    bool later;   /* ... a little later (be_retry) */
    bool watched; /* a watch is on the front-end's state */
    domid_t dom;
    uint32_t devid;
    uint32_t gen;     /* of the entry that it lives by; 0: none yet */
    int state;        /* ours in the store; 0: not known in this life */
    uint32_t refused; /* what bh-error says (its CRC), 0: nothing of this life */
    char fe_path[BE_PATH];
};

struct be_class {
    const char *type; /* "vbd": of the directory backend/TYPE/DOMID/DEVID */
    const char *what; /* "disks", for the one too many */
    enum slot_kind kind;
    const char *const *keys; /* nodes of ours that the toolstack touches when it changed an entry, up to NULL */
    uint32_t max_devid;
    struct be_dev *first; /* the places of devices: */
    size_t size;          /* ... bytes from one to the next, */
    unsigned nr;          /* ... how many */
    bool (*disconnect)(struct be_dev *d); /* true: nothing is left that needs the front-end; else that makes it dirty again */
    void (*forget)(struct be_dev *d); /* it is disconnected and its entry gone: the place is empty again */
    void (*follow)(struct be_dev *d, uint64_t fe,
                   bool online); /* the front-end's state, 0: none; not online: DETACHING */
};

/* Everything that the store has to say: finds devices, follows those that are dirty, after it has read the states of all that
 * a former life left. true: one was followed. */
bool be_work(const struct be_class *class);
/* What is wrong with the domain's own device, "" if nothing is (a former instance may have seen otherwise): `error` in its own directory, for
 * those who look on. Cheap if it has not changed; what the store did not take is written when it is called again. */
void be_problem(const char *problem);
void be_again(struct be_dev *d); /* it is looked at with the next be_work */
/* A store that does not answer is no reason to change anything: d (or NULL) is looked at again a little later. */
void be_retry(struct be_dev *d);

/* The entry of one device, a sound copy; false: there is none. No store access. */
bool be_slot(enum slot_kind kind, domid_t dom, uint32_t devid, struct slot_entry *e);
bool be_any_slot(enum slot_kind kind); /* some guest has a device of ours. No store access */
/* As blame_there. No store access. */
bool be_gen_slot(enum slot_kind kind, uint32_t gen, uint64_t *chances);
bool be_aside(enum slot_kind kind,
              const struct be_dev *d); /* it is put aside (blame.h). No store access */
/* The device of a keep record, by its entry; *e is a copy of it. false: there is none, and *d is as it was. Whether the record says the same
 * as the entry is the back-end's to check. No store access. */
bool be_adopt(struct be_dev *d, enum slot_kind kind, const char *type, domid_t dom, uint32_t devid,
              struct slot_entry *e);

/* A line about a device, "vif16.0: ...", that its front-end can cause at will: limited by t. Text of others in it goes through QUOTED. */
void be_say(const struct be_dev *d, const char *type, struct talk *t, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* In the device's own directory. */
void be_key_path(const struct be_dev *d, char path[BE_KEY], const char *key);
bool be_write(struct be_dev *d, const char *key, const char *val); /* false: be_retry was called */
bool be_write_number(struct be_dev *d, const char *key, uint64_t val); /* the same */
bool be_read_number(struct be_dev *d, const char *key, uint64_t absent,
                    uint64_t *val); /* as be_number, and the same */
void be_remove(const struct be_dev *d, const char *key);
void be_set_state(struct be_dev *d, int state);
/* It cannot be had, and why: bh-error, for who made it and waits; its state is to stay. Said once; true: that is news, and is in the store. */
bool be_refuse(struct be_dev *d, const char *why);
void be_admit(struct be_dev *d); /* it can: bh-error goes, if we wrote it */
/* A number under any directory, `absent` if there is nothing for us to read; false: the store gave no answer. */
bool be_number(const char *dir, const char *key, uint64_t absent, uint64_t *val);
/* Whether the front-end wrote its state again since `follow` was told it, and before the last node of its was read: those may be of two
 * connections, nothing follows from them, and the device will be looked at again. */
bool be_stale(struct be_dev *d);
/* Whether an error of a read says that there is nothing for us to read: no node, nonsense, or its owner, who may be a front-end,
 * keeps it from us. Anything else is the store's trouble and passes. */
bool be_nothing_there(int error);
