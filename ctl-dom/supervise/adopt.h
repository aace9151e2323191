/* SPDX-License-Identifier: MIT */
/*
 * What a former instance of this domain left: the core restarts us as we restart driver domains (docs/restart-protocol.md). Its records say
 * which domains there are and what it was doing; the core says how they are. What it had begun is finished or undone.
 */
#pragma once
#include <stdbool.h>

/* Before anything else is done: the domains are listed, and those that can be brought back without the store may be. False: this is the first instance. */
bool adopt_domains(void);
/* Once the store answers, or has not for long: what was half made or half ended goes, guests that wait are looked at. */
void adopt_rest(void);
/* Of the job: the store, if it did not answer in that time, or there was none. False: there is nothing to do. */
bool adopt_work(void);
