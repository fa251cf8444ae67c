// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Neighbour is an entry of a pod's ARP or neighbour table.
type Neighbour struct {
	IP  netip.Addr
	MAC string
	// Failed tells that the kernel has asked for the address and got no answer.
	Failed bool
}

// Neighbours is the pod's table behind one of its interfaces, of both families, without multicast entries.
func (s *Sandbox) Neighbours(name string) ([]Neighbour, error) {
	var out []Neighbour
	err := within(s.ns, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		list, err := netlink.NeighList(link.Attrs().Index, netlink.FAMILY_ALL)
		if err != nil {
			return err
		}
		for _, n := range list {
			ip, ok := netip.AddrFromSlice(n.IP)
			if !ok || n.State == netlink.NUD_NOARP {
				continue
			}
			out = append(out, Neighbour{
				IP: ip.Unmap(), MAC: n.HardwareAddr.String(), Failed: n.State&(netlink.NUD_FAILED|netlink.NUD_INCOMPLETE) != 0,
			})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the neighbours of pod %s: %w", s.Pod.Name, err)
	}
	return out, nil
}
