/* SPDX-License-Identifier: MIT */
/* What the scheduler is given to do with a vCPU that has the CPU (sched_listen): the run loop's half that knows the door. */
#pragma once
struct cpu;
struct vcpu;

/* Enters v's guest and serves its exits and hypercalls as long as sched_keeps says so; v is c's current. No locks, interrupts off. */
void vcpu_enter(struct cpu *c, struct vcpu *v);
