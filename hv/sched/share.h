/* SPDX-License-Identifier: MIT */
/*
 * Shares of a CPU by weight. Each vCPU has a virtual time, which is what it ran divided by its weight; each CPU one that goes as that of
 * a vCPU would that has exactly its share among those that run or wait there now. By how much a vCPU is behind is what is owed to it: at
 * most a slice of its own, either way, when it joins. Who sleeps is not among them. What one leaves to the others, by sleeping or by
 * yielding, is theirs: the CPU's time never lags behind all of them, and who shares it is owed a few slices at most. All under the run-queue lock of the CPU.
 */
#pragma once
#include "sched/vcpu.h"

#define SLICE_NS       (10 * NS_PER_MS)
#define WEIGHT_DEFAULT 256u
#define OWED_SLICES    4 /* at most, to one that leaves the CPU */

struct share {
    uint64_t vtime, as_of_ns; /* and the system time when that was worked out */
    uint64_t weights;         /* of those that run or wait */
};

/* ns of CPU as v's virtual time. One division when the weight is set, none when it runs. */
static inline uint64_t share_vtime(const struct vcpu *v, uint64_t ns)
{
    return MIN(ns, (uint64_t)UINT32_MAX) * v->per_weight >> 16;
}
static inline void share_weight(struct vcpu *v, uint32_t weight) /* 1..65535 */
{
    v->weight = weight;
    v->per_weight = (1ull << 32) / weight;
    v->slice = (int64_t)share_vtime(v, SLICE_NS);
}
static inline void share_pass(struct share *s, uint64_t now)
{
    if (now <= s->as_of_ns) /* another CPU's clock, a little ahead */
        return;
    if (s->weights)
        s->vtime += (MIN(now - s->as_of_ns, (uint64_t)UINT32_MAX) << 16) / s->weights;
    s->as_of_ns = now;
}
/* What is owed to v as of the last share_pass; virtual times may wrap. */
static inline int64_t share_owed(const struct share *s, const struct vcpu *v)
{
    return (int64_t)(s->vtime - v->vtime);
}
/* v has its turn, so nobody is behind it: those who left had less than their share, which nobody owes them any more. */
static inline void share_catch_up(struct share *s, const struct vcpu *v, uint64_t now)
{
    share_pass(s, now);
    if (share_owed(s, v) < 0)
        s->vtime = v->vtime;
}
static inline void share_join(struct share *s, struct vcpu *v, uint64_t now)
{
    share_pass(s, now);
    int64_t owed = share_owed(s, v);
    if (owed > v->slice)
        v->vtime = s->vtime - (uint64_t)v->slice;
    else if (owed < -v->slice)
        v->vtime = s->vtime + (uint64_t)v->slice;
    s->weights += v->weight;
    v->shares = true;
}
static inline void share_leave(struct share *s, struct vcpu *v, uint64_t now)
{
    share_pass(s, now);
    s->weights -= v->weight;
    v->shares = false;
}
