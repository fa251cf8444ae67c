// SPDX-License-Identifier: Apache-2.0

package installer_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/internal/installer/report"
)

// What kubectl macpool doctor is told of a node is what is there: directories and what is in them, Multus' configuration and one that Cilium has
// renamed away, before anything is installed and after.
func TestReport(t *testing.T) {
	n := newNode(t, tree{
		"/etc/containerd/config.toml":                   "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.cni]\nbin_dir = '/opt/cni/bin'\n",
		"/opt/cni/bin/macvlan":                          "a plugin",
		"/etc/cni/net.d/00-cilium.conflist":             `{"plugins": [{"type": "cilium-cni"}]}`,
		"/etc/cni/net.d/10-multus.conf":                 `{"type": "multus-shim"}`,
		"/etc/cni/net.d/00-multus.conflist.cilium_bak":  `{"type": "multus-shim"}`,
		"/run/multus/cni/net.d/00-notes-of-someone.txt": "nothing",
	})
	ask := func() report.Node {
		t.Helper()
		i := n.installer()
		got, err := i.Report()
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
		return got
	}
	const dir, source = "/opt/cni/bin", "/etc/containerd/config.toml"
	before := ask()
	want := report.Node{
		Problem:     "/opt/cni/bin/macpool: not installed yet",
		Directories: []report.Directory{{Dir: dir, Source: source, Plugins: before.Directories[0].Plugins, Own: report.Missing}},
		Multus:      []report.Configuration{{File: "/etc/cni/net.d/10-multus.conf", Before: "/etc/cni/net.d/00-cilium.conflist"}},
		Renamed:     []string{"/etc/cni/net.d/00-multus.conflist.cilium_bak"},
	}
	if diff := cmp.Diff(want, before); diff != "" {
		t.Error(diff)
	}
	n.install()
	after := ask()
	if after.Problem != "" || after.Directories[0].Own != report.Current {
		t.Errorf("after the installation: %+v", after)
	}
	n.write("/opt/cni/bin/macpool", "somebody else's")
	if replaced := ask(); replaced.Problem == "" || replaced.Directories[0].Own != report.Differs {
		t.Errorf("after somebody has replaced the plugin: %+v", replaced)
	}
}
