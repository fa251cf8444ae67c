// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/macpool/macpool/internal/agentapi"
)

// metrics counts requests as they come; what can be counted when somebody looks is counted then.
type metrics struct {
	agent    *Agent
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	// astray is how many attached containers were not their claim's holder when the agent started.
	astray atomic.Int64
	// lingering is how many containers are attached for long whose pod is gone.
	lingering atomic.Int64
}

var (
	descAttached = prometheus.NewDesc("macpool_agent_attachments", "Containers that are attached on this node.", nil, nil)
	descClears   = prometheus.NewDesc("macpool_agent_pending_clears", "Holders that are to be cleared when the API answers.", nil, nil)
	descSpooled  = prometheus.NewDesc("macpool_agent_spooled_requests", "DELs in the spool that are not in the journal yet.", nil, nil)
	descAstray   = prometheus.NewDesc("macpool_agent_astray_attachments",
		"Attached containers that were not their claim's holder when the agent started.", nil, nil)
	descFenced = prometheus.NewDesc("macpool_agent_fenced_total",
		"Interfaces that were removed because their address has moved on.", nil, nil)
	descLingering = prometheus.NewDesc("macpool_agent_lingering",
		"Interfaces that are still attached although their pod has been gone from the API for ten minutes.", nil, nil)
	descProbes = prometheus.NewDesc("macpool_agent_address_probes_total",
		"Addresses that the VLAN was asked for before a pod got them: nobody answered (silent), somebody did (answered), "+
			"or it could not be asked (unasked).", []string{"result"}, nil)
	descStrangers = prometheus.NewDesc("macpool_agent_strangers",
		"Addresses attached on this node that somebody else on the VLAN was heard to use within the last ten minutes.", nil, nil)
	descStrangersHeard = prometheus.NewDesc("macpool_agent_strangers_total",
		"How often somebody else on the VLAN was heard to use an address attached on this node, once a minute each.", nil, nil)
	descAnnounced = prometheus.NewDesc("macpool_agent_announcements_total",
		"Announcements of addresses (gratuitous ARP, unsolicited neighbour advertisements) that were sent.", nil, nil)
	descContact = prometheus.NewDesc("macpool_agent_api_contact", "1 while the API has answered within the fencing window.", nil, nil)
)

func newMetrics(a *Agent, registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		agent: a,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "macpool_cni_requests_total", Help: "Requests of the CNI plugin, by command and code of the error catalogue.",
		}, []string{"command", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "macpool_cni_duration_seconds", Help: "Time that requests of the CNI plugin took.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"command"}),
	}
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}

// observe counts a request. A command that does not exist is not a label of its own: anybody could make up any number.
func (m *metrics) observe(command agentapi.Command, code string, took time.Duration) {
	switch command {
	case agentapi.Add, agentapi.Lookup, agentapi.Del, agentapi.Check, agentapi.Status, agentapi.GC, agentapi.Attachments:
	default:
		command = "other"
	}
	m.requests.WithLabelValues(string(command), code).Inc()
	m.duration.WithLabelValues(string(command)).Observe(took.Seconds())
}

// Describe is prometheus.Collector's.
func (m *metrics) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descAttached, descClears, descSpooled, descAstray, descFenced, descLingering, descContact,
		descProbes, descStrangers, descStrangersHeard, descAnnounced,
	} {
		descs <- d
	}
}

// Collect is prometheus.Collector's.
func (m *metrics) Collect(values chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64) {
		values <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
	}
	if m.agent.listening.Load() { // the journal is open
		gauge(descAttached, float64(len(m.agent.journal.in(attached))))
		gauge(descClears, float64(len(m.agent.journal.in(detached))))
	}
	gauge(descSpooled, float64(len(m.agent.spooled())))
	values <- prometheus.MustNewConstMetric(descFenced, prometheus.CounterValue, float64(m.agent.fence.total.Load()))
	gauge(descLingering, float64(m.lingering.Load()))
	gauge(descAstray, float64(m.astray.Load()))
	counter := func(d *prometheus.Desc, value int64, labels ...string) {
		values <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
	}
	counter(descProbes, m.agent.verdicts.clean.Load(), "silent")
	counter(descProbes, m.agent.verdicts.foreign.Load(), "answered")
	counter(descProbes, m.agent.verdicts.unasked.Load(), "unasked")
	counter(descStrangersHeard, m.agent.watcher.total.Load())
	counter(descAnnounced, m.agent.announcer.total.Load())
	gauge(descStrangers, float64(len(m.agent.watcher.strangers())))
	contact := 0.0
	if m.agent.contact.inside() {
		contact = 1
	}
	gauge(descContact, contact)
}
