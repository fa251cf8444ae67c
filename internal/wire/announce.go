// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Announce tells the VLAN once that a pod of this node has the address, with the MAC as its sender: switches learn the port from that, and
// neighbours the MAC. It sends from the link on which the pod's interface hangs, and not from that interface, where only somebody may
// send who may enter the pod's network namespace.
//
// Of an IPv6 address nothing is sent on a bridge, and false returned: the pod would hear its own address advertised by its own MAC,
// which its kernel takes for somebody else's while it checks the address, and logs afterwards. There the pod's kernel announces
// (ndisc_notify). It needs CAP_NET_RAW.
func Announce(link string, ip netip.Addr, mac string) (sent bool, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("announcing %s on link %s: %w", ip, link, err)
		}
	}()
	from, err := net.ParseMAC(mac)
	if err != nil {
		return false, err
	}
	l, err := findLink(link)
	if err != nil {
		return false, err
	}
	ip = ip.Unmap()
	var f frame
	switch {
	case ip.Is4():
		f, err = arpAnnouncement(from, ip)
	case l.bridge:
		return false, nil
	default:
		f, err = advertisement(from, ip)
	}
	if err != nil {
		return false, err
	}
	nothing, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{}})
	if err != nil {
		return false, fmt.Errorf("making a filter: %w", err)
	}
	conn, err := packet.Listen(&net.Interface{Index: int(l.Index), Name: l.name, HardwareAddr: l.MAC}, packet.Raw, unix.ETH_P_ARP, &packet.Config{Filter: nothing})
	if err != nil {
		return false, downOr("opening a packet socket", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.WriteTo(f.bytes, &packet.Addr{HardwareAddr: f.to}); err != nil {
		return false, downOr("sending", err)
	}
	return true, nil
}
