// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/macpool/macpool/internal/view"
)

// addresses is how many addresses of a pool are in which state.
var addresses = prometheus.NewDesc(
	"macpool_pool_addresses",
	"Addresses of a pool by state: leased, cooling, conflicted, kept for claims that ask for them, or available to any. "+
		"Those are its capacity. Leases that an edit of the pool left outside are out_of_range.",
	[]string{"pool", "state"}, nil,
)

// suspectHolders is how many holders may be gone.
var suspectHolders = prometheus.NewDesc(
	"macpool_suspect_holders",
	"Claims of a pool whose pod is gone from the API while its node does not say that its interface is: their addresses are kept.",
	[]string{"pool"}, nil,
)

// releasesHeld is how many releases the brake holds back.
var releasesHeld = prometheus.NewDesc(
	"macpool_releases_held",
	"Releases of a pool that are held back because too many are due at once without a node's word (condition ReleasesPaused).",
	[]string{"pool"}, nil,
)

// collector counts when it is asked. A gauge that is pushed is wrong after a restart, and for a pool that is gone.
type collector struct {
	feed *view.Feed
	// suspects counts the suspect claims of a pool.
	suspects func(pool string) (int, error)
	brake    *Brake
}

// Describe implements prometheus.Collector.
func (c collector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- addresses
	descriptions <- suspectHolders
	descriptions <- releasesHeld
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
			metrics <- prometheus.MustNewConstMetric(addresses, prometheus.GaugeValue, float64(n), pool, state)
		}
		due, _, held := c.brake.state(pool)
		if !held {
			due = 0
		}
		metrics <- prometheus.MustNewConstMetric(releasesHeld, prometheus.GaugeValue, float64(due), pool)
		n, err := c.suspects(pool)
		if err != nil {
			metrics <- prometheus.NewInvalidMetric(suspectHolders, err)
			continue
		}
		metrics <- prometheus.MustNewConstMetric(suspectHolders, prometheus.GaugeValue, float64(n), pool)
	}
}
