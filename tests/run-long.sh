#!/bin/bash
# SPDX-License-Identifier: MIT
# `make test-long`: what takes too long for `make test`. The mutations, and every executable tests/long/test_*.py (results as in tests/run.sh).
set -u
cd "$(dirname "$0")/.." || exit 1
tests/setup.sh || exit 1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0 failed=0
. tests/one.sh
make -j"$(nproc)" all disk || { echo "the build failed"; echo "0 passed, 1 failed"; exit 1; }
for t in tests/mutate/run.py tests/long/test_*.py; do
    [ -x "$t" ] || continue
    run_one "$t" 14400
done
say_skipped
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
