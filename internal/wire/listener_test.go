// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/ndp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/netnstest"
)

// ears are what a listener has heard.
type ears struct {
	mu    sync.Mutex
	heard []Heard
}

func (e *ears) take(h Heard) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, h)
}

func (e *ears) has(want Heard) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.heard, want)
}

// hear listens on the host's link until the test ends.
func (h *host) hear(t *testing.T, ips ...string) *ears {
	t.Helper()
	var l *Listener
	netnstest.Do(t, h.ns, func() (err error) {
		l, err = NewListener(parent)
		return err
	})
	for _, ip := range ips {
		if err := l.Join(netip.MustParseAddr(ip)); err != nil {
			t.Fatal(err)
		}
	}
	e := &ears{}
	var running sync.WaitGroup
	running.Go(func() { _ = l.Run(e.take) })
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return e
}

// R-L4: a stranger who uses an address is heard without being asked, by ARP and by neighbour advertisements, with its own MAC; one who
// only asks for it is told apart (R-L1), and questions of agents are not heard at all.
func TestStrangersAreHeard(t *testing.T) {
	l := newLAN(t)
	watcher, asker, rogue := l.newHost(t), l.newHost(t), l.newHost(t)
	heard := watcher.hear(t, ip4, ip6)
	question := query(ip4, ip6)
	question.Question = true
	if by, err := asker.ask(t, question); by != "" || err != nil {
		t.Fatalf("answered by %q, %v", by, err)
	}
	for _, ip := range []string{ip4, ip6} {
		if probe := (Heard{IP: netip.MustParseAddr(ip), MAC: asker.mac, Probe: true}); heard.has(probe) {
			t.Errorf("a question was heard as %+v", probe)
		}
	}
	if by, err := asker.ask(t, query(ip4, ip6)); by != "" || err != nil {
		t.Fatalf("answered by %q, %v", by, err)
	}
	for _, ip := range []string{ip4, ip6} {
		probe := Heard{IP: netip.MustParseAddr(ip), MAC: asker.mac, Probe: true}
		eventually(t, "probe for "+ip, func() bool { return heard.has(probe) })
	}

	const rogueMAC = "02:00:00:00:00:66"
	rogue.hold(t, rogueMAC, ip4+"/24", ip6+"/64")
	for _, ip := range []string{ip4, ip6} {
		use := Heard{IP: netip.MustParseAddr(ip), MAC: rogueMAC}
		eventually(t, "stranger with "+ip, func() bool {
			netnstest.Do(t, rogue.ns, func() error {
				_, err := Announce(parent, use.IP, rogueMAC)
				return err
			})
			return heard.has(use)
		})
	}
}

// A listener whose link goes says so, and is not silent for ever.
func TestListenerEndsWithItsLink(t *testing.T) {
	l := newLAN(t)
	h := l.newHost(t)
	var listener *Listener
	netnstest.Do(t, h.ns, func() (err error) {
		listener, err = NewListener(parent)
		return err
	})
	ended := make(chan error, 1)
	go func() { ended <- listener.Run(func(Heard) {}) }()
	h.set(t, netlink.LinkSetDown)
	if err := <-ended; err == nil {
		t.Error("it ended without an error")
	}
	netnstest.Do(t, h.ns, func() error {
		if _, err := NewListener(parent); err == nil {
			t.Error("a link that is down is listened to")
		}
		return nil
	})
}

// R-L4: what of ARP and neighbour discovery says that somebody has an address.
func TestHeard(t *testing.T) {
	const other, none = "192.168.50.9", "0.0.0.0"
	stranger := Heard{IP: netip.MustParseAddr(ip4), MAC: rogueMAC.String()}
	wants := stranger
	wants.Probe = true
	probe, err := arpProbe(rogueMAC, stranger.IP, false)
	if err != nil {
		t.Fatal(err)
	}
	question, err := arpProbe(rogueMAC, stranger.IP, true)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		frame []byte
		want  Heard
	}{
		"reply":             {arpFrame(t, rogueMAC, rogueMAC, arp.OperationReply, ip4, none, nil), stranger},
		"announcement":      {announcement(t, rogueMAC, nil), stranger},
		"request":           {arpFrame(t, rogueMAC, rogueMAC, arp.OperationRequest, ip4, other, nil), stranger},
		"probe":             {probe.bytes, wants},
		"question":          {question.bytes, Heard{}},
		"reply of nobody":   {arpFrame(t, rogueMAC, rogueMAC, arp.OperationReply, none, ip4, nil), Heard{}},
		"cut off":           {announcement(t, rogueMAC, nil)[:20], Heard{}},
		"empty":             {nil, Heard{}},
		"for somebody else": {arpFrame(t, rogueMAC, rogueMAC, arp.OperationRequest, other, ip4, nil), Heard{IP: netip.MustParseAddr(other), MAC: rogueMAC.String()}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _ := heardARP(tc.frame); got != tc.want {
				t.Errorf("heard %+v, want %+v", got, tc.want)
			}
		})
	}
	if got, ok := heardNeighbour(announcement(t, rogueMAC, nil)); ok {
		t.Errorf("ARP was heard as neighbour discovery: %+v", got)
	}
}

// R-C16: an announcement is a gratuitous ARP request, or an unsolicited advertisement to all nodes that overrides, from the leased
// MAC as its source; both are taken for what they are by those who listen.
func TestAnnounce(t *testing.T) {
	l := newLAN(t)
	node, peer := l.newHost(t), l.newHost(t)
	heard := peer.hear(t)
	var mu sync.Mutex
	var arps []arp.Packet
	var nas []*ndp.NeighborAdvertisement
	var sources []string
	capture(t, peer, func(f *ethernet.Frame) {
		mu.Lock()
		defer mu.Unlock()
		var p arp.Packet
		if f.EtherType == ethernet.EtherTypeARP && p.UnmarshalBinary(f.Payload) == nil {
			arps, sources = append(arps, p), append(sources, f.Source.String()+" "+f.Destination.String())
		}
		if m, ok := parseNeighbour(f.Payload); f.EtherType == ethernet.EtherTypeIPv6 && ok && m.advertises {
			if parsed, err := ndp.ParseMessage(m.icmp); err == nil {
				if na, ok := parsed.(*ndp.NeighborAdvertisement); ok {
					nas, sources = append(nas, na), append(sources, f.Source.String()+" "+f.Destination.String())
				}
			}
		}
	})
	for _, ip := range []string{ip4, ip6} {
		netnstest.Do(t, node.ns, func() error {
			sent, err := Announce(parent, netip.MustParseAddr(ip), leasedMAC)
			if err == nil && !sent {
				t.Errorf("%s was not announced", ip)
			}
			return err
		})
		eventually(t, "announcement of "+ip, func() bool { return heard.has(Heard{IP: netip.MustParseAddr(ip), MAC: leasedMAC}) })
	}
	eventually(t, "both in the capture", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(arps) > 0 && len(nas) > 0
	})
	mu.Lock()
	defer mu.Unlock()
	if p := arps[0]; len(arps) != 1 || p.Operation != arp.OperationRequest || p.SenderIP.String() != ip4 || p.TargetIP.String() != ip4 ||
		p.SenderHardwareAddr.String() != leasedMAC {
		t.Errorf("announced %+v", arps)
	}
	if na := nas[0]; len(nas) != 1 || !na.Override || na.Solicited || na.Router || na.TargetAddress.String() != ip6 {
		t.Errorf("announced %+v", nas)
	}
	want := []string{leasedMAC + " ff:ff:ff:ff:ff:ff", leasedMAC + " 33:33:00:00:00:01"}
	if !slices.Equal(sources, want) {
		t.Errorf("frames from and to %q, want %q", sources, want)
	}
}

// On a bridge an IPv6 address is not advertised: the pod at its port would hear itself, and give the address up while it checks it.
func TestNoAdvertisementOnABridge(t *testing.T) {
	l := newLAN(t)
	l.newHost(t)
	netnstest.Do(t, l.ns, func() error {
		eventually(t, "the bridge to run", func() bool {
			_, err := findLink("br0")
			return err == nil
		})
		for ip, want := range map[string]bool{ip4: true, ip6: false} {
			if sent, err := Announce("br0", netip.MustParseAddr(ip), leasedMAC); sent != want || err != nil {
				t.Errorf("%s: sent %t, %v; want %t", ip, sent, err, want)
			}
		}
		return nil
	})
}

// capture calls take with all that reaches the host.
func capture(t *testing.T, h *host, take func(*ethernet.Frame)) {
	t.Helper()
	var fd int
	netnstest.Do(t, h.ns, func() (err error) {
		all := int(unix.ETH_P_ALL>>8 | (unix.ETH_P_ALL&0xff)<<8)
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all); err != nil {
			return os.NewSyscallError("socket", err)
		}
		link, err := net.InterfaceByName(parent)
		if err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(all), Ifindex: link.Index})
	})
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var reading sync.WaitGroup
	reading.Go(func() {
		buf := make([]byte, maxFrame)
		for ctx.Err() == nil {
			n, from, err := unix.Recvfrom(fd, buf, 0)
			if err != nil {
				continue
			}
			if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			var f ethernet.Frame
			if f.UnmarshalBinary(append([]byte(nil), buf[:n]...)) == nil {
				take(&f)
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		reading.Wait()
		_ = unix.Close(fd)
	})
}
