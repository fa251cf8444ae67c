// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/licenseclassifier/v2/assets"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/mod/module"
)

// TestSBOM lists what a program is built of (R-S9).
func TestSBOM(t *testing.T) {
	program, file := tool(t, false), filepath.Join(t.TempDir(), "image.oci.tar")
	imageOf(t, program, file, "example.com/tool:v1")
	if err := sbom([]string{file}, io.Discard); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(strings.TrimSuffix(file, ".oci.tar") + ".cdx.json")
	if err != nil {
		t.Fatal(err)
	}
	validateBill(t, text)
	var got cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(&got); err != nil {
		t.Fatal(err)
	}

	components := map[string]cdx.Component{}
	for _, c := range *got.Components {
		components[c.BOMRef] = c
		if c.Licenses == nil || len(*c.Licenses) != 1 {
			t.Errorf("%s has the licences %v; want one, or one expression", c.BOMRef, c.Licenses)
		}
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	ref := "linux/" + runtime.GOARCH + "/bin/tool"
	if c := components[ref]; c.Type != cdx.ComponentTypeApplication ||
		(*c.Hashes)[0].Value != digestOf(content) || !strings.HasPrefix(c.PackageURL, "pkg:golang/"+ours+"/tool@") {
		t.Errorf("the program is %+v", c)
	}
	modules, err := modulesOf([]string{program})
	if err != nil {
		t.Fatal(err)
	}
	modules[module.Version{Path: "std", Version: strings.TrimPrefix(runtime.Version(), "go")}] = true
	for m := range modules {
		if c := components[moduleURL(m.Path, m.Version)]; c.Name != m.Path || c.Version != m.Version {
			t.Errorf("the component of %s is %+v", m, c)
		}
	}
	for name, want := range map[string]string{"std": "BSD-3-Clause", "golang.org/x/mod": "BSD-3-Clause", ours + "/tool": "Apache-2.0"} {
		for _, c := range components {
			if c.Name == name && (*c.Licenses)[0].License.ID != want {
				t.Errorf("the licence of %s is %+v; want %s", name, *c.Licenses, want)
			}
		}
	}
	image, tool := got.Metadata.Component, 0
	for _, d := range *got.Dependencies {
		switch d.Ref {
		case image.BOMRef:
			if len(*d.Dependencies) != 1 || (*d.Dependencies)[0] != ref {
				t.Errorf("the image depends on %v; want the program", *d.Dependencies)
			}
		case ref:
			tool = len(*d.Dependencies)
		}
	}
	if image.Name != "example.com/tool" || image.Version != "v1" || tool != len(*got.Components)-1 {
		t.Errorf("the image is %+v; its program depends on %d of %d components", image, tool, len(*got.Components))
	}
}

// validateBill compares a bill with the schema that CycloneDX publishes, which the library that writes it has with it.
func validateBill(t *testing.T, text []byte) {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	for name, file := range map[string]string{ // the last is misspelled there
		"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		schema, err := os.Open(filepath.Join(strings.TrimSpace(string(dir)), "schema", file))
		if err != nil {
			t.Fatal(err)
		}
		defer schema.Close()
		document, err := jsonschema.UnmarshalJSON(schema)
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource("http://cyclonedx.org/schema/"+name, document); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(document); err != nil {
		t.Error(err)
	}
}

// TestSBOMReproducible makes the bill of one image several times.
func TestSBOMReproducible(t *testing.T) {
	file := filepath.Join(t.TempDir(), "image.oci.tar")
	imageOf(t, tool(t, false), file, "example.com/tool:v1")
	a, err := openArtifact(file)
	if err != nil {
		t.Fatal(err)
	}
	first, err := a.bill()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if again, err := a.bill(); err != nil || !bytes.Equal(first, again) {
			t.Fatalf("it differs, %v", err)
		}
	}
}

// TestSBOMRefuses has no bill of an image in which a licence text lacks, or is of a licence that is not allowed.
func TestSBOMRefuses(t *testing.T) {
	program := tool(t, false)
	viral, err := assets.ReadLicenseFile("License/GPL-3.0/license.txt")
	if err != nil {
		t.Fatal(err)
	}
	const text = "licenses/golang.org/x/mod/LICENSE="
	tests := map[string]struct {
		entries []string // over those that are there
		want    string
	}{
		"no known licence": {entries: []string{text + "text:All rights reserved."}, want: "its licence is none that is known"},
		"not allowed":      {entries: []string{text + "text:" + string(viral)}, want: "its licence is GPL-3.0; allowed are"},
		"no text":          {entries: []string{text + "dir:755", "licenses/golang.org/x/mod/PATENTS=dir:755"}, want: "its licence is not below licenses/"},
	}
	for test, tt := range tests {
		t.Run(test, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "image.oci.tar")
			imageOf(t, program, file, "example.com/tool:v1", tt.entries...)
			err := sbom([]string{file}, io.Discard)
			if err == nil || !strings.Contains(err.Error(), "golang.org/x/mod") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v; want one that says %q of golang.org/x/mod", err, tt.want)
			}
		})
	}
}
