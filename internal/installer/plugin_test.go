// SPDX-License-Identifier: Apache-2.0

package installer_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/macpool/macpool/internal/problem"
)

// build builds the real plugin as the release does, and another build of it.
func build(t *testing.T, flags ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "macpool")
	args := append([]string{"build", "-trimpath", "-o", file}, flags...)
	cmd := exec.CommandContext(t.Context(), "go", append(args, "github.com/macpool/macpool/cmd/macpool")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestPluginIsKnownWithoutARecord has the real plugin, of another release, on a node that has no record of it.
func TestPluginIsKnownWithoutARecord(t *testing.T) {
	release, other := build(t, "-ldflags=-s -w"), build(t, "-ldflags=-s")
	if release == other {
		t.Fatal("both builds are the same")
	}
	n := newNode(t, tree{bin + "/macpool": other})
	writeFile(t, filepath.Join(n.source, "macpool"), release)
	n.install()
	if n.read(bin+"/macpool") != release {
		t.Error("the plugin of another release was not replaced")
	}

	n.must(os.Remove(filepath.Join(n.host, "/var/lib/macpool/installed.json")))
	n.remove()
	if n.read(bin+"/macpool") != "" {
		t.Error("Remove did not know the plugin")
	}
}

// TestForeignGoProgram has a program with build information at the plugin's name that is not the plugin.
func TestForeignGoProgram(t *testing.T) {
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	n := newNode(t, tree{bin + "/macpool": string(program)})
	if err := n.installer().Install(); !problem.ForeignPlugin.Is(err) {
		t.Errorf("Install: %v", err)
	}
	n.remove()
	if n.read(bin+"/macpool") != string(program) {
		t.Error("the foreign program did not survive")
	}
}
