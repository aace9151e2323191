/* SPDX-License-Identifier: MIT */
/* The command line's effect on the console, which has to be up before the command line's mistakes can be told. */
#include "boot/boot.h"
#include "base/print_internal.h"
#include "base/serial.h"

static void quiet(const char *part, const char *why)
{
    (void)part;
    (void)why;
}

static void tell(const char *part, const char *why)
{
    log_warn("command line: '%s': %s", part, why);
}

void cmdline_init(void)
{
    cmdline_parse(&cmdline, boot_info.cmdline, quiet);
    serial_init(cmdline.com1_port, cmdline.com1_baud);
    serial_polled(true); /* until the interrupt and the timers are there */
    print_set(cmdline.loglvl);
    cmdline_parse(&cmdline, boot_info.cmdline, tell);
}
