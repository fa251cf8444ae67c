// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/view"
)

// claimWorkers bind at once. Each waits for the API server most of its time; nothing depends on their number.
const claimWorkers = 16

func (r *MacClaimReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := register(ctx, mgr, claimsByPod, claimsByFamily, claimsBySet, claimsWithoutLease); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("macclaim").
		For(&v1alpha1.MacClaim{}, builder.WithPredicates(predicate.Funcs{UpdateFunc: claimChanged})).
		WatchesRawSource(since(mgr, &v1alpha1.MacClaim{}, handler.EnqueueRequestsFromMapFunc(r.besides), onUpdate(neverOnUpdate))).
		WatchesRawSource(since(mgr, &v1alpha1.MacClaim{}, handler.EnqueueRequestsFromMapFunc(r.alike), onUpdate(holderChanged))).
		WatchesRawSource(synced{r.Feed}).
		WatchesRawSource(source.Channel(r.Wake, &handler.TypedEnqueueRequestForObject[*v1alpha1.MacClaim]{})).
		WatchesRawSource(since(mgr, &corev1.Pod{}, r.ends.noting(r.ofPod, v1alpha1.WorkloadPod), onUpdate(podFinishedNow))).
		Watches(&appsv1.StatefulSet{}, r.ends.noting(r.ofSet, v1alpha1.WorkloadStatefulSet), builder.OnlyMetadata,
			builder.WithPredicates(predicate.Funcs{CreateFunc: madeSince, UpdateFunc: neverOnUpdate})).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.waitingIn),
			builder.WithPredicates(predicate.LabelChangedPredicate{}, predicate.Funcs{CreateFunc: madeSince})).
		WithOptions(options(claimWorkers)).
		Complete(r)
}

// claimChanged leaves out changes of conditions only. They are this controller's own; two replicas that phrase one problem
// differently must not go on correcting each other.
func claimChanged(e event.UpdateEvent) bool {
	from, ok := e.ObjectOld.(*v1alpha1.MacClaim)
	to, isClaim := e.ObjectNew.(*v1alpha1.MacClaim)
	if !ok || !isClaim {
		return true
	}
	return from.UID != to.UID || from.Generation != to.Generation ||
		from.DeletionTimestamp.IsZero() != to.DeletionTimestamp.IsZero() ||
		!labels.Equals(from.Labels, to.Labels) ||
		from.Status.LeaseName != to.Status.LeaseName || (from.Status.Holder == nil) != (to.Status.Holder == nil)
}

// podFinishedNow leaves out what does not end or revive a workload.
func podFinishedNow(e event.UpdateEvent) bool {
	from, ok := e.ObjectOld.(*corev1.Pod)
	to, isPod := e.ObjectNew.(*corev1.Pod)
	return !ok || !isPod || from.UID != to.UID || stateOf(from) != stateOf(to)
}

// ofPod are the claims of the workload whose pod it is.
func (r *MacClaimReconciler) ofPod(ctx context.Context, pod client.Object) []reconcile.Request {
	requests := claimsIn(ctx, r.Client, client.InNamespace(pod.GetNamespace()), claimsByPod.is(pod.GetName()))
	if p, ok := pod.(*corev1.Pod); ok && selectsNetworks(p) {
		if w := binding.WorkloadOf(p, ""); binding.PodName(w) == "" {
			requests = append(requests, claimsIn(ctx, r.Client, client.InNamespace(p.Namespace), claimsByFamily.is(binding.FamilyOf(w)))...)
		}
	}
	return requests
}

// holderChanged leaves out what changes nothing about which claims of a workload are held.
func holderChanged(e event.UpdateEvent) bool {
	from, ok := e.ObjectOld.(*v1alpha1.MacClaim)
	to, isClaim := e.ObjectNew.(*v1alpha1.MacClaim)
	return !ok || !isClaim || !binding.SamePod(from.Status.Holder, to.Status.Holder) && (from.Status.Holder != nil || to.Status.Holder != nil)
}

// alike are the claims without holder beside one whose pods are alike: which of them are needed depends on who holds it.
func (r *MacClaimReconciler) alike(ctx context.Context, object client.Object) []reconcile.Request {
	claim, ok := object.(*v1alpha1.MacClaim)
	if !ok || claim.Spec.Workload == nil || !binding.Alike(*claim.Spec.Workload) {
		return nil
	}
	claims, err := kin(ctx, r.Client, claim.Namespace, *claim.Spec.Workload)
	if err != nil {
		return nil
	}
	var requests []reconcile.Request
	for i := range claims {
		if claims[i].Status.Holder == nil && claims[i].Name != claim.Name {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&claims[i])})
		}
	}
	return requests
}

// ofSet are the claims of a StatefulSet.
func (r *MacClaimReconciler) ofSet(ctx context.Context, set client.Object) []reconcile.Request {
	return claimsIn(ctx, r.Client, client.InNamespace(set.GetNamespace()), claimsBySet.is(set.GetName()))
}

// besides are the claims of the workload for which a person has made one, which ends them, or deleted it, which ends that.
func (r *MacClaimReconciler) besides(ctx context.Context, object client.Object) []reconcile.Request {
	claim, ok := object.(*v1alpha1.MacClaim)
	if !ok || claim.Spec.Workload == nil || binding.IsManaged(claim) {
		return nil
	}
	if name := binding.PodName(*claim.Spec.Workload); name != "" {
		return claimsIn(ctx, r.Client, client.InNamespace(claim.Namespace), claimsByPod.is(name))
	}
	return claimsIn(ctx, r.Client, client.InNamespace(claim.Namespace), claimsByFamily.is(binding.FamilyOf(*claim.Spec.Workload)))
}

// waitingIn are the claims of a namespace that have no lease.
func (r *MacClaimReconciler) waitingIn(ctx context.Context, namespace client.Object) []reconcile.Request {
	return claimsIn(ctx, r.Client, client.InNamespace(namespace.GetName()), claimsWithoutLease.is(yes))
}

// claimsIn are the claims that the cache has under the given options.
func claimsIn(ctx context.Context, reader client.Reader, options ...client.ListOption) []reconcile.Request {
	var claims v1alpha1.MacClaimList
	if err := reader.List(ctx, &claims, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not list claims")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(claims.Items))
	for i := range claims.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&claims.Items[i])})
	}
	return requests
}

// synced is a source of no events, for which a controller waits before it works: until the index knows all leases.
type synced struct{ feed *view.Feed }

func (s synced) Start(context.Context, workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	return nil
}

func (s synced) WaitForSync(ctx context.Context) error { return s.feed.WaitForSync(ctx) }
