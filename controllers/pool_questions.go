// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/macpool/macpool/api/v1alpha1"
)

const (
	// maxQuestions is how many the schema of a pool takes.
	maxQuestions = 32

	// askAgainAfter is for how long the answers to a question are good. What was silent may have been asked while its trunk
	// was out, and what answered may be switched off since.
	askAgainAfter = 5 * time.Minute
)

// setSuspects counts the claims of a pool whose holder may be gone, and asks the VLAN about those of which only that can tell. It
// is derived from the claims, so that any replica finds the same; only the time of a question is made here, and what
// stands is kept while it is good. asked remembers the questions of this process, so that none waits for ever behind others: lease -> when.
func setSuspects(pool *v1alpha1.MacPool, suspects []v1alpha1.MacClaim, links []string, asked map[string]time.Time, now time.Time) {
	pool.Status.Suspect = number(uint64(len(suspects)))
	var wanted []v1alpha1.WireQuestion
	for i := range suspects {
		claim := &suspects[i]
		if asksWire(suspicion(claim).Reason) && claim.Status.Holder != nil && len(claim.Status.IPs) > 0 && len(links) > 0 {
			wanted = append(wanted, question(claim, links))
		}
	}
	due := func(q v1alpha1.WireQuestion) bool {
		// A replica whose clock differs asks at other times. Two that put that right in turn would never wait for an answer.
		if at, ok := asked[q.LeaseName]; ok && now.Sub(at).Abs() < askAgainAfter {
			return false
		}
		return now.Sub(q.AskedAt.Time).Abs() >= askAgainAfter // also by a clock that was set since
	}
	standing := map[string]v1alpha1.WireQuestion{} // lease -> question that is good
	before := map[string]time.Time{}               // lease -> when it was asked, good or not
	for _, q := range pool.Status.Questions {
		before[q.LeaseName] = q.AskedAt.Time
		if !due(q) {
			standing[q.LeaseName] = q
		}
	}
	maps.DeleteFunc(asked, func(lease string, _ time.Time) bool {
		return !slices.ContainsFunc(wanted, func(q v1alpha1.WireQuestion) bool { return q.LeaseName == lease })
	})
	first := func(q v1alpha1.WireQuestion) int {
		if same(standing[q.LeaseName], q) {
			return 0
		}
		return 1
	}
	slices.SortFunc(wanted, func(a, b v1alpha1.WireQuestion) int {
		return cmp.Or(first(a)-first(b), asked[a.LeaseName].Compare(asked[b.LeaseName]), cmp.Compare(a.LeaseName, b.LeaseName))
	})
	wanted = wanted[:min(len(wanted), maxQuestions)]
	for i, q := range wanted {
		if same(standing[q.LeaseName], q) {
			wanted[i].AskedAt = standing[q.LeaseName].AskedAt
			continue
		}
		at := now.Truncate(time.Second)
		if at.Equal(before[q.LeaseName]) {
			at = at.Add(time.Second) // the time is what tells the two apart
		}
		wanted[i].AskedAt = metav1.NewTime(at)
		asked[q.LeaseName] = now
	}
	slices.SortFunc(wanted, func(a, b v1alpha1.WireQuestion) int { return cmp.Compare(a.LeaseName, b.LeaseName) })
	pool.Status.Questions = wanted
}

// asksWire tells whether nobody but the VLAN can settle a suspicion.
func asksWire(reason string) bool {
	return reason == v1alpha1.ClaimReasonNodeDeleted || reason == v1alpha1.ClaimReasonPodUnknown
}

// question is what is to be asked about a claim's hold.
func question(claim *v1alpha1.MacClaim, links []string) v1alpha1.WireQuestion {
	q := v1alpha1.WireQuestion{
		LeaseName: claim.Status.LeaseName, PodUID: claim.Status.Holder.PodUID, MAC: v1alpha1.MACAddress(claim.Status.MAC), Links: links,
	}
	for _, ip := range claim.Status.IPs {
		q.IPs = append(q.IPs, v1alpha1.IPAddress(ip))
	}
	return q
}

// same tells whether two questions ask the same, at whatever time.
func same(a, b v1alpha1.WireQuestion) bool {
	a.AskedAt, b.AskedAt = metav1.Time{}, metav1.Time{}
	return equality.Semantic.DeepEqual(a, b)
}

// suspectsOf are the claims of a pool whose holder may be gone.
func (r *MacPoolReconciler) suspectsOf(ctx context.Context, pool string) ([]v1alpha1.MacClaim, error) {
	var claims v1alpha1.MacClaimList
	if err := r.Client.List(ctx, &claims, suspectsByPool.is(pool), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the suspect claims of pool %s: %w", pool, err)
	}
	return claims.Items, nil
}

// ofSuspect is the pool of a claim.
func ofSuspect(_ context.Context, object client.Object) []reconcile.Request {
	claim, ok := object.(*v1alpha1.MacClaim)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: claim.Spec.PoolRef.Name}}}
}

// suspicionChanged lets through claims that pools must hear of.
type suspicionChanged struct{}

func (suspicionChanged) Create(e event.CreateEvent) bool   { return isSuspect(e.Object) }
func (suspicionChanged) Delete(e event.DeleteEvent) bool   { return isSuspect(e.Object) }
func (suspicionChanged) Generic(e event.GenericEvent) bool { return isSuspect(e.Object) }
func (suspicionChanged) Update(e event.UpdateEvent) bool {
	return isSuspect(e.ObjectOld) || isSuspect(e.ObjectNew)
}

func isSuspect(object client.Object) bool {
	claim, ok := object.(*v1alpha1.MacClaim)
	return ok && suspicion(claim).Reason != ""
}
