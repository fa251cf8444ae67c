// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
)

// Switch is the switch that the nodes hang on: a bridge in a network namespace of its own. It forwards frames untouched,
// tagged or not, like one whose every port is a trunk of all VLANs.
type Switch struct {
	ns     ns.NetNS
	bridge int
}

// bridgeMAC is fixed: a bridge without an address of its own takes the lowest of its ports', and changes it with them.
var bridgeMAC = net.HardwareAddr{0x02, 0, 0, 0xff, 0xff, 0xfe}

func newSwitch() (*Switch, error) {
	n, err := newNetNS("switch")
	if err != nil {
		return nil, err
	}
	s := &Switch{ns: n}
	err = within(n, func() error {
		// The switch itself says nothing on the wire: captures show what nodes and pods send.
		if err := silenceIPv6("default"); err != nil {
			return err
		}
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", HardwareAddr: bridgeMAC}}
		if err := netlink.LinkAdd(br); err != nil {
			return fmt.Errorf("adding the switch's bridge: %w", err)
		}
		s.bridge = br.Attrs().Index
		return netlink.LinkSetUp(br)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// plug lays a cable from a new port of the switch to a link of the given name in the namespace of a node.
func (s *Switch) plug(port string, node ns.NetNS, link string) error {
	return within(s.ns, func() error {
		veth := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: port},
			PeerName:  link, PeerNamespace: netlink.NsFd(int(node.Fd())),
		}
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("adding switch port %s: %w", port, err)
		}
		if err := netlink.LinkSetMasterByIndex(veth, s.bridge); err != nil {
			return fmt.Errorf("plugging %s into the switch: %w", port, err)
		}
		return netlink.LinkSetUp(veth)
	})
}
