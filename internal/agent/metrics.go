// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/metric"
)

// metrics counts requests as they come; what can be counted when somebody looks is counted then.
type metrics struct {
	agent    *Agent
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	phases   *prometheus.HistogramVec
	undone   *prometheus.CounterVec
	retries  *prometheus.CounterVec
	// leases is told what this agent does with leases.
	leases *metric.Leases
	// astray is how many attached containers were not their claim's holder when the agent started.
	astray atomic.Int64
	// lingering is how many containers are attached for long whose pod is gone.
	lingering atomic.Int64
}

func newMetrics(a *Agent) *metrics {
	m := &metrics{
		agent: a, requests: metric.Requests.Counts(), duration: metric.RequestDuration.Times(), phases: metric.PhaseDuration.Times(),
		undone: metric.AddsUndone.Counts(), retries: metric.APIRetries.Counts(), leases: metric.NewLeases(a.knownPools),
	}
	// What has not happened yet is 0: a rate over the first time would miss it otherwise.
	for _, cause := range metric.AddsUndone.Labels[0].Values {
		m.undone.WithLabelValues(cause)
	}
	for _, cause := range metric.APIRetries.Labels[0].Values {
		m.retries.WithLabelValues(cause)
	}
	return m
}

func (m *metrics) register(registry prometheus.Registerer) error {
	if registry == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.duration, m.phases, m.undone, m.retries, m.leases, metric.OfPools(m.agent.knownPools, m.requests), m} {
		if err := registry.Register(c); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// knownPools are the pools that the caches show, once they are filled.
func (a *Agent) knownPools() (names []string, ok bool) {
	select {
	case <-a.ready:
	default:
		return nil, false
	}
	var pools v1alpha1.MacPoolList
	//nolint:forbidigo // a Collector is given no context, and reads a cache
	if err := a.cluster.cache.List(context.Background(), &pools); err != nil {
		return nil, false
	}
	for i := range pools.Items {
		names = append(names, pools.Items[i].Name)
	}
	return names, true
}

// observe counts a request. A command that does not exist is not a label of its own, and neither is a pool: anybody could make up any number.
func (m *metrics) observe(ctx context.Context, req *agentapi.Request, code string, took time.Duration) {
	command, pool := req.Command, req.Pool
	switch command {
	case agentapi.Add, agentapi.Lookup, agentapi.Del, agentapi.Check, agentapi.Status, agentapi.GC, agentapi.Attachments:
	default:
		command = "other"
	}
	if !m.agent.cluster.cache.knows(ctx, poolKey(pool), &v1alpha1.MacPool{}) {
		pool = ""
	}
	m.requests.WithLabelValues(string(command), code, pool).Inc()
	m.duration.WithLabelValues(string(command)).Observe(took.Seconds())
}

// Describe is prometheus.Collector's.
func (m *metrics) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*metric.Metric{
		metric.JournalRecords, metric.JournalSyncs, metric.Attachments, metric.PendingClears, metric.ClearAge, metric.Spooled, metric.SpoolAge, metric.Astray, metric.Fenced,
		metric.Lingering, metric.Probes, metric.Strangers, metric.StrangersHeard, metric.Announced, metric.Parent, metric.Contact,
		metric.Epoch, metric.Timeline, metric.WentBack,
	} {
		descs <- d.Desc()
	}
}

// Collect is prometheus.Collector's.
func (m *metrics) Collect(values chan<- prometheus.Metric) {
	give := func(of *metric.Metric, value float64, labels ...string) { values <- of.At(value, labels...) }
	a := m.agent
	now := a.clock.Now()
	if a.listening.Load() { // the journal is open
		give(metric.JournalRecords, float64(a.journal.records.Load()))
		give(metric.JournalSyncs, float64(a.journal.file.syncs.Load()))
		give(metric.Attachments, float64(len(a.journal.in(attached))))
		pending := a.journal.in(detached)
		give(metric.PendingClears, float64(len(pending)))
		oldest := time.Time{}
		for _, entry := range pending {
			oldest = earliest(oldest, entry.At)
		}
		give(metric.ClearAge, metric.Seconds(now, oldest))
		if known, ok := a.recovery.marks.get(); ok {
			give(metric.Epoch, float64(known.Epoch))
			give(metric.Timeline, float64(known.Timeline))
		}
	}
	spooled, oldest := a.spoolDepth()
	give(metric.Spooled, float64(spooled))
	give(metric.SpoolAge, metric.Seconds(now, oldest))
	give(metric.Fenced, float64(a.fence.total.Load()))
	give(metric.Lingering, float64(m.lingering.Load()))
	give(metric.Astray, float64(m.astray.Load()))
	give(metric.Probes, float64(a.verdicts.clean.Load()), "silent")
	give(metric.Probes, float64(a.verdicts.foreign.Load()), "answered")
	give(metric.Probes, float64(a.verdicts.unasked.Load()), "unasked")
	give(metric.StrangersHeard, float64(a.watcher.total.Load()))
	give(metric.Announced, float64(a.announcer.total.Load()))
	give(metric.Strangers, float64(len(a.watcher.strangers())))
	give(metric.WentBack, float64(a.recovery.total.Load()))
	for _, p := range a.parents.report() {
		for _, state := range []v1alpha1.ParentState{v1alpha1.ParentMissing, v1alpha1.ParentDown, v1alpha1.ParentSilent, v1alpha1.ParentReady} {
			give(metric.Parent, one(p.State == state), p.PoolName, p.Link, string(state))
		}
	}
	give(metric.Contact, one(a.contact.inside()))
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// earliest is the earlier of two times, of which the zero one is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
