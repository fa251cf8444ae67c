// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/mod/module"
)

// TestSBOM lists what this test's own program is built of, in an image that has a text beside it.
func TestSBOM(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	archive, out := filepath.Join(dir, "image.tar"), filepath.Join(dir, "bom.json")
	args := []string{"-format", "oci", "-o", archive, "-ref", "example.com/tool:v1", "bin/tool=" + program, "etc/text=text:no program"}
	if err := image(args, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := sbom([]string{"-o", out, archive}, io.Discard); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var got bom
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}

	components := map[string]component{}
	for _, c := range got.Components {
		components[c.Ref] = c
	}
	ref := "linux/" + runtime.GOARCH + "/bin/tool"
	if c := components[ref]; c.Type != "application" || len(c.Hashes) != 1 {
		t.Errorf("the program is %+v", c)
	}
	modules, err := modulesOf([]string{program})
	if err != nil {
		t.Fatal(err)
	}
	modules[module.Version{Path: "std", Version: strings.TrimPrefix(runtime.Version(), "go")}] = true
	for m := range modules {
		if c := components[libraryOf(m.Path, m.Version).Ref]; c.Name != m.Path || c.Version != m.Version {
			t.Errorf("the component of %s is %+v", m, c)
		}
	}
	image, tool := got.Metadata.Component, 0
	for _, d := range got.Dependencies {
		switch d.Ref {
		case image.Ref:
			if len(d.DependsOn) != 1 || d.DependsOn[0] != ref {
				t.Errorf("the image depends on %v; want the program", d.DependsOn)
			}
		case ref:
			tool = len(d.DependsOn)
		}
	}
	if image.Name != "example.com/tool" || image.Version != "v1" || tool != len(got.Components)-1 {
		t.Errorf("the image is %+v; its program depends on %d of %d components", image, tool, len(got.Components))
	}
}

func TestLicenses(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "licenses")
	if err := licenses([]string{"-o", out, "-own", "../../LICENSE", program}, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"go/LICENSE", ours + "/LICENSE", "github.com/google/go-containerregistry/LICENSE"} {
		if _, err := os.Stat(filepath.Join(out, want)); err != nil {
			t.Errorf("there is no %s: %v", want, err)
		}
	}
}
