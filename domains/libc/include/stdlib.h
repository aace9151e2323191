/* SPDX-License-Identifier: MIT */
#pragma once
#include <stddef.h>

void *malloc(size_t n); /* grows from page_alloc; 16-byte aligned; NULL when memory is out */
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t n);
void free(void *p);
unsigned long strtoul(const char *s, char **end, int base);
long strtol(const char *s, char **end, int base);
unsigned long long strtoull(const char *s, char **end, int base);
long long strtoll(const char *s, char **end, int base);
int atoi(const char *s);
int abs(int v);
void qsort(void *base, size_t n, size_t size, int (*cmp)(const void *, const void *));
char *getenv(const char *name);             /* NULL: a domain has no environment */
void abort(void) __attribute__((noreturn)); /* a crash of the domain */
