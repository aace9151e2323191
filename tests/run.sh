#!/bin/bash
# SPDX-License-Identifier: MIT
# `make test`: installs what is missing, builds, runs the native tests (unit, attacks, cases) and every executable tests/system/test_*.py.
# A system test prints "ok NAME" or "not ok NAME" lines. The last line is "N passed, N failed"; before it stands what was skipped.
set -u
cd "$(dirname "$0")/.." || exit 1
tests/setup.sh || exit 1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0 failed=0
. tests/one.sh

make -j"$(nproc)" all disk || { echo "the build failed"; echo "0 passed, 1 failed"; exit 1; }

for group in unit attacks cases; do
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
    run_one "$t" 1200
done
say_skipped
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
