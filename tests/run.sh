#!/bin/bash
# SPDX-License-Identifier: MIT
# `make test`: installs what is missing, builds, runs the native tests (make check, attacks, cases) and, beside them, every tests/system/test_*.py and
# what single operations cost (tests/bench/cost.py).
# Two machines run at once: one alone leaves more than half of two processors idle. LANES in the environment: so many.
# A test prints "ok NAME" or "not ok NAME" lines. The last line is "N passed, N failed"; before it stands what was skipped.
set -u
cd "$(dirname "$0")/.." || exit 1
tools/setup.sh || exit 1
make -j"$(nproc)" all || { echo "the build failed"; echo "0 passed, 1 failed"; exit 1; }
exec tests/lanes.py "${LANES:-2}" 1200 tests/system/test_*.py tests/bench/cost.py -- $(make -s which-checks) disk door attacks cases
