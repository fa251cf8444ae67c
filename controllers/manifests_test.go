// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/accesstest"
)

func TestManifestsAreAccepted(t *testing.T) {
	w := newWorld(t)
	for _, pattern := range []string{"manager/manager.yaml", "agent/*.yaml", "cleanup/*.yaml", "samples/*.yaml"} {
		files, err := filepath.Glob(filepath.Join("..", "config", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			objects, err := accesstest.Read(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, object := range objects {
				if object.GetKind() == "Namespace" { // what comes after it is in there
					w.create(object)
					continue
				}
				err := w.Create(t.Context(), object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
				if err != nil && !apierrors.IsAlreadyExists(err) { // which is said of what is acceptable
					t.Errorf("%s: %v", file, err)
				}
			}
		}
	}
}

// applyRBAC applies the roles as they are shipped.
func applyRBAC(admin *rest.Config, config string) error {
	c, err := client.New(admin, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(config, "rbac", "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range append([]string{filepath.Join(config, "manager", "namespace.yaml")}, files...) {
		objects, err := accesstest.Read(file)
		if err != nil {
			return err
		}
		for _, object := range objects {
			if err := c.Create(context.Background(), object); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return nil
}

// applyPolicies applies the policies that guard claims and pools, and the DaemonSet to which they are bound, and returns when that of
// claims which are held is in force.
func applyPolicies(admin *rest.Config, config string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.New(admin, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	for _, file := range []string{
		"agent/daemonset.yaml", "policy/claim_in_use_policy.yaml", "policy/claim_in_use_binding.yaml",
		"policy/pool_in_use_policy.yaml", "policy/pool_in_use_binding.yaml",
		"policy/force_release_policy.yaml", "policy/force_release_binding.yaml",
		"policy/node_labels_policy.yaml", "policy/node_labels_binding.yaml",
		"policy/pod_gate_policy.yaml", "policy/pod_gate_binding.yaml",
	} {
		objects, err := accesstest.Read(filepath.Join(config, file))
		if err != nil {
			return err
		}
		for _, object := range objects {
			if err := c.Create(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	probe := &v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "probe"}, Spec: v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: "none"}},
	}
	if err := c.Create(ctx, probe); err != nil {
		return err
	}
	probe.Status.Holder = &v1alpha1.Holder{PodName: "probe", PodUID: "0-0", NodeName: "none", Interface: "net1", Generation: 1, Since: metav1.Now()}
	if err := c.Status().Update(ctx, probe); err != nil {
		return err
	}
	err = wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		return apierrors.IsForbidden(c.Delete(ctx, probe, client.DryRunAll)), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the policy: %w", err)
	}
	probe.Status.Holder = nil
	if err := c.Status().Update(ctx, probe); err != nil {
		return err
	}
	return c.Delete(ctx, probe)
}
