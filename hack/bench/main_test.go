// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/macpool/macpool/hack/bench/measure"
)

func TestMachine(t *testing.T) {
	assets := t.TempDir()
	for program, says := range map[string]string{"etcd": "etcd Version: 3.7.3\nGit SHA: abc", "kube-apiserver": "Kubernetes v1.37.2"} {
		if err := os.WriteFile(filepath.Join(assets, program), []byte("#!/bin/sh\ncat <<'EOF'\n"+says+"\nEOF\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.Join(machine(t.Context(), assets), "\n")
	for _, want := range []string{"cores", "GiB", "Linux ", "Kubernetes v1.37.2", "etcd 3.7.3", "go1."} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if host, err := os.Hostname(); err == nil && strings.Contains(text, host) {
		t.Errorf("the machine is named: %s", text)
	}
}

func TestConditions(t *testing.T) {
	syncs, err := fsyncs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if len(syncs.Rounds[0]) != 100 || syncs.Quantile(0.5) <= 0 {
		t.Errorf("fsync was measured %d times, the median is %f", len(syncs.Rounds[0]), syncs.Quantile(0.5))
	}
	known := &measure.Series{Rounds: [][]float64{{1, 2, 3}}}
	for name, test := range map[string]struct {
		load            float64
		kind            string
		busy, forgetful bool
	}{
		"quiet":     {load: 0.5, kind: "ext4"},
		"busy":      {load: 1.5, kind: "ext4", busy: true},
		"in memory": {load: 1, kind: inMemory, forgetful: true},
	} {
		t.Run(name, func(t *testing.T) {
			text := conditions(test.load, test.kind, known)
			if !strings.Contains(text, "2 ms (median of 3)") || !strings.Contains(text, test.kind) {
				t.Errorf("conditions: %s", text)
			}
			if strings.Contains(text, "The machine was busy") != test.busy || strings.Contains(text, "costs nothing") != test.forgetful {
				t.Errorf("conditions: %s", text)
			}
		})
	}
}

func TestFileSystem(t *testing.T) {
	if got := fileSystem("/proc/self"); got != "proc" {
		t.Errorf("/proc is on %s", got)
	}
	if got := fileSystem("/"); strings.Contains(got, "unknown") {
		t.Errorf("/ is on %s", got)
	}
}

func TestReport(t *testing.T) {
	dir := t.TempDir()
	result := &measure.Result{
		Section: "exec", About: "About it.", Conditions: "On a day.",
		Tables:  []measure.Table{{Title: "A table", Header: []string{"a", "b"}, Rows: [][]string{{"1", "2"}}}},
		Targets: []measure.Target{{Name: "met", Value: 1, Bound: 2}, {Name: "missed", Value: 1, Bound: 2, AtLeast: true, Unit: "ms"}},
		Charts:  []measure.Chart{{Name: "picture", Title: "A picture", Lines: []measure.Line{{Name: "l", X: []float64{1, 2}, Y: []float64{1, 2}}}}},
	}
	if err := writeJSON(filepath.Join(dir, "exec.json"), result); err != nil {
		t.Fatal(err)
	}
	if err := report(dir, []string{"a machine"}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"- a machine\n", "\n## exec\n\nAbout it.\n\nOn a day.\n", "### A table\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n", "| exec | met | 1.00× | ≤ 2.00× | yes |",
		"| exec | missed | 1 ms | ≥ 2 ms | **no** |", "![A picture](picture.svg)",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "picture.svg")); err != nil {
		t.Error(err)
	}
}

func TestWanted(t *testing.T) {
	for name, test := range map[string]struct {
		s        settings
		peer     bool
		wantErrs bool
	}{
		"all, without a peer": {},
		"all, with a peer":    {s: settings{peer: "x"}, peer: true},
		"one":                 {s: settings{only: "peer"}, peer: true},
		"none such":           {s: settings{only: "exec,none"}, wantErrs: true},
	} {
		t.Run(name, func(t *testing.T) {
			wanted, err := test.s.wanted()
			if (err != nil) != test.wantErrs {
				t.Fatal(err)
			}
			if got := strings.Contains(strings.Join(wanted, ","), "peer"); got != test.peer {
				t.Errorf("wanted: %v", wanted)
			}
		})
	}
}

func TestCheckPeer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		s  settings
		ok bool
	}{
		"none":            {ok: true},
		"all":             {s: settings{peer: file, peerConf: file, peerManifests: filepath.Dir(file)}, ok: true},
		"without conf":    {s: settings{peer: file}},
		"conf alone":      {s: settings{peerConf: file}},
		"no such plugin":  {s: settings{peer: file + "x", peerConf: file}},
		"no such objects": {s: settings{peer: file, peerConf: file, peerManifests: file + "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := test.s.checkPeer(); (err == nil) != test.ok {
				t.Errorf("checkPeer: %v", err)
			}
		})
	}
}

// TestSectionsAreDocumented has the page on benchmarks say of each section what it measures.
func TestSectionsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names() {
		if !strings.Contains(string(page), "\n| `"+name+"` | ") {
			t.Errorf("docs/benchmarks.md says nothing of section %s", name)
		}
	}
}
