// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"net/http"

	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/ledger"
)

// letters are what states are in a map. The page has the same ones, in states.js.
var letters = map[ledger.State]byte{
	ledger.Leased: 'L', ledger.OutOfRange: 'O', ledger.Conflicted: '!', ledger.Cooling: 'C', ledger.Reusable: 'r', ledger.Free: '.',
	ledger.OnRequest: 'E', ledger.Reserved: 'R', ledger.Excluded: 'x', ledger.Outside: '-', ledger.Unknown: '?',
}

// chart is the map of a section of a pool at a time, as the page gets it: a letter for each cell, and nothing of who has what, which is
// asked for where somebody looks.
type chart struct {
	Pool   string `json:"pool"`
	Prefix string `json:"prefix"`
	// Whole is the prefix that is all of the pool.
	Whole string `json:"whole"`
	// First is the first address, and Step how many bits of addresses each cell has: 0 if it is one address.
	First  string `json:"first"`
	Step   int    `json:"step"`
	States string `json:"states"`
	// Fill is how many of the hundred parts of a cell that can be leased are, if it is more than one address.
	Fill []int `json:"fill,omitempty"`
	// Counts are by letter.
	Counts map[string]uint64 `json:"counts"`
}

func (s *server) chart(r *http.Request) (any, error) {
	a, err := s.asked(r)
	if err != nil {
		return nil, err
	}
	return chartOf(a, r.FormValue("prefix"))
}

// chartOf is the chart of a prefix, or if that is empty, of what is shown first.
func chartOf(a *asked, prefix string) (*chart, error) {
	record, where, err := a.section(prefix)
	if err != nil {
		return nil, err
	}
	c := &chart{
		Pool: a.pool.Name, Prefix: textOf(a.pool, where), Whole: textOf(a.pool, wholeOf(a.pool)), Step: where.step(),
		First: a.pool.Plan.Address(where.first).Name.Leased(), Counts: map[string]uint64{},
	}
	counts := record.Count(where.first, where.last())
	if where == wholeOf(a.pool) {
		counts = record.Total() // with what lies in no network of it
	}
	for state, n := range counts {
		c.Counts[string(letters[state])] += n
	}
	states := make([]byte, where.cells())
	for i := range states {
		if c.Step == 0 {
			state, _ := record.State(where.first + allocator.Slot(i))
			states[i] = letters[state]
			continue
		}
		cell := where.cell(i)
		counts := record.Count(cell.first, cell.last())
		states[i] = letters[gravest(counts)]
		c.Fill = append(c.Fill, leasedShare(counts))
	}
	c.States = string(states)
	return c, nil
}

// section is the record of the pool at the time asked for, and the section that a prefix names; of an empty one, what is shown first.
func (a *asked) section(prefix string) (*ledger.Chart, section, error) {
	if a.pool == nil {
		return nil, section{}, &refusal{http.StatusBadRequest, "no pool is named"}
	}
	record, ok := a.chart(a.pool.Name, a.at)
	if !ok {
		return nil, section{}, &refusal{http.StatusNotFound, "there is no pool " + a.pool.Name}
	}
	if prefix == "" {
		return record, startOf(record), nil
	}
	where, err := parseSection(a.pool, prefix)
	return record, where, err
}

// gravest is the state that a prefix has as a whole: what a person looks for first.
func gravest(counts ledger.Counts) ledger.State {
	if counts[ledger.Conflicted] > 0 {
		return ledger.Conflicted
	}
	for _, state := range ledger.States() {
		if counts[state] > 0 {
			return state
		}
	}
	return ledger.Outside
}

// leasedShare is in hundredths of what can be leased. One lease in many is not none.
func leasedShare(counts ledger.Counts) int {
	leased, all := counts[ledger.Leased]+counts[ledger.OutOfRange], uint64(0)
	for state, n := range counts {
		if state != ledger.Outside && state != ledger.Excluded {
			all += n
		}
	}
	if leased == 0 {
		return 0
	}
	return max(1, int(100*leased/all)) //nolint:gosec // at most 100
}

// delta is what of a chart has changed: cells are index, letter and fill.
type delta struct {
	Cells  [][3]any          `json:"cells"`
	Counts map[string]uint64 `json:"counts"`
}

// same tells whether two charts are of the same cells.
func (c *chart) same(other *chart) bool {
	return c.Prefix == other.Prefix && len(c.States) == len(other.States)
}

// delta is what to change for next; nil if that is nothing.
func (c *chart) delta(next *chart) *delta {
	d := &delta{Cells: [][3]any{}, Counts: next.Counts}
	for i := range len(next.States) {
		fill := 0
		if next.Fill != nil {
			fill = next.Fill[i]
		}
		if c.States[i] != next.States[i] || next.Fill != nil && c.Fill[i] != fill {
			d.Cells = append(d.Cells, [3]any{i, string(next.States[i]), fill})
		}
	}
	if len(d.Cells) == 0 {
		return nil
	}
	return d
}
