// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/problem"
)

// prepareNodes returns when the manager is refused something.
func prepareNodes(ctx context.Context) error {
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		err := theManager.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "probe"}}, client.DryRunAll)
		return apierrors.IsForbidden(err) && strings.Contains(err.Error(), problem.NodeGuarded.Code), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the policy of nodes to refuse something: %w", err)
	}
	return nil
}

// The manager writes macpool's labels on Nodes, and nothing else of them; others may do as before.
func TestNodeLabels(t *testing.T) {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:   "guarded",
			Labels: map[string]string{"zone": "a", "macpool.dev/old": "ready"}, Annotations: map[string]string{"note": "x"},
		},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoSchedule}}},
	}
	if err := api.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Delete(context.Background(), node) })
	for name, tc := range map[string]struct {
		patch       string
		subresource string
		refused     bool
	}{
		"a label of ours":              {patch: `{"metadata": {"labels": {"macpool.dev/iot": "ready", "macpool.dev/old": null}}}`},
		"nothing":                      {patch: `{}`},
		"another value":                {patch: `{"metadata": {"labels": {"macpool.dev/iot": "never"}}}`, refused: true},
		"a label of others":            {patch: `{"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}`, refused: true},
		"one like ours":                {patch: `{"metadata": {"labels": {"macpool.dev.example/iot": "ready"}}}`, refused: true},
		"a label of others changed":    {patch: `{"metadata": {"labels": {"zone": "b"}}}`, refused: true},
		"a label of others taken away": {patch: `{"metadata": {"labels": {"zone": null}}}`, refused: true},
		"all labels taken away":        {patch: `{"metadata": {"labels": null}}`, refused: true},
		"an annotation":                {patch: `{"metadata": {"annotations": {"note": "y"}}}`, refused: true},
		"annotations taken away":       {patch: `{"metadata": {"annotations": null}}`, refused: true},
		"a finalizer":                  {patch: `{"metadata": {"finalizers": ["macpool.dev/x"]}}`, refused: true},
		"a taint taken away":           {patch: `{"spec": {"taints": null}}`, refused: true},
		"a taint":                      {patch: `{"spec": {"taints": [{"key": "x", "effect": "NoExecute"}]}}`, refused: true},
		"unschedulable":                {patch: `{"spec": {"unschedulable": true}}`, refused: true},
		"both":                         {patch: `{"metadata": {"labels": {"macpool.dev/iot": "ready"}}, "spec": {"unschedulable": true}}`, refused: true},
		"the status":                   {patch: `{"status": {"phase": "Running"}}`, subresource: "status", refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			write := func(c client.Client) error {
				target, patch := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node.Name}}, client.RawPatch(types.MergePatchType, []byte(tc.patch))
				if tc.subresource != "" {
					return c.SubResource(tc.subresource).Patch(t.Context(), target, patch, &client.SubResourcePatchOptions{PatchOptions: client.PatchOptions{DryRun: []string{metav1.DryRunAll}}})
				}
				return c.Patch(t.Context(), target, patch, client.DryRunAll)
			}
			err := write(theManager)
			if tc.refused {
				checkForbidden(t, err, problem.NodeGuarded.New())
			} else if err != nil {
				t.Errorf("the manager: %v", err)
			}
			if err := write(api); err != nil {
				t.Errorf("others: %v", err)
			}
		})
	}
	checkForbidden(t, theManager.Delete(t.Context(), node, client.DryRunAll), problem.NodeGuarded.New())
}
