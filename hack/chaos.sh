#!/usr/bin/env bash
# Breaks macpool, and prints a table of what was done and found. Each harness writes a report of its own into a directory; the table
# adds up all reports that are there, so a long run may be done in parts: call it again with the same REPORT.
#
#   hack/chaos.sh chaos   everything once, which takes minutes
#   hack/chaos.sh soak    for DURATION (2h), each time with another seed
#
# SEED (1) decides what is done, and when. REPORT is the directory, new for chaos; default dist/chaos and dist/soak. PARTS names the
# harnesses to run: model properties realapi outages restores dataplane mutants. Without it, chaos runs realapi and dataplane, which touch each
# cell of the fault matrix, and some of the properties; soak runs all.
set -euo pipefail
cd "$(dirname "$0")/.."

how=${1:?usage: hack/chaos.sh chaos|soak}
seed=${SEED:-1}
duration=${DURATION:-2h}
report=$(realpath -m "${REPORT:-dist/$how}")
export CGO_ENABLED=0 MACPOOL_CHAOS_REPORT=$report
if [ "$how" = chaos ] && [ -z "${REPORT:-}" ]; then rm -rf "$report"; fi
mkdir -p "$report"
echo "seed $seed; reports in $report"

# run NAME COMMAND...: what it prints goes to a log, and also here when it is about the run.
run() {
	local name=$1 code=0
	shift
	"$@" >"$report/$name.log" 2>&1 || code=$?
	if [ $code = 0 ]; then echo "$name: passed"; else echo "$name: FAILED, see $report/$name.log" && tail -n 60 "$report/$name.log"; fi
	return $code
}

# follow NAME COMMAND...: the same, with the lines of progress.
follow() {
	local name=$1
	shift
	run "$name" "$@" &
	local pid=$!
	tail -n +1 --pid=$pid -f "$report/$name.log" 2>/dev/null | grep --line-buffered -E 'ADD/s|ADD, |VIOLATION|pass [0-9]|restore [0-9]|away for|quiesce|in order|steps/s' | sed -u "s/^/$name: /" &
	local tail=$!
	local code=0
	wait $pid || code=$?
	wait $tail || true
	return $code
}

binary() { # PACKAGE: a test binary that can be run many times
	go test -trimpath -tags chaos -c -o "bin/$(basename "$1").test" "./$1"
}

realapi() { # TEST FLAGS...
	local test=$1
	shift
	(cd e2e/chaos/realapi && exec ../../../bin/realapi.test -test.v -test.timeout 0 -test.run "^$test\$" "$@")
}

dataplane() {
	# Plugins come and go: what they and the API server spend on their heaps would be most of the run.
	(cd e2e/chaos/dataplane && GOGC=400 exec ../../../bin/dataplane.test -test.v -test.timeout 0 -test.run '^TestDataPlane$' "$@")
}

properties() { # STEPS SEED
	MACPOOL_PROPERTY_STEPS=$1 go test -trimpath -tags property -count=1 -timeout 0 -v -run '^TestProtocol$' ./internal/protocoltest -rapid.seed="$2" -rapid.nofailfile
}

model() { go test -trimpath -count=1 -timeout 30m -v -run '^TestModel$' ./internal/model; }

mutants() { go run ./e2e/mutants; }

KUBEBUILDER_ASSETS=$(hack/controlplane.sh) MACPOOL_CNI_BIN=$(hack/cniplugins.sh) MACPOOL_BIN=$PWD/bin
export KUBEBUILDER_ASSETS MACPOOL_CNI_BIN MACPOOL_BIN

wants() { [[ " ${PARTS:-$parts} " == *" $1 "* ]]; }
failed=0

case $how in
chaos)
	parts="realapi dataplane properties"
	binary e2e/chaos/realapi
	binary e2e/chaos/dataplane
	# Two lanes: both wait for times to pass more than they compute.
	lane() {
		local code=0
		if wants dataplane; then run dataplane dataplane -seed "$seed" -duration 50s -complete 40s -actors 28 || code=1; fi
		if wants model; then run model model || code=1; fi
		if wants properties; then run properties properties "${STEPS:-4000}" "$seed" || code=1; fi
		return $code
	}
	lane &
	second=$!
	if wants realapi; then
		follow realapi realapi TestChaos -seed "$seed" -scale 150 -rate 25 -sets 5 -bare 30 -lanes 4 -plane-crashes 3 -grace 12s -duration 1s -complete 40s || failed=1
	fi
	wait $second || failed=1
	if wants mutants && [ -d e2e/mutants ]; then run mutants mutants || failed=1; fi
	;;
soak)
	parts="model properties realapi outages restores dataplane mutants"
	binary e2e/chaos/realapi
	binary e2e/chaos/dataplane
	if wants model; then MACPOOL_MODEL_LONG=1 run model model || failed=1; fi
	if wants properties; then follow "properties-$seed" properties "${STEPS:-1000000}" "$seed" || failed=1; fi
	if wants outages; then follow "outages-$seed" realapi TestOutages -seed "$seed" -scale "${SCALE:-1}" || failed=1; fi
	if wants restores; then follow "restores-$seed" realapi TestRestores -seed "$seed" -restores "${RESTORES:-100}" -grace 3s || failed=1; fi
	# Pods that live shortly, whose sandboxes crash often: what an ADD costs beside itself is most of it.
	if wants dataplane; then
		follow "dataplane-$seed" dataplane -seed "$seed" -duration "${DATAPLANE:-$duration}" -life 400ms -crashes 3 -strikers 2 -pause 2s || failed=1
	fi
	if wants realapi; then
		follow "realapi-$seed" realapi TestChaos -seed "$seed" -scale 0 -rate "${RATE:-25}" -again 16 -gap 10s -duration "$duration" || failed=1
	fi
	if wants mutants && [ -d e2e/mutants ]; then run mutants mutants || failed=1; fi
	;;
*)
	echo "usage: hack/chaos.sh chaos|soak" >&2
	exit 2
	;;
esac

# What is done once must be done at each moment: a cell that nothing has touched is a hole. A soak is done in parts.
complete=
if [ "$how" = chaos ] && wants realapi && wants dataplane; then complete=-complete; fi
go run ./hack/chaostable $complete "$report" | tee "$report/table.md" || failed=1
exit $failed
