// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/macpool/macpool/docs"
)

// TestQuickstart is a newcomer who types every command of docs/quickstart.md, in order, on a cluster that does not have macpool yet.
// It ends with a pod that has its address and pings the gateway.
func TestQuickstart(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute and a half, most of it waiting as a reader does")
	}
	scripts, err := docs.Scripts("../../docs/quickstart.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { install(t) }) // for the tests after this one, should it end half-way
	kubectl(t, "delete", "--ignore-not-found", "--timeout=90s", "-k", "../../config/default")
	nothingOfMacpool(t, false)

	manifest := filepath.Join(t.TempDir(), "install.yaml")
	if err := os.WriteFile(manifest, []byte(kubectl(t, "kustomize", "../../config/default")), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = box.tryKubectl(context.Background(), "delete", "namespace", "home", "network", "--ignore-not-found")
	})
	version, err := os.ReadFile("../../VERSION")
	if err != nil {
		t.Fatal(err)
	}
	// What a release has there, config/default renders.
	url := "https://github.com/macpool/macpool/releases/download/" + strings.TrimSpace(string(version)) + "/install.yaml"
	var printed strings.Builder
	for _, s := range scripts {
		printed.WriteString(follow(t, s, strings.NewReplacer(url, manifest)))
	}
	// What the reader has seen by the end.
	for _, want := range []string{
		"link/ether 02:32:00:a8:32:08", "inet 192.168.50.8/24", "3 packets received",
		"MP101: MAC f1:fd:59:0b:bd:2b is a multicast address",
	} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("the commands have not printed %q; they printed\n%s", want, printed.String())
		}
	}
}

// follow types a block of commands into a shell, with what is to be downloaded replaced by what is here, and returns what is
// printed.
func follow(t *testing.T, script docs.Block, local *strings.Replacer) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-eu")
	cmd.Stdin = strings.NewReader(local.Replace(script.Text))
	cmd.Env = append(os.Environ(), "KUBECONFIG="+box.kubeconfig(), "PATH="+filepath.Dir(box.kubectlBin)+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	t.Logf("%s\n%s\n%s", script, script.Text, out)
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return string(out)
}
