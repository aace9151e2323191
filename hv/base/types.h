/* SPDX-License-Identifier: MIT */
/* Base types: typed addresses that cannot be mixed, errno values of the Xen ABI, small macros. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t v;
} mfn_t; /* machine frame number */
typedef struct {
    uint64_t v;
} gfn_t; /* guest-physical frame number */
typedef struct {
    uint64_t v;
} maddr_t; /* machine address */
typedef struct {
    uint64_t v;
} gaddr_t; /* guest pointer as handed in a hypercall: never dereferenced */

#define MFN(x)      ((mfn_t){ (x) })
#define GFN(x)      ((gfn_t){ (x) })
#define MADDR(x)    ((maddr_t){ (x) })
#define GADDR(x)    ((gaddr_t){ (x) })
#define INVALID_MFN MFN(~0ull)

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ull
#define PAGE_MASK  (~(PAGE_SIZE - 1))
#define MAX_CPUS   32

#define __must_check          __attribute__((warn_unused_result))
#define __noreturn            __attribute__((noreturn))
#define __packed              __attribute__((packed))
#define __aligned(n)          __attribute__((aligned(n)))
#define __printf(f, a)        __attribute__((format(printf, f, a)))
#define unlikely(x)           __builtin_expect(!!(x), 0)
#define ARRAY_SIZE(a)         (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)             ((a) < (b) ? (a) : (b))
#define MAX(a, b)             ((a) > (b) ? (a) : (b))
#define ROUND_UP(x, n)        (((x) + (n)-1) & ~((n)-1))
#define ROUND_DOWN(x, n)      ((x) & ~((n)-1))
#define container_of(p, t, m) ((t *)((char *)(p)-offsetof(t, m)))
#define READ_ONCE(x)          (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v)      (*(volatile __typeof__(x) *)&(x) = (v))
#define barrier()             __asm__ volatile("" ::: "memory")

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

/* i when i < n, else 0, without a branch the CPU could mispredict (Spectre v1). Check i < n first. */
static inline uint64_t clamp_nospec(uint64_t i, uint64_t n)
{
    uint64_t mask;
    __asm__ volatile("cmp %2, %1; sbb %0, %0" : "=r"(mask) : "r"(i), "r"(n) : "cc");
    return i & mask;
}

/* errno values of the Xen ABI (<xen/errno.h>), negative in returns. HC_AGAIN never reaches a guest: the
 * door leaves rip on the hypercall instruction, so it is executed again after the scheduler had its turn. */
enum {
    EPERM = 1,
    ENOENT = 2,
    ESRCH = 3,
    EIO = 5,
    E2BIG = 7,
    EAGAIN = 11,
    ENOMEM = 12,
    EACCES = 13,
    EFAULT = 14,
    EBUSY = 16,
    EEXIST = 17,
    EXDEV = 18,
    ENODEV = 19,
    EINVAL = 22,
    ENOSPC = 28,
    ERANGE = 34,
    ENOSYS = 38,
    ENODATA = 61,
    ETIME = 62,
    EOPNOTSUPP = 95,
    ESTALE = 116
};
#define HC_AGAIN (-4096)
