// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"context"
	"strings"
	"testing"
)

// TestNodesFiles follows the plugin on the nodes: a reference plugin that the distribution does not ship is brought where that
// is asked for, one that it ships is left as it is, and the cleanup after an uninstall takes away what was brought and nothing
// else.
func TestNodesFiles(t *testing.T) {
	const dir = "/opt/cni/bin"
	// n1 is of a distribution without tuning.
	onNode(t, "n1", "mv", dir+"/tuning", dir+"/.tuning")
	t.Cleanup(func() {
		if out, err := tryOnNode(context.Background(), "n1", "mv", dir+"/.tuning", dir+"/tuning"); err != nil {
			t.Errorf("putting tuning back: %v: %s", err, out)
		}
	})
	t.Cleanup(func() { install(t) })
	macvlan := onNode(t, "n1", "sha256sum", dir+"/macvlan")

	kubectl(t, "-n", "macpool-system", "set", "env", "daemonset/macpool-agent", "-c", "installer", "MACPOOL_REFERENCE_PLUGINS=macvlan,tuning")
	kubectl(t, "-n", "macpool-system", "rollout", "status", "daemonset/macpool-agent", "--timeout=100s")
	onNode(t, "n1", "test", "-x", dir+"/tuning")
	if after := onNode(t, "n1", "sha256sum", dir+"/macvlan"); after != macvlan {
		t.Errorf("the distribution's macvlan was replaced: %s, was %s", after, macvlan)
	}

	kubectl(t, "delete", "-k", "../../config/default", "--timeout=90s")
	for _, node := range nodeNames(t) {
		onNode(t, node, "test", "-x", dir+"/macpool") // for the pods that are still to end
	}
	kubectl(t, "apply", "-k", "../../config/cleanup")
	kubectl(t, "-n", "macpool-cleanup", "rollout", "status", "daemonset/macpool-cleanup", "--timeout=100s")
	kubectl(t, "delete", "-k", "../../config/cleanup", "--timeout=90s")
	for node, gone := range map[string]string{"n1": "macpool tuning", "n2": "macpool"} {
		files := strings.Fields(onNode(t, node, "ls", dir))
		has := map[string]bool{}
		for _, f := range files {
			has[f] = true
		}
		for f := range strings.FieldsSeq(gone) {
			if has[f] {
				t.Errorf("%s is left on node %s", f, node)
			}
		}
		if !has["macvlan"] || has["tuning"] != (node == "n2") {
			t.Errorf("what the distribution ships is not as it was on node %s: %v", node, files)
		}
	}
}
