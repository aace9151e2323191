/* SPDX-License-Identifier: MIT */
/* Where threads stand for CPUs there are fewer processors than CPUs: who waits lets the others run. */
#pragma once
void cpu_relax(void);
