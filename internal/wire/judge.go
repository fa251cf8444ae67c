// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

// judge tells what is an answer.
type judge struct {
	ips    []netip.Addr
	leased net.HardwareAddr
	own    net.HardwareAddr // the MAC that asks, never the leased one
}

// arp judges an ARP frame. Whoever says that it has the address is an answer, in a reply, a request or an announcement
// (RFC 5227, 2.1.1); so is whoever probes for it, unless it is only a question; and so is everything from the leased MAC.
func (j *judge) arp(b []byte) (by string) {
	var f ethernet.Frame
	var p arp.Packet
	if f.UnmarshalBinary(b) != nil || f.EtherType != unix.ETH_P_ARP || p.UnmarshalBinary(f.Payload) != nil ||
		len(p.SenderHardwareAddr) != ethernetAddrLen || j.isOwn(f.Source) || j.isOwn(p.SenderHardwareAddr) {
		return ""
	}
	switch {
	case j.isLeased(f.Source), j.isLeased(p.SenderHardwareAddr):
		return j.leased.String()
	case j.isAsked(p.SenderIP):
		return p.SenderHardwareAddr.String()
	case p.Operation == arp.OperationRequest && p.SenderIP == netip.IPv4Unspecified() && j.isAsked(p.TargetIP) &&
		!bytes.HasPrefix(f.Payload[arpLen:], []byte(questionMark)):
		return p.SenderHardwareAddr.String()
	default:
		return ""
	}
}

// neighbour judges a frame of neighbour discovery in the same way.
func (j *judge) neighbour(b []byte) (by string) {
	var f ethernet.Frame
	if f.UnmarshalBinary(b) != nil || f.EtherType != unix.ETH_P_IPV6 || j.isOwn(f.Source) {
		return ""
	}
	m, ok := parseNeighbour(f.Payload)
	switch {
	case !ok:
		return ""
	case j.isLeased(f.Source):
		return j.leased.String()
	case j.isAsked(m.source):
		return f.Source.String()
	case m.advertises && j.isAsked(m.target):
		return m.advertised(f.Source).String()
	case !m.advertises && m.source.IsUnspecified() && j.isAsked(m.target):
		return f.Source.String()
	default:
		return ""
	}
}

// neighbourMessage is a solicitation or an advertisement.
type neighbourMessage struct {
	source, target netip.Addr
	advertises     bool
	icmp           []byte
}

// parseNeighbour reads an IPv6 packet. It does without the options: an answer is one however damaged they are.
func parseNeighbour(b []byte) (m neighbourMessage, ok bool) {
	const targetEnd = 24
	if len(b) < ipv6Header+targetEnd || b[0]>>4 != 6 || b[6] != unix.IPPROTO_ICMPV6 || b[7] != onLink {
		return m, false
	}
	m.icmp = b[ipv6Header:]
	if m.icmp[0] != typeSolicitation && m.icmp[0] != typeAdvertisement {
		return m, false
	}
	if length := int(binary.BigEndian.Uint16(b[4:])); length < len(m.icmp) {
		m.icmp = m.icmp[:length] // the rest pads the frame
	}
	if len(m.icmp) < targetEnd {
		return m, false
	}
	m.source, m.target = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(m.icmp[8:targetEnd]))
	m.advertises = m.icmp[0] == typeAdvertisement
	return m, true
}

// advertised is the MAC that an advertisement names: a neighbour may send one for another.
func (m neighbourMessage) advertised(sender net.HardwareAddr) net.HardwareAddr {
	parsed, err := ndp.ParseMessage(m.icmp)
	if err != nil {
		return sender
	}
	advertisement, ok := parsed.(*ndp.NeighborAdvertisement)
	if !ok {
		return sender
	}
	for _, o := range advertisement.Options {
		if l, ok := o.(*ndp.LinkLayerAddress); ok && l.Direction == ndp.Target && len(l.Addr) == ethernetAddrLen {
			return l.Addr
		}
	}
	return sender
}

func (j *judge) isAsked(ip netip.Addr) bool { return slices.Contains(j.ips, ip) }

func (j *judge) isLeased(mac net.HardwareAddr) bool { return bytes.Equal(mac, j.leased) }

func (j *judge) isOwn(mac net.HardwareAddr) bool { return bytes.Equal(mac, j.own) }
