// SPDX-License-Identifier: Apache-2.0

package problem_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/internal/problem"
)

func TestCatalogue(t *testing.T) {
	var (
		code      = regexp.MustCompile(`^MP[1-9][0-9]{2}$`)
		camelCase = regexp.MustCompile(`^([A-Z]+[a-z]*)+$`)
		reasons   = map[string]string{} // reason -> code
		last      string
	)
	if len(problem.Kinds()) < 40 {
		t.Errorf("the catalogue has %d entries, which is too few to be true", len(problem.Kinds()))
	}
	for _, k := range problem.Kinds() {
		if !code.MatchString(k.Code) {
			t.Errorf("%s is no code", k.Code)
		}
		if k.Code <= last {
			t.Errorf("%s stands after %s: codes must be unique and ascend", k.Code, last)
		}
		last = k.Code
		if !camelCase.MatchString(k.Reason) {
			t.Errorf("%s: reason %q is not CamelCase", k.Code, k.Reason)
		}
		if other := reasons[k.Reason]; other != "" {
			t.Errorf("%s has the reason of %s", k.Code, other)
		}
		reasons[k.Reason] = k.Code
		for what, text := range map[string]string{"sentence": k.Sentence, "fix": k.Fix, "explanation": k.Explanation} {
			if strings.TrimSpace(text) == "" || text != strings.TrimSpace(text) {
				t.Errorf("%s: the %s is empty or has spaces around it: %q", k.Code, what, text)
			}
			if ends := strings.HasSuffix(text, "."); ends != (what != "sentence") {
				t.Errorf("%s: the %s %q ends with a period: %v", k.Code, what, text, ends)
			}
		}
	}
}

// Kinds is a list by hand: an entry that it lacks would be in no documentation and no test.
func TestKindsAreAll(t *testing.T) {
	files, err := filepath.Glob("catalogue*.go")
	if err != nil || len(files) < 4 {
		t.Fatalf("the catalogue is in %v, %v", files, err)
	}
	listed := map[string]bool{}
	for _, k := range problem.Kinds() {
		listed[k.Reason] = true
	}
	declared := 0
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if entry, ok := n.(*ast.CompositeLit); ok {
				if kind, ok := entry.Type.(*ast.Ident); ok && kind.Name == "Kind" {
					declared++
				}
			}
			spec, ok := n.(*ast.ValueSpec)
			if ok && len(spec.Values) == 1 && !listed[spec.Names[0].Name] {
				t.Errorf("%s: Kinds lacks %s, or its reason is another word than its name", name, spec.Names[0].Name)
			}
			return true
		})
	}
	if declared != len(problem.Kinds()) {
		t.Errorf("%d entries are declared, Kinds has %d", declared, len(problem.Kinds()))
	}
}

// TestNoWordsOfSuccess is R-C7: go-cni takes a DEL error with these words for success, and the runtime would not try again.
func TestNoWordsOfSuccess(t *testing.T) {
	for _, k := range problem.Kinds() {
		for _, words := range []string{"not found", "no such file or directory"} {
			if strings.Contains(strings.ToLower(k.Sentence+" "+k.Fix), words) {
				t.Errorf("%s says %q", k.Code, words)
			}
		}
	}
}

// TestCNICodes is of the codes that CNI gives a meaning, and of those from 100 on, which are a plugin's own: there an entry
// has the number of its code.
func TestCNICodes(t *testing.T) {
	for _, k := range problem.Kinds() {
		number, err := strconv.ParseUint(strings.TrimPrefix(k.Code, "MP"), 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		switch k.CNI {
		case problem.CNIVersion, problem.CNIEnvironment, problem.CNIConfig, problem.CNITryAgain, problem.CNIUnavailable, uint(number):
		default:
			t.Errorf("%s has CNI code %d", k.Code, k.CNI)
		}
		if want := k.CNI == problem.CNITryAgain || k.CNI == problem.CNIUnavailable; k.Retryable() != want {
			t.Errorf("%s: Retryable() = %v with CNI code %d", k.Code, k.Retryable(), k.CNI)
		}
	}
}

func TestError(t *testing.T) {
	plain := problem.PoolUnknown.New("iot")
	if got, want := plain.Message, `there is no MacPool "iot"`; got != want {
		t.Errorf("Message = %q, want %q", got, want)
	}
	if got, want := plain.Error(), `MP302: there is no MacPool "iot". `+problem.PoolUnknown.Fix; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}

	advised := problem.PoolUnknown.New("iot").WithFix("Make pool %s.", "iot").WithCause(fs.ErrNotExist)
	if got, want := advised.Sentence(), `there is no MacPool "iot". Make pool iot.`; got != want {
		t.Errorf("Sentence() = %q, want %q", got, want)
	}
	if !errors.Is(advised, fs.ErrNotExist) {
		t.Error("the cause is lost")
	}
	if strings.Contains(advised.Error(), fs.ErrNotExist.Error()) {
		t.Errorf("Error() = %q shows the cause", advised.Error())
	}
	if problem.PoolUnknown.Fix == advised.Fix {
		t.Error("WithFix changed the catalogue")
	}

	unadvised := problem.PoolUnknown.New("iot").WithFix("")
	if got, want := unadvised.Sentence(), `there is no MacPool "iot"`; got != want {
		t.Errorf("Sentence() without a fix = %q, want %q", got, want)
	}
}

func TestIsAndAs(t *testing.T) {
	full := problem.PoolExhausted.New("iot", 4, 4, 0, 0, 0)
	wrapped := fmt.Errorf("binding claim db-0: %w", full)
	for name, tc := range map[string]struct {
		err  error
		want *problem.Error
	}{
		"nil":           {nil, nil},
		"another error": {fs.ErrNotExist, nil},
		"a problem":     {full, full},
		"wrapped":       {wrapped, full},
		"joined":        {errors.Join(fs.ErrNotExist, wrapped), full},
	} {
		t.Run(name, func(t *testing.T) {
			if got := problem.As(tc.err); got != tc.want {
				t.Errorf("As = %v, want %v", got, tc.want)
			}
			if got := problem.PoolExhausted.Is(tc.err); got != (tc.want != nil) {
				t.Errorf("PoolExhausted.Is = %v", got)
			}
			if problem.PoolUnknown.Is(tc.err) {
				t.Error("PoolUnknown.Is = true")
			}
		})
	}
}

// TestDocument keeps docs/errors.md, to which messages send people, from growing stale.
func TestDocument(t *testing.T) {
	got, err := os.ReadFile(filepath.Join("..", "..", "docs", "errors.md"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(problem.Markdown(), string(got)); diff != "" {
		t.Errorf("docs/errors.md is stale, run make manifests (-want +got):\n%s", diff)
	}
	for _, k := range problem.Kinds() {
		section := fmt.Sprintf("<a id=%q></a>\n\n## %s %s\n", strings.ToLower(k.Code), k.Code, k.Reason)
		if strings.Count(string(got), section) != 1 {
			t.Errorf("no section of its own for %s", k.Code)
		}
	}
	if strings.Contains(string(got), "%!") || regexp.MustCompile(`%[a-z]`).Match(got) {
		t.Error("a verb of fmt is left")
	}
}
