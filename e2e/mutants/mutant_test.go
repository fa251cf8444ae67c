// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const tree = "../.."

// What the table says of the code is still so: each text that a mutant replaces is there, exactly once, what is put in its place is
// Go, and the tests that are to see it exist.
func TestTableFitsTheCode(t *testing.T) {
	known := map[string][]string{} // package -> tests
	for _, m := range mutants {
		files, err := m.files(tree)
		if err != nil {
			t.Error(err)
		}
		for path, text := range files {
			if _, err := format.Source([]byte(text)); err != nil {
				t.Errorf("%s: %s: %v", m.id, path, err)
			}
		}
		if len(m.edits) == 0 || len(m.tests) == 0 || m.bug == "" {
			t.Errorf("%s changes nothing, has no test or says nothing", m.id)
		}
		if known[m.pkg] == nil {
			known[m.pkg] = testsOf(t, m.pkg)
		}
		for _, name := range m.tests {
			if !slices.Contains(known[m.pkg], name) {
				t.Errorf("%s: package %s has no test %s", m.id, m.pkg, name)
			}
		}
	}
}

// testsOf are the tests of a package that are built without a tag.
func testsOf(t *testing.T, pkg string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(tree, pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if isTagged(file) {
			continue
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}

func isTagged(file *ast.File) bool {
	return slices.ContainsFunc(file.Comments, func(c *ast.CommentGroup) bool {
		return c.Pos() < file.Package && strings.HasPrefix(c.List[0].Text, "//go:build ")
	})
}

// Each row of the catalogue is a mutant, or has a reason, and no two mutants share an id.
func TestEveryRowIsThere(t *testing.T) {
	seen, rows := map[string]bool{}, map[string]bool{}
	for _, m := range mutants {
		if seen[m.id] {
			t.Errorf("there are two mutants %s", m.id)
		}
		seen[m.id], rows[m.row()] = true, true
	}
	for _, u := range unexpressed {
		if rows[u.id] {
			t.Errorf("%s is a mutant, and is said to be none", u.id)
		}
		if u.bug == "" || u.why == "" {
			t.Errorf("%s has no reason", u.id)
		}
		rows[u.id] = true
	}
	for n := 1; n <= 30; n++ {
		if id := fmt.Sprintf("M%02d", n); !rows[id] {
			t.Errorf("%s is missing", id)
		}
	}
	if len(rows) != 30 {
		t.Errorf("there are %d rows", len(rows))
	}
}

// What counts as seen is a test of the mutant's that fails, and not a mutant that is no Go, nor a control plane that does not start.
func TestKiller(t *testing.T) {
	for name, tt := range map[string]struct{ out, want string }{
		"failed":       {"--- FAIL: TestX (0.01s)\n    x_test.go:1: no\n" + "FAIL\n" + "FAIL\tgithub.com/macpool/macpool/x\t0.1s\nFAIL\n", "TestX"},
		"another one":  {"--- FAIL: TestXY (0.01s)\nFAIL\n", ""},
		"a part of it": {"    --- FAIL: TestX/a (0.01s)\nFAIL\n", ""},
		"not built":    {"# github.com/macpool/macpool/x\n./x.go:1:1: no\nFAIL\tgithub.com/macpool/macpool/x [build failed]\nFAIL\n", ""},
		"not begun":    {"cannot start the control plane\nFAIL\tgithub.com/macpool/macpool/x\t0.1s\nFAIL\n", ""},
		"hangs": {
			"panic: test timed out after 5m0s\n\trunning tests:\n\t\tTestX (5m0s)\n\ngoroutine 7 [chan receive]:\ngithub.com/macpool/macpool/x.TestX(0xc0)\n",
			"TestX",
		},
		"hangs before": {"panic: test timed out after 5m0s\n\ngoroutine 7 [chan receive]:\ngithub.com/macpool/macpool/x.TestMain(0xc0)\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := killer([]byte(tt.out), []string{"TestX"}); got != tt.want {
				t.Errorf("killed by %q, want %q", got, tt.want)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	for list, want := range map[string]int{"": len(mutants), "M01": 3, "M01b": 1, "M09,M15": 2} {
		if got, err := choose(list); err != nil || len(got) != want {
			t.Errorf("%q chooses %d mutants, want %d: %v", list, len(got), want, err)
		}
	}
	if _, err := choose("M31"); err == nil {
		t.Error("M31 was found")
	}
}
