// SPDX-License-Identifier: Apache-2.0

package core

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const printed = `goos: linux
goarch: amd64
pkg: github.com/macpool/macpool/internal/allocator
BenchmarkPickRelease/99%-full-16 	  345678	       612.5 ns/op	     176 B/op	       5 allocs/op
BenchmarkPickRelease/99%-full-16 	  345000	       620 ns/op	     177 B/op	       5 allocs/op
BenchmarkPickRelease/99%-full-16-dual 	  200000	       900 ns/op	     200 B/op	       7 allocs/op
PASS
`

func TestParse(t *testing.T) {
	got, err := parse([]byte(printed), "BenchmarkPickRelease/99%-full-16")
	if err != nil {
		t.Fatal(err)
	}
	want := []figures{{612.5, 176, 5}, {620, 177, 5}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(figures{})); diff != "" {
		t.Error(diff)
	}
}

// A figure that was not printed is no zero.
func TestParseRefuses(t *testing.T) {
	for name, out := range map[string]string{
		"nothing":        "PASS\n",
		"no allocations": "BenchmarkLease/empty-16 	 100	 5 ns/op\n",
		"no number":      "BenchmarkLease/empty-16 	 100	 x ns/op	 1 B/op	 1 allocs/op\n",
		"half a line":    "BenchmarkLease/empty-16 	 100",
	} {
		if got, err := parse([]byte(out), "BenchmarkLease/empty-16"); err == nil {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestAnchored(t *testing.T) {
	for _, name := range []string{"BenchmarkLease/empty-16", "BenchmarkPickRelease/99%-full-16"} {
		// As package testing does it, part by part.
		patterns, parts := strings.Split(anchored(name), "/"), strings.Split(name, "/")
		for i := range parts {
			if !regexp.MustCompile(patterns[i]).MatchString(parts[i]) {
				t.Errorf("%s does not match %s", patterns[i], parts[i])
			}
			for _, other := range []string{parts[i] + "-dual", "half-" + parts[i]} {
				if regexp.MustCompile(patterns[i]).MatchString(other) {
					t.Errorf("%s matches %s", patterns[i], other)
				}
			}
		}
	}
}
