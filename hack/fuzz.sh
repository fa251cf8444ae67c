#!/bin/bash
# Runs every fuzz target of the tree for FUZZTIME (5m), one after the other, and prints a table of what each has done. FUZZ chooses
# targets by a regular expression, PARALLEL says how many workers a target has (1: a machine of two cores stays usable). KEEP=n puts the n
# shortest of the inputs that have reached something new into the tree, as seeds.
# What a target finds lies in testdata/fuzz beside it, and fails its package's tests from then on; the others still run.
#
# go test -fuzz compiles all that a package depends on for coverage, which for Kubernetes' client takes longer than the run. Where that is
# among them only macpool's own packages are, with the flag that go test uses; the rest is as every other test has it.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/cache.sh
time=${FUZZTIME:-5m}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What targets write is synced, as on a node: in memory that costs nothing.
memory=${TMPDIR:-/tmp}
if [ -w /dev/shm ]; then memory=/dev/shm; fi

# package target, one a line: a target is a function of a test file.
targets=$(git grep --untracked -oE '^func Fuzz[A-Za-z0-9]+' -- '*_test.go' | sed -E 's#/?[^/]*:func # #' | sort -u | awk -v want="${FUZZ:-}" '$2 ~ want')
[ -n "$targets" ] || { echo "fuzz: no target matches ${FUZZ:-}" >&2; exit 2; }

failed=0
built=
echo '| target | package | time | executions | new interesting | finding |' >"$work/table"
echo '|---|---|---|---|---|---|' >>"$work/table"
while read -r package target; do
  if [ "$package" != "$built" ]; then
    coverage=(-fuzz .)
    if [[ $(go list -deps -test "./$package") == *k8s.io/client-go* ]]; then
      coverage=("-gcflags=$(go list -m)/...=-d=libfuzzer")
    fi
    CGO_ENABLED=0 go test -c "${coverage[@]}" -o "$work/fuzz.test" "./$package"
    built=$package
  fi
  echo "fuzz: $target in $package for $time" >&2
  cache=$MACPOOL_CACHE/fuzz/$package
  mkdir -p "$cache"
  start=$SECONDS
  found=none
  if ! (cd "$package" && TMPDIR=$memory "$work/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$time" -test.parallel "${PARALLEL:-1}" \
    -test.fuzzminimizetime 20s -test.fuzzcachedir "$cache") </dev/null >"$work/log" 2>&1; then
    found=FAILED failed=1
    cat "$work/log" >&2
  fi
  if [ "${KEEP:-0}" -gt 0 ] && [ -d "$cache/$target" ]; then
    mkdir -p "$package/testdata/fuzz/$target"
    find "$cache/$target" -type f -size -3k -printf '%s %p\n' | sort -n | head -n "$KEEP" | cut -d' ' -f2- | xargs -r cp -t "$package/testdata/fuzz/$target"
  fi
  # fuzz: elapsed: 2m0s, execs: 1234567 (10288/sec), new interesting: 12 (total: 34)
  last=$(grep -E '^fuzz: elapsed: .* execs: ' "$work/log" | tail -n 1 || true)
  echo "${last:-fuzz: no execution was counted}" >&2
  execs=$(sed -nE 's/.* execs: ([0-9]+).*/\1/p' <<<"$last")
  new=$(sed -nE 's/.* new interesting: ([0-9]+).*/\1/p' <<<"$last")
  printf '| `%s` | `%s` | %d s | %d | %d | %s |\n' "$target" "$package" $((SECONDS - start)) "${execs:-0}" "${new:-0}" "$found" | tee -a "$work/table" >&2
done <<<"$targets"
cat "$work/table"
exit $failed
