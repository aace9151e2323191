/* SPDX-License-Identifier: MIT */
/* The string functions that the compiler may call and everybody needs. Those on memory have two makings: hv/base/string.c without vector
 * registers, domains/libc/string.c with them. Those on text have one: common/string.c. */
#pragma once
#include <stddef.h>

/* As ISO C 7.24 has them; strnlen as POSIX. No locks, any context. */
void *memcpy(void *restrict d, const void *restrict s, size_t n);
void *memmove(void *d, const void *s, size_t n);
void *memset(void *d, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t n);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
