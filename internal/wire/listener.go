// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/ndp"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// Heard is what somebody on a VLAN said of an address.
type Heard struct {
	IP  netip.Addr
	MAC string
	// Probe: it does not use the address, but asks for it because it would like to. Questions of agents are not among them.
	Probe bool
}

// Listener hears what others say on a link: not what is sent by this node from the link, or by the macvlans on it.
type Listener struct {
	link *ethernetLink
	v4   *packet.Conn
	v6   *packet.Conn

	mu     sync.Mutex
	joined map[netip.Addr]bool
}

// NewListener begins to listen on a link of the network namespace that the caller is in. It needs CAP_NET_RAW.
func NewListener(link string) (_ *Listener, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("listening on link %s: %w", link, err)
		}
	}()
	l := &Listener{joined: map[netip.Addr]bool{}}
	if l.link, err = findLink(link); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	for protocol, conn := range map[int]**packet.Conn{unix.ETH_P_ARP: &l.v4, unix.ETH_P_IPV6: &l.v6} {
		filter, err := filterFor(protocol, false)
		if err != nil {
			return nil, err
		}
		on := &net.Interface{Index: int(l.link.Index), Name: l.link.name, HardwareAddr: l.link.MAC}
		if *conn, err = packet.Listen(on, packet.Raw, protocol, &packet.Config{Filter: filter}); err != nil {
			return nil, downOr("opening a packet socket", err)
		}
	}
	return l, join(l.v6, int(l.link.Index), allNodesMAC)
}

// Join lets in what is sent to the group of an IPv6 address by those who ask for it. What says that it has the address comes
// in without.
func (l *Listener) Join(ip netip.Addr) error {
	ip = ip.Unmap()
	if ip.Is4() {
		return nil
	}
	group, err := ndp.SolicitedNodeMulticast(ip)
	if err != nil {
		return fmt.Errorf("joining the group of %s: %w", ip, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.joined[group] {
		return nil
	}
	g := group.As16()
	if err := join(l.v6, int(l.link.Index), net.HardwareAddr{0x33, 0x33, g[12], g[13], g[14], g[15]}); err != nil {
		return err
	}
	l.joined[group] = true
	return nil
}

// Run calls hear with each frame that says something of an address, until Close is called or the link goes down, which is an
// error. Calls are concurrent.
func (l *Listener) Run(hear func(Heard)) error {
	var reading sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for conn, judge := range map[*packet.Conn]func([]byte) (Heard, bool){l.v4: heardARP, l.v6: heardNeighbour} {
		reading.Go(func() {
			buf := make([]byte, maxFrame)
			for {
				n, _, err := conn.ReadFrom(buf)
				if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
					return
				}
				if err != nil {
					mu.Lock()
					errs = append(errs, downOr("listening on link "+l.link.name, err))
					mu.Unlock()
					l.Close() // ends the other
					return
				}
				if h, ok := judge(buf[:n]); ok {
					hear(h)
				}
			}
		})
	}
	reading.Wait()
	return errors.Join(errs...)
}

// Close ends Run.
func (l *Listener) Close() {
	for _, conn := range []*packet.Conn{l.v4, l.v6} {
		if conn != nil {
			_ = conn.Close()
		}
	}
}

// heardARP reads an ARP frame: whoever gives an address as its own uses it (RFC 5227, 2.4).
func heardARP(b []byte) (Heard, bool) {
	var f ethernet.Frame
	var p arp.Packet
	if f.UnmarshalBinary(b) != nil || f.EtherType != unix.ETH_P_ARP || p.UnmarshalBinary(f.Payload) != nil ||
		len(p.SenderHardwareAddr) != ethernetAddrLen {
		return Heard{}, false
	}
	switch {
	case p.SenderIP != netip.IPv4Unspecified():
		return Heard{IP: p.SenderIP, MAC: p.SenderHardwareAddr.String()}, true
	case p.Operation == arp.OperationRequest && !bytes.HasPrefix(f.Payload[arpLen:], []byte(questionMark)):
		return Heard{IP: p.TargetIP, MAC: p.SenderHardwareAddr.String(), Probe: true}, true
	default:
		return Heard{}, false
	}
}

// heardNeighbour reads a frame of neighbour discovery in the same way. A question of an agent has a link-local source, which is its own.
func heardNeighbour(b []byte) (Heard, bool) {
	var f ethernet.Frame
	if f.UnmarshalBinary(b) != nil || f.EtherType != unix.ETH_P_IPV6 {
		return Heard{}, false
	}
	m, ok := parseNeighbour(f.Payload)
	switch {
	case !ok:
		return Heard{}, false
	case m.advertises:
		return Heard{IP: m.target, MAC: m.advertised(f.Source).String()}, true
	case m.source.IsUnspecified():
		return Heard{IP: m.target, MAC: f.Source.String(), Probe: true}, true
	default:
		return Heard{IP: m.source, MAC: f.Source.String()}, true
	}
}
