// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	openapi "k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"
)

// What is in the tree is what the command writes.
func TestFresh(t *testing.T) {
	files, err := generate("../..")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range files {
		got, err := os.ReadFile(filepath.Join("../..", path))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is old, run make manifests (-want +got):\n%s", path, diff)
		}
	}
	kept, err := filepath.Glob("../../config/schemas/*")
	if err != nil || len(kept) != len(files)-1 {
		t.Errorf("config/schemas has %v, want %d files (%v)", kept, len(files)-1, err)
	}
}

const goodPool = `
apiVersion: macpool.dev/v1alpha1
kind: MacPool
metadata:
  name: iot
  labels: {any: thing}
spec:
  vlan: 50
  cooldown: 1m
  subnets:
    - cidr: 192.168.50.0/24
      ranges: [{start: 192.168.50.2, end: 192.168.50.99, explicitOnly: true}]
  namespaceSelector:
    matchLabels: {vlan: iot}
`

const goodClaim = `
apiVersion: macpool.dev/v1alpha1
kind: MacClaim
metadata: {name: home-assistant, namespace: home}
spec:
  poolRef: {name: iot}
  ips: [192.168.50.8]
`

// A manifest that the API server would take is valid in an editor, and one with an ordinary mistake is not.
func TestSchemas(t *testing.T) {
	for name, tc := range map[string]struct {
		schema, manifest string
		old, with        string
		wants            string // in what the editor says; nothing if the manifest is good
	}{
		"a pool":              {schema: "macpool", manifest: goodPool},
		"a claim":             {schema: "macclaim", manifest: goodClaim},
		"a field misspelt":    {"macpool", goodPool, "vlan: 50", "vlanID: 50", "vlanID"},
		"a nested one":        {"macpool", goodPool, "explicitOnly", "explicit", "explicit"},
		"a VLAN that is none": {"macpool", goodPool, "vlan: 50", "vlan: 5000", "spec.vlan"},
		"a VLAN as text":      {"macpool", goodPool, "vlan: 50", `vlan: "50"`, "spec.vlan"},
		"another kind":        {"macpool", goodPool, "kind: MacPool", "kind: MacClaim", "kind"},
		"another version":     {"macclaim", goodClaim, "v1alpha1", "v1", "apiVersion"},
		"a claim of no pool":  {"macclaim", goodClaim, "poolRef: {name: iot}", "retain: 1h", "poolRef"},
		"a MAC that is none":  {"macclaim", goodClaim, "ips: [192.168.50.8]", `mac: "f1-fd-59"`, "spec.mac"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("../../config/schemas", tc.schema+"_v1alpha1.json"))
			if err != nil {
				t.Fatal(err)
			}
			schema := &openapi.Schema{}
			if err := json.Unmarshal(text, schema); err != nil {
				t.Fatal(err)
			}
			manifest := tc.manifest
			if tc.old != "" {
				if manifest = strings.Replace(manifest, tc.old, tc.with, 1); manifest == tc.manifest {
					t.Fatalf("%q is not in the manifest", tc.old)
				}
			}
			var object any
			if err := yaml.UnmarshalStrict([]byte(manifest), &object); err != nil {
				t.Fatal(err)
			}
			result := validate.NewSchemaValidator(schema, nil, "", strfmt.Default).Validate(object)
			err = result.AsError()
			switch {
			case tc.wants == "" && err != nil:
				t.Error(err)
			case tc.wants != "" && (err == nil || !strings.Contains(err.Error(), tc.wants)):
				t.Errorf("got %v, want a word of %s", err, tc.wants)
			}
		})
	}
}
