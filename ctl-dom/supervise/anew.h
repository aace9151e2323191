/* SPDX-License-Identifier: MIT */
/*
 * A store that began empty, since nothing in its journal could be read (docs/restart-protocol.md 9), is told again who runs, with the nodes that are made
 * here. What others had written or watched for is gone: a service domain is restarted, which makes both anew; a guest's next start does.
 */
#pragma once
#include <stdbool.h>

void anew_look(void); /* at the beginning: a former instance of ours may have found it empty */
bool anew_work(void); /* if our connection broke meanwhile. True: it was empty */
