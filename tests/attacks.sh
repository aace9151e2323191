#!/bin/bash
# SPDX-License-Identifier: MIT
# attacks.sh BINARY...: runs the attacks. Each ends with a line `not possible` (status 0) or `POSSIBLE: ...` (status 1); anything else means that
# the attack itself broke. tests/attacks/open lists those that are known to be possible still; one that is not any more must leave that list.
# Prints one line "attacks: N passed, N failed".
set -u
passed=0 failed=0
open=$(grep -v '^#' tests/attacks/open 2>/dev/null)
for t in "$@"; do
    name=${t##*/} log=$t.log
    ASAN_OPTIONS=detect_leaks=0:exitcode=99 UBSAN_OPTIONS=exitcode=99 timeout 300 "$t" > "$log" 2>&1
    rc=$?
    last=$(tail -n 1 "$log")
    case $rc:$last in
    0:"not possible"*) got=gone;;
    1:"POSSIBLE: "*) got=possible;;
    *) got="broke with status $rc";;
    esac
    want=gone
    grep -qx "$name" <<< "$open" && want=possible
    if [ "$got" = "$want" ]; then
        passed=$((passed + 1))
        echo "ok attack $name ($last)"
    else
        failed=$((failed + 1))
        echo "not ok attack $name ($got, expected $want)"
        sed 's/^/  | /' "$log" | tail -20
    fi
done
echo "attacks: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
