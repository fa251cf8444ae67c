// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"
)

// Prober is a neighbour at a port of its own that asks for addresses and counts who answers. Two answers to one question are two
// holders, whether or not their MACs differ. It asks as any neighbour does, with an address of its own: to a probe from none, as
// duplicate address detection sends it, others would take it for somebody who wants the address too.
//
// Each batch of questions has a MAC of its own, to which the answers go: one that comes late is none to the next batch.
type Prober struct {
	mac     net.HardwareAddr // of the batch; its last two octets count
	backend Backend
	space   ns.NetNS
	fd      int
	index   int

	asking sync.Mutex // one batch at a time
	mu     sync.Mutex
	heard  map[netip.Addr][]string // address of the batch -> the MACs that have answered
}

const proberPort = "prober"

// NewProber plugs one in. Of its MAC the first four octets are given.
func (l *Lab) NewProber(mac [4]byte) (*Prober, error) {
	p := &Prober{mac: append(mac[:], 0, 0), backend: l.Backend}
	var err error
	if p.space, err = newNetNS(proberPort); err != nil {
		return nil, err
	}
	err = within(p.space, func() error { return silenceIPv6("default") })
	if err != nil {
		return nil, err
	}
	if err := l.Switch.plug(proberPort, p.space, trunkName); err != nil {
		return nil, err
	}
	err = within(p.space, func() error {
		if err := setUp(trunkName); err != nil {
			return err
		}
		link, err := netlink.LinkByName(trunkName)
		if err != nil {
			return fmt.Errorf("looking up %s: %w", trunkName, err)
		}
		p.index = link.Attrs().Index
		// Answers are sent to the prober's MAC, which is not the link's.
		if err := netlink.SetPromiscOn(link); err != nil {
			return fmt.Errorf("setting %s promiscuous: %w", trunkName, err)
		}
		p.fd, err = openCapture(p.index)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("plugging in the prober: %w", err)
	}
	go p.listen()
	return p, nil
}

// Ask asks for each address once, from the sender, which is in their network and nobody's, and waits for answers. It returns the MACs
// that have answered for each, one for each answer.
func (p *Prober) Ask(vid int, sender netip.Addr, ips []netip.Addr, patience time.Duration) (map[netip.Addr][]string, error) {
	p.asking.Lock()
	defer p.asking.Unlock()
	p.mu.Lock()
	binary.BigEndian.PutUint16(p.mac[4:], binary.BigEndian.Uint16(p.mac[4:])+1)
	p.heard = make(map[netip.Addr][]string, len(ips))
	for _, ip := range ips {
		p.heard[ip] = nil
	}
	p.mu.Unlock()
	for _, ip := range ips {
		frame := p.question(vid, sender, ip)
		to := &unix.SockaddrLinklayer{Ifindex: p.index, Halen: 6, Protocol: networkOrder(unix.ETH_P_ALL)}
		copy(to.Addr[:], frame[:6])
		if err := unix.Sendto(p.fd, frame, 0, to); err != nil {
			return nil, fmt.Errorf("asking for %s: %w", ip, err)
		}
	}
	clock.RealClock{}.Sleep(patience)
	p.mu.Lock()
	defer p.mu.Unlock()
	heard := p.heard
	p.heard = nil
	return heard, nil
}

// question is the frame that asks for an address.
func (p *Prober) question(vid int, sender, ip netip.Addr) []byte {
	var to net.HardwareAddr
	var etherType uint16
	var payload []byte
	if ip.Is4() {
		to, etherType = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, unix.ETH_P_ARP
		payload = []byte{0, 1, 8, 0, 6, 4, 0, 1}
		payload = append(append(payload, p.mac...), sender.AsSlice()...)
		payload = append(append(payload, 0, 0, 0, 0, 0, 0), ip.AsSlice()...)
	} else {
		target := ip.As16()
		to, etherType = net.HardwareAddr{0x33, 0x33, 0xff, target[13], target[14], target[15]}, unix.ETH_P_IPV6
		payload = p.solicitation(ip)
	}
	frame := append(append(net.HardwareAddr{}, to...), p.mac...)
	if p.backend != BackendPlain {
		frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_8021Q)
		frame = binary.BigEndian.AppendUint16(frame, uint16(vid)) //nolint:gosec // at most 4094
	}
	return append(binary.BigEndian.AppendUint16(frame, etherType), payload...)
}

const typeNeighbourSolicitation = 135

// solicitation is an IPv6 packet that asks for ip, from the link-local address of the prober's MAC (RFC 4861 section 4.3).
func (p *Prober) solicitation(ip netip.Addr) []byte {
	m, target := p.mac, ip.As16()
	from := [16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]}
	group := [16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: target[13], 14: target[14], 15: target[15]}
	message := []byte{typeNeighbourSolicitation, 0, 0, 0, 0, 0, 0, 0}
	message = append(message, target[:]...)
	message = append(append(message, 1, 1), m...) // where to answer
	length := uint16(len(message))                //nolint:gosec // 32

	pseudo := append(append([]byte{}, from[:]...), group[:]...)
	pseudo = append(binary.BigEndian.AppendUint32(pseudo, uint32(length)), 0, 0, 0, unix.IPPROTO_ICMPV6)
	binary.BigEndian.PutUint16(message[2:], checksum(append(pseudo, message...)))

	packet := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, length)
	packet = append(packet, unix.IPPROTO_ICMPV6, 255)
	packet = append(append(packet, from[:]...), group[:]...)
	return append(packet, message...)
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for len(b) > 1 {
		sum += uint32(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// listen enters the answers, as long as the laboratory lives.
func (p *Prober) listen() {
	frame := make([]byte, 2048)
	for {
		n, _, _, from, err := unix.Recvmsg(p.fd, frame, nil, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENETDOWN) {
			continue
		}
		if err != nil {
			return
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if ip, mac, ok := answerOf(frame[:n]); ok {
			p.mu.Lock()
			if macs, asked := p.heard[ip]; asked && bytes.Equal(frame[:6], p.mac) {
				p.heard[ip] = append(macs, mac)
			}
			p.mu.Unlock()
		}
	}
}

// answerOf reads an ARP reply or a neighbour advertisement.
func answerOf(b []byte) (ip netip.Addr, mac string, ok bool) {
	if len(b) < ethHeader {
		return ip, "", false
	}
	etherType, payload := binary.BigEndian.Uint16(b[12:]), b[ethHeader:]
	if etherType == unix.ETH_P_8021Q && len(payload) >= 4 {
		etherType, payload = binary.BigEndian.Uint16(payload[2:]), payload[4:]
	}
	mac = net.HardwareAddr(b[6:12]).String()
	const arpOperation, reply = 6, 2
	switch {
	case etherType == unix.ETH_P_ARP && len(payload) >= arpLength && binary.BigEndian.Uint16(payload[arpOperation:]) == reply:
		return netip.AddrFrom4([4]byte(payload[arpSenderIP:])), mac, true
	case etherType == unix.ETH_P_IPV6 && len(payload) >= naOptions &&
		payload[ip6NextHeader] == unix.IPPROTO_ICMPV6 && payload[ip6Header] == typeNeighbourAdvertisement &&
		payload[naFlags]&flagSolicited != 0:
		return netip.AddrFrom16([16]byte(payload[naTarget:])), mac, true
	}
	return ip, "", false
}
