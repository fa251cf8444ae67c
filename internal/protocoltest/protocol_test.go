// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	"pgregory.net/rapid"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/macpool/macpool/e2e/chaos/report"
)

const (
	// stepsEnv is how many steps are taken; the seed is rapid's own -rapid.seed.
	stepsEnv = "MACPOOL_PROPERTY_STEPS"
	// verboseEnv has every change of the API written down, for one failure.
	verboseEnv = "MACPOOL_PROPERTY_VERBOSE"

	// traceEnv is a file to which all runs append all that happens.
	traceEnv = "MACPOOL_PROPERTY_TRACE"

	defaultSteps = 4_000
	// stepsOfRun is the mean of a run. Each ends with an hour in which everything must come to rest, which costs as much as many steps.
	stepsOfRun = 400
)

func run(m *testing.M) int {
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	// One goroutine at a time, and none that the garbage collector has interrupted, so that the same draws lead to the same run.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(4 * sweepAt)
	return m.Run()
}

// sweepAt is how much garbage there may be.
const sweepAt = 256 << 20

// sweep collects the garbage, while nobody else has anything to do.
func (*world) sweep() {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	if metrics.Read(heap); heap[0].Value.Uint64() > sweepAt {
		runtime.GC() //nolint:revive // see run
	}
}

// TestProtocol is the harness: whatever happens, in whatever order, the invariants hold after each step, and at the end of each run all pods
// are attached, and all addresses free when they are gone.
func TestProtocol(t *testing.T) {
	steps := defaultSteps
	if text := os.Getenv(stepsEnv); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("%s: %v", stepsEnv, err)
		}
		steps = n
	}
	seed := cmp.Or(flagOf[uint64]("rapid.seed"), rand.Uint64N(1<<32))
	// More runs than the mean needs: those after the last step do nothing.
	setDefault(t, "rapid.checks", max(1, 2*steps/stepsOfRun))
	setDefault(t, "rapid.steps", stepsOfRun)
	setDefault(t, "rapid.seed", seed)
	s := newStats()
	s.Seed = seed
	defer func() {
		s.Seconds = time.Since(s.start).Seconds()
		t.Logf("%.0f steps/s\n%s", float64(s.Steps)/s.Seconds, s)
		s.Replay = fmt.Sprintf("%s=%d go test -tags property ./internal/protocoltest -run 'TestProtocol$' -rapid.seed=%d", stepsEnv, steps, seed)
		if t.Failed() && len(s.Violations) == 0 {
			s.Violations = append(s.Violations, "see the log of TestProtocol")
		}
		if err := s.Write(os.Getenv(report.DirEnv), s.name()); err != nil {
			t.Error(err)
		}
	}()
	rapid.Check(t, func(rt *rapid.T) {
		if s.Steps >= int64(steps) && !t.Failed() {
			return
		}
		s.progress()
		s.runs++
		dir, err := os.MkdirTemp(scratch(), "macpool-property")
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		rapid.SyncTest(rt, func(rt *rapid.T) { play(rt, s, dir) })
	})
}

// flagOf is the value of one of rapid's flags.
func flagOf[T any](name string) (value T) {
	if getter, ok := flag.Lookup(name).Value.(flag.Getter); ok {
		value, _ = getter.Get().(T)
	}
	return value
}

// setDefault sets one of rapid's flags that the command line has not.
func setDefault(t *testing.T, name string, value any) {
	t.Helper()
	if flag.Lookup(name).Value.String() != flag.Lookup(name).DefValue {
		return
	}
	if err := flag.Set(name, fmt.Sprint(value)); err != nil {
		t.Fatal(err)
	}
}

// play is one run.
func play(t *rapid.T, s *stats, dir string) {
	w := newWorld(t, s, dir)
	defer w.close()
	w.verbose = os.Getenv(verboseEnv) != ""
	if path := os.Getenv(traceEnv); path != "" {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		w.must(err)
		defer func() { _ = f.Close() }()
		w.trace, w.verbose = f, true
	}
	w.settings = drawSettings(t)
	w.startManager(0)
	w.makeNamespaces()
	w.makePool(poolNames[0], 8, 8)
	w.makePool(poolNames[1], 12, 8)
	for range rapid.IntRange(2, 3).Draw(t, "nodes") {
		n := w.newNode()
		n.register()
		n.boot()
	}
	w.pass(3 * time.Second)
	t.Repeat(w.machine())
	w.t = t
	w.quiesce()
}
