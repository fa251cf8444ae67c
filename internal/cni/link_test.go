// SPDX-License-Identifier: Apache-2.0

package cni_test

import (
	"testing"

	"github.com/macpool/macpool/internal/cni"
)

// A link is named only if what it carries untagged is the VLAN of the network: silence on any other would be taken for a free
// address (R-L1).
func TestLink(t *testing.T) {
	for name, tc := range map[string]struct{ plugin, config, want string }{
		"macvlan":                      {"macvlan", `{"master": "eth0.50", "mode": "bridge"}`, "eth0.50"},
		"macvlan by the default route": {"macvlan", `{"mode": "bridge"}`, ""},
		"macvlan in the pod":           {"macvlan", `{"master": "eth0.50", "linkInContainer": true}`, ""},
		"macvlan not in the pod":       {"macvlan", `{"master": "eth0.50", "linkInContainer": false}`, "eth0.50"},
		"macvlan, no name":             {"macvlan", `{"master": 5}`, ""},
		"macvlan, too long a name":     {"macvlan", `{"master": "a-long-name.1234"}`, ""},
		"macvlan, as long as it may":   {"macvlan", `{"master": "a-long-name.123"}`, "a-long-name.123"},
		"macvtap":                      {"macvtap", `{"master": "eth0.50"}`, "eth0.50"},
		"ipvlan":                       {"ipvlan", `{"master": "eth0.50"}`, "eth0.50"},
		"vlan":                         {"vlan", `{"master": "eth0", "vlanId": 50}`, ""},
		"bridge":                       {"bridge", `{"bridge": "br50"}`, "br50"},
		"bridge without a name":        {"bridge", `{}`, "cni0"},
		"bridge with an empty name":    {"bridge", `{"bridge": ""}`, ""},
		"bridge of VLANs":              {"bridge", `{"bridge": "br0", "vlan": 50}`, ""},
		"bridge of VLAN 0":             {"bridge", `{"bridge": "br0", "vlan": 0}`, "br0"},
		"bridge of several VLANs":      {"bridge", `{"bridge": "br0", "vlanTrunk": [{"id": 50}]}`, ""},
		"tap":                          {"tap", `{"bridge": "br50"}`, "br50"},
		"tap without a bridge":         {"tap", `{}`, ""},
		"host-device":                  {"host-device", `{"device": "eth1", "master": "eth0.50"}`, ""},
		"one that we know not":         {"else", `{"master": "eth0.50"}`, ""},
		"nonsense":                     {"macvlan", `nonsense`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := cni.Link(tc.plugin, []byte(tc.config)); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// macvlan without a master takes the link of the node's default route, which is another network.
func TestNeedsMaster(t *testing.T) {
	for name, tc := range map[string]struct {
		plugin, config string
		want           bool
	}{
		"none":            {"macvlan", `{"mode": "bridge"}`, true},
		"an empty one":    {"macvlan", `{"master": ""}`, true},
		"null":            {"macvlan", `{"master": null}`, true},
		"one":             {"macvlan", `{"master": "eth0.50"}`, false},
		"one of no sense": {"macvlan", `{"master": 5}`, false},
		"in the pod":      {"macvlan", `{"linkInContainer": true}`, false},
		"bridge":          {"bridge", `{}`, false},
		"sriov":           {"sriov", `{}`, false},
		"nonsense":        {"macvlan", `nonsense`, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := cni.NeedsMaster(tc.plugin, []byte(tc.config)); got != tc.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
