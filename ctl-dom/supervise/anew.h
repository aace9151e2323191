/* SPDX-License-Identifier: MIT */
/*
 * A store that began empty, since nothing in its journal could be read (docs/restart-protocol.md 9), is told again who runs, with the nodes that are made
 * here. What others had written or watched for is gone: a service domain is restarted, which makes both anew; a guest's next start does.
 */
#pragma once
#include <stdbool.h>

/* At the beginning, since a former instance of ours may have found it empty, and whenever our connection broke. True: it was looked into. */
bool anew_work(void);
