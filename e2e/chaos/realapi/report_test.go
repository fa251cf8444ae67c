// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/macpool/macpool/e2e/chaos/oracle"
	"github.com/macpool/macpool/e2e/chaos/report"
)

// violation notes what must not be, once in the log and for ever in the report.
func (w *world) violation(v oracle.Violation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &w.report
	switch v.Kind { //nolint:exhaustive // the others are listed
	case oracle.Duplicate:
		r.Duplicates++
	case oracle.FalseRelease:
		r.FalseReleases++
	case oracle.LostLease:
		r.LostLeases++
	case oracle.Orphan:
		r.Orphans++
	}
	text := fmt.Sprintf("%s: %s", v.Kind, v.Text)
	if len(r.Violations) < 200 {
		r.Violations = append(r.Violations, text)
	}
	if w.listed == nil {
		w.listed = map[oracle.Kind]int{}
	}
	if w.listed[v.Kind]++; w.listed[v.Kind] <= 8 {
		w.t.Errorf("[%s] VIOLATION %s", w.elapsed(), text)
	}
}

// inject counts a fault that was done.
func (w *world) inject(id, class, moment string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.AddFault(id, class, moment, 1)
}

func (w *world) elapsed() string { return w.clock.Since(w.begin).Round(time.Second).String() }

func (w *world) logf(format string, args ...any) {
	w.t.Logf("[%s] %s", w.elapsed(), fmt.Sprintf(format, args...))
}

// progress says every so often how far the run is, and moves the ledger on.
func (w *world) progress(every time.Duration) {
	last, lastAt := w.count.adds.Load(), w.clock.Now()
	requests, took := w.upstream.Load()
	for w.pause(time.Second) {
		now := w.clock.Now()
		if !w.blind.Load() && !w.unsure.Load() {
			w.ledger.Advance(now)
		}
		w.truth.Forget(now.Add(-2 * time.Minute))
		if now.Sub(lastAt) < every {
			continue
		}
		adds := w.count.adds.Load()
		n, t := w.upstream.Load()
		latency := (t - took) / time.Duration(max(1, n-requests))
		perSecond := float64(n-requests) / now.Sub(lastAt).Seconds()
		requests, took = n, t
		w.logf("%.0f ADD/s; API %.0f/s in %s; ADD %d (new %d, replaced %d, again %d), refused %d, DEL %d, CHECK %d; attached %d; faults %d; log %+v",
			float64(adds-last)/now.Sub(lastAt).Seconds(), perSecond, latency.Round(100*time.Microsecond), adds, w.count.fresh.Load(), w.count.replaced.Load(), w.count.again.Load(),
			w.count.failed.Load(), w.count.dels.Load(), w.count.checks.Load(), len(w.truth.Attached()), w.faults(), w.ledger.Stats())
		last, lastAt = adds, now
		if *verboseFlag {
			doing := map[any]int{}
			for _, s := range w.slots {
				doing[s.doing.Load()]++
			}
			w.mu.Lock()
			w.t.Logf("    slots: %v; refusals: %v", doing, w.codes)
			w.mu.Unlock()
		}
	}
}

func (w *world) faults() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var sum int64
	for _, f := range w.report.Faults {
		sum += f.Count
	}
	return sum
}

// showLogs copies the logs to where they outlive the run, and says where.
func (w *world) showLogs() {
	dir, err := os.MkdirTemp("/var/tmp", "macpool-chaos-logs-")
	if err != nil {
		return
	}
	for _, pattern := range []string{"*.log", "plane/*.log"} {
		logs, _ := filepath.Glob(filepath.Join(w.dir, pattern))
		for _, path := range logs {
			_ = exec.Command("cp", path, dir).Run() //nolint:noctx // it ends by itself
		}
	}
	w.t.Logf("the logs are in %s", dir)
}

// finish writes the report and ends everything.
func (w *world) finish(name, replay string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &w.report
	r.Replay, r.Seconds = replay, w.clock.Since(w.begin).Seconds()
	r.Adds, r.Dels = w.count.adds.Load(), w.count.dels.Load()
	r.Steps = r.Adds + r.Dels + w.count.failed.Load() + w.count.checks.Load()
	stats := w.ledger.Stats()
	for key, n := range map[string]int64{
		"newPods": w.count.fresh.Load(), "replacedPods": w.count.replaced.Load(), "sandboxesMadeAgain": w.count.again.Load(),
		"refusedADDs": w.count.failed.Load(), "hangUps": w.count.hangups.Load(), "lostDELs": w.count.lost.Load(),
		"spooledDELs": w.count.spooled.Load(), "CHECKs": w.count.checks.Load(), "auditedWrites": stats.Writes, "auditGaps": stats.Gaps,
		"leasesGiven": stats.Leases, "leasesReleased": stats.Releases,
	} {
		r.Figures[key] = float64(n)
	}
	r.Figures["addsPerSecond"] = float64(r.Adds) / r.Seconds
	if err := r.Write(os.Getenv(report.DirEnv), name); err != nil {
		w.t.Error(err)
	}
}
