// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/network"
	"github.com/macpool/macpool/internal/problem"
)

// secondLook is how long after a network its pool may come before somebody is told that there is none: the two are often
// applied together, in any order, and seen in another.
const secondLook = 2 * time.Second

// NADReconciler reads networks that name macpool and tells their authors what is wrong with them. It writes nothing but
// events: networks are others' objects. The pool that a network names says the same, by MacPoolReconciler.
type NADReconciler struct {
	// Client reads from the cache.
	Client   client.Client
	Recorder events.EventRecorder

	reports reports

	mu sync.Mutex
	// missed : network -> the pool that it named and that was not there, when last looked.
	missed map[types.NamespacedName]string
}

// +kubebuilder:rbac:groups=k8s.cni.cncf.io,resources=network-attachment-definitions,verbs=list;watch
// +kubebuilder:rbac:groups=macpool.dev,resources=macpools,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

func (r *NADReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := register(ctx, mgr, namersByPool); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).Named("network").
		For(&nadv1.NetworkAttachmentDefinition{}).
		Watches(&v1alpha1.MacPool{}, handler.EnqueueRequestsFromMapFunc(r.ofPool),
			builder.WithPredicates(predicate.Funcs{UpdateFunc: madeAgain})).
		WithOptions(options(1)).
		Complete(r)
}

// madeAgain leaves out changes of a pool: what networks are compared with cannot change, but in a pool that was deleted and
// made again.
func madeAgain(e event.UpdateEvent) bool { return e.ObjectOld.GetUID() != e.ObjectNew.GetUID() }

// ofPool are the networks that name a pool.
func (r *NADReconciler) ofPool(ctx context.Context, pool client.Object) []reconcile.Request {
	var networks nadv1.NetworkAttachmentDefinitionList
	if err := r.Client.List(ctx, &networks, namersByPool.is(pool.GetName()), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not list the networks of a pool", "pool", pool.GetName())
		return nil
	}
	requests := make([]reconcile.Request, 0, len(networks.Items))
	for i := range networks.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&networks.Items[i])})
	}
	return requests
}

func (r *NADReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	nad := &nadv1.NetworkAttachmentDefinition{}
	if err := r.Client.Get(ctx, req.NamespacedName, nad); err != nil {
		r.reports.forget(req.NamespacedName)
		r.missedBefore(req.NamespacedName, "")
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	pool, err := r.poolOf(ctx, nad)
	if err != nil {
		return ctrl.Result{}, err
	}
	var result ctrl.Result
	missing := ""
	findings := map[string]finding{}
	for _, p := range network.Lint(nad, pool) {
		findings[p.Kind.Reason] = findingOf(p)
		if p.Kind == problem.PoolUnknown {
			missing = p.Message
		}
	}
	if !r.missedBefore(req.NamespacedName, missing) && missing != "" {
		delete(findings, problem.PoolUnknown.Reason)
		result.RequeueAfter = secondLook
	}
	for _, f := range r.reports.news(nad, findings) {
		say(r.Recorder, nad, "", f)
	}
	return result, nil
}

// poolOf is the pool that a network names, nil if it names none or there is none.
func (r *NADReconciler) poolOf(ctx context.Context, nad *nadv1.NetworkAttachmentDefinition) (*v1alpha1.MacPool, error) {
	names := poolsOfNetwork(nad)
	if len(names) == 0 {
		return nil, nil
	}
	pool := &v1alpha1.MacPool{}
	if err := client.IgnoreNotFound(r.Client.Get(ctx, types.NamespacedName{Name: names[0]}, pool)); err != nil {
		return nil, fmt.Errorf("reading pool %s: %w", names[0], err)
	}
	if pool.UID == "" {
		return nil, nil // it was not found
	}
	return pool, nil
}

// missedBefore tells whether the network missed the same pool when it was last looked at, and remembers which it misses
// now; empty for none.
func (r *NADReconciler) missedBefore(key types.NamespacedName, pool string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.missed[key]
	if pool == "" {
		delete(r.missed, key)
		return false
	}
	if r.missed == nil {
		r.missed = map[types.NamespacedName]string{}
	}
	r.missed[key] = pool
	return before == pool
}
