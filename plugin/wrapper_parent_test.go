// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/netnstest"
	"github.com/macpool/macpool/internal/problem"
)

// A delegate that names no master gets the link that the agent names, on a node whose default route, if it has one, goes elsewhere. Its end
// needs no such link.
func TestWrapperParent(t *testing.T) {
	lease := leaseOf(ip4())
	lease.Parent = "eth0.50"
	a := newAgent(t, lease)
	n, p := newNode(t, a), newPod(t, "c1")
	list := network(t, listOf("1.0.0", wrapped(`"type":"macvlan","mode":"bridge"`)))
	if _, err := n.add(t, list, p); err != nil {
		t.Fatal(err)
	}
	if got := a.asked(agentapi.Add); len(got) != 1 || !got[0].NeedsParent || got[0].Link != "" {
		t.Errorf("asked %v", got)
	}
	parent := linkOf(t, n.ns, "eth0.50").Index
	if got := linkOf(t, p.ns, "net1"); got.ParentIndex != parent || got.HardwareAddr.String() != testMAC {
		t.Errorf("the link is %+v, not on link %d", got, parent)
	}
	if err := n.check(t, list, p); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	// By now the link has gone, and macvlan's interface with it.
	changeLink(t, n.ns, "eth0.50", netlink.LinkDel)
	if err := n.del(t, list, p); err != nil {
		t.Errorf("DEL: %v", err)
	}
	if got := a.asked(agentapi.Del); len(got) != 1 {
		t.Errorf("asked %v", got)
	}
}

// An agent of an older release knows nothing of parents: no interface is made on whatever link, and the lease is given back.
func TestWrapperParentUnknown(t *testing.T) {
	sandbox := netnstest.New(t)
	a := newAgent(t, leaseOf(ip4()))
	p, _ := newPlugin(a)
	err := errorOrNone(p.Add(t.Context(), wrapperArgs(t, a, sandbox, wrapperConf(`"type":"macvlan"`))))
	if saying(err).Code != problem.BadDelegate.Code || len(a.asked(agentapi.Del)) != 1 || linkOf(t, sandbox, "net1") != nil {
		t.Errorf("got %v, asked %v", err, a.asked(agentapi.Del))
	}
}
