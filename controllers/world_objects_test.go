// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

var unique atomic.Int64

// namespace makes a namespace.
func (w *world) namespace() string {
	w.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("test-%d", unique.Add(1))}}
	w.create(ns)
	return ns.Name
}

// pool makes a pool of a segment of its own.
func (w *world) pool(cidr string, change ...func(*v1alpha1.MacPool)) *v1alpha1.MacPool {
	w.t.Helper()
	n := unique.Add(1)
	pool := &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pool-%d", n)},
		Spec: v1alpha1.MacPoolSpec{
			VLAN: ptr.To[int32](50), Segment: fmt.Sprintf("segment-%d", n), Subnets: []v1alpha1.Subnet{{CIDR: v1alpha1.CIDR(cidr)}},
		},
	}
	for _, f := range change {
		f(pool)
	}
	w.create(pool)
	return pool
}

// ranged narrows a pool's first subnet to a range.
func ranged(start, end v1alpha1.IPAddress) func(*v1alpha1.MacPool) {
	return func(p *v1alpha1.MacPool) {
		p.Spec.Subnets[0].Ranges = append(p.Spec.Subnets[0].Ranges, v1alpha1.PoolRange{AddressRange: v1alpha1.AddressRange{Start: start, End: end}})
	}
}

// kept adds a range to a pool's first subnet whose addresses nobody gets who does not ask for them. A test that asks for one when other
// claims of the pool have theirs takes it from here: any other address may be one of theirs.
func kept(start, end v1alpha1.IPAddress) func(*v1alpha1.MacPool) {
	return func(p *v1alpha1.MacPool) {
		p.Spec.Subnets[0].Ranges = append(p.Spec.Subnets[0].Ranges, v1alpha1.PoolRange{
			AddressRange: v1alpha1.AddressRange{Start: start, End: end}, ExplicitOnly: true,
		})
	}
}

// cooling sets a pool's cooldown and history.
func cooling(cooldown, history time.Duration) func(*v1alpha1.MacPool) {
	return func(p *v1alpha1.MacPool) {
		p.Spec.Cooldown, p.Spec.History = &metav1.Duration{Duration: cooldown}, &metav1.Duration{Duration: history}
	}
}

// selecting closes a pool to namespaces without a label.
func selecting(label, value string) func(*v1alpha1.MacPool) {
	return func(p *v1alpha1.MacPool) {
		p.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{label: value}}
	}
}

// network makes a NetworkAttachmentDefinition whose macvlan plugin names a pool, with the chained entry.
func (w *world) network(namespace, name, pool string) *nadv1.NetworkAttachmentDefinition {
	w.t.Helper()
	config := fmt.Sprintf(`{"cniVersion": "1.0.0", "name": %q, "plugins": [
		{"type": "macvlan", "master": "eth0.50", "ipam": {"type": "macpool", "pool": %q}}, {"type": "macpool"}]}`, name, pool)
	return w.networkOf(namespace, name, config)
}

func (w *world) networkOf(namespace, name, config string) *nadv1.NetworkAttachmentDefinition {
	w.t.Helper()
	nad := &nadv1.NetworkAttachmentDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: config},
	}
	w.create(nad)
	return nad
}

// pod makes a pod that selects networks, not scheduled yet.
func (w *world) pod(namespace, name, networks string, change ...func(*corev1.Pod)) *corev1.Pod {
	w.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}},
	}
	if networks != "" {
		pod.Annotations = map[string]string{nadv1.NetworkAttachmentAnnot: networks}
	}
	for _, f := range change {
		f(pod)
	}
	w.create(pod)
	return pod
}

// on schedules a pod at its creation.
func on(node string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.NodeName = node } }

// ownedBy makes a pod one of a StatefulSet's.
func ownedBy(set *appsv1.StatefulSet) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))}
	}
}

// statefulSet makes StatefulSet db, whose pods are the test's to make.
func (w *world) statefulSet(namespace string) *appsv1.StatefulSet {
	w.t.Helper()
	const name = "db"
	labels := map[string]string{"app": name}
	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: appsv1.StatefulSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}},
			},
		},
	}
	w.create(set)
	return set
}

// schedule gives a pod its node, as the scheduler does.
func (w *world) schedule(pod *corev1.Pod, node string) {
	w.t.Helper()
	target := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: node}}
	if err := w.SubResource("binding").Create(w.t.Context(), pod, target); err != nil {
		w.t.Fatal(err)
	}
}

// detach is the pod's node agent that has seen its interface go.
func (w *world) detach(claim *v1alpha1.MacClaim) {
	w.t.Helper()
	if claim.Status.Holder == nil {
		w.t.Fatalf("claim %s has no holder to clear", claim.Name)
	}
	b := &binding.Binder{Client: w.Client, Index: binding.NewIndex(), Clock: clock.RealClock{}}
	err := b.ClearHolder(w.t.Context(), client.ObjectKeyFromObject(claim), claim.Status.Holder.PodUID, claim.Status.Holder.Generation,
		binding.AgentReport(claim.Status.Holder.NodeName))
	if err != nil {
		w.t.Fatal(err)
	}
}

// claim makes a claim as a person does.
func (w *world) claim(namespace, name string, pool *v1alpha1.MacPool, ips ...v1alpha1.IPAddress) *v1alpha1.MacClaim {
	w.t.Helper()
	claim := &v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: pool.Name}, IPs: ips},
	}
	w.create(claim)
	return claim
}

func (w *world) create(object client.Object) {
	w.t.Helper()
	if err := w.Create(w.t.Context(), object); err != nil {
		w.t.Fatal(err)
	}
}

// remove deletes an object at once, as the kubelet does with a pod that has ended.
func (w *world) remove(object client.Object) {
	w.t.Helper()
	if err := w.Delete(w.t.Context(), object, client.GracePeriodSeconds(0)); err != nil {
		w.t.Fatal(err)
	}
}

// change reads an object and writes it back changed, until nobody came between.
func change[T client.Object](w *world, object T, f func(T)) {
	w.t.Helper()
	edit(w, object, f, func(ctx context.Context) error { return w.Update(ctx, object) })
}

// changeStatus is change of the status.
func changeStatus[T client.Object](w *world, object T, f func(T)) {
	w.t.Helper()
	edit(w, object, f, func(ctx context.Context) error { return w.Status().Update(ctx, object) })
}

func edit[T client.Object](w *world, object T, f func(T), write func(context.Context) error) {
	w.t.Helper()
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.Get(w.t.Context(), client.ObjectKeyFromObject(object), object)).To(gomega.Succeed())
		f(object)
		g.Expect(write(w.t.Context())).To(gomega.Succeed())
	})
}
