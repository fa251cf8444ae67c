// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"strings"
	"testing"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// A MAC alone goes to networks that can do without addresses, and is asked for by nobody on the VLAN; everybody else is refused before anything
// is leased. The next container gets the same (I4).
func TestMACsAlone(t *testing.T) {
	f := newFixture(t)
	f.pool = f.newPool(t, v1alpha1.MacPoolSpec{})
	f.setReady(t, f.pool)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")

	for name, change := range map[string]struct {
		edit func(*agentapi.Request)
		want *problem.Kind
	}{
		"as ipam, or by an older plugin": {func(r *agentapi.Request) { r.MACAlone = false }, problem.MACsAlone},
		"an address":                     {func(r *agentapi.Request) { r.Wish.IPs = []string{"192.168.50.8/24"} }, problem.NoAddresses},
		"another prefix":                 {func(r *agentapi.Request) { r.Wish.MAC = "00:1b:21:00:00:07" }, problem.ForeignMAC},
	} {
		req := f.addition("c0", pod)
		req.MACAlone, req.IPAM = true, "dhcp"
		change.edit(&req)
		t.Log(name)
		wantProblem(t, n.ask(t, req), change.want)
	}
	f.noTrace(t)

	req := f.addition("c1", pod)
	req.MACAlone, req.IPAM, req.Link = true, "dhcp", "eth0.50"
	resp := n.ask(t, req)
	if resp.Error != nil {
		t.Fatal(*resp.Error)
	}
	first := *resp.Lease
	if !strings.HasPrefix(first.MAC, "02:32:00:") || len(first.IPs) != 0 || first.Name != f.pool.Spec.Segment+"."+strings.ReplaceAll(first.MAC, ":", "-") {
		t.Errorf("the lease is %+v", first)
	}
	for _, command := range []agentapi.Command{agentapi.Lookup, agentapi.Check} {
		again := req
		again.Command = command
		if resp := n.ask(t, again); resp.Error != nil || resp.Lease.MAC != first.MAC {
			t.Errorf("%s: %+v", command, resp)
		}
	}
	entry, _ := n.agent.journal.get(attemptKey{"c1", "net1"})
	if report := attachmentOf(&entry); report.MAC != v1alpha1.MACAddress(first.MAC) || len(report.IPs) != 0 || report.LeaseName != first.Name {
		t.Errorf("after a recovery it would report %+v", report)
	}
	del(t, n, "c1")
	f.awaitNoHolder(t, pod)
	req.ContainerID = "c2"
	if resp := n.ask(t, req); resp.Error != nil || resp.Lease.MAC != first.MAC {
		t.Errorf("the next container has %+v, want %s", resp, first.MAC)
	}
	if leases := f.leases(t); len(leases) != 1 {
		t.Errorf("there are the leases %+v", leases)
	}
}

// A pool that leases addresses is not for a network that gets them elsewhere.
func TestOwnIPAMWithAddresses(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	req := f.addition("c1", f.newPod(t, "db-0", n.name, "db"))
	req.MACAlone, req.IPAM = true, "dhcp"
	resp := n.ask(t, req)
	wantProblem(t, resp, problem.BadDelegate)
	if resp.Error != nil && !strings.Contains(resp.Error.Message, "its ipam is dhcp, and pool "+f.pool.Name+" leases addresses") {
		t.Errorf("it says %s", resp.Error.Message)
	}
	f.noTrace(t)
	// Without an ipam of its own it takes what there is.
	req.IPAM = ""
	if resp := n.ask(t, req); resp.Error != nil || len(resp.Lease.IPs) != 1 {
		t.Errorf("got %+v", resp)
	}
}
