// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
)

// Link is an interface as the kernel has it.
type Link struct {
	Name, Kind, MAC string
	Up              bool
	// IPs are its addresses with their prefix lengths, without link-local ones.
	IPs []netip.Prefix
	// LinkLocal is its IPv6 link-local address, if it has one.
	LinkLocal netip.Addr
	// Routes are the routes that leave by it, without those that come with an address; as "DST via GW".
	Routes []string
}

// Link reads an interface of the pod.
func (s *Sandbox) Link(name string) (*Link, error) {
	out := &Link{}
	err := within(s.ns, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		out.Name, out.Kind, out.MAC = name, link.Type(), link.Attrs().HardwareAddr.String()
		out.Up = link.Attrs().Flags&1 != 0 // IFF_UP
		if err := out.readAddresses(link); err != nil {
			return err
		}
		return out.readRoutes(link)
	})
	if err != nil {
		return nil, fmt.Errorf("reading interface %s of pod %s: %w", name, s.Pod.Name, err)
	}
	return out, nil
}

func (l *Link) readAddresses(link netlink.Link) error {
	addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("listing addresses: %w", err)
	}
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok {
			continue
		}
		if ip = ip.Unmap(); ip.IsLinkLocalUnicast() {
			l.LinkLocal = ip
			continue
		}
		ones, _ := a.Mask.Size()
		l.IPs = append(l.IPs, netip.PrefixFrom(ip, ones))
	}
	return nil
}

func (l *Link) readRoutes(link netlink.Link) error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteList(link, family)
		if err != nil {
			return fmt.Errorf("listing routes: %w", err)
		}
		for _, r := range routes {
			if r.Gw != nil {
				l.Routes = append(l.Routes, fmt.Sprintf("%s via %s", r.Dst, r.Gw))
			}
		}
	}
	return nil
}

// String is the interface in the manner of ip address.
func (l *Link) String() string {
	var b strings.Builder
	state := "DOWN"
	if l.Up {
		state = "UP"
	}
	fmt.Fprintf(&b, "%s: <%s> %s link/ether %s", l.Name, state, l.Kind, l.MAC)
	for _, p := range l.IPs {
		family := "inet"
		if p.Addr().Is6() {
			family = "inet6"
		}
		fmt.Fprintf(&b, "\n    %s %s", family, p)
	}
	if l.LinkLocal.IsValid() {
		fmt.Fprintf(&b, "\n    inet6 %s/64 scope link", l.LinkLocal)
	}
	for _, r := range l.Routes {
		fmt.Fprintf(&b, "\n    route %s", r)
	}
	return b.String()
}

// HasLink tells whether the pod has an interface of that name.
func (s *Sandbox) HasLink(name string) bool {
	return within(s.ns, func() error {
		_, err := netlink.LinkByName(name)
		return err
	}) == nil
}

// setUp sets a link of the current network namespace up.
func setUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("looking up %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", name, err)
	}
	return nil
}
