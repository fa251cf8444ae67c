// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/view"
)

// MacClaimReconciler binds claims, and deletes those that macpool made and nobody needs any more.
type MacClaimReconciler struct {
	// Client reads from the cache, and writes.
	Client client.Client
	// APIReader reads live: nothing ends on the word of a cache.
	APIReader client.Reader
	Binder    *binding.Binder
	// Feed fills the Binder's index. No claim is bound before it is synced.
	Feed     *view.Feed
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
	// Wake brings claims that are worth another try.
	Wake <-chan event.TypedGenericEvent[*v1alpha1.MacClaim]
	// Brake holds removals back; nil for none.
	Brake *Brake
	// Gate keeps from deleting anything while the API server may be behind.
	Gate Gate

	// ends are the claims whose workload was deleted.
	ends deletions[v1alpha1.WorkloadKind]
}

// +kubebuilder:rbac:groups=macpool.dev,resources=macclaims,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=macpool.dev,resources=macclaims/status,verbs=update;patch
// +kubebuilder:rbac:groups=macpool.dev,resources=macleases,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups=macpool.dev,resources=macpools,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=pods;nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=statefulsets,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

func (r *MacClaimReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	claim := &v1alpha1.MacClaim{}
	if err := r.Client.Get(ctx, req.NamespacedName, claim); err != nil {
		r.Brake.settled(claimCandidate(req.NamespacedName))
		r.ends.forget(req.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !claim.DeletionTimestamp.IsZero() {
		// By somebody's finalizer, since it has none of ours. Its lease stays with it until it is gone.
		return ctrl.Result{}, nil
	}
	return settle(r.serve(ctx, claim))
}

// serve gives the claim its lease, unless its workload is gone, and writes what came of it.
func (r *MacClaimReconciler) serve(ctx context.Context, claim *v1alpha1.MacClaim) (ctrl.Result, error) {
	verdict, err := r.judge(ctx, claim)
	if err != nil {
		return ctrl.Result{}, err
	}
	if verdict.Remove {
		return r.remove(ctx, claim)
	}
	claim, trouble, err := r.lease(ctx, claim, verdict)
	if errors.Is(err, errUnbound) {
		return ctrl.Result{RequeueAfter: retryRace}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	switch {
	case trouble == nil:
	case trouble.Kind == problem.ClaimDeleting:
		return ctrl.Result{}, nil // the deletion is an event of its own
	case trouble.Kind == problem.PoolExhausted && r.Feed.Index.Count(claim.Spec.PoolRef.Name).Available > 0:
		// What is left is in the hands of attempts that may fail, of which no event would tell.
		return ctrl.Result{RequeueAfter: retryRace}, nil
	}
	updated := claim.DeepCopy()
	setEnded(updated, verdict, r.Clock.Now())
	setReady(updated, trouble)
	changed, err := r.writeStatus(ctx, claim, updated)
	var result ctrl.Result
	switch {
	case trouble != nil && trouble.Kind == problem.AllocationPaused:
		// The gate may have looked just before the pool went on, whose waiting claims were woken then.
		result.RequeueAfter = retryClosed
	case trouble != nil && changed:
		// What cures it may have come before the condition by which waiting claims are found and woken.
		result.RequeueAfter = retryNew
	case trouble != nil:
		result.RequeueAfter = retryProblem
	case verdict.Ended:
		result.RequeueAfter = min(verdict.Left, recheck)
	case verdict.Look:
		result.RequeueAfter = recheck
	}
	return result, err
}

// lease is the claim with its lease, or what keeps it from one.
func (r *MacClaimReconciler) lease(ctx context.Context, claim *v1alpha1.MacClaim, verdict life) (*v1alpha1.MacClaim, *problem.Error, error) {
	switch {
	case claim.Status.LeaseName != "":
		trouble, err := r.lostLease(ctx, claim)
		if trouble != nil && trouble.Kind == problem.LeaseLost && claim.Status.Holder == nil {
			return claim, nil, r.unbind(ctx, claim)
		}
		return claim, trouble, err
	case verdict.Ended:
		return claim, nil, nil
	}
	bound, err := r.bind(ctx, claim)
	if trouble := problem.As(err); trouble != nil {
		return claim, trouble, nil
	}
	return bound, nil, err
}

// bind asks the pool, then binds. The errors that a person can cure are problems of the catalogue.
func (r *MacClaimReconciler) bind(ctx context.Context, claim *v1alpha1.MacClaim) (*v1alpha1.MacClaim, error) {
	pool := &v1alpha1.MacPool{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: claim.Spec.PoolRef.Name}, pool); apierrors.IsNotFound(err) {
		return nil, problem.PoolUnknown.New(claim.Spec.PoolRef.Name)
	} else if err != nil {
		return nil, fmt.Errorf("reading pool %s: %w", claim.Spec.PoolRef.Name, err)
	}
	namespace := &corev1.Namespace{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: claim.Namespace}, namespace); err != nil {
		return nil, fmt.Errorf("reading namespace %s: %w", claim.Namespace, err)
	}
	if err := binding.Admit(pool, namespace); err != nil {
		return nil, err
	}
	holder, err := r.holder(ctx, claim, pool)
	if err != nil {
		return nil, err
	}
	return r.Binder.Bind(ctx, claim, pool, holder)
}

// holder is the holder that a claim can be given along with its lease: its workload's pod, if that is scheduled and asks
// for this claim. Later, and for claims of people, the PodReconciler sets it.
func (r *MacClaimReconciler) holder(ctx context.Context, claim *v1alpha1.MacClaim, pool *v1alpha1.MacPool) (*v1alpha1.Holder, error) {
	if claim.Spec.Workload == nil || binding.PodName(*claim.Spec.Workload) == "" {
		return nil, nil
	}
	pod := &corev1.Pod{}
	key := client.ObjectKey{Namespace: claim.Namespace, Name: binding.PodName(*claim.Spec.Workload)}
	if err := r.Client.Get(ctx, key, pod); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if !mayHold(pod, claim) {
		return nil, nil
	}
	attachments, err := attachmentsOf(ctx, r.Client, pod)
	if err != nil {
		return nil, err
	}
	for _, a := range attachments {
		if a.Err != nil {
			continue
		}
		workload := binding.WorkloadOf(pod, a.Interface)
		if key, _, err := a.find(ctx, r.Client, pod, workload); err != nil || key.Name != claim.Name {
			if err != nil {
				return nil, err
			}
			continue
		}
		if other, err := a.heldBy(ctx, r.Client, pod); other != nil || err != nil {
			return nil, err // it was made under a running pod, whose next one gets it
		}
		if want, err := a.claim(pod, pool, workload); err == nil && binding.Serves(claim, want) == nil {
			return a.holder(ctx, r.Client, pod)
		}
	}
	return nil, nil
}

// errUnbound: the claim has lost its lease, and is to be bound anew when the cache shows it without.
var errUnbound = errors.New("the claim was unbound")

// unbind takes from a claim that nothing holds the lease that has become another claim's: it gets another one, or the same
// again if that was left by a claim of its name.
func (r *MacClaimReconciler) unbind(ctx context.Context, claim *v1alpha1.MacClaim) error {
	if r.Gate != nil {
		if err := r.Gate(ctx, claim.Spec.PoolRef.Name); err != nil {
			return err
		}
	}
	// Without an end: if a pod has become its holder meanwhile, it stays.
	if err := r.Binder.Unbind(ctx, client.ObjectKeyFromObject(claim), claim.UID, claim.Status.LeaseName, binding.End{}); err != nil {
		return err
	}
	ctrl.LoggerFrom(ctx).Info("A claim that nothing holds has lost its lease, and gets another", "lease", claim.Status.LeaseName)
	return errUnbound
}

// lostLease tells whether a bound claim's lease has become another claim's. While something holds the claim it is only said:
// which of the two is in use no controller can know.
func (r *MacClaimReconciler) lostLease(ctx context.Context, claim *v1alpha1.MacClaim) (*problem.Error, error) {
	lease := &v1alpha1.MacLease{}
	for _, reader := range []client.Reader{r.Client, r.APIReader} {
		err := reader.Get(ctx, client.ObjectKey{Name: claim.Status.LeaseName}, lease)
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		if err == nil && lease.Spec.ClaimRef.UID == claim.UID {
			return inConflict(lease), nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading lease %s: %w", claim.Status.LeaseName, err)
		}
	}
	ref := lease.Spec.ClaimRef
	return problem.LeaseLost.New(lease.Name, claim.Namespace, claim.Name, ref.Namespace, ref.Name), nil
}

// inConflict is the trouble of a claim whose address a stranger uses. The claim keeps it: what it may get instead, and whether, its pod's
// node decides, which has asked the VLAN.
func inConflict(lease *v1alpha1.MacLease) *problem.Error {
	if lease.Spec.Conflict == nil {
		return nil
	}
	ips := make([]string, len(lease.Spec.IPs))
	for i, ip := range lease.Spec.IPs {
		ips[i] = string(ip)
	}
	return problem.AddressConflict.New(strings.Join(ips, " or "), lease.Spec.Conflict.MAC)
}

// writeStatus writes the conditions if they have changed.
func (r *MacClaimReconciler) writeStatus(ctx context.Context, from, to *v1alpha1.MacClaim) (changed bool, err error) {
	if sameConditions(from.Status.Conditions, to.Status.Conditions) {
		return false, nil
	}
	if err := r.Client.Status().Patch(ctx, to, client.MergeFromWithOptions(from, client.MergeFromWithOptimisticLock{})); err != nil {
		return false, fmt.Errorf("writing the conditions of claim %s: %w", client.ObjectKeyFromObject(to), err)
	}
	return true, nil
}

const (
	// retryProblem is how long after a problem its claim or pod is looked at again, if no watch has seen it cured before.
	retryProblem = 30 * time.Second

	// retryRace is how long to wait after another writer was faster: until the cache has seen what that one wrote.
	retryRace = 250 * time.Millisecond

	// retryNew is how soon after a problem was first said its claim is looked at again.
	retryNew = time.Second

	// recheck bounds all longer waits, in case that what they wait for is changed.
	recheck = 10 * time.Minute
)

// settle turns losing a race into another try: it is neither an error nor a condition, since the other writer got on.
func settle(result ctrl.Result, err error) (ctrl.Result, error) {
	if isUnsettled(err) {
		return ctrl.Result{RequeueAfter: retryClosed}, nil
	}
	if errors.Is(err, errNoClaims) {
		return ctrl.Result{RequeueAfter: retryProblem}, nil
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		return ctrl.Result{RequeueAfter: retryRace}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return result, nil
}
