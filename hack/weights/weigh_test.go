// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPackageOf(t *testing.T) {
	tests := map[string]string{
		"main.main":                               "main",
		"runtime.mallocgc":                        "runtime",
		"k8s.io/api/core/v1.(*Pod).Marshal":       "k8s.io/api/core/v1",
		"k8s.io/api/core/v1.Pod.Marshal-fm":       "k8s.io/api/core/v1",
		"gopkg.in/inf%2ev0.(*Dec).Add":            "gopkg.in/inf.v0",
		"go:itab.*net.TCPConn,net.Conn":           "net",
		"type:.eq.github.com/spf13/cobra.Command": "github.com/spf13/cobra",
		"type:.eq.[2]net/netip.Addr":              "net/netip",
		"slices.SortFunc[go.shape.[]k8s.io/api/core/v1.Pod,go.shape.struct {}]": "slices",
		"github.com/google/btree.(*BTreeG[go.shape.int]).Insert":                "github.com/google/btree",
		"go:string.*":              "",
		"type:*":                   "",
		"_rt0_amd64_linux":         "",
		"github.com/a/b.init.0":    "github.com/a/b",
		"github.com/a/b..inittask": "github.com/a/b",
	}
	for symbol, want := range tests {
		if got := packageOf(symbol); got != want {
			t.Errorf("packageOf(%q) = %q; want %q", symbol, got, want)
		}
	}
}

func TestModuleOf(t *testing.T) {
	modules := []string{"go.opentelemetry.io/otel", "go.opentelemetry.io/otel/trace", "github.com/a/b"}
	tests := map[string]string{
		"go.opentelemetry.io/otel/trace/embedded": "go.opentelemetry.io/otel/trace",
		"go.opentelemetry.io/otel/codes":          "go.opentelemetry.io/otel",
		"github.com/a/bc":                         library,
		"github.com/a/b":                          "github.com/a/b",
		"main":                                    ours,
		ours + "/internal/mac":                    ours,
		"net/http":                                library,
	}
	for path, want := range tests {
		if got := moduleOf(path, modules); got != want {
			t.Errorf("moduleOf(%q) = %q; want %q", path, got, want)
		}
	}
}

// TestWeigh weighs the plugin: what has a name is less than all of it, what it is built of is in it, and nothing of Kubernetes is.
func TestWeigh(t *testing.T) {
	dir := t.TempDir()
	if err := build(t.Context(), "macpool", dir); err != nil {
		t.Fatal(err)
	}
	w, err := weigh(filepath.Join(dir, "macpool"))
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for module, size := range w.modules {
		sum += size
		if strings.HasPrefix(module, "k8s.io/") || strings.HasPrefix(module, "sigs.k8s.io/") {
			t.Errorf("%s has %d bytes in the plugin", module, size)
		}
	}
	for _, module := range []string{library, ours, "github.com/containernetworking/cni"} {
		if w.modules[module] < 10<<10 {
			t.Errorf("%s has %d bytes", module, w.modules[module])
		}
	}
	if sum >= w.whole {
		t.Errorf("%d of %d bytes have a name", sum, w.whole)
	}
}

func TestTable(t *testing.T) {
	weights := map[string]*weight{}
	for _, program := range programs {
		weights[program] = &weight{whole: 1000 << 10, modules: map[string]int64{library: 300 << 10, ours: 100 << 10}}
	}
	weights["agent"].modules["example.com/asked"] = 2 << 10
	weights["agent"].modules["example.com/large"] = 10 << 10
	weights["macpool"].modules["example.com/small"] = 9 << 10
	want := `| KiB | manager | agent | macpool | installer | kubectl-macpool |
|---|---:|---:|---:|---:|---:|
| ` + "`example.com/large`" + ` | | 10 | | | |
| ` + "`example.com/asked`" + ` | | 2 | | | |
| all other modules | | | 9 | | |
| macpool itself | 100 | 100 | 100 | 100 | 100 |
| Go's library and runtime | 300 | 300 | 300 | 300 | 300 |
| types, texts and tables of all | 600 | 588 | 591 | 600 | 600 |
| **in all** | 1000 | 1000 | 1000 | 1000 | 1000 |
`
	if diff := cmp.Diff(want, table(weights, []string{"example.com/asked", "example.com/for-tests"})); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	page, err := replace([]byte("a\n"+begin+"old\n"+end+"b\n"), "new\n")
	if err != nil || string(page) != "a\n"+begin+"new\n"+end+"b\n" {
		t.Errorf("got %q, %v", page, err)
	}
	if _, err := replace([]byte("a\n"), "new\n"); err == nil {
		t.Error("a page without markers is no error")
	}
}

const page = "../../docs/dependencies.md"

// reviewed matches the first cell of a row that says what a module is for.
var reviewed = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [^0-9|]")

// TestReviewed has docs/dependencies.md say of each module that is asked for by hand, and of nothing else, what it is for.
func TestReviewed(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, after, _ := strings.Cut(string(text), begin)
	_, after, _ = strings.Cut(after, end)
	var got []string
	for _, match := range reviewed.FindAllStringSubmatch(before+after, -1) {
		got = append(got, match[1])
	}
	var want []string
	for _, file := range []string{"../../go.mod", "../release/go.mod", "../kube/go.mod"} {
		direct, err := requirements(file)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, direct...)
	}
	for _, file := range []string{"../lint/go.mod", "../etcd/go.mod", "../helm/go.mod", "../multus/go.mod"} {
		tools, err := toolsOf(file)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, tools...)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(slices.Compact(want), got); diff != "" {
		t.Errorf("modules in %s (-asked for +said):\n%s", page, diff)
	}
}

var toolLine = regexp.MustCompile(`(?m)^(?:tool |\t)([a-z0-9.-]+\.[a-z]+/\S+)$`)

// toolsOf are the tools of a go.mod that asks for nothing else.
func toolsOf(file string) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var tools []string
	for _, match := range toolLine.FindAllStringSubmatch(string(text), -1) {
		tools = append(tools, match[1])
	}
	return tools, nil
}
