// SPDX-License-Identifier: Apache-2.0

//go:build vlan

package vlan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/e2e/lab"
)

// leases are what the API says: VLAN -> MAC -> the addresses that go with it.
type leases map[int]map[string][]netip.Addr

// verdict is what is to be said of all frames that machines sent. Only tagged may be more than 0.
type verdict struct {
	tagged     map[int]int // VLAN -> frames
	untagged   int
	asked      int            // by agents, before a pod got an address
	foreign    map[string]int // MAC that is not leased in the VLAN of the frame -> frames
	misleading []string       // announcements of an address by another MAC than the one that it is leased with
}

// judge looks at frames and at nothing else. The machines themselves are silent on the trunk, so every frame is a pod's, but for those by which
// agents ask for addresses. What has sent an ARP probe is a machine's link: pods' kernels send none. Of such a link nothing
// else is let pass.
func judge(frames []lab.Frame, leased leases) verdict {
	v := verdict{tagged: map[int]int{}, foreign: map[string]int{}}
	agents := map[string]bool{}
	for _, f := range frames {
		if f.Sender == netip.IPv4Unspecified() && f.Asks() {
			agents[f.Source] = true
		}
	}
	for _, f := range frames {
		ips, ok := leased[f.VLAN][f.Source]
		if !ok && f.VLAN != 0 && agents[f.Source] && f.Asks() {
			v.asked++
			continue
		}
		if f.VLAN == 0 {
			v.untagged++
		} else {
			v.tagged[f.VLAN]++
		}
		if !ok {
			v.foreign[f.Source]++
		}
		if !f.Announced.IsValid() {
			continue
		}
		own := f.Announced.IsLinkLocalUnicast() || slices.Contains(ips, f.Announced)
		if !own || f.AnnouncedMAC != f.Source {
			v.misleading = append(v.misleading, fmt.Sprintf("%s is at %s, in VLAN %d from %s", f.Announced, f.AnnouncedMAC, f.VLAN, f.Source))
		}
	}
	return v
}

func (v verdict) String() string {
	return fmt.Sprintf("tagged %d: %d, tagged %d: %d, and %d probes of agents, untagged: %d, foreign MACs: %d, misleading announcements: %d",
		vlanPods, v.tagged[vlanPods], vlanOther, v.tagged[vlanOther], v.asked, v.untagged, len(v.foreign), len(v.misleading))
}

// complaints are what is wrong with it.
func (v verdict) complaints() []string {
	var all []string
	for _, vid := range []int{vlanPods, vlanOther} {
		if v.tagged[vid] == 0 {
			all = append(all, fmt.Sprintf("no frame was tagged %d", vid))
		}
	}
	for vid, n := range v.tagged {
		if vid != vlanPods && vid != vlanOther {
			all = append(all, fmt.Sprintf("%d frames were tagged %d", n, vid))
		}
	}
	if v.untagged > 0 {
		all = append(all, fmt.Sprintf("%d frames had no tag", v.untagged))
	}
	for mac, n := range v.foreign {
		all = append(all, fmt.Sprintf("%d frames came from %s, which is not leased in their VLAN", n, mac))
	}
	return append(all, v.misleading...)
}

// TestJudge : the judge itself, with frames that are wrong in one way each.
func TestJudge(t *testing.T) {
	ip, other := netip.MustParseAddr("192.168.50.10"), netip.MustParseAddr("192.168.50.11")
	leased := leases{
		vlanPods:  {"02:32:00:a8:32:0a": {ip}},
		vlanOther: {"02:3c:00:a8:32:0a": {ip}},
	}
	good := []lab.Frame{
		{VLAN: vlanPods, Source: "02:32:00:a8:32:0a", Announced: ip, AnnouncedMAC: "02:32:00:a8:32:0a"},
		{VLAN: vlanOther, Source: "02:3c:00:a8:32:0a"},
		{VLAN: vlanPods, Source: "02:00:00:00:00:50", EtherType: unix.ETH_P_ARP, Sender: netip.IPv4Unspecified()}, // an agent's
		{VLAN: vlanPods, Source: "02:00:00:00:00:50", EtherType: unix.ETH_P_IPV6, IPv6: netip.IPv6Unspecified()},
	}
	tests := map[string]struct {
		frame lab.Frame
		want  string // a part of the only complaint
	}{
		"untagged":               {lab.Frame{Source: "02:32:00:a8:32:0a"}, "no tag"},
		"strange MAC":            {lab.Frame{VLAN: vlanPods, Source: "02:00:00:fe:00:01"}, "02:00:00:fe:00:01"},
		"other's tag":            {lab.Frame{VLAN: vlanOther, Source: "02:32:00:a8:32:0a"}, "02:32:00:a8:32:0a"},
		"strange tag":            {lab.Frame{VLAN: 70, Source: "02:32:00:a8:32:0a"}, "tagged 70"},
		"kernel of a random MAC": {lab.Frame{VLAN: vlanPods, Source: "8e:00:00:00:00:01", EtherType: unix.ETH_P_IPV6, IPv6: netip.IPv6Unspecified()}, "8e:00:00:00:00:01"},
		"agent that says more":   {lab.Frame{VLAN: vlanPods, Source: "02:00:00:00:00:50", EtherType: unix.ETH_P_ARP, Sender: other}, "02:00:00:00:00:50"},
		"other's IP":             {lab.Frame{VLAN: vlanPods, Source: "02:32:00:a8:32:0a", Announced: other, AnnouncedMAC: "02:32:00:a8:32:0a"}, "is at"},
		"at random MAC":          {lab.Frame{VLAN: vlanPods, Source: "02:32:00:a8:32:0a", Announced: ip, AnnouncedMAC: "8e:00:00:00:00:01"}, "is at"},
	}
	if got := judge(good, leased).complaints(); len(got) != 0 {
		t.Errorf("complained of good frames: %v", got)
	}
	if got := judge(good[:1], leased).complaints(); len(got) != 1 {
		t.Errorf("of an empty VLAN: %v", got)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := judge(append(slices.Clone(good), tt.frame), leased).complaints()
			if len(got) == 0 || !slices.ContainsFunc(got, func(c string) bool { return strings.Contains(c, tt.want) }) {
				t.Errorf("got %q, want a complaint with %q", got, tt.want)
			}
		})
	}
}
