// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/view"
)

// heldGrace is how long a new pod may wait for its predecessor's node to let go before its owner is told: a replaced pod
// of a StatefulSet always waits a moment.
const heldGrace = 10 * time.Second

// PodReconciler makes the claims of pods whose networks name macpool, makes scheduled pods their holders, lets pods that wait for
// their claims be scheduled, and tells pods what keeps them from an address.
type PodReconciler struct {
	// Client reads from the cache, and writes.
	Client client.Client
	// APIReader reads live: a claim that was deleted is not made again on the word of a cache.
	APIReader client.Reader
	Binder    *binding.Binder
	Recorder  events.EventRecorder
	Clock     clock.PassiveClock
	// Gate keeps from deleting anything while the API server may be behind.
	Gate Gate

	reports reports
	// stalls are what was said on claims: under the name of the pod that waits.
	stalls reports
	// bereft are the pods that have lost a claim.
	bereft deletions[struct{}]
	// made are the claims that the cache may not show yet.
	made madeClaims
}

// +kubebuilder:rbac:groups="",resources=pods;nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=patch
// +kubebuilder:rbac:groups=k8s.cni.cncf.io,resources=network-attachment-definitions,verbs=list;watch
// +kubebuilder:rbac:groups=macpool.dev,resources=macpools,verbs=get;list;watch
// +kubebuilder:rbac:groups=macpool.dev,resources=macclaims,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=macpool.dev,resources=macclaims/status,verbs=update
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

func (r *PodReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	pod := &corev1.Pod{}
	if err := r.Client.Get(ctx, req.NamespacedName, pod); err != nil {
		r.reports.forget(req.NamespacedName)
		r.stalls.forget(req.NamespacedName)
		r.bereft.forget(req.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	findings := map[string]finding{}
	wait, err := r.attach(ctx, pod, findings)
	for subject, f := range r.reports.news(pod, findings) {
		say(r.Recorder, pod, subject, f)
	}
	if len(findings) > 0 && wait == 0 {
		wait = retryProblem
	}
	return settle(ctrl.Result{RequeueAfter: wait}, err)
}

// attach does what can be done for each interface of the pod, and collects what is wrong: interface -> finding. It returns
// how long to wait before something may be wrong that is not yet.
func (r *PodReconciler) attach(ctx context.Context, pod *corev1.Pod, findings map[string]finding) (time.Duration, error) {
	if !wantsAddresses(pod) {
		return 0, nil
	}
	attachments, err := attachmentsOf(ctx, r.Client, pod)
	if err != nil {
		return 0, err
	}
	if pod.Spec.HostNetwork {
		if slices.ContainsFunc(attachments, func(a attachment) bool { return a.Err == nil }) {
			findings[""] = findingOf(problem.HostNetwork.New(pod.Namespace, pod.Name))
		}
		return 0, r.ungateNeedless(ctx, pod, "it is on the node's network", findings)
	}
	var wait time.Duration
	var failures []error
	onClaims, byName := map[string]finding{}, map[string]*v1alpha1.MacClaim{}
	claims := make([]*v1alpha1.MacClaim, len(attachments))
	for i, a := range attachments {
		claim, err := r.claimFor(ctx, pod, a)
		if err == nil && claim != nil {
			claims[i] = claim
			if r.made.find(client.ObjectKeyFromObject(claim), r.Clock.Now()) != nil {
				wait = madeFor // its event comes long before
			}
			var held time.Duration
			if held, err = r.hold(ctx, pod, a, claim); held > 0 {
				wait = held
			}
			if p := problem.As(err); p != nil && slices.Contains(handoverKinds, p.Kind) {
				onClaims[claim.Name], byName[claim.Name] = findingOf(p), claim
			}
			if f, ok := findingOfCondition(apimeta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ClaimReady)); ok && err == nil {
				findings[a.Interface] = f
			}
		}
		if p := problem.As(err); p != nil {
			findings[a.Interface] = findingOf(p)
		} else if err != nil {
			failures = append(failures, err)
		}
	}
	for name, f := range r.stalls.news(pod, onClaims) {
		say(r.Recorder, byName[name], pod.Name, f)
	}
	if len(failures) == 0 && view.IsGated(pod) {
		return r.gate(ctx, pod, attachments, claims, findings)
	}
	return wait, errors.Join(failures...)
}

// wantsAddresses tells whether the pod may still need what it has not.
func wantsAddresses(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp.IsZero() && stateOf(pod) != podFinished
}

// claimFor is the claim of an attachment, made if there is none; nil if there will be one later, by an event. Most
// often the cache has it and nothing is asked.
func (r *PodReconciler) claimFor(ctx context.Context, pod *corev1.Pod, a attachment) (*v1alpha1.MacClaim, error) {
	if a.Err != nil {
		return nil, a.Err
	}
	if held, err := a.heldBy(ctx, r.Client, pod); held != nil || err != nil {
		// It was granted once. What is written into the annotation since is read by nobody.
		return held, err
	}
	workload, known, err := a.identity(ctx, r.Client, pod)
	if err != nil || !known {
		return nil, err
	}
	key, claim, err := a.find(ctx, r.Client, pod, workload)
	if err != nil {
		return nil, err
	}
	pool := &v1alpha1.MacPool{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: a.Pool}, pool); apierrors.IsNotFound(err) {
		return nil, problem.PoolUnknown.New(a.Pool)
	} else if err != nil {
		return nil, fmt.Errorf("reading pool %s: %w", a.Pool, err)
	}
	want, err := a.claim(pod, pool, workload)
	if err != nil {
		return nil, err
	}
	if claim != nil && binding.Serves(claim, want) == nil {
		return claim, nil
	}
	if claim == nil && !r.bereft.seen(client.ObjectKeyFromObject(pod), struct{}{}) {
		if made := r.made.find(key, r.Clock.Now()); made != nil && binding.Serves(made, want) == nil {
			return made, nil
		}
	}
	if gone, err := r.isGone(ctx, pod); gone || err != nil {
		return nil, err
	}
	if a.Named != "" || key.Name != want.Name { // a person's, and not to be made or made again
		want.Name = key.Name
		found, err := r.Binder.FindClaim(ctx, want)
		if a.Named != "" && problem.ClaimUnknown.Is(err) {
			return r.ofIPAMClaim(ctx, want, err)
		}
		return found, err
	}
	return r.ensure(ctx, want)
}

// ofIPAMClaim makes the claim that a pod names if that is the name of an IPAMClaim, with which it ends; unknown is the answer if it is
// not. It serves whichever pod names it, as the IPAMClaim does.
func (r *PodReconciler) ofIPAMClaim(ctx context.Context, want *v1alpha1.MacClaim, unknown error) (*v1alpha1.MacClaim, error) {
	ipam := &metav1.PartialObjectMetadata{}
	ipam.SetGroupVersionKind(kindIPAMClaim)
	err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(want), ipam)
	switch {
	case apierrors.IsNotFound(err), apimeta.IsNoMatchError(err), err == nil && !ipam.DeletionTimestamp.IsZero():
		return nil, unknown
	case err != nil:
		return nil, fmt.Errorf("reading IPAMClaim %s: %w", client.ObjectKeyFromObject(want), err)
	}
	want.Spec.Workload = nil
	want.Labels[v1alpha1.LabelIPAMClaim] = ""
	return r.ensure(ctx, want)
}

// ensure makes the claim, or one that is there serve. One that macpool made for another wish makes way if nothing holds
// it; it is made again when it is gone.
func (r *PodReconciler) ensure(ctx context.Context, want *v1alpha1.MacClaim) (*v1alpha1.MacClaim, error) {
	claim, made, err := r.Binder.MakeClaim(ctx, want)
	switch {
	case made:
		r.made.note(claim, r.Clock.Now())
		return claim, nil
	case err == nil:
		return claim, nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil, nil
	case apierrors.IsForbidden(err) || apierrors.IsInvalid(err):
		return nil, problem.ClaimRefused.New(want.Namespace, want.Name, rootCause(err)).WithCause(err)
	case problem.ClaimDiffers.Is(err) && binding.IsManaged(claim) && claim.Status.Holder == nil:
		if r.Gate != nil {
			if err := r.Gate(ctx, claim.Spec.PoolRef.Name); err != nil {
				return nil, err
			}
		}
		err := r.Client.Delete(ctx, claim, client.Preconditions{UID: &claim.UID, ResourceVersion: &claim.ResourceVersion})
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("deleting claim %s: %w", client.ObjectKeyFromObject(claim), err)
		}
		ctrl.LoggerFrom(ctx).Info("Deleted a claim whose pod asks for another address", "claim", claim.Name)
		return nil, nil
	default:
		return nil, err
	}
}

// hold makes the pod the holder of a bound claim, once its node is known. While another pod holds it that pod's node has
// the word; it is said when that lasts.
func (r *PodReconciler) hold(ctx context.Context, pod *corev1.Pod, a attachment, claim *v1alpha1.MacClaim) (time.Duration, error) {
	if claim.Status.LeaseName == "" || !mayHold(pod, claim) {
		return 0, nil
	}
	if holds(claim, pod) {
		return 0, r.promote(ctx, pod, claim)
	}
	holder, err := a.holder(ctx, r.Client, pod)
	if err != nil {
		return 0, err
	}
	_, err = r.Binder.SetHolder(ctx, claim, *holder)
	switch {
	case problem.ClaimHeld.Is(err) && a.Named == "" && binding.Alike(binding.WorkloadOf(pod, a.Interface)):
		return retryRace, nil // another pod of the workload was faster: there is another claim for this one
	case problem.ClaimHeld.Is(err):
		return r.standOff(ctx, pod, claim, *holder)
	case problem.ClaimPromised.Is(err):
		return r.dismiss(ctx, claim, err)
	default:
		return 0, err
	}
}

// holds tells whether the pod holds the claim, be it as the alternate.
func holds(claim *v1alpha1.MacClaim, pod *corev1.Pod) bool {
	return binding.HolderOf(claim, binding.PodUID(pod)) != nil
}

// rootCause is what the API server said, without what was being done.
func rootCause(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Message
	}
	return err.Error()
}
