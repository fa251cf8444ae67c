// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
	tests, err := scan("../..")
	if err != nil {
		t.Fatal(err)
	}
	page := markdown(tests)
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
