/* SPDX-License-Identifier: MIT */
/*
 * What each unit test begins with. TEST(name) { ... } is a test; unit.c runs those of a program in their order in the file. A program that
 * defines setup or teardown has it called before or after each of them, setup_all and teardown_all before and after all; a test that needs
 * others names them: TEST(name, .setup_func = that). Each returns 0 if it could do its work.
 */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#undef fail /* the toolstack has a function of that name */
#undef fail_msg
#define fail_msg(msg, ...)                              \
    do {                                                \
        print_error("ERROR: " msg "\n", ##__VA_ARGS__); \
        _fail(__FILE__, __LINE__);                      \
    } while (0)

struct test {
    struct CMUnitTest test;
    int line;
};

#define TEST(f, ...)                                                                               \
    static void f(void **);                                                                        \
    static const struct test f##_test = { { .name = #f, .test_func = f, __VA_ARGS__ }, __LINE__ }; \
    static const struct test *f##_at __attribute__((used, section("unit_tests"))) = &f##_test;     \
    static void f(void **unused)

size_t strlcpy(char *d, const char *s, size_t n);

int setup(void **state), teardown(void **state), setup_all(void **state), teardown_all(void **state);
