/* SPDX-License-Identifier: MIT */
/* What the files of the block driver domain share at run time: vbd.h. */
#include "vbd.h"

struct blk blk;
