// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fmt"
	"net/http"

	"github.com/macpool/macpool/internal/ledger"
)

// summary is what is beside the map while nothing of it is looked at.
type summary struct {
	overview
	Ranges     string      `json:"ranges"`
	Conditions []condition `json:"conditions,omitempty"`
	Exhaustion string      `json:"exhaustion,omitempty"`
	// Namespaces and Workloads are who has most.
	Namespaces []share `json:"namespaces"`
	Workloads  []share `json:"workloads"`
	Nodes      string  `json:"nodes,omitempty"`
}

type share struct {
	Name      string `json:"name"`
	Addresses int    `json:"addresses"`
}

// mostHolders is how many of the largest holders are told.
const mostHolders = 6

func (s *server) summary(r *http.Request) (any, error) {
	a, err := s.asked(r)
	if err != nil {
		return nil, err
	}
	record, _, err := a.section("")
	if err != nil {
		return nil, err
	}
	o := overviewOf(a.pool)
	answer := summary{overview: o, Ranges: a.pool.Plan.Ranges(), Namespaces: []share{}, Workloads: []share{}, Exhaustion: exhaustion(a.Outlook(record))}
	if a.at.Equal(a.Time) {
		answer.Conditions = o.Problems // those of the past are on no record
	}
	for _, n := range record.Namespaces(mostHolders) {
		answer.Namespaces = append(answer.Namespaces, share{n.Namespace, n.Leases})
	}
	for _, w := range a.Workloads(record, mostHolders) {
		answer.Workloads = append(answer.Workloads, share{w.Namespace + "/" + w.Workload, w.Leases})
	}
	if ready := a.pool.Status.ReadyNodes; ready != nil {
		answer.Nodes = fmt.Sprintf("%d reach the VLAN", *ready)
	}
	return answer, nil
}

// exhaustion is when the pool will be full, in words; nothing if it does not grow.
func exhaustion(o ledger.Outlook) string {
	switch {
	case o.Days == nil:
		return ""
	case *o.Days < 1:
		return "less than a day, as it grows now"
	}
	return fmt.Sprintf("about %.0f days, as it grows now", *o.Days)
}
