// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/e2e/chaos/report"
)

func TestWriteRead(t *testing.T) {
	dir := t.TempDir() + "/reports"
	r := &report.Report{Harness: "dataplane", Seed: 7, Adds: 3, Figures: map[string]float64{"addsPerSecond": 10.5}}
	r.AddFault("F14", "API cut off", "m5-m6", 1)
	r.AddFault("F3", "agent SIGKILL", "m2", 1)
	r.AddFault("F3", "agent SIGKILL", "m2", 4)
	if err := r.Write(dir, "dataplane-7"); err != nil {
		t.Fatal(err)
	}
	got, err := report.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]*report.Report{"dataplane-7": {
		Harness: "dataplane", Seed: 7, Adds: 3, Figures: map[string]float64{"addsPerSecond": 10.5},
		Faults: []report.Fault{
			{ID: "F3", Class: "agent SIGKILL", Moment: "m2", Count: 5},
			{ID: "F14", Class: "API cut off", Moment: "m5-m6", Count: 1},
		},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := r.Write("", "nowhere"); err != nil {
		t.Errorf("without a directory: %v", err)
	}
}
