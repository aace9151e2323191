/* SPDX-License-Identifier: MIT */
/* Grant copies and sends, collected and done in one exit (an exit is dear). */
#include "internal.h"

int event_send(uint32_t port)
{
    struct evtchn_send s = { .port = port };

    return (int)hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_send, (uint64_t)&s, 0, 0);
}

static struct gnttab_copy *next_copy(struct batch *b)
{
    return b->nr_copies < BH_BATCH_COPIES ? &b->copy[b->nr_copies] : NULL;
}

/* Neither end of a copy may cross a page; own memory is contiguous, so the caller's `len` within its own page decides. */
int batch_copy_from(struct batch *b, domid_t dom, uint32_t ref, unsigned off, void *dst, unsigned len)
{
    struct gnttab_copy *c = next_copy(b);

    if (!c)
        return -1;
    *c = (struct gnttab_copy){
        .source = { .u.ref = ref, .domid = dom, .offset = (uint16_t)off },
        .dest = { .u.gmfn = virt_to_gfn(dst),
                  .domid = DOMID_SELF,
                  .offset = (uint16_t)((uint64_t)dst & (PAGE_SIZE - 1)) },
        .len = (uint16_t)len,
        .flags = GNTCOPY_source_gref,
    };
    return (int)b->nr_copies++;
}

int batch_copy_to(struct batch *b, domid_t dom, uint32_t ref, unsigned off, const void *src,
                  unsigned len)
{
    struct gnttab_copy *c = next_copy(b);

    if (!c)
        return -1;
    *c = (struct gnttab_copy){
        .source = { .u.gmfn = virt_to_gfn(src),
                    .domid = DOMID_SELF,
                    .offset = (uint16_t)((uint64_t)src & (PAGE_SIZE - 1)) },
        .dest = { .u.ref = ref, .domid = dom, .offset = (uint16_t)off },
        .len = (uint16_t)len,
        .flags = GNTCOPY_dest_gref,
    };
    return (int)b->nr_copies++;
}

void batch_send(struct batch *b, uint32_t port)
{
    for (unsigned i = 0; i < b->nr_sends; i++)
        if (b->send[i] == port)
            return;
    /* When full of sends: all of it goes, in order, so that no send overtakes its copies. */
    if (b->nr_sends == BH_BATCH_SENDS)
        batch_flush(b);
    b->send[b->nr_sends++] = port;
}

int batch_flush(struct batch *b)
{
    struct bh_batch op = {
        .copies = (uint64_t)b->copy,
        .sends = (uint64_t)b->send,
        .nr_copies = b->nr_copies,
        .nr_sends = b->nr_sends,
    };
    long rc = 0;

    if (!self.guest) {
        if (b->nr_copies || b->nr_sends)
            rc = bh_svc_batch(&op);
    } else {
        if (b->nr_copies)
            rc = hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_copy, (uint64_t)b->copy,
                           b->nr_copies, 0);
        for (unsigned i = 0; i < b->nr_sends; i++)
            event_send(b->send[i]);
    }
    /* Of a refused batch nobody knows what was copied: no status in it may read as success. */
    for (unsigned i = 0; rc < 0 && i < b->nr_copies; i++)
        b->copy[i].status = GNTST_general_error;
    b->nr_copies = b->nr_sends = 0;
    return rc < 0 ? (int)rc : 0;
}
