// SPDX-License-Identifier: Apache-2.0

// Package cni is what the plugin, which obeys network configurations, and the manager, which judges them beforehand, must say
// alike.
package cni

import "encoding/json"

// Type is the name by which network configurations call macpool.
const Type = "macpool"

// Versions are the CNI versions that are served: those whose results can carry the addresses of both families.
func Versions() []string { return []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"} }

// Why a link cannot carry a leased MAC, whoever made it.
const (
	SharesMAC = "its interfaces have the MAC of their parent"
	Passthru  = "passthru changes the MAC of the parent itself"
)

// unsupported is why a main plugin cannot carry a leased MAC; empty if it can. A switch, since a map would be made anew at each exec of the
// plugin.
func unsupported(plugin string) string {
	switch plugin {
	case "ipvlan":
		return SharesMAC
	case "ptp":
		return "it makes its interface after it has asked for the addresses"
	case "sriov":
		return "it has set the MAC and brought the interface up before it asks for the addresses"
	case "ovs":
		return "it sets a MAC of its own after it has asked for the addresses"
	default:
		return ""
	}
}

// Refusal is why a main plugin, configured so, would come up with a MAC that is not the leased one; empty if it would not.
// Plugins that are not known here are not refused: the link shows what they have made.
func Refusal(plugin string, config []byte) (string, error) {
	if why := unsupported(plugin); why != "" {
		return why, nil
	}
	switch plugin {
	case "macvlan", "macvtap":
		var m struct {
			Mode string `json:"mode"`
		}
		if err := json.Unmarshal(config, &m); err != nil {
			return "", err
		}
		if m.Mode == "passthru" {
			return Passthru, nil
		}
	case "bridge":
		var b struct {
			MACSpoofChk bool `json:"macspoofchk"`
		}
		if err := json.Unmarshal(config, &b); err != nil {
			return "", err
		}
		if b.MACSpoofChk {
			return "macspoofchk lets only the MAC pass that the interface had before it was leased one", nil
		}
	}
	return "", nil
}

// DelegateRefusal is Refusal for a plugin that macpool runs, with the MAC. Plugins that are not known are not refused: what they make is
// compared with the lease.
func DelegateRefusal(plugin string, config []byte) (string, error) {
	switch plugin {
	case "ipvlan":
		return SharesMAC, nil
	case "ptp":
		return "it takes no MAC, and makes its interface after it has asked for the addresses", nil
	case "bridge":
		return "", nil // it makes its interface with the MAC, and its macspoofchk knows that one
	}
	if unsupported(plugin) != "" {
		return "", nil
	}
	return Refusal(plugin, config)
}
