/* SPDX-License-Identifier: MIT */
/* Types only, for headers of archives: nobody here calls what they declare with them. */
#pragma once
typedef long time_t;
