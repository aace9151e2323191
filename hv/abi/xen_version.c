/* SPDX-License-Identifier: MIT */
/* xen_version: what we say we are. Kernels look at the features; the rest is for people. */
#include "base/types.h"
#include <xen/xen.h>
#include <xen/features.h>
#include <xen/version.h>
#include "abi/hypercall.h"
#include "base/string.h"
#include "mem/gcopy.h"
#include "domain/domain.h"

#define MAJOR 4u
#define MINOR 17u

static long put_text(gaddr_t arg, const char *text, size_t size)
{
    char buf[64];
    size_t n = strlen(text) + 1;
    if (n > sizeof buf)
        return -EINVAL;
    memset(buf, 0, sizeof buf);
    memcpy(buf, text, n);
    return copy_to_guest(arg, buf, MIN(size, sizeof buf));
}

static long get_features(gaddr_t arg)
{
    struct xen_feature_info fi;
    if (copy_from_guest(&fi, arg, sizeof fi))
        return -EFAULT;
    fi.submap = 0;
    if (fi.submap_idx == 0)
        fi.submap = 1u << XENFEAT_writable_page_tables | 1u << XENFEAT_auto_translated_physmap |
                    1u << XENFEAT_hvm_callback_vector | 1u << XENFEAT_hvm_safe_pvclock |
                    1u << XENFEAT_not_direct_mapped;
    return copy_to_guest(arg, &fi, sizeof fi);
}

static long compile_info(gaddr_t arg)
{
    struct xen_compile_info ci;
    memset(&ci, 0, sizeof ci);
    memcpy(ci.compiler, "gcc", 4);
    memcpy(ci.compile_by, "bulkhead", 9);
    return copy_to_guest(arg, &ci, sizeof ci);
}

long do_xen_version(uint64_t cmd, gaddr_t arg)
{
    static const xen_platform_parameters_t params = { 0 };
    switch ((uint32_t)cmd) {
    case XENVER_version:
        return MAJOR << 16 | MINOR;
    case XENVER_extraversion:
        return put_text(arg, "-bulkhead", sizeof(xen_extraversion_t));
    case XENVER_compile_info:
        return compile_info(arg);
    case XENVER_capabilities:
        return put_text(arg, "xen-3.0-x86_64 hvm-3.0-x86_64", 64);
    case XENVER_changeset:
        return put_text(arg, "unavailable", sizeof(xen_changeset_info_t));
    case XENVER_platform_parameters:
        return copy_to_guest(arg, &params, sizeof params);
    case XENVER_get_features:
        return get_features(arg);
    case XENVER_pagesize:
        return arg.v ? -EINVAL : (long)PAGE_SIZE;
    case XENVER_guest_handle:
        return copy_to_guest(arg, this_cpu()->current->domain->uuid, sizeof(xen_domain_handle_t));
    case XENVER_build_id: /* without live patches there is none, as in a Xen that was linked without */
        return -ENODATA;
    default:
        return -ENOSYS;
    }
}
