// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"strings"
	"testing"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// deployedBy makes a pod one of a Deployment's, by a ReplicaSet of the given hash.
func deployedBy(deployment, hash string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Labels = map[string]string{appsv1.DefaultDeploymentUniqueLabelKey: hash}
		p.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: "apps/v1", Kind: "ReplicaSet", Name: deployment + "-" + hash, UID: "uid-of-rs", Controller: new(true),
		}}
	}
}

// personal makes a claim as a person does, for a workload.
func (w *world) personal(namespace, name string, pool *v1alpha1.MacPool, workload v1alpha1.Workload, ips ...v1alpha1.IPAddress) *v1alpha1.MacClaim {
	w.t.Helper()
	claim := &v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: pool.Name}, Workload: &workload, IPs: ips},
	}
	w.create(claim)
	return claim
}

// TestNamedClaims is of claims that pods name: one that is there is theirs, and no other is made (R-S3: the pod's own namespace).
func TestNamedClaims(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	pool := w.pool("192.168.50.0/24")
	for name, tc := range map[string]struct{ element, args string }{
		"cni-args":             {element: `, "cni-args": {"claim": "home-assistant"}`},
		"ipam-claim-reference": {element: `, "ipam-claim-reference": "home-assistant"`},
		"the network's":        {args: `, "args": {"cni": {"claim": "home-assistant"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, Client: w.Client}
			ns := w.namespace()
			w.networkOf(ns, "iot", `{"cniVersion": "1.0.0", "plugins": [{"type": "macvlan", "ipam": {"type": "macpool", "pool": "`+
				pool.Name+`"}`+tc.args+`}, {"type": "macpool"}]}`)
			pod := w.pod(ns, "ha-1", `[{"name": "iot"`+tc.element+`}]`, on("node-1"), deployedBy("home-assistant", "7c9f"))
			w.told(pod, problem.ClaimUnknown.Reason)

			claim := w.claim(ns, "home-assistant", pool)
			claim = w.held(w.bound(ns, claim.Name), pod)
			if owner := claim.Status.Holder.Owner; owner == nil || *owner != (v1alpha1.Owner{Kind: "Deployment", Name: "home-assistant"}) {
				t.Errorf("the holder's owner is %v", owner)
			}
			var claims v1alpha1.MacClaimList
			if err := w.List(t.Context(), &claims, client.InNamespace(ns)); err != nil {
				t.Fatal(err)
			}
			if len(claims.Items) != 1 {
				t.Errorf("other claims were made: %v", claims.Items)
			}
			// The claim outlives its pod, and is the next one's.
			w.remove(pod)
			w.detach(claim)
			next := w.pod(ns, "ha-2", `[{"name": "iot"`+tc.element+`}]`, on("node-2"), deployedBy("home-assistant", "8d00"))
			if again := w.held(w.bound(ns, claim.Name), next); again.UID != claim.UID || again.Status.LeaseName != claim.Status.LeaseName {
				t.Errorf("it became %+v", again.Status)
			}
		})
	}
}

// TestT6NamedClaimIsRefused : a pod names the claim of another workload, pool or namespace (R-A8). Naming a claim gives nobody what is another's.
func TestT6NamedClaimIsRefused(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool, other := w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.250"), kept("192.168.50.70", "192.168.50.71")), w.pool("192.168.60.0/24")
	w.network(ns, "iot", pool.Name)
	w.claim(ns, "fixed", pool, "192.168.50.70")
	w.bound(ns, "fixed")
	set := w.statefulSet(ns)
	own := "db-0." + pool.Name + ".net1"
	db := w.pod(ns, "db-0", "iot", ownedBy(set), on("node-1"))
	first := w.held(w.bound(ns, own), db)
	w.remove(db)
	w.detach(first) // the set's claim waits for its next pod

	w.claim(ns, "elsewhere", other)
	w.claim(ns, "shared", pool)
	holder := w.pod(ns, "a-1", `[{"name": "iot", "cni-args": {"claim": "shared"}}]`, on("node-1"), deployedBy("a", "1"))
	w.held(w.bound(ns, "shared"), holder)
	foreign := w.namespace()
	w.claim(foreign, "abroad", pool)
	for name, tc := range map[string]struct{ element, reason, says string }{
		"of a set's replica":          {`"cni-args": {"claim": "` + own + `"}`, problem.NotOurClaim.Reason, "StatefulSet db-0"},
		"of another pool":             {`"cni-args": {"claim": "elsewhere"}`, problem.OtherPool.Reason, other.Name},
		"held by another workload":    {`"cni-args": {"claim": "shared"}`, problem.ClaimOfAnother.Reason, "pod a-1 of Deployment a on node node-1, and this pod is of Deployment squatter"},
		"with another address":        {`"ips": ["192.168.50.71"], "cni-args": {"claim": "fixed"}`, problem.ClaimDiffers.Reason, "192.168.50.70"},
		"of another namespace":        {`"cni-args": {"claim": "abroad"}`, problem.ClaimUnknown.Reason, ns + "/abroad"},
		"a path to another namespace": {`"cni-args": {"claim": "` + foreign + `/abroad"}`, problem.BadAnnotation.Reason, "not the name of an object"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, Client: w.Client}
			pod := w.pod(ns, "squatter", `[{"name": "iot", `+tc.element+`}]`, on("node-1"), deployedBy("squatter", "1"))
			if note := w.told(pod, tc.reason); !strings.Contains(note, tc.says) {
				t.Errorf("the pod is told %q, want %q", note, tc.says)
			}
			w.remove(pod)
		})
	}
	db = w.pod(ns, "db-0", "iot", ownedBy(set), on("node-2"))
	if again := w.held(w.bound(ns, own), db); again.UID != first.UID || again.Status.LeaseName != first.Status.LeaseName {
		t.Errorf("the set's claim became %+v", again.Status)
	}
}

// TestClaimMadeForAWorkload is of a claim that a person makes ahead of the pods: it is found by its workload, whatever it is called,
// nothing ends it but that person, and what macpool had made before ends in its place (I4).
func TestClaimMadeForAWorkload(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.250"), kept("192.168.50.8", "192.168.50.9"),
		func(p *v1alpha1.MacPool) { p.Spec.Retain = &metav1.Duration{Duration: 0} })
	w.network(ns, "iot", pool.Name)
	set := w.statefulSet(ns)
	workload := func(ordinal int32) v1alpha1.Workload {
		return v1alpha1.Workload{Kind: v1alpha1.WorkloadStatefulSet, Name: "db", Ordinal: &ordinal, Interface: "net1"}
	}
	w.personal(ns, "database", pool, workload(0), "192.168.50.8")
	w.bound(ns, "database") // ahead of the pod
	pod := w.pod(ns, "db-0", "iot", ownedBy(set), on("node-1"))
	claim := w.held(w.bound(ns, "database"), pod)
	if claim.Status.IPs[0] != "192.168.50.8" || claim.Status.Holder.Owner != nil {
		t.Errorf("it has %+v", claim.Status)
	}

	// For the other replica the person comes late: the pod keeps what it has, and the next one gets the person's.
	second := w.pod(ns, "db-1", "iot", ownedBy(set), on("node-1"))
	own := w.held(w.bound(ns, "db-1."+pool.Name+".net1"), second)
	w.personal(ns, "late", pool, workload(1), "192.168.50.9")
	w.bound(ns, "late")
	w.afterSecondLook()
	if now := w.claimNow(ns, own.Name); now == nil || now.Status.Holder == nil {
		t.Fatal("the claim was taken from a pod that holds it")
	}
	if late := w.claimNow(ns, "late"); late.Status.Holder != nil {
		t.Errorf("a pod holds two claims for one interface: %+v", late.Status)
	}
	w.remove(second)
	w.detach(own)
	second = w.pod(ns, "db-1", "iot", ownedBy(set), on("node-1"))
	late := w.held(w.bound(ns, "late"), second)
	w.gone(own)

	// A person's claims stay when everything else has gone.
	w.remove(pod)
	w.remove(second)
	w.detach(claim)
	w.detach(late)
	w.remove(set)
	w.eventually(func(g gomega.Gomega) {
		for _, name := range []string{"database", "late"} {
			now := w.claimNow(ns, name)
			g.Expect(now).NotTo(gomega.BeNil())
			g.Expect(now.Status.Holder).To(gomega.BeNil())
			g.Expect(apimeta.FindStatusCondition(now.Status.Conditions, v1alpha1.ClaimEnded)).To(gomega.BeNil())
		}
	})
}

// TestClaimIsSuperseded is of a claim that macpool made, and that nothing holds, when a person makes one for its workload, and takes it back.
func TestClaimIsSuperseded(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	set := w.statefulSet(ns)
	pod := w.pod(ns, "db-0", "iot", ownedBy(set), on("node-1"))
	own := w.held(w.bound(ns, "db-0."+pool.Name+".net1"), pod)
	w.remove(pod)
	w.detach(own)
	ended := func(reason string) {
		t.Helper()
		w.eventually(func(g gomega.Gomega) {
			now := w.claimNow(ns, own.Name)
			g.Expect(now).NotTo(gomega.BeNil())
			condition := apimeta.FindStatusCondition(now.Status.Conditions, v1alpha1.ClaimEnded)
			if reason == "" {
				g.Expect(condition).To(gomega.BeNil())
				return
			}
			g.Expect(condition).NotTo(gomega.BeNil())
			g.Expect(condition.Reason).To(gomega.Equal(reason))
		})
	}
	ended("") // the set is there
	mine := w.personal(ns, "mine", pool, *own.Spec.Workload)
	ended(v1alpha1.ClaimReasonSuperseded)
	w.remove(mine)
	ended("")
	pod = w.pod(ns, "db-0", "iot", ownedBy(set), on("node-2"))
	if again := w.held(w.bound(ns, own.Name), pod); again.UID != own.UID || again.Status.LeaseName != own.Status.LeaseName {
		t.Errorf("it became %+v", again.Status)
	}
}
