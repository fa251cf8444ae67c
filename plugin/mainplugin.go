// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/json"

	"github.com/vishvananda/netlink"

	"github.com/macpool/macpool/internal/problem"
)

const passthru = "passthru changes the MAC of the parent itself"

// unsupported are main plugins that cannot carry a leased MAC -> why.
var unsupported = map[string]string{
	"ipvlan": "its interfaces have the MAC of their parent",
	"ptp":    "it makes its interface after it has asked for the addresses",
	"sriov":  "it has set the MAC and brought the interface up before it asks for the addresses",
	"ovs":    "it sets a MAC of its own after it has asked for the addresses",
}

// refuseMain refuses the main plugins that would come up with a MAC that is not the leased one. The agent is not asked
// before, so that a network that can never work leaves no lease behind.
func (c *conf) refuseMain() error {
	if why, ok := unsupported[c.Type]; ok {
		return problem.UnsupportedMain.New(c.Type, why)
	}
	switch c.Type {
	case "macvlan", "macvtap":
		var m struct {
			Mode string `json:"mode"`
		}
		if err := json.Unmarshal(c.raw, &m); err != nil {
			return badJSON(err)
		}
		if m.Mode == "passthru" {
			return problem.UnsupportedMain.New(c.Type, passthru)
		}
	case "bridge":
		var b struct {
			MACSpoofChk bool `json:"macspoofchk"`
		}
		if err := json.Unmarshal(c.raw, &b); err != nil {
			return badJSON(err)
		}
		if b.MACSpoofChk {
			return problem.UnsupportedMain.New(c.Type, "macspoofchk lets only the MAC pass that the interface had before it was leased one")
		}
	}
	return nil
}

// refuseKind is refuseMain for what the link shows, whoever made it.
func refuseKind(link netlink.Link) error {
	switch l := link.(type) {
	case *netlink.Macvlan:
		if l.Mode == netlink.MACVLAN_MODE_PASSTHRU {
			return problem.UnsupportedMain.New(l.Type(), passthru)
		}
	case *netlink.Macvtap:
		if l.Mode == netlink.MACVLAN_MODE_PASSTHRU {
			return problem.UnsupportedMain.New(l.Type(), passthru)
		}
	case *netlink.IPVlan, *netlink.IPVtap:
		return problem.UnsupportedMain.New(l.Type(), unsupported["ipvlan"])
	}
	return nil
}
