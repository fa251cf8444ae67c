// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/macpool/macpool/api/v1alpha1"
)

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
				values[strings.Join(key, " ")] = m.GetGauge().GetValue()
			}
		}
		return values
	}
	prefix := "macpool_pool_addresses pool=" + pool.Name + " state="
	w.eventually(func(g gomega.Gomega) {
		g.Expect(cmp.Diff(map[string]float64{
			prefix + "leased": 1, prefix + "cooling": 1, prefix + "conflicted": 0, prefix + "kept": 2, prefix + "available": 3, prefix + "out_of_range": 0,
			"macpool_suspect_holders pool=" + pool.Name: 0, "macpool_releases_held pool=" + pool.Name: 0,
		}, scrape(g))).To(gomega.BeEmpty())
	})
	w.remove(w.claimNow(ns, "a")) // a pool that has leases stays
	w.eventually(func(g gomega.Gomega) { g.Expect(w.Delete(t.Context(), pool)).To(gomega.Succeed()) })
	w.eventually(func(g gomega.Gomega) { g.Expect(scrape(g)).To(gomega.BeEmpty()) })
}
