// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

// patience is how long a test waits for one thing: several times what a loaded machine needs.
const patience = 90 * time.Second

// eventually polls until f has nothing to complain about.
func eventually(tb testing.TB, what string, f func(context.Context) error) {
	tb.Helper()
	last := errors.New("not tried")
	err := wait.PollUntilContextTimeout(tb.Context(), 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = f(ctx)
		return last == nil, nil
	})
	if err != nil {
		tb.Fatalf("waiting until %s: %v: %v", what, err, last)
	}
}

// namespace makes a namespace.
func namespace(tb testing.TB, name string) {
	tb.Helper()
	err := cluster.Client.Create(tb.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		tb.Fatal(err)
	}
}

// newPool is a pool of a VLAN with 10.<vlan>.0.0/16, leasing the first of its addresses from .0.10 on; it is not created.
func newPool(name string, vlan, addresses int) *v1alpha1.MacPool {
	start := netip.AddrFrom4([4]byte{10, byte(vlan), 0, 10}) //nolint:gosec // some 50
	end := start
	for range addresses - 1 {
		end = end.Next()
	}
	return &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.MacPoolSpec{
			VLAN: new(int32(vlan)), //nolint:gosec // some 50
			Subnets: []v1alpha1.Subnet{{
				CIDR: v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", vlan)),
				Ranges: []v1alpha1.PoolRange{{AddressRange: v1alpha1.AddressRange{
					Start: v1alpha1.IPAddress(start.String()), End: v1alpha1.IPAddress(end.String()),
				}}},
			}},
			Cooldown: &metav1.Duration{},
		},
	}
}

// createPool creates a pool and waits until it takes claims.
func createPool(tb testing.TB, pool *v1alpha1.MacPool) {
	tb.Helper()
	if err := cluster.Client.Create(tb.Context(), pool); err != nil {
		tb.Fatal(err)
	}
	eventually(tb, "pool "+pool.Name+" is ready", func(ctx context.Context) error {
		if err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(pool), pool); err != nil {
			return err
		}
		if !apimeta.IsStatusConditionTrue(pool.Status.Conditions, v1alpha1.PoolReady) {
			return fmt.Errorf("conditions: %+v", pool.Status.Conditions)
		}
		return nil
	})
}

// macvlanConfig is a network called net, with macvlan on the VLAN's parent and macpool in both of its roles.
func macvlanConfig(version string, vlan int, pool string) string {
	return fmt.Sprintf(`{"cniVersion": %q, "name": "net", "plugins": [
		{"type": "macvlan", "master": "eth0.%d", "mode": "bridge", "ipam": {"type": "macpool", "pool": %q}},
		{"type": "macpool"}]}`, version, vlan, pool)
}

// wrapperConfig is the same in the wrapper form, by the parent that the pool names.
func wrapperConfig(version string, pool string) string {
	return fmt.Sprintf(`{"cniVersion": %q, "name": "net", "plugins": [
		{"type": "macpool", "pool": %q, "delegate": {"type": "macvlan", "mode": "bridge"}}]}`, version, pool)
}

// createNetwork creates a NetworkAttachmentDefinition.
func createNetwork(tb testing.TB, ns, name, config string) {
	tb.Helper()
	nad := &nadv1.NetworkAttachmentDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec:       nadv1.NetworkAttachmentDefinitionSpec{Config: config},
	}
	if err := cluster.Client.Create(tb.Context(), nad); err != nil {
		tb.Fatal(err)
	}
}

// createPod creates a pod and binds it to the node.
func createPod(t *testing.T, ns, name, networks string, node *lab.Node) *corev1.Pod {
	t.Helper()
	pod := lab.NewPod(ns, name, networks)
	if err := cluster.CreatePod(t.Context(), pod, node); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.ForgetPod(context.WithoutCancel(t.Context()), pod); err != nil {
			t.Error(err)
		}
	})
	return pod
}

// runPod creates a pod, binds it and attaches it. At the end of the test it is stopped, if it has not been.
func runPod(t *testing.T, ns, name, networks string, node *lab.Node) *lab.Sandbox {
	t.Helper()
	s, err := cluster.RunPodRetrying(t.Context(), createPod(t, ns, name, networks, node), node)
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, s)
	return s
}

func stopAtEnd(tb testing.TB, s *lab.Sandbox) {
	tb.Helper()
	tb.Cleanup(func() {
		if err := s.Remove(context.WithoutCancel(tb.Context())); err != nil {
			tb.Error(err)
		}
	})
}

// linkOf reads net1 of a pod.
func linkOf(t *testing.T, s *lab.Sandbox) *lab.Link {
	t.Helper()
	link, err := s.Link("net1")
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// ipsOf are the addresses of a link without their prefix lengths.
func ipsOf(link *lab.Link) []string {
	var ips []string
	for _, p := range link.IPs {
		ips = append(ips, p.Addr().String())
	}
	return ips
}

// heldBy is the claim whose holder is net1 of the pod.
func heldBy(ctx context.Context, pod *corev1.Pod) (*v1alpha1.MacClaim, error) {
	claims := &v1alpha1.MacClaimList{}
	if err := cluster.Client.List(ctx, claims, client.InNamespace(pod.Namespace)); err != nil {
		return nil, err
	}
	for i := range claims.Items {
		if h := claims.Items[i].Status.Holder; h != nil && h.PodUID == pod.UID && h.Interface == "net1" {
			return &claims.Items[i], nil
		}
	}
	return nil, fmt.Errorf("no claim is held by pod %s", pod.Name)
}

// assertTruthful fails unless the API says of the pod's net1 what the kernel does (I3).
func assertTruthful(t *testing.T, s *lab.Sandbox) {
	t.Helper()
	link := linkOf(t, s)
	claim, err := heldBy(t.Context(), s.Pod)
	if err != nil {
		t.Fatal(err)
	}
	if claim.Status.MAC != link.MAC || !slices.Equal(claim.Status.IPs, ipsOf(link)) || !link.Up {
		t.Errorf("claim %s has %s %v, the interface of pod %s is\n%s", claim.Name, claim.Status.MAC, claim.Status.IPs, s.Pod.Name, link)
	}
	lease := &v1alpha1.MacLease{}
	if err := cluster.Client.Get(t.Context(), client.ObjectKey{Name: claim.Status.LeaseName}, lease); err != nil {
		t.Fatal(err)
	}
	if lease.Spec.ClaimRef.UID != claim.UID || lease.Spec.ReleasedAt != nil || string(lease.Spec.MAC) != link.MAC {
		t.Errorf("the lease of claim %s is %+v", claim.Name, lease.Spec)
	}
}

// leasesOf are the leases of a pool that are not released.
func leasesOf(ctx context.Context, pool string) ([]v1alpha1.MacLease, error) {
	all := &v1alpha1.MacLeaseList{}
	if err := cluster.Client.List(ctx, all); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all.Items, func(l v1alpha1.MacLease) bool {
		return l.Spec.PoolName != pool || l.Spec.ReleasedAt != nil
	}), nil
}

// assertProblem fails unless the error is the catalogue's entry.
func assertProblem(t *testing.T, err error, code string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), code+": ") {
		t.Errorf("got %v, want %s", err, code)
	}
}
