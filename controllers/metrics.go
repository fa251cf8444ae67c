// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/metric"
	"github.com/macpool/macpool/internal/retention"
	"github.com/macpool/macpool/internal/view"
)

// collector counts when it is asked. A gauge that is pushed is wrong after a restart, and for a pool that is gone.
type collector struct {
	feed  *view.Feed
	cache client.Reader
	// suspects are the suspect claims of a pool.
	suspects func(pool string) ([]v1alpha1.MacClaim, error)
	brake    *Brake
}

// Describe implements prometheus.Collector.
func (collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, m := range []*metric.Metric{
		metric.PoolAddresses, metric.PoolCondition, metric.PoolTimeline, metric.SuspectHolders, metric.UntrueHolds, metric.ReleasesHeld,
	} {
		descriptions <- m.Desc()
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(metrics chan<- prometheus.Metric) {
	for _, pool := range c.feed.Pools() {
		count := c.feed.Index.Count(pool)
		for state, n := range map[string]uint64{
			"leased":       count.Leased,
			"cooling":      count.Cooling,
			"conflicted":   count.Conflicted,
			"kept":         count.Kept,
			"available":    count.Available,
			"out_of_range": count.OutOfRange,
		} {
			metrics <- metric.PoolAddresses.At(float64(n), pool, state)
		}
		due, _, held := c.brake.state(pool)
		if !held {
			due = 0
		}
		metrics <- metric.ReleasesHeld.At(float64(due), pool)
		suspects, err := c.suspects(pool)
		if err != nil {
			metrics <- prometheus.NewInvalidMetric(metric.SuspectHolders.Desc(), err)
			continue
		}
		metrics <- metric.SuspectHolders.At(float64(len(suspects)), pool)
		untrue := 0
		for i := range suspects {
			if isUntrue(suspicion(&suspects[i]).Reason) {
				untrue++
			}
		}
		metrics <- metric.UntrueHolds.At(float64(untrue), pool)
	}
	c.collectStatus(metrics)
}

// collectStatus is what the status of the pools says.
func (c collector) collectStatus(metrics chan<- prometheus.Metric) {
	var pools v1alpha1.MacPoolList
	//nolint:forbidigo // a Collector is given no context, and reads a cache
	if err := c.cache.List(context.Background(), &pools, client.UnsafeDisableDeepCopy); err != nil {
		metrics <- prometheus.NewInvalidMetric(metric.PoolCondition.Desc(), err)
		return
	}
	for i := range pools.Items {
		pool := &pools.Items[i]
		metrics <- metric.PoolTimeline.At(float64(pool.Status.Timeline), pool.Name)
		for _, of := range metric.PoolConditions {
			value := 0.0
			if apimeta.IsStatusConditionTrue(pool.Status.Conditions, of) {
				value = 1
			}
			metrics <- metric.PoolCondition.At(value, pool.Name, of)
		}
	}
}

// leaseCollector counts what the LeaseReconciler waits for. It has seen nothing where it does not work: in a replica that stands by.
type leaseCollector struct{ *LeaseReconciler }

// Describe implements prometheus.Collector.
func (leaseCollector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- metric.ReleaseCandidates.Desc()
	descriptions <- metric.CoolingOverdue.Desc()
}

// candidateReasons are the kinds of observations after which a lease is released, as the metric calls them.
var candidateReasons = map[observationKind]string{claimless: "claimless", orphaned: "orphaned", unpaired: "unpaired"}

// Collect implements prometheus.Collector.
func (c leaseCollector) Collect(metrics chan<- prometheus.Metric) {
	ctx := context.Background() //nolint:forbidigo // a Collector is given no context, and reads caches
	var pools v1alpha1.MacPoolList
	if err := c.Client.List(ctx, &pools, client.UnsafeDisableDeepCopy); err != nil {
		metrics <- prometheus.NewInvalidMetric(metric.CoolingOverdue.Desc(), err)
		return
	}
	type key struct {
		pool string
		kind observationKind
	}
	candidates, overdue := map[key]int{}, map[string]float64{}
	now := c.Clock.Now()
	for name, seen := range c.observed.all() {
		lease := &v1alpha1.MacLease{}
		if c.Client.Get(ctx, client.ObjectKey{Name: name}, lease) != nil || lease.UID != seen.what.uid {
			continue
		}
		pool := lease.Spec.PoolName
		switch released := lease.Spec.ReleasedAt; {
		case lease.Spec.Conflict != nil:
		case seen.what.kind == cooling && released != nil && released.Time.Equal(seen.what.stamp) && lease.Spec.ReusableAt == nil:
			if of, err := poolOf(ctx, c.Client, pool); err == nil {
				overdue[pool] = max(overdue[pool], (now.Sub(seen.since) - retention.Cooldown(lease, of)).Seconds())
			}
		case candidateReasons[seen.what.kind] != "" && released == nil && lease.Spec.LeasedAt.Time.Equal(seen.what.stamp):
			candidates[key{pool, seen.what.kind}]++
		}
	}
	for i := range pools.Items {
		pool := pools.Items[i].Name
		metrics <- metric.CoolingOverdue.At(overdue[pool], pool)
		for kind, reason := range candidateReasons {
			metrics <- metric.ReleaseCandidates.At(float64(candidates[key{pool, kind}]), pool, reason)
		}
	}
}
