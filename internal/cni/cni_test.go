// SPDX-License-Identifier: Apache-2.0

package cni_test

import (
	"testing"

	"github.com/macpool/macpool/internal/cni"
)

func TestRefusal(t *testing.T) {
	for name, tc := range map[string]struct {
		plugin, config string
		refused, fails bool
	}{
		"macvlan":              {plugin: "macvlan", config: `{}`},
		"macvlan bridge":       {plugin: "macvlan", config: `{"mode": "bridge"}`},
		"macvlan passthru":     {plugin: "macvlan", config: `{"mode": "passthru"}`, refused: true},
		"macvtap passthru":     {plugin: "macvtap", config: `{"mode": "passthru"}`, refused: true},
		"macvlan of no sense":  {plugin: "macvlan", config: `{"mode": 5}`, fails: true},
		"bridge":               {plugin: "bridge", config: `{"macspoofchk": false, "mode": 5}`},
		"bridge, spoof check":  {plugin: "bridge", config: `{"macspoofchk": true}`, refused: true},
		"bridge of no sense":   {plugin: "bridge", config: `{"macspoofchk": "yes"}`, fails: true},
		"ipvlan":               {plugin: "ipvlan", config: `{}`, refused: true},
		"ptp":                  {plugin: "ptp", config: `{}`, refused: true},
		"sriov":                {plugin: "sriov", config: `{}`, refused: true},
		"ovs":                  {plugin: "ovs", config: `{}`, refused: true},
		"vlan":                 {plugin: "vlan", config: `{"mode": "passthru"}`},
		"one that we know not": {plugin: "else", config: `nonsense`},
	} {
		t.Run(name, func(t *testing.T) {
			why, err := cni.Refusal(tc.plugin, []byte(tc.config))
			if (why != "") != tc.refused || (err != nil) != tc.fails {
				t.Errorf("refused because %q, %v", why, err)
			}
		})
	}
}

// A plugin that gets the MAC before it makes its interface can do more than one that is asked for it afterwards.
func TestDelegateRefusal(t *testing.T) {
	for name, tc := range map[string]struct {
		plugin, config string
		refused, fails bool
	}{
		"macvlan":             {plugin: "macvlan", config: `{"mode": "bridge"}`},
		"macvlan passthru":    {plugin: "macvlan", config: `{"mode": "passthru"}`, refused: true},
		"macvlan of no sense": {plugin: "macvlan", config: `{"mode": 5}`, fails: true},
		"bridge, spoof check": {plugin: "bridge", config: `{"macspoofchk": true}`},
		"sriov":               {plugin: "sriov", config: `{}`},
		"ovs":                 {plugin: "ovs", config: `{}`},
		"ipvlan":              {plugin: "ipvlan", config: `{}`, refused: true},
		"ptp":                 {plugin: "ptp", config: `{}`, refused: true},
		"one we know not":     {plugin: "else", config: `nonsense`},
	} {
		t.Run(name, func(t *testing.T) {
			why, err := cni.DelegateRefusal(tc.plugin, []byte(tc.config))
			if (why != "") != tc.refused || (err != nil) != tc.fails {
				t.Errorf("refused because %q, %v", why, err)
			}
		})
	}
}
