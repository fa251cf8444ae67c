// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

const (
	// defaultHoldGrace is many times what the API takes to show a pod again that it has lost sight of.
	defaultHoldGrace = 10 * time.Second

	// defaultHoldDoubt is longer than an agent takes to say that the interface of a pod is gone that was deleted by force.
	defaultHoldDoubt = time.Minute

	// defaultHoldPatience is longer than a kubelet takes to end a pod in an orderly way.
	defaultHoldPatience = 10 * time.Minute
)

// HolderReconciler ends holds whose node cannot say any more that they have ended, on evidence (judgeHold), or because an
// administrator says so. It clears no holder that a node can clear.
type HolderReconciler struct {
	// Client reads from the cache, and writes.
	Client client.Client
	// APIReader reads live: no hold ends on the word of a cache.
	APIReader client.Reader
	Binder    *binding.Binder
	Recorder  events.EventRecorder
	// Clock must be monotonic, as time.Now is.
	Clock clock.PassiveClock
	// Gate keeps from ending holds on evidence while the API server may be behind.
	Gate Gate
	// Grace is the least time between the two looks that end a hold; 10 s if zero.
	Grace time.Duration
	// Doubt is how long a pod may be unknown before somebody is told; 1 min if zero.
	Doubt time.Duration
	// Patience is how long a ready node may keep an interface whose pod is gone, before somebody is told; 10 min if zero.
	Patience time.Duration

	looks holdLooks
	// alternates are the looks at alternates.
	alternates holdLooks
}

// +kubebuilder:rbac:groups=macpool.dev,resources=macclaims,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=macpool.dev,resources=macclaims/status,verbs=update;patch
// +kubebuilder:rbac:groups=macpool.dev,resources=macpools;macnodes,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods;nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=k8s.cni.cncf.io,resources=network-attachment-definitions,verbs=list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

func (r *HolderReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	claim := &v1alpha1.MacClaim{}
	if err := r.Client.Get(ctx, req.NamespacedName, claim); err != nil {
		r.looks.forget(req.NamespacedName)
		r.alternates.forget(req.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	switch {
	case asksForce(claim):
		return settle(ctrl.Result{}, r.force(ctx, req.NamespacedName))
	case claim.Status.Holder == nil:
		r.looks.forget(req.NamespacedName)
		return settle(ctrl.Result{}, r.suspect(ctx, claim, holdVerdict{}))
	case claim.Status.Alternate != nil:
		return settle(r.judgeBoth(ctx, claim))
	default:
		return settle(r.judge(ctx, claim))
	}
}

// judge looks at the holder in the cache, and if that shows something to do, live.
func (r *HolderReconciler) judge(ctx context.Context, seen *v1alpha1.MacClaim) (ctrl.Result, error) {
	verdict, err := r.look(ctx, r.Client, seen)
	if err != nil {
		return ctrl.Result{}, err
	}
	if verdict.End.Reason == "" && verdict.Suspect == suspicion(seen).Reason && verdict.words(seen) == suspicion(seen).Message {
		return r.again(verdict), nil
	}
	claim := &v1alpha1.MacClaim{}
	if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(seen), claim); err != nil {
		return ctrl.Result{}, fmt.Errorf("reading claim %s: %w", client.ObjectKeyFromObject(seen), err)
	}
	if claim.UID != seen.UID || claim.Status.Holder == nil || asksForce(claim) {
		return ctrl.Result{RequeueAfter: retryRace}, nil // the cache lags
	}
	verdict, err = r.look(ctx, r.APIReader, claim)
	if err != nil {
		return ctrl.Result{}, err
	}
	if verdict.End.Reason == "" {
		return r.again(verdict), r.suspect(ctx, claim, verdict)
	}
	if wait, err := r.Gate.closed(ctx, claim.Spec.PoolRef.Name); wait > 0 || err != nil {
		return ctrl.Result{RequeueAfter: wait}, err
	}
	_, err = r.end(ctx, claim, verdict.End)
	return ctrl.Result{}, err
}

// look is the verdict on the holder of a claim by what a reader knows.
func (r *HolderReconciler) look(ctx context.Context, reader client.Reader, claim *v1alpha1.MacClaim) (holdVerdict, error) {
	facts, err := r.factsOf(ctx, reader, claim)
	if err != nil {
		return holdVerdict{}, err
	}
	return judgeHold(claim.Status.Holder, facts, r.times()), nil
}

func (r *HolderReconciler) times() holdTimes {
	return holdTimes{Grace: r.Grace, Doubt: r.Doubt, Patience: r.Patience}
}

// again is when the claim is looked at again, whatever events come.
func (r *HolderReconciler) again(v holdVerdict) ctrl.Result {
	switch {
	case v.Again > 0:
		return ctrl.Result{RequeueAfter: min(v.Again, recheck)}
	case v.Suspect != "":
		return ctrl.Result{RequeueAfter: recheck}
	default:
		return ctrl.Result{}
	}
}

// end ends the hold, if the claim is still as it was read, and says so.
func (r *HolderReconciler) end(ctx context.Context, claim *v1alpha1.MacClaim, end binding.End) (*v1alpha1.MacClaim, error) {
	return r.endOne(ctx, claim, claim.Status.Holder, end)
}

// endOne is end of one of the claim's holders.
func (r *HolderReconciler) endOne(
	ctx context.Context, claim *v1alpha1.MacClaim, holder *v1alpha1.Holder, end binding.End,
) (*v1alpha1.MacClaim, error) {
	updated, err := r.Binder.ClearOneAsRead(ctx, claim, holder, end)
	if err != nil {
		return nil, err
	}
	r.looks.forget(client.ObjectKeyFromObject(claim))
	what := fmt.Sprintf("%v (%s)", claim.Status.IPs, claim.Status.MAC)
	if len(claim.Status.IPs) == 0 {
		what = "MAC " + claim.Status.MAC
	}
	note := fmt.Sprintf("Pod %s on node %s holds %s no more: %s", holder.PodName, holder.NodeName, what, end.Evidence)
	r.Recorder.Eventf(claim, nil, corev1.EventTypeNormal, string(end.Reason), "Release", "%s", problem.Cut(note, problem.MaxNote))
	pod, err := podOf(ctx, r.APIReader, claim.Namespace, holder)
	if err == nil && pod != nil {
		r.Recorder.Eventf(pod, nil, corev1.EventTypeWarning, string(end.Reason), "Release", "%s", problem.Cut(note, problem.MaxNote))
	}
	ctrl.LoggerFrom(ctx).Info("Ended a hold", "pod", holder.PodName, "node", holder.NodeName, "generation", holder.Generation,
		"reason", end.Reason, "evidence", end.Evidence)
	return updated, nil
}

// holdLooks are since when this process has found holders as they are: claim -> what, and the time of its own clock. The
// zero value is ready. It is lost with the process, which makes every grace begin anew.
type holdLooks struct {
	mu   sync.Mutex
	last map[types.NamespacedName]lookedAt
}

type lookedAt struct {
	holdLook

	since time.Time
	// met : its pod was there at some look, while the hold was the same.
	met bool
}

// holdLook is what was found of a holder.
type holdLook struct {
	claim, pod types.UID
	generation int64
	podState   podState
	node       binding.NodeState
}

// seen is for how long it has been so, and whether the pod was there before. A change of what is found is the first look anew.
func (l *holdLooks) seen(key types.NamespacedName, now holdLook, at time.Time) (since time.Duration, met bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.last[key]
	if ok && known.holdLook == now {
		return at.Sub(known.since), known.met
	}
	same := ok && known.claim == now.claim && known.pod == now.pod && known.generation == now.generation
	met = now.podState == podAlive || now.podState == podFinished || same && known.met
	if l.last == nil {
		l.last = map[types.NamespacedName]lookedAt{}
	}
	l.last[key] = lookedAt{now, at, met}
	return 0, met
}

func (l *holdLooks) forget(key types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.last, key)
}
