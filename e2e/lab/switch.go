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
	ns      ns.NetNS
	bridges map[string]int // name -> index
}

const trunkBridge = "br0"

// bridgeMAC is fixed: a bridge without an address of its own takes the lowest of its ports', and changes it with them.
var bridgeMAC = net.HardwareAddr{0x02, 0, 0, 0xff, 0xff, 0xfe}

func newSwitch() (*Switch, error) {
	n, err := newNetNS("switch")
	if err != nil {
		return nil, err
	}
	s := &Switch{ns: n, bridges: map[string]int{}}
	err = within(n, func() error {
		// The switch itself says nothing on the wire: captures show what nodes and pods send.
		if err := silenceIPv6("default"); err != nil {
			return err
		}
		return s.addBridge(trunkBridge)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// addBridge makes a bridge in the current network namespace, which is the switch's.
func (s *Switch) addBridge(name string) error {
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name, HardwareAddr: bridgeMAC}}
	if err := netlink.LinkAdd(br); err != nil {
		return fmt.Errorf("adding bridge %s: %w", name, err)
	}
	s.bridges[name] = br.Attrs().Index
	return netlink.LinkSetUp(br)
}

// plug lays a cable from a new port of the switch to a link of the given name in the namespace of a node.
func (s *Switch) plug(port string, node ns.NetNS, link string) error {
	return s.plugInto(trunkBridge, port, node, link)
}

func (s *Switch) plugInto(bridge, port string, node ns.NetNS, link string) error {
	return within(s.ns, func() error {
		veth := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: port},
			PeerName:  link, PeerNamespace: netlink.NsFd(int(node.Fd())),
		}
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("adding switch port %s: %w", port, err)
		}
		return s.join(bridge, veth)
	})
}

// join makes a link of the current network namespace, which is the switch's, a port.
func (s *Switch) join(bridge string, port netlink.Link) error {
	if err := netlink.LinkSetMasterByIndex(port, s.bridges[bridge]); err != nil {
		return fmt.Errorf("plugging %s into %s: %w", port.Attrs().Name, bridge, err)
	}
	return netlink.LinkSetUp(port)
}
