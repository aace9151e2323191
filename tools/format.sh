#!/bin/bash
# SPDX-License-Identifier: MIT
# format.sh [--check]: lays out all tracked C as .clang-format says; --check only names the files that are laid out otherwise (status 1).
# No tracked .c or .h is made by a program, so none is left out; tables in *.def are aligned by hand.
set -eu
cd "$(dirname "$0")/.."
command -v clang-format >/dev/null || { echo "not ok format: there is no clang-format; tools/setup.sh installs it"; exit 1; }
mapfile -t files < <(git ls-files '*.c' '*.h')
# Many files a call: starting clang-format takes longer than its work.
lay_out() { printf '%s\0' "${files[@]}" | (cd "$1" && xargs -0 -n 60 -P "$(nproc)" clang-format --style=file -i); }
if [ "${1:-}" != --check ]; then
    lay_out .
    exit
fi
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp --parents .clang-format "${files[@]}" "$copy"
lay_out "$copy"
n=0
for f in "${files[@]}"; do
    cmp -s "$f" "$copy/$f" || { echo "not ok format $f: run make format"; n=$((n + 1)); }
done
echo "check-format: $((n == 0)) passed, $n failed"
[ $n -eq 0 ]
