/* SPDX-License-Identifier: MIT */
/*
 * Text that is not ours (a guest's, a driver domain's, out of the store, off a disk) inside a line of ours: it stays on the line, draws
 * nothing, asks the terminal nothing, and is bounded. Whoever prints such text prints it through here.
 */
#pragma once
#include <stddef.h>

/* Printable ASCII as it is, each other byte as '?'; what does not fit into size bytes with its NUL ends in "..". NULL is "?". Returns to. */
static inline char *quote(char *to, size_t size, const char *text)
{
    size_t n = 0;

    if (!text)
        text = "?";
    for (; text[n] && n + 1 < size; n++)
        to[n] = text[n] >= ' ' && text[n] < 0x7f ? text[n] : '?';
    for (size_t i = 0; text[n] && i < 2 && i < n; i++)
        to[n - 1 - i] = '.';
    to[n] = '\0';
    return to;
}

/* For an argument of printf: up to 160 characters, good until the end of the block. */
#define QUOTED(text) quote((char[161]){ 0 }, 161, text)
