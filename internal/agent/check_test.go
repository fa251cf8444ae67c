// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/metric"
	"github.com/macpool/macpool/internal/metrictest"
	"github.com/macpool/macpool/internal/problem"
)

// TestCheck proves R-C11: CHECK fails for a container that a newer one has replaced, and for one whose claim has gone to another
// holder behind the agent's back; LOOKUP and CHECK fail for one that was never attached. None of them changes anything.
func TestCheck(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	f.add(t, n, "c1", pod)
	f.add(t, n, "c2", pod)
	check := func(command agentapi.Command, container string) agentapi.Response {
		req := f.addition(container, pod)
		req.Command = command
		return n.ask(t, req)
	}
	wantProblem(t, check(agentapi.Check, "c1"), problem.NotAttached)
	wantProblem(t, check(agentapi.Check, "never"), problem.NotAttached)
	wantProblem(t, check(agentapi.Lookup, "never"), problem.NotAttached)
	if resp := check(agentapi.Check, "c2"); resp.Error != nil {
		t.Errorf("CHECK of the current container: %+v", *resp.Error)
	}

	claim := f.claimOf(t, pod)
	claim.Status.Holder.PodUID, claim.Status.Holder.NodeName = "another", "another-node"
	f.must(t, f.Status().Update(t.Context(), claim))
	eventually(t, "CHECK to see the new holder", func() error { return isProblem(check(agentapi.Check, "c2"), problem.NotAttached) })
	// A repeated ADD does not say otherwise.
	wantProblem(t, n.ask(t, f.addition("c2", pod)), problem.NotAttached)
	del(t, n, "c2")
	eventually(t, "the DEL to be settled", func() error {
		if len(n.agent.journal.in(detached)) > 0 {
			return errNotReady
		}
		return nil
	})
	if after := f.claimOf(t, pod); after.ResourceVersion != claim.ResourceVersion {
		t.Errorf("the other holder's claim was changed to %+v", after.Status)
	}
}

// TestMetrics proves R-O1 for the agent: what is attached, pending and astray is counted when it is asked for, and a
// restart finds what does not fit, and keeps it.
func TestMetrics(t *testing.T) {
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.Metrics = prometheus.NewRegistry() })
	first, second := f.newPod(t, "first", n.name, ""), f.newPod(t, "second", n.name, "")
	f.add(t, n, "c1", first)
	f.add(t, n, "c2", second)
	wantProblem(t, n.ask(t, f.addition("", first)), problem.BadRequest)
	n.wire.set(refuse)
	del(t, n, "c2")
	served, ok := n.options.Metrics.(*prometheus.Registry)
	if !ok {
		t.Fatalf("metrics are registered in a %T", n.options.Metrics)
	}
	metrictest.Check(t, served, metric.Agent, metric.Requests, metric.RequestDuration, metric.PhaseDuration,
		metric.LeaseEvents, metric.BindDuration)
	want := map[string]float64{
		"macpool_agent_attachments": 1, "macpool_agent_pending_clears": 1, "macpool_agent_astray_attachments": 0,
		"macpool_agent_spooled_requests": 0, "macpool_agent_api_contact": 1, "macpool_agent_fenced_total": 0, "macpool_agent_lingering": 0,
		"macpool_cni_requests_total ADD ok": 2, "macpool_cni_requests_total ADD MP514": 1, "macpool_cni_requests_total DEL ok": 1,
		"macpool_agent_address_probes_total silent": 0, "macpool_agent_address_probes_total answered": 0,
		"macpool_agent_address_probes_total unasked": 2, // their network names no link
		"macpool_agent_strangers":                    0, "macpool_agent_strangers_total": 0, "macpool_agent_announcements_total": 0,
	}
	if diff := differs(want, scrape(t, n)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	n.stop()

	claim := f.claimOf(t, first)
	claim.Status.Holder.PodUID = "another"
	f.must(t, f.Status().Update(t.Context(), claim))
	n.wire.set(nil)
	n.options.Metrics = prometheus.NewRegistry()
	n.start(t)
	n.awaitReady(t)
	f.awaitNoHolder(t, second)
	eventually(t, "the pending clear to be settled", func() error {
		want := map[string]float64{
			"macpool_agent_attachments": 1, "macpool_agent_pending_clears": 0, "macpool_agent_astray_attachments": 1,
			"macpool_agent_spooled_requests": 0, "macpool_agent_api_contact": 1, "macpool_agent_fenced_total": 0, "macpool_agent_lingering": 0,
			"macpool_agent_address_probes_total silent": 0, "macpool_agent_address_probes_total answered": 0,
			"macpool_agent_address_probes_total unasked": 0,
			"macpool_agent_strangers":                    0, "macpool_agent_strangers_total": 0, "macpool_agent_announcements_total": 0,
		}
		if diff := differs(want, scrape(t, n)); diff != "" {
			return errors.New("metrics (-want +got):\n" + diff)
		}
		return nil
	})
}

// differs compares what was scraped with what is wanted of it.
func differs(want, got map[string]float64) string {
	maps.DeleteFunc(got, func(name string, _ float64) bool {
		_, wanted := want[name]
		return !wanted
	})
	return cmp.Diff(want, got)
}

// scrape reads the gauges and counters of an agent, labels after the name.
func scrape(t *testing.T, n *node) map[string]float64 {
	t.Helper()
	registry, ok := n.options.Metrics.(*prometheus.Registry)
	if !ok {
		t.Fatal("the node has no registry")
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if result, ok := labels["result"]; ok {
				name += " " + result
			}
			if command, ok := labels["command"]; ok {
				name += " " + command + " " + labels["code"]
			}
			switch {
			case m.GetGauge() != nil:
				values[name] = m.GetGauge().GetValue()
			case m.GetCounter() != nil:
				values[name] = m.GetCounter().GetValue()
			}
		}
	}
	return values
}
