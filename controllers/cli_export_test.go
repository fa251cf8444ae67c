// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// TestExportedClaims is the way by Git of `kubectl macpool export --format claims` (R-B2): applied where they come from they change nothing, and a cluster
// that is made anew has all addresses as before, whatever is started first. The pool is so small that without them it would not.
func TestExportedClaims(t *testing.T) {
	w := newWorld(t)
	w.landOfFarms()
	_, stop := w.startManager(managerOptions{})
	f := &farm{world: w, pods: map[string][]*corev1.Pod{}}
	all := slices.DeleteFunc(breeds(), func(b *breed) bool { // of the others the claims are written in the same ways
		return !slices.Contains([]string{"StatefulSet", "Deployment", "DaemonSet", "Job", "bare pod"}, b.kind)
	})
	small := func(p *v1alpha1.MacPool) { p.Name, p.Spec.Segment = "iot", "vlan-50" }
	f.pool = f.world.pool("192.168.50.0/28", small)
	w.network(farmNamespace, "iot", "iot")
	f.populate(all)
	lasting := slices.DeleteFunc(slices.Clone(all), func(b *breed) bool { return b.ownerKind == "Job" })
	before := map[string][]string{}
	for _, b := range lasting {
		before[b.kind] = f.addresses(b)
	}
	replica := f.claimsHeldBy(f.pods["StatefulSet"][1])[0].Status.IPs

	out, notes, status := w.macpool("export", "--format", "claims", "iot", "-n", farmNamespace)
	if want := 2 * (len(all) - len(lasting)); status != 0 || strings.Count(notes, "it is a Job's") != want {
		t.Fatalf("status %d, and of %d claims of Jobs it says\n%s", status, want, notes)
	}
	exported := decodeAll[unstructured.Unstructured](w, out)
	if len(exported) != 2*len(lasting) {
		t.Fatalf("%d claims of %d are exported:\n%s", len(exported), 2*len(lasting), out)
	}
	f.apply(exported)
	for _, c := range f.claims() {
		job := strings.HasPrefix(c.Name, "job-")
		if !job && (binding.IsManaged(&c) || len(c.Spec.IPs) != 1 || string(c.Spec.IPs[0]) != c.Status.IPs[0]) {
			t.Errorf("claim %s, applied where it is, has labels %v and asks for %v", c.Name, c.Labels, c.Spec.IPs)
		}
	}
	for _, b := range lasting {
		if diff := cmp.Diff(before[b.kind], f.addresses(b)); diff != "" {
			t.Errorf("%s, applied where they are (-before +after):\n%s", b.kind, diff)
		}
	}

	stop()
	f.raze()
	f.generation = 0
	changeStatus(w, f.pool, func(p *v1alpha1.MacPool) { p.Status.OwnLeases = nil }) // no manager counts them now
	f.remove(f.pool)
	f.pool = f.world.pool("192.168.50.0/28", small)
	_, stop = w.startManager(managerOptions{})
	defer stop()
	f.apply(exported)
	slices.Reverse(lasting)
	f.populate(lasting)
	for _, b := range lasting {
		if diff := cmp.Diff(before[b.kind], f.addresses(b)); diff != "" {
			t.Errorf("%s, rebuilt (-before +after):\n%s", b.kind, diff)
		}
	}
	if now := f.claimsHeldBy(f.pods["StatefulSet"][1])[0].Status.IPs; !slices.Equal(now, replica) {
		t.Errorf("replica 1 of the StatefulSet had %v and has %v", replica, now)
	}
}

// apply writes objects as Git's tools do.
func (f *farm) apply(objects []unstructured.Unstructured) {
	f.t.Helper()
	for i := range objects {
		if err := f.Apply(f.t.Context(), client.ApplyConfigurationFromUnstructured(objects[i].DeepCopy()), forced...); err != nil {
			f.t.Fatal(err)
		}
	}
}

// TestExportOfWhatMayBeRead is of a person who may list the claims of one namespace, and is told that there are others.
func TestExportOfWhatMayBeRead(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	pool, mine, other := w.pool("192.168.50.0/24"), w.namespace(), w.namespace()
	for _, ns := range []string{mine, other} {
		claim := w.claim(ns, "camera", pool)
		w.eventually(func(g gomega.Gomega) {
			g.Expect(w.Get(t.Context(), client.ObjectKeyFromObject(claim), claim)).To(gomega.Succeed())
			g.Expect(claim.Status.LeaseName).NotTo(gomega.BeEmpty())
		})
	}
	tenant := envtest.User{Name: "tenant-" + mine}
	subject := []rbacv1.Subject{{Kind: "User", Name: tenant.Name}}
	role := metav1.ObjectMeta{Namespace: mine, Name: "tenant"}
	w.create(&rbacv1.Role{ObjectMeta: role, Rules: []rbacv1.PolicyRule{{APIGroups: []string{"macpool.dev"}, Resources: []string{"macclaims"}, Verbs: []string{"list"}}}})
	w.create(&rbacv1.RoleBinding{ObjectMeta: role, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "tenant"}, Subjects: subject})
	export := func(want, wantNote string, args ...string) {
		t.Helper()
		w.eventually(func(g gomega.Gomega) { // a right is known to the API server a moment after it is written
			out, notes, status := w.macpoolAs(tenant, append([]string{"export", "--format", "csv"}, args...)...)
			g.Expect(status).To(gomega.Equal(0), notes)
			g.Expect(strings.Count(out, "\n")).To(gomega.Equal(2), out)
			g.Expect(out).To(gomega.ContainSubstring("," + want + ",camera,"))
			g.Expect(notes).To(gomega.ContainSubstring(wantNote))
		})
	}
	export(mine, "", "-n", mine)
	w.create(&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: tenant.Name}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"list"}}}})
	w.create(&rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: tenant.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: tenant.Name}, Subjects: subject,
	})
	export(mine, other)
	if _, errOut, status := w.macpool("export", "--format", "csv", "no-such-pool"); status != 1 || !strings.Contains(errOut, "MP302") {
		t.Errorf("a pool that is not there ends with %d, %s", status, errOut)
	}
}
