// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

const (
	ethernetAddrLen = 6
	ethernetHeader  = 14
	ipv6Header      = 40
	arpLen          = 28
	maxFrame        = 2048

	typeSolicitation  = 135
	typeAdvertisement = 136

	// onLink is the hop limit that no frame has which came through a router (RFC 4861, 7.1).
	onLink = 255
)

// questionMark stands in the bytes that pad an ARP frame to Ethernet's least length and mean nothing to anybody else. If a
// switch were to replace them, a question would be taken for a probe: an address would be kept for longer than it had to be.
const questionMark = "macpool asks"

// allNodesMAC is where neighbours advertise an address to one that has none, ff02::1.
var allNodesMAC = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}

// frame is what is sent, and where to.
type frame struct {
	to    net.HardwareAddr
	bytes []byte
}

// arpProbe is RFC 5227's: a request whose sender has no address, so that no cache learns from it.
func arpProbe(from net.HardwareAddr, ip netip.Addr, question bool) (frame, error) {
	p, err := arp.NewPacket(arp.OperationRequest, from, netip.IPv4Unspecified(), make(net.HardwareAddr, ethernetAddrLen), ip)
	if err != nil {
		return frame{}, fmt.Errorf("making an ARP probe for %s: %w", ip, err)
	}
	payload, err := p.MarshalBinary()
	if err != nil {
		return frame{}, fmt.Errorf("making an ARP probe for %s: %w", ip, err)
	}
	if question {
		payload = append(payload, questionMark...)
	}
	return ethernetFrame(from, ethernet.Broadcast, unix.ETH_P_ARP, payload)
}

// solicitation asks for an IPv6 address. One that wants it probes from ::, and may have no source option then (RFC 4862). A
// question does not: a kernel that is just checking the address for its own pod would take that for somebody with the same
// wish, and give up. It asks as a neighbour would, from the link-local address that the MAC makes, whether or not the link has it: the
// answer goes to the MAC in its source option.
func solicitation(from net.HardwareAddr, ip netip.Addr, question bool) (frame, error) {
	group, err := ndp.SolicitedNodeMulticast(ip)
	if err != nil {
		return frame{}, fmt.Errorf("making a solicitation for %s: %w", ip, err)
	}
	source, message := netip.IPv6Unspecified(), &ndp.NeighborSolicitation{TargetAddress: ip}
	if question {
		source = linkLocal(from)
		message.Options = []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: from}}
	}
	icmp, err := ndp.MarshalMessageChecksum(message, source, group)
	if err != nil {
		return frame{}, fmt.Errorf("making a solicitation for %s: %w", ip, err)
	}
	return ipv6Frame(from, source, group, icmp)
}

// arpAnnouncement is RFC 5227's: a request for the address that its sender has.
func arpAnnouncement(from net.HardwareAddr, ip netip.Addr) (frame, error) {
	p, err := arp.NewPacket(arp.OperationRequest, from, ip, make(net.HardwareAddr, ethernetAddrLen), ip)
	if err != nil {
		return frame{}, fmt.Errorf("announcing %s: %w", ip, err)
	}
	payload, err := p.MarshalBinary()
	if err != nil {
		return frame{}, fmt.Errorf("announcing %s: %w", ip, err)
	}
	return ethernetFrame(from, ethernet.Broadcast, unix.ETH_P_ARP, payload)
}

// advertisement is an unsolicited one, to all nodes, that replaces what they know (RFC 4861, 7.2.6).
func advertisement(from net.HardwareAddr, ip netip.Addr) (frame, error) {
	all := netip.IPv6LinkLocalAllNodes()
	icmp, err := ndp.MarshalMessageChecksum(&ndp.NeighborAdvertisement{
		Override: true, TargetAddress: ip,
		Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: from}},
	}, ip, all)
	if err != nil {
		return frame{}, fmt.Errorf("announcing %s: %w", ip, err)
	}
	return ipv6Frame(from, ip, all, icmp)
}

// ipv6Frame sends a message of neighbour discovery to a multicast group.
func ipv6Frame(from net.HardwareAddr, source, group netip.Addr, icmp []byte) (frame, error) {
	payload := make([]byte, ipv6Header, ipv6Header+len(icmp))
	payload[0] = 6 << 4
	binary.BigEndian.PutUint16(payload[4:], uint16(len(icmp))) //nolint:gosec // some 32 bytes
	payload[6], payload[7] = unix.IPPROTO_ICMPV6, onLink
	copy(payload[8:], source.AsSlice())
	copy(payload[24:], group.AsSlice())
	g := group.As16()
	return ethernetFrame(from, net.HardwareAddr{0x33, 0x33, g[12], g[13], g[14], g[15]}, unix.ETH_P_IPV6, append(payload, icmp...))
}

// LinkLocal is the link-local address that an interface with the MAC gives itself; the zero address if it is no MAC.
func LinkLocal(mac string) netip.Addr {
	hw, err := net.ParseMAC(mac)
	if err != nil || len(hw) != ethernetAddrLen {
		return netip.Addr{}
	}
	return linkLocal(hw)
}

// linkLocal is fe80:: with the modified EUI-64 of a MAC.
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 0x02, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}

func ethernetFrame(from, to net.HardwareAddr, etherType ethernet.EtherType, payload []byte) (frame, error) {
	f := ethernet.Frame{Destination: to, Source: from, EtherType: etherType, Payload: payload}
	b, err := f.MarshalBinary()
	if err != nil {
		return frame{}, fmt.Errorf("making a frame: %w", err)
	}
	return frame{to: to, bytes: b}, nil
}
