// SPDX-License-Identifier: Apache-2.0

package ui

import (
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/ledger"
)

// pool is what the ledger calls a pool.
type pool = ledger.Pool

// overview is a pool in the list.
type overview struct {
	Name       string   `json:"name"`
	VLAN       int32    `json:"vlan"`
	Segment    string   `json:"segment"`
	Networks   []string `json:"networks"`
	MACPrefix  string   `json:"macPrefix"`
	Capacity   int64    `json:"capacity"`
	Leased     int64    `json:"leased"`
	Conflicted int64    `json:"conflicted"`
	Available  int64    `json:"available"`
	// Ready tells whether the pool takes claims.
	Ready    bool        `json:"ready"`
	Problems []condition `json:"problems"`
}

func poolsOf(e *edition) []overview {
	all := make([]overview, 0, len(e.Pools))
	for _, p := range e.Pools {
		all = append(all, overviewOf(p))
	}
	return all
}

// overviewOf has the numbers that the manager keeps in the pool's status, so that they are those that kubectl shows.
func overviewOf(p *pool) overview {
	o := overview{
		Name: p.Name, Segment: binding.SegmentOf(p.MacPool), Networks: []string{}, MACPrefix: binding.PrefixOf(p.MacPool).String(),
		Capacity: number(p.Status.Capacity), Leased: number(p.Status.Leased), Conflicted: number(p.Status.Conflicted), Available: number(p.Status.Available),
		Ready:    apimeta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.PoolReady),
		Problems: amiss(p.Status.Conditions, v1alpha1.PoolReady),
	}
	if p.Spec.VLAN != nil {
		o.VLAN = *p.Spec.VLAN
	}
	for _, subnet := range p.Spec.Subnets {
		o.Networks = append(o.Networks, string(subnet.CIDR))
	}
	if len(o.Networks) == 0 {
		o.Networks = append(o.Networks, "MACs "+o.MACPrefix+":…")
	}
	return o
}

func number(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
