// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/netnstest"
)

// parent is what each host's link to the VLAN is called.
const parent = "eth0.50"

// lan is a switch, a bridge in a network namespace of its own, and the hosts at its ports.
type lan struct {
	ns    ns.NetNS
	ports int
}

func newLAN(t *testing.T) *lan {
	t.Helper()
	l := &lan{ns: netnstest.New(t)}
	netnstest.Do(t, l.ns, func() error {
		if err := silence("default"); err != nil {
			return err
		}
		// A MAC of its own: else it takes the lowest of its ports'.
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", HardwareAddr: net.HardwareAddr{0x02, 0, 0, 0xff, 0xff, 0xfe}}}
		if err := netlink.LinkAdd(br); err != nil {
			return err
		}
		return netlink.LinkSetUp(br)
	})
	return l
}

// host is a machine on the VLAN.
type host struct {
	ns   ns.NetNS
	lan  *lan
	port string // of the switch
	mac  string // of its link to the VLAN
}

// newHost plugs a host in. Its link says nothing by itself, and may have IPv6 switched off, as parents of macvlans often have.
func (l *lan) newHost(t *testing.T) *host {
	t.Helper()
	l.ports++
	h := &host{ns: netnstest.New(t), lan: l, port: fmt.Sprintf("port%d", l.ports)}
	netnstest.Do(t, h.ns, func() error { return silence("default") })
	netnstest.Do(t, l.ns, func() error {
		br, err := netlinksafe.LinkByName("br0")
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MasterIndex = h.port, br.Attrs().Index
		veth := &netlink.Veth{LinkAttrs: attrs, PeerName: parent, PeerNamespace: netlink.NsFd(int(h.ns.Fd()))}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		return netlink.LinkSetUp(veth)
	})
	// The kernel takes namespaces down some time after they are closed; this host is silent at once.
	t.Cleanup(func() { changeLink(t, l.ns, h.port, netlink.LinkDel) })
	h.set(t, netlink.LinkSetUp)
	h.mac = h.link(t).HardwareAddr.String()
	h.awaitCarrier(t)
	return h
}

func (h *host) link(t *testing.T) *netlink.LinkAttrs {
	t.Helper()
	var attrs *netlink.LinkAttrs
	h.set(t, func(l netlink.Link) error {
		attrs = l.Attrs()
		return nil
	})
	return attrs
}

// set changes the host's link.
func (h *host) set(t *testing.T, change func(netlink.Link) error) {
	t.Helper()
	changeLink(t, h.ns, parent, change)
}

// awaitCarrier waits until the kernel calls both ends of the cable running, which it does a moment after they are up: until
// then the switch lets nothing through.
func (h *host) awaitCarrier(t *testing.T) {
	t.Helper()
	eventually(t, "carrier", func() bool {
		var port uint32
		changeLink(t, h.lan.ns, h.port, func(l netlink.Link) error {
			port = l.Attrs().RawFlags
			return nil
		})
		return h.link(t).RawFlags&port&unix.IFF_RUNNING != 0
	})
}

// hold gives a pod of the host the addresses, on a macvlan with the MAC.
func (h *host) hold(t *testing.T, mac string, addrs ...string) ns.NetNS {
	t.Helper()
	pod := netnstest.New(t)
	hw, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	h.set(t, func(l netlink.Link) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex, attrs.HardwareAddr, attrs.Namespace = "net1", l.Attrs().Index, hw, netlink.NsFd(int(pod.Fd()))
		return netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE})
	})
	changeLink(t, pod, "net1", netlink.LinkSetUp)
	for _, a := range addrs {
		addAddr(t, pod, "net1", a)
	}
	return pod
}

// addAddr gives a link an address without checking that nobody has it.
func addAddr(t *testing.T, n ns.NetNS, link, addr string) {
	t.Helper()
	p := netip.MustParsePrefix(addr)
	ip := &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
	changeLink(t, n, link, func(l netlink.Link) error {
		a := &netlink.Addr{IPNet: ip}
		if p.Addr().Is6() {
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+link+"/disable_ipv6", []byte("0"), 0o600); err != nil {
				return err
			}
			a.Flags = unix.IFA_F_NODAD
		}
		return netlink.AddrAdd(l, a)
	})
}

// listen hands every frame that the host sends to each, until the test ends.
func (h *host) listen(t *testing.T, each func(frame []byte)) {
	t.Helper()
	var conn *packet.Conn
	netnstest.Do(t, h.lan.ns, func() error {
		link, err := netlinksafe.LinkByName(h.port)
		if err != nil {
			return err
		}
		conn, err = packet.Listen(&net.Interface{Index: link.Attrs().Index, Name: h.port}, packet.Raw, unix.ETH_P_ALL, nil)
		return err
	})
	var reading sync.WaitGroup
	reading.Go(func() {
		buf := make([]byte, maxFrame)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if n >= ethernetHeader && net.HardwareAddr(buf[6:12]).String() == h.mac {
				each(append([]byte(nil), buf[:n]...))
			}
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		reading.Wait()
	})
}

// ask is Ask on the host's link.
func (h *host) ask(t *testing.T, q Query) (by string, err error) {
	t.Helper()
	netnstest.Do(t, h.ns, func() error {
		by, err = Ask(t.Context(), parent, q)
		return nil
	})
	return by, err
}

func changeLink(t *testing.T, n ns.NetNS, name string, change func(netlink.Link) error) {
	t.Helper()
	netnstest.Do(t, n, func() error {
		link, err := netlinksafe.LinkByName(name)
		if err != nil {
			return err
		}
		return change(link)
	})
}

// silence switches IPv6 off on a link, or with "default" on those that are made later.
func silence(link string) error {
	return os.WriteFile("/proc/sys/net/ipv6/conf/"+link+"/disable_ipv6", []byte("1"), 0o600)
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within a minute", what)
		}
	}
}
