/* SPDX-License-Identifier: MIT */
/* The string functions of C99 that the domains, libfdt.a and libz.a use. */
#pragma once
#include <common/string.h>

void *memchr(const void *s, int c, size_t n);
int strcasecmp(const char *a, const char *b);
char *strcpy(char *restrict d, const char *restrict s);
char *strncpy(char *restrict d, const char *restrict s, size_t n);
size_t strlcpy(char *restrict d, const char *restrict s, size_t n);
char *strcat(char *restrict d, const char *restrict s);
char *strrchr(const char *s, int c);
char *strstr(const char *h, const char *n);
size_t strspn(const char *s, const char *set);
size_t strcspn(const char *s, const char *set);
char *strdup(const char *s);
char *strerror(int e); /* takes positive and negative numbers; never NULL */
