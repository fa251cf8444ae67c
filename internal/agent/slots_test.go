// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// webPod makes a pod of Deployment web.
func (f *fixture) webPod(t *testing.T, name string, n *node) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: f.namespace, Name: name, Labels: map[string]string{appsv1.DefaultDeploymentUniqueLabelKey: "1"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-1", UID: "uid", Controller: new(true)}},
		},
		Spec: corev1.PodSpec{NodeName: n.name, Containers: []corev1.Container{{Name: "main", Image: "main"}}},
	}
	f.must(t, f.Create(t.Context(), pod))
	return pod
}

// webClaim is the claim of this number.
func (f *fixture) webClaim(t *testing.T, number int) *v1alpha1.MacClaim {
	t.Helper()
	claim := &v1alpha1.MacClaim{}
	f.must(t, f.Get(t.Context(), types.NamespacedName{Namespace: f.namespace, Name: fmt.Sprintf("web.deployment-%d.%s.net1", number, f.pool.Name)}, claim))
	return claim
}

// TestAlikeWithoutAManager is R-K2 for pods of a Deployment: their nodes choose the lowest claim that is free, each another one, also at the same
// time; and a sandbox that is made anew has its pod's claim again (I4), whatever is free.
func TestAlikeWithoutAManager(t *testing.T) {
	f := newFixture(t)
	one, two := startNode(t), startNode(t)
	pods := []*corev1.Pod{f.webPod(t, "web-1-a", one), f.webPod(t, "web-1-b", two)}
	answers := []<-chan struct{}{}
	names := make([]string, len(pods))
	for i, n := range []*node{one, two} {
		done := make(chan struct{})
		answers = append(answers, done)
		go func() {
			defer close(done)
			resp, _, err := tryAsk(t.Context(), n.socket, f.addition("c-"+pods[i].Name, pods[i]))
			if err != nil || resp.Error != nil {
				t.Errorf("ADD of %s: %v, %+v", pods[i].Name, err, resp.Error)
				return
			}
			names[i] = resp.Lease.Claim.Name
		}()
	}
	for _, done := range answers {
		<-done
	}
	if t.Failed() {
		return
	}
	for number := range 2 {
		claim := f.webClaim(t, number)
		if h := claim.Status.Holder; h == nil || names[0] != claim.Name && names[1] != claim.Name {
			t.Errorf("claim %s has %+v, the pods %v", claim.Name, h, names)
		}
	}
	// The one with number 0 has its sandbox made anew, after the other has gone; and one comes that may not have its claim meanwhile.
	first := 0
	if names[1] == f.webClaim(t, 0).Name {
		first = 1
	}
	nodes := []*node{one, two}
	second := 1 - first
	f.deletePod(t, pods[second])
	del(t, nodes[second], "c-"+pods[second].Name)
	del(t, nodes[first], "c-"+pods[first].Name)
	eventually(t, "both claims to be free", func() error {
		for number := range 2 {
			if h := f.webClaim(t, number).Status.Holder; h != nil {
				return fmt.Errorf("number %d is held by %s", number, h.PodName)
			}
		}
		return nil
	})
	next := f.webPod(t, "web-1-c", nodes[second])
	if lease := f.add(t, nodes[second], "next", next); lease.Claim.Name != f.webClaim(t, 1).Name {
		t.Errorf("the next pod has %s", lease.Claim.Name)
	}
	if lease := f.add(t, nodes[first], "again", pods[first]); lease.Claim.Name != names[first] {
		t.Errorf("the pod's next sandbox has %s, the one before %s", lease.Claim.Name, names[first])
	}
}

// TestTwoClaimsForOneInterface : manager and agent chose at the same time. The claim that the pod does not use is free again.
func TestTwoClaimsForOneInterface(t *testing.T) {
	f, n := newFixture(t), startNode(t)
	pod := f.webPod(t, "web-1-a", n)
	lease := f.add(t, n, "c1", pod)
	other := &v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: fmt.Sprintf("web.deployment-1.%s.net1", f.pool.Name)},
		Spec: v1alpha1.MacClaimSpec{
			PoolRef:  v1alpha1.PoolRef{Name: f.pool.Name},
			Workload: &v1alpha1.Workload{Kind: "Deployment", Name: "web", Ordinal: new(int32(1)), Interface: "net1"},
		},
	}
	f.must(t, f.Create(t.Context(), other))
	_, err := f.binder().SetHolder(t.Context(), other, v1alpha1.Holder{PodName: pod.Name, PodUID: pod.UID, NodeName: n.name, Interface: "net1"})
	f.must(t, err)
	eventually(t, "the second to be free", func() error {
		if h := f.webClaim(t, 1).Status.Holder; h != nil {
			return fmt.Errorf("it is held by %s", h.PodName)
		}
		return nil
	})
	if h := f.webClaim(t, 0).Status.Holder; h == nil || h.PodUID != pod.UID || f.webClaim(t, 0).Name != lease.Claim.Name {
		t.Errorf("the first is held by %+v", h)
	}
	if err := client.IgnoreNotFound(isState(n, "c1", attached)); err != nil {
		t.Error(err)
	}
}
