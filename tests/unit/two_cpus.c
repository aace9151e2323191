/* SPDX-License-Identifier: MIT */
// LINK: hv/time/timer.c
/* two_cpus.h. */
#include "two_cpus.h"

struct cpu two[2];
_Thread_local unsigned me;
struct cpu *cpus[MAX_CPUS] = { &two[0], &two[1] };
struct cpu *this_cpu(void) { return &two[me]; }
void apic_timer_set_ns(uint64_t ns) {}

void two_cpus(void)
{
    for (unsigned i = 0; i < 2; i++) {
        list_init(&two[i].timers);
        two[i].id = i;
        two[i].timer_armed_ns = 0;
    }
    me = 0;
}
unsigned timers_of(unsigned cpu)
{
    unsigned n = 0;
    for (const struct list *l = two[cpu].timers.next; l != &two[cpu].timers && n < 100; l = l->next)
        n++;
    return n;
}
