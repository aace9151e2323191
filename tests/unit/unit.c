/* SPDX-License-Identifier: MIT */
/* The main function of each unit test: unit.h. */
#include "unit.h"

extern __attribute__((weak)) const struct test *__start_unit_tests[],
    *__stop_unit_tests[]; /* the linker's: all that TEST put there */

__attribute__((weak)) int setup(void **state) { return 0; }
__attribute__((weak)) int teardown(void **state) { return 0; }
__attribute__((weak)) int setup_all(void **state) { return 0; }
__attribute__((weak)) int teardown_all(void **state) { return 0; }

/* The domains' library has it, and this one's from glibc 2.38 on. */
__attribute__((weak)) size_t strlcpy(char *d, const char *s, size_t n)
{
    snprintf(d, n, "%s", s);
    return strlen(s);
}

static int by_line(const void *a, const void *b)
{
    return (*(const struct test *const *)a)->line - (*(const struct test *const *)b)->line;
}

/* A program may have one of its own. */
__attribute__((weak)) int main(void)
{
    size_t n = (size_t)(__stop_unit_tests - __start_unit_tests);
    struct CMUnitTest *tests = calloc(n, sizeof *tests);

    qsort(__start_unit_tests, n, sizeof *__start_unit_tests, by_line);
    for (size_t i = 0; i < n; i++) {
        tests[i] = __start_unit_tests[i]->test;
        tests[i].setup_func = tests[i].setup_func ?: setup;
        tests[i].teardown_func = tests[i].teardown_func ?: teardown;
    }
    int failed = _cmocka_run_group_tests("tests", tests, n, setup_all, teardown_all);
    free(tests);
    return failed;
}
