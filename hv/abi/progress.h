/* SPDX-License-Identifier: MIT */
/*
 * Progress of a long hypercall that says HC_AGAIN and is executed again. It counts only while the same call with the same
 * argument comes back; anything else in between (an interrupt handler's hypercall) makes it begin anew, so operations that
 * use it must bear being repeated.
 */
#pragma once
#include "sched/vcpu.h"

static inline uint64_t hc_resume(const struct vcpu *v, uint32_t nr, uint64_t op, gaddr_t arg)
{
    uint64_t tag = ((uint64_t)nr << 32) | (op + 1);
    return v->hc_op == tag && v->hc_arg == arg.v ? v->hc_done : 0;
}
static inline void hc_pause(struct vcpu *v, uint32_t nr, uint64_t op, gaddr_t arg, uint64_t done)
{
    v->hc_op = ((uint64_t)nr << 32) | (op + 1);
    v->hc_arg = arg.v;
    v->hc_done = done;
}
static inline void hc_finish(struct vcpu *v) { v->hc_op = v->hc_arg = v->hc_done = 0; }
