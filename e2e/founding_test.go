// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

// TestFoundingCase applies the two manifests of the founding case with only the ipam changed: the address that the pod asks
// for, the MAC that follows from it, the routes as written, and an event that asks for the chained entry.
func TestFoundingCase(t *testing.T) {
	namespace(t, "network")
	pool := newPool("founding", vlanFounding, 1)
	pool.Spec.Subnets = []v1alpha1.Subnet{{CIDR: "192.168.50.0/24", Gateway: "192.168.50.1"}}
	pool.Spec.MAC = &v1alpha1.MACPolicy{Prefix: "02:32:00"}
	createPool(t, pool)
	createNetwork(t, "network", "iot-vlan", fmt.Sprintf(`{"cniVersion": "0.3.1", "name": "iot-vlan", "plugins": [
		{"type": "macvlan", "master": "eth0.%d", "mode": "bridge",
		 "ipam": {"type": "macpool", "pool": "founding", "routes": [{"dst": "192.168.50.0/24", "gw": "192.168.50.1"}]}},
		{"type": "tuning", "capabilities": {"mac": true, "ips": true}}]}`, vlanFounding))
	s := runPod(t, "network", "home-assistant", `[{"name": "iot-vlan", "namespace": "network", "ips": ["192.168.50.8/24"]}]`, cluster.Nodes[0])
	link := linkOf(t, s)
	if want := netip.MustParsePrefix("192.168.50.8/24"); link.MAC != "02:32:00:a8:32:08" || !slices.Equal(link.IPs, []netip.Prefix{want}) {
		t.Errorf("got\n%s\nwant 02:32:00:a8:32:08 and %s", link, want)
	}
	if !slices.Contains(link.Routes, "192.168.50.0/24 via 192.168.50.1") {
		t.Errorf("the network's route is missing:\n%s", link)
	}
	assertTruthful(t, s)
	awaitEvent(t, "network", "NetworkAttachmentDefinition", "iot-vlan", "ChainedEntryMissing")

	// The MAC of the founding case is refused when the pod is applied.
	bad := lab.NewPod("network", "typed-mac", `[{"name": "iot-vlan", "ips": ["192.168.50.9/24"], "mac": "f1:fd:59:0b:bd:2b"}]`)
	assertRefused(t, cluster.Client.Create(t.Context(), bad), "f1:fd:59:0b:bd:2b", "multicast", "f2:fd:59:0b:bd:2b")
}

// TestMissingChainedEntry : without the chained entry a pod works, the result's MAC is stale, CHECK says why, and the network
// gets an event.
func TestMissingChainedEntry(t *testing.T) {
	namespace(t, "unchained")
	createPool(t, newPool("unchained", vlanEnd+3, 10))
	createNetwork(t, "unchained", "net", fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "net", "type": "macvlan", "master": "eth0.%d", "mode": "bridge",
		"ipam": {"type": "macpool", "pool": "unchained"}}`, vlanBadInput))
	s := runPod(t, "unchained", "pod", "net", cluster.Nodes[0])
	assertTruthful(t, s)
	if got := statusMAC(t, s); got == linkOf(t, s).MAC {
		t.Errorf("network-status has the leased %s: nothing is left for the chained entry to do", got)
	}
	assertProblem(t, s.Attachments[0].Check(t.Context()), "MP405")
	awaitEvent(t, "unchained", "NetworkAttachmentDefinition", "net", "ChainedEntryMissing")
}

// assertRefused fails unless the API server refused with a message that contains all parts.
func assertRefused(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("the API server took it")
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("the refusal does not say %q: %v", p, err)
		}
	}
}
