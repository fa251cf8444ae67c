// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net"
	"net/netip"
	"testing"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/netnstest"
)

var (
	ownMAC   = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x01}
	rogueMAC = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x66}
)

// announcement is an ARP announcement of ip4.
func announcement(t *testing.T, from net.HardwareAddr, vlan *ethernet.VLAN) []byte {
	t.Helper()
	return arpFrame(t, from, from, arp.OperationRequest, ip4, ip4, vlan)
}

func arpFrame(tb testing.TB, source, sender net.HardwareAddr, op arp.Operation, senderIP, targetIP string, vlan *ethernet.VLAN) []byte {
	tb.Helper()
	p, err := arp.NewPacket(op, sender, netip.MustParseAddr(senderIP), make(net.HardwareAddr, 6), netip.MustParseAddr(targetIP))
	if err != nil {
		tb.Fatal(err)
	}
	payload, err := p.MarshalBinary()
	if err != nil {
		tb.Fatal(err)
	}
	f := ethernet.Frame{Destination: ethernet.Broadcast, Source: source, VLAN: vlan, EtherType: ethernet.EtherTypeARP, Payload: payload}
	b, err := f.MarshalBinary()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// send sends a frame from the host's link.
func (h *host) send(t *testing.T, b []byte) {
	t.Helper()
	index := h.link(t).Index
	netnstest.Do(t, h.ns, func() error {
		conn, err := packet.Listen(&net.Interface{Index: index, Name: parent}, packet.Raw, unix.ETH_P_ARP, nil)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		_, err = conn.WriteTo(b, &packet.Addr{HardwareAddr: ethernet.Broadcast})
		return err
	})
}

func newJudge(tb testing.TB) *judge {
	tb.Helper()
	leased, err := net.ParseMAC(leasedMAC)
	if err != nil {
		tb.Fatal(err)
	}
	return &judge{ips: []netip.Addr{netip.MustParseAddr(ip4), netip.MustParseAddr(ip6)}, leased: leased, own: ownMAC}
}

// R-L1, RFC 5227 2.1.1: what of ARP is an answer.
func TestJudgeARP(t *testing.T) {
	const other, none = "192.168.50.9", "0.0.0.0"
	j := newJudge(t)
	probe, err := arpProbe(rogueMAC, netip.MustParseAddr(ip4), false)
	if err != nil {
		t.Fatal(err)
	}
	question, err := arpProbe(rogueMAC, netip.MustParseAddr(ip4), true)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		frame []byte
		want  string
	}{
		"reply":                    {arpFrame(t, rogueMAC, rogueMAC, arp.OperationReply, ip4, none, nil), rogueMAC.String()},
		"reply by a proxy":         {arpFrame(t, net.HardwareAddr{0x02, 0, 0, 0, 0, 0x77}, rogueMAC, arp.OperationReply, ip4, none, nil), rogueMAC.String()},
		"announcement":             {announcement(t, rogueMAC, nil), rogueMAC.String()},
		"request for another":      {arpFrame(t, rogueMAC, rogueMAC, arp.OperationRequest, ip4, other, nil), rogueMAC.String()},
		"request of another":       {arpFrame(t, rogueMAC, rogueMAC, arp.OperationRequest, other, ip4, nil), ""},
		"reply for another":        {arpFrame(t, rogueMAC, rogueMAC, arp.OperationReply, other, ip4, nil), ""},
		"probe":                    {probe.bytes, rogueMAC.String()},
		"question":                 {question.bytes, ""},
		"probe for another":        {arpFrame(t, rogueMAC, rogueMAC, arp.OperationRequest, none, other, nil), ""},
		"reply of no address":      {arpFrame(t, rogueMAC, rogueMAC, arp.OperationReply, none, ip4, nil), ""},
		"own":                      {announcement(t, ownMAC, nil), ""},
		"own, by another":          {arpFrame(t, rogueMAC, ownMAC, arp.OperationReply, ip4, none, nil), ""},
		"leased MAC, other IP":     {arpFrame(t, newJudge(t).leased, newJudge(t).leased, arp.OperationRequest, other, other, nil), leasedMAC},
		"leased MAC by a proxy":    {arpFrame(t, rogueMAC, newJudge(t).leased, arp.OperationReply, other, none, nil), leasedMAC},
		"cut off":                  {announcement(t, rogueMAC, nil)[:ethernetHeader+arpLen-1], ""},
		"no more than its header":  {announcement(t, rogueMAC, nil)[:ethernetHeader], ""},
		"empty":                    {nil, ""},
		"of some other protocol":   {append(announcement(t, rogueMAC, nil)[:12], 8, 0), ""},
		"without bytes to pad it":  {probe.bytes[:ethernetHeader+arpLen], rogueMAC.String()},
		"reply of a token ring":    {append(announcement(t, rogueMAC, nil)[:18], 2, 4, 0, 2, 1, 2, 192, 168, 50, 8, 1, 2, 0, 0, 0, 0), ""},
		"announcement with a tag":  {announcement(t, rogueMAC, &ethernet.VLAN{ID: 0}), rogueMAC.String()}, // a priority is no VLAN
		"announcement of IPv6?":    {append(announcement(t, rogueMAC, nil)[:18], 6, 16), ""},
		"probe with other padding": {append(probe.bytes[:ethernetHeader+arpLen:ethernetHeader+arpLen], "macpool probes, like"...), rogueMAC.String()},
	} {
		t.Run(name, func(t *testing.T) {
			if got := j.arp(tc.frame); got != tc.want {
				t.Errorf("answered by %q, want %q", got, tc.want)
			}
		})
	}
}

// FuzzJudge reads what anybody on a VLAN may send.
func FuzzJudge(f *testing.F) {
	probe, err := arpProbe(rogueMAC, netip.MustParseAddr(ip4), true)
	if err != nil {
		f.Fatal(err)
	}
	neighbour, err := solicitation(rogueMAC, netip.MustParseAddr(ip6), true)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(probe.bytes)
	f.Add(neighbour.bytes)
	advertisement := append([]byte(nil), neighbour.bytes...)
	advertisement[ethernetHeader+ipv6Header] = typeAdvertisement
	f.Add(advertisement)
	f.Fuzz(func(t *testing.T, b []byte) {
		j := newJudge(t)
		for _, by := range []string{j.arp(b), j.neighbour(b)} {
			if _, err := net.ParseMAC(by); by != "" && err != nil {
				t.Errorf("answered by %q: %v", by, err)
			}
		}
	})
}

// R-L1: what of neighbour discovery is an answer.
func TestJudgeNeighbour(t *testing.T) {
	j := newJudge(t)
	const other = "fd00:50::9"
	solicit := func(from net.HardwareAddr, ip string, question bool) []byte {
		f, err := solicitation(from, netip.MustParseAddr(ip), question)
		if err != nil {
			t.Fatal(err)
		}
		return f.bytes
	}
	change := func(b []byte, at int, to ...byte) []byte {
		copy(b[at:], to)
		return b
	}
	const hopLimit, source, icmp, target = ethernetHeader + 7, ethernetHeader + 8, ethernetHeader + ipv6Header, ethernetHeader + ipv6Header + 8
	ip, elsewhere := netip.MustParseAddr(ip6).AsSlice(), netip.MustParseAddr(other).AsSlice()
	for name, tc := range map[string]struct {
		frame []byte
		want  string
	}{
		"probe":                      {solicit(rogueMAC, ip6, false), rogueMAC.String()},
		"question":                   {solicit(rogueMAC, ip6, true), ""},
		"probe for another":          {solicit(rogueMAC, other, false), ""},
		"own probe":                  {solicit(ownMAC, ip6, false), ""},
		"solicitation by the holder": {change(solicit(rogueMAC, other, true), source, ip...), rogueMAC.String()},
		"advertisement":              {change(solicit(rogueMAC, ip6, true), icmp, typeAdvertisement), rogueMAC.String()},
		"advertisement by a proxy": {
			change(change(solicit(rogueMAC, ip6, true), icmp, typeAdvertisement), target+16, 2, 1, 2, 0, 0, 0, 0, 0x77), "02:00:00:00:00:77",
		},
		"advertisement with a damaged option": {
			change(change(solicit(rogueMAC, ip6, true), icmp, typeAdvertisement), target+16, 2, 0), rogueMAC.String(),
		},
		"advertisement of another":    {change(change(solicit(rogueMAC, ip6, true), icmp, typeAdvertisement), target, elsewhere...), ""},
		"through a router":            {change(solicit(rogueMAC, ip6, false), hopLimit, 254), ""},
		"leased MAC, other IP":        {solicit(j.leased, other, true), leasedMAC},
		"router solicitation":         {change(solicit(j.leased, ip6, true), icmp, 133), ""},
		"cut off":                     {solicit(rogueMAC, ip6, false)[:target+15], ""},
		"empty":                       {nil, ""},
		"of a length that is no good": {change(solicit(rogueMAC, ip6, false), ethernetHeader+4, 0, 23), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := j.neighbour(tc.frame); got != tc.want {
				t.Errorf("answered by %q, want %q", got, tc.want)
			}
		})
	}
}
