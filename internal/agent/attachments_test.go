// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/links"
	"github.com/macpool/macpool/internal/netnstest"
)

var compareAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// R-O3: the agent says what it has attached, and what the kernel says of it, from outside of the pod's network namespace; and what it says
// changes nothing.
func TestAttachments(t *testing.T) {
	f, n, netns := newFixture(t), startNode(t), netnstest.New(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	req := f.addition("c1", pod)
	req.NetNS = netns.Path()
	resp := n.ask(t, req)
	if resp.Error != nil {
		t.Fatalf("ADD: %+v", *resp.Error)
	}
	lease, claim := resp.Lease, f.claimOf(t, pod)
	gone := f.newPod(t, "db-1", n.name, "db")
	second := f.add(t, n, "c2", gone) // its network namespace is not there
	ip, another := lease.IPs[0].Address.Addr(), netip.MustParseAddr("192.168.50.77")
	journal, err := os.ReadFile(n.options.StateDir + "/journal")
	f.must(t, err)

	want := []agentapi.Attached{
		{
			Attachment: agentapi.Attachment{ContainerID: "c1", Interface: "net1"}, Pod: podRef(pod),
			Claim: lease.Claim, ClaimUID: string(claim.UID), Generation: 1, Lease: lease.Name, MAC: lease.MAC, IPs: []netip.Addr{ip},
		},
		{
			Attachment: agentapi.Attachment{ContainerID: "c2", Interface: "net1"}, Pod: podRef(gone),
			Claim: second.Claim, ClaimUID: string(f.claimOf(t, gone).UID), Generation: 1, Lease: second.Name, MAC: second.MAC,
			IPs: []netip.Addr{second.IPs[0].Address.Addr()},
		},
	}
	check := func(what string) {
		t.Helper()
		got := n.ask(t, agentapi.Request{Command: agentapi.Attachments})
		if diff := cmp.Diff(agentapi.Response{Attached: want}, got, compareAddr); diff != "" {
			t.Errorf("%s (-want +got)\n%s", what, diff)
		}
	}
	check("without an interface")

	link := func(change func(netlink.Link) error) {
		netnstest.Do(t, netns, func() error {
			l, err := netlinksafe.LinkByName("net1")
			if err != nil {
				return err
			}
			return change(l)
		})
	}
	netnstest.Do(t, netns, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.HardwareAddr = "net1", parseMAC(t, lease.MAC)
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer"})
	})
	link(func(l netlink.Link) error {
		return netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(24, 32)}})
	})
	want[0].Kernel = &agentapi.Kernel{MAC: lease.MAC, IPs: []netip.Addr{ip}}
	check("as it was given")

	link(func(l netlink.Link) error { return netlink.LinkSetHardwareAddr(l, parseMAC(t, "02:00:00:00:00:01")) })
	link(func(l netlink.Link) error {
		return netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: another.AsSlice(), Mask: net.CIDRMask(32, 32)}})
	})
	want[0].Kernel = &agentapi.Kernel{MAC: "02:00:00:00:00:01", IPs: []netip.Addr{ip, another}}
	slices.SortFunc(want[0].Kernel.IPs, netip.Addr.Compare)
	check("changed by hand")

	after, err := os.ReadFile(n.options.StateDir + "/journal")
	f.must(t, err)
	if !bytes.Equal(journal, after) {
		t.Error("the journal was written")
	}
}

// R-O3, R-S7: however much is attached, each answer is bounded, and together they have each attachment once.
func TestAttachmentsInParts(t *testing.T) {
	n := newNode(t)
	n.equip = func(a *Agent) {
		a.inspect = func(string, string) (links.Detail, error) {
			return links.Detail{}, errors.New("there is no kernel in this test")
		}
	}
	n.start(t)
	want := map[string]bool{}
	for i := range 2*maxListed + 1 {
		id := fmt.Sprintf("c%04d", i)
		want[id] = true
		if _, err := n.agent.journal.attach(attempt{ContainerID: id, Interface: "net1", Lease: &agentapi.Lease{Name: id}}); err != nil {
			t.Fatal(err)
		}
	}
	req, parts := agentapi.Request{Command: agentapi.Attachments}, 0
	for more := true; more; parts++ {
		resp, raw := ask(t, n.socket, req)
		if resp.Error != nil || len(resp.Attached) == 0 || len(raw) > agentapi.MaxMessage {
			t.Fatalf("answer %d has %d attachments in %d bytes, error %+v", parts, len(resp.Attached), len(raw), resp.Error)
		}
		for _, a := range resp.Attached {
			if !want[a.ContainerID] {
				t.Errorf("%s is listed twice, or was never attached", a.ContainerID)
			}
			delete(want, a.ContainerID)
			req.After = a.Attachment
		}
		more = resp.More
	}
	if len(want) > 0 || parts != 3 {
		t.Errorf("in %d answers %d attachments are missing", parts, len(want))
	}
}

func parseMAC(t *testing.T, s string) net.HardwareAddr {
	t.Helper()
	m, err := net.ParseMAC(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
