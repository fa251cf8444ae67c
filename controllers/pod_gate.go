// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/network"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/view"
)

// gate lets a pod with our scheduling gate be scheduled when nothing that is known here would make its ADD fail, and adds to
// the findings what it waits for else. claims are those of the attachments, nil where there is none yet; what is wrong with them is in the
// findings already.
//
// Nothing is guarded by the gate: a pod that is let go too early has its ADD refused, as without it.
func (r *PodReconciler) gate(
	ctx context.Context, pod *corev1.Pod, attachments []attachment, claims []*v1alpha1.MacClaim, findings map[string]finding,
) (time.Duration, error) {
	missing, err := r.missingNetwork(ctx, pod)
	if err != nil {
		return 0, err
	}
	if missing != "" {
		findings[missing] = findingOf(problem.NetworkMissing.New(missing))
		return 0, nil
	}
	if len(attachments) == 0 {
		return 0, r.ungateNeedless(ctx, pod, "none of its networks gets an address from a pool", findings)
	}
	var wait time.Duration
	waits := len(findings) > 0
	for i, a := range attachments {
		if claims[i] == nil || claims[i].Status.LeaseName == "" {
			waits = true // it is being made or bound, or a finding says what keeps it
			continue
		}
		held, err := r.heldByAnother(ctx, pod, a, claims[i])
		if err != nil {
			return 0, err
		}
		if held == nil {
			continue
		}
		waits = true
		if age := r.Clock.Since(pod.CreationTimestamp.Time); age < heldGrace {
			wait = heldGrace - age
		} else {
			findings[a.Interface] = findingOf(held)
		}
	}
	if waits {
		return wait, nil
	}
	return 0, r.ungate(ctx, pod)
}

// missingNetwork is a network that the pod selects and that is not there, "" if all are. It may be one of ours.
func (r *PodReconciler) missingNetwork(ctx context.Context, pod *corev1.Pod) (string, error) {
	selections, _ := network.SelectionsOf(pod)
	for _, s := range selections {
		err := r.Client.Get(ctx, s.Network, &nadv1.NetworkAttachmentDefinition{})
		if apierrors.IsNotFound(err) {
			return s.Network.String(), nil
		}
		if err != nil {
			return "", fmt.Errorf("reading network %s: %w", s.Network, err)
		}
	}
	return "", nil
}

// heldByAnother says which pod keeps this one from the claim; nil if none does. A hold that only the new pod's node can end, since it asks the
// VLAN, does not keep it: behind the gate it would wait for ever.
func (r *PodReconciler) heldByAnother(ctx context.Context, pod *corev1.Pod, a attachment, claim *v1alpha1.MacClaim) (*problem.Error, error) {
	holder := claim.Status.Holder
	if holder == nil || holds(claim, pod) {
		return nil, nil
	}
	wants := &v1alpha1.Holder{
		PodName: pod.Name, PodUID: binding.PodUID(pod), Interface: a.Interface, Owner: binding.OwnerOf(pod), InstanceUID: binding.InstanceUID(pod),
	}
	if binding.MayJoin(claim, wants) {
		return nil, nil
	}
	held := problem.As(binding.Refusal(claim, wants))
	other, err := podOfHolder(ctx, r.Client, claim)
	if err != nil || other != nil && stateOf(other) == podAlive || !problem.ClaimHeld.Is(held) {
		return held, err
	}
	node, err := nodeOf(ctx, r.Client, holder.NodeName)
	if err != nil {
		return nil, err
	}
	if state := binding.StateOfNode(node, holder); state == binding.NodeReady || state == binding.NodeFenced {
		return held, nil // its agent has the word, or HolderReconciler
	}
	pool := &v1alpha1.MacPool{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: a.Pool}, pool); err != nil {
		return nil, fmt.Errorf("reading pool %s: %w", a.Pool, err)
	}
	if pool.Spec.Takeover == v1alpha1.TakeoverStrict {
		return held, nil
	}
	return nil, nil
}

// ungateNeedless takes the gate, if there is one, off a pod that has nothing to wait for, and says so.
func (r *PodReconciler) ungateNeedless(ctx context.Context, pod *corev1.Pod, why string, findings map[string]finding) error {
	if !view.IsGated(pod) {
		return nil
	}
	findings["gate"] = findingOf(problem.GateUnneeded.New(pod.Namespace, pod.Name, why))
	return r.ungate(ctx, pod)
}

// ungate takes our gate, and no other, off the pod, if it is still as it was seen: its annotation may have changed since, and a pod of its
// name may be another one. An admission policy refuses the manager any other change of a pod.
func (r *PodReconciler) ungate(ctx context.Context, pod *corev1.Pod) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID, "resourceVersion": pod.ResourceVersion},
		"spec":     map[string]any{"schedulingGates": []any{map[string]any{"$patch": "delete", "name": v1alpha1.GateLease}}},
	})
	if err != nil {
		return fmt.Errorf("writing a patch: %w", err)
	}
	target := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}}
	if err := r.Client.Patch(ctx, target, client.RawPatch(types.StrategicMergePatchType, patch)); err != nil {
		return fmt.Errorf("removing the scheduling gate of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	ctrl.LoggerFrom(ctx).Info("A pod may be scheduled, since its claims are bound or it has none")
	return nil
}
