// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// fixture is a namespace and a pool of a test's own.
type fixture struct {
	client.Client

	namespace string
	pool      *v1alpha1.MacPool
}

// newFixture makes a pool of 192.168.50.0/24, or of the subnets given, which takes claims.
func newFixture(t *testing.T, subnets ...v1alpha1.Subnet) *fixture {
	t.Helper()
	f := &fixture{Client: newClient(t)}
	n := unique.Add(1)
	f.namespace = fmt.Sprintf("ns-%d", n)
	f.must(t, f.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: f.namespace}}))
	if len(subnets) == 0 {
		subnets = []v1alpha1.Subnet{{CIDR: "192.168.50.0/24", Gateway: "192.168.50.1"}}
	}
	f.pool = f.newPool(t, v1alpha1.MacPoolSpec{Subnets: subnets})
	f.setReady(t, f.pool)
	return f
}

func (f *fixture) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newPool makes a pool of VLAN 50 on a segment of its own, as the manager finds it.
func (f *fixture) newPool(t *testing.T, spec v1alpha1.MacPoolSpec) *v1alpha1.MacPool {
	t.Helper()
	name := fmt.Sprintf("pool-%d", unique.Add(1))
	spec.VLAN, spec.Segment = ptr.To[int32](50), name
	pool := &v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
	f.must(t, f.Create(t.Context(), pool))
	return pool
}

// setReady calls the pool ready, as the manager would.
func (f *fixture) setReady(t *testing.T, pool *v1alpha1.MacPool) {
	t.Helper()
	apimeta.SetStatusCondition(&pool.Status.Conditions, metav1.Condition{
		Type: v1alpha1.PoolReady, Status: metav1.ConditionTrue, Reason: v1alpha1.PoolReasonValid, ObservedGeneration: pool.Generation,
	})
	f.must(t, f.Status().Update(t.Context(), pool))
}

// newPod makes a pod on a node, and a StatefulSet's if its name is that of an ordinal of set.
func (f *fixture) newPod(t *testing.T, name, nodeName, set string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name},
		Spec:       corev1.PodSpec{NodeName: nodeName, Containers: []corev1.Container{{Name: "main", Image: "main"}}},
	}
	if set != "" {
		pod.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: "apps/v1", Kind: "StatefulSet", Name: set, UID: "uid-of-" + types.UID(set), Controller: new(true),
		}}
	}
	f.must(t, f.Create(t.Context(), pod))
	return pod
}

// makeNode makes the Node of a name, ready as its kubelet says.
func (f *fixture) makeNode(t *testing.T, name string) *corev1.Node {
	t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	f.must(t, f.Create(t.Context(), n))
	t.Cleanup(func() { _ = f.Delete(context.WithoutCancel(t.Context()), n) })
	f.setNode(t, n, true)
	return n
}

// setNode says whether the Node is ready, and gives it taints.
func (f *fixture) setNode(t *testing.T, n *corev1.Node, ready bool, taints ...corev1.Taint) {
	t.Helper()
	status := corev1.ConditionUnknown // what the node controller says of a kubelet that is silent
	if ready {
		status = corev1.ConditionTrue
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}
	f.must(t, f.Status().Update(t.Context(), n))
	n.Spec.Taints = taints
	f.must(t, f.Update(t.Context(), n))
}

// deletePod deletes a pod at once, as its kubelet does in the end.
func (f *fixture) deletePod(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	f.must(t, f.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
}

func podRef(pod *corev1.Pod) agentapi.Pod {
	return agentapi.Pod{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)}
}

// goneNetNS begins the path of a network namespace that is not there, in a directory that is.
var goneNetNS = filepath.Join(os.TempDir(), "macpool-no-netns-")

// addition is the ADD of the pod's net1.
func (f *fixture) addition(container string, pod *corev1.Pod) agentapi.Request {
	return agentapi.Request{
		Command: agentapi.Add, ContainerID: container, NetNS: goneNetNS + container, Interface: "net1",
		Network: "iot-vlan", Pool: f.pool.Name, Pod: podRef(pod),
	}
}

func deletion(container string) agentapi.Request {
	return agentapi.Request{Command: agentapi.Del, ContainerID: container, Interface: "net1", Network: "iot-vlan"}
}

// add attaches the pod's net1 and returns its lease.
func (f *fixture) add(t *testing.T, n *node, container string, pod *corev1.Pod) agentapi.Lease {
	t.Helper()
	resp := n.ask(t, f.addition(container, pod))
	if resp.Error != nil {
		t.Fatalf("ADD of %s for pod %s: %+v", container, pod.Name, *resp.Error)
	}
	return *resp.Lease
}

// del detaches a container, which always succeeds.
func del(t *testing.T, n *node, container string) {
	t.Helper()
	if resp := n.ask(t, deletion(container)); resp.Error != nil {
		t.Fatalf("DEL of %s: %+v", container, *resp.Error)
	}
}

// prebind does for the pod's net1 what the manager does ahead of the ADD, and waits until the agent has seen it.
func (f *fixture) prebind(t *testing.T, n *node, pod *corev1.Pod) *v1alpha1.MacClaim {
	t.Helper()
	b := &binding.Binder{Client: f, Index: binding.NewIndex(), Clock: clock.RealClock{}}
	f.must(t, b.Index.SetPool(f.pool))
	claim, err := b.EnsureClaim(t.Context(), binding.NewClaim(pod, f.pool, "net1", binding.Wish{}))
	f.must(t, err)
	claim, err = b.Bind(t.Context(), claim, f.pool, &v1alpha1.Holder{
		PodName: pod.Name, PodUID: pod.UID, NodeName: pod.Spec.NodeName, Interface: "net1",
	})
	f.must(t, err)
	if n != nil {
		eventually(t, "the claim in the agent's cache", func() error {
			seen := &v1alpha1.MacClaim{}
			if err := n.agent.cluster.cache.Get(t.Context(), client.ObjectKeyFromObject(claim), seen); err != nil {
				return err
			}
			if seen.Status.Holder == nil || seen.Status.Holder.PodUID != pod.UID {
				return fmt.Errorf("its holder is %+v", seen.Status.Holder)
			}
			return nil
		})
	}
	return claim
}

// claimOf reads the claim of the pod's net1; nil if there is none.
func (f *fixture) claimOf(t *testing.T, pod *corev1.Pod) *v1alpha1.MacClaim {
	t.Helper()
	claim := &v1alpha1.MacClaim{}
	key := types.NamespacedName{Namespace: pod.Namespace, Name: binding.ClaimName(binding.WorkloadOf(pod, "net1"), f.pool.Name)}
	err := f.Get(t.Context(), key, claim)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if err != nil {
		return nil
	}
	return claim
}

// awaitNoHolder waits until nobody holds the claim of the pod's net1.
func (f *fixture) awaitNoHolder(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	eventually(t, "the holder to be cleared", func() error {
		if claim := f.claimOf(t, pod); claim != nil && claim.Status.Holder != nil {
			return fmt.Errorf("the holder is %+v", *claim.Status.Holder)
		}
		return nil
	})
}

// leases are those of the fixture's segment.
func (f *fixture) leases(t *testing.T) []v1alpha1.MacLease {
	t.Helper()
	var list v1alpha1.MacLeaseList
	f.must(t, f.List(t.Context(), &list, client.MatchingLabels{v1alpha1.LabelSegment: f.pool.Spec.Segment}))
	return list.Items
}

// noTrace fails if something in the namespace has a lease or a holder.
func (f *fixture) noTrace(t *testing.T) {
	t.Helper()
	if leases := f.leases(t); len(leases) > 0 {
		t.Errorf("there are leases: %+v", leases)
	}
	var claims v1alpha1.MacClaimList
	f.must(t, f.List(t.Context(), &claims, client.InNamespace(f.namespace)))
	for _, c := range claims.Items {
		if c.Status.Holder != nil || c.Status.LeaseName != "" {
			t.Errorf("claim %s has %+v", c.Name, c.Status)
		}
	}
}

// wantProblem fails unless the answer is of the kind.
func wantProblem(t *testing.T, resp agentapi.Response, kind *problem.Kind) {
	t.Helper()
	if err := isProblem(resp, kind); err != nil {
		t.Error(err)
	}
}

func isProblem(resp agentapi.Response, kind *problem.Kind) error {
	if resp.Error == nil {
		return errors.New("the answer is no error, want " + kind.Reason)
	}
	if resp.Error.Code != kind.Code {
		return fmt.Errorf("the answer is %+v, want %s %s", *resp.Error, kind.Code, kind.Reason)
	}
	return nil
}
