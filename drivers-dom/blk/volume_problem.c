/* SPDX-License-Identifier: MIT */
/* What is wrong with a disk's table, in words that say which tool mends it: for volume.c, which shows them. Pure. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "volume.h"

void add_problem(char *problem, const char *fmt, ...)
{
    size_t n = strlen(problem);
    va_list ap;

    if (n)
        n += (size_t)snprintf(problem + n, PROBLEM - n, "; ");
    va_start(ap, fmt);
    if (n < PROBLEM)
        vsnprintf(problem + n, PROBLEM - n, fmt, ap);
    va_end(ap);
}

static void state_problem(const struct gpt *gpt, char *problem)
{
    static const char only[] = "only the whole disk is a volume";

    switch (gpt->state) {
    case GPT_GOOD: break;
    case GPT_BACKUP:
        add_problem(problem, "the first GPT is damaged (%s), its backup is used", gpt->why);
        break;
    case GPT_NONE:
        if (gpt->hidden)
            add_problem(problem,
                        "block 0 has no record for the GPT behind it: %s (gdisk writes one)", only);
        break;
    case GPT_STALE: add_problem(problem, "no partition table: %s", only); break;
    case GPT_MBR:
        add_problem(problem, "an MBR partition table%s: %s",
                    gpt->hidden ? " without a record for the GPT behind it" : ", no GPT", only);
        break;
    case GPT_DAMAGED:
        add_problem(problem, "both copies of the GPT are damaged (%s): %s (sgdisk -v tells more)",
                    gpt->why, only);
        break;
    case GPT_SIZE:
        add_problem(problem, "%s: %s (sgdisk -o writes an empty one for it)", gpt->why, only);
        break;
    case GPT_IO: add_problem(problem, "the partition table cannot be read: %s", only); break;
    }
}

void table_problem(const struct gpt *gpt, char *problem)
{
    problem[0] = '\0';
    state_problem(gpt, problem);
    if (gpt->where)
        add_problem(problem,
                    "an old GPT's backup at block %lu counts only as %sNAME (gdisk restores it, zeros in that block end it)",
                    gpt->where, FROM_BACKUP);
    if (gpt->overlap[0])
        add_problem(problem, "partitions %u and %u overlap (sgdisk -v tells more, -d takes one away)",
                    gpt->overlap[0], gpt->overlap[1]);
    if (gpt->skipped)
        add_problem(problem, "%u partition%s left out (%u: %s)", gpt->skipped,
                    gpt->skipped > 1 ? "s" : "", gpt->skipped_first,
                    gpt->skipped_first > GPT_PARTS
                        ? "numbers beyond 128 are not served"
                        : "not within the usable part, sgdisk -v tells more");
    if (gpt->backup_why)
        add_problem(problem, "the GPT's backup in block %lu %s (sgdisk -e mends it)", gpt->backup,
                    gpt->backup_why);
    if (gpt->no_record)
        add_problem(problem, "block 0 has no protective record (gdisk writes one)");
}
