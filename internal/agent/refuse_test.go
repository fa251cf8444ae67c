// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// TestAddRefuses proves that each refusal has its code, comes before anything is leased, and leaves nothing behind: of a pod that
// the API does not know or that is another node's (R-C10), that uses the host's network (R-C18), that has finished, and others.
func TestAddRefuses(t *testing.T) {
	n := startNode(t)
	tests := map[string]struct {
		change func(t *testing.T, f *fixture, pod *corev1.Pod, req *agentapi.Request)
		want   *problem.Kind
	}{
		"no pool named": {want: problem.NoPoolNamed, change: func(_ *testing.T, _ *fixture, _ *corev1.Pod, req *agentapi.Request) {
			req.Pool = ""
		}},
		"unknown pool": {want: problem.PoolUnknown, change: func(_ *testing.T, _ *fixture, _ *corev1.Pod, req *agentapi.Request) {
			req.Pool = "nobody-made-this"
		}},
		"pool not checked yet": {want: problem.PoolNotReady, change: func(t *testing.T, f *fixture, _ *corev1.Pod, req *agentapi.Request) {
			t.Helper()
			req.Pool = f.newPool(t, v1alpha1.MacPoolSpec{Subnets: []v1alpha1.Subnet{{CIDR: "192.168.60.0/24"}}}).Name
		}},
		"pool closed to the namespace": {want: problem.PoolForbidden, change: func(t *testing.T, f *fixture, _ *corev1.Pod, req *agentapi.Request) {
			t.Helper()
			pool := f.newPool(t, v1alpha1.MacPoolSpec{
				Subnets:           []v1alpha1.Subnet{{CIDR: "192.168.60.0/24"}},
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"vlan": "iot"}},
			})
			f.setReady(t, pool)
			req.Pool = pool.Name
		}},
		"no pod named": {want: problem.NotAPod, change: func(_ *testing.T, _ *fixture, _ *corev1.Pod, req *agentapi.Request) {
			req.Pod.UID = ""
		}},
		"pod unknown": {want: problem.PodUnknown, change: func(_ *testing.T, _ *fixture, _ *corev1.Pod, req *agentapi.Request) {
			req.Pod.Name = "nobody"
		}},
		"pod of that name has another UID": {want: problem.PodUnknown, change: func(_ *testing.T, _ *fixture, _ *corev1.Pod, req *agentapi.Request) {
			req.Pod.UID = "of-the-pod-before"
		}},
		"pod deleted since": {want: problem.PodUnknown, change: func(t *testing.T, f *fixture, pod *corev1.Pod, _ *agentapi.Request) {
			t.Helper()
			f.deletePod(t, pod)
			eventually(t, "the agent to see it", func() error {
				err := n.agent.cluster.cache.Get(t.Context(), claimKey(agentapi.ClaimRef{Namespace: pod.Namespace, Name: pod.Name}), &corev1.Pod{})
				if err == nil {
					return errNotReady
				}
				return nil
			})
		}},
		"pod of another node": {want: problem.PodElsewhere, change: func(t *testing.T, f *fixture, _ *corev1.Pod, req *agentapi.Request) {
			t.Helper()
			req.Pod = podRef(f.newPod(t, "elsewhere", "another-node", ""))
		}},
		"pod of no node": {want: problem.PodElsewhere, change: func(t *testing.T, f *fixture, _ *corev1.Pod, req *agentapi.Request) {
			t.Helper()
			req.Pod = podRef(f.newPod(t, "nowhere", "", ""))
		}},
		"pod on the host's network": {want: problem.HostNetwork, change: func(t *testing.T, f *fixture, _ *corev1.Pod, req *agentapi.Request) {
			t.Helper()
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "host"},
				Spec:       corev1.PodSpec{NodeName: n.name, HostNetwork: true, Containers: []corev1.Container{{Name: "main", Image: "main"}}},
			}
			f.must(t, f.Create(t.Context(), pod))
			req.Pod = podRef(pod)
		}},
		"pod has finished": {want: problem.PodFinished, change: func(t *testing.T, f *fixture, _ *corev1.Pod, req *agentapi.Request) {
			t.Helper()
			pod := f.newPod(t, "done", n.name, "")
			pod.Status.Phase = corev1.PodSucceeded
			f.must(t, f.Status().Update(t.Context(), pod))
			req.Pod = podRef(pod)
			eventually(t, "the agent to see it", func() error {
				seen := &corev1.Pod{}
				err := n.agent.cluster.cache.Get(t.Context(), claimKey(agentapi.ClaimRef{Namespace: pod.Namespace, Name: pod.Name}), seen)
				if err == nil && seen.Status.Phase != corev1.PodSucceeded {
					return errNotReady
				}
				return err
			})
		}},
		"address outside": {want: problem.AddressOutside, change: func(_ *testing.T, _ *fixture, _ *corev1.Pod, req *agentapi.Request) {
			req.Wish.IPs = []string{"10.0.0.8"}
		}},
		"address excluded": {want: problem.AddressExcluded, change: func(_ *testing.T, _ *fixture, _ *corev1.Pod, req *agentapi.Request) {
			req.Wish.IPs = []string{"192.168.50.1"}
		}},
		"address unparsable": {want: problem.BadAddress, change: func(_ *testing.T, _ *fixture, _ *corev1.Pod, req *agentapi.Request) {
			req.Wish.IPs = []string{"192.168.50.256"}
		}},
		"address with another prefix length": {want: problem.WrongPrefixLength, change: func(_ *testing.T, _ *fixture, _ *corev1.Pod, req *agentapi.Request) {
			req.Wish.IPs = []string{"192.168.50.8/25"}
		}},
		"address and MAC disagree": {want: problem.AddressMismatch, change: func(_ *testing.T, _ *fixture, _ *corev1.Pod, req *agentapi.Request) {
			req.Wish = agentapi.Wish{IPs: []string{"192.168.50.8"}, MAC: "02:32:00:a8:32:09"}
		}},
		"MAC multicast": {want: problem.MulticastMAC, change: func(_ *testing.T, _ *fixture, _ *corev1.Pod, req *agentapi.Request) {
			req.Wish.MAC = "f1:fd:59:0b:bd:2b"
		}},
		"MAC foreign": {want: problem.ForeignMAC, change: func(_ *testing.T, _ *fixture, _ *corev1.Pod, req *agentapi.Request) {
			req.Wish.MAC = "02:99:00:a8:32:08"
		}},
		"MAC unparsable": {want: problem.ImpossibleMAC, change: func(_ *testing.T, _ *fixture, _ *corev1.Pod, req *agentapi.Request) {
			req.Wish.MAC = "02:32:00:a8:32"
		}},
		"no container": {want: problem.BadRequest, change: func(_ *testing.T, _ *fixture, _ *corev1.Pod, req *agentapi.Request) {
			req.ContainerID = ""
		}},
		"no such command": {want: problem.BadRequest, change: func(_ *testing.T, _ *fixture, _ *corev1.Pod, req *agentapi.Request) {
			req.Command = "SUBTRACT"
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			pod := f.newPod(t, "db-0", n.name, "db")
			req := f.addition("refused-"+f.namespace, pod)
			tt.change(t, f, pod, &req)
			start := time.Now()
			resp := n.ask(t, req)
			wantProblem(t, resp, tt.want)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("the refusal took %s", took)
			}
			f.noTrace(t)
		})
	}
}

// TestAddressTaken proves that of two that ask for one address the second is told who has it, and keeps nothing.
func TestAddressTaken(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	first, second := f.newPod(t, "first", n.name, ""), f.newPod(t, "second", n.name, "")
	req := f.addition("c1", first)
	req.Wish.IPs = []string{"192.168.50.8"}
	if resp := n.ask(t, req); resp.Error != nil {
		t.Fatal(*resp.Error)
	}
	req = f.addition("c2", second)
	req.Wish.IPs = []string{"192.168.50.8/24"}
	wantProblem(t, n.ask(t, req), problem.AddressTaken)
	if claim := f.claimOf(t, second); claim != nil && (claim.Status.Holder != nil || claim.Status.LeaseName != "") {
		t.Errorf("the second's claim has %+v", claim.Status)
	}
	if leases := f.leases(t); len(leases) != 1 {
		t.Errorf("there are %d leases, want 1", len(leases))
	}
}

// TestClaimHeldElsewhere proves that a claim is not taken from a pod of another node, and that its name is told at once.
func TestClaimHeldElsewhere(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	f.makeNode(t, "another-node")
	old := f.newPod(t, "db-0", "another-node", "db")
	held := f.prebind(t, nil, old)
	f.deletePod(t, old)
	pod := f.newPod(t, "db-0", n.name, "db")
	wantProblem(t, n.ask(t, f.addition("c1", pod)), problem.ClaimHeld)
	if claim := f.claimOf(t, pod); claim.Status.Holder == nil || claim.Status.Holder.PodUID != old.UID ||
		claim.ResourceVersion != held.ResourceVersion {
		t.Errorf("the claim was changed: %+v", claim.Status)
	}
}

// TestPoolIsReadLive proves that what an agent binds by itself is bound by the pool as it is, not as its cache has it: a
// namespaceSelector that closes the pool counts at once (R-S3).
func TestPoolIsReadLive(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	eventually(t, "the pool in the agent's cache", func() error {
		seen, err := n.agent.findPool(t.Context(), f.pool.Name)
		if err == nil && len(seen.Status.Conditions) == 0 {
			return errNotReady
		}
		return err
	})
	n.wire.set(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if req.URL.Query().Has("watch") {
			return n.wire.hang(req, next)
		}
		return next.RoundTrip(req)
	})
	f.pool.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"vlan": "iot"}}
	f.must(t, f.Update(t.Context(), f.pool))
	f.setReady(t, f.pool)
	pod := f.newPod(t, "db-0", n.name, "db")
	wantProblem(t, n.ask(t, f.addition("c1", pod)), problem.PoolForbidden)
	f.noTrace(t)
}
