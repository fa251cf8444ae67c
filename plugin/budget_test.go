// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/macpool/macpool/internal/netnstest"
)

// The plugin is executed for every verb of every attachment; what it links, each of them pays.

// linked are the packages that the plugin links.
func linked(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "github.com/macpool/macpool/cmd/macpool").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if len(packages) < 50 {
		t.Fatalf("go list knows only %d packages", len(packages))
	}
	return packages
}

func TestNoKubernetesLibrary(t *testing.T) {
	for _, pkg := range linked(t) {
		if strings.HasPrefix(pkg, "k8s.io/") || strings.HasPrefix(pkg, "sigs.k8s.io/") || strings.HasPrefix(pkg, "go.opentelemetry.io/") || pkg == "net/http" {
			t.Errorf("the plugin links %s", pkg)
		}
	}
}

// A plugin that does nothing links 95.
func TestPackages(t *testing.T) {
	const budget = 113
	if got := len(linked(t)); got > budget {
		t.Errorf("the plugin links %d packages, more than %d", got, budget)
	}
}

func TestSize(t *testing.T) {
	const budget = 3_500_000
	info, err := os.Stat(pluginBinary)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > budget {
		t.Errorf("the stripped plugin has %d octets, more than %d", info.Size(), budget)
	}
}

// What packages do before main, each exec does, also one that needs none of it: maps, compiled expressions, catalogues.
func TestNothingIsDoneBeforehand(t *testing.T) {
	const (
		ours  = 4   // allocations of our own packages: the versions of CNI
		total = 210 // of all, with those of Go's runtime and of skel
	)
	cmd := exec.CommandContext(t.Context(), pluginBinary)
	cmd.Env = []string{"CNI_COMMAND=VERSION", "GODEBUG=inittrace=1"}
	var trace bytes.Buffer
	cmd.Stderr = &trace
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	byUs, byAll, packages := 0, 0, 0
	for lines := bufio.NewScanner(&trace); lines.Scan(); {
		// init os @0.27 ms, 0.012 ms clock, 416 bytes, 9 allocs
		words := strings.Fields(lines.Text())
		if len(words) != 11 || words[0] != "init" {
			continue
		}
		allocations, err := strconv.Atoi(words[9])
		if err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		packages++
		byAll += allocations
		if strings.HasPrefix(words[1], "github.com/macpool/") {
			byUs += allocations
			t.Log(lines.Text())
		}
	}
	t.Logf("%d packages allocate %d times", packages, byAll)
	if packages < 20 {
		t.Fatalf("Go tells of the start of %d packages only", packages)
	}
	if byUs > ours || byAll > total {
		t.Errorf("%d allocations beforehand, %d of them by our own packages; the budgets are %d and %d", byAll, byUs, total, ours)
	}
}

// All allocations of an ADD from the configuration to the result, with those of the agent's double.
func TestAllocationsOfAnAdd(t *testing.T) {
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	p, out := newPlugin(newAgent(t, leaseOf(ip4())))
	args := cmdArgs(sandbox, ipamConf("1.0.0", ""))
	got := testing.AllocsPerRun(50, func() {
		out.Reset()
		if err := p.Add(t.Context(), args); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("an ADD allocates %.0f times", got)
	if got > addBudget {
		t.Errorf("an ADD allocates %.0f times, more than %d", got, addBudget)
	}
}
