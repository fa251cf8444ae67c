// SPDX-License-Identifier: Apache-2.0

package cni

import "encoding/json"

// maxLinkName is IFNAMSIZ without the byte that ends the string.
const maxLinkName = 15

// Link is the name of the node's link on which the interfaces of a main plugin, configured so, hang: what is sent and heard
// there untagged is the VLAN of the network. Empty if there is none, or the configuration does not name it; whoever asks the VLAN for an
// address then has no answer, instead of the silence of another one. So
//
//   - vlan: its master carries the VLAN with tags, and without them another,
//   - bridge with vlan or vlanTrunk: the bridge itself is in its default VLAN,
//   - macvlan with linkInContainer: its master is the pod's, and without a master it is a route that decides,
//
// have none.
func Link(plugin string, config []byte) string {
	var c struct {
		Master          json.RawMessage `json:"master"`
		Bridge          json.RawMessage `json:"bridge"`
		LinkInContainer json.RawMessage `json:"linkInContainer"`
		VLAN            json.RawMessage `json:"vlan"`
		VLANTrunk       json.RawMessage `json:"vlanTrunk"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return ""
	}
	name := ""
	switch plugin {
	case "macvlan", "macvtap", "ipvlan":
		if zero(c.LinkInContainer, "false") {
			name = text(c.Master)
		}
	case "bridge":
		if zero(c.VLAN, "0") && zero(c.VLANTrunk, "[]") {
			name = text(c.Bridge)
			if c.Bridge == nil {
				name = "cni0" // the plugin's own default
			}
		}
	case "tap":
		name = text(c.Bridge)
	}
	if len(name) > maxLinkName {
		return ""
	}
	return name
}

// NeedsMaster tells whether a main plugin, configured so, would take the link of the node's default route for the parent of its
// interfaces, because it names none.
func NeedsMaster(plugin string, config []byte) bool {
	var c struct {
		Master          json.RawMessage `json:"master"`
		LinkInContainer json.RawMessage `json:"linkInContainer"`
	}
	if plugin != "macvlan" && plugin != "macvtap" || json.Unmarshal(config, &c) != nil {
		return false
	}
	return zero(c.Master, `""`) && zero(c.LinkInContainer, "false")
}

// zero tells whether a key is not there, null, or has the value that says the same as its absence.
func zero(value json.RawMessage, none string) bool {
	return value == nil || string(value) == "null" || string(value) == none
}

func text(value json.RawMessage) string {
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		return ""
	}
	return s
}
