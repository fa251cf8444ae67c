// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/metric"
	"github.com/macpool/macpool/internal/metrictest"
)

// TestAddressesAreCountedWhenAsked proves R-O1 for the manager: leases by state, what is to be released and what was, and nothing of
// a pool that is gone.
func TestAddressesAreCountedWhenAsked(t *testing.T) {
	w := newWorld(t)
	registry := prometheus.NewRegistry()
	w.startManager(managerOptions{metrics: registry})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.104"), func(p *v1alpha1.MacPool) {
		p.Spec.Subnets[0].Ranges = append(p.Spec.Subnets[0].Ranges, v1alpha1.PoolRange{
			AddressRange: v1alpha1.AddressRange{Start: "192.168.50.8", End: "192.168.50.9"}, ExplicitOnly: true,
		})
	})
	w.claim(ns, "a", pool)
	w.claim(ns, "b", pool)
	w.bound(ns, "a")
	b := w.bound(ns, "b")
	w.remove(b)
	w.gone(b)
	scrape := func(g gomega.Gomega) map[string]float64 {
		families, err := registry.Gather()
		g.Expect(err).NotTo(gomega.HaveOccurred())
		values := map[string]float64{}
		for _, family := range families {
			for _, m := range family.GetMetric() {
				key := []string{family.GetName()}
				for _, l := range m.GetLabel() {
					key = append(key, l.GetName()+"="+l.GetValue())
				}
				values[strings.Join(key, " ")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
		return values
	}
	prefix := "macpool_pool_addresses pool=" + pool.Name + " state="
	event := func(what, reason string) string {
		return "macpool_lease_events_total event=" + what + " pool=" + pool.Name + " reason=" + reason
	}
	w.eventually(func(g gomega.Gomega) {
		want := map[string]float64{
			"macpool_pool_condition pool=" + pool.Name + " type=Ready": 1, "macpool_pool_condition pool=" + pool.Name + " type=Exhausted": 0,
			"macpool_cooling_overdue_seconds pool=" + pool.Name: 0, "macpool_release_candidates pool=" + pool.Name + " reason=orphaned": 0,
			event("leased", ""): 2, event("released", string(v1alpha1.EndNeverAttached)): 1,
			prefix + "leased": 1, prefix + "cooling": 1, prefix + "conflicted": 0, prefix + "kept": 2, prefix + "available": 3, prefix + "out_of_range": 0,
			"macpool_suspect_holders pool=" + pool.Name: 0, "macpool_releases_held pool=" + pool.Name: 0,
		}
		got := scrape(g)
		maps.DeleteFunc(got, func(name string, _ float64) bool {
			_, wanted := want[name]
			return !wanted
		})
		g.Expect(cmp.Diff(want, got)).To(gomega.BeEmpty())
	})
	metrictest.Check(t, registry, metric.Manager, metric.PoolAddresses, metric.PoolCondition, metric.PoolTimeline, metric.SuspectHolders,
		metric.ReleasesHeld, metric.ReleaseCandidates, metric.CoolingOverdue, metric.LeaseEvents, metric.BindDuration)
	w.remove(w.claimNow(ns, "a")) // a pool that has leases stays
	w.eventually(func(g gomega.Gomega) { g.Expect(w.Delete(t.Context(), pool)).To(gomega.Succeed()) })
	w.eventually(func(g gomega.Gomega) { g.Expect(scrape(g)).To(gomega.BeEmpty()) })
}
