#!/bin/bash
# SPDX-License-Identifier: MIT
# `make test-long`: what takes too long for `make test`. The mutations, what transfers cost (tests/bench/cost_devices.py), and every tests/long/test_*.py (results as in tests/run.sh).
set -u
cd "$(dirname "$0")/.." || exit 1
tools/setup.sh || exit 1
make -j"$(nproc)" all disk || { echo "the build failed"; echo "0 passed, 1 failed"; exit 1; }
exec tests/lanes.py 1 14400 tests/mutate/run.py tests/bench/cost_devices.py tests/long/test_*.py
