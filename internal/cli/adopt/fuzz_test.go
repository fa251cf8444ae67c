// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/macpool/macpool/internal/binding"
)

// FuzzAdopt : Networks, annotations and whereabouts' records are others' to write. Whatever is in them, an adoption proposes pools that can
// be made, or says of one that it cannot, and claims of addresses that the pools have, each of them once; what it makes of the cluster does not
// depend on the order in which it is read, and a second adoption makes nothing more.
func FuzzAdopt(f *testing.F) {
	const typed = `[{"name": "iot", "ips": ["192.168.50.8/24"], "mac": "02:00:00:00:00:01"}]`
	f.Add(`{"type": "macvlan", "master": "eth0.50", "ipam": {"type": "whereabouts", "range": "192.168.50.0/24", "exclude": ["192.168.50.0/28"], "gateway": "192.168.50.1"}}`,
		"iot", "192.168.50.0/24", "20", "home/web")
	f.Add(`{"type": "macvlan", "master": "eth0.50", "ipam": {"type": "static"}}`, typed, "", "0", "")
	f.Add(`{"plugins": [{"type": "bridge", "vlan": 4095, "ipam": {"type": "static", "addresses": [{"address": "10.0.0.1/8", "gateway": "fe80::1%\nx"}]}}]}`, "iot@net7", "x", "-1", "/")
	f.Add(`{"ipam": {"type": "whereabouts", "ipRanges": [{"range": "fd00::1-fd00::9/64"}, {"range": "10.0.0.1-10.0.0.9/30", "exclude": ["0.0.0.0/0"]}]}}`,
		"iot,iot", "fd00::/64", "18446744073709551617", "home/web")
	f.Add(`{"type": "vlan", "vlanId": -7, "ipam": {"type": "whereabouts", "range": "0.0.0.0/0", "range_start": "255.255.255.255"}}`, "iot", "0.0.0.0/0", "4294967295", "home/web")
	f.Add(`{"ipam": {"type": "whereabouts", "range": "192.168.50.0/32"}}`, typed, "192.168.50.0/32", "1", "home/web/x")
	f.Fuzz(func(t *testing.T, config, annotation, span, distance, podRef string) {
		inv := &inventory{
			networks: []nadv1.NetworkAttachmentDefinition{{
				ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "iot"}, Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: config},
			}},
			templates: []template{{kind: "Deployment", namespace: "home", name: "app", annotation: annotation, surge: true}},
		}
		for _, name := range []string{"web", "web-2"} {
			inv.pods = append(inv.pods, corev1.Pod{ObjectMeta: metav1.ObjectMeta{
				Namespace: "home", Name: name, UID: "1", Annotations: map[string]string{nadv1.NetworkAttachmentAnnot: annotation},
			}})
		}
		records := []unstructured.Unstructured{{Object: map[string]any{
			"kind": "IPPool", "spec": map[string]any{
				"range": span, "allocations": map[string]any{distance: map[string]any{"podref": podRef, "ifname": "net1"}},
			},
		}}}
		var err error
		if inv.allocations, err = recorded(records); err != nil {
			t.Fatal(err)
		}
		p, err := newPlan(inv, options{})
		if err != nil {
			t.Fatal(err)
		}
		checkProposals(t, p)
		said := render(t, p)
		again, err := newPlan(inv, options{})
		if err != nil || render(t, again) != said {
			t.Errorf("the second time it is another adoption, %v:\n%s\n%s", err, said, render(t, again))
		}
		for _, pool := range p.pools {
			if _, err := binding.PlanOf(pool); err != nil {
				return // it has been said, and nothing can be made of it
			}
			inv.pools = append(inv.pools, *pool)
		}
		for _, claim := range p.claims {
			inv.claims = append(inv.claims, *claim)
		}
		if again, err = newPlan(inv, options{}); err != nil || len(again.objects()) != 0 {
			t.Errorf("the second time %d objects are to be made, %v, the first time\n%s", len(again.objects()), err, said)
		}
	})
}

// checkProposals: what is proposed can be made, or is said to be impossible.
func checkProposals(t *testing.T, p *plan) {
	t.Helper()
	for _, pool := range p.pools {
		if _, err := binding.PlanOf(pool); err != nil && !p.conflicts() {
			t.Errorf("pool %+v cannot be made, and nothing says so: %v", pool.Spec, err)
		}
	}
	taken := map[string]bool{}
	for _, claim := range p.claims {
		for _, text := range claim.Spec.IPs {
			ip, err := netip.ParseAddr(string(text))
			if err != nil || ip.Zone() != "" || ip.Is4In6() || ip.String() != string(text) {
				t.Errorf("claim %s asks for %q", claim.Name, text)
			}
			key := fmt.Sprint(claim.Spec.PoolRef.Name, " ", text)
			if taken[key] {
				t.Errorf("%s is for two claims", key)
			}
			taken[key] = true
		}
	}
}

// render is all that is said of an adoption.
func render(t *testing.T, p *plan) string {
	t.Helper()
	var out bytes.Buffer
	a := &answer{plan: p, verb: "to be created"}
	if err := a.Print(&out, false); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join([]string{out.String(), string(text)}, "\n")
}
