/* SPDX-License-Identifier: MIT */
/*
 * A store that each guest can kill at will: it dies at a guest's request to read "kill/...", in its first MORTAL lives. The same objects as the real one, and
 * this, which the linker puts before xs_handle; in the bundle of tests/system/test_killer.py alone.
 */
#include <bh.h>
#include <string.h>
#include "xs.h"

#define MORTAL 4u /* those before it is put aside, and those of a chance that it does not deserve */

void __real_xs_handle(struct xs *xs, struct conn *c, const struct xsd_sockmsg *hdr, const void *p);
void __wrap_xs_handle(struct xs *xs, struct conn *c, const struct xsd_sockmsg *hdr, const void *p);

void __wrap_xs_handle(struct xs *xs, struct conn *c, const struct xsd_sockmsg *hdr, const void *p)
{
    if (self.instance < MORTAL && c->domid >= XS_FIRST_GUEST && hdr->type == XS_READ &&
        hdr->len > 5 && !memcmp(p, "kill/", 5))
        bh_panic("door: a guest reads kill/");
    __real_xs_handle(xs, c, hdr, p);
}
