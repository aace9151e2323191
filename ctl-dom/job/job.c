/* SPDX-License-Identifier: MIT */
/* Two fibers: the main loop's is the one that the domain started with. */
#include "job/job.h"
#include <bh.h>

#define STACK_SIZE 0x10000

static struct {
    char guard[PAGE_SIZE];
    char room[STACK_SIZE];
} stack __attribute__((aligned(PAGE_SIZE)));
static struct fiber loop, job;
static bool in_job;
static uint64_t until, began;
#define LONG_NS 2000000u /* without a turn of the main loop */

void job_start(void (*run)(void))
{
    page_guard(stack.guard);
    fiber_make(&job, stack.room, STACK_SIZE, run);
    xs_pause = job_wait;
}

uint64_t job_turn(void)
{
    in_job = true;
    began = now_ns();
    fiber_switch(&loop, &job);
    in_job = false;
    return until;
}

void job_breathe(void)
{
    if (now_ns() - began > LONG_NS)
        job_wait(TIME_PAST);
}

void job_wait(uint64_t until_ns)
{
    if (!in_job)
        bh_panic("the main loop waits for itself");
    until = until_ns;
    fiber_switch(&job, &loop);
}
