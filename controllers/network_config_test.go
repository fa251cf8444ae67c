// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"

	"github.com/macpool/macpool/internal/problem"
)

func TestNetworkOf(t *testing.T) {
	const ipam = `"ipam": {"type": "macpool", "pool": "iot"}`
	for name, tc := range map[string]struct {
		config string
		want   network
	}{
		"single":              {`{"type": "macvlan", ` + ipam + `}`, network{Ours: true, Pool: "iot"}},
		"list":                {`{"plugins": [{"type": "macvlan", ` + ipam + `}]}`, network{Ours: true, Pool: "iot"}},
		"list, second":        {`{"plugins": [{"type": "x"}, {"type": "macvlan", ` + ipam + `}, {"type": "macpool"}]}`, network{Ours: true, Pool: "iot", Chained: true}},
		"chained too early":   {`{"plugins": [{"type": "macpool"}, {"type": "macvlan", ` + ipam + `}]}`, network{Ours: true, Pool: "iot"}},
		"chained only":        {`{"plugins": [{"type": "macvlan"}, {"type": "macpool"}]}`, network{}},
		"capabilities":        {`{"type": "macvlan", "capabilities": {"ips": true, "mac": false}, ` + ipam + `}`, network{Ours: true, Pool: "iot", ipsCapability: true}},
		"of another plugin":   {`{"plugins": [{"type": "macvlan", ` + ipam + `}, {"type": "tuning", "capabilities": {"ips": true, "mac": true}}]}`, network{Ours: true, Pool: "iot"}},
		"args":                {`{"type": "macvlan", "args": {"cni": {"ips": ["a"], "mac": "b"}}, ` + ipam + `}`, network{Ours: true, Pool: "iot", args: wishText{IPs: []string{"a"}, MAC: "b"}}},
		"args of no sense":    {`{"type": "macvlan", "args": {"cni": {"ips": 5}}, ` + ipam + `}`, network{Ours: true, Pool: "iot"}},
		"no pool":             {`{"type": "macvlan", "ipam": {"type": "macpool"}}`, network{Ours: true}},
		"pool no string":      {`{"type": "macvlan", "ipam": {"type": "macpool", "pool": {}}}`, network{Ours: true}},
		"others":              {`{"type": "macvlan", "ipam": {"type": "static"}}`, network{}},
		"ipam of no sense":    {`{"type": "macvlan", "ipam": "macpool"}`, network{}},
		"ipam is a list":      {`{"type": "macvlan", "ipam": []}`, network{}},
		"empty list":          {`{"plugins": []}`, network{}},
		"no object":           {`[1, 2]`, network{}},
		"nothing":             {``, network{}},
		"others' plugin list": {`{"plugins": "none"}`, network{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := networkOf(&nadv1.NetworkAttachmentDefinition{Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: tc.config}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(network{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, config := range []string{`{"ipam": {"type": "macpool"}`, `{"type": "macpool", "plugins": 5}`} {
		_, err := networkOf(&nadv1.NetworkAttachmentDefinition{Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: config}})
		if err == nil || err.Kind != problem.BadConfig {
			t.Errorf("%s: %v", config, err)
		}
	}
}

func TestWish(t *testing.T) {
	direct, args, own := wishText{[]string{"direct"}, "direct"}, wishText{[]string{"args"}, "args"}, wishText{[]string{"own"}, "own"}
	for name, tc := range map[string]struct {
		network network
		asked   selection
		want    wishText
	}{
		"nothing":                       {},
		"direct":                        {asked: selection{Direct: direct}, want: direct},
		"args over direct":              {asked: selection{Direct: direct, Args: args}, want: args},
		"own over direct":               {network{args: own}, selection{Direct: direct}, own},
		"args over own":                 {network{args: own}, selection{Args: args}, args},
		"capable direct over all":       {network{args: own, ipsCapability: true, macCapability: true}, selection{Direct: direct, Args: args}, direct},
		"capable of ips only":           {network{ipsCapability: true}, selection{Direct: direct, Args: args}, wishText{[]string{"direct"}, "args"}},
		"capable, but nothing asked so": {network{ipsCapability: true, macCapability: true}, selection{Args: args}, args},
		"each part for itself":          {network{args: wishText{MAC: "own"}}, selection{Direct: direct}, wishText{[]string{"direct"}, "own"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.network.wish(tc.asked)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
