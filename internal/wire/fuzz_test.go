// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net"
	"net/netip"
	"testing"

	"github.com/mdlayher/arp"
)

// FuzzHeard : T8, T9. Anybody on the VLAN may send any frame. What the agent hears of it is an address and a MAC of the frame's own, or nothing; it
// is never a word about an address that no frame can be about, and who asks and who listens agree on which frames speak of an address.
func FuzzHeard(f *testing.F) {
	ip, other := netip.MustParseAddr(ip4), netip.MustParseAddr(ip6)
	for _, question := range []bool{false, true} {
		probe, err := arpProbe(rogueMAC, ip, question)
		if err != nil {
			f.Fatal(err)
		}
		neighbour, err := solicitation(rogueMAC, other, question)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(probe.bytes)
		f.Add(neighbour.bytes)
		advertisement := append([]byte(nil), neighbour.bytes...)
		advertisement[ethernetHeader+ipv6Header] = typeAdvertisement
		f.Add(advertisement)
		f.Add(advertisement[:ethernetHeader+ipv6Header+23])
	}
	f.Add(arpFrame(f, rogueMAC, rogueMAC, arp.OperationReply, ip4, "0.0.0.0", nil))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		kept := append([]byte(nil), b...)
		j := newJudge(t)
		for _, heard := range []struct {
			hear  func([]byte) (Heard, bool)
			judge func([]byte) string
			bits  int
		}{{heardARP, j.arp, 32}, {heardNeighbour, j.neighbour, 128}} {
			h, ok := heard.hear(b)
			if !ok {
				if h != (Heard{}) {
					t.Errorf("nothing was heard, and it is %+v", h)
				}
				continue
			}
			mac, err := net.ParseMAC(h.MAC)
			if err != nil || len(mac) != ethernetAddrLen || h.IP.BitLen() != heard.bits || h.IP.Zone() != "" {
				t.Fatalf("%+v was heard", h)
			}
			// The same frame, as one who asks for the address that it is about.
			j.ips = []netip.Addr{h.IP}
			if by := heard.judge(b); by == "" && !j.isOwn(mac) && !j.isOwn(b[6:12]) {
				t.Errorf("%+v was heard, and it is no answer to who asks for %s", h, h.IP)
			}
		}
		if string(kept) != string(b) {
			t.Error("the frame was changed")
		}
	})
}
