// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/ledger"
)

// address is all of one address at a time.
type address struct {
	row
	// Says is the end of the sentence whose beginning is the state: for whom it is reserved, what it is excluded as.
	Says     string          `json:"says"`
	Lease    string          `json:"lease,omitempty"`
	Until    *time.Time      `json:"until,omitempty"`
	Conflict *conflict       `json:"conflict,omitempty"`
	Tenures  []ledger.Tenure `json:"tenures"`
	// Reach is since when the record of it is complete.
	Reach time.Time `json:"reach"`
}

type conflict struct {
	MAC    string    `json:"mac"`
	Node   string    `json:"node"`
	SeenAt time.Time `json:"seenAt"`
	link
}

// row is who has one address, as the table has it.
type row struct {
	Index     int        `json:"index"`
	Name      string     `json:"name"`
	Letter    string     `json:"letter"`
	MAC       string     `json:"mac"`
	IPs       []string   `json:"ips"`
	Namespace string     `json:"namespace,omitempty"`
	Claim     string     `json:"claim,omitempty"`
	Pod       string     `json:"pod,omitempty"`
	Node      string     `json:"node,omitempty"`
	Since     *time.Time `json:"since,omitempty"`
}

// mostRows is how many rows are asked for at a time.
const mostRows = 400

// rows are the addresses of some cells of a map of addresses.
func (s *server) rows(r *http.Request) (any, error) {
	a, err := s.asked(r)
	if err != nil {
		return nil, err
	}
	record, where, err := a.section(r.FormValue("prefix"))
	if err != nil {
		return nil, err
	}
	indexes := strings.Split(r.FormValue("indexes"), ",")
	if len(indexes) > mostRows {
		return nil, &refusal{http.StatusBadRequest, fmt.Sprintf("at most %d rows are answered at a time", mostRows)}
	}
	rows := make([]row, 0, len(indexes))
	for _, text := range indexes {
		i, err := strconv.Atoi(text)
		if err != nil || i < 0 || i >= where.cells() || where.step() != 0 {
			return nil, &refusal{http.StatusBadRequest, fmt.Sprintf("%s has no row %q", textOf(a.pool, where), text)}
		}
		one := a.address(record, where.first+allocator.Slot(i))
		rows = append(rows, a.row(i, one, a.At(one, a.at)))
	}
	return map[string]any{"rows": rows}, nil
}

// address is a slot of the pool as the ledger knows it.
func (a *asked) address(record *ledger.Chart, slot allocator.Slot) ledger.Address {
	planned := a.pool.Plan.Address(slot)
	_, lease := record.State(slot)
	return ledger.Address{Name: planned.Name, MAC: planned.MAC, IPs: planned.IPs, Pool: a.pool, Verdict: a.pool.Plan.Classify(slot), Lease: lease}
}

func (a *asked) row(index int, one ledger.Address, then ledger.Moment) row {
	r := row{Index: index, Name: one.Name.Leased(), Letter: string(letters[then.State]), MAC: one.MAC.String(), IPs: textsOf(one.IPs)}
	if !then.Since.IsZero() {
		r.Since = &then.Since
	}
	if len(then.Tenures) > 0 {
		t := then.Tenures[0]
		r.Namespace, r.Claim, r.Pod, r.Node, r.Since = t.Namespace, t.Claim, t.PodName, t.NodeName, &t.From
	}
	return r
}

func textsOf(ips []netip.Addr) []string {
	texts := make([]string, 0, len(ips))
	for _, ip := range ips {
		texts = append(texts, ip.String())
	}
	return texts
}

// address answers with all of one address of a pool.
func (s *server) address(r *http.Request) (any, error) {
	a, err := s.asked(r)
	if err != nil {
		return nil, err
	}
	one, err := a.named(r.FormValue("address"))
	if err != nil {
		return nil, err
	}
	then := a.At(one, a.at)
	answer := address{row: a.row(0, one, then), Says: says(one, then.State), Tenures: a.Tenures(one), Reach: a.Reach(one)}
	if !then.Until.IsZero() {
		answer.Until = &then.Until
	}
	if answer.Tenures == nil {
		answer.Tenures = []ledger.Tenure{}
	}
	if one.Lease != nil {
		answer.Lease = one.Lease.Name
		if c := one.Lease.Spec.Conflict; c != nil && !a.at.Before(c.SeenAt.Time) {
			answer.Conflict = &conflict{MAC: c.MAC, Node: c.NodeName, SeenAt: c.SeenAt.Time, link: linkOf("MP207", "")}
		}
	}
	return answer, nil
}

// named is the address of the pool that a text names: of its segment, for pools can have one network.
func (a *asked) named(text string) (ledger.Address, error) {
	wrong := &refusal{http.StatusNotFound, fmt.Sprintf("%q is not an address of the pool", text)}
	if a.pool == nil {
		return ledger.Address{}, &refusal{http.StatusBadRequest, "no pool is named"}
	}
	q, err := ledger.ParseQuery(text, "")
	if err != nil {
		return ledger.Address{}, wrong
	}
	for _, one := range a.Find(q) {
		if one.Name.Segment == a.pool.Plan.Segment() {
			return one, nil
		}
	}
	return ledger.Address{}, wrong
}

func says(one ledger.Address, state ledger.State) string {
	switch {
	case state == ledger.Reserved && one.Verdict.Claim == allocator.Identity{}:
		return "for nobody"
	case state == ledger.Reserved:
		return fmt.Sprintf("for claim %s/%s", one.Verdict.Claim.Namespace, one.Verdict.Claim.Name)
	case state == ledger.Excluded:
		return one.Verdict.Why
	case state == ledger.OnRequest:
		return "only for a claim that asks for it"
	case state == ledger.Free:
		return "and nobody is on record who had it"
	case state == ledger.Unknown:
		return "the record does not reach that far back"
	}
	return ""
}

// complete adds what a result of a search shows beside what it was found by.
func (a *asked) complete(hit *found) {
	p := a.Pool(hit.Pool)
	if p == nil || p.Plan == nil || hit.Address == "" {
		return
	}
	hit.Prefix = sectionOf(p, hit.Address)
	if one, err := (&asked{edition: a.edition, pool: p, at: a.at}).named(hit.Address); err == nil {
		hit.Letter = string(letters[a.At(one, a.at).State])
	}
}

// hit is an address as a search finds it.
func (a *asked) hit(one ledger.Address) found {
	h := found{Address: one.Name.Leased()}
	if one.Pool != nil {
		h.Pool = one.Pool.Name
	}
	if then := a.At(one, a.at); len(then.Tenures) > 0 {
		t := then.Tenures[0]
		h.Namespace, h.Claim, h.Pod = t.Namespace, t.Claim, t.PodName
	}
	return h
}
