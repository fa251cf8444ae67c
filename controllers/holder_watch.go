// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
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

const holderWorkers = 8

func (r *HolderReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if r.Grace == 0 {
		r.Grace = defaultHoldGrace
	}
	if r.Doubt == 0 {
		r.Doubt = defaultHoldDoubt
	}
	if r.Patience == 0 {
		r.Patience = defaultHoldPatience
	}
	if err := register(ctx, mgr, claimsByHolder, claimsByNode, claimsByHeldLease, askedByPool); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("holder").
		For(&v1alpha1.MacClaim{}, builder.WithPredicates(predicate.Funcs{UpdateFunc: holdChanged})).
		WatchesRawSource(since(mgr, &corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(r.ofPod), onUpdate(podFinishedNow))).
		WatchesRawSource(since(mgr, &corev1.Node{}, handler.EnqueueRequestsFromMapFunc(r.onNode), onUpdate(nodeChanged))).
		WatchesRawSource(since(mgr, &v1alpha1.MacNode{}, handler.EnqueueRequestsFromMapFunc(r.ofAnswers), onUpdate(answersChanged))).
		WithOptions(options(holderWorkers)).
		Complete(r)
}

// holdChanged leaves out what does not concern the hold. Changes of the condition are this controller's own.
func holdChanged(e event.UpdateEvent) bool {
	from, ok := e.ObjectOld.(*v1alpha1.MacClaim)
	to, isClaim := e.ObjectNew.(*v1alpha1.MacClaim)
	return !ok || !isClaim || from.UID != to.UID || asksForce(to) || !sameHold(from.Status.Holder, to.Status.Holder) ||
		!sameHold(from.Status.Alternate, to.Status.Alternate) ||
		to.Status.Holder == nil && suspicion(to).Reason != ""
}

func sameHold(a, b *v1alpha1.Holder) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.PodUID == b.PodUID && a.Generation == b.Generation
}

// nodeChanged leaves out the many updates of a Node that say nothing new of whether it is there.
func nodeChanged(e event.UpdateEvent) bool {
	from, ok := e.ObjectOld.(*corev1.Node)
	to, isNode := e.ObjectNew.(*corev1.Node)
	if !ok || !isNode {
		return true
	}
	anybody := &v1alpha1.Holder{}
	return from.UID != to.UID || binding.StateOfNode(from, anybody) != binding.StateOfNode(to, anybody)
}

// answersChanged leaves out the reports of nodes that have heard nothing new.
func answersChanged(e event.UpdateEvent) bool {
	from, ok := e.ObjectOld.(*v1alpha1.MacNode)
	to, isNode := e.ObjectNew.(*v1alpha1.MacNode)
	return !ok || !isNode || !equality.Semantic.DeepEqual(from.Status.Answers, to.Status.Answers)
}

// ofPod are the claims that a pod of the name holds.
func (r *HolderReconciler) ofPod(ctx context.Context, pod client.Object) []reconcile.Request {
	return claimsIn(ctx, r.Client, client.InNamespace(pod.GetNamespace()), claimsByHolder.is(pod.GetName()))
}

// onNode are the claims that pods of the node hold.
func (r *HolderReconciler) onNode(ctx context.Context, node client.Object) []reconcile.Request {
	return claimsIn(ctx, r.Client, claimsByNode.is(node.GetName()))
}

// ofAnswers are the claims about which a node has answered.
func (r *HolderReconciler) ofAnswers(ctx context.Context, object client.Object) []reconcile.Request {
	node, ok := object.(*v1alpha1.MacNode)
	if !ok {
		return nil
	}
	var requests []reconcile.Request
	for _, answer := range node.Status.Answers {
		requests = append(requests, claimsIn(ctx, r.Client, claimsByHeldLease.is(answer.LeaseName))...)
	}
	return requests
}
