// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// newClaim makes a claim as a person does.
func (f *fixture) newClaim(t *testing.T, name string, spec v1alpha1.MacClaimSpec) *v1alpha1.MacClaim {
	t.Helper()
	if spec.PoolRef.Name == "" {
		spec.PoolRef.Name = f.pool.Name
	}
	claim := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name}, Spec: spec}
	f.must(t, f.Create(t.Context(), claim))
	return claim
}

// podOf makes a pod of a Deployment, with a networks annotation.
func (f *fixture) podOf(t *testing.T, name, nodeName, deployment, networks string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: f.namespace, Name: name, Annotations: map[string]string{networksAnnotation: networks},
			Labels: map[string]string{binding.LabelTemplateHash: "1"},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: deployment + "-1", UID: "uid", Controller: new(true),
			}},
		},
		Spec: corev1.PodSpec{NodeName: nodeName, Containers: []corev1.Container{{Name: "main", Image: "main"}}},
	}
	f.must(t, f.Create(t.Context(), pod))
	return pod
}

// TestAddWithNamedClaim proves that without a manager the agent finds the claim that the manager would find: the one that the pod names,
// in each of the ways, or that a person made for the workload. One that is not there is not made.
func TestAddWithNamedClaim(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	other := f.newPool(t, v1alpha1.MacPoolSpec{Subnets: []v1alpha1.Subnet{{CIDR: "192.168.60.0/24"}}})
	f.newClaim(t, "elsewhere", v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: other.Name}})
	f.newClaim(t, "database", v1alpha1.MacClaimSpec{
		IPs:      []v1alpha1.IPAddress{"192.168.50.9"},
		Workload: &v1alpha1.Workload{Kind: v1alpha1.WorkloadStatefulSet, Name: "db", Ordinal: new(int32(0)), Interface: "net1"},
	})
	f.newClaim(t, "home-assistant", v1alpha1.MacClaimSpec{IPs: []v1alpha1.IPAddress{"192.168.50.8"}})
	for i, tc := range []struct {
		name       string
		networks   string
		args       string
		deployment string
		want       string
		problem    *problem.Kind
		says       string
	}{
		{name: "ipam-claim-reference", networks: `[{"name": "iot", "ipam-claim-reference": "home-assistant"}]`, deployment: "home-assistant", want: "192.168.50.8"},
		{name: "cni-args", networks: `[{"name": "iot", "cni-args": {"claim": "home-assistant"}}]`, args: "home-assistant", deployment: "home-assistant", want: "192.168.50.8"},
		{name: "the network's", networks: "iot", args: "home-assistant", deployment: "home-assistant", want: "192.168.50.8"},
		{name: "the pod's before the network's", networks: `[{"name": "iot", "ipam-claim-reference": "home-assistant"}]`, args: "elsewhere", deployment: "home-assistant", want: "192.168.50.8"},
		{name: "unknown", networks: "iot", args: "nobody", problem: problem.ClaimUnknown, says: "/nobody"},
		{name: "of another pool", networks: "iot", args: "elsewhere", problem: problem.OtherPool, says: other.Name},
		{name: "of another workload", networks: "iot", args: "database", problem: problem.NotOurClaim, says: "StatefulSet db-0"},
		{name: "no name", networks: "iot", args: "../x", problem: problem.BadAnnotation},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pod := f.podOf(t, fmt.Sprintf("pod-%d", i), n.name, tc.deployment+"x", tc.networks)
			req := f.addition(fmt.Sprintf("c%d", i), pod)
			req.Wish.Claim = tc.args
			resp := n.ask(t, req)
			if tc.problem != nil {
				wantProblem(t, resp, tc.problem)
				if resp.Error != nil && !strings.Contains(resp.Error.Message, tc.says) {
					t.Errorf("it says %q, want %q", resp.Error.Message, tc.says)
				}
				return
			}
			if resp.Error != nil {
				t.Fatalf("ADD: %+v", *resp.Error)
			}
			if got := resp.Lease.IPs[0].Address.Addr().String(); got != tc.want || resp.Lease.Claim.Name != "home-assistant" {
				t.Errorf("the lease is %+v", *resp.Lease)
			}
			if i == 0 {
				// Held, it is nobody else's (T6); and not this pod's for a second interface (R-C19).
				squatter := f.podOf(t, "squatter", n.name, "squatter", "iot")
				steal := f.addition("c-squatter", squatter)
				steal.Wish.Claim = "home-assistant"
				wantProblem(t, n.ask(t, steal), problem.ClaimOfAnother)
				second := req
				second.Interface, second.Wish.Claim = "net2", "home-assistant"
				wantProblem(t, n.ask(t, second), problem.ClaimTwice)
			}
			del(t, n, req.ContainerID)
			f.deletePod(t, pod)
			eventually(t, "the holder to be cleared", func() error {
				claim := &v1alpha1.MacClaim{}
				f.must(t, f.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: "home-assistant"}, claim))
				if claim.Status.Holder != nil {
					return fmt.Errorf("the holder is %+v", *claim.Status.Holder)
				}
				return nil
			})
		})
	}

	t.Run("made for the workload", func(t *testing.T) {
		pod := f.newPod(t, "db-0", n.name, "db")
		lease := f.add(t, n, "c-db", pod)
		if lease.Claim.Name != "database" || lease.IPs[0].Address.Addr().String() != "192.168.50.9" {
			t.Errorf("the lease is %+v", lease)
		}
		if made := f.claimOf(t, pod); made != nil {
			t.Errorf("claim %s was made beside it", made.Name)
		}
		// The same pod's next container finds it again, and DEL finds what ADD had.
		if again := f.add(t, n, "c-db-2", pod); again.Name != lease.Name {
			t.Errorf("the second container has %+v", again)
		}
	})
}

// TestPreboundNamedClaimAsksNothing is the usual case for claims that people have made, found by their name or by their workload.
func TestPreboundNamedClaimAsksNothing(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	named := f.newClaim(t, "home-assistant", v1alpha1.MacClaimSpec{})
	ofSet := f.newClaim(t, "database", v1alpha1.MacClaimSpec{
		Workload: &v1alpha1.Workload{Kind: v1alpha1.WorkloadStatefulSet, Name: "db", Ordinal: new(int32(0)), Interface: "net1"},
	})
	for name, tc := range map[string]struct {
		claim *v1alpha1.MacClaim
		pod   *corev1.Pod
	}{
		"named":           {named, f.podOf(t, "ha", n.name, "ha", `[{"name": "iot", "ipam-claim-reference": "home-assistant"}]`)},
		"of the workload": {ofSet, f.newPod(t, "db-0", n.name, "db")},
	} {
		t.Run(name, func(t *testing.T) {
			b := &binding.Binder{Client: f, Index: binding.NewIndex(), Clock: clock.RealClock{}}
			f.must(t, b.Index.SetPool(f.pool))
			claim, err := b.Bind(t.Context(), tc.claim, f.pool, &v1alpha1.Holder{
				PodName: tc.pod.Name, PodUID: tc.pod.UID, NodeName: n.name, Interface: "net1",
			})
			f.must(t, err)
			eventually(t, "pod, pool and claim in the agent's cache", func() error {
				seen := &v1alpha1.MacClaim{}
				if err := n.agent.cluster.cache.Get(t.Context(), client.ObjectKeyFromObject(claim), seen); err != nil {
					return err
				}
				if err := n.agent.cluster.cache.Get(t.Context(), claimKey(agentapi.ClaimRef{Name: f.pool.Name}), &v1alpha1.MacPool{}); err != nil {
					return err
				}
				return n.agent.cluster.cache.Get(t.Context(), client.ObjectKeyFromObject(tc.pod), &corev1.Pod{})
			})
			n.wire.requests()
			lease := f.add(t, n, "c-"+tc.pod.Name, tc.pod)
			if asked := n.wire.requests(); len(asked) > 0 {
				t.Errorf("the ADD asked the API: %q", asked)
			}
			if lease.Claim.Name != claim.Name || lease.Name != claim.Status.LeaseName {
				t.Errorf("the lease is %+v, the claim has %+v", lease, claim.Status)
			}
		})
	}
}

// TestAddWithReservedMAC proves that without a manager a reservation's MAC is given to its claim, and locked (R-A2).
func TestAddWithReservedMAC(t *testing.T) {
	f := newFixture(t)
	const foreign = "00:1b:21:a8:32:08"
	f.pool = f.newPool(t, v1alpha1.MacPoolSpec{
		Subnets: []v1alpha1.Subnet{{CIDR: "192.168.50.0/24"}},
		Reservations: []v1alpha1.Reservation{
			{IP: "192.168.50.8", MAC: foreign, ClaimRef: &v1alpha1.ReservedClaimRef{Namespace: f.namespace, Name: "licence"}},
		},
	})
	f.setReady(t, f.pool)
	f.newClaim(t, "licence", v1alpha1.MacClaimSpec{})
	n := startNode(t)
	pod := f.podOf(t, "licence-1", n.name, "licence", `[{"name": "iot", "ipam-claim-reference": "licence"}]`)
	req := f.addition("c1", pod)
	resp := n.ask(t, req)
	if resp.Error != nil {
		t.Fatalf("ADD: %+v", *resp.Error)
	}
	if resp.Lease.MAC != foreign || resp.Lease.IPs[0].Address.Addr().String() != "192.168.50.8" {
		t.Errorf("the lease is %+v", *resp.Lease)
	}
	lock := &v1alpha1.MacLease{}
	f.must(t, f.Get(t.Context(), client.ObjectKey{Name: f.pool.Spec.Segment + ".00-1b-21-a8-32-08"}, lock))

	// That it asks for what its claim has changes nothing, and another pod that does is told whose it is.
	again := f.addition("c3", pod)
	again.Wish.MAC = foreign
	if resp := n.ask(t, again); resp.Error != nil || resp.Lease.MAC != foreign {
		t.Errorf("the ADD that asks for the MAC is answered %+v", resp)
	}
	thief := f.podOf(t, "thief", n.name, "thief", "iot")
	steal := f.addition("c2", thief)
	steal.Wish.MAC = foreign
	wantProblem(t, n.ask(t, steal), problem.AddressReserved)
}

// TestT6TakeoverOfNamedClaim : a pod names a claim whose holder is on a node that does not answer. From a silent node a claim that many may name goes to a pod of the holder's own workload, by the rules of
// R-G5, and to nobody else's.
func TestT6TakeoverOfNamedClaim(t *testing.T) {
	s := &scene{fixture: newFixture(t), old: newNode(t), new: newNode(t)}
	s.oldNode = s.makeNode(t, s.old.name)
	s.makeNode(t, s.new.name)
	for _, n := range []*node{s.old, s.new} {
		n.start(t)
		n.awaitReady(t)
	}
	s.newClaim(t, "shared", v1alpha1.MacClaimSpec{})
	const networks = `[{"name": "iot", "ipam-claim-reference": "shared"}]`
	s.oldPod = s.podOf(t, "ha-1", s.old.name, "ha", networks)
	req := s.addition("old", s.oldPod)
	req.NetNS = netnsOfOld
	resp := s.old.ask(t, req)
	if resp.Error != nil {
		t.Fatal(*resp.Error)
	}
	s.lease = *resp.Lease
	s.hear("", nil)
	s.old.wire.set(refuse)
	s.old.clock.ahead.Add(int64(time.Minute))
	s.setNode(t, s.oldNode, false)
	s.deletePod(t, s.oldPod)

	squatter, next := s.podOf(t, "squatter-1", s.new.name, "squatter", networks), s.podOf(t, "ha-2", s.new.name, "ha", networks)
	ask := func(container string, pod *corev1.Pod) agentapi.Response {
		t.Helper()
		req := s.addition(container, pod)
		req.Link = "eth0.50"
		return s.new.ask(t, req)
	}
	wantProblem(t, ask("s-1", squatter), problem.ClaimOfAnother)
	wantProblem(t, ask("n-1", next), problem.TakeoverTooSoon)
	s.wait(41 * time.Second)
	wantProblem(t, ask("s-2", squatter), problem.ClaimOfAnother)
	if resp = ask("n-2", next); resp.Error != nil {
		t.Fatalf("the next pod of the workload is refused: %+v", *resp.Error)
	}
	if diff := cmp.Diff(s.lease, *resp.Lease, compareAddresses); diff != "" {
		t.Errorf("the lease is another (-old +new):\n%s", diff)
	}
	wantProblem(t, ask("s-3", squatter), problem.ClaimOfAnother)
}
