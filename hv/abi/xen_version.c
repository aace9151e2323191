/* SPDX-License-Identifier: MIT */
/* xen_version: what we say we are. Kernels look at the features; the rest is for people. No lock. */
#include "abi/dispatch.h"
#include <xen/xen.h>
#include <xen/features.h>
#include <xen/version.h>
#include "base/string.h"

#define MAJOR 4u
#define MINOR 17u
typedef char capabilities_text_t[64]; /* so much of xen_capabilities_info_t is used, and copied */

static long op_version(struct call *c)
{
    (void)c;
    return MAJOR << 16 | MINOR;
}
static long op_pagesize(struct call *c) { return c->a[1] ? -EINVAL : (long)PAGE_SIZE; }
static long op_build_id(struct call *c)
{
    (void)c;
    return -ENODATA;
} /* without live patches there is none, as in a Xen linked without */

/* What is copied out is zero where a handler leaves it alone. */
static long op_extraversion(struct call *c, xen_extraversion_t *text)
{
    (void)c;
    memcpy(*text, "-bulkhead", 9);
    return 0;
}

static long op_capabilities(struct call *c, capabilities_text_t *text)
{
    (void)c;
    memcpy(*text, "xen-3.0-x86_64 hvm-3.0-x86_64", 29);
    return 0;
}

static long op_changeset(struct call *c, xen_changeset_info_t *text)
{
    (void)c;
    memcpy(*text, "unavailable", 11);
    return 0;
}

static long op_compile_info(struct call *c, struct xen_compile_info *ci)
{
    (void)c;
    memcpy(ci->compiler, "gcc", 3);
    memcpy(ci->compile_by, "bulkhead", 8);
    return 0;
}

static long op_platform_parameters(struct call *c, xen_platform_parameters_t *p)
{
    (void)c;
    (void)p;
    return 0;
}

static long op_get_features(struct call *c, struct xen_feature_info *fi)
{
    fi->submap = 0;
    if (fi->submap_idx == 0)
        fi->submap = 1u << XENFEAT_writable_page_tables | 1u << XENFEAT_auto_translated_physmap |
                     1u << XENFEAT_hvm_callback_vector | 1u << XENFEAT_hvm_safe_pvclock |
                     1u << XENFEAT_not_direct_mapped | (c->d->devices ? 1u << XENFEAT_hvm_pirqs : 0);
    return 0;
}

static long op_guest_handle(struct call *c, xen_domain_handle_t *uuid)
{
    memcpy(*uuid, c->d->uuid, sizeof *uuid);
    return 0;
}

#define XEN_VERSION OP_STUB
#include <ops.def>
#define XEN_VERSION OP_ROW
static const struct op rows[] = {
#include <ops.def>
};
const struct ops xen_version_ops = OPS(rows, OP_INT, 1);
