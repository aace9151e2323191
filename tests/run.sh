#!/bin/bash
# SPDX-License-Identifier: MIT
# `make test`: installs what is missing, builds, runs the native tests and every executable tests/system/test_*.py.
# A system test prints "ok NAME" or "not ok NAME" lines. The last line is "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 1
tests/setup.sh || exit 1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0 failed=0

make -j"$(nproc)" all disk || { echo "the build failed"; echo "0 passed, 1 failed"; exit 1; }

for group in unit attacks; do
    make -j"$(nproc)" $group 2>&1 | tee "$log"
    line=$(grep -E "^$group: [0-9]+ passed, [0-9]+ failed$" "$log" | tail -1)
    if [ -n "$line" ]; then
        set -- $line
        passed=$((passed + $2)) failed=$((failed + $4))
    else
        echo "not ok the native tests did not build ($group)"
        failed=$((failed + 1))
    fi
done

for t in tests/system/test_*.py; do
    [ -x "$t" ] || continue
    echo "--- $t"
    timeout "${TEST_TIMEOUT:-1200}" "$t" 2>&1 | tee "$log"
    rc=${PIPESTATUS[0]}
    ok=$(grep -c '^ok ' "$log")
    bad=$(grep -c '^not ok ' "$log")
    [ "$rc" -ne 0 ] && [ "$bad" -eq 0 ] && { echo "not ok $t (exit $rc)"; bad=1; }
    [ "$rc" -eq 0 ] && [ $((ok + bad)) -eq 0 ] && { echo "not ok $t (printed no result)"; bad=1; }
    passed=$((passed + ok)) failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
