// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/internal/problem"
)

func TestIDs(t *testing.T) {
	for text, want := range map[string][]string{
		"nothing: F, M1, R-C, XF1, F100": nil,
		"one (F3, R-K2)":                 {"F3", "R-K2"},
		"a row R-G1…R-G4":                {"R-G1", "R-G2", "R-G3", "R-G4"},
		"M08–M10":                        {"M08", "M09", "M10"},
	} {
		if diff := cmp.Diff(want, ids(text)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

func TestThreats(t *testing.T) {
	for name, want := range map[string][]string{
		"TestT5HostileNetwork": {"T5"}, "TestT11": {"T11"}, "TestT1T24Both": {"T1", "T24"}, "TestTable": nil, "TestT2s": nil, "FuzzT3Names": nil,
	} {
		if diff := cmp.Diff(want, threats(name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestScan(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a_test.go", "package a\n// TestA shows F"+"1.\nfunc TestA() { /* M0"+"9 */ }\n// helper for R-"+"A1\nfunc helper() {}\n")
	write("a.go", "package a\n// F"+"2\nfunc TestB() {}\n")
	got, err := scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]test{"F1": {{"a_test.go", "TestA"}}, "M09": {{"a_test.go", "TestA"}}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(test{})); diff != "" {
		t.Error(diff)
	}
}

// The page in the tree is of the tests in the tree, and no row is without a test or a reason.
func TestPage(t *testing.T) {
	page, err := write("../..")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(page, "\n") {
		if strings.Contains(line, "**none**") {
			t.Errorf("neither a test nor a reason: %s", line)
		}
	}
	kept, err := os.ReadFile("../../docs/requirements.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(kept), page); diff != "" {
		t.Errorf("docs/requirements.md is old, run make manifests: %s", diff)
	}
}

// What a test must do to count as one that provokes an error.
func TestProvocations(t *testing.T) {
	names := map[string]string{"A": "MP101", "B": "MP102", "C": "MP103", "D": "MP104", "E": "MP105", "F": "MP106", "G": "MP107"}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a_test.go": "package a\n// TestA is MP103.\nfunc TestA(t *testing.T) {\n" +
			"// MP104\nif !problem.A.Is(add()) { t.Errorf(\"MP106\", problem.E) }\n" +
			"for _, want := range []string{\"MP102\"} { run(want) }\n" +
			"answer = problem.G.New(); if !problem.G.Is(ask()) { t.Fatal() } }\n" +
			"func helper() { use(problem.C) }\n",
		"b_test.go": "package a\nfunc TestB(t *testing.T) { checkForbidden(t, err, problem.D.New(1)); checkF(t) }\n" +
			"func checkF(t *testing.T) { wantError(t, problem.F.New()) }\n",
		"c_test.go":                         "//go:build chaos\n\npackage a\nfunc TestC(t *testing.T) { use(problem.C) }\n",
		"internal/problem/problem_test.go":  "package a\nfunc TestD(t *testing.T) { use(problem.C) }\n",
		"internal/problem/testdata/_.go.md": "problem.C",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := provocations(dir, names)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]test{"MP101": {{"a_test.go", "TestA"}}, "MP102": {{"a_test.go", "TestA"}}, "MP104": {{"b_test.go", "TestB"}}, "MP106": {{"b_test.go", "TestB"}}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(test{})); diff != "" {
		t.Error(diff)
	}
}

// The catalogue is read as text for Go's names of its entries; all are found.
func TestEntryNames(t *testing.T) {
	names, err := entryNames("../..")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, code := range names {
		got = append(got, code)
	}
	for _, k := range problem.Kinds() {
		want = append(want, k.Code)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
