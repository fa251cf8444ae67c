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

// prepareGate returns when the manager is refused something.
func prepareGate(ctx context.Context) error {
	probe := gatedPod("probe-gate")
	if err := api.Create(ctx, probe); err != nil {
		return fmt.Errorf("creating a pod: %w", err)
	}
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		err := theManager.Patch(ctx, probe.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`)), client.DryRunAll)
		return apierrors.IsForbidden(err) && strings.Contains(err.Error(), problem.GateOnly.Code), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the policy to refuse something: %w", err)
	}
	return nil
}

func gatedPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name, Labels: map[string]string{"app": "x"}, Annotations: map[string]string{networks: "iot"},
			Finalizers: []string{"example.com/mine"},
		},
		Spec: corev1.PodSpec{
			Containers:      []corev1.Container{{Name: "main", Image: "none"}},
			SchedulingGates: []corev1.PodSchedulingGate{{Name: "example.com/first"}, {Name: "macpool.dev/lease"}, {Name: "example.com/last"}},
		},
	}
}

const takeOff = `{"$patch": "delete", "name": "macpool.dev/lease"}`

// The manager may take its gate off pods, and change nothing else of them, whatever its role says (T17).
func TestManagerMayOnlyTakeItsGateOff(t *testing.T) {
	pod := gatedPod("gated")
	if err := api.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		patch, subresource string
		refused            bool
	}{
		"the gate":                    {patch: `{"spec": {"schedulingGates": [` + takeOff + `]}}`},
		"nothing":                     {patch: `{}`},
		"the gate, as it was seen":    {patch: fmt.Sprintf(`{"metadata": {"uid": %q, "resourceVersion": %q}, "spec": {"schedulingGates": [%s]}}`, pod.UID, pod.ResourceVersion, takeOff)},
		"another gate":                {patch: `{"spec": {"schedulingGates": [{"$patch": "delete", "name": "example.com/last"}]}}`, refused: true},
		"another gate too":            {patch: `{"spec": {"schedulingGates": [` + takeOff + `, {"$patch": "delete", "name": "example.com/first"}]}}`, refused: true},
		"all gates":                   {patch: `{"spec": {"schedulingGates": null}}`, refused: true},
		"the image":                   {patch: `{"spec": {"containers": [{"name": "main", "image": "evil"}]}}`, refused: true},
		"the gate and the image":      {patch: `{"spec": {"schedulingGates": [` + takeOff + `], "containers": [{"name": "main", "image": "evil"}]}}`, refused: true},
		"a node selector":             {patch: `{"spec": {"nodeSelector": {"a": "b"}}}`, refused: true},
		"the gate and a selector":     {patch: `{"spec": {"schedulingGates": [` + takeOff + `], "nodeSelector": {"a": "b"}}}`, refused: true},
		"a deadline":                  {patch: `{"spec": {"activeDeadlineSeconds": 1}}`, refused: true},
		"the gate and an annotation":  {patch: `{"metadata": {"annotations": {"a": "b"}}, "spec": {"schedulingGates": [` + takeOff + `]}}`, refused: true},
		"an annotation gone":          {patch: `{"metadata": {"annotations": {"k8s.v1.cni.cncf.io/networks": null}}}`, refused: true},
		"all annotations gone":        {patch: `{"metadata": {"annotations": null}}`, refused: true},
		"a label":                     {patch: `{"metadata": {"labels": {"app": "y"}}}`, refused: true},
		"the finalizers":              {patch: `{"metadata": {"finalizers": null}}`, refused: true},
		"an owner":                    {patch: `{"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "1-2"}]}}`, refused: true},
		"the status":                  {patch: `{"status": {"phase": "Failed"}}`, subresource: "status", refused: true},
		"a container of its own":      {patch: `{"spec": {"ephemeralContainers": [{"name": "evil", "image": "evil"}]}}`, subresource: "ephemeralcontainers", refused: true},
		"the gate by the status path": {patch: `{"spec": {"schedulingGates": [` + takeOff + `]}}`, subresource: "status", refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			patch := client.RawPatch(types.StrategicMergePatchType, []byte(tc.patch))
			write := func(c client.Client) error {
				if tc.subresource != "" {
					options := &client.SubResourcePatchOptions{PatchOptions: client.PatchOptions{DryRun: []string{metav1.DryRunAll}}}
					return c.SubResource(tc.subresource).Patch(t.Context(), pod.DeepCopy(), patch, options)
				}
				return c.Patch(t.Context(), pod.DeepCopy(), patch, client.DryRunAll)
			}
			if err := write(api); err != nil {
				t.Fatalf("an administrator is refused: %v", err)
			}
			err := write(theManager)
			if tc.refused {
				checkForbidden(t, err, problem.GateOnly.New())
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
