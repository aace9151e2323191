/* SPDX-License-Identifier: MIT */
// LINK: hv/boot/cmdline.c
/* cmdline FILE: each line that is not empty and no comment (#) is one command line of the core; says what it makes of it. */
#include <stdio.h>
#include <string.h>
#include "boot/boot.h"
#include "base/print.h"
#include <bulkhead.h>

static void report(const char *part, const char *why)
{
    printf("    complaint: %s: %s\n", part, why);
}

int main(int argc, char **argv)
{
    static struct cmdline c;
    static char line[8192];
    FILE *f = argc > 1 ? fopen(argv[1], "r") : NULL;

    if (!f)
        return 2;
    while (fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = 0;
        if (!line[0] || line[0] == '#') {
            if (line[0])
                printf("%s\n", line);
            continue;
        }
        printf("  [%.160s%s] %zu characters\n", line, strlen(line) > 160 ? "..." : "", strlen(line));
        cmdline_parse(&c, line, report);
        printf("    com1=%u,%#x loglvl=%d maxcpus=%u noreboot=%d iommu=%s ctl_mem=%luM hide:",
               c.com1_baud, c.com1_port, c.loglvl, c.maxcpus, c.noreboot,
               c.iommu_off        ? "off"
               : c.iommu_required ? "required"
                                  : "on",
               (unsigned long)(c.ctl_mem >> 20));
        for (unsigned i = 0; i < c.nr_hide; i++)
            printf(c.hide_any[i] ? " %08x+%x" : " %08x", c.hide[i], c.hide_any[i]);
        printf("%s\n", c.nr_hide ? "" : " none");
    }
    return 0;
}
