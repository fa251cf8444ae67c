#!/bin/bash
# Runs every fuzz target of the tree for FUZZTIME (5m), one after the other, and prints a table of what each has done. FUZZ chooses
# targets by a regular expression, PARALLEL says how many workers a target has (1: a machine of two cores stays usable).
# What a target finds lies in testdata/fuzz beside it and fails its package's tests from then on; the others still run.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${FUZZTIME:-5m}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# A target is a function of a test file; git grep says which, and the file's directory is the package.
targets=$(git grep --untracked -hoE '^func Fuzz[A-Za-z0-9]+' -- '*_test.go' | sed 's/^func //' | grep -E "${FUZZ:-}" | sort -u || true)
[ -n "$targets" ] || { echo "fuzz: no target matches ${FUZZ:-}" >&2; exit 2; }

rows=()
failed=0
for target in $targets; do
  for file in $(git grep --untracked -lE "^func $target\(" -- '*_test.go'); do
    package=./$(dirname "$file")
    echo "fuzz: $target in $package for $time" >&2
    found=none
    start=$SECONDS
    if ! go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -parallel "${PARALLEL:-1}" -timeout 0 "$package" >"$log" 2>&1; then
      found=FAILED failed=1
      cat "$log" >&2
    fi
    # fuzz: elapsed: 2m0s, execs: 1234567 (10288/sec), new interesting: 12 (total: 34)
    last=$(grep -E '^fuzz: elapsed: .* execs: ' "$log" | tail -n 1 || true)
    execs=$(sed -nE 's/.* execs: ([0-9]+).*/\1/p' <<<"$last")
    new=$(sed -nE 's/.* new interesting: ([0-9]+).*/\1/p' <<<"$last")
    rows+=("$(printf '| `%s` | `%s` | %d s | %d | %d | %s |' "$target" "${package#./}" $((SECONDS - start)) "${execs:-0}" "${new:-0}" "$found")")
    echo "fuzz: ${last:-no execution was counted}" >&2
  done
done

echo '| target | package | time | executions | new interesting | finding |'
echo '|---|---|---|---|---|---|'
printf '%s\n' "${rows[@]}"
exit $failed
