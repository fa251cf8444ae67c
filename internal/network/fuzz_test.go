// SPDX-License-Identifier: Apache-2.0

package network

import (
	"slices"
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// FuzzLint : T5. Whatever the configuration of a network is, what is wrong with it is told in entries of the catalogue, each once, in sentences
// whose length does not follow the configuration's; what is read of it is the same each time; and a network that does not speak of macpool is not ours to judge.
func FuzzLint(f *testing.F) {
	for _, seed := range []string{
		`{"cniVersion":"1.0.0","name":"iot","plugins":[{"type":"macvlan","master":"eth0.50","mode":"bridge","ipam":{"type":"macpool","pool":"iot"}},{"type":"macpool"}]}`,
		`{"cniVersion":"1.0.0","type":"macpool","pool":"iot","delegate":{"type":"macvlan","ipam":{"type":"dhcp"}}}`,
		`{"plugins":[{"type":"bridge","vlan":7,"ipam":{"type":"macpool","addresses":[],"range":1}},{"type":"tuning","mac":"f1:fd:59:0b:bd:2b"},{"type":"x","ipam":{"type":"static"}}]}`,
		`{"type":"vlan","master":"eth0","vlanId":50,"capabilities":{"mac":true,"ips":1},"ipam":{"type":"macpool","pool":7}}`,
		`{"type":"macpool","delegate":null}`, `{"type":"macpool","delegate":[]}`, `{"plugins":[null,{"type":"macpool"}]}`, `{"plugins":[7]}`, `{"plugins":"macpool"}`,
		`{"cniVersions":["9.9.9"],"type":"ovs","ipam":{"type":"macpool"},"podMACPrefix":"02:00"}`, `macpool`, ``, `null`, `[]`,
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	vlan := int32(50)
	pool := &v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: "iot"}, Spec: v1alpha1.MacPoolSpec{
		VLAN: &vlan, Subnets: []v1alpha1.Subnet{{CIDR: "192.168.50.0/24"}},
	}}
	alone := &v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: "iot"}, Spec: v1alpha1.MacPoolSpec{VLAN: &vlan}}
	f.Fuzz(func(t *testing.T, config string, addresses bool) {
		nad := &nadv1.NetworkAttachmentDefinition{
			ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "iot"}, Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: config},
		}
		with := alone
		if addresses {
			with = pool
		}
		for _, p := range []*v1alpha1.MacPool{nil, with} {
			problems := Lint(nad, p)
			var codes []string
			for _, found := range problems {
				codes = append(codes, found.Kind.Code)
				if problem.As(found) == nil || found.Message == "" || len(found.Sentence()) > 4096 {
					t.Errorf("%d bytes are said of %q: %.200s", len(found.Sentence()), config, found.Sentence())
				}
			}
			if slices.Sort(codes); len(slices.Compact(slices.Clone(codes))) != len(codes) {
				t.Errorf("%q: %v", config, codes)
			}
			if len(problems) > 0 && !strings.Contains(config, "macpool") && !strings.Contains(config, `\u`) {
				t.Errorf("%q does not speak of macpool: %v", config, codes)
			}
		}
		n, trouble := Of(nad)
		again, _ := Of(nad)
		if n.Pool != again.Pool || n.Ours != again.Ours || trouble != nil && n.Ours || !n.Ours && (n.Pool != "" || n.Chained) {
			t.Errorf("%q is %+v, and %+v", config, n, again)
		}
		if types := PluginsOf(nad); !slices.IsSorted(types) || slices.Contains(types, "") {
			t.Errorf("%q has the plugins %q", config, types)
		}
		w := n.Wish(Selection{Direct: Wish{IPs: []string{"192.168.50.8"}, MAC: "m"}})
		if len(w.IPs) == 0 || w.MAC == "" {
			t.Errorf("%q takes the pod's wish away: %+v", config, w)
		}
		_ = NameOf(nad)
	})
}
