// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/timeline"
)

const (
	// defaultRecoveryGrace is how long nodes that the API has forgotten have to come forward. Their agents write every 10 s.
	defaultRecoveryGrace = 30 * time.Second

	// lookInterval is the time between two looks at the MacNodes while nothing is being recovered, recoveryInterval
	// otherwise.
	lookInterval     = 5 * time.Second
	recoveryInterval = 500 * time.Millisecond
)

// Recovery brings the API up to what the nodes know, after an agent has found that it went back in time (R-B1):
//
//  1. a MacNode has a later timeline than a pool: the pool is put on it, and paused
//  2. all MacNodes are on that timeline, but for those of nodes that are fenced or deleted; and nodes that the API has forgotten
//     have had the time to come forward
//  3. what the MacNodes report as attached is written: claims, leases and holders. What cannot be granted is listed
//  4. the pool goes on
//
// All that it knows it reads anew each time, live, so it may be interrupted and run twice. The pools' status is the
// MacPoolReconciler's to write.
type Recovery struct {
	// Client writes. Reader reads live.
	Client client.Client
	Reader client.Reader
	Binder *binding.Binder
	// Gate is told what is seen of the MacNodes.
	Gate     *timeline.Gate
	Recorder events.EventRecorder
	// Clock must be monotonic, as time.Now is.
	Clock clock.WithTicker
	// Grace is how long nodes that the API has forgotten are waited for; 30 s if zero.
	Grace time.Duration

	// began is when this process first saw each timeline.
	began map[int64]time.Time
	// said are the losses that were told: report -> by whom.
	said map[string]bool

	mu       sync.Mutex
	state    recoveryState
	listener func(pool string)
}

// recoveryState is what the pools' status is made of.
type recoveryState struct {
	timeline int64
	message  string
	// resumed are the pools for which all that was reported is written: UID -> on which timeline.
	resumed map[types.UID]int64
}

// +kubebuilder:rbac:groups=macpool.dev,resources=macpools;macnodes,verbs=get;list
// +kubebuilder:rbac:groups=macpool.dev,resources=macleases,verbs=get;list;create;update
// +kubebuilder:rbac:groups=macpool.dev,resources=macclaims,verbs=get;create
// +kubebuilder:rbac:groups=macpool.dev,resources=macclaims/status,verbs=update
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

func (r *Recovery) SetupWithManager(_ context.Context, mgr ctrl.Manager) error {
	if r.Grace == 0 {
		r.Grace = defaultRecoveryGrace
	}
	r.began, r.said = map[int64]time.Time{}, map[string]bool{}
	// Every replica looks, so that one that becomes the leader knows which nodes are away.
	if err := mgr.Add(everyReplica{manager.RunnableFunc(r.watch)}); err != nil {
		return fmt.Errorf("adding the look at MacNodes: %w", err)
	}
	if err := mgr.Add(manager.RunnableFunc(r.run)); err != nil {
		return fmt.Errorf("adding the recovery: %w", err)
	}
	return nil
}

// everyReplica runs with or without leadership.
type everyReplica struct{ manager.Runnable }

// NeedLeaderElection is manager.LeaderElectionRunnable's.
func (everyReplica) NeedLeaderElection() bool { return false }

// ErrWentBack ends a manager of which the caches follow an API server that is no more. Whoever runs it starts it anew.
var ErrWentBack = errors.New("the API server has gone back in time, which the watches do not show: starting anew")

// watch looks at the MacNodes, and ends the manager when they show that the API has gone back.
func (r *Recovery) watch(ctx context.Context) error {
	for {
		if _, err := r.Gate.Nodes(ctx); err != nil && ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).V(1).Info("Could not look at the MacNodes", "error", err.Error())
		}
		timer := r.Clock.NewTimer(lookInterval)
		select {
		case <-r.Gate.WentBack():
			timer.Stop()
			return ErrWentBack
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// run recovers what there is to recover until ctx ends.
func (r *Recovery) run(ctx context.Context) error {
	for {
		unfinished, err := r.round(ctx)
		wait := lookInterval
		if unfinished || err != nil {
			wait = recoveryInterval
		}
		if err != nil && ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).V(1).Info("Could not look at what the nodes report", "error", err.Error())
		}
		timer := r.Clock.NewTimer(wait)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// round takes one look, and the one step that it leads to.
func (r *Recovery) round(ctx context.Context) (unfinished bool, err error) {
	nodes, err := r.Gate.Nodes(ctx)
	if err != nil {
		return false, err
	}
	var pools v1alpha1.MacPoolList
	if err := r.Reader.List(ctx, &pools); err != nil {
		return false, fmt.Errorf("listing pools: %w", err)
	}
	latest, open, goesOn := int64(0), []v1alpha1.MacPool{}, false
	for i := range nodes.Items {
		latest = max(latest, nodes.Items[i].Status.Timeline)
	}
	for i := range pools.Items {
		latest = max(latest, pools.Items[i].Status.Timeline)
	}
	raised := true
	for _, pool := range pools.Items {
		paused := isAllocationPaused(&pool)
		raised = raised && pool.Status.Timeline == latest
		switch {
		case pool.Status.Timeline < latest || paused:
			open = append(open, pool)
		default:
			goesOn = true
		}
	}
	if len(open) == 0 {
		r.publish(latest, "", nil, pools.Items)
		return false, nil
	}
	if _, ok := r.began[latest]; !ok {
		r.began[latest] = r.Clock.Now()
	}
	waiting, err := r.waitedFor(ctx, nodes.Items, latest)
	if err != nil {
		return true, err
	}
	switch left := r.Grace - r.Clock.Since(r.began[latest]); {
	case len(waiting) > 0:
		r.publish(latest, "waiting for the reports of "+timeline.Names(waiting), nil, open)
	case !goesOn && left > 0:
		// Where a pool goes on this timeline has begun before, and a pool that is new to it was made since.
		r.publish(latest, "all nodes that it knows have reported, and those that it has forgotten may come forward", nil, open)
	case !raised:
		r.publish(latest, "what the nodes have reported is being written", nil, open)
	default:
		if err := r.adopt(ctx, nodes.Items, open); err != nil {
			r.publish(latest, "writing what the nodes have reported is being tried again", nil, open)
			return true, err
		}
		r.publish(latest, "what the nodes have reported is being written", open, open)
	}
	return true, nil
}

// waitedFor are the nodes that have not reported on this timeline. One that is fenced can send nothing, and one that was
// deleted is off by the word of who deleted it.
func (r *Recovery) waitedFor(ctx context.Context, nodes []v1alpha1.MacNode, latest int64) ([]string, error) {
	var waiting []string
	for i := range nodes {
		if nodes[i].Status.Timeline >= latest {
			continue
		}
		node, err := nodeOf(ctx, r.Reader, nodes[i].Name)
		if err != nil {
			return nil, err
		}
		if !isOff(node) {
			waiting = append(waiting, nodes[i].Name)
		}
	}
	return waiting, nil
}

// isOff tells whether somebody has said that the machine is off: it has the taint of a fenced node and does not report, or its
// Node, nil, is deleted. A Node that was made again under its name may be the same machine.
func isOff(node *corev1.Node) bool {
	anybody := &v1alpha1.Holder{}
	state := binding.StateOfNode(node, anybody)
	return state == binding.NodeDeleted || state == binding.NodeFenced
}

// wentBackWords begin the message of the condition.
const wentBackWords = "The API server has gone back in time, as after a restore: "

// publish has the pools' status written: message says what is waited for, and resumed are those that go on.
func (r *Recovery) publish(latest int64, message string, resumed, changed []v1alpha1.MacPool) {
	r.mu.Lock()
	same := r.state.timeline == latest && r.state.message == message && len(resumed) == 0
	r.state.timeline, r.state.message = latest, message
	if r.state.resumed == nil {
		r.state.resumed = map[types.UID]int64{}
	}
	for i := range resumed {
		r.state.resumed[resumed[i].UID] = latest
	}
	listener := r.listener
	r.mu.Unlock()
	if same || listener == nil {
		return
	}
	for i := range changed {
		listener(changed[i].Name)
	}
}

// apply writes into a pool's status what the recovery knows of it. A nil Recovery knows nothing.
func (r *Recovery) apply(pool *v1alpha1.MacPool) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s, status := r.state, &pool.Status
	switch {
	case status.Timeline > s.timeline:
		return // it knows more than the last look
	case status.Timeline == s.timeline && (!isAllocationPaused(pool) || s.resumed[pool.UID] == s.timeline):
		apimeta.RemoveStatusCondition(&status.Conditions, v1alpha1.PoolAllocationPaused)
		return
	}
	status.Timeline = s.timeline
	message := s.message
	if message == "" {
		message = "the nodes are being asked what they know"
	}
	apimeta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.PoolAllocationPaused, Status: metav1.ConditionTrue, Reason: v1alpha1.PoolReasonWentBack,
		Message: wentBackWords + message, ObservedGeneration: pool.Generation,
	})
}

func isAllocationPaused(pool *v1alpha1.MacPool) bool {
	return apimeta.IsStatusConditionTrue(pool.Status.Conditions, v1alpha1.PoolAllocationPaused)
}

// recoverySource is the pools that are paused, or go on.
type recoverySource struct{ recovery *Recovery }

// Start implements source.Source.
func (s recoverySource) Start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	if s.recovery == nil {
		return nil
	}
	s.recovery.mu.Lock()
	defer s.recovery.mu.Unlock()
	s.recovery.listener = func(pool string) { queue.Add(reconcile.Request{NamespacedName: client.ObjectKey{Name: pool}}) }
	return nil
}
