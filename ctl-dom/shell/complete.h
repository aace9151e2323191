/* SPDX-License-Identifier: MIT */
/* What Tab offers: commands, and what the words of a command's usage stand for. Of the job: volumes are read from the store. */
#pragma once

struct edit;
/* For edit_complete. */
void complete(struct edit *e);
