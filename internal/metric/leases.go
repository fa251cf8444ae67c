// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/macpool/macpool/internal/audit"
)

// Leases counts what a process does with leases: it is told by the audit log, and by the binder.
type Leases struct {
	prometheus.Collector

	events, retries *prometheus.CounterVec
	durations       *prometheus.HistogramVec
}

// NewLeases returns one that has counted nothing; known are the pools that there are.
func NewLeases(known func() (pools []string, ok bool)) *Leases {
	l := &Leases{events: LeaseEvents.Counts(), retries: BindRetries.Counts(), durations: BindDuration.Times()}
	l.Collector = OfPools(known, l.events, l.retries, l.durations)
	return l
}

// Recorded counts a record of the audit log.
func (l *Leases) Recorded(r audit.Record) {
	l.events.WithLabelValues(r.Pool, string(r.Event), string(r.Reason)).Inc()
}

// Bound is told how long it took to bind a claim.
func (l *Leases) Bound(pool string, took time.Duration) {
	l.durations.WithLabelValues(pool).Observe(took.Seconds())
}

// Retried is told of a write of a bind that did not succeed at once.
func (l *Leases) Retried(pool, cause string) { l.retries.WithLabelValues(pool, cause).Inc() }
