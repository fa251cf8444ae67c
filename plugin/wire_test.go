// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/netnstest"
)

// source is who a frame says that it is from: its MAC, and the address of its ARP, IPv4 or IPv6 header.
type source struct {
	mac string
	ip  netip.Addr
}

func sourceOf(frame []byte) source {
	s := source{mac: net.HardwareAddr(frame[6:12]).String()}
	const arp, ip4, ip6 = 0x0806, 0x0800, 0x86dd
	at, size := 0, 4
	switch binary.BigEndian.Uint16(frame[12:14]) {
	case arp:
		at = 14 + 14
		if sender := net.HardwareAddr(frame[14+8 : 14+14]).String(); sender != s.mac {
			s.mac = sender // what neighbours would learn
		}
	case ip4:
		at = 14 + 12
	case ip6:
		at, size = 14+8, 16
	}
	if at != 0 && len(frame) >= at+size {
		s.ip, _ = netip.AddrFromSlice(frame[at : at+size])
	}
	return s
}

// R-C14: no frame of a pod's port has a MAC or an address that is not leased, from its first on, which announces it: in both forms of a
// network, before and while the pod talks, and after its end. The link-local address is that of the leased MAC.
func TestFirstFrame(t *testing.T) {
	forms := map[string]func(main string) string{
		"ipam and chained": func(main string) string { return listOf("1.0.0", "{"+main+","+poolIPAM+"}", chainedMain) },
		"wrapper":          func(main string) string { return listOf("1.0.0", wrapped(main)) },
	}
	for form, config := range forms {
		for main, fields := range map[string]string{"macvlan": macvlanMain, "bridge": bridgeMain} {
			t.Run(form+" "+main, func(t *testing.T) {
				lease := leaseOf(ip4(), agentapi.IP{Address: netip.MustParsePrefix("fd00:50::8/64")})
				n, p := newNode(t, newAgent(t, lease)), newPod(t, "c1")
				if main == "bridge" {
					n.bridge(t)
				}
				next := n.capture(t)
				nodes := []string{macOf(t, n.ns, "eth0.50")} // the bridge has it too
				list := network(t, config(fields))
				if _, err := n.add(t, list, p); err != nil {
					t.Fatal(err)
				}
				p.talk(t)
				var seen []source
				gather := func() []source {
					for frame := next(); frame != nil; frame = next() {
						if s := sourceOf(frame); !slices.Contains(seen, s) && !slices.Contains(nodes, s.mac) {
							seen = append(seen, s)
						}
					}
					return seen
				}
				v4, v6 := netip.MustParseAddr("192.168.50.8"), netip.MustParseAddr("fd00:50::8")
				local := netip.MustParseAddr("fe80::32:ff:fea8:3208")
				// The last comes when IPv6 has checked its address.
				gomega.NewWithT(t).Eventually(gather, deadline, 20*time.Millisecond).Should(gomega.ContainElements(
					source{testMAC, v4}, source{testMAC, v6}, source{testMAC, local}))
				if err := n.del(t, list, p); err != nil {
					t.Fatal(err)
				}
				for _, s := range gather() {
					if s.mac != testMAC || !slices.Contains([]netip.Addr{{}, netip.IPv4Unspecified(), netip.IPv6Unspecified(), v4, v6, local}, s.ip) {
						t.Errorf("there was a frame from %s with %s", s.mac, s.ip)
					}
				}
			})
		}
	}
}

// bridge puts the node's link to the VLAN into a bridge, by which the plugin bridge reaches it.
func (n *node) bridge(t *testing.T) {
	t.Helper()
	netnstest.Do(t, n.ns, func() error {
		port, err := netlink.LinkByName("eth0.50")
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.HardwareAddr = "br50", port.Attrs().HardwareAddr
		br := &netlink.Bridge{LinkAttrs: attrs}
		if err := netlink.LinkAdd(br); err != nil {
			return err
		}
		if err := netlink.LinkSetMaster(port, br); err != nil {
			return err
		}
		return netlink.LinkSetUp(br)
	})
}

// talk has the pod send to a neighbour of each family, which asks for it first.
func (p *pod) talk(t *testing.T) {
	t.Helper()
	netnstest.Do(t, p.ns, func() error {
		for _, to := range []unix.Sockaddr{
			&unix.SockaddrInet4{Port: 9, Addr: [4]byte{192, 168, 50, 1}},
			&unix.SockaddrInet6{Port: 9, Addr: netip.MustParseAddr("fd00:50::1").As16()},
		} {
			family := unix.AF_INET
			if _, ok := to.(*unix.SockaddrInet6); ok {
				family = unix.AF_INET6
			}
			fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			err = unix.Sendto(fd, []byte("hello"), 0, to)
			_ = unix.Close(fd)
			// An IPv6 address that is not checked yet sends nothing.
			if err != nil && family == unix.AF_INET {
				return err
			}
		}
		return nil
	})
}
