// SPDX-License-Identifier: Apache-2.0

package export

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/macpool/macpool/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files")

// read decodes the objects of a YAML stream.
func read[T any](t *testing.T, file string) (objects []T) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for document := range strings.SplitSeq(string(text), "---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		var object T
		if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	return objects
}

// golden compares a text with a file, or writes the file.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what it was; -update writes it (-want +got):\n%s", file, diff)
	}
}

// fixture is an export of the claims in testdata, as the command reads them.
func fixture(t *testing.T, form format) *export {
	t.Helper()
	e := &export{pools: map[string]*v1alpha1.MacPool{}, jobs: map[types.NamespacedName]bool{{Namespace: "home", Name: "dump-x7k2p.iot.net1"}: true}}
	if form.domain != domainUnused {
		e.domain = "lan.example.org"
	}
	pools := read[v1alpha1.MacPool](t, "testdata/pools.yaml")
	for i := range pools {
		e.pools[pools[i].Name] = &pools[i]
	}
	if err := e.take(read[v1alpha1.MacClaim](t, "testdata/claims.yaml"), form); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestFormats compares each format with what it was, of claims with every trait that a format has to heed.
func TestFormats(t *testing.T) {
	for _, form := range formats() {
		t.Run(form.name, func(t *testing.T) {
			e := fixture(t, form)
			var out bytes.Buffer
			if err := form.write(&out, e); err != nil {
				t.Fatal(err)
			}
			for _, note := range e.notes {
				out.WriteString("note: " + note + "\n")
			}
			golden(t, filepath.Join("testdata", form.name+".golden"), out.String())
		})
	}
}

// TestDnsmasqReadsIt gives the lines to dnsmasq, which reads them all as hosts: no name is a lease time or a word of its own to it.
func TestDnsmasqReadsIt(t *testing.T) {
	binary, err := exec.LookPath("dnsmasq")
	if err != nil {
		if binary = "/usr/sbin/dnsmasq"; !exists(binary) {
			t.Fatal("dnsmasq is not here: apt-get install dnsmasq-base")
		}
	}
	form := formats()[1]
	var out bytes.Buffer
	e := fixture(t, form)
	if err := form.write(&out, e); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); lines != len(e.records) {
		t.Errorf("%d lines for %d leases", lines, len(e.records))
	}
	file := filepath.Join(t.TempDir(), "macpool.conf")
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.CommandContext(t.Context(), binary, "--test", "--conf-file="+file).CombinedOutput(); err != nil {
		t.Errorf("dnsmasq --test: %v\n%s", err, text)
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
