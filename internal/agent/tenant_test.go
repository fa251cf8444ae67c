// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// attack is a change of a request that an annotation or a network can bring about, and what it is refused as.
type attack struct {
	change func(req *agentapi.Request)
	want   *problem.Kind
}

// attacked runs ADDs of another namespace's pods, each changed in one way. Each must be refused with its reason, give that tenant nothing, and
// leave the lease and the claim of the pod as they are.
func (f *fixture) attacked(t *testing.T, n *node, pod *corev1.Pod, attacks map[string]attack) {
	t.Helper()
	tenant := *f
	tenant.namespace += "-tenant"
	f.must(t, f.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tenant.namespace}}))
	claim, leases := f.claimOf(t, pod), f.leases(t)
	for name, tc := range attacks {
		t.Run(name, func(t *testing.T) {
			attacker := tenant.newPod(t, fmt.Sprintf("attacker-%d", unique.Add(1)), n.name, "")
			req := tenant.addition("c-"+attacker.Name, attacker)
			tc.change(&req)
			wantProblem(t, n.ask(t, req), tc.want)
		})
	}
	if diff := cmp.Diff(claim, f.claimOf(t, pod)) + cmp.Diff(leases, f.leases(t)); diff != "" {
		t.Errorf("leases, or the claim of the other, have changed: %s", diff)
	}
	var claims v1alpha1.MacClaimList
	f.must(t, f.List(t.Context(), &claims, client.InNamespace(tenant.namespace)))
	for _, c := range claims.Items {
		if c.Status.LeaseName != "" || c.Status.Holder != nil {
			t.Errorf("the tenant's claim %s has %+v", c.Name, c.Status)
		}
	}
}

// TestT1HostileAdd : what the manager refuses of hostile annotations, an agent refuses by itself, when Multus has made CNI_ARGS and args of them (R-S3,
// R-A8). Whose the pod is says the API, not the request.
func TestT1HostileAdd(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "camera", n.name, "")
	f.newClaim(t, "spare", v1alpha1.MacClaimSpec{IPs: []v1alpha1.IPAddress{"192.168.50.9"}})
	req := f.addition("c-victim", pod)
	req.Wish.IPs = []string{"192.168.50.8"}
	if resp := n.ask(t, req); resp.Error != nil {
		t.Fatalf("ADD: %+v", *resp.Error)
	}
	f.attacked(t, n, pod, map[string]attack{
		"another's address":          {func(r *agentapi.Request) { r.Wish.IPs = []string{"192.168.50.8/24"} }, problem.AddressTaken},
		"as IPv6":                    {func(r *agentapi.Request) { r.Wish.IPs = []string{"::ffff:192.168.50.8"} }, problem.AddressTaken},
		"another's MAC":              {func(r *agentapi.Request) { r.Wish.MAC = "02:32:00:a8:32:08" }, problem.AddressTaken},
		"with an address beside it":  {func(r *agentapi.Request) { r.Wish.MAC, r.Wish.IPs = "02:32:00:a8:32:08", []string{"192.168.50.20"} }, problem.AddressMismatch},
		"another's claim":            {func(r *agentapi.Request) { r.Wish.Claim = "spare" }, problem.ClaimUnknown},
		"with its namespace":         {func(r *agentapi.Request) { r.Wish.Claim = f.namespace + "/spare" }, problem.BadAnnotation},
		"another's namespace":        {func(r *agentapi.Request) { r.Pod.Namespace = f.namespace }, problem.PodUnknown},
		"another's pod and own UID":  {func(r *agentapi.Request) { r.Pod.Namespace, r.Pod.Name = f.namespace, pod.Name }, problem.PodUnknown},
		"own pod with another's UID": {func(r *agentapi.Request) { r.Pod.UID = string(pod.UID) }, problem.PodUnknown},
	})
}

// TestT5HostileNetworkAtTheAgent : a network of a tenant's own names a pool that is closed to the tenant, under the name of the network for which it is
// open, and the agent is asked before any manager has looked (R-S3). The namespaceSelector is asked about the namespace of the pod that the API knows.
func TestT5HostileNetworkAtTheAgent(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	ns := &corev1.Namespace{}
	f.must(t, f.Get(t.Context(), client.ObjectKey{Name: f.namespace}, ns))
	ns.Labels["vlan"] = "cameras"
	f.must(t, f.Update(t.Context(), ns))
	f.pool.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"vlan": "cameras"}}
	f.must(t, f.Update(t.Context(), f.pool))
	f.setReady(t, f.pool)
	pod := f.newPod(t, "camera", n.name, "")
	f.add(t, n, "c-victim", pod)
	f.attacked(t, n, pod, map[string]attack{
		"the pool":                     {func(*agentapi.Request) {}, problem.PoolForbidden},
		"under another network's name": {func(r *agentapi.Request) { r.Network = f.namespace + "/iot-vlan" }, problem.PoolForbidden},
		"with an address":              {func(r *agentapi.Request) { r.Wish.IPs = []string{"192.168.50.200"} }, problem.PoolForbidden},
		"as a pod of the other":        {func(r *agentapi.Request) { r.Pod.Namespace = f.namespace }, problem.PodUnknown},
	})
}
