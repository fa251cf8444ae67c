// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// owner may do all with claims, and nothing with leases: a person to whom a namespace belongs. releaser has the role macpool-admin, as it is shipped.
var owner, releaser client.Client

// prepareForce makes the owner and the releaser, and returns when the one is refused and the other is not.
func prepareForce(ctx context.Context) error {
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "claims"},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"macpool.dev"}, Resources: []string{"macclaims", "macclaims/status"}, Verbs: []string{"*"}},
			{APIGroups: []string{"macpool.dev"}, Resources: []string{"macleases"}, Verbs: []string{"get", "list", "watch", "override"}},
		},
	}
	if err := api.Create(ctx, role); err != nil {
		return fmt.Errorf("creating a role: %w", err)
	}
	for name, p := range map[string]struct {
		role   string
		client *client.Client
	}{"owner": {role.Name, &owner}, "releaser": {"macpool-admin", &releaser}} {
		binding := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: p.role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: name}},
		}
		if err := api.Create(ctx, binding); err != nil {
			return fmt.Errorf("binding a role: %w", err)
		}
		user, err := server.AddUser(envtest.User{Name: name, Groups: []string{"system:authenticated"}}, &rest.Config{QPS: -1})
		if err != nil {
			return fmt.Errorf("adding a user: %w", err)
		}
		if *p.client, err = client.New(user.Config(), client.Options{}); err != nil {
			return fmt.Errorf("making a client: %w", err)
		}
	}
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		err := owner.Create(ctx, forced(newClaim("probe-force"), "now"), client.DryRunAll)
		refused := apierrors.IsForbidden(err) && strings.Contains(err.Error(), problem.ForceReleaseForbidden.Code)
		return refused && releaser.Create(ctx, forced(newClaim("probe-force"), "now"), client.DryRunAll) == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the policy to tell owner and releaser apart: %w", err)
	}
	return nil
}

func forced(claim *v1alpha1.MacClaim, reason string) *v1alpha1.MacClaim {
	metav1.SetMetaDataAnnotation(&claim.ObjectMeta, v1alpha1.AnnotationForceRelease, reason)
	return claim
}

// Only who has the verb force-release, or may update leases, may take an address from a pod without evidence; whoever may edit the claim may withdraw it
// (R-S5).
func TestForceRelease(t *testing.T) {
	const asked, upTo = v1alpha1.AnnotationForceRelease, v1alpha1.AnnotationForceReleaseUpTo
	i := 0
	for name, tc := range map[string]struct {
		from, to map[string]string
		refused  bool
	}{
		"something else":   {nil, map[string]string{"a": "b"}, false},
		"set":              {nil, map[string]string{asked: "it burns"}, true},
		"set empty":        {nil, map[string]string{asked: ""}, true},
		"changed":          {map[string]string{asked: "it burns"}, map[string]string{asked: "it burned"}, true},
		"beside it":        {map[string]string{asked: "it burns"}, map[string]string{asked: "it burns", "a": "b"}, false},
		"withdrawn":        {map[string]string{asked: "it burns"}, nil, false},
		"both withdrawn":   {map[string]string{asked: "it burns", upTo: "3"}, nil, false},
		"asked once more":  {map[string]string{asked: "it burns", upTo: "3"}, map[string]string{asked: "it burns"}, true},
		"meant for others": {map[string]string{asked: "it burns"}, map[string]string{asked: "it burns", upTo: "99"}, true},
		"the note alone":   {nil, map[string]string{upTo: "99"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			i++
			claim := claimed(t, fmt.Sprintf("force-%d", i), held)
			claim.Annotations = tc.from
			if err := api.Update(t.Context(), claim); err != nil {
				t.Fatal(err)
			}
			claim.Annotations = tc.to
			err := owner.Update(t.Context(), claim.DeepCopy(), client.DryRunAll)
			checkForce(t, err, tc.refused)
			if err := api.Update(t.Context(), claim.DeepCopy(), client.DryRunAll); err != nil {
				t.Errorf("who may update leases is refused: %v", err)
			}
			if err := releaser.Update(t.Context(), claim.DeepCopy(), client.DryRunAll); err != nil {
				t.Errorf("who has the verb force-release is refused: %v", err)
			}
			fresh := newClaim(claim.Name + "-new")
			fresh.Annotations = tc.to
			_, hasAsked := tc.to[asked]
			_, hasNote := tc.to[upTo]
			checkForce(t, owner.Create(t.Context(), fresh, client.DryRunAll), hasAsked || hasNote)
		})
	}
}

// A dry run that says that it asks for the policy is refused to whoever may force a release; what is meant is not.
func TestForceReleaseProbe(t *testing.T) {
	for name, tc := range map[string]struct {
		asks    string
		dryRun  []string
		refused bool
	}{
		"a-dry-run-that-asks":                {"macpool-force-release", []string{metav1.DryRunAll}, true},
		"a-dry-run-that-asks-another-policy": {"macpool-pool-in-use", []string{metav1.DryRunAll}, false},
		"no-dry-run":                         {"macpool-force-release", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			claim := forced(newClaim(name), "now")
			claim.Annotations[v1alpha1.AnnotationPolicyProbe] = tc.asks
			checkForce(t, api.Create(t.Context(), claim, &client.CreateOptions{DryRun: tc.dryRun}), tc.refused)
			if err := api.Delete(t.Context(), claim); client.IgnoreNotFound(err) != nil {
				t.Error(err)
			}
		})
	}
}

func checkForce(t *testing.T, err error, refused bool) {
	t.Helper()
	if !refused {
		if err != nil {
			t.Error(err)
		}
		return
	}
	checkForbidden(t, err, problem.ForceReleaseForbidden.New())
}

// Claims that carry the annotation can be bound, held and let go by who may write a status, and no leases: the status is not asked about.
func TestForceReleaseLeavesTheStatus(t *testing.T) {
	claim := claimed(t, "force-status", held)
	if err := api.Update(t.Context(), forced(claim, "it burns")); err != nil {
		t.Fatal(err)
	}
	claim.Status.Holder = nil
	if err := owner.Status().Update(t.Context(), claim); err != nil {
		t.Error(err)
	}
}
