// SPDX-License-Identifier: Apache-2.0

// Package report is what a harness says of a run: what it did, what it broke and what it found. Each harness writes a file of
// its own; whoever makes the table reads them all and adds them up.
package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// DirEnv names the directory for reports. A harness that is run without it writes none.
const DirEnv = "MACPOOL_CHAOS_REPORT"

// Report is one run of one harness. Counts that a harness has not are zero.
type Report struct {
	// Harness is its name: properties, realapi, dataplane, model, mutants.
	Harness string `json:"harness"`
	// Seed and Replay, one command, run it again.
	Seed   uint64 `json:"seed"`
	Replay string `json:"replay"`
	// Seconds is how long it ran.
	Seconds float64 `json:"seconds"`
	// Scale is the factor by which times that the fault matrix gives in minutes were divided.
	Scale float64 `json:"scale,omitempty"`

	// Steps are those of a property test or a model, Adds and Dels the CNI calls that were answered with success.
	Steps int64 `json:"steps"`
	Adds  int64 `json:"adds"`
	Dels  int64 `json:"dels"`
	// Restores are the times that the API went back in time.
	Restores int64 `json:"restores,omitempty"`
	// Histories are those that were checked for linearizability.
	Histories int64 `json:"histories,omitempty"`

	// Faults are what was done to the system.
	Faults []Fault `json:"faults,omitempty"`
	// Mutants are the historical bugs that were tried.
	Mutants []Mutant `json:"mutants,omitempty"`

	// What must be zero: two holders of an address or a MAC in one layer 2 domain; a lease that was given away, or ended, while its
	// interface could send; a running pod whose lease is gone or whose address has changed; what is left of nobody after
	// quiesce.
	Duplicates    int64 `json:"duplicates"`
	FalseReleases int64 `json:"falseReleases"`
	LostLeases    int64 `json:"lostLeases"`
	Orphans       int64 `json:"orphans"`
	// Violations are these one by one, and others, each with what was seen.
	Violations []string `json:"violations,omitempty"`

	// Figures are others that are worth publishing, such as addsPerSecond or probes.
	Figures map[string]float64 `json:"figures,omitempty"`
}

// Fault is how often something was done at a moment.
type Fault struct {
	// ID is the row of the fault matrix, such as F3; a fault that has none there has a word.
	ID string `json:"id"`
	// Class is what was done, such as "agent SIGKILL".
	Class string `json:"class"`
	// Moment is the column, m0-m1, m2, m3-m4, m5-m6, m7 or m8-m9.
	Moment string `json:"moment"`
	Count  int64  `json:"count"`
}

// Moments are the columns of the fault matrix, in order.
var Moments = []string{"m0-m1", "m2", "m3-m4", "m5-m6", "m7", "m8-m9"}

// Mutant is a historical bug that was built in again.
type Mutant struct {
	// ID is its row in the catalogue of incidents, such as M09.
	ID     string `json:"id"`
	Killed bool   `json:"killed"`
	// By is the test that saw it, Seconds how long it took.
	By      string  `json:"by,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
}

// AddFault counts a fault. Not safe for concurrent use.
func (r *Report) AddFault(id, class, moment string, n int64) {
	for i := range r.Faults {
		if f := &r.Faults[i]; f.ID == id && f.Class == class && f.Moment == moment {
			f.Count += n
			return
		}
	}
	r.Faults = append(r.Faults, Fault{ID: id, Class: class, Moment: moment, Count: n})
}

// Write writes the report to dir/name.json, whole or not at all. Without a directory it does nothing.
func (r *Report) Write(dir, name string) error {
	if dir == "" {
		return nil
	}
	slices.SortFunc(r.Faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Moment, b.Moment))
	})
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing report %s: %w", name, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // for everybody to read
		return fmt.Errorf("making the directory of reports: %w", err)
	}
	path := filepath.Join(dir, name+".json")
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o644); err != nil { //nolint:gosec // for everybody to read
		return fmt.Errorf("writing report %s: %w", name, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing report %s: %w", name, err)
	}
	return nil
}

// Read reads all reports of a directory, by name.
func Read(dir string) (map[string]*Report, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("listing reports: %w", err)
	}
	all := map[string]*Report{}
	for _, path := range files {
		text, err := os.ReadFile(path) //nolint:gosec // the directory is the caller's
		if err != nil {
			return nil, fmt.Errorf("reading a report: %w", err)
		}
		r := &Report{}
		if err := json.Unmarshal(text, r); err != nil {
			return nil, fmt.Errorf("reading report %s: %w", path, err)
		}
		all[filepath.Base(path[:len(path)-len(".json")])] = r
	}
	return all, nil
}
