#!/bin/bash
# SPDX-License-Identifier: MIT
# `make test-long`: what takes too long for `make test`. The mutations, and every executable tests/long/test_*.py (results as in tests/run.sh).
set -u
cd "$(dirname "$0")/.." || exit 1
tests/setup.sh || exit 1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0 failed=0
make -j"$(nproc)" all disk || { echo "the build failed"; echo "0 passed, 1 failed"; exit 1; }
for t in tests/mutate/run.py tests/long/test_*.py; do
    [ -x "$t" ] || continue
    echo "--- $t"
    timeout "${TEST_TIMEOUT:-7200}" "$t" 2>&1 | tee "$log"
    rc=${PIPESTATUS[0]}
    ok=$(grep -c '^ok ' "$log")
    bad=$(grep -c '^not ok ' "$log")
    [ "$rc" -ne 0 ] && [ "$bad" -eq 0 ] && { echo "not ok $t (exit $rc)"; bad=1; }
    [ "$rc" -eq 0 ] && [ $((ok + bad)) -eq 0 ] && { echo "not ok $t (printed no result)"; bad=1; }
    passed=$((passed + ok)) failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
