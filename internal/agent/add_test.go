// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

var compareAddresses = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// TestPreboundAddAsksNothing proves the design's usual case: what the manager has prepared is answered without one request to
// the API.
func TestPreboundAddAsksNothing(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	claim := f.prebind(t, n, pod)
	eventually(t, "the pod and the pool in the agent's cache", func() error {
		if err := n.agent.cluster.cache.Get(t.Context(), claimKey(agentapi.ClaimRef{Name: f.pool.Name}), &v1alpha1.MacPool{}); err != nil {
			return err
		}
		return n.agent.cluster.cache.Get(t.Context(), claimKey(agentapi.ClaimRef{Namespace: pod.Namespace, Name: pod.Name}), &corev1.Pod{})
	})
	n.wire.requests()
	lease := f.add(t, n, "c1", pod)
	if asked := n.wire.requests(); len(asked) > 0 {
		t.Errorf("the ADD asked the API: %q", asked)
	}
	if lease.Name != claim.Status.LeaseName || lease.MAC != claim.Status.MAC {
		t.Errorf("the lease is %+v, the claim has %+v", lease, claim.Status)
	}

	// The chained entry's ADD and CHECK of the same container ask nothing either (R-C11).
	for _, command := range []agentapi.Command{agentapi.Lookup, agentapi.Check} {
		req := f.addition("c1", pod)
		req.Command = command
		resp := n.ask(t, req)
		if resp.Error != nil {
			t.Fatalf("%s: %+v", command, *resp.Error)
		}
		if diff := cmp.Diff(lease, *resp.Lease, compareAddresses); diff != "" {
			t.Errorf("%s (-ADD +got):\n%s", command, diff)
		}
	}
	if asked := n.wire.requests(); len(asked) > 0 {
		t.Errorf("LOOKUP and CHECK asked the API: %q", asked)
	}
}

// TestAnswer proves that a lease comes with all that its pool adds.
func TestAnswer(t *testing.T) {
	f := newFixture(t)
	f.pool = f.newPool(t, v1alpha1.MacPoolSpec{
		Subnets: []v1alpha1.Subnet{
			{CIDR: "192.168.50.0/24", Gateway: "192.168.50.1"},
			{CIDR: "fd00:50::/64"},
		},
		Routes: []v1alpha1.Route{
			{Dst: "10.0.0.0/8"},
			{Dst: "172.16.0.0/12", GW: "192.168.50.254"},
			{Dst: "fd00:60::/64"},
		},
		DNS: &v1alpha1.DNS{Nameservers: []v1alpha1.IPAddress{"192.168.50.53"}, Domain: "home.arpa", Search: []string{"home.arpa"}},
	})
	f.setReady(t, f.pool)
	n := startNode(t)
	pod := f.newPod(t, "printer", n.name, "")
	req := f.addition("c1", pod)
	req.Wish.IPs = []string{"192.168.50.8/24"}
	resp := n.ask(t, req)
	if resp.Error != nil {
		t.Fatal(*resp.Error)
	}
	want := agentapi.Lease{
		MAC: "02:32:00:a8:32:08",
		IPs: []agentapi.IP{
			{Address: netip.MustParsePrefix("192.168.50.8/24"), Gateway: netip.MustParseAddr("192.168.50.1")},
			{Address: netip.MustParsePrefix("fd00:50::8/64")},
		},
		Routes: []agentapi.Route{
			{Dst: netip.MustParsePrefix("10.0.0.0/8"), GW: netip.MustParseAddr("192.168.50.1")},
			{Dst: netip.MustParsePrefix("172.16.0.0/12"), GW: netip.MustParseAddr("192.168.50.254")},
			{Dst: netip.MustParsePrefix("fd00:60::/64")},
		},
		DNS:   agentapi.DNS{Nameservers: []string{"192.168.50.53"}, Domain: "home.arpa", Search: []string{"home.arpa"}},
		Name:  f.pool.Spec.Segment + ".192.168.50.8",
		Claim: agentapi.ClaimRef{Namespace: f.namespace, Name: "printer." + f.pool.Name + ".net1"},
	}
	if diff := cmp.Diff(want, *resp.Lease, compareAddresses); diff != "" {
		t.Errorf("lease (-want +got):\n%s", diff)
	}
}

// TestAddBindsByItself proves R-K2: without a manager an ADD is served all the same, and what it made is whole.
func TestAddBindsByItself(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	lease := f.add(t, n, "c1", pod)

	claim := f.claimOf(t, pod)
	want := v1alpha1.Holder{PodName: "db-0", PodUID: pod.UID, NodeName: n.name, Interface: "net1", Generation: 1}
	if diff := cmp.Diff(want, *claim.Status.Holder, cmpopts.IgnoreFields(v1alpha1.Holder{}, "Since")); diff != "" {
		t.Errorf("holder (-want +got):\n%s", diff)
	}
	leases := f.leases(t)
	if len(leases) != 1 || leases[0].Name != lease.Name || leases[0].Spec.ClaimRef.UID != claim.UID || leases[0].Spec.NodeName != n.name {
		t.Errorf("leases = %+v, want %s of the claim, on the node", leases, lease.Name)
	}

	// CHECK right after ADD, when no cache can have seen it (R-C11).
	req := f.addition("c1", pod)
	req.Command = agentapi.Check
	if resp := n.ask(t, req); resp.Error != nil {
		t.Errorf("CHECK right after ADD: %+v", *resp.Error)
	}

	del(t, n, "c1")
	f.awaitNoHolder(t, pod)
	if resp := n.ask(t, req); isProblem(resp, problem.NotAttached) != nil {
		t.Errorf("CHECK after DEL: %+v", resp)
	}
	if leases := f.leases(t); len(leases) != 1 || leases[0].Spec.ReleasedAt != nil {
		t.Errorf("leases after DEL = %+v, want the same: the identity keeps its address", leases)
	}
}

// TestAddWithLostAnswers proves R-A4: the answer to every write is lost once, after the API server has carried it out, and
// there is one claim, one lease and one holder all the same.
func TestAddWithLostAnswers(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	n.wire.loseEachAnswerOnce()
	lease := f.add(t, n, "c1", pod)
	n.wire.loseEachAnswerOnce()
	claim := f.claimOf(t, pod)
	if leases := f.leases(t); len(leases) != 1 || leases[0].Name != lease.Name || claim.Status.LeaseName != lease.Name {
		t.Errorf("the lease is %s, the claim has %s, there are %+v", lease.Name, claim.Status.LeaseName, leases)
	}
	if claim.Status.Generation != 1 {
		t.Errorf("generation = %d, want 1", claim.Status.Generation)
	}
	del(t, n, "c1")
	f.awaitNoHolder(t, pod)
	if past := f.claimOf(t, pod).Status.PreviousHolders; len(past) != 1 {
		t.Errorf("previous holders = %+v, want one", past)
	}
}

// TestAddWaitsForTheManager proves that an ADD that meets the manager at work takes what it makes.
func TestAddWaitsForTheManager(t *testing.T) {
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.Times.ManagerWait, o.Times.ManagerAge = patience, time.Hour })
	pod := f.newPod(t, "db-0", n.name, "db")
	answered := start(t, n, f.addition("c1", pod))
	claim := f.prebind(t, n, pod)
	if resp := <-answered; resp.Lease == nil || resp.Lease.Name != claim.Status.LeaseName {
		t.Errorf("the ADD got %+v, the manager made %s", resp, claim.Status.LeaseName)
	}
	for _, asked := range n.wire.requests() {
		if asked == "POST /apis/macpool.dev/v1alpha1/macleases" {
			t.Error("the agent made a lease beside the manager")
		}
	}
}

// TestEightInterfaces proves R-C19: interfaces of one pod, attached at once, get leases of their own, and keep them.
func TestEightInterfaces(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "router", n.name, "")
	attach := func(container string) map[string]string {
		names := map[string]string{} // interface -> lease
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				req := f.addition(container, pod)
				req.Interface = fmt.Sprintf("net%d", i+1)
				resp, _, err := tryAsk(t.Context(), n.socket, req)
				mu.Lock()
				defer mu.Unlock()
				if err != nil || resp.Error != nil {
					t.Errorf("%s: %v %+v", req.Interface, err, resp.Error)
					return
				}
				names[req.Interface] = resp.Lease.Name
			})
		}
		wg.Wait()
		return names
	}
	first := attach("c1")
	distinct := map[string]bool{}
	for _, name := range first {
		distinct[name] = true
	}
	if len(distinct) != 8 || len(f.leases(t)) != 8 {
		t.Errorf("8 interfaces have %d leases of %d: %v", len(distinct), len(f.leases(t)), first)
	}
	if diff := cmp.Diff(first, attach("c2")); diff != "" {
		t.Errorf("leases of the next container (-first +got):\n%s", diff)
	}
}
