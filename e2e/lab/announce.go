// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Offsets in an ARP packet for Ethernet and IPv4 (RFC 826).
const (
	arpSenderMAC = 8
	arpSenderIP  = 14
	arpTargetIP  = 24
	arpLength    = 28
)

// parseARP reads the sender, and whether it speaks of itself: one that asks for its own address is a gratuitous ARP (RFC 5227,
// section 3), whether it has the form of a request or of a reply.
func (f *Frame) parseARP(p []byte) {
	if len(p) < arpLength {
		return
	}
	f.Sender = netip.AddrFrom4([4]byte(p[arpSenderIP:]))
	if f.Sender == netip.AddrFrom4([4]byte(p[arpTargetIP:])) {
		f.Announced, f.AnnouncedMAC = f.Sender, net.HardwareAddr(p[arpSenderMAC:arpSenderMAC+6]).String()
	}
}

// Offsets in an IPv6 packet with a neighbour advertisement (RFC 8200, RFC 4861 section 4.4) right behind its header, where
// kernels put it.
const (
	ip6NextHeader  = 6
	ip6Source      = 8
	ip6Destination = 24
	ip6Header      = 40

	naFlags   = ip6Header + 4
	naTarget  = ip6Header + 8
	naOptions = ip6Header + 24
)

const (
	typeNeighbourAdvertisement = 136
	flagSolicited              = 0x40
	optionTargetMAC            = 2
)

// parseNeighbourAdvertisement reads an advertisement that nobody has asked for. It is sent to all nodes.
func (f *Frame) parseNeighbourAdvertisement(p []byte) {
	if len(p) < naOptions || p[ip6NextHeader] != unix.IPPROTO_ICMPV6 || p[ip6Header] != typeNeighbourAdvertisement {
		return
	}
	to := netip.AddrFrom16([16]byte(p[ip6Destination:]))
	if p[naFlags]&flagSolicited != 0 || to != netip.IPv6LinkLocalAllNodes() {
		return
	}
	f.Announced = netip.AddrFrom16([16]byte(p[naTarget:]))
	for options := p[naOptions:]; len(options) >= 8; {
		length := 8 * int(options[1])
		if length == 0 || length > len(options) {
			return
		}
		if options[0] == optionTargetMAC {
			f.AnnouncedMAC = net.HardwareAddr(options[2:8]).String()
		}
		options = options[length:]
	}
}
