// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The plugin is executed for every verb of every attachment; what it links, each of them pays.

func TestNoKubernetesLibrary(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "github.com/macpool/macpool/cmd/macpool").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if len(packages) < 50 {
		t.Fatalf("go list knows only %d packages", len(packages))
	}
	for _, pkg := range packages {
		if strings.HasPrefix(pkg, "k8s.io/") || strings.HasPrefix(pkg, "sigs.k8s.io/") || strings.HasPrefix(pkg, "go.opentelemetry.io/") || pkg == "net/http" {
			t.Errorf("the plugin links %s", pkg)
		}
	}
}

func TestSize(t *testing.T) {
	const budget = 4_000_000
	info, err := os.Stat(pluginBinary)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > budget {
		t.Errorf("the stripped plugin has %d octets, more than %d", info.Size(), budget)
	}
}
