// SPDX-License-Identifier: Apache-2.0

package binds

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/hack/bench/farm"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/binding"
)

// bare makes the three writes of a bind, whose objects are what macpool writes, and nothing else: no read, no choice, no journal.
type bare struct {
	clients []client.Client // of each node
	nodes   []*lab.Node
	pool    *v1alpha1.MacPool
	plan    *allocator.Plan
}

// newBare makes one client for each way to the API server, as each agent has one.
func newBare(configs []*rest.Config, nodes []*lab.Node, pool *farm.Pool) (*bare, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("making a scheme: %w", err)
	}
	plan, err := binding.PlanOf(pool.Object())
	if err != nil {
		return nil, fmt.Errorf("planning pool %s: %w", pool.Name, err)
	}
	b := &bare{nodes: nodes, pool: pool.Object(), plan: plan}
	for _, config := range configs {
		c, err := client.New(config, client.Options{Scheme: scheme})
		if err != nil {
			return nil, fmt.Errorf("making a client: %w", err)
		}
		b.clients = append(b.clients, c)
	}
	return b, nil
}

// bind writes claim, lease and the claim's status for the i-th pod, with the pool's i-th address.
func (b *bare) bind(ctx context.Context, i int, pod *corev1.Pod) error {
	c, node := b.clients[i%len(b.clients)], b.nodes[i%len(b.nodes)]
	claim := binding.NewClaim(pod, b.pool, "net1", binding.Wish{})
	if err := c.Create(ctx, claim); err != nil {
		return fmt.Errorf("creating a claim: %w", err)
	}
	address := b.plan.Address(allocator.Slot(256 + i)) //nolint:gosec // some hundreds
	now := metav1.Now()
	lease := &v1alpha1.MacLease{
		ObjectMeta: metav1.ObjectMeta{Name: address.Name.String(), Labels: map[string]string{
			v1alpha1.LabelSegment: address.Name.Segment, v1alpha1.LabelIdentity: binding.IdentityLabel(claim.Namespace, claim.Name),
		}},
		Spec: v1alpha1.MacLeaseSpec{
			PoolName: b.pool.Name, MAC: v1alpha1.MACAddress(address.MAC.String()),
			ClaimRef: v1alpha1.ClaimRef{Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
			NodeName: node.Name, PodName: pod.Name, LeasedAt: now,
		},
	}
	status := &claim.Status
	for _, ip := range address.IPs {
		lease.Spec.IPs = append(lease.Spec.IPs, v1alpha1.IPAddress(ip.String()))
		status.IPs = append(status.IPs, ip.String())
	}
	if err := c.Create(ctx, lease); err != nil {
		return fmt.Errorf("creating a lease: %w", err)
	}
	status.VLAN, status.LeaseName, status.MAC = b.pool.Spec.VLAN, lease.Name, string(lease.Spec.MAC)
	apimeta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.ClaimReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ClaimReasonBound,
		Message: "The claim has a lease", ObservedGeneration: claim.Generation,
	})
	status.Generation = 1
	status.Holder = &v1alpha1.Holder{
		PodName: pod.Name, PodUID: pod.UID, NodeName: node.Name, NodeUID: node.UID(), Interface: "net1", Since: now, Generation: 1,
	}
	if err := c.Status().Update(ctx, claim); err != nil {
		return fmt.Errorf("writing a claim's status: %w", err)
	}
	return nil
}
