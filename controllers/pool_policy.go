// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"math"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// poolVerdict is what is wrong with a pool; the zero value is a pool that takes claims.
type poolVerdict struct{ reason, message string }

// contradiction finds the pool that keeps this one from being ready: one of its segment that would make one of its
// addresses or MACs a second time, and was ready or was there before it. Both replicas find the same, and no two pools each other.
func contradiction(pool *v1alpha1.MacPool, plan *allocator.Plan, pools []v1alpha1.MacPool) poolVerdict {
	for i := range pools {
		other := &pools[i]
		if other.Name == pool.Name || binding.SegmentOf(other) != binding.SegmentOf(pool) || !precedes(other, pool) {
			continue
		}
		otherPlan, err := binding.PlanOf(other)
		if err != nil {
			continue // it leases nothing
		}
		if why, yes := plan.Contradicts(otherPlan); yes {
			return poolVerdict{
				reason:  v1alpha1.PoolReasonContradiction,
				message: fmt.Sprintf("Pool %s contradicts this one: %s. Change or delete one of the two", other.Name, why),
			}
		}
	}
	return poolVerdict{}
}

// precedes tells which of two pools stays if they contradict each other: one that is ready as it is before one that was, until it was edited,
// and that before one that is not.
func precedes(a, b *v1alpha1.MacPool) bool {
	if x, y := standing(a), standing(b); x != y {
		return x > y
	}
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.Name < b.Name
}

func standing(pool *v1alpha1.MacPool) int {
	ready := apimeta.FindStatusCondition(pool.Status.Conditions, v1alpha1.PoolReady)
	switch {
	case ready == nil || ready.Status != metav1.ConditionTrue:
		return 0
	case ready.ObservedGeneration != pool.Generation:
		return 1
	default:
		return 2
	}
}

func isReady(pool *v1alpha1.MacPool) bool {
	return apimeta.IsStatusConditionTrue(pool.Status.Conditions, v1alpha1.PoolReady)
}

// setPoolConditions writes the whole status of a pool: all of it is derived, so that whatever stood there is corrected.
func setPoolConditions(pool *v1alpha1.MacPool, verdict poolVerdict, count allocator.Counts) {
	status := &pool.Status
	status.Segment = binding.SegmentOf(pool)
	status.MACPrefix = binding.PrefixOf(pool).String()
	status.Capacity = number(count.Capacity)
	status.Leased = number(count.Leased)
	status.Cooling = number(count.Cooling)
	status.Conflicted = number(count.Conflicted)
	status.OutOfRange = number(count.OutOfRange)
	status.Available = number(count.Available)

	ready := metav1.Condition{
		Type: v1alpha1.PoolReady, Status: metav1.ConditionTrue, Reason: v1alpha1.PoolReasonValid,
		Message: "The pool takes claims", ObservedGeneration: pool.Generation,
	}
	if verdict.reason != "" {
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, verdict.reason, verdict.message
	}
	apimeta.SetStatusCondition(&status.Conditions, ready)
	if verdict.reason != "" || count.Available != 0 {
		apimeta.RemoveStatusCondition(&status.Conditions, v1alpha1.PoolExhausted)
		return
	}
	apimeta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.PoolExhausted, Status: metav1.ConditionTrue, Reason: v1alpha1.PoolReasonNoAddress,
		Message:            "Every address is leased, cooling, in conflict or kept for claims that ask for it",
		ObservedGeneration: pool.Generation,
	})
}

// setReleasesPaused says whether the brake holds releases of the pool back.
func setReleasesPaused(pool *v1alpha1.MacPool, brake *Brake) {
	due, limit, held := brake.state(pool.Name)
	if !held {
		apimeta.RemoveStatusCondition(&pool.Status.Conditions, v1alpha1.PoolReleasesPaused)
		return
	}
	apimeta.SetStatusCondition(&pool.Status.Conditions, metav1.Condition{
		Type: v1alpha1.PoolReleasesPaused, Status: metav1.ConditionTrue, Reason: v1alpha1.PoolReasonTooMany,
		Message:            problem.ReleasesPaused.New(due, pool.Name, limit).Sentence(),
		ObservedGeneration: pool.Generation,
	})
}

func samePoolStatus(a, b *v1alpha1.MacPool) bool {
	x, y := a.Status, b.Status
	same := sameConditions(x.Conditions, y.Conditions)
	x.Conditions, y.Conditions = nil, nil
	return same && equality.Semantic.DeepEqual(x, y)
}

// sameButForCounts tells whether nothing has changed but how many leases there are. Whether a pool has any of its own is no count: by it an
// admission policy refuses to delete the pool.
func sameButForCounts(a, b *v1alpha1.MacPool) bool {
	some := func(n *int64) bool { return n != nil && *n != 0 }
	if some(a.Status.OwnLeases) != some(b.Status.OwnLeases) {
		return false
	}
	like := *b // whose fields are replaced, and nothing behind them
	from, to := &a.Status, &like.Status
	to.Leased, to.Cooling, to.Available, to.OwnLeases = from.Leased, from.Cooling, from.Available, from.OwnLeases
	return samePoolStatus(a, &like)
}

func number(n uint64) *int64 {
	if n > math.MaxInt64 {
		n = math.MaxInt64
	}
	return new(int64(n))
}

// sentence is an error as a condition's message: capitalized.
func sentence(err error) string {
	text := err.Error()
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}
