// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

const (
	// defaultOrphanAfter is many times what a bind takes between its lease and its claim.
	defaultOrphanAfter = time.Minute

	// absentAfter is how long a lease that a claim names must be absent from the cache before it is looked for: the two are
	// watched apart, and the claim may be seen first.
	absentAfter = time.Second

	leaseWorkers = 8
)

// LeaseReconciler takes released leases through their cooldown and history, and repairs what crashes, races and people
// leave behind. The package comment has the cases.
type LeaseReconciler struct {
	// Client reads from the cache, and writes.
	Client client.Client
	// APIReader reads live: nothing is released on the word of a cache.
	APIReader client.Reader
	Binder    *binding.Binder
	// Clock must be monotonic, as time.Now is: a wall clock that is set does not end a cooldown.
	Clock clock.PassiveClock
	// Wake takes the claims that have lost their lease.
	Wake chan<- event.TypedGenericEvent[*v1alpha1.MacClaim]
	// OrphanAfter is how long a lease may be without a claim that names it; 60 s if zero.
	OrphanAfter time.Duration
	// RestoreGrace is how long a lease that was restored from a backup is kept for its claim; 1 h if zero.
	RestoreGrace time.Duration
	// Brake holds releases back; nil for none.
	Brake *Brake
	// Gate keeps from doing anything while the API server may be behind.
	Gate Gate
	// Metrics gets the collector of what is waited for, if it is set.
	Metrics prometheus.Registerer

	observed observations
	endings  endings
}

// +kubebuilder:rbac:groups=macpool.dev,resources=macleases,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups=macpool.dev,resources=macclaims;macpools,verbs=get;list;watch
// +kubebuilder:rbac:groups=macpool.dev,resources=macclaims/status,verbs=update
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=statefulsets,verbs=get;list;watch

func (r *LeaseReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if r.OrphanAfter == 0 {
		r.OrphanAfter = defaultOrphanAfter
	}
	if err := register(ctx, mgr, claimsByLease, releasedByPool); err != nil {
		return err
	}
	if r.Metrics != nil {
		if err := r.Metrics.Register(leaseCollector{r}); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("maclease").
		For(&v1alpha1.MacLease{}).
		WatchesRawSource(since(mgr, &v1alpha1.MacLease{}, handler.EnqueueRequestsFromMapFunc(r.lockOf))).
		Watches(&v1alpha1.MacClaim{}, claimEvents{handler.EnqueueRequestsFromMapFunc(ofLease), &r.endings}).
		Watches(&v1alpha1.MacPool{}, handler.EnqueueRequestsFromMapFunc(r.releasedOf),
			builder.WithPredicates(predicate.GenerationChangedPredicate{}, predicate.Funcs{CreateFunc: madeSince})).
		WithOptions(options(leaseWorkers)).
		Complete(r)
}

func (r *LeaseReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	lease := &v1alpha1.MacLease{}
	err := r.Client.Get(ctx, req.NamespacedName, lease)
	if err != nil && !apierrors.IsNotFound(err) {
		return ctrl.Result{}, fmt.Errorf("reading lease %s: %w", req.Name, err)
	}
	if err == nil && binding.IsLock(lease) {
		return settle(r.lock(ctx, req.Name))
	}
	var leasedTo types.UID
	if err == nil && lease.Spec.ReleasedAt == nil {
		leasedTo = lease.Spec.ClaimRef.UID
	}
	r.endings.keep(req.Name, leasedTo)
	if leasedTo == "" || lease.Spec.Conflict != nil {
		r.Brake.settled(leaseCandidate(req.Name))
	}
	if err == nil {
		if wait, err := r.Gate.closed(ctx, lease.Spec.PoolName); wait > 0 || err != nil {
			return settle(ctrl.Result{RequeueAfter: wait}, err)
		}
	}
	switch {
	case err != nil:
		return settle(r.absent(ctx, req.Name))
	case lease.Spec.Conflict != nil:
		return settle(r.hold(ctx, lease))
	case lease.Spec.ReleasedAt != nil:
		return settle(r.cool(ctx, lease))
	default:
		return settle(r.verify(ctx, lease))
	}
}

// verify is cases 1 to 4 and 6.
func (r *LeaseReconciler) verify(ctx context.Context, lease *v1alpha1.MacLease) (ctrl.Result, error) {
	disputed, err := r.reportDuplicate(ctx, lease)
	if err != nil {
		return ctrl.Result{}, err
	}
	claim, err := claimOf(ctx, r.Client, lease)
	switch {
	case err != nil:
		return ctrl.Result{}, err
	case claim == nil && disputed:
		return ctrl.Result{}, nil // case 6 outlasts one of the two
	case claim == nil:
		return r.end(ctx, lease)
	case claim.Status.LeaseName == lease.Name:
		r.Brake.settled(leaseCandidate(lease.Name))
		r.observed.forget(lease.Name)
		if err := r.mirrorHolder(ctx, lease, claim); err != nil {
			return ctrl.Result{}, err
		}
		return ctrl.Result{}, r.relock(ctx, lease)
	}
	now := r.Clock.Now()
	first := r.observed.first(lease.Name, observation{uid: lease.UID, kind: orphaned, stamp: lease.Spec.LeasedAt.Time}, now)
	if wait := r.OrphanAfter - now.Sub(first); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	return ctrl.Result{}, r.releaseOrphan(ctx, lease)
}

// releaseOrphan is the end of cases 2 and 3: what the cache says is asked again, the lease first.
func (r *LeaseReconciler) releaseOrphan(ctx context.Context, seen *v1alpha1.MacLease) error {
	lease, err := r.live(ctx, seen)
	if lease == nil || lease.Spec.ReleasedAt != nil || lease.Spec.Conflict != nil || lease.Spec.ClaimRef != seen.Spec.ClaimRef ||
		!lease.Spec.LeasedAt.Equal(&seen.Spec.LeasedAt) {
		return err // the event of what has happened is on its way
	}
	claim, err := claimOf(ctx, r.APIReader, lease)
	if err != nil || claim == nil {
		return err // gone in between: case 4
	}
	ref := lease.Spec.ClaimRef
	entry := v1alpha1.LeaseHistory{Reason: v1alpha1.EndOrphaned}
	switch {
	case claim.Status.LeaseName == "":
		// Whoever made the lease may only be slow, and still about to record it. With a newer version of the claim that
		// write cannot succeed, and finds the lease released. Who reads the claim after this writes the lease first.
		claim.Status.Generation++
		if err := r.Client.Status().Update(ctx, claim); err != nil {
			return fmt.Errorf("voiding the bind of claim %s: %w", client.ObjectKeyFromObject(claim), err)
		}
		entry.Evidence = "its claim never got it"
	case claim.Status.LeaseName != lease.Name:
		entry.Evidence = "its claim has another lease"
	default:
		return nil
	}
	if err := r.Binder.ReleaseAsRead(ctx, lease, entry); err != nil {
		return err
	}
	ctrl.LoggerFrom(ctx).Info("Released a lease that no claim names", "claimNamespace", ref.Namespace, "claim", ref.Name, "evidence", entry.Evidence)
	return nil
}

// mirrorHolder copies the holder's pod and node into the lease: for readers of kubectl get macleases, and for its history, if the claim
// is not there any more to be asked. When the holder is cleared the node goes, since case 4 rests on it, and the pod stays.
func (r *LeaseReconciler) mirrorHolder(ctx context.Context, lease *v1alpha1.MacLease, claim *v1alpha1.MacClaim) error {
	node, pod := mirrored(lease, claim)
	if lease.Spec.NodeName == node && lease.Spec.PodName == pod {
		return nil
	}
	// The claim in the cache may be older than what another replica has mirrored. Two that see claims at different times would
	// write over each other without end.
	now, err := claimOf(ctx, r.APIReader, lease)
	if now == nil || now.Status.LeaseName != lease.Name {
		return err // the event of what has happened is on its way
	}
	node, pod = mirrored(lease, now)
	if lease.Spec.NodeName == node && lease.Spec.PodName == pod {
		return nil
	}
	lease.Spec.NodeName, lease.Spec.PodName = node, pod
	if err := r.Client.Update(ctx, lease); err != nil {
		return fmt.Errorf("writing the holder of lease %s: %w", lease.Name, err)
	}
	return nil
}

// mirrored are the node and the pod that the lease should name for its claim's holder.
func mirrored(lease *v1alpha1.MacLease, claim *v1alpha1.MacClaim) (node, pod string) {
	if holder := claim.Status.Holder; holder != nil {
		return holder.NodeName, holder.PodName
	}
	return "", lease.Spec.PodName
}

// live is the lease as it is now, nil if it is not that object any more.
func (r *LeaseReconciler) live(ctx context.Context, seen *v1alpha1.MacLease) (*v1alpha1.MacLease, error) {
	lease := &v1alpha1.MacLease{}
	if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(seen), lease); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if lease.UID != seen.UID {
		return nil, nil
	}
	return lease, nil
}

// errNoClaims : an API server that does not know claims at all, because their CRD is gone or was not seen there yet, has not said
// that one of them is gone.
var errNoClaims = errors.New("the API server knows no MacClaims")

// claimOf is the claim that the lease names, nil if there is none with that UID.
func claimOf(ctx context.Context, reader client.Reader, lease *v1alpha1.MacLease) (*v1alpha1.MacClaim, error) {
	ref := lease.Spec.ClaimRef
	claim := &v1alpha1.MacClaim{}
	err := reader.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, claim)
	switch {
	case apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse), apimeta.IsNoMatchError(err):
		return nil, fmt.Errorf("reading claim %s/%s: %w: %w", ref.Namespace, ref.Name, errNoClaims, err)
	case apierrors.IsNotFound(err), err == nil && claim.UID != ref.UID:
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading claim %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	return claim, nil
}

// ofLease is the lease that a claim names.
func ofLease(_ context.Context, object client.Object) []reconcile.Request {
	claim, ok := object.(*v1alpha1.MacClaim)
	if !ok || claim.Status.LeaseName == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: claim.Status.LeaseName}}}
}

// releasedOf are the released leases of a pool, whose times may have changed.
func (r *LeaseReconciler) releasedOf(ctx context.Context, pool client.Object) []reconcile.Request {
	var leases v1alpha1.MacLeaseList
	if err := r.Client.List(ctx, &leases, releasedByPool.is(pool.GetName()), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not list the leases of a pool", "pool", pool.GetName())
		return nil
	}
	requests := make([]reconcile.Request, 0, len(leases.Items))
	for i := range leases.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&leases.Items[i])})
	}
	return requests
}
