// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// mergePatch is a patch as kubectl patch --type=merge sends it.
func mergePatch(text string) client.Patch {
	return client.RawPatch("application/merge-patch+json", []byte(text))
}

// TestT7ClaimOfARunningPod : the owner of a namespace tries, with the very roles that macpool ships, to get the claim away from under a running pod: by
// deleting it, by writing its status or lease, by making it another's, by force; and then by ending the pod and making it again on another
// node. The pod keeps its address until its own node says that the interface is gone (R-P4, R-S6).
func TestT7ClaimOfARunningPod(t *testing.T) {
	h := newHold(t, managerOptions{})
	h.aggregate()
	before := h.victim(h.claim)
	leased := &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: before.lease.Name}}
	for _, role := range []string{"macpool-user", "edit", "admin"} {
		owner := h.bind(role, h.ns)
		for name, tc := range map[string]struct {
			attack func(claim *v1alpha1.MacClaim) error
			says   string // by whom it is refused
		}{
			"the claim is deleted": {func(c *v1alpha1.MacClaim) error { return owner.Delete(t.Context(), c) }, problem.ClaimInUse.Code},
			"at once":              {func(c *v1alpha1.MacClaim) error { return owner.Delete(t.Context(), c, client.GracePeriodSeconds(0)) }, problem.ClaimInUse.Code},
			"all claims are":       {func(c *v1alpha1.MacClaim) error { return owner.DeleteAllOf(t.Context(), c, client.InNamespace(h.ns)) }, "deletecollection"},
			"its holder is written away": {func(c *v1alpha1.MacClaim) error {
				return owner.Status().Patch(t.Context(), c, mergePatch(`{"status": {"holder": null}}`))
			}, "macclaims/status"},
			"without the subresource": {func(c *v1alpha1.MacClaim) error {
				if err := owner.Patch(t.Context(), c, mergePatch(`{"status": {"holder": null, "leaseName": ""}}`), client.DryRunAll); err != nil || c.Status.Holder == nil {
					t.Errorf("%s: the status was written: %+v, %v", role, c.Status, err)
				}
				return nil
			}, ""},
			"its lease is deleted": {func(*v1alpha1.MacClaim) error { return owner.Delete(t.Context(), leased.DeepCopy()) }, "macleases"},
			"its lease is written": {func(*v1alpha1.MacClaim) error {
				return owner.Patch(t.Context(), leased.DeepCopy(), mergePatch(`{"spec": {"claimRef": {"name": "mine"}}}`))
			}, "macleases"},
			"by force": {func(c *v1alpha1.MacClaim) error {
				return owner.Patch(t.Context(), c, mergePatch(`{"metadata": {"annotations": {"`+v1alpha1.AnnotationForceRelease+`": "mine"}}}`))
			}, problem.ForceReleaseForbidden.Code},
			"it is another address's": {func(c *v1alpha1.MacClaim) error {
				return owner.Patch(t.Context(), c, mergePatch(`{"spec": {"ips": ["192.168.50.250"]}}`))
			}, "ips"},
			"it is another pool's": {func(c *v1alpha1.MacClaim) error {
				return owner.Patch(t.Context(), c, mergePatch(`{"spec": {"poolRef": {"name": "another"}}}`))
			}, "poolRef"},
			"it is another workload's": {func(c *v1alpha1.MacClaim) error {
				return owner.Patch(t.Context(), c, mergePatch(`{"spec": {"workload": {"name": "another"}}}`))
			}, "workload"},
		} {
			err := tc.attack(h.now())
			switch {
			case tc.says == "" && err == nil:
			case err == nil:
				t.Errorf("%s, %s: it was allowed", role, name)
			case !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err), !strings.Contains(err.Error(), tc.says):
				t.Errorf("%s, %s: %v; want a refusal that names %q", role, name, err, tc.says)
			}
		}
	}
	h.goesOn()
	h.unharmed(before)

	owner := h.bind("edit", h.ns)
	if err := owner.Delete(t.Context(), h.pod, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	next := h.world.pod(h.ns, "camera", "iot", on("node-2"))
	h.goesOn()
	if err := owner.Delete(t.Context(), h.now()); !apierrors.IsForbidden(err) {
		t.Errorf("the claim of a pod that was deleted by force: %v", err)
	}
	h.detach(h.claim)
	if again := h.held(h.claim, next); again.UID != h.claim.UID || again.Status.LeaseName != h.claim.Status.LeaseName {
		t.Errorf("the next pod holds %+v", again.Status)
	}
}

// TestOnlyMacpoolWrites is R-S6, with the largest role that macpool ships bound in the whole cluster: what is macpool's word stays so. What such a
// person may do instead, and no owner of a namespace, is force-release.
func TestOnlyMacpoolWrites(t *testing.T) {
	h := newHold(t, managerOptions{})
	before := h.victim(h.claim)
	admin := h.bind("macpool-admin", "")
	lease := before.lease.DeepCopy()
	for name, write := range map[string]func() error{
		"a lease is made": func() error {
			l := &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: lease.Labels[v1alpha1.LabelSegment] + ".192.168.50.250", Labels: lease.Labels}, Spec: lease.Spec}
			return admin.Create(t.Context(), l)
		},
		"a lease is changed":          func() error { return admin.Update(t.Context(), lease.DeepCopy()) },
		"a lease is deleted":          func() error { return admin.Delete(t.Context(), lease.DeepCopy()) },
		"a claim's status is written": func() error { return admin.Status().Update(t.Context(), h.now()) },
		"a pool's status is written":  func() error { return admin.Status().Update(t.Context(), h.pool.DeepCopy()) },
		"a node's report is made": func() error {
			return admin.Create(t.Context(), &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}})
		},
		"a claim that is in use is deleted": func() error { return admin.Delete(t.Context(), h.now()) },
		"all pools are deleted at once":     func() error { return admin.DeleteAllOf(t.Context(), &v1alpha1.MacPool{}) },
	} {
		if err := write(); !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
	h.goesOn()
	h.unharmed(before)
	err := admin.Patch(t.Context(), h.now(), mergePatch(`{"metadata": {"annotations": {"`+v1alpha1.AnnotationForceRelease+`": "it was unplugged"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if reason, evidence := h.ended(); reason != v1alpha1.EndForced || !strings.HasSuffix(evidence, "it was unplugged") {
		t.Errorf("it ended as %s: %s", reason, evidence)
	}
}
