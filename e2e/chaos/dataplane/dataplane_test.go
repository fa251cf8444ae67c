// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/e2e/chaos/report"
)

// TestDataPlane breaks everything while pods come and go: plugins and their callers (F1, F2), agents (F3, F12), nodes and cables (F4,
// F14, F15, F39), pods and their DELs (F16…F21), the journal (F37), and the binaries, which are replaced while ADDs run (R-C20, F40). The
// report counts them by moment.
func TestDataPlane(t *testing.T) {
	w := newWorld(t, len(personalities)+1)
	w.say("started")
	counts := newTally()
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	go func() {
		defer cancel()
		w.letGoOn(ctx, counts)
	}()
	begin, cpu, by := time.Now(), cpuSeconds(), cpuOf()
	c := w.startChurn(ctx, *actorsFlag)
	go w.progress(ctx)
	var strikers sync.WaitGroup
	if !*calmFlag {
		w.startStrikers(ctx, c, counts, &strikers)
	}
	if !*calmFlag {
		strikers.Go(func() { w.splits(ctx, w.rng("splits")) })
	}
	c.all.Wait()
	strikers.Wait()
	w.truth.mu.Lock()
	adds, dels := w.truth.adds, w.truth.dels
	w.truth.mu.Unlock()
	rate := float64(adds+dels) / 2 / time.Since(begin).Seconds()
	w.figure("cyclesPerSecond", rate)
	w.figure("cpuSecondsPerCycle", (cpuSeconds()-cpu)/max(1, float64(adds+dels)/2))
	w.say("%d ADD, %d DEL, %.1f of both a second", adds, dels, rate)
	for name, s := range cpuOf() {
		w.say("CPU of %s: %.1f s", name, s-by[name])
	}
	w.quiesce(c)
	w.finish()
	w.proveJudges(c)
}

// letGoOn returns when the time is over, and what must come off has done so.
func (w *world) letGoOn(ctx context.Context, counts *tally) {
	pause(ctx, *durationFlag)
	begin := time.Now()
	strikes := append(slices.Clone(light), heavy...)
	for *completeFlag > 0 && counts.complete(strikes) && time.Since(begin) < *completeFlag && ctx.Err() == nil {
		pause(ctx, time.Second)
	}
}

// progress says how far it is.
func (w *world) progress(ctx context.Context) {
	for {
		select {
		case <-time.After(10 * time.Second):
		case <-ctx.Done():
			return
		}
		w.truth.mu.Lock()
		adds, dels := w.truth.adds, w.truth.dels
		w.truth.mu.Unlock()
		w.mu.Lock()
		faults := int64(0)
		for _, f := range w.report.Faults {
			faults += f.Count
		}
		violations := w.violations
		w.mu.Unlock()
		fmt.Fprintf(os.Stderr, "%.0f s: %d ADD, %d DEL, %d faults, %d violations\n", time.Since(w.begin).Seconds(), adds, dels, faults, violations)
	}
}

// startStrikers has things done: to calls and pods on every host, to some hosts as a whole, and to all at once.
func (w *world) startStrikers(ctx context.Context, c *churn, counts *tally, all *sync.WaitGroup) {
	striker := func(name string) *striker {
		return &striker{world: w, ctx: ctx, rng: w.rng(name), churn: c, counts: counts}
	}
	for i := range *strikersFlag {
		s := striker(fmt.Sprintf("light %d", i))
		all.Go(func() { s.strikeCalls(*pauseFlag / 4) })
	}
	// To the last host addresses are taken over: it remembers for how long others have been silent.
	for i := range *strikersFlag {
		s := striker(fmt.Sprintf("heavy %d", i))
		all.Go(func() { s.strikeWhole(*pauseFlag) })
	}
	s := striker("all")
	all.Go(func() { s.strikeAll(6 * *pauseFlag) })
}

// finish writes the report.
func (w *world) finish() {
	t := w.truth
	t.mu.Lock()
	w.report.Adds, w.report.Dels = t.adds, t.dels
	slices.Sort(t.latency)
	if n := len(t.latency); n > 0 {
		w.report.Figures["addP50ms"] = float64(t.latency[n/2].Milliseconds())
		w.report.Figures["addP99ms"] = float64(t.latency[n*99/100].Milliseconds())
	}
	w.report.Figures["addsFailed"] = float64(t.failed)
	t.mu.Unlock()
	w.scan.mu.Lock()
	w.report.Figures["scans"] = float64(w.scan.looks)
	w.report.Figures["looksAtForgottenSandboxes"] = float64(w.scan.forgotten)
	w.report.Figures["namespacesScanned"] = float64(w.scan.namespaces)
	w.report.Figures["scanMeanMs"] = w.scan.spent.Seconds() * 1000 / float64(max(1, w.scan.looks))
	w.scan.mu.Unlock()
	w.wire.mu.Lock()
	w.report.Figures["frames"] = float64(w.wire.frames)
	w.report.Figures["framesOfUnansweredADDs"] = float64(w.wire.unsure)
	w.report.Figures["framesOfAgents"] = float64(w.wire.asked)
	w.wire.mu.Unlock()
	w.asker.mu.Lock()
	w.report.Figures["probes"] = float64(w.asker.asked)
	w.report.Figures["answers"] = float64(w.asker.answered)
	w.report.Figures["probesUnanswered"] = float64(w.asker.silent)
	w.report.Figures["answersByOtherInterface"] = float64(w.asker.flux)
	w.asker.mu.Unlock()
	w.report.Figures["cpuSeconds"] = cpuSeconds()
	w.report.Seconds = time.Since(w.begin).Seconds()
	w.report.Replay = fmt.Sprintf("go test -tags chaos -run TestDataPlane ./e2e/chaos/dataplane -seed %d -duration %s", w.seed, *durationFlag)
	if err := w.report.Write(os.Getenv(report.DirEnv), fmt.Sprintf("dataplane-%d", w.seed)); err != nil {
		w.Error(err)
	}
	for code, n := range w.truth.refused() {
		w.report.Figures["refused "+code] = float64(n)
	}
	for _, f := range w.report.Faults {
		w.Logf("%-4s %-55s %-6s %d", f.ID, f.Class, f.Moment, f.Count)
	}
	for name, value := range w.report.Figures {
		w.Logf("%-24s %.1f", name, value)
	}
	w.Logf("ADD %d, DEL %d, duplicates %d, false releases %d, lost leases %d, orphans %d", w.report.Adds, w.report.Dels,
		w.report.Duplicates, w.report.FalseReleases, w.report.LostLeases, w.report.Orphans)
	if w.Failed() || *verboseFlag {
		w.showLogs()
	}
}

// cpuSeconds is the CPU time of all processes of the laboratory: those that run, and those that have ended and were waited for.
func cpuSeconds() float64 {
	total := 0.0
	for _, s := range cpuOf() {
		total += s
	}
	return total
}

func cpuOf() map[string]float64 {
	all := map[string]float64{}
	var ended unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_CHILDREN, &ended)
	all["plugins"] = time.Duration(ended.Utime.Nano() + ended.Stime.Nano()).Seconds()
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		name, rest, _ := strings.Cut(string(text), ") ")
		_, name, _ = strings.Cut(name, "(")
		if fields := strings.Fields(rest); len(fields) > 12 {
			const ticks = 100 // a second, on every Linux
			user, _ := strconv.ParseFloat(fields[11], 64)
			system, _ := strconv.ParseFloat(fields[12], 64)
			all[name] += (user + system) / ticks
		}
	}
	return all
}
