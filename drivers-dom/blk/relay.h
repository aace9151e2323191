/* SPDX-License-Identifier: MIT */
/*
 * The disks of a relay: a block driver domain without a controller, which has disks itself (`disk = [...]` in its configuration). Another domain's
 * back-end serves them, Linux's mostly; what guests see of it is this domain's journal and its own restart, so they notice neither the end of
 * that domain nor of this one.
 *
 * Each directory of our device/vbd is a disk, named as its number says ("xvda"), with the volumes that its table has. A disk comes up with its
 * first connection and stays among blk.dev; when its back-end goes, what guests wait for waits in vbd_front.h. It comes back when `backend`
 * names one that is at InitWait: the same domain's again, or another's. If that shows another size, other sectors or a disk that cannot be written any
 * more, and guests have volumes of the disk, it is not asked anything, and why is said (dev_problem).
 *
 * The states are xenbus's (<xen/io/xenbus.h>). Ours is Initialising until we offer a ring, which we do at InitWait of a back-end that has
 * nothing of ours any more. One that has a ring of an earlier connection, ours or a dead instance's, is made to let go of it: Closed, until it is
 * Closed too. Whoever starts a back-end anew has to make both directories anew: it must not find our ring and take what is left in it for requests.
 */
#pragma once
#include "vbd_front.h"

/* There is no controller: from now on relay_work looks. */
void relay_begin(void);
/* Everything that the store has to say about disks of ours. Blocks in store calls; only outside of a round. */
void relay_work(void);
/* When it has to look again at the latest, 0: with the next event. A disk that volume_find or volumes_tell lost counts, too. */
uint64_t relay_next(void);
/* What is wrong with them, for those who look on; NULL: nothing. */
const char *relay_problem(void);
