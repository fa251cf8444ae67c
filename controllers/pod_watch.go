// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/view"
)

// podWorkers make claims at once. Each waits for the API server most of its time; nothing depends on their number.
const podWorkers = 16

func (r *PodReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := register(ctx, mgr, podsByNetwork, podsByClaim, podsByVM, networksByPool); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("pod").
		For(&corev1.Pod{}, builder.WithPredicates(predicate.Funcs{
			CreateFunc: func(e event.CreateEvent) bool { return concernsUs(e.Object) },
			UpdateFunc: func(e event.UpdateEvent) bool { return concernsUs(e.ObjectOld) || concernsUs(e.ObjectNew) },
		})).
		WatchesRawSource(since(mgr, &v1alpha1.MacClaim{}, r.bereft.noting(r.ofClaim, struct{}{}))).
		Watches(&nadv1.NetworkAttachmentDefinition{}, handler.EnqueueRequestsFromMapFunc(r.ofNetwork),
			builder.WithPredicates(predicate.Funcs{CreateFunc: madeSince})).
		Watches(&v1alpha1.MacPool{}, handler.EnqueueRequestsFromMapFunc(r.ofPool),
			builder.WithPredicates(predicate.Funcs{CreateFunc: madeSince, UpdateFunc: poolJudgedAnew})).
		WithOptions(options(podWorkers)).
		Complete(r)
}

// selectsNetworks tells the pods with interfaces beside the cluster's from the many others.
func selectsNetworks(pod client.Object) bool {
	return pod.GetAnnotations()[nadv1.NetworkAttachmentAnnot] != ""
}

// concernsUs tells the pods with interfaces beside the cluster's, or with our gate, from the others.
func concernsUs(object client.Object) bool {
	pod, ok := object.(*corev1.Pod)
	return selectsNetworks(object) || ok && view.IsGated(pod)
}

// madeSince leaves out what was there when the controller started, as since does: it is for kinds of which there are few.
func madeSince(e event.CreateEvent) bool { return !e.IsInInitialList }

// poolJudgedAnew leaves out changes of a pool's counts, which concern no pod.
func poolJudgedAnew(e event.UpdateEvent) bool {
	from, ok := e.ObjectOld.(*v1alpha1.MacPool)
	to, isPool := e.ObjectNew.(*v1alpha1.MacPool)
	return !ok || !isPool || from.UID != to.UID || from.Generation != to.Generation || isReady(from) != isReady(to)
}

// ofClaim are the pods that the claim may be for: those that name it, and the pod of its workload. One that names no workload
// serves the pod whose interface would be given its name, too, or whose network names it: one of those that select a network of its
// pool.
func (r *PodReconciler) ofClaim(ctx context.Context, object client.Object) []reconcile.Request {
	claim, ok := object.(*v1alpha1.MacClaim)
	if !ok {
		return nil
	}
	if claim.Spec.Workload == nil {
		return append(r.podsOf(ctx, podsByClaim.is(claim.Name), client.InNamespace(claim.Namespace)),
			r.podsOfPool(ctx, claim.Spec.PoolRef.Name, client.InNamespace(claim.Namespace))...)
	}
	var requests []reconcile.Request
	switch name := binding.PodName(*claim.Spec.Workload); {
	case name != "":
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: claim.Namespace, Name: name}})
	case claim.Spec.Workload.Kind == v1alpha1.WorkloadVM:
		requests = r.podsOf(ctx, podsByVM.is(claim.Spec.Workload.Name), client.InNamespace(claim.Namespace))
	default:
		requests = r.ofKin(ctx, claim)
	}
	return append(requests, r.podsOf(ctx, podsByClaim.is(claim.Name), client.InNamespace(claim.Namespace))...)
}

// ofNetwork are the pods that select a network: one that was made or corrected after them changes what they get.
func (r *PodReconciler) ofNetwork(ctx context.Context, nad client.Object) []reconcile.Request {
	return r.podsOfNetwork(ctx, nad)
}

// ofPool are the pods whose networks name the pool.
func (r *PodReconciler) ofPool(ctx context.Context, pool client.Object) []reconcile.Request {
	return r.podsOfPool(ctx, pool.GetName())
}

func (r *PodReconciler) podsOfPool(ctx context.Context, pool string, options ...client.ListOption) []reconcile.Request {
	var networks nadv1.NetworkAttachmentDefinitionList
	if err := r.Client.List(ctx, &networks, networksByPool.is(pool), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not list the networks of a pool", "pool", pool)
		return nil
	}
	var requests []reconcile.Request
	for i := range networks.Items {
		requests = append(requests, r.podsOfNetwork(ctx, &networks.Items[i], options...)...)
	}
	return requests
}

func (r *PodReconciler) podsOfNetwork(ctx context.Context, nad client.Object, options ...client.ListOption) []reconcile.Request {
	return r.podsOf(ctx, append(options, podsByNetwork.is(client.ObjectKeyFromObject(nad).String()))...)
}

// podsOf are the pods that the cache has under the given options.
func (r *PodReconciler) podsOf(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not list pods")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(pods.Items))
	for i := range pods.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&pods.Items[i])})
	}
	return requests
}
