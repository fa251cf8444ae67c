// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// prepareClaims makes the agents' DaemonSet, as it is shipped, and returns when claims that are held are safe.
func prepareClaims(ctx context.Context) error {
	agents, err := newAgents()
	if err != nil {
		return err
	}
	if err := api.Create(ctx, agents); err != nil {
		return fmt.Errorf("creating the agents: %w", err)
	}
	probe := newClaim("probe")
	if err := api.Create(ctx, probe); err != nil {
		return fmt.Errorf("creating a claim: %w", err)
	}
	probe.Status.Holder = holder()
	if err := api.Status().Update(ctx, probe); err != nil {
		return fmt.Errorf("holding a claim: %w", err)
	}
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		err := api.Delete(ctx, probe, client.DryRunAll)
		return apierrors.IsForbidden(err) && strings.Contains(err.Error(), problem.ClaimInUse.Code), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the policy to refuse something: %w", err)
	}
	return nil
}

func newAgents() (*appsv1.DaemonSet, error) {
	text, err := os.ReadFile(filepath.Join("..", "agent", "daemonset.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading a manifest: %w", err)
	}
	agents := &appsv1.DaemonSet{}
	if err := yaml.UnmarshalStrict(text, agents); err != nil {
		return nil, fmt.Errorf("reading the agents' manifest: %w", err)
	}
	return agents, nil
}

func newClaim(name string) *v1alpha1.MacClaim {
	return &v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: "iot"}},
	}
}

func holder() *v1alpha1.Holder {
	return &v1alpha1.Holder{PodName: "db-0", PodUID: "1-2", NodeName: "node-a", Interface: "net1", Generation: 1, Since: metav1.Now()}
}

// claimed makes a claim that is held, or as change makes its status.
func claimed(t *testing.T, name string, change func(*v1alpha1.MacClaimStatus)) *v1alpha1.MacClaim {
	t.Helper()
	claim := newClaim(name)
	if err := api.Create(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unhold(t, claim); _ = api.Delete(context.Background(), claim) })
	if change != nil {
		change(&claim.Status)
		if err := api.Status().Update(t.Context(), claim); err != nil {
			t.Fatal(err)
		}
	}
	return claim
}

func held(s *v1alpha1.MacClaimStatus) { s.Holder = holder() }

// unhold is the agent of the holder's node.
func unhold(t *testing.T, claim *v1alpha1.MacClaim) {
	t.Helper()
	err := api.Status().Patch(context.Background(), claim, client.RawPatch("application/merge-patch+json", []byte(`{"status":{"holder":null,"alternate":null}}`)))
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
}

// checkInUse wants err to be the policy's refusal, in the words of the catalogue.
func checkInUse(t *testing.T, err error, claim *v1alpha1.MacClaim) {
	t.Helper()
	checkForbidden(t, err, problem.ClaimInUse.New(claim.Namespace, claim.Name, "db-0", "node-a"))
	if err := api.Get(t.Context(), client.ObjectKeyFromObject(claim), claim); err != nil || !claim.DeletionTimestamp.IsZero() {
		t.Errorf("the claim was touched: %v, %v", err, claim.DeletionTimestamp)
	}
}

func TestDeletionOfClaims(t *testing.T) {
	for name, tc := range map[string]struct {
		status  func(*v1alpha1.MacClaimStatus)
		refused bool
	}{
		"no-status": {nil, false},
		"bound":     {func(s *v1alpha1.MacClaimStatus) { s.LeaseName = "vlan-50.192.168.50.8" }, false},
		"held":      {held, true},
		"was-held": {func(s *v1alpha1.MacClaimStatus) {
			s.PreviousHolders = []v1alpha1.PreviousHolder{{PodName: "db-0", PodUID: "1-2", NodeName: "node-a", Since: metav1.Now(), Until: metav1.Now()}}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			claim := claimed(t, name, tc.status)
			for how, options := range map[string][]client.DeleteOption{
				"dry run":       {client.DryRunAll},
				"by force":      {client.DryRunAll, client.GracePeriodSeconds(0)},
				"in foreground": {client.DryRunAll, client.PropagationPolicy(metav1.DeletePropagationForeground)},
				"as it was":     {client.DryRunAll, client.Preconditions{UID: &claim.UID, ResourceVersion: &claim.ResourceVersion}},
				"for good":      nil,
			} {
				if how == "for good" && !tc.refused {
					continue // at the end
				}
				err := api.Delete(t.Context(), claim.DeepCopy(), options...)
				switch {
				case tc.refused:
					checkInUse(t, err, claim)
				case err != nil:
					t.Errorf("%s: %v", how, err)
				}
			}
			if !tc.refused {
				if err := api.Delete(t.Context(), claim); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// A namespace that is deleted, a garbage collector and a person all do this: they try again.
func TestRefusedDeletionsGoThroughInTheEnd(t *testing.T) {
	claim := claimed(t, "again", held)
	for range 3 {
		checkInUse(t, api.Delete(t.Context(), claim), claim)
		err := api.DeleteAllOf(t.Context(), &v1alpha1.MacClaim{}, client.InNamespace(claim.Namespace), client.MatchingFields{"metadata.name": claim.Name})
		checkInUse(t, err, claim)
	}
	unhold(t, claim)
	if err := api.Delete(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	if err := api.Get(t.Context(), client.ObjectKeyFromObject(claim), claim); !apierrors.IsNotFound(err) {
		t.Errorf("the claim is still there: %v, %v", err, claim.Finalizers)
	}
}

// The API server judges the very version of the claim that it deletes: of a holder that is set and a deletion at the same moment, one
// fails.
func TestHolderOrDeletionButNotBoth(t *testing.T) {
	heldFirst, deletedFirst := 0, 0
	for i := range 200 {
		claim := newClaim(fmt.Sprintf("race-%d", i))
		if err := api.Create(t.Context(), claim); err != nil {
			t.Fatal(err)
		}
		update := claim.DeepCopy()
		update.Status.Holder = holder()
		var heldErr, deleteErr error
		var both sync.WaitGroup
		both.Go(func() { heldErr = api.Status().Update(t.Context(), update) })
		both.Go(func() { deleteErr = api.Delete(t.Context(), claim.DeepCopy()) })
		both.Wait()
		switch {
		case heldErr == nil && apierrors.IsForbidden(deleteErr):
			heldFirst++
			unhold(t, claim)
			if err := api.Delete(t.Context(), claim); err != nil {
				t.Fatal(err)
			}
		case deleteErr == nil && (apierrors.IsNotFound(heldErr) || apierrors.IsConflict(heldErr)):
			deletedFirst++
		default:
			t.Fatalf("setting the holder: %v; deleting: %v", heldErr, deleteErr)
		}
	}
	t.Logf("%d were held first, %d deleted first", heldFirst, deletedFirst)
}

// Somebody's finalizer does not keep a deletion from beginning: what has no holder then gets none.
func TestFinalizerOfSomebodyElse(t *testing.T) {
	claim := newClaim("foreign")
	claim.Finalizers = []string{"example.com/mine"}
	if err := api.Create(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	unheld := claim.DeepCopy()
	claim.Status.Holder = holder()
	if err := api.Status().Update(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	checkInUse(t, api.Delete(t.Context(), claim), claim)
	unhold(t, claim)
	if err := api.Delete(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	unheld.Status.Holder = holder()
	if err := api.Status().Update(t.Context(), unheld); !apierrors.IsConflict(err) {
		t.Errorf("who read it before its deletion could set a holder: %v", err)
	}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
	if err := api.Patch(t.Context(), claim, patch); err != nil {
		t.Error(err)
	}
}

// Without agents nobody clears a holder, and nobody is kept waiting for it (R-P5).
func TestNoAgentsNoPolicy(t *testing.T) {
	g := gomega.NewWithT(t)
	claim := claimed(t, "left-behind", held)
	agents, err := newAgents()
	if err != nil {
		t.Fatal(err)
	}
	if err := api.Delete(t.Context(), agents); err != nil {
		t.Fatal(err)
	}
	g.Eventually(func() error { return api.Delete(t.Context(), claim, client.DryRunAll) }, patience).Should(gomega.Succeed())
	if agents, err = newAgents(); err != nil {
		t.Fatal(err)
	}
	if err := api.Create(t.Context(), agents); err != nil {
		t.Fatal(err)
	}
	g.Eventually(func() error { return api.Delete(t.Context(), claim, client.DryRunAll) }, patience).ShouldNot(gomega.Succeed())
	checkInUse(t, api.Delete(t.Context(), claim), claim)
}
