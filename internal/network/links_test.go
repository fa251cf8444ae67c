// SPDX-License-Identifier: Apache-2.0

package network

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// Links are those that a network names, and by which the pool's VLAN is reached.
func TestLinksOf(t *testing.T) {
	var networks []nadv1.NetworkAttachmentDefinition
	for _, plugin := range []string{
		`{"type": "macvlan", "master": "eth0.50", "ipam": {"type": "macpool"}}`,
		`{"type": "macvlan", "master": "eth0.50", "ipam": {"type": "macpool"}}`,
		`{"type": "bridge", "bridge": "br50", "ipam": {"type": "macpool"}}`,
		`{"type": "vlan", "master": "eth0", "vlanId": 50, "ipam": {"type": "macpool"}}`,
		`{"type": "macvlan", "master": "eth7", "ipam": {"type": "host-local"}}`,
		`nonsense of macpool`,
	} {
		networks = append(networks, nadv1.NetworkAttachmentDefinition{Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: plugin}})
	}
	if diff := cmp.Diff([]string{"br50", "eth0.50"}, LinksOf(networks)); diff != "" {
		t.Error(diff)
	}
	for i := range 20 {
		plugin := fmt.Sprintf(`{"type": "macvlan", "master": "eth%d", "ipam": {"type": "macpool"}}`, i)
		networks = append(networks, nadv1.NetworkAttachmentDefinition{Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: plugin}})
	}
	if links := LinksOf(networks); len(links) != maxLinks {
		t.Errorf("%d links", len(links))
	}
}

// The links to a pool's VLAN are those that it names itself, and as many of its networks' as there is room for.
func TestLinksTo(t *testing.T) {
	pool := poolOn(50)
	pool.Spec.Parents = []v1alpha1.Parent{{Link: "bond0.50"}, {Link: "eth0.50"}}
	networks := []nadv1.NetworkAttachmentDefinition{
		*nadOf("a", listed(delegating(`{"type": "macvlan"}`))),
		*nadOf("b", listed(delegating(`{"type": "bridge", "bridge": "br50"}`))),
		*nadOf("c", chain(leasing("macvlan", `"master": "eth0.50"`))),
	}
	if diff := cmp.Diff([]string{"bond0.50", "br50", "eth0.50"}, LinksTo(pool, networks)); diff != "" {
		t.Error(diff)
	}
	for i := range 2 * maxLinks {
		networks = append(networks, *nadOf("n", listed(delegating(fmt.Sprintf(`{"type": "bridge", "bridge": "a%d"}`, i)))))
	}
	if links := LinksTo(pool, networks); len(links) > maxLinks || !slices.Contains(links, "eth0.50") || !slices.Contains(links, "bond0.50") {
		t.Errorf("got %v", links)
	}
}
