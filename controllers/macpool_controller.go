// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/network"
	"github.com/macpool/macpool/internal/view"
)

const (
	// settleLeases is how long changes of leases are gathered before their pool is looked at.
	settleLeases = 50 * time.Millisecond

	// countInterval is how often at most the status of a pool is written while its leases churn; fanOut is to how many agents in a second at most
	// its counts alone go out: all agents hear of each write, and a large cluster's counts are as old as that takes.
	countInterval, fanOut = time.Second, 100

	// healInterval is how soon a status that somebody else has written is corrected, if its event was lost (R-P6).
	healInterval = 30 * time.Second
)

// MacPoolReconciler judges pools and the networks that name them, counts their addresses, and wakes the claims that wait for
// one.
type MacPoolReconciler struct {
	// Client reads from the cache, and writes.
	Client client.Client
	// APIReader reads live: before a pool is called ready, all pools of its segment must be known.
	APIReader client.Reader
	Feed      *view.Feed
	Clock     clock.PassiveClock
	// Wake takes the claims that are worth another try.
	Wake chan<- event.TypedGenericEvent[*v1alpha1.MacClaim]
	// Brake is asked whether releases are held back; nil for none.
	Brake *Brake
	// Recovery says which pools are paused; nil for none ever.
	Recovery *Recovery
	// Metrics gets the collector of what is counted of pools, if it is set.
	Metrics prometheus.Registerer

	networks verdicts

	mu sync.Mutex
	// counted : pool -> when its counts were written last.
	counted map[string]time.Time
	// paced : pool -> for how long after that its counts alone are not written.
	paced map[string]time.Duration
	// judged : pool -> when its conditions were written last.
	judged map[string]time.Time
	// asked : pool -> lease -> when the VLAN was asked about it last.
	asked map[string]map[string]time.Time
	// announced : pool -> the version of it for which all waiting claims were woken.
	announced map[string]poolVersion
}

// poolVersion tells one spec of a pool from others, also of a pool made again under its name.
type poolVersion struct {
	uid        types.UID
	generation int64
}

// +kubebuilder:rbac:groups=macpool.dev,resources=macpools,verbs=get;list;watch
// +kubebuilder:rbac:groups=macpool.dev,resources=macpools/status,verbs=patch
// +kubebuilder:rbac:groups=macpool.dev,resources=macleases;macclaims;macnodes,verbs=list;watch
// +kubebuilder:rbac:groups=k8s.cni.cncf.io,resources=network-attachment-definitions,verbs=list;watch

func (r *MacPoolReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := register(ctx, mgr, waitingByPool, lintedByPool, suspectsByPool, conflictedByPool, strangersByPool, parentsByPool, poolsBySegment); err != nil {
		return err
	}
	if r.Metrics != nil {
		suspects := func(pool string) ([]v1alpha1.MacClaim, error) { return r.suspectsOf(ctx, pool) }
		if err := r.Metrics.Register(collector{r.Feed, r.Client, suspects, r.Brake}); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	r.counted, r.judged, r.paced = map[string]time.Time{}, map[string]time.Time{}, map[string]time.Duration{}
	r.announced, r.asked = map[string]poolVersion{}, map[string]map[string]time.Time{}
	return ctrl.NewControllerManagedBy(mgr).Named("macpool").
		WatchesRawSource(poolSource{synced{r.Feed}}).
		WatchesRawSource(brakeSource{r.Brake}).
		WatchesRawSource(recoverySource{r.Recovery}).
		// Of a change, the pool that the network named before and the one that it names now.
		Watches(&nadv1.NetworkAttachmentDefinition{}, handler.EnqueueRequestsFromMapFunc(poolNamedBy)).
		// Pools are looked at by themselves at the start, when all claims are known.
		WatchesRawSource(since(mgr, &v1alpha1.MacClaim{}, handler.EnqueueRequestsFromMapFunc(ofSuspect), suspicionChanged{})).
		Watches(&v1alpha1.MacNode{}, handler.EnqueueRequestsFromMapFunc(strangersReported.requests), builder.WithPredicates(strangersReported.changed())).
		Watches(&v1alpha1.MacNode{}, handler.EnqueueRequestsFromMapFunc(parentsReported.requests), builder.WithPredicates(parentsReported.changed())).
		WithOptions(options(1)).
		Complete(r)
}

// poolNamedBy is the pool that a network names, whether it exists or not.
func poolNamedBy(_ context.Context, object client.Object) []reconcile.Request {
	nad, ok := object.(*nadv1.NetworkAttachmentDefinition)
	if !ok {
		return nil
	}
	var requests []reconcile.Request
	for _, pool := range poolsOfNetwork(nad) {
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Name: pool}})
	}
	return requests
}

func (r *MacPoolReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	pool := &v1alpha1.MacPool{}
	if err := r.Client.Get(ctx, req.NamespacedName, pool); err != nil {
		r.forget(req.Name)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	verdict, err := r.judge(ctx, pool)
	if err != nil {
		return ctrl.Result{}, err
	}
	var networks nadv1.NetworkAttachmentDefinitionList
	if err := r.Client.List(ctx, &networks, lintedByPool.is(pool.Name), client.UnsafeDisableDeepCopy); err != nil {
		return ctrl.Result{}, fmt.Errorf("listing the networks of pool %s: %w", pool.Name, err)
	}
	suspects, err := r.suspectsOf(ctx, pool.Name)
	if err != nil {
		return ctrl.Result{}, err
	}
	uses, err := r.usesOf(ctx, pool.Name)
	if err != nil {
		return ctrl.Result{}, err
	}
	reach, err := r.reachOf(ctx, pool.Name)
	if err != nil {
		return ctrl.Result{}, err
	}
	updated := pool.DeepCopy()
	setPoolConditions(updated, verdict, r.Feed.Index.Count(pool.Name))
	updated.Status.OwnLeases = number(r.Feed.Index.Own(pool.Name))
	setReleasesPaused(updated, r.Brake)
	r.Recovery.apply(updated)
	updated.Status.Links = network.LinksTo(pool, networks.Items)
	setSuspects(updated, suspects, updated.Status.Links, r.askedOf(pool.Name), r.Clock.Now())
	setConflicts(updated, uses)
	setReach(updated, reach)
	setNetworksCondition(updated, r.networks.of(pool, networks.Items))
	result := ctrl.Result{RequeueAfter: healInterval}
	if !samePoolStatus(pool, updated) {
		if wait := r.notBefore(pool, updated); wait > 0 {
			result.RequeueAfter = min(wait, healInterval)
		} else if err := r.writeStatus(ctx, pool, updated); err != nil {
			return settle(result, err)
		}
	}
	return settle(result, r.wake(ctx, pool))
}

// judge finds what is wrong with a pool. Pools that exist are read live before one is first called ready: of two that
// contradict each other, one that the cache does not show yet may be the older.
func (r *MacPoolReconciler) judge(ctx context.Context, pool *v1alpha1.MacPool) (poolVerdict, error) {
	plan, err := binding.PlanOf(pool)
	if err != nil {
		return poolVerdict{reason: v1alpha1.PoolReasonInvalid, message: sentence(err)}, nil
	}
	var pools v1alpha1.MacPoolList
	if isReady(pool) {
		// Of the segment alone: each of a thousand pools is looked at again and again.
		err = r.Client.List(ctx, &pools, poolsBySegment.is(binding.SegmentOf(pool)), client.UnsafeDisableDeepCopy)
	} else {
		err = r.APIReader.List(ctx, &pools)
	}
	if err != nil {
		return poolVerdict{}, fmt.Errorf("listing pools: %w", err)
	}
	return contradiction(pool, plan, pools.Items), nil
}

// notBefore is how long to wait before the status may be written: a pool whose leases churn is not written with each of
// them. A condition waits only for conditions that were written before: a replica whose watch lags takes what another has
// written for wrong, and two that correct each other must not do it as fast as the API server answers. Counts alone wait for longer the more
// agents there are.
func (r *MacPoolReconciler) notBefore(from, to *v1alpha1.MacPool) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, interval := r.counted[from.Name], countInterval
	switch {
	case !sameConditions(from.Status.Conditions, to.Status.Conditions):
		last = r.judged[from.Name]
	case sameButForCounts(from, to):
		interval = r.paced[from.Name]
	}
	return max(0, interval-r.Clock.Since(last))
}

// agents is how many nodes have reported, as far as the cache knows; none if it does not answer.
func (r *MacPoolReconciler) agents(ctx context.Context) int {
	var nodes v1alpha1.MacNodeList
	if err := r.Client.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return 0
	}
	return len(nodes.Items)
}

func (r *MacPoolReconciler) writeStatus(ctx context.Context, from, to *v1alpha1.MacPool) error {
	if err := r.Client.Status().Patch(ctx, to, client.MergeFromWithOptions(from, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("writing the status of pool %s: %w", from.Name, err)
	}
	// Counted here, and not at each change of a lease.
	r.wrote(from, to, r.agents(ctx))
	return nil
}

// wrote notes what was written.
func (r *MacPoolReconciler) wrote(from, to *v1alpha1.MacPool, agents int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counted[from.Name] = r.Clock.Now()
	r.paced[from.Name] = max(countInterval, time.Duration(agents)*time.Second/fanOut)
	if !sameConditions(from.Status.Conditions, to.Status.Conditions) {
		r.judged[from.Name] = r.Clock.Now()
	}
}

func (r *MacPoolReconciler) forget(name string) {
	r.networks.forget(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.counted, name)
	delete(r.paced, name)
	delete(r.judged, name)
	delete(r.announced, name)
	delete(r.asked, name)
}

// askedOf is when the VLAN was asked about leases of the pool. A pool is reconciled by one worker at a time.
func (r *MacPoolReconciler) askedOf(name string) map[string]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked[name] == nil {
		r.asked[name] = map[string]time.Time{}
	}
	return r.asked[name]
}

// announce tells whether this version of the pool is ready for the first time, or again.
func (r *MacPoolReconciler) announce(pool *v1alpha1.MacPool) bool {
	version := poolVersion{uid: pool.UID, generation: pool.Generation}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.announced[pool.Name] == version {
		return false
	}
	r.announced[pool.Name] = version
	return true
}

// withdraw makes the next announcement of the pool the first again.
func (r *MacPoolReconciler) withdraw(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.announced, name)
}

// poolSource is the pools about which the index has learned something.
type poolSource struct{ synced }

func (s poolSource) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	s.feed.Listen(ctx, func(pool string, cause view.Cause) {
		request := reconcile.Request{NamespacedName: types.NamespacedName{Name: pool}}
		if cause == view.LeaseChanged {
			queue.AddAfter(request, settleLeases)
			return
		}
		queue.Add(request)
	})
	return nil
}
