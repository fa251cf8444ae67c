// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// TestNamespaceFull is I8 and R-S3: the pool's limit is said to claim and pod, whatever the network asks for, and who waits is served when another
// claim of the namespace has gone, or the limit is raised.
func TestNamespaceFull(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns, other := w.namespace(), w.namespace()
	pool := w.pool("192.168.50.0/24", cooling(0, 0), func(p *v1alpha1.MacPool) { p.Spec.MaxPerNamespace = new(int32(1)) })
	w.network(ns, "iot", pool.Name)
	first := w.claim(ns, "first", pool)
	w.bound(ns, "first")
	pod := w.pod(ns, "second", "iot")
	name := "second." + pool.Name + ".net1"
	message := w.refused(ns, name, "NamespaceFull")
	if note := w.told(pod, "NamespaceFull"); !strings.Contains(message, "namespace "+ns+" has 1 addresses of pool "+pool.Name) || !strings.HasSuffix(note, message) {
		t.Errorf("the claim is told %q, the pod %q", message, note)
	}
	w.claim(other, "elsewhere", pool)
	w.bound(other, "elsewhere") // a namespace's limit is no other's

	w.afterSecondLook()
	w.remove(first)
	w.bound(ns, name)

	w.claim(ns, "third", pool)
	w.refused(ns, "third", "NamespaceFull")
	w.afterSecondLook()
	change(w, pool, func(p *v1alpha1.MacPool) { p.Spec.MaxPerNamespace = new(int32(2)) })
	w.bound(ns, "third")
	w.claim(ns, "fourth", pool)
	w.refused(ns, "fourth", "NamespaceFull")
	w.afterSecondLook()
	change(w, pool, func(p *v1alpha1.MacPool) { p.Spec.MaxPerNamespace = nil })
	w.bound(ns, "fourth")
}

// TestQuotaOfClaims is T3 and R-S4: a ResourceQuota counts the claims of people and of macpool, and a pod whose claim it refuses is told so and
// served when there is room.
func TestQuotaOfClaims(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	count := corev1.ResourceName("count/macclaims." + v1alpha1.GroupVersion.Group)
	hard := corev1.ResourceList{count: resource.MustParse("1")}
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "addresses"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}}
	w.create(quota)
	// What the quota's controller does, which does not run here.
	changeStatus(w, quota, func(q *corev1.ResourceQuota) {
		q.Status.Hard, q.Status.Used = hard, corev1.ResourceList{count: resource.MustParse("0")}
	})
	w.eventually(func(g gomega.Gomega) { // until admission has seen it
		claim := &v1alpha1.MacClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, GenerateName: "mine-"},
			Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: pool.Name}},
		}
		err := w.Create(t.Context(), claim)
		g.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("exceeded quota: addresses")))
	})
	pod := w.pod(ns, "printer", "iot")
	if note := w.told(pod, "ClaimRefused"); !strings.Contains(note, "exceeded quota: addresses") {
		t.Errorf("the pod is told %q", note)
	}
	more := corev1.ResourceList{count: resource.MustParse("1000")}
	change(w, quota, func(q *corev1.ResourceQuota) { q.Spec.Hard = more })
	changeStatus(w, quota, func(q *corev1.ResourceQuota) { q.Status.Hard = more })
	// No watch tells of quotas: the pod is looked at again, or changes.
	change(w, pod, func(p *corev1.Pod) { p.Labels = map[string]string{"looked-at": time.Now().Format("150405")} })
	w.bound(ns, "printer."+pool.Name+".net1")
}
