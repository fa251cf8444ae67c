// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/network"
)

// recheckKept is the time between two looks at a lease that is kept for a pod.
const recheckKept = 10 * time.Second

// end is case 4: the lease's claim is gone, if the API server says so too. A claim has no finalizer, and its lease is given back
// here.
//
// That the claim is gone is final: its UID does not come back, and a bind or a holder that is still under way is a write to
// the claim, which fails. What may be left is an interface. That there is none is said, in this order, by
//
//  1. the event of the deletion: it has the claim as it was last. Without holder nothing was attached (the agent clears the
//     holder after the interface went, and ADD answers after it is set). The admission policy lets no other claim be deleted.
//  2. the lease, if no event came, as after a restart, or the claim was held, as when its CRD was deleted: nodeName
//     follows the holder. Without it no node is known to have had the claim, and the address goes if no pod of the claim's is
//     on a node;
//  3. the pod: with a nodeName, the lease is kept until no pod of the claim's is on any node, at two looks OrphanAfter apart, and as
//     long as that node does not answer and is not fenced.
//
// In the second and third case no node has said anything, and the brake may hold the release back.
//
// Meanwhile the lease stays leased, to nobody but a claim of the same name, which takes it over (binding.Binder). Not covered, because
// nothing that is left says it: a pod that the API has forgotten like its Node, which still runs it; and a holder that an agent
// set while no manager ran, whose claim and pod were both deleted by force before one ran again.
func (r *LeaseReconciler) end(ctx context.Context, seen *v1alpha1.MacLease) (ctrl.Result, error) {
	now := r.Clock.Now()
	since := r.observed.first(seen.Name, observation{uid: seen.UID, kind: claimless, stamp: seen.Spec.LeasedAt.Time}, now)
	last := r.endings.of(seen)
	if left := absentAfter - now.Sub(since); last == nil && left > 0 {
		return ctrl.Result{RequeueAfter: left}, nil // its event may be on its way, or the claim was not seen yet
	}
	lease, err := r.live(ctx, seen)
	if lease == nil || lease.Spec.ReleasedAt != nil || lease.Spec.Conflict != nil || lease.Spec.ClaimRef != seen.Spec.ClaimRef {
		return ctrl.Result{}, err // the event of what has happened is on its way
	}
	claim, err := claimOf(ctx, r.APIReader, lease)
	if err != nil {
		return ctrl.Result{}, err
	}
	if claim != nil {
		return ctrl.Result{RequeueAfter: absentAfter}, nil // the cache lags
	}
	if left := r.reserved(lease, now.Sub(since)); left > 0 && last == nil {
		return ctrl.Result{RequeueAfter: min(left, recheck)}, nil
	}
	if last == nil || last.Status.Holder != nil {
		wait, err := r.keep(ctx, lease, last, now.Sub(since))
		if err == nil && wait == 0 {
			wait, err = r.Brake.ask(ctx, r.Client, lease.Spec.PoolName, leaseCandidate(lease.Name))
		} else {
			r.Brake.settled(leaseCandidate(lease.Name))
		}
		if wait > 0 || err != nil {
			return ctrl.Result{RequeueAfter: wait}, err
		}
	}
	entry := r.obituary(ctx, lease, last)
	if err := r.Binder.Release(ctx, lease.Name, lease.Spec.ClaimRef.UID, entry); err != nil {
		return ctrl.Result{}, err
	}
	r.endings.forget(lease.Name) // the claim's end says nothing of a lease that a backup brings back (R-B2)
	ctrl.LoggerFrom(ctx).Info("Released the lease of a claim that is gone",
		"claimNamespace", lease.Spec.ClaimRef.Namespace, "claim", lease.Spec.ClaimRef.Name, "evidence", entry.Evidence)
	return ctrl.Result{}, nil
}

// leaseCandidate is a lease as the brake knows it.
func leaseCandidate(name string) string { return "lease " + name }

// keep tells for how long at least a lease must be kept whose claim is gone and may have been held: not at all if nothing can
// be using it. age is how long it has been looked at without finding a pod.
func (r *LeaseReconciler) keep(
	ctx context.Context, lease *v1alpha1.MacLease, last *v1alpha1.MacClaim, age time.Duration,
) (time.Duration, error) {
	if last != nil && lease.Spec.NodeName != last.Status.Holder.NodeName {
		// The mirror was late. Written down, it outlives this process.
		lease.Spec.NodeName, lease.Spec.PodName = last.Status.Holder.NodeName, last.Status.Holder.PodName
		if err := r.Client.Update(ctx, lease); err != nil {
			return 0, fmt.Errorf("writing the node of lease %s: %w", lease.Name, err)
		}
	}
	var attached string
	for _, reader := range []client.Reader{r.Client, r.APIReader} { // most often the cache spares the API server the question
		var err error
		if attached, err = podOfClaim(ctx, reader, lease); err != nil {
			return 0, err
		}
		if attached != "" {
			break
		}
	}
	switch {
	case attached != "":
		r.observed.forget(lease.Name)
		ctrl.LoggerFrom(ctx).V(1).Info("Kept a lease whose claim is gone and whose pod is not",
			"claimNamespace", lease.Spec.ClaimRef.Namespace, "claim", lease.Spec.ClaimRef.Name, "pod", attached)
		return recheckKept, nil
	case lease.Spec.NodeName == "":
		return 0, nil
	}
	node, err := nodeOf(ctx, r.APIReader, lease.Spec.NodeName)
	if err != nil {
		return 0, err
	}
	if binding.StateOfNode(node, &v1alpha1.Holder{}) == binding.NodeSilent {
		return recheckKept, nil // it may run what the API has forgotten (R-G4)
	}
	return max(0, r.OrphanAfter-age), nil
}

// podOfClaim is the name of a pod on a node that may have an interface with the address of the claim, which is gone: claims are
// named after what uses them.
func podOfClaim(ctx context.Context, reader client.Reader, lease *v1alpha1.MacLease) (string, error) {
	ref := lease.Spec.ClaimRef
	var pods corev1.PodList
	if err := reader.List(ctx, &pods, client.InNamespace(ref.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return "", fmt.Errorf("listing the pods of namespace %s: %w", ref.Namespace, err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Spec.NodeName != "" && stateOf(pod) == podAlive && mayUse(pod, lease) {
			return pod.Name, nil
		}
	}
	return "", nil
}

// mayUse tells whether an interface of the pod would be given the claim of the lease. The annotation may have been changed since the pod
// was attached, so it is asked only where the name alone does not say. A claim that a person had made for the pod's workload may have any
// name: what is left of that, while the lease has a node, is the pod that held it, in the lease.
func mayUse(pod *corev1.Pod, lease *v1alpha1.MacLease) bool {
	claim, pool := lease.Spec.ClaimRef.Name, lease.Spec.PoolName
	held := lease.Spec.NodeName != "" && pod.Name == lease.Spec.PodName && selectsNetworks(pod)
	if held || strings.HasPrefix(claim, pod.Name+"."+pool+".") {
		return true
	}
	names, _ := binding.NamedClaims(pod)
	for _, named := range names {
		if named == claim {
			return true
		}
	}
	selections, _ := network.SelectionsOf(pod)
	for _, s := range selections {
		if binding.MayBeOf(claim, binding.WorkloadOf(pod, s.Interface), pool) {
			return true
		}
	}
	return false
}

// obituary says who had the lease, and why it may be given back.
func (r *LeaseReconciler) obituary(ctx context.Context, lease *v1alpha1.MacLease, last *v1alpha1.MacClaim) v1alpha1.LeaseHistory {
	node := lease.Spec.NodeName
	switch {
	case last == nil && node == "":
		return v1alpha1.LeaseHistory{Reason: v1alpha1.EndPodsGone, Evidence: "its claim does not exist, and no node held it"}
	case last == nil:
		return v1alpha1.LeaseHistory{
			NodeName: node, Reason: v1alpha1.EndPodsGone, Evidence: "its claim does not exist; its pod on node " + node + " is gone",
		}
	case last.Status.Holder != nil:
		return v1alpha1.LeaseHistory{
			PodName: last.Status.Holder.PodName, NodeName: node, Reason: v1alpha1.EndPodsGone,
			Evidence: "claim deleted while node " + node + " held it; its pod is gone",
		}
	}
	// What a verdict adds is words: without one, it was the claim alone that ended.
	verdict, err := lifeOf(ctx, r.Client, r.Client, r.APIReader, last, r.Clock.Now())
	return lastHold(last, err == nil && verdict.Ended)
}

// endings are the claims of leases as the event of their deletion had them: lease -> claim. They are lost with the process.
// The zero value is ready.
type endings struct {
	mu   sync.Mutex
	last map[string]*v1alpha1.MacClaim
}

// note enters a deleted claim. The lease that it names is reconciled after that, which forgets it when it has been of use.
func (e *endings) note(claim *v1alpha1.MacClaim) {
	if claim.Status.LeaseName == "" {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.last == nil {
		e.last = map[string]*v1alpha1.MacClaim{}
	}
	e.last[claim.Status.LeaseName] = claim
}

// of is the lease's claim as it was last; nil if its event was not seen.
func (e *endings) of(lease *v1alpha1.MacLease) *v1alpha1.MacClaim {
	e.mu.Lock()
	defer e.mu.Unlock()
	if claim := e.last[lease.Name]; claim != nil && claim.UID == lease.Spec.ClaimRef.UID {
		return claim
	}
	return nil
}

// keep forgets how any other claim of the lease than this one ended.
func (e *endings) keep(lease string, claim types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if last := e.last[lease]; last != nil && last.UID != claim {
		delete(e.last, lease)
	}
}

// forget is called when the lease was given back.
func (e *endings) forget(lease string) { e.keep(lease, "") }

// claimEvents reconciles the lease that a claim names, and notes how claims end.
type claimEvents struct {
	handler.EventHandler

	endings *endings
}

func (c claimEvents) Delete(ctx context.Context, e event.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	// A deletion of which the watch missed the event says nothing of the claim's end: its copy is an older one.
	if claim, ok := e.Object.(*v1alpha1.MacClaim); ok && !e.DeleteStateUnknown {
		c.endings.note(claim)
	}
	c.EventHandler.Delete(ctx, e, queue)
}
