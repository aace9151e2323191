/* SPDX-License-Identifier: MIT */
#pragma once

/* Sends back what comes by TCP and UDP at port 7 (RFC 862). 0, or -ENOMEM. */
int echo_serve(void);
