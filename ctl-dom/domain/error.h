/* SPDX-License-Identifier: MIT */
/* Errors: a negative errno, and one line for the user, filled where it is known best. */
#pragma once

struct errbuf {
    char s[256];
};

/* Returns rc. Others' words in the line are quoted, so it stays one line. */
int fail(struct errbuf *e, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* What rc (negative) means; good until the next call. */
const char *errno_text(int rc);
