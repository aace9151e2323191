/* SPDX-License-Identifier: MIT */
/* What the store has of devices and their owners, and who writes it: the head of main.c. Blocks in calls of the store. */
#pragma once
#include <stdbool.h>

int nodes_begin(void); /* 0, or the store's error: to be tried again */
/* Looks at what may have changed. False: the store did not answer, or somebody wrote meanwhile; it is to be called again in a while. */
bool nodes_work(void);
bool nodes_changed(void); /* there is something to look at */
