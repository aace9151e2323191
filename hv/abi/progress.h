/* SPDX-License-Identifier: MIT */
/*
 * Progress of a long hypercall of 64-bit code that says HC_AGAIN and is executed again. It counts only while the same call with the same
 * argument comes back; anything else in between (an interrupt handler's hypercall) makes it begin anew, so operations that
 * use it must bear being repeated.
 */
#pragma once
#include "sched/vcpu.h"

static inline uint64_t hc_tag(const struct vcpu *v)
{
    return v->regs.rax << 32 | (uint32_t)(v->regs.rdi + 1);
}
static inline uint64_t hc_resume(const struct vcpu *v)
{
    return v->hc_op == hc_tag(v) && v->hc_arg == v->regs.rsi ? v->hc_done : 0;
}
static inline void hc_pause(struct vcpu *v, uint64_t done)
{
    v->hc_op = hc_tag(v);
    v->hc_arg = v->regs.rsi;
    v->hc_done = done;
}
static inline void hc_finish(struct vcpu *v) { v->hc_op = v->hc_arg = v->hc_done = 0; }
/* What becomes of the progress after a step that returned rc. */
static inline long hc_ended(struct vcpu *v, long rc, uint64_t done)
{
    if (rc == HC_AGAIN)
        hc_pause(v, done);
    else
        hc_finish(v);
    return rc;
}
