// SPDX-License-Identifier: Apache-2.0

package network

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/internal/problem"
)

func selecting(networks string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "home", Name: "pod", Annotations: map[string]string{nadv1.NetworkAttachmentAnnot: networks},
	}}
}

func TestSelectionsOf(t *testing.T) {
	at := func(namespace, name, iface string) Selection {
		return Selection{Interface: iface, Network: types.NamespacedName{Namespace: namespace, Name: name}}
	}
	for name, tc := range map[string]struct {
		networks string
		want     []Selection
	}{
		"none":       {networks: ""},
		"name":       {networks: "iot", want: []Selection{at("home", "iot", "net1")}},
		"elsewhere":  {networks: "network/iot", want: []Selection{at("network", "iot", "net1")}},
		"interface":  {networks: "network/iot@lan0", want: []Selection{at("network", "iot", "lan0")}},
		"comma list": {networks: "a, b@lan0 ,c", want: []Selection{at("home", "a", "net1"), at("home", "b", "lan0"), at("home", "c", "net3")}},
		"JSON":       {networks: `[{"name": "iot", "namespace": "network", "interface": "lan0"}]`, want: []Selection{at("network", "iot", "lan0")}},
		"JSON of strings and spaces": {
			networks: "\n [ {\"name\": \"a\"},\n {\"name\": \"b\"} ] \n", want: []Selection{at("home", "a", "net1"), at("home", "b", "net2")},
		},
		"founding case": {
			networks: `[{"name": "iot-vlan", "namespace": "network", "ips": ["192.168.50.8/24"], "mac": "f1:fd:59:0b:bd:2b"}]`,
			want: []Selection{{
				Interface: "net1", Network: types.NamespacedName{Namespace: "network", Name: "iot-vlan"},
				Direct: Wish{IPs: []string{"192.168.50.8/24"}, MAC: "f1:fd:59:0b:bd:2b"},
			}},
		},
		"cni-args": {
			networks: `[{"name": "iot", "cni-args": {"ips": ["a", "b"], "mac": "c", "other": {"x": 1}}}]`,
			want: []Selection{{
				Interface: "net1", Network: types.NamespacedName{Namespace: "home", Name: "iot"}, Args: Wish{IPs: []string{"a", "b"}, MAC: "c"},
			}},
		},
		"empty JSON list": {networks: "[]", want: []Selection{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := SelectionsOf(selecting(tc.networks))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Whatever a tenant writes, it is a problem of the catalogue or a list, and never a panic.
func FuzzSelectionsOf(f *testing.F) {
	for _, seed := range []string{
		"iot", "a/b@c,d", "a/b/c", "a@b@c", ",", "[", "[null]", `[{"name": null}]`, `{"name": "a"}`, `"a"`, `[{"name": "a", "cni-args": {"ips": {}}}]`,
		`[{"name": "a", "cni-args": null}]`, `[{"name": "a", "interface": "` + "\x00" + `"}]`, `[[]]`, `null`, `[{"name": "a", "default-route": ["x"]}]`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, networks string) {
		got, err := SelectionsOf(selecting(networks))
		if err != nil && err.Kind != problem.BadAnnotation {
			t.Errorf("%q: %v", networks, err)
		}
		for _, s := range got {
			if s.Interface == "" || len(s.Interface) > maxInterfaceName || s.Network.Name == "" || s.Network.Namespace == "" {
				t.Errorf("%q: %v", networks, s)
			}
		}
	})
}
