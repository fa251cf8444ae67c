// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

func newPool(name string) *v1alpha1.MacPool {
	return &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.MacPoolSpec{VLAN: ptr.To[int32](50), Subnets: []v1alpha1.Subnet{{CIDR: "192.168.50.0/24"}}},
	}
}

// preparePools returns when pools with leases are safe.
func preparePools(ctx context.Context) error {
	probe := newPool("probe")
	if err := api.Create(ctx, probe); err != nil {
		return fmt.Errorf("creating a pool: %w", err)
	}
	if err := countLeases(ctx, probe, 1); err != nil {
		return err
	}
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		err := api.Delete(ctx, probe, client.DryRunAll)
		return apierrors.IsForbidden(err) && strings.Contains(err.Error(), problem.PoolInUse.Code), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the policy to refuse something: %w", err)
	}
	if err := countLeases(ctx, probe, 0); err != nil {
		return err
	}
	return api.Delete(ctx, probe)
}

// countLeases is the manager that has counted a pool's own leases.
func countLeases(ctx context.Context, pool *v1alpha1.MacPool, n int64) error {
	pool.Status.OwnLeases = &n
	if err := api.Status().Update(ctx, pool); err != nil {
		return fmt.Errorf("counting the leases of a pool: %w", err)
	}
	return nil
}

// pooled makes a pool that is counted as change makes its status.
func pooled(t *testing.T, name string, change func(*v1alpha1.MacPoolStatus)) *v1alpha1.MacPool {
	t.Helper()
	pool := newPool(name)
	if err := api.Create(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if api.Get(context.Background(), client.ObjectKeyFromObject(pool), pool) == nil {
			_ = countLeases(context.Background(), pool, 0)
			_ = api.Delete(context.Background(), pool)
		}
	})
	if change != nil {
		change(&pool.Status)
		if err := api.Status().Update(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
	}
	return pool
}

// checkPoolInUse wants err to be the policy's refusal, in the words of the catalogue.
func checkPoolInUse(t *testing.T, err error, pool *v1alpha1.MacPool, n int) {
	t.Helper()
	checkForbidden(t, err, problem.PoolInUse.New(pool.Name, n))
}

// T22: own leases keep a pool, wherever they lie; those of pools that overlap it do not (R-P2).
func TestT22DeletionOfPools(t *testing.T) {
	for name, tc := range map[string]struct {
		status  func(*v1alpha1.MacPoolStatus)
		refused int
	}{
		"no-status": {nil, 0},
		"empty":     {func(s *v1alpha1.MacPoolStatus) { s.OwnLeases, s.Leased = ptr.To[int64](0), ptr.To[int64](0) }, 0},
		"one":       {func(s *v1alpha1.MacPoolStatus) { s.OwnLeases, s.Leased = ptr.To[int64](1), ptr.To[int64](1) }, 1},
		"many":      {func(s *v1alpha1.MacPoolStatus) { s.OwnLeases, s.Leased = ptr.To[int64](7), ptr.To[int64](7) }, 7},
		"others":    {func(s *v1alpha1.MacPoolStatus) { s.OwnLeases, s.Leased = ptr.To[int64](0), ptr.To[int64](7) }, 0},
		"left-there": {func(s *v1alpha1.MacPoolStatus) {
			s.OwnLeases, s.Leased, s.OutOfRange = ptr.To[int64](2), ptr.To[int64](0), ptr.To[int64](2)
		}, 2},
		"cooling": {func(s *v1alpha1.MacPoolStatus) { s.OwnLeases, s.Cooling = ptr.To[int64](0), ptr.To[int64](3) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			pool := pooled(t, name, tc.status)
			for how, options := range map[string][]client.DeleteOption{
				"dry run":       {client.DryRunAll},
				"by force":      {client.DryRunAll, client.GracePeriodSeconds(0)},
				"in foreground": {client.DryRunAll, client.PropagationPolicy(metav1.DeletePropagationForeground)},
			} {
				err := api.Delete(t.Context(), pool, options...)
				switch {
				case tc.refused > 0:
					checkPoolInUse(t, err, pool, tc.refused)
				case err != nil:
					t.Errorf("%s: %v", how, err)
				}
			}
			err := api.DeleteAllOf(t.Context(), &v1alpha1.MacPool{}, client.MatchingFields{"metadata.name": pool.Name})
			if refused := apierrors.IsForbidden(err); refused != (tc.refused > 0) {
				t.Errorf("deleted as one of all: %v", err)
			}
		})
	}
}

// The name by which the manager asks whether the policy is in force is refused to everybody, however the pool is made; others are not.
func TestNoPoolIsNamedAsTheProbe(t *testing.T) {
	kept := newPool("macpool-policy-probe")
	checkForbidden(t, api.Create(t.Context(), kept), problem.ProbeName.New())
	applied := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"vlan": int64(50)}}}
	applied.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("MacPool"))
	applied.SetName(kept.Name)
	checkForbidden(t, theManager.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(applied), client.FieldOwner("test")), problem.ProbeName.New())
	pooled(t, "macpool-policy-probe-2", nil)
}

// Without agents nothing keeps a pool (R-P5).
func TestNoAgentsNoPoolPolicy(t *testing.T) {
	g := gomega.NewWithT(t)
	pool := pooled(t, "left-behind", func(s *v1alpha1.MacPoolStatus) { s.OwnLeases = ptr.To[int64](1) })
	agents, err := newAgents()
	if err != nil {
		t.Fatal(err)
	}
	if err := api.Delete(t.Context(), agents.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	g.Eventually(func() error { return api.Delete(t.Context(), pool, client.DryRunAll) }, patience).Should(gomega.Succeed())
	if err := api.Create(t.Context(), agents); err != nil {
		t.Fatal(err)
	}
	g.Eventually(func() error { return api.Delete(t.Context(), pool, client.DryRunAll) }, patience).ShouldNot(gomega.Succeed())
	checkPoolInUse(t, api.Delete(t.Context(), pool), pool, 1)
}
