// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/licenseclassifier/v2/assets"
)

func TestLicenses(t *testing.T) {
	program := tool(t, false)
	out := filepath.Join(t.TempDir(), "licenses")
	if err := licenses([]string{"-o", out, "-own", "../../LICENSE", program}, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"go/LICENSE", ours + "/LICENSE", "golang.org/x/mod/LICENSE"} {
		if _, err := os.Stat(filepath.Join(out, want)); err != nil {
			t.Errorf("there is no %s: %v", want, err)
		}
	}
}

// TestCheckLicenses asks for modules in a cache of modules of its own: what is allowed passes, and each of what is not is named.
func TestCheckLicenses(t *testing.T) {
	text := func(path string) string {
		content, err := assets.ReadLicenseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	cache := t.TempDir()
	for module, texts := range map[string]map[string]string{
		"example.com/!free@v1.0.0":  {"LICENSE": text("License/MIT/pristine.txt")},
		"example.com/two@v1.0.0":    {"LICENSE": text("License/Apache-2.0/pristine.txt"), "LICENSE.libx": text("License/BSD-3-Clause/pristine.txt")},
		"example.com/viral@v1.0.0":  {"LICENSE": text("License/MIT/pristine.txt"), "COPYING": text("License/AGPL-3.0/license.txt")},
		"example.com/closed@v1.0.0": {"LICENSE.md": "Ask us before you use it."},
		"example.com/none@v1.0.0":   {"README": text("License/MIT/pristine.txt")},
	} {
		for name, content := range texts {
			file := filepath.Join(cache, module, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("GOMODCACHE", cache)
	tests := map[string]struct {
		modules []string
		printed string
		want    []string
	}{
		"allowed": {modules: []string{"example.com/Free@v1.0.0", "example.com/two@v1.0.0"}, printed: "   1  Apache-2.0 AND BSD-3-Clause\n   1  MIT\n"},
		"another": {modules: []string{"example.com/viral@v1.0.0", "example.com/Free@v1.0.0"}, want: []string{"example.com/viral@v1.0.0: its licence is AGPL-3.0"}},
		"unknown": {modules: []string{"example.com/closed@v1.0.0"}, want: []string{"example.com/closed@v1.0.0: its licence is none that is known"}},
		"no text": {modules: []string{"example.com/none@v1.0.0"}, want: []string{"the licence of example.com/none@v1.0.0: there is none"}},
		"all of it": {
			modules: []string{"example.com/viral@v1.0.0", "example.com/closed@v1.0.0"},
			want:    []string{"example.com/viral@v1.0.0: ", "example.com/closed@v1.0.0: "},
		},
	}
	for test, tt := range tests {
		t.Run(test, func(t *testing.T) {
			var printed strings.Builder
			err := checkLicenses(tt.modules, &printed)
			if len(tt.want) == 0 && (err != nil || printed.String() != tt.printed) {
				t.Errorf("got error %v, printed %q; want %q", err, printed.String(), tt.printed)
			}
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got error %v; want one that says %q", err, want)
				}
			}
		})
	}
}
