// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// TestSurplusClaims : a Deployment has as many claims as it has pods. What a surge or a larger scale had needed ends by retain, and one that a
// pod waits for does not.
func TestSurplusClaims(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	kept, short := w.pool("192.168.50.0/24"), w.pool("192.168.60.0/24", func(p *v1alpha1.MacPool) { p.Spec.Retain = &metav1.Duration{Duration: 4 * time.Second} })
	for _, pool := range []*v1alpha1.MacPool{kept, short} {
		w.network(ns, pool.Name, pool.Name)
		claim := func(n string) string { return "web.deployment-" + n + "." + pool.Name + ".net1" }
		pods := map[string]*corev1.Pod{}
		for _, n := range []string{"0", "1", "2"} {
			pods[n] = w.pod(ns, "web-"+pool.Name+"-"+n, pool.Name, on("node-1"), deployedBy("web", "7c9f"))
			w.held(w.bound(ns, claim(n)), pods[n])
		}
		// Scaled down by two, and one that waits: it is not scheduled, and the lowest is to be its own.
		for _, n := range []string{"0", "1"} {
			held := w.claimNow(ns, claim(n))
			w.remove(pods[n])
			w.detach(held)
		}
		waiting := w.pod(ns, "web-"+pool.Name+"-new", pool.Name, deployedBy("web", "7c9f"))
		surplus := w.claimNow(ns, claim("1"))
		if pool == short {
			w.gone(surplus)
		} else {
			w.eventually(func(g gomega.Gomega) {
				now := w.claimNow(ns, claim("1"))
				g.Expect(now).NotTo(gomega.BeNil())
				g.Expect(apimeta.FindStatusCondition(now.Status.Conditions, v1alpha1.ClaimEnded)).NotTo(gomega.BeNil())
			})
		}
		// Until the pod that waits was there, nothing needed 0 either.
		w.eventually(func(g gomega.Gomega) {
			for _, n := range []string{"0", "2"} {
				now := w.claimNow(ns, claim(n))
				g.Expect(now).NotTo(gomega.BeNil(), claim(n))
				g.Expect(apimeta.FindStatusCondition(now.Status.Conditions, v1alpha1.ClaimEnded)).To(gomega.BeNil(), claim(n))
			}
		})
		w.schedule(waiting, "node-2")
		w.held(w.claimNow(ns, claim("0")), waiting)
		w.remove(waiting)
		w.remove(pods["2"])
	}
}
