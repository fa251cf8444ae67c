// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"context"
	"fmt"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// somebody is a user whose role allows every verb that RBAC knows on all that is macpool's, and more verbs by name.
func somebody(t *testing.T, name string, more ...string) client.Client {
	t.Helper()
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"*"},
			Verbs: append([]string{"get", "list", "create", "update", "patch", "delete", "deletecollection"}, more...),
		}},
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	}
	for _, object := range []client.Object{role, binding} {
		if err := api.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	config := rest.CopyConfig(server.Config)
	config.Impersonate.UserName = name
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestOnlyMacpoolWrites is R-S6: whatever a role allows, people write no leases, no reports, no status. Who may override may, as may
// an administrator of the cluster; and a write that changes nothing is none.
func TestOnlyMacpoolWrites(t *testing.T) {
	tenant, repairer := somebody(t, "tenant"), somebody(t, "repairer", "override")
	claim := workloadClaim(t, "written", "node-a")
	pool := newPool("written")
	lease := newLease("192.168.60.40", "node-a")
	report := &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: "written"}}
	for _, object := range []client.Object{pool, lease, report} {
		if err := api.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = api.Delete(context.Background(), object) })
	}
	dry := &client.SubResourceUpdateOptions{UpdateOptions: client.UpdateOptions{DryRun: []string{metav1.DryRunAll}}}
	free := claim.DeepCopy()
	free.Status.Holder = nil
	moved := lease.DeepCopy()
	moved.Spec.ClaimRef.Namespace = "tenant"
	labelled := lease.DeepCopy()
	labelled.Labels = map[string]string{"a": "b"}
	silent := report.DeepCopy()
	silent.Status.Epoch = 7
	full := pool.DeepCopy()
	full.Status.OwnLeases = new(int64(7))
	another := newLease("192.168.60.41", "")

	for _, tc := range []struct {
		what  string
		write func(client.Client) error
	}{
		{"UPDATE of macclaims/written", func(c client.Client) error { return c.Status().Update(t.Context(), free.DeepCopy(), dry) }},
		{"UPDATE of macpools/written", func(c client.Client) error { return c.Status().Update(t.Context(), full.DeepCopy(), dry) }},
		{"UPDATE of macnodes/written", func(c client.Client) error { return c.Status().Update(t.Context(), silent.DeepCopy(), dry) }},
		{"UPDATE of macleases/" + lease.Name, func(c client.Client) error { return c.Update(t.Context(), moved.DeepCopy(), client.DryRunAll) }},
		{"UPDATE of macleases/" + labelled.Name, func(c client.Client) error { return c.Update(t.Context(), labelled.DeepCopy(), client.DryRunAll) }},
		{"DELETE of macleases/" + lease.Name, func(c client.Client) error { return c.Delete(t.Context(), lease.DeepCopy(), client.DryRunAll) }},
		{"CREATE of macleases/" + another.Name, func(c client.Client) error { return c.Create(t.Context(), another.DeepCopy(), client.DryRunAll) }},
	} {
		t.Run(tc.what, func(t *testing.T) {
			checkForbidden(t, tc.write(tenant), problem.OnlyMacpool.New(tc.what, "tenant"))
			for who, c := range map[string]client.Client{"who may override": repairer, "an administrator": api} {
				if err := tc.write(c); err != nil {
					t.Errorf("%s: %v", who, err)
				}
			}
		})
	}
	for name, write := range map[string]func() error{
		"a lease as it is":         func() error { return tenant.Update(t.Context(), lease.DeepCopy(), client.DryRunAll) },
		"a report, by deleting it": func() error { return tenant.Delete(t.Context(), report.DeepCopy(), client.DryRunAll) },
		"a status as it is":        func() error { return tenant.Status().Update(t.Context(), claim.DeepCopy(), dry) },
	} {
		if err := write(); err != nil {
			t.Error(fmt.Errorf("writing %s: %w", name, err))
		}
	}
}
