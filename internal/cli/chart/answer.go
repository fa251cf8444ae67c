// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"time"

	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/ledger"
)

const (
	// maxRows is how many rows of signs are drawn.
	maxRows = 32
	// shownShares is how many of the largest holders are told.
	shownShares = 5
)

// answer is a pool as it was at a time.
type answer struct {
	Pool string    `json:"pool"`
	VLAN int32     `json:"vlan"`
	At   time.Time `json:"at"`
	// Prefix is the part that is drawn, in Cells of CellSize addresses.
	Prefix   string `json:"prefix"`
	CellSize uint64 `json:"cellSize"`
	// Counts are those of the whole pool.
	Counts     ledger.Counts  `json:"counts"`
	Outlook    ledger.Outlook `json:"outlook"`
	Namespaces []ledger.Share `json:"namespaces"`
	Workloads  []ledger.Share `json:"workloads"`
	Cells      []cell         `json:"cells"`

	f       *cli.Factory
	plan    *allocator.Plan
	area    area
	columns int
}

// cell is a sign of the map: an address, or a prefix.
type cell struct {
	// Prefix is the address, or the prefix.
	Prefix string `json:"prefix"`
	// State is that of an address, MAC its MAC, and Lease the name of its record.
	State ledger.State `json:"state,omitempty"`
	MAC   string       `json:"mac,omitempty"`
	Lease string       `json:"lease,omitempty"`
	// Namespace and Claim are who has it.
	Namespace string `json:"namespace,omitempty"`
	Claim     string `json:"claim,omitempty"`
	// Counts are those of a prefix.
	Counts ledger.Counts `json:"counts,omitempty"`
}

func newAnswer(f *cli.Factory, s *ledger.Snapshot, c *ledger.Chart, drawn area, width int) *answer {
	plan := c.Pool.Plan
	a := &answer{
		Pool: c.Pool.Name, VLAN: *c.Pool.Spec.VLAN, At: c.Time.UTC().Truncate(time.Second), Prefix: prefixOf(plan, drawn), Counts: c.Total(), Outlook: s.Outlook(c),
		Namespaces: c.Namespaces(shownShares), Workloads: s.Workloads(c, shownShares),
		f: f, plan: plan, area: drawn, columns: columnsFor(width, len(prefixOf(plan, area{drawn.last(), 0}))),
	}
	order := 0                                                    // of a cell: a hexadecimal digit more each time, so that rows begin at round addresses
	for drawn.size()>>order > allocator.Slot(a.columns*maxRows) { //nolint:gosec // G115: not negative
		order += 4
	}
	order = min(order, drawn.order)
	a.CellSize = 1 << order
	for first := drawn.first; first <= min(drawn.last(), plan.Last()); first += 1 << order {
		a.Cells = append(a.Cells, cellOf(c, area{first, order}))
	}
	return a
}

func cellOf(c *ledger.Chart, part area) cell {
	d := cell{Prefix: prefixOf(c.Pool.Plan, part)}
	if part.order > 0 {
		d.Counts = c.Count(part.first, part.last())
		return d
	}
	state, lease := c.State(part.first)
	d.State, d.MAC = state, c.Pool.Plan.Address(part.first).MAC.String()
	if lease == nil {
		return d
	}
	d.Lease, d.MAC = lease.Name, string(lease.Spec.MAC)
	if t, ok := ledger.ClaimAt(lease, c.Time); ok {
		d.Namespace, d.Claim = t.Namespace, t.Claim
	}
	return d
}

// Names is the pool.
func (a *answer) Names() []string { return []string{"macpool.macpool.dev/" + a.Pool} }
