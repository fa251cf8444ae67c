// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ethernetLink is a link that can be asked.
type ethernetLink struct {
	index int
	name  string
	mac   net.HardwareAddr
	own   []netip.Addr // the addresses that the node itself has there
	// bridge: pods hang on it by ports, and hear what is sent there.
	bridge bool
}

// findLink finds a link that is up and has carrier.
func findLink(name string) (*ethernetLink, error) {
	found, err := netlinksafe.LinkByName(name)
	var unknown netlink.LinkNotFoundError
	if errors.As(err, &unknown) {
		return nil, fmt.Errorf("%w: %w", ErrNoLink, err)
	}
	if err != nil {
		return nil, err
	}
	attrs := found.Attrs()
	if attrs.EncapType != "ether" || len(attrs.HardwareAddr) != ethernetAddrLen {
		return nil, fmt.Errorf("%w but of type %s", ErrNotEthernet, attrs.EncapType)
	}
	// IFF_RUNNING is the kernel's word for: up, with carrier, and nothing below is down.
	if attrs.RawFlags&unix.IFF_UP == 0 || attrs.RawFlags&unix.IFF_RUNNING == 0 {
		return nil, ErrLinkDown
	}
	l := &ethernetLink{index: attrs.Index, name: name, mac: attrs.HardwareAddr, bridge: found.Type() == "bridge"}
	addrs, err := netlinksafe.AddrList(found, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("listing its addresses: %w", err)
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			l.own = append(l.own, ip.Unmap())
		}
	}
	return l, nil
}

// still tells whether the link is the one that it was, and can be asked.
func (l *ethernetLink) still() error {
	now, err := findLink(l.name)
	if err != nil {
		return err
	}
	if now.index != l.index || !bytes.Equal(now.mac, l.mac) {
		return fmt.Errorf("%w: it is another one now", ErrLinkDown)
	}
	return nil
}

// hasAny tells whether the node itself has one of the addresses on the link.
func (l *ethernetLink) hasAny(ips []netip.Addr) bool {
	return slices.ContainsFunc(ips, func(ip netip.Addr) bool { return slices.Contains(l.own, ip) })
}

// senderFor is the MAC from which to ask for a lease: the link's own, to which switches and port security are used. If that is
// the leased one, which would not hear another with the same MAC, it is a random one, locally administered.
func (l *ethernetLink) senderFor(leased net.HardwareAddr) net.HardwareAddr {
	if !bytes.Equal(l.mac, leased) {
		return l.mac
	}
	for {
		random := rand.Uint64()
		mac := net.HardwareAddr{byte(random)&^0x01 | 0x02, byte(random >> 8), byte(random >> 16), byte(random >> 24), byte(random >> 32), byte(random >> 40)} //nolint:gosec // the bytes are what is wanted
		if !bytes.Equal(mac, leased) {
			return mac
		}
	}
}
