// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// probeName is the name of what is written as a dry run.
const probeName = "macpool-policy-probe"

// UserAgent is the end of the name by which the API server's audit log has the questions to policies. Nearly all of them are refused,
// which is the answer that is hoped for.
const UserAgent = "policy-probe"

// errNothing : there is nothing that the policy could keep anybody from.
var errNothing = errors.New("there is nothing to guard")

// probe is a write that a policy must refuse. It is a dry run: if the policy does not refuse it, it changes nothing all the same.
type probe struct {
	// refusal is what the policy answers.
	refusal *problem.Kind
	// write sends it. It chooses an object by cache, if it needs one that exists.
	write func(ctx context.Context, live client.Client, cache client.Reader) error
}

// probes are of all policies that fail closed. Those that hold the manager itself to something refuse it as they would if it tried.
// What is about others refuses the manager's question because of AnnotationPolicyProbe: a right to impersonate those others would be worth more
// to a thief than the knowledge is to us (T17).
var probes = map[string]probe{
	"macpool-node-labels":   {problem.NodeGuarded, labelNode},
	"macpool-pod-gate":      {problem.GateOnly, labelPod},
	"macpool-claim-in-use":  {problem.ClaimInUse, deleteHeldClaim},
	"macpool-pool-in-use":   {problem.ProbeName, applyPool},
	"macpool-force-release": {problem.ForceReleaseForbidden, claimAs("macpool-force-release", map[string]string{v1alpha1.AnnotationForceRelease: "a dry run"})},
	"macpool-agent-leases":  {problem.NotItsNode, leaseAs("macpool-agent-leases")},
	"macpool-agent-claims":  {problem.NotItsNode, claimAs("macpool-agent-claims", nil)},
	"macpool-agent-nodes":   {problem.NotItsNode, applyReport},
	"macpool-only":          {problem.OnlyMacpool, leaseAs("macpool-only")},
}

// label is a patch that nobody would take for something else in the audit log of the API server.
var label = client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"`+v1alpha1.AnnotationPolicyProbe+`":"refuse"}}}`))

// labelNode puts a label on a Node that is not one of macpool's.
func labelNode(ctx context.Context, live client.Client, cache client.Reader) error {
	var nodes corev1.NodeList
	if err := cache.List(ctx, &nodes, client.Limit(1), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing nodes: %w", err)
	}
	if len(nodes.Items) == 0 {
		return errNothing
	}
	return live.Patch(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodes.Items[0].Name}}, label, client.DryRunAll)
}

// labelPod puts a label on a pod, of which there is one at least where the manager is one.
func labelPod(ctx context.Context, live client.Client, cache client.Reader) error {
	var pods corev1.PodList
	if err := cache.List(ctx, &pods, client.Limit(1), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing pods: %w", err)
	}
	if len(pods.Items) == 0 {
		return errNothing
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pods.Items[0].Namespace, Name: pods.Items[0].Name}}
	return live.Patch(ctx, pod, label, client.DryRunAll)
}

// deleteHeldClaim deletes a claim that a pod holds, if there is one.
func deleteHeldClaim(ctx context.Context, live client.Client, cache client.Reader) error {
	// Most claims are held, so that a few will do; else it may be any.
	for _, options := range [][]client.ListOption{{client.Limit(someClaims)}, nil} {
		var claims v1alpha1.MacClaimList
		if err := cache.List(ctx, &claims, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
			return fmt.Errorf("listing claims: %w", err)
		}
		for i := range claims.Items {
			// What is under deletion is held by a finalizer, and deleted anew without a question.
			if claim := &claims.Items[i]; claim.Status.Holder != nil && claim.DeletionTimestamp.IsZero() {
				gone := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: claim.Namespace, Name: claim.Name}}
				// The hold may end between the two; so the write is of the version in which it had not.
				as := client.Preconditions{UID: &claim.UID, ResourceVersion: &claim.ResourceVersion}
				return live.Delete(ctx, gone, client.DryRunAll, as)
			}
		}
	}
	return errNothing
}

// someClaims are looked at before all are.
const someClaims = 100

// applyPool makes a pool of the one name of which the manager may.
func applyPool(ctx context.Context, live client.Client, _ client.Reader) error {
	return apply(ctx, live, &unstructured.Unstructured{Object: map[string]any{"kind": "MacPool", "spec": map[string]any{"vlan": int64(1)}}})
}

// applyReport makes the report of a node that is not there, as the manager may under that name.
func applyReport(ctx context.Context, live client.Client, _ client.Reader) error {
	report := &unstructured.Unstructured{Object: map[string]any{"kind": "MacNode"}}
	report.SetAnnotations(map[string]string{v1alpha1.AnnotationPolicyProbe: "macpool-agent-nodes"})
	return apply(ctx, live, report)
}

// apply makes an object under the name that there is a right for: whom RBAC lets create objects, it lets create all.
func apply(ctx context.Context, live client.Client, object *unstructured.Unstructured) error {
	object.SetAPIVersion(v1alpha1.GroupVersion.String())
	object.SetName(probeName)
	return live.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner(probeName), client.DryRunAll)
}

// claimAs makes a claim, which the policy judges as if one of those had made it whom it is about. Any annotation is more than an agent may.
func claimAs(policy string, annotations map[string]string) func(context.Context, client.Client, client.Reader) error {
	return func(ctx context.Context, live client.Client, _ client.Reader) error {
		claim := &v1alpha1.MacClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: probeName, Annotations: map[string]string{v1alpha1.AnnotationPolicyProbe: policy}},
			Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: probeName}},
		}
		maps.Copy(claim.Annotations, annotations)
		return live.Create(ctx, claim, client.DryRunAll)
	}
}

// leaseAs makes a lease of a node that is not there, which the policy judges as if one of those had written it whom it is about.
func leaseAs(policy string) func(context.Context, client.Client, client.Reader) error {
	return func(ctx context.Context, live client.Client, _ client.Reader) error {
		return live.Create(ctx, &v1alpha1.MacLease{
			ObjectMeta: metav1.ObjectMeta{Name: probeName + ".192.0.2.1", Annotations: map[string]string{v1alpha1.AnnotationPolicyProbe: policy}},
			Spec: v1alpha1.MacLeaseSpec{
				PoolName: probeName, MAC: "02:00:00:00:02:01", IPs: []v1alpha1.IPAddress{"192.0.2.1"}, NodeName: probeName,
				ClaimRef: v1alpha1.ClaimRef{Namespace: metav1.NamespaceDefault, Name: probeName, UID: probeName},
				LeasedAt: metav1.Unix(1, 0),
			},
		}, client.DryRunAll)
	}
}

// answer judges what the API server has answered to the probe of a policy: why that is not in force, or an error if the answer does not
// say.
func (p probe) answer(policy string, err error) (why string, _ error) {
	switch {
	case err == nil:
		return "a dry run that it must refuse was taken", nil
	case errors.Is(err, errNothing):
		return "", nil
	case strings.Contains(err.Error(), "ValidatingAdmissionPolicy '"+policy+"'"):
		_, message, _ := strings.Cut(err.Error(), "denied request: ")
		code, _, _ := strings.Cut(message, ":")
		if p.refusal.Code == code {
			return "", nil
		}
		return "it refused a dry run for another reason than its own: " + err.Error(), nil
	default:
		return refused(err)
	}
}

// refused is why nobody can see whether a policy is in force, or an error if that is because the API server is away, or too busy.
func refused(err error) (why string, _ error) {
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsMethodNotSupported(err) {
		return "it could not be asked: " + err.Error(), nil
	}
	return "", fmt.Errorf("asking the API server: %w", err)
}
