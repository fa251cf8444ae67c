// SPDX-License-Identifier: Apache-2.0

package network

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"

	"github.com/macpool/macpool/internal/problem"
)

func TestOf(t *testing.T) {
	const ipam = `"ipam": {"type": "macpool", "pool": "iot"}`
	for name, tc := range map[string]struct {
		config string
		want   Network
	}{
		"single":              {`{"type": "macvlan", ` + ipam + `}`, Network{Ours: true, Pool: "iot"}},
		"list":                {`{"plugins": [{"type": "macvlan", ` + ipam + `}]}`, Network{Ours: true, Pool: "iot"}},
		"list, second":        {`{"plugins": [{"type": "x"}, {"type": "macvlan", ` + ipam + `}, {"type": "macpool"}]}`, Network{Ours: true, Pool: "iot", Chained: true}},
		"chained too early":   {`{"plugins": [{"type": "macpool"}, {"type": "macvlan", ` + ipam + `}]}`, Network{Ours: true, Pool: "iot"}},
		"chained only":        {`{"plugins": [{"type": "macvlan"}, {"type": "macpool"}]}`, Network{}},
		"capabilities":        {`{"type": "macvlan", "capabilities": {"ips": true, "mac": false}, ` + ipam + `}`, Network{Ours: true, Pool: "iot", ipsCapability: true}},
		"of another plugin":   {`{"plugins": [{"type": "macvlan", ` + ipam + `}, {"type": "tuning", "capabilities": {"ips": true, "mac": true}}]}`, Network{Ours: true, Pool: "iot"}},
		"args":                {`{"type": "macvlan", "args": {"cni": {"ips": ["a"], "mac": "b"}}, ` + ipam + `}`, Network{Ours: true, Pool: "iot", args: Wish{IPs: []string{"a"}, MAC: "b"}}},
		"args of no sense":    {`{"type": "macvlan", "args": {"cni": {"ips": 5}}, ` + ipam + `}`, Network{Ours: true, Pool: "iot"}},
		"no pool":             {`{"type": "macvlan", "ipam": {"type": "macpool"}}`, Network{Ours: true}},
		"pool no string":      {`{"type": "macvlan", "ipam": {"type": "macpool", "pool": {}}}`, Network{Ours: true}},
		"others":              {`{"type": "macvlan", "ipam": {"type": "static"}}`, Network{}},
		"ipam of no sense":    {`{"type": "macvlan", "ipam": "macpool"}`, Network{}},
		"ipam is a list":      {`{"type": "macvlan", "ipam": []}`, Network{}},
		"empty list":          {`{"plugins": []}`, Network{}},
		"no object":           {`[1, 2]`, Network{}},
		"nothing":             {``, Network{}},
		"others' plugin list": {`{"plugins": "none"}`, Network{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Of(&nadv1.NetworkAttachmentDefinition{Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: tc.config}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(Network{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, config := range []string{`{"ipam": {"type": "macpool"}`, `{"type": "macpool", "plugins": 5}`} {
		_, err := Of(&nadv1.NetworkAttachmentDefinition{Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: config}})
		if err == nil || err.Kind != problem.BadConfig {
			t.Errorf("%s: %v", config, err)
		}
	}
}

func TestWish(t *testing.T) {
	direct, args, own := Wish{[]string{"direct"}, "direct"}, Wish{[]string{"args"}, "args"}, Wish{[]string{"own"}, "own"}
	for name, tc := range map[string]struct {
		network Network
		asked   Selection
		want    Wish
	}{
		"nothing":                       {},
		"direct":                        {asked: Selection{Direct: direct}, want: direct},
		"args over direct":              {asked: Selection{Direct: direct, Args: args}, want: args},
		"own over direct":               {Network{args: own}, Selection{Direct: direct}, own},
		"args over own":                 {Network{args: own}, Selection{Args: args}, args},
		"capable direct over all":       {Network{args: own, ipsCapability: true, macCapability: true}, Selection{Direct: direct, Args: args}, direct},
		"capable of ips only":           {Network{ipsCapability: true}, Selection{Direct: direct, Args: args}, Wish{[]string{"direct"}, "args"}},
		"capable, but nothing asked so": {Network{ipsCapability: true, macCapability: true}, Selection{Args: args}, args},
		"each part for itself":          {Network{args: Wish{MAC: "own"}}, Selection{Direct: direct}, Wish{[]string{"direct"}, "own"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.network.Wish(tc.asked)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
