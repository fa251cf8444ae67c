// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/macpool/macpool/e2e/chaos/report"
)

// say writes to the test's log what is being done.
func (w *world) say(format string, args ...any) {
	if *verboseFlag {
		fmt.Fprintf(os.Stderr, "%7.3f %s\n", time.Since(w.begin).Seconds(), fmt.Sprintf(format, args...))
	}
}

// violation is something that must not be.
type violation int

func (w *world) violate(kind violation, format string, args ...any) {
	text := fmt.Sprintf("%.3f s: %s", time.Since(w.begin).Seconds(), fmt.Sprintf(format, args...))
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.caught != nil {
		w.caught.add(text)
		return
	}
	switch kind {
	case duplicate:
		w.report.Duplicates++
	case falseRelease:
		w.report.FalseReleases++
	case lostLease:
		w.report.LostLeases++
	case orphan:
		w.report.Orphans++
	case other:
	}
	if w.violations++; w.violations <= 50 {
		w.report.Violations = append(w.report.Violations, text)
		fmt.Fprintln(os.Stderr, "VIOLATION", text)
	}
	w.Fail()
}

func (w *world) figure(name string, value float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Figures[name] = value
}

func (w *world) addFigure(name string, value float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Figures[name] += value
}

// struckBy counts a fault.
func (w *world) struckBy(id, class, moment string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.AddFault(id, class, moment, 1)
}

func (w *world) showLogs() {
	if w.lab == nil {
		return
	}
	if dir := os.Getenv(report.DirEnv); dir != "" {
		for _, p := range w.lab.Processes() {
			name := strings.ReplaceAll(p.Name, " ", "-") + ".log"
			_ = os.WriteFile(filepath.Join(dir, name), []byte(p.Tail(1<<20)), 0o600)
		}
		return
	}
	for _, p := range w.lab.Processes() {
		fmt.Fprintf(os.Stderr, "--- end of the log of the %s\n%s\n", p.Name, p.Tail(40))
	}
}

const (
	duplicate violation = iota
	falseRelease
	lostLease
	orphan
	other
)
