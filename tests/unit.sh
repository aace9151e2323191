#!/bin/bash
# SPDX-License-Identifier: MIT
# unit.sh BINARY...: runs the native tests, shows what failed, and prints one line "unit: N passed, N failed".
set -u
passed=0 failed=0
for t in "$@"; do
    log=$t.log
    ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 timeout 1800 "$t" > "$log" 2>&1
    rc=$?
    ok=$(grep -c '^\[       OK \]' "$log")
    bad=$(grep -c '^\[  FAILED  \] [a-zA-Z0-9_]*$' "$log")
    # cmocka names a failing test twice; a crash or a sanitizer report ends the program before any summary.
    [ "$bad" -gt 1 ] && bad=$((bad / 2))
    [ $rc -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
    passed=$((passed + ok)) failed=$((failed + bad))
    if [ $rc -ne 0 ]; then
        echo "not ok ${t##*/} (exit $rc)"
        sed 's/^/  | /' "$log" | tail -60
    else
        echo "ok ${t##*/} ($ok)"
    fi
done
echo "unit: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
