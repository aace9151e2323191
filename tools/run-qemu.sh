#!/bin/bash
# SPDX-License-Identifier: MIT
# `make run`: the demonstration machine on this terminal. Ctrl-A X ends QEMU.
set -eu
cd "$(dirname "$0")/.."
exec /usr/bin/python3 tools/run_demo.py "$@"
