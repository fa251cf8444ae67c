// SPDX-License-Identifier: Apache-2.0

package network

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStatedByName(t *testing.T) {
	for name, want := range map[string]struct {
		vlan    int
		instead string
	}{
		"eth0.60":       {60, "eth0.50"},
		"eth0.0060":     {60, "eth0.0050"},
		"vlan60":        {60, "vlan50"},
		"vlan0060":      {60, "vlan0050"},
		"VLAN60":        {60, "VLAN50"},
		"bond0.60":      {60, "bond0.50"},
		"bond0.100.60":  {60, "bond0.100.50"},
		"eth0.vlan60":   {60, "eth0.vlan50"},
		"br-vlan60":     {60, "br-vlan50"},
		"eth0-vlan_60":  {60, "eth0-vlan_50"},
		"vlan.60":       {60, "vlan.50"},
		"enp0s31f6.1":   {1, "enp0s31f6.50"},
		"eth0.4094":     {4094, "eth0.50"},
		"eth0.4095":     {},
		"eth0.0":        {},
		"vlan0":         {},
		"eth0.12345":    {},
		"vlan12345":     {},
		"eth0":          {},
		"eth60":         {},
		"br60":          {},
		"bond0":         {},
		"macvlan60":     {},
		"vxlan60":       {},
		"wlan60":        {},
		"eth0-60":       {},
		"eth0:60":       {},
		"vlan60a":       {},
		"eth0.60.":      {},
		".60":           {},
		"60":            {},
		"":              {},
		"enp1s0f0np0.6": {6, "enp1s0f0np0.50"},
	} {
		got := statedByName("master", []byte(strconv.Quote(name)), 50)
		if got.vlan != want.vlan {
			t.Errorf("%s states VLAN %d, want %d", name, got.vlan, want.vlan)
		}
		instead := ""
		if want.vlan != 0 {
			instead = fmt.Sprintf(`"master": %q`, want.instead)
		}
		if got.instead != instead {
			t.Errorf("%s: write %s, want %s", name, got.instead, instead)
		}
	}
}

func TestStatedVLAN(t *testing.T) {
	for name, tc := range map[string]struct {
		plugin, settings string
		want             int
	}{
		"macvlan":                 {"macvlan", `"master": "eth0.60"`, 60},
		"macvtap":                 {"macvtap", `"master": "eth0.60"`, 60},
		"default route's link":    {"macvlan", `"mode": "bridge"`, 0},
		"master of no sense":      {"macvlan", `"master": 60`, 0},
		"vlan":                    {"vlan", `"master": "eth0", "vlanId": 60`, 60},
		"vlan in vlan":            {"vlan", `"master": "eth0.70", "vlanId": 60`, 60},
		"vlan without":            {"vlan", `"master": "eth0.70"`, 0},
		"vlan as text":            {"vlan", `"vlanId": "60"`, 0},
		"vlan out of range":       {"vlan", `"vlanId": 4095`, 0},
		"bridge by key":           {"bridge", `"bridge": "br0", "vlan": 60`, 60},
		"bridge by name":          {"bridge", `"bridge": "br0.60"`, 60},
		"bridge by key, not name": {"bridge", `"bridge": "br0.70", "vlan": 60`, 60},
		"bridge untagged":         {"bridge", `"bridge": "br0.60", "vlan": 0`, 60},
		"bridge":                  {"bridge", `"bridge": "br60", "master": "eth0.60"`, 0},
		"tap":                     {"tap", `"bridge": "vlan60"`, 60},
		"host-device":             {"host-device", `"device": "eth0.60"`, 60},
		"one that we know not":    {"else", `"master": "eth0.60"`, 60},
	} {
		t.Run(name, func(t *testing.T) {
			conf, trouble := confOf(nadOf("iot", chain(leasing(tc.plugin, tc.settings))))
			if trouble != nil {
				t.Fatal(trouble)
			}
			if got := statedVLAN(conf.plugins[0], 50).vlan; got != tc.want {
				t.Errorf("states VLAN %d, want %d", got, tc.want)
			}
		})
	}
}

func TestVLANMismatch(t *testing.T) {
	for name, tc := range map[string]struct {
		pool   int32
		master string
		want   string
	}{
		"the same":      {50, "eth0.50", ""},
		"zeros":         {50, "vlan0050", ""},
		"untagged pool": {0, "eth0.60", ""},
		"no VLAN named": {50, "eth0", ""},
		"another": {
			50, "bond0.60",
			`network home/iot puts its pods on VLAN 60 by "master": "bond0.60" of plugin macvlan, but its pool iot is of VLAN 50. Write "master": "bond0.50", or name a pool of VLAN 60.`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range Lint(nadOf("iot", chain(leasing("macvlan", fmt.Sprintf(`"master": %q`, tc.master)))), poolOn(tc.pool)) {
				got = append(got, p.Sentence())
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}
