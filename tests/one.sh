# SPDX-License-Identifier: MIT
# Sourced by run.sh and run-long.sh, which have `log`, `passed` and `failed`.
# run_one PROGRAM SECONDS: runs a test program that prints "ok NAME" and "not ok NAME" lines, and counts them; one that ends badly
# without such a line, or says nothing, counts as failed. What this machine cannot run ("skipped NAME: why") is told again by
# say_skipped.
skipped=
say_skipped() { printf '%s' "$skipped"; }
run_one() {
    local t=$1 rc ok bad none
    echo "--- $t"
    timeout "${TEST_TIMEOUT:-$2}" "$t" 2>&1 | tee "$log"
    rc=${PIPESTATUS[0]}
    ok=$(grep -c '^ok ' "$log")
    bad=$(grep -c '^not ok ' "$log")
    [ "$rc" -ne 0 ] && [ "$bad" -eq 0 ] && { echo "not ok $t (exit $rc)"; bad=1; }
    none=$(grep -E '^skipped [^ ]+: ' "$log") && skipped="$skipped$none"$'\n'
    [ "$rc" -eq 0 ] && [ $((ok + bad)) -eq 0 ] && [ -z "$none" ] && { echo "not ok $t (printed no result)"; bad=1; }
    passed=$((passed + ok)) failed=$((failed + bad))
}
