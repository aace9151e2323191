/* SPDX-License-Identifier: MIT */
/*
 * The xenbus side that all back-ends share: which devices there are, the watches on both directories of each, and store calls
 * that are tried again later. How a device lives is the back-end's own business: struct be_class. One class in a domain.
 *
 * All of it blocks in store calls, but for be_retry. Nothing may be called before the first be_work.
 */
#pragma once
#include <bh.h>

#define BE_PATH 80 /* bytes of a front-end's directory, with the end */

struct be_dev { /* first in a back-end's own structure */
    bool used;    /* it has a back-end directory, or a keep record */
    bool dirty;   /* look at the store again */
    bool later;   /* ... a little later (be_retry) */
    bool watched; /* a watch is on the front-end's state */
    domid_t dom;
    uint32_t devid;
    int state; /* ours in the store; 0: not known in this life */
    char fe_path[BE_PATH];
};

struct be_class {
    const char *type;        /* "vbd": of the directory backend/TYPE/DOMID/DEVID */
    const char *what;        /* "disks", for the one too many */
    const char *const *keys; /* nodes of ours that somebody else changes, up to NULL */
    uint32_t max_devid;
    struct be_dev *(*place)(unsigned i);       /* the i-th device's place; NULL: there are no more */
    bool (*disconnect)(struct be_dev *d);      /* true: nothing is left that needs the front-end; else that makes it dirty again */
    void (*forget)(struct be_dev *d);          /* it is disconnected and its directory gone: the place is empty again */
    void (*follow)(struct be_dev *d, uint64_t fe, bool online); /* the front-end's state, 0: none; not online: detached */
};

/* Everything that the store has to say: finds devices, follows those that are dirty, after it has read the states of all that
 * a former life left. true: one was followed. */
bool be_work(const struct be_class *class);
/* A store that does not answer is no reason to change anything: d (or NULL) is looked at again a little later. */
void be_retry(struct be_dev *d);

/* In the device's own directory. */
char *be_read(const struct be_dev *d, const char *key);                      /* to be freed; NULL as xs_read */
bool be_write(struct be_dev *d, const char *key, const char *val);           /* false: be_retry was called */
bool be_write_number(struct be_dev *d, const char *key, uint64_t val);       /* the same */
bool be_read_number(struct be_dev *d, const char *key, uint64_t absent, uint64_t *val); /* as be_number, and the same */
void be_remove(const struct be_dev *d, const char *key);
void be_set_state(struct be_dev *d, int state);
/* A number under any directory, `absent` if there is nothing for us to read; false: the store gave no answer. */
bool be_number(const char *dir, const char *key, uint64_t absent, uint64_t *val);
/* Whether an error of a read says that there is nothing for us to read: no node, nonsense, or its owner, who may be a front-end,
 * keeps it from us. Anything else is the store's trouble and passes. */
bool be_nothing_there(int error);
